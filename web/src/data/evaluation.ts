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

function valuesOf(frame: Frame): Value[] {
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
    .map(([skipped, all]) => ({ skipped, value: spreadOf(all).median }));
}

/** A name of `nameOf` in plain words. */
export function plainly(name: string): string {
  const [estimate, ...more] = name.split(", ");
  const rest = more.filter((one) => one !== "significant");
  const significant = rest.length < more.length ? SIGNIFICANT[estimate] : undefined;
  const plain = significant ?? PLAIN[estimate];
  return plain ? [plain, ...rest].join(", ") : name;
}

const PLAIN: Record<string, string> = {
  drop: "Layers dropped",
  mean: "Mean hidden state",
  "least squares": "Fitted linear map",
  "encode-decode target": "Later SAE alone",
  "encode-decode source": "Earlier SAE alone",
  match: "All matches",
  "match + error": "All matches + error",
  partial: "Best matches, rest kept",
  "partial + error": "Best matches, rest kept + error",
  composed: "Chain of matches",
  identity: "Feature i as feature i",
};
const SIGNIFICANT: Record<string, string> = {
  match: "Significant matches",
  "match + error": "Significant matches + error",
  partial: "Significant, rest kept",
  "partial + error": "Significant, rest kept + error",
  composed: "Chain, significant",
};

/** A figure over pairs and text sets: its median and its range. */
export interface Spread {
  median: number;
  low: number;
  high: number;
}

/** What matches cost beside dropping the layers and beside the mean, counted over pairs and texts. */
export interface Finding {
  match: Spread;
  drop: Spread;
  mean: Spread | null;
  /** Pairs and text sets of which both are known. */
  cases: number;
  pairs: number;
  /** In how many matches cost more than dropping, and in how many the interval says so, too. */
  more: number;
  surelyMore: number;
  surelyLess: number;
  /** In how many of `meanCases` matches cost less than the mean. */
  lessThanMean: number;
  meanCases: number;
}

/** The finding of some pairs at one distance; null where they have no loss of matches and of drop. */
export function findingOf(values: readonly Value[], usual: string | null): Finding | null {
  const losses = new Map<string, Map<string, Value>>();
  const apart = new Map<string, Value>();
  for (const value of values) {
    if (!Number.isNaN(value.q) || Number.isNaN(value.value)) continue;
    const name = nameOf(value, usual);
    const at = caseOf(value);
    if (value.metric === "delta-loss") {
      losses.set(at, (losses.get(at) ?? new Map()).set(name, value));
    } else if (value.metric === "delta-loss less drop's" && name === "match") apart.set(at, value);
  }
  const cases = [...losses].flatMap(([at, its]) => {
    const [match, drop, mean] = ["match", "drop", "mean"].map((name) => its.get(name));
    return match && drop ? [{ match, drop, mean, apart: apart.get(at) }] : [];
  });
  if (!cases.length) return null;
  const means = cases.flatMap(({ match, mean }) => (mean ? [{ match, mean }] : []));
  const counted = (holds: (one: (typeof cases)[number]) => boolean) => cases.filter(holds).length;
  return {
    match: spreadOf(cases.map(({ match }) => match.value)),
    drop: spreadOf(cases.map(({ drop }) => drop.value)),
    mean: means.length ? spreadOf(means.map(({ mean }) => mean.value)) : null,
    cases: cases.length,
    pairs: new Set(cases.map(({ match }) => `${match.a}--${match.b}`)).size,
    more: counted(({ match, drop }) => match.value > drop.value),
    surelyMore: counted(({ apart }) => apart !== undefined && apart.low > 0),
    surelyLess: counted(({ apart }) => apart !== undefined && apart.high < 0),
    lessThanMean: means.filter(({ match, mean }) => match.value < mean.value).length,
    meanCases: means.length,
  };
}

const caseOf = ({ a, b, texts }: Value) => JSON.stringify([a, b, texts]);

function spreadOf(values: readonly number[]): Spread {
  const order = [...values].sort((x, y) => x - y);
  const half = order.length / 2;
  return {
    median: (order[Math.ceil(half) - 1] + order[Math.floor(half)]) / 2,
    low: order[0],
    high: order[order.length - 1],
  };
}

/**
 * The range that a chart of values is drawn over.
 *
 * The mean of the hidden states may cost ten times what all else does: where it would take most of
 * the room, it lies beyond the end, and charts write its figure there.
 */
export function rangeOf(values: readonly Value[]): [number, number] {
  const near = extentOf(values.filter(({ estimate }) => estimate !== "mean"));
  const all = extentOf(values);
  if (!near || !all) return all ?? [0, 1];
  return all[1] - all[0] <= 1.5 * (near[1] - near[0]) ? all : near;
}

function extentOf(values: readonly Value[]): [number, number] | null {
  const ends = values
    .flatMap(({ value, low, high }) => [value, low, high])
    .filter((end) => !Number.isNaN(end));
  return ends.length ? [Math.min(0, ...ends), Math.max(0, ...ends)] : null;
}
