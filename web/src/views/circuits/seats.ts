/** Lanes of one token's features, and how wide they must be for the labels. */

import type { Mark } from "../../data/circuits";

export const DOT = 16; // pixels of a lane that its marks take, left of their labels
const STACK = 3; // features above each other in a cell
const LEAST = 30; // pixels of a lane

export interface Seat {
  lane: number;
  /** Place in its cell from below. */
  level: number;
  /** Of how many. */
  levels: number;
}

export interface Seats {
  of: ReadonlyMap<Mark, Seat>;
  lanes: number;
  /** Whether something stands in a lane at a row. */
  taken: readonly (readonly boolean[])[];
}

const rowsOf = ({ nodes }: Mark) => [nodes[0].row, nodes[nodes.length - 1].row] as const;

/**
 * A lane and level for each feature.
 *
 * Supernodes take as few lanes as their rows allow; single features what is left, and more lanes
 * only where a cell has no room.
 *
 * @param pull where the edges of a mark lead: to the left where it is below zero.
 */
export function seatsOf(
  features: readonly Mark[],
  pull: (mark: Mark) => number,
  rows: number,
): Seats {
  const tall = features.filter((mark) => mark.nodes.length > 1);
  const packed: Mark[][] = [];
  for (const mark of tall.sort((x, y) => rowsOf(x)[0] - rowsOf(y)[0] || by(pull)(x, y))) {
    const lane = packed.find((those) => rowsOf(those[those.length - 1])[1] < rowsOf(mark)[0]);
    if (lane) lane.push(mark);
    else packed.push([mark]);
  }
  const mean = (those: readonly Mark[]) =>
    those.reduce((sum, mark) => sum + pull(mark), 0) / those.length;
  packed.sort((x, y) => mean(x) - mean(y));
  const of = new Map<Mark, Seat>();
  const taken: boolean[][] = packed.map(() => new Array(rows).fill(false));
  for (const [lane, those] of packed.entries()) {
    for (const mark of those) {
      const [from, to] = rowsOf(mark);
      taken[lane].fill(true, from, to + 1);
      of.set(mark, { lane, level: 0, levels: 1 });
    }
  }
  const singles = new Map<number, Mark[]>();
  for (const mark of features) {
    if (mark.nodes.length > 1) continue;
    const [row] = rowsOf(mark);
    singles.set(row, [...(singles.get(row) ?? []), mark]);
  }
  for (const [row, those] of singles) {
    const free = () => taken.filter((its) => !its[row]).length;
    while (free() * STACK < those.length) taken.push(new Array(rows).fill(false));
  }
  for (const [row, those] of singles) {
    const free = taken.flatMap((its, lane) => (its[row] ? [] : [lane]));
    // with a free lane in between, which its label may take
    const wanted = Math.max(Math.ceil(those.length / STACK), Math.ceil(free.length / 2));
    const used = Math.min(wanted, those.length);
    const levels = Math.ceil(those.length / used);
    for (const [i, mark] of [...those].sort(by(pull)).entries()) {
      const lane = free[Math.floor((Math.floor(i / levels) * free.length) / used)];
      taken[lane][row] = true;
      of.set(mark, { lane, level: i % levels, levels });
    }
  }
  return { of, lanes: taken.length, taken };
}

const by = (pull: (mark: Mark) => number) => (x: Mark, y: Mark) =>
  pull(x) - pull(y) || (x.key < y.key ? -1 : 1);

/** Lanes that a label may take: its own, and those beside it up to the next that is taken. */
export function reachOf({ lanes, taken }: Seats, lane: number, row: number): number {
  let end = lane + 1;
  while (end < lanes && !taken[end][row]) end++;
  return end;
}

/** Pixels of each lane, without what is between them. */
export function lanesOf(
  seats: Seats,
  label: (mark: Mark) => number,
  { most, gap }: { most: number; gap: number },
): number[] {
  const widths = new Array<number>(seats.lanes).fill(LEAST);
  const need = (mark: Mark) => DOT + Math.min(most, label(mark));
  for (const [mark, { lane }] of seats.of) {
    if (mark.nodes.length > 1) widths[lane] = Math.max(widths[lane], need(mark));
  }
  for (const [mark, { lane }] of seats.of) {
    if (mark.nodes.length > 1) continue;
    const missing = need(mark) - roomOf(seats, widths, gap, lane, mark.nodes[0].row);
    if (missing > 0) widths[lane] += missing;
  }
  return widths;
}

/** Pixels from the start of a lane to the next mark in a row, less the gap before it. */
export function roomOf(
  seats: Seats,
  widths: readonly number[],
  gap: number,
  lane: number,
  row: number,
): number {
  const end = reachOf(seats, lane, row);
  return widths.slice(lane, end).reduce((sum, width) => sum + width + gap, -gap);
}
