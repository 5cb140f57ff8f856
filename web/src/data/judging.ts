/** What judges say of matches and controls: docs/reference/run-directory.md. */

import { FileError } from "./files";
import type { Frame } from "./parquet";
import type { Data } from "./tables";

export const GRADES = ["same", "maybe", "different"] as const;
export type Grade = (typeof GRADES)[number];

export interface Verdict {
  /** null where the judge could not tell, and said why. */
  grade: Grade | null;
  probability: number;
  problem: string | null;
}

/** Two features, and what each judge says of them. */
export interface Case {
  kind: string;
  path: number;
  steps: number;
  a: string;
  featureA: number;
  b: string;
  featureB: number;
  p: number;
  cosine: number;
  verdicts: ReadonlyMap<string, Verdict>;
}

/** The share judged SAME of a kind, with its interval, as Python computes it. */
export interface Share {
  kind: string;
  steps: number;
  judge: string;
  low: number;
  high: number;
}

export interface Judgements {
  cases: Case[];
  /** In the order in which they judged, people last. */
  judges: string[];
  shares: Share[];
}

/** Kinds of cases in the order they are shown, and what they are called. */
export const KINDS: Record<string, { one: string; many: string }> = {
  match: { one: "match", many: "matches" },
  composed: { one: "chained", many: "chained matches" },
  direct: { one: "direct", many: "direct matches" },
  self: { one: "itself, on other text", many: "a feature and itself, on other text" },
  near: { one: "nearest, no partner", many: "the nearest feature that is no partner" },
  identity: { one: "feature i and i", many: "feature i and feature i" },
  random: { one: "random partner", many: "a random partner" },
};
const FAR = ["composed", "direct"];

/** All judgements of a run; null where it has none. */
export async function loadJudgements(data: Data): Promise<Judgements | null> {
  const places = data.run.manifest.judging?.tables;
  if (!places?.cases || !places.verdicts) return null;
  const [cases, verdicts, votes, shares] = await Promise.all([
    data.reader.read(places.cases),
    data.reader.read(places.verdicts),
    made(data, "explorer/votes.parquet"),
    made(data, "explorer/shares.parquet"),
  ]);
  return judgementsOf(cases, votes ? [verdicts, votes] : [verdicts], shares);
}

/** A table made for this page; null of a run that was judged after they were made. */
async function made(data: Data, place: string): Promise<Frame | null> {
  try {
    return await data.reader.read(place);
  } catch (error) {
    if (error instanceof FileError && error.status === 404) return null;
    throw error;
  }
}

/** Tables of cases, of verdicts (of judges, of people) and of shares, put together. */
export function judgementsOf(
  cases: Frame,
  verdicts: readonly Frame[],
  shares: Frame | null,
): Judgements {
  const said = new Map<number, Map<string, Verdict>>();
  const judges = new Set<string>();
  for (const frame of verdicts) {
    const [of, judge] = [frame.numbers("case"), frame.texts("judge")];
    const [grade, probability] = [frame.numbers("grade"), frame.numbers("probability")];
    const problem = frame.texts("problem");
    for (let i = 0; i < frame.length; i++) {
      const name = judge[i] ?? "";
      judges.add(name);
      const its = said.get(of[i]) ?? new Map<string, Verdict>();
      its.set(name, {
        grade: GRADES[3 - grade[i]] ?? null,
        probability: probability[i],
        problem: problem[i],
      });
      said.set(of[i], its);
    }
  }
  const [number, kind] = [cases.numbers("case"), cases.texts("kind")];
  const [path, steps] = [cases.numbers("path"), cases.numbers("steps")];
  const [a, b] = [cases.texts("a"), cases.texts("b")];
  const [featureA, featureB] = [cases.numbers("feature_a"), cases.numbers("feature_b")];
  const [p, cosine] = [cases.numbers("p_value"), cases.numbers("decoder_cosine")];
  return {
    cases: Array.from({ length: cases.length }, (_, i) => ({
      kind: kind[i] ?? "",
      path: path[i],
      steps: steps[i],
      a: a[i] ?? "",
      featureA: featureA[i],
      b: b[i] ?? "",
      featureB: featureB[i],
      p: p[i],
      cosine: cosine[i],
      verdicts: said.get(number[i]) ?? new Map(),
    })),
    judges: [...judges],
    shares: shares ? sharesOf(shares) : [],
  };
}

