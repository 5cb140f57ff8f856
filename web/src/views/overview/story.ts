/** What a run says in one or two sentences, with its own numbers. */

import type { Explorer } from "../../data/explorer";
import type { Run } from "../../data/run";
import { count, percent, several } from "../../draw/format";
import type { Change } from "../../state";
import type { Figures } from "./figures";

/** A part of a sentence; one with `to` leads to the list that shows it. */
export interface Part {
  text: string;
  to?: Change;
}

const NUMBERS = "no one two three four five six seven eight nine ten eleven twelve".split(" ");
const SHARES: Record<string, string> = {
  "0 %": "None",
  "25 %": "A quarter",
  "33 %": "A third",
  "50 %": "Half",
  "67 %": "Two thirds",
  "75 %": "Three quarters",
  "100 %": "All",
};

/** The claim of the first view. */
export function claimOf(run: Run, explorer: Explorer, figures: Figures): Part[] {
  if (!run.pairs.length) return [];
  // the lists hold tracks of one mode
  const listed = explorer.index.mode === figures.mode;
  const linked = (parts: Part[]) => (listed ? parts : parts.map(({ text }) => ({ text })));
  if (figures.survival.length) return linked(ofTracks(run, figures));
  return ofMatches(run, figures);
}

function ofTracks(run: Run, { survival, layers }: Figures): Part[] {
  const [first] = survival;
  const all = run.chain.length;
  const find = (lives?: number): Change => ({
    view: "find",
    more: { site: first.start, ...(lives ? { life: lives } : {}) },
  });
  const alive = (layers: number) => first.points[layers - 1]?.alive ?? 0;
  const whole = alive(all);
  const going = alive(2) / first.started;
  const parts: Part[] = [
    // of very few, how many says more than what share
    { text: going > 0 && going < 0.005 ? count(alive(2)) : shareOf(going), to: find(2) },
    { text: ` of ${first.started === 1 ? "" : "the "}` },
    { text: several(first.started, "feature"), to: find() },
    { text: ` of ${placeOf(run, first.start)} ${alive(2) === 1 ? "goes" : "go"} on` },
  ];
  if (all === 2) {
    const { births: born } = layers[1];
    const there = placeOf(run, run.chain[1]);
    const fresh = `${several(born, "feature")} of ${there} ${are(born)} new.`;
    return [...parts, { text: ` to ${there}. ${fresh}` }];
  }
  const halfway = first.points[Math.floor((all - 1) / 2)];
  const middle = halfway.steps > 1 && halfway.alive > 0;
  if (middle) {
    const lives = halfway.alive === 1 ? "lives" : "live";
    parts.push(
      { text: "; " },
      { text: count(halfway.alive), to: find(halfway.steps + 1) },
      { text: ` ${lives} to ${placeOf(run, halfway.site)} or beyond` },
    );
  }
  parts.push({ text: middle ? ", " : "; " });
  if (whole) parts.push({ text: count(whole), to: find(all) });
  else parts.push({ text: "none" });
  const verb = middle ? "" : ` ${whole > 1 ? "live" : "lives"}`;
  parts.push({ text: `${verb} to the last of ${numbered(all)} layers.` });
  return [...parts, ...births(layers)];
}

/** How many features of later layers are new there. */
function births(layers: Figures["layers"]): Part[] {
  const shares = layers
    .slice(1)
    .map(({ births, features }) => births / features)
    .filter((share) => !Number.isNaN(share));
  if (!shares.length) return [];
  return [{ text: ` Of each later layer, ${rangeOf(shares)} of the features are new.` }];
}

function ofMatches(run: Run, { steps }: Figures): Part[] {
  const done = steps.filter(({ pair }) => pair);
  if (steps.length === 1 && done.length === 1) {
    const { a, b, pair, leaving, share } = done[0];
    if (!pair) return [];
    const tested = pair.summary.null !== "none";
    const used = pair.summary.features_a - pair.summary.excluded_a;
    return [
      { text: shareOf(share), to: { view: "pair", a, b } },
      { text: ` of the ${several(used, "feature")} of ${placeOf(run, a)} ` },
      { text: `${leaving === 1 ? "matches" : "match"} one of ${placeOf(run, b)}` },
      { text: tested ? " beyond chance." : "; how many would by chance was not asked." },
    ];
  }
  const { length } = done.length ? done : run.pairs;
  const shares = done.map(({ share }) => share).filter((share) => !Number.isNaN(share));
  const pairs = done.length ? `${several(steps.length, "pair")} of neighbours` : "pairs of SAEs";
  const those = length === 1 ? "its" : "their";
  return [
    { text: done.length ? `${count(length)} of ${pairs} ${are(length)} matched` : "" },
    { text: done.length ? "" : `${several(length, "pair")} of SAEs ${are(length)} matched` },
    { text: shares.length ? `: ${rangeOf(shares)} of ${those} features.` : "." },
  ];
}

/** A share in words where there are any, as a sentence begins. */
export function shareOf(share: number): string {
  if (share > 0 && share < 0.005) return percent(share);
  if (share < 1 && share >= 0.995) return "Nearly all";
  return SHARES[percent(share)] ?? percent(share);
}

/** 16 to 34 %. */
function rangeOf(shares: readonly number[]): string {
  const [low, high] = [percent(Math.min(...shares)), percent(Math.max(...shares))];
  return low === high ? low : `${low.replace(/ %$/, "")} to ${high}`;
}

/** A small number in words. */
export function numbered(number: number): string {
  return NUMBERS[number] ?? count(number);
}

/** What a sentence calls an SAE: `layer 3` where its number says enough. */
export function placeOf(run: Run, site: string): string {
  const name = run.short(site);
  return /^\d+$/.test(name) ? `layer ${name}` : site;
}

function are(number: number): string {
  return number === 1 ? "is" : "are";
}
