/**
 * Where strands of a sentence stand: tokens from left to right, SAEs from below to above.
 *
 * Above each token stand the strands that say most, side by side like flames, and their names beside
 * them, between the lines of the SAEs. Further tracks are thin threads between them; features that
 * fire at one SAE alone are dots on its line.
 */

import { type Fire, reach, type Sentence, type Strand } from "../../data/sentence";
import { shortName } from "./names";

export const PITCH = 13; // pixels from strand to strand
const PAD = 5;
const GAP = 7; // between strands and their names
const DOT = 8; // from dot to dot
const [LEAST, MOST] = [3, 6]; // strands of a token that are drawn as such
const [NARROW, EASY, WIDE] = [46, 68, 128]; // pixels of the names
const [LEAST_ROW, MOST_ROW] = [30, 64];
const TOP = 18;
const WORDS = 62; // below the lines: the words
const BOS = 34;

export interface Placed {
  strand: Strand;
  x: number;
  /** The name, where there is room for it. */
  name: { x: number; y: number; room: number } | null;
}

export interface Thread {
  strand: Strand;
  x: number;
}

export interface Dot {
  fire: Fire;
  strand: Strand;
  x: number;
}

export interface Column {
  token: number;
  left: number;
  width: number;
  strands: Placed[];
  threads: Thread[];
  dots: Dot[];
}

export interface Layout {
  columns: Column[];
  /** The line of each SAE. */
  rows: number[];
  row: number;
  width: number;
  height: number;
  /** Where the words stand. */
  words: number;
}

export interface Sizes {
  word: (token: number) => number;
  /** Pixels to fill, if there is room. */
  width: number;
  height: number;
  line: number;
  /** A track that is drawn wherever it fires. */
  chosen: number | null;
}

export function layoutOf(sentence: Sentence, sizes: Sizes): Layout {
  const { tokens, sites } = sentence;
  const row = Math.round(
    Math.min(MOST_ROW, Math.max(LEAST_ROW, (sizes.height - TOP - WORDS) / sites.length)),
  );
  const bottom = TOP + row * sites.length - row / 2;
  const rows = sites.map((_, i) => bottom - i * row);
  const counted = tokens.length - 1;
  const room = (sizes.width - BOS) / Math.max(1, counted);
  const many = clamp(Math.floor((room - 2 * PAD - GAP - NARROW) / PITCH), LEAST, MOST);
  const tight = LEAST * PITCH + GAP + NARROW + 2 * PAD;
  // where it is scrolled anyway, names have room
  const names = room < tight ? EASY : NARROW;
  const least = many * PITCH + GAP + names + 2 * PAD;
  const columns: Column[] = [];
  let left = 0;
  for (let token = 0; token < tokens.length; token++) {
    const own = sizes.word(token) + PAD + 10;
    const most = many * PITCH + GAP + WIDE + 2 * PAD;
    const width = token ? Math.max(own, Math.min(most, Math.max(least, room))) : Math.min(own, 92);
    columns.push(
      columnOf(sentence, token, left, token ? width : Math.max(BOS, width), many, sizes.chosen),
    );
    left += columns[token].width;
  }
  // what words and BOS took more than their share of
  const over = left - sizes.width;
  if (over > 0) {
    const loose = columns.slice(1).map(({ token, width }) => {
      return Math.max(0, width - Math.max(least, sizes.word(token) + PAD + 10));
    });
    const all = loose.reduce((sum, one) => sum + one, 0);
    const share = all > 0 ? Math.min(1, over / all) : 0;
    left = columns[0].width;
    for (const [i, column] of columns.slice(1).entries()) {
      const width = column.width - share * loose[i];
      columns[i + 1] = columnOf(sentence, column.token, left, width, many, sizes.chosen);
      left += width;
    }
  }
  for (const column of columns) nameThem(column, rows, row, many, sizes);
  return {
    columns,
    rows,
    row,
    width: left,
    height: bottom + row / 2 + WORDS,
    words: bottom + row / 2 + 22,
  };
}

function columnOf(
  sentence: Sentence,
  token: number,
  left: number,
  width: number,
  many: number,
  chosen: number | null,
): Column {
  const all = sentence.strands[token];
  const tall = all.filter((strand) => strand.track !== null && strand.nodes.length > 1);
  const wanted = tall.filter(({ track }, i) => i < many || track === chosen);
  // one that is looked for takes the place of the last
  const kept = wanted.length > many ? [...wanted.slice(0, many - 1), wanted[many]] : wanted;
  const byBirth = (x: Strand, y: Strand) =>
    x.nodes[0].row - y.nodes[0].row || reach(sentence, y) - reach(sentence, x);
  const begin = left + PAD + PITCH / 2;
  const strands = [...kept]
    .sort(byBirth)
    .map((strand, i) => ({ strand, x: begin + i * PITCH, name: null }));
  const threads = tall
    .filter((strand) => !kept.includes(strand))
    .slice(0, kept.length === many ? many : 0)
    .sort(byBirth)
    .map((strand, i) => ({ strand, x: begin + (i + 0.5) * PITCH }));
  const from = left + PAD + many * PITCH + GAP;
  const room = Math.max(1, Math.floor((left + width - PAD - from) / DOT));
  const dots: Dot[] = [];
  const taken = new Map<number, number>();
  for (const strand of all.filter(({ nodes }) => nodes.length === 1)) {
    const [fire] = strand.nodes;
    const place = taken.get(fire.row) ?? 0;
    if (place >= room) continue;
    taken.set(fire.row, place + 1);
    dots.push({ fire, strand, x: from + 3 + place * DOT });
  }
  return { token, left, width, strands, threads, dots };
}

/** Puts names between the lines, each as near as there is room to where its strand is widest. */
function nameThem(
  { left, width, strands }: Column,
  rows: readonly number[],
  row: number,
  many: number,
  sizes: Sizes,
) {
  const each = Math.max(1, Math.min(3, Math.floor((row - 8) / sizes.line)));
  const slots = rows.flatMap((y) =>
    Array.from({ length: each }, (_, k) => y - row / 2 + (k - (each - 1) / 2) * sizes.line),
  );
  const free = new Set(slots);
  const x = left + PAD + many * PITCH + GAP;
  const room = left + width - 4 - x;
  const said = new Set<string>();
  const rank = ({ strand }: Placed) =>
    sizes.chosen !== null && strand.track === sizes.chosen ? Number.MAX_VALUE : strand.score;
  for (const placed of [...strands].sort((a, b) => rank(b) - rank(a))) {
    const { nodes, strongest } = placed.strand;
    // tracks that mean the same are told apart by pointing at them
    const name = shortName(placed.strand);
    if (said.has(name)) continue;
    said.add(name);
    const [low, high] = [rows[nodes[0].row], rows[nodes[nodes.length - 1].row]];
    const peak = rows[strongest.row] - row / 2;
    const near = [...free]
      .filter((y) => y <= low + row * 0.3 && y >= high - row * 0.75)
      .sort((a, b) => Math.abs(a - peak) - Math.abs(b - peak))[0];
    if (near === undefined) continue;
    free.delete(near);
    placed.name = { x, y: near, room };
  }
}

const clamp = (value: number, low: number, high: number) => Math.max(low, Math.min(high, value));