function sharesOf(frame: Frame): Share[] {
  const [kind, judge, steps] = [frame.texts("kind"), frame.texts("judge"), frame.numbers("steps")];
  const [low, high] = [frame.numbers("same_low"), frame.numbers("same_high")];
  return Array.from({ length: frame.length }, (_, i) => ({
    kind: kind[i] ?? "",
    judge: judge[i] ?? "",
    steps: steps[i],
    low: low[i],
    high: high[i],
  }));
}

/** How many cases got which grade. */
export interface Tally extends Record<Grade, number> {
  graded: number;
  /** Those that the judge was shown and could not grade. */
  ungraded: number;
}

export function tallyOf(cases: readonly Case[], judge: string): Tally {
  const found = { same: 0, maybe: 0, different: 0, graded: 0, ungraded: 0 };
  for (const { verdicts } of cases) {
    const verdict = verdicts.get(judge);
    if (!verdict) continue;
    if (verdict.grade) {
      found[verdict.grade]++;
      found.graded++;
    } else found.ungraded++;
  }
  return found;
}

/** Cases that belong together, and what they are called. */
export interface Group {
  /** As the URL says it: a kind, and the steps of chained and direct matches. */
  key: string;
  title: string;
  cases: Case[];
}

/** The key of the group that a case is in. */
export const groupOf = ({ kind, steps }: Case) =>
  FAR.includes(kind) && steps > 1 ? `${kind}-${steps}` : kind;

/** Groups by kind, those of chained and direct matches by their steps too. */
export function groupsOf(cases: readonly Case[]): Group[] {
  const found = new Map<string, Group>();
  for (const one of cases) {
    const key = groupOf(one);
    const group = found.get(key);
    if (group) {
      group.cases.push(one);
      continue;
    }
    const name = KINDS[one.kind]?.many ?? one.kind;
    const title = key === one.kind ? name : `${name}, ${one.steps} steps`;
    found.set(key, { key, title, cases: [one] });
  }
  const order = Object.keys(KINDS);
  const place = (group: Group) => {
    const at = order.indexOf(group.cases[0].kind);
    // chained and direct matches of one distance beside each other
    const far = FAR.includes(group.cases[0].kind);
    return [far ? 1 : at < 0 ? order.length : at, far ? group.cases[0].steps : 0, at];
  };
  return [...found.values()].sort((x, y) => {
    const [one, other] = [place(x), place(y)];
    return one[0] - other[0] || one[1] - other[1] || one[2] - other[2];
  });
}

/** Of a judge: after each match, from the smallest p-value on, the mean probability so far. */
export interface Coverage {
  judge: string;
  /** Share of matches taken and the mean among them; matches with one p-value come together. */
  points: { share: number; quality: number }[];
  mean: number;
  matches: number;
}

export const LEAST = 10; // matches from which on a mean is drawn: of fewer it says little

export function coverageOf(cases: readonly Case[], judge: string): Coverage | null {
  const known: { p: number; quality: number }[] = [];
  for (const one of cases) {
    const quality = one.verdicts.get(judge)?.probability ?? NaN;
    if (one.kind === "match" && !Number.isNaN(one.p) && !Number.isNaN(quality)) {
      known.push({ p: one.p, quality });
    }
  }
  if (known.length < 2) return null;
  known.sort((x, y) => x.p - y.p);
  const points: Coverage["points"] = [];
  let sum = 0;
  known.forEach(({ p, quality }, i) => {
    sum += quality;
    const last = known[i + 1]?.p !== p;
    if (last && (i + 1 >= LEAST || i + 1 === known.length)) {
      points.push({ share: (i + 1) / known.length, quality: sum / (i + 1) });
    }
  });
  return { judge, points, mean: sum / known.length, matches: known.length };
}

/** What is sought in the list of cases. */
export interface Filter {
  /** Key of a group. */
  kind: string | null;
  /** Two SAEs, `A--B`. */
  pair: string | null;
  /** By the judge; those without a grade have none. */
  grade: Grade | null;
  judge: string;
}

export function filtered(cases: readonly Case[], filter: Filter): Case[] {
  return cases.filter(
    (one) =>
      (!filter.kind || groupOf(one) === filter.kind) &&
      (!filter.pair || `${one.a}--${one.b}` === filter.pair) &&
      (!filter.grade || one.verdicts.get(filter.judge)?.grade === filter.grade),
  );
}
