/** Matches of a pair of SAEs: columns, order, and what is surprising about them. */

import { DISAGREES } from "./dashboards";
import type { Explorer } from "./explorer";
import type { Run } from "./run";
import type { Data } from "./tables";

/** The columns of a pair's table that its view shows; NaN is null, and -1 no target. */
export interface Matches {
  length: number;
  target: Float64Array;
  matched: readonly (boolean | null)[];
  score: Float64Array;
  /** What the p-value is of: the score, or the mean cosine of the method's views. */
  statistic: Float64Array;
  p: Float64Array;
  cosine: Float64Array;
  rankInRow: Float64Array;
  rankInColumn: Float64Array;
  /** Correlation of activations of a feature and its target; null where the run has none. */
  pearson: Float64Array | null;
  /**
   * How far both fire on the same, 0 to 1: on each other's top contexts where the run has
   * dashboards, else on the same tokens. Null where the run has no contexts of them.
   */
  common: Float64Array | null;
  /** What that is of. */
  commonOf: "contexts" | "tokens";
  /** Whether a feature fires on few tokens, and mostly on one. */
  clear: readonly boolean[];
}

/** Correlation from which two features are said to fire together. */
export const TOGETHER = 0.5;

/**
 * Correlation below which two features do not fire together. In the shipped SAEs 92 % of the targets
 * that are no matches and have no token in common correlate less, and 1 % of the matches that have
 * at least half of their tokens in common; in those of SmolLM2, 3 % of such matches.
 */
export const UNLIKE = 0.2;

const COLUMNS = [
  "target",
  "matched",
  "score",
  "statistic",
  "p_value",
  "decoder_cosine",
  "rank_in_row",
  "rank_in_column",
];

/** The matches of a pair; null where the run does not have it. */
export async function loadMatches(
  data: Data,
  explorer: Explorer,
  a: string,
  b: string,
): Promise<Matches | null> {
  if (!data.run.pair(a, b)) return null;
  const [frame, firing, clear, agreement] = await Promise.all([
    data.pair(a, b, COLUMNS),
    explorer.firingOf(a, b),
    explorer.clearOf(a),
    data.agreement(a, b),
  ]);
  if (!frame) return null;
  return {
    length: frame.length,
    target: frame.numbers("target").map((target) => (Number.isNaN(target) ? -1 : target)),
    matched: frame.flags("matched"),
    score: frame.numbers("score"),
    statistic: frame.numbers(frame.names.includes("statistic") ? "statistic" : "score"),
    p: frame.numbers("p_value"),
    cosine: frame.numbers("decoder_cosine"),
    rankInRow: frame.numbers("rank_in_row"),
    rankInColumn: frame.numbers("rank_in_column"),
    pearson: knownOf(firing.numbers("pearson")),
    common: knownOf(agreement ?? firing.numbers("common")),
    commonOf: agreement ? "contexts" : "tokens",
    clear,
  };
}

function knownOf(values: Float64Array): Float64Array | null {
  return values.some((value) => !Number.isNaN(value)) ? values : null;
}

/**
 * Whether a feature has a match that fires on other contexts, and not together with it.
 *
 * Contexts are others if the two share fewer than `DISAGREES` of them, or if it is tokens that are
 * known, none. Where no correlation is known, contexts are all there is to go by.
 */
export function contrary(matches: Matches, row: number): boolean {
  const { matched, common, commonOf, pearson } = matches;
  if (!common || matched[row] !== true) return false;
  const apart = commonOf === "contexts" ? common[row] < DISAGREES : common[row] === 0;
  return apart && !(pearson && pearson[row] >= UNLIKE);
}

/** Lists of matches. */
export const LISTS = [
  "best",
  "worst",
  "missed",
  "apart",
  "alike",
  "contrary",
  "second",
  "differ",
  "brush",
] as const;
export type List = (typeof LISTS)[number];

/**
 * The features of a list, in its order.
 *
 * - best, worst: accepted matches by score; of the best, those of clear features first;
 * - missed: targets that were not accepted, by p-value, then score;
 * - apart: matches that fire together and point apart, by rank of the correlation less rank of
 *   the cosine among all matches, both as shares;
 * - alike: the reverse;
 * - contrary: matches whose features fire on other contexts and not together, by p-value;
 * - second: matches whose target is not the best for the feature, or the feature not the best
 *   for its target, by the worse of the two ranks.
 */
export function listed(matches: Matches, list: Exclude<List, "differ" | "brush">): number[] {
  const { score, p, rankInRow, rankInColumn } = matches;
  if (list === "missed") {
    return rows(matches, (i) => !matches.matched[i] && matches.target[i] >= 0).sort(
      (i, j) => up(p[i], p[j]) || down(score[i], score[j]) || i - j,
    );
  }
  const accepted = rows(matches, (i) => matches.matched[i] === true);
  if (list === "best") {
    const order = (i: number) => Number(!matches.clear[i]);
    return accepted.sort((i, j) => order(i) - order(j) || down(score[i], score[j]) || i - j);
  }
  if (list === "worst") return accepted.sort((i, j) => up(score[i], score[j]) || i - j);
  if (list === "contrary") {
    return accepted
      .filter((i) => contrary(matches, i))
      .sort((i, j) => up(p[i], p[j]) || down(score[i], score[j]) || i - j);
  }
  if (list === "second") {
    const worse = (i: number) => Math.max(rankInRow[i], rankInColumn[i]);
    return accepted
      .filter((i) => worse(i) > 1)
      .sort((i, j) => down(worse(i), worse(j)) || down(score[i], score[j]) || i - j);
  }
  const surprise = surprises(matches, accepted);
  const known = accepted.filter((i) => !Number.isNaN(surprise[i]));
  const sign = list === "apart" ? 1 : -1;
  return known
    .filter((i) => sign * surprise[i] > 0)
    .sort((i, j) => sign * (surprise[j] - surprise[i]) || i - j);
}

