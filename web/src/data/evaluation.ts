/** The figures of an evaluation: docs/reference/evaluation.md. */

import type { Frame } from "./parquet";
import type { Data } from "./tables";

export interface Value {
  a: string;
  b: string;
  skipped: number;
  texts: string;
  estimate: string;
  links: string | null;
  q: number;
  carry: string | null;
  metric: string;
  value: number;
  low: number;
  high: number;
  examples: number;
  tokens: number;
}

/** All figures; null where the run has none. */
export async function loadEvaluation(data: Data): Promise<Value[] | null> {
  const place = data.run.manifest.evaluation?.tables.values;
  return place ? valuesOf(await data.reader.read(place)) : null;
}

export function valuesOf(frame: Frame): Value[] {
  const [a, b, texts] = [frame.texts("a"), frame.texts("b"), frame.texts("texts")];
  const [estimate, metric] = [frame.texts("estimate"), frame.texts("metric")];
  const [links, carry] = [frame.texts("links"), frame.texts("carry")];
  const number = ["skipped", "q", "value", "low", "high", "examples", "tokens"].map((name) =>
    frame.numbers(name),
  );
  return Array.from({ length: frame.length }, (_, i) => ({
    a: a[i] ?? "",
    b: b[i] ?? "",
    texts: texts[i] ?? "",
    estimate: estimate[i] ?? "",
    metric: metric[i] ?? "",
    links: links[i],
    carry: carry[i] === "none" && links[i] === null ? null : carry[i],
    skipped: number[0][i],
    q: number[1][i],
    value: number[2][i],
    low: number[3][i],
    high: number[4][i],
    examples: number[5][i],
    tokens: number[6][i],
  }));
}

/** What activations are rescaled by in most rows: the others say so in their names. */
export function usualCarry(values: readonly Value[]): string | null {
  const counts = new Map<string, number>();
  for (const { carry } of values) if (carry) counts.set(carry, (counts.get(carry) ?? 0) + 1);
  return [...counts].sort((x, y) => y[1] - x[1])[0]?.[0] ?? null;
}

/** An estimate as its row is labelled; the partial ones of a share q have one name. */
export function nameOf(value: Value, usual: string | null): string {
  const parts = [value.estimate];
  if (!Number.isNaN(value.q)) parts.push("share q");
  else if (value.links === "matched") parts.push("significant");
  if (value.carry && value.carry !== usual) {
    parts.push(value.carry === "none" ? "not rescaled" : `by ${value.carry}`);
  }
  return parts.join(", ");
}

const ORDER = [
  "drop",
  "mean",
  "least squares",
  "encode-decode target",
  "encode-decode source",
  "match",
  "match + error",
  "partial",
  "partial + error",
  "composed",
  "identity",
];
/** Estimates that a matching makes. */
const OURS = ["match", "partial", "composed"];

export const isOurs = (estimate: string) => OURS.some((name) => estimate.startsWith(name));

/** Names of the estimates of some values, baselines first. */
export function estimatesOf(values: readonly Value[], usual: string | null): string[] {
  const found = new Map<string, number>();
  for (const value of values) {
    if (!Number.isNaN(value.q)) continue;
    const place = ORDER.indexOf(value.estimate);
    found.set(nameOf(value, usual), place < 0 ? ORDER.length : place);
  }
  return [...found].sort((x, y) => x[1] - y[1] || (x[0] < y[0] ? -1 : 1)).map(([name]) => name);
}

/** For each distance, the median over pairs of an estimate. */
export function medians(values: readonly Value[]): { skipped: number; value: number }[] {
  const by = new Map<number, number[]>();
  for (const { skipped, value } of values) {
    if (Number.isNaN(value)) continue;
    by.set(skipped, [...(by.get(skipped) ?? []), value]);
  }
  return [...by]
    .sort((x, y) => x[0] - y[0])
    .map(([skipped, all]) => {
      const order = all.sort((x, y) => x - y);
      const half = order.length / 2;
      const low = order[Math.ceil(half) - 1];
      return { skipped, value: (low + order[Math.floor(half)]) / 2 };
    });
}

/** Heights moved apart so that labels at them do not overlap, in the order given. */
export function apart(heights: readonly number[], least: number): number[] {
  const order = heights.map((_, i) => i).sort((i, j) => heights[i] - heights[j]);
  const result = [...heights];
  for (let sweep = 0; sweep < 20; sweep++) {
    for (let k = 1; k < order.length; k++) {
      const [above, below] = [order[k - 1], order[k]];
      const missing = least - (result[below] - result[above]);
      if (missing > 0) {
        result[above] -= missing / 2;
        result[below] += missing / 2;
      }
    }
  }
  return result;
}
