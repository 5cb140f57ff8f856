import type { Edge } from "../../data/explorer";
import { type Run, testedOf } from "../../data/run";
import { opacityOf } from "../../draw/colours";

/**
 * Opacity of a link: where its score lies between what chance reaches and 1.
 *
 * Scores that are distances have no such scale: their links go by the cosine.
 */
export function strengthOf(run: Run): (score: number, cosine: number) => number {
  const byCosine = run.manifest.options.distance === true;
  const chances = run.steps.flatMap(({ pair }) => (pair && testedOf(pair.summary).chance) ?? []);
  const chance = byCosine || !chances.length ? 0.2 : Math.min(...chances);
  return (score, cosine) => {
    const strength = byCosine || score > 1 || score < -1 ? cosine : score;
    return opacityOf(strength, Math.min(0.9, Math.max(0, chance)));
  };
}

/** The p-value of an edge: of the target, or where that is not known of the source. */
export function pOf(edge: Edge): number {
  return Number.isNaN(edge.p) ? edge.sourceP : edge.p;
}

/** Accepted matches before others, then the less likely by chance, then the higher score. */
export function strongest(x: Edge, y: Edge): number {
  const kind = Number(y.kind === "match") - Number(x.kind === "match");
  return kind || known(pOf(x), pOf(y), 1) || known(x.score, y.score, -1) || x.other - y.other;
}

const FIGURES: Record<string, (edge: Edge) => number> = {
  score: (edge) => edge.score,
  p: pOf,
  cosine: (edge) => edge.cosine,
  pearson: (edge) => edge.pearson,
  rank: (edge) => edge.rank,
  back: (edge) => edge.sourceRank,
};

/** The order of a column that a heading names; what is not known comes last. */
export function orderOf(key: string, descending: boolean): (x: Edge, y: Edge) => number {
  const of = FIGURES[key];
  return (x, y) => known(of(x), of(y), descending ? -1 : 1) || strongest(x, y);
}

function known(x: number, y: number, sign: 1 | -1): number {
  if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
  return sign * (x - y);
}
