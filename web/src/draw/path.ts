/** A curve from one point to another that leaves and arrives level. */
export function level(x0: number, y0: number, x1: number, y1: number): string {
  const middle = (x0 + x1) / 2;
  return `M${x0},${y0}C${middle},${y0} ${middle},${y1} ${x1},${y1}`;
}

/** A band between two columns: from [top, bottom] at x0 to [top, bottom] at x1. */
export function band(
  x0: number,
  from: readonly [number, number],
  x1: number,
  to: readonly [number, number],
): string {
  const middle = (x0 + x1) / 2;
  return (
    `M${x0},${from[0]}C${middle},${from[0]} ${middle},${to[0]} ${x1},${to[0]}` +
    `L${x1},${to[1]}C${middle},${to[1]} ${middle},${from[1]} ${x0},${from[1]}Z`
  );
}

/** As much of a text as fits, by a mean width of its characters; `size` is that of 15 px pages. */
export function fitted(text: string, width: number, size = 12): string {
  const room = Math.max(1, Math.floor(width / (0.54 * size * textScale())));
  const characters = [...text];
  return characters.length <= room ? text : `${characters.slice(0, room - 1).join("")}…`;
}

/** How much larger text is on a large screen: style.css sets the same. */
export function textScale(): number {
  return typeof matchMedia === "function" && matchMedia("(min-width: 1700px)").matches
    ? 17 / 15
    : 1;
}
