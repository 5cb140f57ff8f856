/** Where the arrow keys lead within the drawing of a life. */

import type { Layout } from "./layout";

interface Mark {
  node: number;
  x: number;
  y: number;
}

/** All marks of a drawing that the keyboard reaches. */
export function marksOf(layout: Layout): Mark[] {
  return [...layout.track.map(({ life, x, y }) => ({ node: life.node, x, y })), ...layout.sides];
}

/**
 * The mark that a key leads to from one: up and down within a column; from a mark beside the
 * track, left and right to the nearest of the column next to it. Null: there is none.
 */
export function keyTarget(layout: Layout, from: number, key: string): number | null {
  const marks = marksOf(layout);
  const here = marks.find((mark) => mark.node === from);
  if (!here) return null;
  const half = layout.step / 2;
  if (key === "ArrowUp" || key === "ArrowDown") {
    const column = marks
      .filter((mark) => Math.abs(mark.x - here.x) < half)
      .sort((p, q) => p.y - q.y || p.x - q.x);
    const at = column.findIndex((mark) => mark.node === from);
    return column[at + (key === "ArrowUp" ? -1 : 1)]?.node ?? null;
  }
  if (key !== "ArrowLeft" && key !== "ArrowRight") return null;
  const sign = key === "ArrowRight" ? 1 : -1;
  const cost = (mark: Mark) => sign * (mark.x - here.x) + Math.abs(mark.y - here.y);
  const next = marks
    .filter((mark) => sign * (mark.x - here.x) >= half)
    .sort((p, q) => cost(p) - cost(q));
  return next[0]?.node ?? null;
}
