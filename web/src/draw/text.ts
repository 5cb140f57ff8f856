/** Texts fitted to their room by their measured widths. */

/** Type of a text: its size in rem, and its weight. */
export interface Type {
  size: number;
  weight?: number;
}

const LONGEST = 400; // characters that are measured of a text

let context: CanvasRenderingContext2D | null = null;

/** Pixels of a rem: larger on large screens, or as the reader wants it. */
export function rem(): number {
  return Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 15;
}

/** The width of a text in pixels, as the page draws it. */
export function widthOf(text: string, { size, weight = 400 }: Type): number {
  context ??= document.createElement("canvas").getContext("2d");
  if (!context) return 8 * text.length;
  const page = getComputedStyle(document.documentElement);
  context.font = `${weight} ${size * rem()}px ${page.fontFamily}`;
  return context.measureText(text).width;
}

/** As much of a text as fits into so many pixels; what is cut ends in an ellipsis. */
export function cutTo(text: string, width: number, type: Type): string {
  const characters = [...text].slice(0, LONGEST);
  const whole = characters.join("");
  if (whole === text && widthOf(text, type) <= width) return text;
  const cut = (kept: number) => `${characters.slice(0, kept).join("").trimEnd()}…`;
  let [low, high] = [1, characters.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (widthOf(cut(middle), type) <= width) low = middle;
    else high = middle - 1;
  }
  return cut(low);
}
