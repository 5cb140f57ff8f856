/** Which features or tracks a search asks for, and in what order: over columns of all features. */

import type { Explorer, Firing, NodeColumn } from "../../data/explorer";
import { piecesOf, type Vocabulary, wordsOf } from "../../data/vocabulary";
import type { State } from "../../state";

export const SORTS = [
  "clear",
  "relevance",
  "lifespan",
  "shared",
  "frequency",
  "score",
  "p",
] as const;
export type Sort = (typeof SORTS)[number];

const COLUMNS: Record<Exclude<Sort, "relevance">, NodeColumn> = {
  clear: "track",
  lifespan: "lifespan",
  shared: "shared_with",
  frequency: "frequency",
  score: "score",
  p: "p_value",
};

/** What features must fulfil; null is no condition. */
export interface Query {
  text: string;
  /** Whether a word that no token holds is taken apart into pieces. */
  apart: boolean;
  /** Whether a track is listed once, however many of its features are found. */
  tracks: boolean;
  site: string | null;
  /** Least number of layers that it lives. */
  lifespan: number | null;
  /** Bounds of the share of tokens on which it fires. */
  frequencyFrom: number | null;
  frequencyTo: number | null;
  /** Of its target in the next SAE. */
  scoreFrom: number | null;
  pTo: number | null;
  origin: string | null;
  community: number | null;
  sort: Sort;
  descending: boolean;
}

/** What a search found. */
export interface Answer {
  /** How many rows the list has. */
  rows: number;
  /** How many features they stand for. */
  features: number;
  /** Of each row its feature: of a track, the first in order. null: all tracks, as they lie. */
  nodes: Uint32Array | null;
  /** A word that no token holds, and the parts of it that were looked for instead. */
  apart: { word: string; pieces: string[] }[];
  /** Tokens that hold a word, and were left out as too many. */
  left: number;
}

/** The query that a state says. `tracks`: whether the run has tracks. */
export function queryOf(state: State, tracks = true): Query {
  const { more } = state;
  const number = (name: string) => {
    const value = Number.parseFloat(more[name] ?? "");
    return Number.isFinite(value) ? value : null;
  };
  const [, sign, name] = /^(-?)(.*)$/.exec(more.sort ?? "") ?? [];
  const text = (more.q ?? "").trim() || (more.q ?? "");
  const given = SORTS.find((sort) => sort === name);
  const sort = given && (given !== "relevance" || text) ? given : text ? "relevance" : "clear";
  return {
    text,
    apart: true,
    tracks: tracks && more.list !== "features",
    site: more.site ?? null,
    lifespan: number("life"),
    frequencyFrom: number("from"),
    frequencyTo: number("to"),
    scoreFrom: number("score"),
    pTo: number("p"),
    origin: more.origin ?? null,
    community: number("community"),
    sort,
    // the largest first, but of p-values the smallest; a minus turns it round
    descending: (sort !== "p") !== (sign === "-"),
  };
}

/**
 * What a query asks for, in its order.
 *
 * @param orders all features by a column, kept from one query to the next.
 */
export async function answer(
  explorer: Explorer,
  query: Query,
  orders: Map<string, Uint32Array>,
): Promise<Answer> {
  const [found, tests] = await Promise.all([
    query.text ? search(explorer, query) : null,
    testsOf(explorer, query),
  ]);
  const { apart, left } = found ?? { apart: [], left: 0 };
  const all = !found && !tests.length;
  if (all && query.tracks && query.sort === "clear" && query.descending) {
    const { tracks: rows, nodes: features } = explorer.index;
    return { rows, features, nodes: null, apart, left };
  }
  const nodes = await ordered(explorer, query, found?.firing ?? null, tests, orders);
  const listed = query.tracks
    ? onePerTrack(nodes, await trackOf(explorer, found?.firing ?? null))
    : nodes;
  return { rows: listed.length, features: nodes.length, nodes: listed, apart, left };
}

/** The row of a feature's track: postings tell it of what they find. */
async function trackOf(explorer: Explorer, firing: Map<number, Firing> | null) {
  if (firing) return (node: number) => firing.get(node)?.track ?? NaN;
  const tracks = await explorer.column("track");
  return (node: number) => tracks[node];
}

async function ordered(
  explorer: Explorer,
  query: Query,
  firing: Map<number, Firing> | null,
  tests: Test[],
  orders: Map<string, Uint32Array>,
): Promise<Uint32Array> {
  const keep = (node: number) => tests.every((test) => test(node));
  if (firing && query.sort === "relevance") {
    const nodes = Uint32Array.from(firing.keys()).filter(keep).sort();
    const strengths = Float64Array.from(nodes, (node) => firing.get(node)?.strength ?? NaN);
    const tracks = Float64Array.from(nodes, (node) => firing.get(node)?.track ?? NaN);
    return orderBy(strengths, query.descending, tracks).map((i) => nodes[i]);
  }
  const key = `${query.sort} ${query.descending}`;
  let order = orders.get(key);
  if (!order) {
    const names: NodeColumn[] = [COLUMNS[query.sort as keyof typeof COLUMNS], "track"];
    const [values, tracks] = await Promise.all(names.map((name) => explorer.column(name)));
    // the clearest tracks have the first rows
    const descending = query.sort === "clear" ? !query.descending : query.descending;
    order = orderBy(values, descending, tracks);
    orders.set(key, order);
  }
  if (!firing && !tests.length) return order;
  return order.filter((node) => (!firing || firing.has(node)) && keep(node));
}

