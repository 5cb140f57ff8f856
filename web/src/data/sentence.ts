/** A sentence as it went through the model: which features fire on its tokens, strand by strand. */

import type { Explorer } from "./explorer";
import type { Answer, Live } from "./live";
import { visible } from "./tokens";

/** A feature that fires on a token. */
export interface Fire {
  token: number;
  node: number;
  /** Row of its SAE, from the first layer up. */
  row: number;
  activation: number;
  /** Of the largest activation that is known of the feature; more than 1 where this is larger. */
  share: number;
  /** How much it says: the share, times how rare the feature is. */
  weight: number;
  known: Known;
}

/** What is known of a feature; NaN and null are what is not. */
export interface Known {
  node: number;
  site: string;
  feature: number;
  label: string | null;
  max: number;
  frequency: number;
  track: number | null;
  length: number;
}

/** What stands together on a token: features of one track, or one feature that is on none. */
export interface Strand {
  key: string;
  token: number;
  track: number | null;
  /** In order of depth. */
  nodes: Fire[];
  /** The feature that fires most. */
  strongest: Fire;
  label: string | null;
  score: number;
}

/** A sentence that was read, taken apart into strands. */
export interface Sentence {
  text: string;
  model: string;
  tokens: string[];
  bos: boolean;
  active: number[][];
  most: number;
  /** Names of SAEs by row, and which of them tracks run along. */
  sites: string[];
  chain: number[];
  fires: Fire[];
  /** The strands of each token, the ones that say most first. */
  strands: Strand[][];
  /** Whether shares are of what the run knows, or of the largest in this sentence. */
  shares: "known" | "here";
  recorded: boolean;
}

const RARE = 3; // -log10 of the frequency of a feature of which none is known: one token in 1,000
const LEAST = 1e-6;

/** How rare a feature is: the number of noughts in "one token in so many". */
function rarity(frequency: number): number {
  if (Number.isNaN(frequency)) return RARE;
  return -Math.log10(Math.min(1, Math.max(LEAST, frequency)));
}

/** A sentence of which an answer has the tables. */
export function sentenceOf(explorer: Explorer, answer: Answer, recorded = false): Sentence {
  const { sites } = explorer.index;
  const rowOf = new Map(sites.map((site, row) => [site.name, row]));
  const known = new Map<number, Known>();
  const { features, firing } = answer;
  features.node.forEach((node, i) => {
    known.set(node, {
      node,
      ...explorer.feature(node),
      label: features.label[i] === null ? null : visible(features.label[i] as string),
      max: features.max_activation[i] ?? NaN,
      frequency: features.frequency[i] ?? NaN,
      track: features.track[i],
      length: features.length[i] ?? 1,
    });
  });
  const largest = new Map<string, number>();
  firing.node.forEach((node, i) => {
    const { site } = known.get(node) as Known;
    largest.set(site, Math.max(largest.get(site) ?? 0, firing.activation[i]));
  });
  let shares: Sentence["shares"] = "known";
  const fires = firing.node.map((node, i): Fire => {
    const its = known.get(node) as Known;
    const activation = firing.activation[i];
    if (!(its.max > 0)) shares = "here";
    const share = activation / (its.max > 0 ? its.max : (largest.get(its.site) as number));
    const row = rowOf.get(its.site) as number;
    const weight = Math.min(1, share) * rarity(its.frequency);
    return { token: firing.token[i], node, row, activation, share, weight, known: its };
  });
  const { text, model, tokens, bos, active, most } = answer;
  const chain = (explorer.index.chain ?? []).map((name) => rowOf.get(name) as number);
  const names = namesOf(fires);
  const strands = tokens.map((_, token) =>
    strandsOf(
      fires.filter((fire) => fire.token === token),
      names,
    ),
  );
  return {
    ...{ text, model, tokens, bos, active, most, fires, strands, shares, recorded },
    sites: sites.map(({ name }) => name),
    chain,
  };
}

