/** The outline of a strand: as wide at each SAE as its feature fires there. */

import { area, curveMonotoneY } from "d3-shape";
import type { Strand } from "../../data/sentence";
import { PITCH } from "./layout";

const HALF = PITCH / 2 - 0.5; // pixels of half a strand at its widest
const THREAD = 0.6; // between SAEs where it does not fire

/** Half the width of a strand where its feature has so large a share of what it can. */
export const half = (share: number) => 0.9 + (HALF - 0.9) * Math.min(1, Math.max(0, share)) ** 1.15;

/** A flame about x = 0, `wider` by a factor and some pixels. */
export function flame(
  { nodes }: Strand,
  rows: readonly number[],
  row: number,
  chain: readonly number[],
  wider = 1,
  more = 0,
): string {
  const points: { y: number; w: number }[] = [];
  const [first, last] = [nodes[0], nodes[nodes.length - 1]];
  points.push({ y: rows[first.row] + row * 0.42, w: 0 });
  for (let at = first.row, i = 0; at <= last.row; at++) {
    const fires = nodes[i].row === at;
    // a track does not run through the SAEs of modules
    if (!fires && !chain.includes(at)) continue;
    const w = fires ? half(nodes[i].share) * wider + more : THREAD + more / 2;
    points.push({ y: rows[at], w });
    if (fires) i++;
  }
  points.push({ y: rows[last.row] - row * 0.42, w: 0 });
  const outline = area<{ y: number; w: number }>()
    .y(({ y }) => y)
    .x0(({ w }) => -w)
    .x1(({ w }) => w)
    .curve(curveMonotoneY);
  return outline(points) ?? "";
}
