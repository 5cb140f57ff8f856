/** How wide texts are, and how much of them fits. */

let context: CanvasRenderingContext2D | null = null;
const widths = new Map<string, number>();

/** Pixels of a text in the page's own font. */
export function measured(text: string, size: number, weight = 400): number {
  const key = `${size} ${weight} ${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    context ??= document.createElement("canvas").getContext("2d");
    if (!context) return 0.54 * size * text.length;
    context.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
    width = context.measureText(text).width;
    if (widths.size > 5000) widths.clear();
    widths.set(key, width);
  }
  return width;
}

/** Pixels of a rem: text of the page grows on large screens. */
export const rem = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize);

/** As much of a text as fits into so many pixels. */
export function cut(text: string, room: number, size: number, weight = 400): string {
  if (measured(text, size, weight) <= room) return text;
  const characters = [...text.slice(0, 400)];
  let [low, high] = [1, characters.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    const fits = measured(`${characters.slice(0, middle).join("")}…`, size, weight) <= room;
    if (fits) low = middle;
    else high = middle - 1;
  }
  return `${characters.slice(0, low).join("").trimEnd()}…`;
}

/** A text in at most so many lines, broken between words where there are any. */
export function lines(text: string, room: number, most: number, size: number, weight = 400) {
  const found: string[] = [];
  let rest = text.slice(0, 400).trim();
  while (rest && found.length < most) {
    if (found.length === most - 1 || measured(rest, size, weight) <= room) {
      found.push(cut(rest, room, size, weight));
      break;
    }
    const words = rest.split(" ");
    let count = 0;
    while (count < words.length) {
      const next = words.slice(0, count + 1).join(" ");
      if (measured(next, size, weight) > room) break;
      count++;
    }
    if (count === 0) {
      found.push(cut(rest, room, size, weight));
      break;
    }
    found.push(words.slice(0, count).join(" "));
    rest = words.slice(count).join(" ");
  }
  return found;
}