/** What each track is called: as that of its features which says most in the sentence. */
function namesOf(fires: readonly Fire[]): Map<number, string | null> {
  const sums = new Map<Known, number>();
  for (const { known, weight } of fires) {
    if (known.track !== null) sums.set(known, (sums.get(known) ?? 0) + weight);
  }
  const best = new Map<number, Known>();
  for (const [known, sum] of sums) {
    const track = known.track as number;
    const other = best.get(track);
    if (!other || sum > (sums.get(other) as number)) best.set(track, known);
  }
  return new Map([...best].map(([track, { label }]) => [track, label]));
}

function strandsOf(fires: readonly Fire[], names: ReadonlyMap<number, string | null>): Strand[] {
  const groups = new Map<string, Fire[]>();
  for (const fire of fires) {
    const { track } = fire.known;
    const key = track === null ? `${fire.token}-n${fire.node}` : `${fire.token}-t${track}`;
    groups.set(key, [...(groups.get(key) ?? []), fire]);
  }
  return [...groups]
    .map(([key, group]): Strand => {
      const nodes = group.sort((x, y) => x.row - y.row);
      const strongest = nodes.reduce((best, fire) => (fire.weight > best.weight ? fire : best));
      const score = nodes.reduce((sum, fire) => sum + fire.weight, 0);
      const { token, known } = strongest;
      const { track } = known;
      const label = track === null ? known.label : (names.get(track) ?? known.label);
      return { key, token, track, nodes, strongest, label, score };
    })
    .sort((x, y) => y.score - x.score || (x.key < y.key ? -1 : 1));
}

/** Layers of the chain that a strand reaches over, those between where it does not fire included. */
export function reach(sentence: Sentence, { nodes }: Strand): number {
  const places = nodes.map(({ row }) => sentence.chain.indexOf(row)).filter((place) => place >= 0);
  return places.length ? Math.max(...places) - Math.min(...places) + 1 : 0;
}

/** Whether a strand is there from the first layer on; what is not was made on the way. */
export function carried(sentence: Sentence, strand: Strand): boolean {
  return strand.nodes[0].row === sentence.chain[0];
}

/** What a sentence shows, in figures: how many tracks go far, and the one that says most of them. */
export interface Finding {
  far: number;
  layers: number;
  longest: Strand | null;
  tracks: number;
  /** Of the features that are told, how many are on no track. */
  alone: number;
  fires: number;
}

const FAR = 0.7; // of the layers

export function findingOf(sentence: Sentence): Finding {
  const strands = sentence.strands.flat().filter(({ track }) => track !== null);
  const reaches = new Map(strands.map((strand) => [strand, reach(sentence, strand)]));
  const top = Math.max(0, ...reaches.values());
  const layers = Math.min(top, Math.max(2, Math.round(FAR * sentence.chain.length)));
  const far = strands.filter((strand) => (reaches.get(strand) as number) >= layers);
  const named = (strand: Strand) => Number(/\p{L}{2}/u.test(strand.label ?? ""));
  const longest = strands
    .filter((strand) => reaches.get(strand) === top)
    .sort((x, y) => named(y) - named(x) || y.score - x.score)[0];
  const of = (some: readonly Strand[]) => new Set(some.map(({ track }) => track)).size;
  return {
    far: of(far),
    layers,
    longest: longest ?? null,
    tracks: of(strands),
    alone: sentence.fires.filter(({ known }) => known.track === null).length,
    fires: sentence.fires.length,
  };
}

/** The sentences that a run has with it, by text; none where there are none. */
export async function recordedOf(explorer: Explorer): Promise<string[]> {
  const place = explorer.index.tables.sentences;
  if (!place) return [];
  const frame = await explorer.reader.read(place, ["text"]);
  return frame.texts("text").map(String);
}

/** The sentence of a text: a recorded one, or what the model reads; null where there is neither. */
export async function read(
  explorer: Explorer,
  live: Live | null,
  text: string,
): Promise<Sentence | null> {
  const row = (await recordedOf(explorer)).indexOf(text);
  if (row >= 0) return sentenceOf(explorer, await recordedAnswer(explorer, row), true);
  return live ? sentenceOf(explorer, await live.sentence(text)) : null;
}

