/** Features that the features of a track split into, and those that merge into one with them. */

import type { Explorer, Life } from "./explorer";
import type { Data } from "./tables";

export interface Partner {
  /** Number of the feature of the track, and of the other. */
  of: number;
  other: number;
  kind: "split" | "merge";
  score: number;
  p: number;
}

/** All parts of the splits and merges of some features, the strongest first. */
export async function partnersOf(
  data: Data,
  explorer: Explorer,
  track: readonly Life[],
): Promise<Partner[]> {
  const { chain } = data.run;
  const follow = async (life: Life, kind: Partner["kind"]): Promise<Partner[]> => {
    const at = chain.indexOf(life.site);
    const [a, b] = kind === "split" ? [chain[at], chain[at + 1]] : [chain[at - 1], chain[at]];
    if (at < 0 || !a || !b) return [];
    return (await data.splits(a, b))
      .filter((split) => split.kind === kind && split.feature === life.feature)
      .map(({ part, score, p }) => ({
        of: life.node,
        other: explorer.node(kind === "split" ? b : a, part),
        kind,
        score,
        p,
      }))
      .sort((x, y) => y.score - x.score);
  };
  const found = await Promise.all(
    track.flatMap((life) => [
      life.split > 1 ? follow(life, "split") : [],
      life.merge > 1 ? follow(life, "merge") : [],
    ]),
  );
  return found.flat();
}