/** The first feature of each track, in the order of the features. */
export function onePerTrack(nodes: Uint32Array, track: (node: number) => number): Uint32Array {
  const seen = new Set<number>();
  return nodes.filter((node) => {
    const its = track(node);
    if (seen.has(its)) return false;
    seen.add(its);
    return true;
  });
}

type Test = (node: number) => boolean;

async function testsOf(explorer: Explorer, query: Query): Promise<Test[]> {
  const tests: Promise<Test>[] = [];
  const column = async (name: NodeColumn, test: (value: number) => boolean): Promise<Test> => {
    const values = await explorer.column(name);
    return (node) => test(values[node]);
  };
  const least = (name: NodeColumn, bound: number | null) =>
    bound !== null && tests.push(column(name, (value) => value >= bound));
  const most = (name: NodeColumn, bound: number | null) =>
    bound !== null && tests.push(column(name, (value) => value <= bound));
  if (query.site) {
    const place = explorer.index.sites.find((site) => site.name === query.site);
    const [start, end] = place ? [place.start, place.start + place.features] : [0, 0];
    tests.push(Promise.resolve((node) => node >= start && node < end));
  }
  least("lifespan", query.lifespan);
  least("frequency", query.frequencyFrom);
  most("frequency", query.frequencyTo);
  least("score", query.scoreFrom);
  most("p_value", query.pTo);
  if (query.origin) {
    const code = explorer.index.origins.indexOf(query.origin);
    tests.push(column("origin", (value) => value === code));
  }
  if (query.community !== null) {
    tests.push(column("community", (value) => value === query.community));
  }
  return Promise.all(tests);
}

/** Rows by one column; those without a value last, and those alike by their track. */
export function orderBy(
  column: Float64Array,
  descending: boolean,
  tracks: Float64Array,
): Uint32Array {
  const sign = descending ? -1 : 1;
  const keys = column.map((value) => (Number.isNaN(value) ? Infinity : sign * value));
  const order = Uint32Array.from(keys, (_, node) => node);
  // two that have no value differ by NaN, and go by their track too
  return order.sort((x, y) => keys[x] - keys[y] || tracks[x] - tracks[y] || x - y);
}

interface Searched {
  /** Features that fire on tokens like all the words, with how much. */
  firing: Map<number, Firing>;
  apart: Answer["apart"];
  left: number;
}

async function search(explorer: Explorer, { text, apart: may }: Query): Promise<Searched> {
  const vocabulary = await explorer.vocabulary();
  const apart: Answer["apart"] = [];
  let left = 0;
  let all: Map<number, Firing> | null = null;
  for (const word of wordsOf(text)) {
    const parts = partsOf(vocabulary, word, may);
    if (parts.some((part) => part.word !== word)) {
      apart.push({ word, pieces: parts.map((part) => part.word) });
    }
    const firing = new Map<number, Firing>();
    for (const { found } of parts) {
      left += found.left;
      for (const [node, its] of await explorer.firing(found.near)) add(firing, node, its);
    }
    if (all) {
      // only what fires on each of the words
      for (const [node, its] of all) firing.has(node) && add(firing, node, its);
      for (const node of firing.keys()) all.has(node) || firing.delete(node);
    }
    all = firing;
  }
  return { firing: all ?? new Map(), apart, left };
}

function add(firing: Map<number, Firing>, node: number, { strength, track }: Firing) {
  firing.set(node, { strength: strength + (firing.get(node)?.strength ?? 0), track });
}

/** A word with the tokens like it; where there is none, its pieces, if there are of these. */
function partsOf(vocabulary: Vocabulary, word: string, apart: boolean) {
  const whole = { word, found: vocabulary.like(word) };
  if (whole.found.near.length || whole.found.left || !apart) return [whole];
  const pieces = piecesOf(word).flatMap((piece) =>
    // marks that are no token together are looked for one by one
    /[\p{L}\p{N}]/u.test(piece) || exactly(vocabulary, piece).length ? [piece] : [...piece],
  );
  if (pieces.length < 2) return [whole];
  return [...new Set(pieces)]
    .map((piece) => ({ word: piece, found: { near: exactly(vocabulary, piece), left: 0 } }))
    .filter(({ found }) => found.near.length);
}

function exactly(vocabulary: Vocabulary, word: string) {
  return vocabulary.like(word).near.filter(({ closeness }) => closeness === 1);
}