async function recordedAnswer(explorer: Explorer, row: number): Promise<Answer> {
  const { tables } = explorer.index;
  const about = await explorer.reader.read(tables.sentences, undefined, {}, [row, row + 1]);
  const number = (name: string) => about.numbers(name)[0];
  const tokens = (about.values("tokens")[0] as unknown[]).map(String);
  const active = (about.values("active")[0] as (number | bigint)[]).map(Number);
  const rows = [number("row"), number("row") + number("rows")] as const;
  const frame = await explorer.reader.read(tables.sentence_features, undefined, {}, rows);
  const known = (name: string) =>
    [...frame.numbers(name)].map((value) => (Number.isNaN(value) ? null : value));
  const first = new Map<number, number>();
  frame.numbers("node").forEach((node, i) => {
    if (!first.has(node)) first.set(node, i);
  });
  const at = [...first.values()];
  const some = <T>(values: readonly T[]) => at.map((i) => values[i]);
  return {
    text: String(about.texts("text")[0]),
    model: String(about.texts("model")[0]),
    tokens,
    bos: about.flags("bos")[0] === true,
    active: explorer.index.sites.map((_, i) =>
      active.slice(i * tokens.length, (i + 1) * tokens.length),
    ),
    most: number("most"),
    firing: {
      token: [...frame.numbers("token")],
      node: [...frame.numbers("node")],
      activation: [...frame.numbers("activation")],
    },
    features: {
      node: [...first.keys()],
      max_activation: some(known("max_activation")),
      frequency: some(known("frequency")),
      label: some(frame.texts("label")),
      track: some(known("track")),
      length: some(known("length")),
    },
  };
}

/** Sentences to try: of the run's own contexts, where features that live long and are rare fire. */
export async function examplesOf(explorer: Explorer, contexts: ContextsOf): Promise<string[]> {
  const [lifespan, frequency] = await Promise.all([
    explorer.column("lifespan"),
    explorer.column("frequency"),
  ]);
  const score = (node: number) => (lifespan[node] || 1) * rarity(frequency[node]);
  const rare = [...lifespan.keys()].filter(
    (node) => frequency[node] >= RAREST && frequency[node] < COMMON,
  );
  const nodes = rare.sort((x, y) => score(y) - score(x) || x - y).slice(0, LOOKED_AT);
  const whole: string[] = [];
  const parts: string[] = [];
  const used = new Set<string>();
  for (const node of nodes) {
    if (whole.length === EXAMPLES) break;
    const { site, feature } = explorer.feature(node);
    const its = await contexts(site, feature);
    for (const context of its?.contexts ?? []) {
      const word = context.token.trim().toLowerCase();
      const text = tidy(context);
      if (!text || used.has(word)) continue;
      used.add(word);
      (PROSE.test(text) ? whole : parts).push(text);
      break;
    }
  }
  return [...whole, ...parts].slice(0, EXAMPLES);
}

type Context = { before: string; token: string; after: string };
type ContextsOf = (site: string, feature: number) => Promise<{ contexts: Context[] } | null>;

const [EXAMPLES, LOOKED_AT, SHORTEST, LONGEST] = [4, 120, 22, 64]; // the last two in characters
const [RAREST, COMMON] = [2e-4, 0.02];
const LETTERS = 0.75; // of the characters, at least
// what begins as a sentence does, and goes on in words, is read more easily
const PROSE = /^\p{Lu}[\p{L}\p{M}’',;:.!? -]+$/u;

/** The whole words of a context, from the start of a sentence where there is one; null if unfit. */
function tidy({ before, token, after }: Context): string | null {
  // words at either end are cut, unless there is a blank
  const from = /^\s/.test(before) ? 0 : before.search(/\s/);
  const begins = [...before.matchAll(/[.!?\n]["”’]?\s+(?=\p{Lu})/gu)];
  const begin = begins[begins.length - 1];
  const start = begin ? begin.index + begin[0].length : from;
  if (start < 0 || !token.trim()) return null;
  const end = /^\S*\s/.test(after) ? after.replace(/\s\S*$/, "") : "";
  const text = `${before.slice(start)}${token}${end}`.replace(/\s+/g, " ").trim();
  const characters = [...text];
  const letters = characters.filter((one) => /\p{L}/u.test(one)).length;
  const fits = characters.length >= SHORTEST && characters.length <= LONGEST;
  return fits && letters >= LETTERS * characters.length ? text : null;
}