/**
 * For each match, the share of matches that fire less together less the share that point less
 * alike, from -1 to 1; NaN where the correlation is not known.
 */
export function surprises(matches: Matches, accepted: readonly number[]): Float64Array {
  const surprise = new Float64Array(matches.length).fill(NaN);
  const { pearson, cosine } = matches;
  if (!pearson) return surprise;
  const known = accepted.filter((i) => !Number.isNaN(pearson[i]) && !Number.isNaN(cosine[i]));
  const together = shares(known, pearson);
  const alike = shares(known, cosine);
  for (const [k, i] of known.entries()) surprise[i] = together[k] - alike[k];
  return surprise;
}

/** Mid-ranks of the values of some rows, as shares from 0 to 1. */
function shares(of: readonly number[], values: Float64Array): Float64Array {
  const order = of.map((_, k) => k).sort((x, y) => values[of[x]] - values[of[y]]);
  const result = new Float64Array(of.length);
  for (let first = 0; first < order.length; ) {
    let end = first + 1;
    while (end < order.length && values[of[order[end]]] === values[of[order[first]]]) end++;
    const rank = (first + end - 1) / 2 / Math.max(1, of.length - 1);
    for (let k = first; k < end; k++) result[order[k]] = rank;
    first = end;
  }
  return result;
}

/** A range of both axes of the scatter. */
export interface Brush {
  x: readonly [number, number];
  y: readonly [number, number];
}

/** Rows within a brush, best scores first. */
export function brushed(
  matches: Matches,
  x: Float64Array,
  y: Float64Array,
  brush: Brush,
): number[] {
  return rows(
    matches,
    (i) => x[i] >= brush.x[0] && x[i] <= brush.x[1] && y[i] >= brush.y[0] && y[i] <= brush.y[1],
  ).sort((i, j) => down(matches.score[i], matches.score[j]) || i - j);
}

/** A brush as the URL has it, and back; null if it says none. */
export function writeBrush({ x, y }: Brush): string {
  return [...x, ...y].map((value) => String(Number(value.toPrecision(4)))).join("_");
}

export function readBrush(text: string | undefined): Brush | null {
  const parts = (text ?? "").split("_").map(Number);
  if (!text || parts.length !== 4 || parts.some(Number.isNaN)) return null;
  const [x0, x1, y0, y1] = parts;
  return { x: [Math.min(x0, x1), Math.max(x0, x1)], y: [Math.min(y0, y1), Math.max(y0, y1)] };
}

/** Names of the SAEs on the way from A to B along the chain, with both; null off the chain. */
export function wayOf(run: Run, a: string, b: string): string[] | null {
  const [from, to] = [run.chain.indexOf(a), run.chain.indexOf(b)];
  return from >= 0 && to - from >= 2 ? run.chain.slice(from, to + 1) : null;
}

/** Targets of A's features by accepted matches of neighbours, one after the other; -1: none. */
export async function composedTargets(
  data: Data,
  way: readonly string[],
): Promise<Float64Array | null> {
  const steps = await Promise.all(
    way.slice(1).map((b, i) => data.pair(way[i], b, ["target", "matched"])),
  );
  return composed(
    steps.map((step) => step && { target: step.numbers("target"), matched: step.flags("matched") }),
  );
}

export function composed(
  steps: readonly ({
    target: Float64Array;
    matched: readonly (boolean | null)[];
  } | null)[],
): Float64Array | null {
  const [first] = steps;
  if (!first) return null;
  let at = Float64Array.from(first.target, (_, i) => i);
  for (const step of steps) {
    if (!step) return null;
    at = at.map((i) => (i >= 0 && step.matched[i] ? step.target[i] : -1));
  }
  return at;
}

/** Matches that the way over the layers between leads elsewhere, best scores first. */
export function differing(matches: Matches, over: Float64Array): number[] {
  return rows(
    matches,
    (i) => matches.matched[i] === true && over[i] >= 0 && over[i] !== matches.target[i],
  ).sort((i, j) => down(matches.score[i], matches.score[j]) || i - j);
}

/** Rows in the order of a column that a heading names. */
export function sorted(order: readonly number[], by: Float64Array, descending: boolean): number[] {
  const compare = descending ? down : up;
  return [...order].sort((i, j) => compare(by[i], by[j]) || i - j);
}

function rows(matches: Matches, test: (row: number) => boolean): number[] {
  const found: number[] = [];
  for (let i = 0; i < matches.length; i++) if (test(i)) found.push(i);
  return found;
}

/** Ascending and descending; what is not known comes last in both. */
function up(x: number, y: number): number {
  if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
  return x - y;
}

function down(x: number, y: number): number {
  if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
  return y - x;
}
