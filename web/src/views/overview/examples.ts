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

const LOOKED_AT = 1024; // of the table, whose first rows are the clearest
const KINDS: ((line: string, all: number) => boolean)[] = [
  (line, all) => !line.startsWith(".") && line.length === all,
  (line) => line.startsWith("."),
  (line, all) => !line.startsWith(".") && line.length < all,
];

/** One that lives from first to last, one that is born later and one that dies, where there are. */
export async function examplesOf(run: Run, explorer: Explorer): Promise<Example[]> {
  const frame = await explorer.clearest(LOOKED_AT);
  if (!frame) return [];
  const [line, label] = [frame.texts("line"), frame.texts("label")];
  const [node, length] = [frame.numbers("node"), frame.numbers("length")];
  const all = run.chain.length;
  const rows = Array.from(line.keys()).filter((i) => length[i] > 1);
  const chosen: number[] = [];
  const named = new Set<string>();
  for (const kind of [...KINDS, () => true, () => true, () => true]) {
    if (chosen.length === 3) break;
    const found = rows.find((i) => kind(line[i] ?? "", all) && !named.has(firstOf(label[i])));
    if (found === undefined) continue;
    chosen.push(found);
    named.add(firstOf(label[found]));
  }
  return chosen.map((i) => ({
    ...explorer.feature(node[i]),
    label: label[i],
    line: line[i] ?? "",
    said: saidOf(run, line[i] ?? ""),
  }));
}

/** Tracks of one token are one example. */
function firstOf(label: string | null): string {
  return (label ?? "").split(", ")[0].trim().toLowerCase() || "–";
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
