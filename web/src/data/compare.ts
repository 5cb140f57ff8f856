/** What several SAEs share: docs/reference/explorer.md, `shared`, and the tables of pairs. */

import type { Explorer } from "./explorer";
import type { Run } from "./run";
import type { Data } from "./tables";

/** By how many SAEs every feature is shared, by its number; NaN is what is not known. */
export interface Sharing {
  /** How many other SAEs share it. */
  with: Float64Array;
  /** The cluster that it is in; NaN of those that none shares. */
  cluster: Float64Array;
  /** Its largest decoder cosine with a feature of another SAE that it is assigned to. */
  nearest: Float64Array;
  /** Numbers of the features of each cluster. */
  members: readonly (readonly number[])[];
}

/** Null of a run that compares nothing, or not yet. */
export async function loadSharing(explorer: Explorer): Promise<Sharing | null> {
  if (!explorer.index.tables.shared) return null;
  const [shared, cluster, nearest] = await Promise.all([
    explorer.column("shared_with"),
    explorer.column("cluster"),
    explorer.column("nearest"),
  ]);
  return { with: shared, cluster, nearest, members: membersOf(cluster) };
}

export function membersOf(cluster: Float64Array): number[][] {
  const members: number[][] = [];
  cluster.forEach((its, node) => {
    if (Number.isNaN(its)) return;
    while (members.length <= its) members.push([]);
    members[its].push(node);
  });
  return members;
}

/** Features of an SAE that are shared with exactly `others` other SAEs, in a list's order. */
export function sharedExactly(
  sharing: Sharing,
  [start, end]: readonly [number, number],
  others: number,
  by: { column: Float64Array; descending: boolean },
): number[] {
  const found: number[] = [];
  for (let node = start; node < end; node++) if (sharing.with[node] === others) found.push(node);
  const sign = by.descending ? -1 : 1;
  const key = (node: number) => {
    const value = by.column[node];
    return Number.isNaN(value) ? Infinity : sign * value;
  };
  // two that have no value differ by NaN, and go by number
  return found.sort((x, y) => key(x) - key(y) || x - y);
}

/** A cluster: features that shared pairs join. */
export interface Cluster {
  cluster: number;
  members: readonly number[];
  /** SAEs that it touches. */
  saes: number;
  /** Every two of its features are shared. */
  complete: boolean;
  /** It has two features of one SAE. */
  tangled: boolean;
  /** The least of its features' `nearest`. */
  close: number;
}

/** All clusters: those of most SAEs first, of these complete ones, then the closest. */
export async function loadClusters(
  run: Run,
  explorer: Explorer,
  sharing: Sharing,
): Promise<Cluster[]> {
  const place = run.manifest.compare?.tables.clusters;
  if (!place) return [];
  const frame = await explorer.reader.read(place);
  const [cluster, saes] = [frame.numbers("cluster"), frame.numbers("saes")];
  const [complete, tangled] = [frame.flags("complete"), frame.flags("tangled")];
  const clusters = Array.from({ length: frame.length }, (_, i) => {
    const members = sharing.members[cluster[i]] ?? [];
    return {
      cluster: cluster[i],
      members,
      saes: saes[i],
      complete: complete[i] === true,
      tangled: tangled[i] === true,
      // a cluster is as close as its loosest member
      close: Math.min(...members.map((node) => sharing.nearest[node])),
    };
  });
  return clusters.sort(
    (x, y) =>
      y.saes - x.saes ||
      Number(y.complete) - Number(x.complete) ||
      (y.close || 0) - (x.close || 0) ||
      x.cluster - y.cluster,
  );
}

/** What the matching with one other SAE says of a feature. */
export interface Counterpart {
  sae: string;
  /** -1 where it is assigned to none. */
  feature: number;
  shared: boolean;
  cosine: number;
  encoderCosine: number;
  p: number;
}

const COLUMNS = ["feature", "target", "matched", "decoder_cosine", "encoder_cosine", "p_value"];

/** The feature's counterpart in each other SAE, whether shared or not. */
export function counterparts(
  run: Run,
  data: Data,
  site: string,
  feature: number,
): Promise<Counterpart[]> {
  const others = run.names.filter((name) => name !== site);
  return Promise.all(others.map((sae) => counterpart(run, data, site, feature, sae)));
}

async function counterpart(
  run: Run,
  data: Data,
  site: string,
  feature: number,
  sae: string,
): Promise<Counterpart> {
  const forward = run.pair(site, sae);
  const pair = forward ?? run.pair(sae, site);
  const [own, its] = forward ? ["feature", "target"] : ["target", "feature"];
  const none = { feature: -1, shared: false, cosine: NaN, encoderCosine: NaN, p: NaN };
  if (!pair) return { sae, ...none };
  const frame = await data.reader.read(pair.table, COLUMNS, { [own]: feature });
  const matched = frame.flags("matched");
  const row = Math.max(0, matched.indexOf(true));
  const other = frame.numbers(its)[row];
  if (!frame.length || Number.isNaN(other)) return { sae, ...none };
  return {
    sae,
    feature: other,
    shared: matched[row] === true,
    cosine: frame.numbers("decoder_cosine")[row],
    encoderCosine: frame.numbers("encoder_cosine")[row],
    p: frame.numbers("p_value")[row],
  };
}

/** Two features of a cluster that are shared. */
export interface SharedPair {
  a: number;
  b: number;
  cosine: number;
}

/** The shared pairs among features, by their numbers. */
export async function sharedPairs(
  run: Run,
  data: Data,
  explorer: Explorer,
  members: readonly number[],
): Promise<SharedPair[]> {
  const there = new Set(members);
  const found = members.flatMap((a) => {
    const { site, feature } = explorer.feature(a);
    return run.from(site).map(async (pair): Promise<SharedPair[]> => {
      const frame = await data.reader.read(pair.table, COLUMNS, { feature });
      const target = frame.numbers("target")[0];
      if (!frame.flags("matched")[0] || Number.isNaN(target)) return [];
      const b = explorer.node(pair.b, target);
      return there.has(b) ? [{ a, b, cosine: frame.numbers("decoder_cosine")[0] }] : [];
    });
  });
  return (await Promise.all(found)).flat();
}
