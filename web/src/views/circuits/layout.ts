/**
 * Where marks of a circuit stand: tokens from left to right, rows of SAEs from below to above.
 *
 * A column has lanes. A supernode takes a lane over all rows between its first and its last; single
 * features take what is left, up to three above each other in a cell, so that no two marks and no
 * two labels lie on one another.
 */

import type { Edge, Mark } from "../../data/circuits";
import { DOT, lanesOf, roomOf, type Seat, type Seats, seatsOf } from "./seats";

const LINE = 22; // pixels of a feature in a cell
const ERRORS = 20; // the strip of a column for its errors
const PAD = 12;
const BARE = 56; // the name of a token that has nothing above it
const LOGIT = 150; // the label of a logit
const [TOKENS, NEXT] = [34, 58]; // the rows of tokens and of logits
const [LEAST_ROW, MOST_ROW] = [46, 72];
/** Pixels of a label at most, and between lanes: the widest with which the picture fits. */
const TIGHTNESS = [
  { most: 140, gap: 22 },
  { most: 126, gap: 16 },
  { most: 110, gap: 13 },
  { most: 96, gap: 10 },
  { most: 80, gap: 8 },
  { most: 72, gap: 6 },
];
const USUAL = 3; // where it fits with none

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
  /** Pixels of a label in one line, or of a supernode's in as many as it has room for. */
  label: (mark: Mark) => number;
  token: (position: number) => number;
  tokens: number;
  /** Of sites; tokens and logits come to it. */
  sites: number;
  /** Pixels to fill, if there is room. */
  width: number;
  height: number;
}

interface Held {
  marks: readonly Mark[];
  seats: Seats;
  errors: number;
}

export function layoutOf(marks: readonly Mark[], edges: readonly Edge[], sizes: Sizes): Layout {
  const pull = pulls(marks, edges);
  const held = Array.from({ length: sizes.tokens }, (_, position): Held => {
    const its = marks.filter((mark) => mark.position === position);
    const features = its.filter(({ kind }) => kind === "feature");
    const errors = its.some(({ kind }) => kind === "error") ? ERRORS : 0;
    return { marks: its, seats: seatsOf(features, pull, sizes.sites + 2), errors };
  });
  const { rows, height } = rowsOf(held, sizes);
  const { lanes, widths, gap } = widthsOf(held, sizes);
  const spare = sizes.width - widths.reduce((sum, width) => sum + width, 0);
  const busy = held.filter(({ seats }) => seats.lanes > 0).length;
  const columns: Column[] = [];
  const cells = new Map<string, Cell>();
  let left = 0;
  for (const [position, one] of held.entries()) {
    // what is left over goes to columns that have something, but not without end
    const extra = one.seats.lanes && spare > 0 ? Math.min(140, spare / busy) : 0;
    const column = { left, width: widths[position] + extra };
    place(one, lanes[position], gap, column, rows, cells);
    columns.push(column);
    left += column.width;
  }
  const width = Math.max(left, 1, placeLogits(marks, sizes, left, rows, cells));
  return { cells, columns, rows, height, width };
}

/** Middles of the rows, and the height of all. */
function rowsOf(held: readonly Held[], sizes: Sizes): { rows: number[]; height: number } {
  const levels = new Array<number>(sizes.sites + 2).fill(1);
  for (const { seats } of held) {
    for (const [mark, seat] of seats.of) {
      levels[mark.nodes[0].row] = Math.max(levels[mark.nodes[0].row], seat.levels);
    }
  }
  const tall = Math.min(MOST_ROW, (sizes.height - TOKENS - NEXT) / Math.max(1, sizes.sites));
  const heights = levels.map((count, row) => {
    if (row === 0) return TOKENS;
    return row === levels.length - 1 ? NEXT : Math.max(LEAST_ROW, tall, count * LINE + 20);
  });
  const height = heights.reduce((sum, one) => sum + one, 0);
  let floor = height;
  const rows = heights.map((one) => {
    floor -= one;
    return floor + one / 2;
  });
  return { rows, height };
}

