/** How wide texts are, and how much of them fits. */

const LONGEST = 400; // characters that are measured of a text

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

/** Pixels of a rem: larger on large screens, or as the reader wants it. */
export const rem = () =>
  Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 15;

/** As much of a text as fits into so many pixels; what is cut ends in an ellipsis. */
export function cut(text: string, room: number, size: number, weight = 400): string {
  const characters = [...text.slice(0, 2 * LONGEST)].slice(0, LONGEST);
  const whole = characters.join("");
  if (whole === text && measured(text, size, weight) <= room) return text;
  let [low, high] = [1, characters.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    const fits = measured(`${characters.slice(0, middle).join("")}…`, size, weight) <= room;
    if (fits) low = middle;
    else high = middle - 1;
  }
  return `${characters.slice(0, low).join("").trimEnd()}…`;
}

/** Type of a text: its size in rem, and its weight. */
export interface Type {
  size: number;
  weight?: number;
}

/** Pixels of a text of a type. */
export function widthOf(text: string, { size, weight }: Type): number {
  return measured(text, size * rem(), weight);
}

/** As much of a text of a type as fits into so many pixels. */
export function cutTo(text: string, room: number, { size, weight }: Type): string {
  return cut(text, room, size * rem(), weight);
}

/** A text in at most so many lines, broken between words where there are any. */
export function lines(text: string, room: number, most: number, size: number, weight = 400) {
  const found: string[] = [];
  let rest = text.slice(0, LONGEST).trim();
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
