/**
 * Where marks of a circuit stand: tokens from left to right, rows of SAEs from below to above.
 *
 * A column has lanes. A supernode takes a lane over all rows between its first and its last; single
 * features take what is left, up to three above each other in a cell, so that no two marks and no
 * two labels lie on one another.
 */

import type { Edge, Mark } from "../../data/circuits";

export const DOT = 16; // pixels of a lane that its marks take, left of their labels
export const LINE = 22; // of a feature in a cell
const STACK = 3; // features above each other in a cell
const GAP = 18; // between the lanes of a column
const ERRORS = 20; // the strip of a column for its errors
const PAD = 12;
const LEAST_ROW = 46;

export interface Cell {
  x: number;
  /** Of a supernode those of its first and last row: where y grows downwards. */
  bottom: number;
  top: number;
  /** Pixels that its label may take. */
  room: number;
}

export interface Column {
  left: number;
  width: number;
}

export interface Layout {
  cells: ReadonlyMap<string, Cell>;
  columns: Column[];
  /** Middle of each row, from that of the tokens on. */
  rows: number[];
  height: number;
  width: number;
}

export interface Sizes {
  /** Pixels of a label in one line. */
  label: (mark: Mark) => number;
  token: (position: number) => number;
  tokens: number;
  /** Of sites; tokens and logits come to it. */
  sites: number;
  /** Pixels to fill, if there is room. */
  width: number;
}

const MOST = 150; // pixels of a label

interface Seat {
  lane: number;
  /** Place in its cell from below. */
  level: number;
}

export function layoutOf(marks: readonly Mark[], edges: readonly Edge[], sizes: Sizes): Layout {
  const pull = pulls(marks, edges);
  const last = sizes.sites + 1;
  const levels = new Array<number>(last + 1).fill(1);
  const seated = Array.from({ length: sizes.tokens }, (_, position) => {
    const its = marks.filter((mark) => mark.position === position);
    const seats = seatsOf(its, pull, last);
    for (const mark of its) {
      const seat = seats.get(mark);
      if (seat) levels[mark.nodes[0].row] = Math.max(levels[mark.nodes[0].row], seat.level + 1);
    }
    return { its, seats };
  });
  const heights = levels.map((count, row) =>
    row === 0 ? 34 : row === last ? 58 : Math.max(LEAST_ROW, count * LINE + 20),
  );
  const height = heights.reduce((sum, one) => sum + one, 0);
  const rows: number[] = [];
  let floor = height;
  for (const one of heights) {
    rows.push(floor - one / 2);
    floor -= one;
  }
  const columns: Column[] = [];
  const cells = new Map<string, Cell>();
  const natural = seated.map(({ its, seats }, position) => widthsOf(its, seats, sizes, position));
  const spare = sizes.width - natural.reduce((sum, { width }) => sum + width, 0);
  const busy = natural.filter(({ lanes }) => lanes.length).length;
  let left = 0;
  for (const [position, { its, seats }] of seated.entries()) {
    const { lanes, errors, width } = natural[position];
    // what is left over goes between columns that have something, but not without end
    const extra = lanes.length && spare > 0 ? Math.min(140, spare / busy) : 0;
    const full = width + extra;
    columns.push({ left, width: full });
    const taken = lanes.reduce((sum, lane) => sum + lane + GAP, errors + PAD - GAP);
    const begin = left + errors + Math.max(PAD, (full - taken) / 2);
    for (const mark of its) {
      const { row } = mark.nodes[0];
      const to = mark.nodes[mark.nodes.length - 1].row;
      if (mark.kind === "token") {
        cells.set(mark.key, { ...at(left + full / 2, rows[0]), room: full - 8 });
      } else if (mark.kind === "error") {
        cells.set(mark.key, { ...at(left + ERRORS / 2 + 2, rows[row]), room: 0 });
      } else {
        const { lane, level } = seats.get(mark) as Seat;
        const x = lanes.slice(0, lane).reduce((sum, one) => sum + one + GAP, begin) + DOT / 2;
        const shift = (level - (levelsOf(its, seats, row) - 1) / 2) * LINE;
        const single = mark.nodes.length === 1;
        cells.set(mark.key, {
          x,
          bottom: rows[row] - (single && mark.kind === "feature" ? shift : 0),
          top: rows[to] - (single && mark.kind === "feature" ? shift : 0),
          room: lanes[lane] - DOT + GAP - 8 + (lane === lanes.length - 1 ? extra / 2 : 0),
        });
      }
    }
    left += full;
  }
  return { cells, columns, rows, height, width: Math.max(left, 1) };
}

