/** Three tracks to begin with, chosen among those that fire on something clear and rare. */

import type { Explorer } from "../../data/explorer";
import type { Run } from "../../data/run";
import { numbered, placeOf } from "./story";

/** A track, by name. */
export interface Example {
  site: string;
  feature: number;
  label: string | null;
  /** A place in the chain per character: `.` where the track has no feature. */
  line: string;
  /** What its life is like, in a few words. */
  said: string;
}

/** One that lives from first to last, one that is born later and one that dies, where there are. */
export async function examplesOf(run: Run, explorer: Explorer): Promise<Example[]> {
  return (await explorer.examples()).map(({ node, label, line }) => ({
    ...explorer.feature(node as number),
    label: label as string | null,
    line: line as string,
    said: saidOf(run, line as string),
  }));
}

/** What a track's life is like: where it is born, how long it lives, what it passes over. */
export function saidOf(run: Run, line: string): string {
  const all = run.chain.length;
  const begins = line.search(/[^.]/);
  const lives = line.length - begins;
  const over = line.slice(begins).split(".").length - 1;
  const passing = over ? `, ${numbered(over)} of them passed over` : "";
  if (lives === all) return `lives for all ${numbered(all)} layers${passing}`;
  const born = begins ? `born at ${placeOf(run, run.chain[begins])}, lives` : "lives";
  const dies =
    line.length < all && !begins ? `, dies after ${placeOf(run, run.chain[line.length - 1])}` : "";
  return `${born} for ${numbered(lives)} layers${passing}${dies}`;
}
