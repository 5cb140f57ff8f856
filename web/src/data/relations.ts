/** What a run says of two SAEs besides matches: splits and merges, gates, what passes, origins. */

import type { Explorer } from "./explorer";
import type { Frame } from "./parquet";
import type { Data } from "./tables";

/** A feature and those that it splits into, or that merge into it: the best score first. */
export interface Group {
  feature: number;
  parts: { feature: number; score: number; p: number }[];
}

/** How many features of a pair split, and how many are merged. */
export interface PairGroups {
  splits: { kind: "split"; features: number };
  merges: { kind: "merge"; features: number };
}

export async function loadCounts(explorer: Explorer, a: string, b: string): Promise<PairGroups> {
  const pairs = await explorer.whole("pairs");
  const [from, to] = [pairs?.texts("a") ?? [], pairs?.texts("b") ?? []];
  const row = from.findIndex((name, i) => name === a && to[i] === b);
  const of = (name: string) => pairs?.numbers(name)[row] ?? 0;
  return {
    splits: { kind: "split", features: of("splits") },
    merges: { kind: "merge", features: of("merges") },
  };
}

/** The splits or merges of a pair, those of clear features first, then the best scores. */
export async function loadGroups(
  data: Data,
  explorer: Explorer,
  kind: "split" | "merge",
  a: string,
  b: string,
): Promise<Group[]> {
  const [splits, clear] = await Promise.all([
    data.splits(a, b),
    explorer.clearOf(kind === "split" ? a : b),
  ]);
  const found = new Map<number, Group>();
  for (const { kind: its, feature, part, score, p } of splits) {
    if (its !== kind) continue;
    const group = found.get(feature) ?? { feature, parts: [] };
    group.parts.push({ feature: part, score, p });
    found.set(feature, group);
  }
  const groups = [...found.values()];
  for (const { parts } of groups) parts.sort((x, y) => y.score - x.score || x.feature - y.feature);
  const unclear = ({ feature }: Group) => Number(!clear[feature]);
  return groups.sort(
    (x, y) => unclear(x) - unclear(y) || least(y) - least(x) || x.feature - y.feature,
  );
}

/** The score of the weakest part of a group. */
export function least({ parts }: Group): number {
  return parts[parts.length - 1].score;
}

/** The largest p-value of a group's parts. */
export function surely({ parts }: Group): number {
  return Math.max(...parts.map(({ p }) => p));
}

/** A feature of B that two features of A make together. */
export interface Gate {
  kind: "and" | "or";
  feature: number;
  first: number;
  second: number;
  /** Which of the two rules say so. */
  paper: boolean;
  certain: boolean;
  /** Necessity (and) or sufficiency (or) of each input. */
  shareFirst: number;
  shareSecond: number;
  /** P(feature given both), or P(either given feature). */
  joint: number;
  jointLow: number;
  /** The same of the better input alone. */
  alone: number;
  active: number;
  examples: number;
}

/** The gates of a pair, the certain ones first, then by how much the inputs explain together. */
export async function loadGates(data: Data, a: string, b: string): Promise<Gate[]> {
  const frame = await ofPair(data, "gates", a, b);
  if (!frame) return [];
  const kinds = frame.texts("kind");
  const [paper, certain] = [frame.flags("paper"), frame.flags("certain")];
  const number = (name: string) => frame.numbers(name);
  const [feature, first, second] = ["feature", "first", "second"].map(number);
  const [shareFirst, shareSecond] = ["share_first", "share_second"].map(number);
  const [joint, jointLow, alone] = ["joint", "joint_low", "alone"].map(number);
  const [active, examples] = ["active", "examples"].map(number);
  return Array.from({ length: frame.length }, (_, i) => ({
    kind: kinds[i] as Gate["kind"],
    feature: feature[i],
    first: first[i],
    second: second[i],
    paper: paper[i] === true,
    certain: certain[i] === true,
    shareFirst: shareFirst[i],
    shareSecond: shareSecond[i],
    joint: joint[i],
    jointLow: jointLow[i],
    alone: alone[i],
    active: active[i],
    examples: examples[i],
  })).sort(
    (x, y) =>
      Number(y.certain) - Number(x.certain) || y.jointLow - x.jointLow || x.feature - y.feature,
  );
}

/** Shares of features whose best similarity reaches a cut-off, by one statistic. */
export interface Passing {
  statistic: string;
  featuresA: number;
  featuresB: number;
  points: { cutoff: number; forward: number; backward: number }[];
}

