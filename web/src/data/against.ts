/** Two runs side by side: docs/reference/explorer.md, `against`. */

import type { Explorer } from "./explorer";
import type { Frame } from "./frame";

/** Where a feature's match is the same, another, of one run alone, or in neither. */
export const PARTS = ["same", "different", "first", "second", "neither"] as const;
export type Part = (typeof PARTS)[number];

/** How often two runs agree on a pair of SAEs. */
export interface Step {
  a: string;
  b: string;
  /** Features of A that take part in either run. */
  features: number;
  parts: Readonly<Record<Part, number>>;
  /** Of the first run and the second: features of A that take part, and those matched. */
  used: readonly [number, number];
  matched: readonly [number, number];
}

/** The pairs that both runs have; null where there is but one run. */
export async function loadSteps(explorer: Explorer): Promise<Step[] | null> {
  const frame = await explorer.whole("against_steps");
  return frame && stepsOf(frame);
}

function stepsOf(frame: Frame): Step[] {
  const number = (name: string) => frame.numbers(name);
  const [b, features] = [frame.texts("b"), number("features")];
  const parts = PARTS.map((part) => [part, number(part)] as const);
  const [used, matched] = ["used", "matched"].map((name) => [
    number(`${name}_1`),
    number(`${name}_2`),
  ]);
  return frame.texts("a").map((a, i) => ({
    a: a ?? "",
    b: b[i] ?? "",
    features: features[i],
    parts: Object.fromEntries(parts.map(([part, counts]) => [part, counts[i]])) as Step["parts"],
    used: [used[0][i], used[1][i]],
    matched: [matched[0][i], matched[1][i]],
  }));
}

/** The share of A's features that a run matches. */
export function shareOf(step: Step, run: 0 | 1): number {
  return step.used[run] ? step.matched[run] / step.used[run] : NaN;
}

/** The step on which the two runs say the most different shares. */
export function farthest(steps: readonly Step[]): Step | undefined {
  const apart = (step: Step) => Math.abs(shareOf(step, 0) - shareOf(step, 1)) || 0;
  return steps.reduce<Step | undefined>(
    (best, step) => (best && apart(best) >= apart(step) ? best : step),
    undefined,
  );
}

/** What both runs say of the features of an SAE; NaN is null, and no target -1. */
export interface Sides {
  part: readonly (string | null)[];
  target: readonly [Float64Array, Float64Array];
  matched: readonly [readonly (boolean | null)[], readonly (boolean | null)[]];
  p: readonly [Float64Array, Float64Array];
  cosine: readonly [Float64Array, Float64Array];
}

/** Of one feature, or of all. */
export async function loadSides(
  explorer: Explorer,
  a: string,
  b: string,
  feature?: number,
): Promise<Sides> {
  const range = feature === undefined ? undefined : ([feature, feature + 1] as const);
  const place = `explorer/against/${a}--${b}.parquet`;
  const frame = await explorer.reader.read(place, undefined, {}, range);
  const both = (name: string) =>
    [frame.numbers(`${name}_1`), frame.numbers(`${name}_2`)] as [Float64Array, Float64Array];
  const [one, two] = both("target");
  const known = (target: Float64Array) => target.map((its) => (Number.isNaN(its) ? -1 : its));
  return {
    part: frame.texts("part"),
    target: [known(one), known(two)],
    matched: [frame.flags("matched_1"), frame.flags("matched_2")],
    p: both("p"),
    cosine: both("cosine"),
  };
}

/** Features of a part, the most certain first: by the p-values that it rests on, then cosines. */
export function certain(sides: Sides, part: Part): number[] {
  const { p, cosine } = sides;
  const runs: readonly (0 | 1)[] = part === "first" ? [0] : part === "second" ? [1] : [0, 1];
  const value = (of: readonly [Float64Array, Float64Array], i: number, none: number) =>
    runs.map((run) => (Number.isNaN(of[run][i]) ? none : of[run][i]));
  // both must be sure of what both say; one suffices where neither accepts
  const least = part === "neither" ? Math.min : Math.max;
  const doubt = sides.part.map((_, i) => least(...value(p, i, 1)));
  const close = sides.part.map((_, i) => Math.max(...value(cosine, i, -1)));
  return sides.part
    .flatMap((its, i) => (its === part ? [i] : []))
    .sort((x, y) => doubt[x] - doubt[y] || close[y] - close[x] || x - y);
}
