/** What each feature does on text, in full: dashboards/ of a run, where it has them. */

import type { Frame, Reader } from "./parquet";
import type { Run, Section } from "./run";
import type { Feature } from "./tables";

/** A text set that dashboards are of. */
export interface TextSet {
  name: string;
  tokens: number;
  examples: number;
}

export interface Dashboards extends Section {
  model: string | null;
  texts: TextSet[];
}

/** Tokens of a text where a feature fires, and how strongly it does at each. */
export interface Passage {
  /** Number of the strongest token among those of all text sets. */
  place: number;
  /** Which text set. */
  text: number;
  example: number;
  /** Which of the pieces is that token. */
  at: number;
  pieces: string[];
  activations: number[];
}

/** Contexts whose activation lies between two values; `count` tokens do. */
export interface Quantile {
  low: number;
  high: number;
  count: number;
  contexts: Passage[];
}

export interface Logit {
  token: string;
  logit: number;
}

/** The next tokens that a feature speaks for, the most first, and those against. */
export interface Promoted {
  top: Logit[];
  bottom: Logit[];
}

export interface Dashboard {
  /** Share of tokens on which it fires, by text set. */
  frequency: number[];
  max: number;
  /** Tokens by activation, in bins of equal width from 0 to the largest. */
  histogram: number[];
  /** Of the strongest contexts; null of a feature that never fires. */
  top: Quantile | null;
  /** By activation, the highest interval first. */
  intervals: Quantile[];
  /** Null where features have no logits, or none were asked for. */
  logits: Promoted | null;
  /** As the feature arrives at the last layer. */
  carried: Promoted | null;
}

/** Below this share of top contexts in common, a match's contexts disagree. */
export const DISAGREES = 0.25;

/** The run's dashboards; null where it has none. */
export function dashboardsOf(run: Run): Dashboards | null {
  return (run.manifest.dashboards as Dashboards | undefined) ?? null;
}

/** The dashboard of a feature; null where the run has none of its SAE. */
export async function readDashboard(
  run: Run,
  reader: Reader,
  site: string,
  feature: number,
): Promise<Dashboard | null> {
  const place = dashboardsOf(run)?.tables[site];
  if (!place) return null;
  const frame = await reader.read(place, undefined, {}, [feature, feature + 1]);
  const list = <T>(name: string) => (frame.values(name)[0] ?? null) as T[] | null;
  const [top, ...intervals] = (list<Quantile>("quantiles") ?? []).map(quantileOf);
  const sides = (kind: string): Promoted | null => {
    const both = [list<Logit>(`${kind}_top`), list<Logit>(`${kind}_bottom`)];
    return both[0] && both[1] ? { top: both[0], bottom: both[1] } : null;
  };
  return {
    frequency: (list<unknown>("frequency") ?? []).map(Number),
    max: frame.numbers("max_activation")[0],
    histogram: (list<unknown>("histogram") ?? []).map(Number),
    top: top ?? null,
    intervals,
    logits: sides("logits"),
    carried: sides("carried"),
  };
}

// whole numbers of 64 bits arrive as BigInt
function quantileOf(raw: Quantile): Quantile {
  return {
    low: Number(raw.low),
    high: Number(raw.high),
    count: Number(raw.count),
    contexts: (raw.contexts ?? []).map((one) => ({
      place: Number(one.place),
      text: Number(one.text),
      example: Number(one.example),
      at: Number(one.at),
      pieces: one.pieces ?? [],
      activations: (one.activations ?? []).map(Number),
    })),
  };
}

/**
 * Of each feature of A, the share of top contexts that it has in common with its target in B: in
 * which the other fires too, and the other way round, on average. NaN where that is not known.
 *
 * Null where the run has no dashboards of the pair.
 */
export async function readAgreement(
  run: Run,
  reader: Reader,
  a: string,
  b: string,
): Promise<Float64Array | null> {
  const place = dashboardsOf(run)?.tables[`${a}--${b}`];
  if (!place) return null;
  const frame = await reader.read(place, ["feature", "share"]);
  const [feature, share] = [frame.numbers("feature"), frame.numbers("share")];
  const found = new Float64Array(run.sae(a).d_sae).fill(NaN);
  feature.forEach((one, i) => {
    if (one < found.length) found[one] = share[i];
  });
  return found;
}

/** What a feature and another do in each other's strongest contexts. */
export interface Common {
  /** Share of both their strongest contexts in which the other fires too, on average. */
  share: number;
  /** The other's activation in each of the one's strongest contexts, in their order. */
  there: number[];
  /** The one's activation in each of the other's. */
  here: number[];
}

/** What is known of two features of a pair that are each other's source and target; else null. */
export async function readCommon(
  run: Run,
  reader: Reader,
  one: Feature,
  other: Feature,
): Promise<Common | null> {
  const tables = dashboardsOf(run)?.tables ?? {};
  const along = tables[`${one.site}--${other.site}`];
  const back = tables[`${other.site}--${one.site}`];
  const columns = ["share", "values", "target_values"];
  const read = (place: string, source: Feature, target: Feature) =>
    reader.read(place, columns, { feature: source.feature, target: target.feature });
  const list = (frame: Frame, name: string) =>
    ((frame.values(name)[0] ?? []) as unknown[]).map(Number);
  const frame = along ? await read(along, one, other) : null;
  if (frame?.length) {
    const [there, here] = [list(frame, "values"), list(frame, "target_values")];
    return { share: frame.numbers("share")[0], there, here };
  }
  const mirrored = back ? await read(back, other, one) : null;
  if (!mirrored?.length) return null;
  const [there, here] = [list(mirrored, "target_values"), list(mirrored, "values")];
  return { share: mirrored.numbers("share")[0], there, here };
}

/** Activations of a feature at all tokens that its dashboard shows, by their numbers. */
export function seenOf(dashboard: Dashboard): Map<number, number> {
  const seen = new Map<number, number>();
  for (const quantile of [dashboard.top, ...dashboard.intervals]) {
    for (const { place, at, activations } of quantile?.contexts ?? []) {
      for (const [i, value] of activations.entries()) seen.set(place - at + i, value);
    }
  }
  return seen;
}
