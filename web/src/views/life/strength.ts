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
