/** What a search box offers while something is typed: tokens, tracks, features by number. */

import type { Explorer } from "./data/explorer";
import { named } from "./data/numbers";
import type { Run } from "./data/run";
import { visible } from "./data/tokens";
import { type Near, wordsOf } from "./data/vocabulary";
import { several } from "./draw/format";
import type { Change } from "./state";

export interface Suggestion {
  kind: "Tokens" | "Tracks" | "Features";
  text: string;
  detail: string;
  /** Where it leads. */
  change: Change;
}

const TOKENS = 6;
const TRACKS = 3;
const LOOKED_AT = 24; // features that fire most on a token: among them are the tracks to offer

/** Suggestions for a text, the likeliest of each kind first. */
export async function suggestionsOf(
  run: Run,
  explorer: Explorer,
  text: string,
): Promise<Suggestion[]> {
  const words = wordsOf(text.trim());
  const last = words.pop();
  if (last === undefined) return [];
  const number = named(run, text);
  const vocabulary = await explorer.vocabulary();
  const exact = number.features.length > 0 && !number.plain;
  const near = exact ? [] : vocabulary.like(last).near.slice(0, TOKENS);
  const tokens = near.map(({ token, features }): Suggestion => {
    const q = [...words, token].join(" ");
    const detail = several(features, "feature");
    return { kind: "Tokens", text: visible(q), detail, change: { view: "find", more: { q } } };
  });
  const [tracks, features] = await Promise.all([
    // several words have no track in common that could be told without a search
    words.length || !near.length ? [] : tracksOf(explorer, near[0]),
    Promise.all(
      number.features.map(async ({ site, feature }): Promise<Suggestion> => {
        const node = explorer.node(site, feature);
        const label = (await explorer.labels([node])).get(node);
        const text = `${site} ${feature}`;
        return {
          kind: "Features",
          text,
          detail: label ?? "",
          change: { view: "life", site, feature },
        };
      }),
    ),
  ]);
  return exact ? features : [...tokens, ...tracks, ...features];
}

/** The longest tracks among those whose features fire most on a token. */
async function tracksOf(explorer: Explorer, near: Near): Promise<Suggestion[]> {
  if (explorer.index.mode === null) return [];
  const firing = await explorer.firing([near], LOOKED_AT);
  const listed = await Promise.all([...firing.keys()].map((node) => explorer.listed(node)));
  const rows = [...new Map(listed.map((its) => [its.track, its])).values()]
    .filter(({ lifespan }) => lifespan > 1)
    .sort((x, y) => y.lifespan - x.lifespan || x.track - y.track)
    .slice(0, TRACKS);
  return rows.map(({ node, label, lifespan }) => {
    const { site, feature } = explorer.feature(node);
    const detail = `${several(lifespan, "layer")} · ${site} ${feature}`;
    return { kind: "Tracks", text: label ?? "–", detail, change: { view: "life", site, feature } };
  });
}
