import type { Edge } from "../../data/circuits";
import type { Cell, Layout } from "./layout";

/** Radius of a node by its influence beside the largest. */
export function radius(influence: number, most: number): number {
  return 2.5 + 4 * Math.sqrt(Math.max(0, influence || 0) / most);
}

/** Width of an edge by its weight beside the heaviest. */
export function thickness({ source, weight }: Edge, heaviest: number): number {
  const size = Math.min(1, weight / heaviest) ** 0.7;
  return source.kind === "error" ? 1 + 1.5 * size : 0.9 + 6.5 * size;
}

/** Opacity of an edge that is neither pointed at nor chosen. */
export function strength({ source, weight }: Edge, heaviest: number): number {
  return source.kind === "error" ? 0.45 : 0.3 + 0.6 * Math.sqrt(Math.min(1, weight / heaviest));
}

/** The curve of an edge: it leaves upwards and arrives from below. */
export function bow(edge: Edge, layout: Layout): string {
  const [from, to] = [layout.cells.get(edge.source.key), layout.cells.get(edge.target.key)];
  if (!from || !to) return "";
  const [x0, x1] = [from.x, to.x];
  const y0 = height(edge.source.kind === "token" ? -13 : 0, from, edge.from.row, layout);
  const y1 = height(edge.target.kind === "logit" ? 16 : 0, to, edge.to.row, layout);
  const up = Math.max(16, 0.45 * (y0 - y1));
  // past what stands between on the same line: to the left, for labels are on the right
  const aside = Math.abs(x0 - x1) < 6 ? -Math.min(26, 0.16 * (y0 - y1)) : 0;
  return `M${x0},${y0}C${x0 + aside},${y0 - up} ${x1 + aside},${y1 + up} ${x1},${y1}`;
}

function height(shift: number, cell: Cell, row: number, layout: Layout): number {
  // the node itself, where a supernode spans several rows
  const y = cell.bottom === cell.top ? cell.bottom : layout.rows[row];
  return y + shift;
}