const at = (x: number, y: number) => ({ x, bottom: y, top: y });

/** Levels that a column takes in a row. */
function levelsOf(its: readonly Mark[], seats: ReadonlyMap<Mark, Seat>, row: number): number {
  let most = 1;
  for (const mark of its) {
    const seat = mark.nodes.length === 1 && mark.nodes[0].row === row ? seats.get(mark) : undefined;
    if (seat) most = Math.max(most, seat.level + 1);
  }
  return most;
}

/** Lanes and levels of the features and logits of a column. */
function seatsOf(
  its: readonly Mark[],
  pull: ReadonlyMap<Mark, number>,
  last: number,
): Map<Mark, Seat> {
  const seats = new Map<Mark, Seat>();
  const order = (x: Mark, y: Mark) =>
    (pull.get(x) ?? 0) - (pull.get(y) ?? 0) || (x.key < y.key ? -1 : 1);
  const taken: boolean[][] = []; // by lane and row
  for (const mark of its.filter((one) => one.nodes.length > 1).sort(order)) {
    const [from, to] = [mark.nodes[0].row, mark.nodes[mark.nodes.length - 1].row];
    let lane = taken.findIndex((rows) => !rows.slice(from, to + 1).some(Boolean));
    if (lane < 0) lane = taken.push(new Array(last + 1).fill(false)) - 1;
    taken[lane].fill(true, from, to + 1);
    seats.set(mark, { lane, level: 0 });
  }
  const singles = new Map<number, Mark[]>();
  for (const mark of its) {
    if (mark.nodes.length > 1 || (mark.kind !== "feature" && mark.kind !== "logit")) continue;
    const { row } = mark.nodes[0];
    singles.set(row, [...(singles.get(row) ?? []), mark]);
  }
  // so many lanes that every cell has room
  const stack = (row: number) => (row === last ? 1 : STACK);
  for (const [row, those] of singles) {
    const free = () => taken.filter((rows) => !rows[row]).length;
    while (free() * stack(row) < those.length) taken.push(new Array(last + 1).fill(false));
  }
  for (const [row, those] of singles) {
    const free = taken.flatMap((rows, lane) => (rows[row] ? [] : [lane]));
    const each = Math.ceil(those.length / free.length);
    const sorted = row === last ? byChance(those) : [...those].sort(order);
    for (const [i, mark] of sorted.entries()) {
      seats.set(mark, { lane: free[Math.floor(i / each)], level: i % each });
    }
  }
  return seats;
}

const byChance = (logits: readonly Mark[]) =>
  [...logits].sort((x, y) => y.nodes[0].probability - x.nodes[0].probability);

function widthsOf(
  its: readonly Mark[],
  seats: ReadonlyMap<Mark, Seat>,
  sizes: Sizes,
  position: number,
): { lanes: number[]; errors: number; width: number } {
  const lanes: number[] = [];
  for (const [mark, { lane }] of seats) {
    const label = Math.min(MOST, sizes.label(mark));
    lanes[lane] = Math.max(lanes[lane] ?? 44, DOT + label);
  }
  for (let lane = 0; lane < lanes.length; lane++) lanes[lane] ??= 44;
  const errors = its.some((mark) => mark.kind === "error") ? ERRORS : 0;
  const marks = lanes.reduce((sum, lane) => sum + lane + GAP, 0) - (lanes.length ? GAP : 0);
  const width = Math.max(sizes.token(position) + 16, errors + marks + (lanes.length ? 2 * PAD : 0));
  return { lanes, errors, width };
}

/** Where the edges of each mark pull it: the mean position of the other ends, by weight. */
function pulls(marks: readonly Mark[], edges: readonly Edge[]): Map<Mark, number> {
  const sums = new Map(marks.map((mark) => [mark, { sum: 0, weight: 0 }]));
  const add = (mark: Mark, other: Mark, weight: number) => {
    const its = sums.get(mark);
    if (!its) return;
    its.sum += weight * (other.position - mark.position);
    its.weight += weight;
  };
  for (const { source, target, weight } of edges) {
    add(target, source, weight);
    add(source, target, weight);
  }
  return new Map([...sums].map(([mark, { sum, weight }]) => [mark, weight > 0 ? sum / weight : 0]));
}