/** Widths of lanes and columns, with as much between them as the page has room for. */
function widthsOf(
  held: readonly Held[],
  sizes: Sizes,
): { lanes: number[][]; widths: number[]; gap: number } {
  const tried = TIGHTNESS.map((tightness) => {
    const lanes = held.map(({ seats }) => lanesOf(seats, sizes.label, tightness));
    const widths = held.map(({ marks, errors }, position) => {
      // of a token that is no node, as BOS, there is only its name
      if (!marks.length) return Math.min(BARE, sizes.token(position)) + PAD;
      const own = lanes[position].reduce((sum, lane) => sum + lane + tightness.gap, 2 * PAD);
      return Math.max(
        sizes.token(position) + 30,
        lanes[position].length || errors ? errors + own - tightness.gap : 0,
      );
    });
    return { lanes, widths, gap: tightness.gap };
  });
  const fits = tried.find(
    ({ widths }) => widths.reduce((sum, width) => sum + width, 0) <= sizes.width,
  );
  return fits ?? tried[USUAL];
}

/** Puts the marks of a column but logits into their cells. */
function place(
  { marks, seats, errors }: Held,
  lanes: readonly number[],
  gap: number,
  { left, width }: Column,
  rows: readonly number[],
  cells: Map<string, Cell>,
) {
  const taken = lanes.reduce((sum, lane) => sum + lane + gap, errors + PAD - gap);
  const spare = Math.max(0, width - taken - PAD);
  const begin = left + errors + PAD + spare / 2;
  for (const mark of marks) {
    const { row } = mark.nodes[0];
    const top = rows[mark.nodes[mark.nodes.length - 1].row];
    if (mark.kind === "token") {
      cells.set(mark.key, { ...at(left + width / 2, rows[0]), room: width - 8 });
    } else if (mark.kind === "error") {
      const x = left + ERRORS / 2 + 2;
      cells.set(mark.key, { x, bottom: rows[row], top, room: 0 });
    } else if (mark.kind === "feature") {
      const { lane, level, levels } = seats.of.get(mark) as Seat;
      const x = lanes.slice(0, lane).reduce((sum, one) => sum + one + gap, begin) + DOT / 2;
      if (mark.nodes.length > 1) {
        cells.set(mark.key, { x, bottom: rows[row], top, room: lanes[lane] - DOT + gap - 8 });
      } else {
        const y = rows[row] - (level - (levels - 1) / 2) * LINE;
        const room = roomOf(seats, lanes, gap, lane, row) - DOT + gap - 8;
        cells.set(mark.key, { ...at(x, y), room });
      }
    }
  }
}

/** Puts logits in one line that ends where the prompt does, the likeliest first; its width. */
function placeLogits(
  marks: readonly Mark[],
  sizes: Sizes,
  end: number,
  rows: readonly number[],
  cells: Map<string, Cell>,
): number {
  const logits = marks
    .filter(({ kind }) => kind === "logit")
    .sort((x, y) => y.nodes[0].probability - x.nodes[0].probability);
  const rooms = logits.map((mark) => Math.min(LOGIT, sizes.label(mark)));
  const line = rooms.reduce((sum, room) => sum + room + 2 * PAD, 0);
  let x = Math.max(0, end - line);
  for (const [i, mark] of logits.entries()) {
    cells.set(mark.key, { ...at(x + PAD, rows[rows.length - 1]), room: rooms[i] });
    x += rooms[i] + 2 * PAD;
  }
  return line;
}

const at = (x: number, y: number) => ({ x, bottom: y, top: y });

/** Where the edges of each mark pull it: the mean position of the other ends, by weight. */
function pulls(marks: readonly Mark[], edges: readonly Edge[]): (mark: Mark) => number {
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
  return (mark) => {
    const { sum, weight } = sums.get(mark) ?? { sum: 0, weight: 0 };
    return weight > 0 ? sum / weight : 0;
  };
}