export async function loadPassing(data: Data, a: string, b: string): Promise<Passing[]> {
  const frame = await ofPair(data, "passing", a, b);
  if (!frame) return [];
  const statistics = frame.texts("statistic");
  const [ofA, ofB] = [frame.numbers("features_a"), frame.numbers("features_b")];
  const cutoff = frame.numbers("cutoff");
  const [forward, backward] = [frame.numbers("passing_forward"), frame.numbers("passing_backward")];
  const found = new Map<string, Passing>();
  statistics.forEach((statistic, i) => {
    if (statistic === null) return;
    const curve = found.get(statistic) ?? {
      statistic,
      featuresA: ofA[i],
      featuresB: ofB[i],
      points: [],
    };
    curve.points.push({ cutoff: cutoff[i], forward: forward[i], backward: backward[i] });
    found.set(statistic, curve);
  });
  return [...found.values()];
}

/** A feature and the one of the other SAE that it is most like by a statistic. */
export interface Likest {
  feature: number;
  other: number;
  value: number;
  /** Tokens on which both are active. */
  together: number;
}

/** The likest feature of B for each of A, or of A for each of B: the most alike first. */
export async function loadLikest(
  data: Data,
  explorer: Explorer,
  of: { a: string; b: string; statistic: string; forward: boolean },
): Promise<Likest[]> {
  const table = of.forward ? "targets" : "sources";
  const places = await explorer.whole("relations");
  const place = data.run.manifest.relations?.tables[table];
  if (!places || !place) return [];
  const [tables, a, b] = [places.texts("table"), places.texts("a"), places.texts("b")];
  const statistics = places.texts("statistic");
  const row = tables.findIndex(
    (its, i) => its === table && a[i] === of.a && b[i] === of.b && statistics[i] === of.statistic,
  );
  if (row < 0) return [];
  const first = places.numbers("first")[row];
  const other = of.forward ? "target" : "source";
  const frame = await data.reader.read(place, ["feature", "rank", other, "value", "together"], {}, [
    first,
    first + places.numbers("rows")[row],
  ]);
  const [feature, rank] = [frame.numbers("feature"), frame.numbers("rank")];
  const [others, value] = [frame.numbers(other), frame.numbers("value")];
  const together = frame.numbers("together");
  return Array.from({ length: frame.length }, (_, i) => i)
    .filter((i) => rank[i] === 1)
    .map((i) => ({
      feature: feature[i],
      other: others[i],
      value: value[i],
      together: together[i],
    }))
    .sort((x, y) => y.value - x.value || x.feature - y.feature);
}

/** Where a feature comes from: the best source at each place before it. */
export interface Origin {
  feature: number;
  origin: string;
  sources: { letter: Letter; site: string; feature: number; cosine: number; p: number }[];
}

const LETTERS = ["R", "M", "A"] as const;
export type Letter = (typeof LETTERS)[number];

/** What the letters of the table of origins stand for. */
export const THROUGH: Record<Letter, string> = {
  R: "stream before",
  M: "MLP",
  A: "attention",
};

/**
 * Origins of the features of an SAE, those of clear features first, then the surest; none where
 * the modules before it have no SAE.
 */
export async function loadOrigins(data: Data, explorer: Explorer, site: string): Promise<Origin[]> {
  const place = data.run.flow("origins");
  if (!place) return [];
  const [frame, clear] = await Promise.all([
    data.reader.read(place, undefined, { site }),
    explorer.clearOf(site),
  ]);
  const [feature, origin] = [frame.numbers("feature"), frame.texts("origin")];
  const found = Array.from({ length: frame.length }, (_, i) => ({
    feature: feature[i],
    origin: origin[i] ?? "",
    sources: [] as Origin["sources"],
  }));
  for (const letter of LETTERS) {
    const [cosine, p] = [frame.numbers(`s_${letter}`), frame.numbers(`p_${letter}`)];
    const [at, source] = [frame.texts(`site_${letter}`), frame.numbers(`source_${letter}`)];
    for (const [i, { sources }] of found.entries()) {
      const its = at[i];
      if (its === null || Number.isNaN(source[i])) continue;
      sources.push({ letter, site: its, feature: source[i], cosine: cosine[i], p: p[i] });
    }
  }
  const sure = ({ sources }: Origin) => Math.min(...sources.map(({ p }) => p));
  const unclear = (one: Origin) => Number(!clear[one.feature]);
  return found.sort(
    (x, y) => unclear(x) - unclear(y) || sure(x) - sure(y) || x.feature - y.feature,
  );
}

async function ofPair(data: Data, table: string, a: string, b: string): Promise<Frame | null> {
  const place = data.run.manifest.relations?.tables[table];
  return place ? data.reader.read(place, undefined, { a, b }) : null;
}
