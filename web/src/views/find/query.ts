/** Which features a search asks for, and in what order: over columns of all features. */

import type { Explorer, NodeColumn } from "../../data/explorer";
import type { State } from "../../state";

export const SORTS = ["relevance", "lifespan", "shared", "frequency", "score", "p"] as const;
export type Sort = (typeof SORTS)[number];

const COLUMNS: Record<Exclude<Sort, "relevance">, NodeColumn> = {
  lifespan: "lifespan",
  shared: "shared_with",
  frequency: "frequency",
  score: "score",
  p: "p_value",
};

/** What features must fulfil; null is no condition. */
export interface Query {
  text: string;
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

/** The query that a state says; `standard` is the order of a list that nothing else orders. */
export function queryOf(state: State, standard: Sort = "lifespan"): Query {
  const { more } = state;
  const number = (name: string) => {
    const value = Number.parseFloat(more[name] ?? "");
    return Number.isFinite(value) ? value : null;
  };
  const [, sign, name] = /^(-?)(.*)$/.exec(more.sort ?? "") ?? [];
  const text = (more.q ?? "").trim();
  const given = SORTS.find((sort) => sort === name);
  const sort = given && (given !== "relevance" || text) ? given : text ? "relevance" : standard;
  return {
    text,
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
 * Numbers of the features that a query asks for, in its order.
 *
 * @param orders all features by a column, kept from one query to the next.
 */
export async function answer(
  explorer: Explorer,
  query: Query,
  orders: Map<string, Uint32Array>,
): Promise<Uint32Array> {
  const [found, tests] = await Promise.all([
    query.text ? firingOn(explorer, query.text) : null,
    testsOf(explorer, query),
  ]);
  const keep = (node: number) => tests.every((test) => test(node));
  if (query.sort === "relevance") {
    const weights = found ?? new Map<number, number>();
    const nodes = Uint32Array.from(weights.keys()).filter(keep);
    const sign = query.descending ? 1 : -1;
    return nodes.sort((x, y) => sign * ((weights.get(y) ?? 0) - (weights.get(x) ?? 0)) || x - y);
  }
  const key = `${query.sort} ${query.descending}`;
  let order = orders.get(key);
  if (!order) {
    order = orderBy(await explorer.column(COLUMNS[query.sort]), query.descending);
    orders.set(key, order);
  }
  if (!found && !tests.length) return order;
  return order.filter((node) => (!found || found.has(node)) && keep(node));
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

/** All features by one column; those without a value last. */
export function orderBy(column: Float64Array, descending: boolean): Uint32Array {
  const sign = descending ? -1 : 1;
  const keys = column.map((value) => (Number.isNaN(value) ? Infinity : sign * value));
  const order = Uint32Array.from(keys, (_, node) => node);
  // two that have no value differ by NaN, and go by number too
  return order.sort((x, y) => keys[x] - keys[y] || x - y);
}

/**
 * Features that fire on tokens like all the words of a text, with how much.
 *
 * A token that is the word counts most, then one that begins with it, then one that holds it.
 */
async function firingOn(explorer: Explorer, text: string): Promise<Map<number, number>> {
  const vocabulary = await explorer.vocabulary();
  const tokens = vocabulary.texts("token");
  const [first, features] = [vocabulary.numbers("first"), vocabulary.numbers("features")];
  let all: Map<number, number> | null = null;
  for (const word of text.toLowerCase().split(/\s+/)) {
    const firing = new Map<number, number>();
    const matching = tokens.flatMap((token, i) => {
      const closeness = token === null ? 0 : closenessOf(token, word);
      return closeness ? [{ i, closeness }] : [];
    });
    await Promise.all(
      matching.map(async ({ i, closeness }) => {
        for (const { node, weight } of await explorer.firing(first[i], features[i])) {
          firing.set(node, Math.max(firing.get(node) ?? 0, closeness * weight));
        }
      }),
    );
    all = all ? both(all, firing) : firing;
  }
  return all ?? new Map();
}

/** Features in both, with the sum of what they have. */
function both(some: Map<number, number>, others: Map<number, number>): Map<number, number> {
  const found = new Map<number, number>();
  for (const [node, weight] of some) {
    const more = others.get(node);
    if (more !== undefined) found.set(node, weight + more);
  }
  return found;
}

/** 1 if a token is the word, less if it begins with it, little if it holds it; else 0. */
export function closenessOf(token: string, word: string): number {
  if (token === word) return 1;
  if (token.startsWith(word)) return 0.6;
  return word.length > 1 && token.includes(word) ? 0.3 : 0;
}
