/** A feature with all that is drawn of it, as the tables of lives have it. */

import type { Index } from "./explorer";
import type { Frame } from "./parquet";
import type { Mode } from "./run";
import { visible } from "./tokens";

/** An edge of a feature in the flow graph; NaN where a figure is not known. */
export interface Edge {
  /** Number of the other feature. */
  other: number;
  kind: "match" | "target" | "candidate" | "source";
  rank: number;
  sourceRank: number;
  score: number;
  cosine: number;
  p: number;
  sourceP: number;
  pearson: number;
}

/** A feature with all that is drawn of it; NaN and null are what is not known. */
export interface Life {
  node: number;
  site: string;
  feature: number;
  label: string | null;
  /** Who says what it means; null where the label is the tokens it fires on. */
  labelSource: string | null;
  frequency: number;
  threshold: number;
  maxActivation: number;
  /** Row of its track's first feature in the tables of lives, and how many it has. */
  first: number;
  length: number;
  /** Of the link that leads to it on its track. */
  score: number;
  p: number;
  cosine: number;
  encoderCosine: number;
  mse: number;
  mseFolded: number;
  pearson: number;
  out: Edge[];
  in: Edge[];
  split: number;
  merge: number;
  /** Code of its origin, its community, row of its contexts. */
  origin: number | null;
  community: number | null;
  context: number | null;
  /** Where the longest track of each mode through it lies in flow/tracks.parquet. */
  tracks: Partial<Record<Mode, { row: number; length: number }>>;
}

/** The feature of a row of the tables of lives. */
export function lifeOf(frame: Frame, i: number, index: Index): Life {
  const number = (name: string) => frame.numbers(name)[i];
  const known = (name: string) => (Number.isNaN(number(name)) ? null : number(name));
  const { name: site, start } = index.sites[number("site")];
  const tracks: Life["tracks"] = {};
  for (const mode of index.modes) {
    const row = number(`${mode}_row`);
    if (!Number.isNaN(row)) tracks[mode] = { row, length: number(`${mode}_length`) };
  }
  const edges = (name: string) =>
    ((frame.values(name)[i] ?? []) as RawEdge[]).map((edge) => edgeOf(edge, index.kinds));
  return {
    node: start + number("feature"),
    site,
    feature: number("feature"),
    label: shown(frame.texts("label")[i]),
    labelSource: shown(frame.texts("label_source")[i]),
    frequency: number("frequency"),
    threshold: number("threshold"),
    maxActivation: number("max_activation"),
    first: number("first"),
    length: number("length"),
    score: number("score"),
    p: number("p_value"),
    cosine: number("decoder_cosine"),
    encoderCosine: number("encoder_cosine"),
    mse: number("decoder_mse"),
    mseFolded: number("decoder_mse_folded"),
    pearson: number("pearson"),
    out: edges("out"),
    in: edges("in"),
    split: number("split"),
    merge: number("merge"),
    origin: known("origin"),
    community: known("community"),
    context: known("context"),
    tracks,
  };
}

/**
 * A feature with the measures of the link from the one before it on a track of another mode: those
 * that its edge has. Where a track begins there is no link: the one of its own mode is not there.
 */
export function withLink(step: Life, before: Life | undefined): Life {
  const edge = step.in.find((known) => known.other === before?.node);
  return {
    ...step,
    cosine: edge?.cosine ?? NaN,
    pearson: edge?.pearson ?? NaN,
    encoderCosine: NaN,
    mse: NaN,
    mseFolded: NaN,
  };
}

/** A label as it can be read. */
export function shown(label: string | null): string | null {
  return label === null ? null : visible(label);
}

type RawEdge = Record<string, number | bigint | null>;

function edgeOf(edge: RawEdge, kinds: readonly string[]): Edge {
  const number = (name: string) => (edge[name] === null ? NaN : Number(edge[name]));
  return {
    other: number("other"),
    kind: kinds[number("kind")] as Edge["kind"],
    rank: number("rank"),
    sourceRank: number("source_rank"),
    score: number("score"),
    cosine: number("cosine"),
    p: number("p_value"),
    sourceP: number("source_p_value"),
    pearson: number("pearson"),
  };
}
