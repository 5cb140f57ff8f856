/** Tables under explorer/, made for this page: features by number, lives by track, tokens. */

import { FileError, type Opener } from "./files";
import { type Edge, type Life, lifeOf, shown, withLink } from "./life";
import type { Frame, Reader } from "./parquet";
import { type Mode, RunError } from "./run";
import { type Near, Vocabulary } from "./vocabulary";

export type { Edge, Life } from "./life";

export interface Place {
  name: string;
  /** Number of its first feature among all features of the run. */
  start: number;
  features: number;
  layer: number | null;
  kind: string | null;
  stream: string | null;
  in_chain: boolean;
  contexts: boolean;
}

export interface Index {
  format: string;
  format_version: number;
  sites: Place[];
  chain: string[] | null;
  modes: Mode[];
  mode: Mode | null;
  kinds: string[];
  origins: string[];
  nodes: number;
  /** Rows of the table of tracks: tracks, and features on none. */
  tracks: number;
  /** Lives lie in files of so many rows. */
  life: { rows: number; files: number };
  /** Rows of the table of tracks: some to begin with. */
  examples?: number[];
  tables: Record<string, string>;
  /** Of `explore RUN --against RUN2`: what tells the two runs apart. */
  against?: { names: [string, string]; methods: [string, string]; runs: [string, string] };
}

/** A column of all features by number; NaN is what is not known. */
export type NodeColumn =
  | "lifespan"
  | "frequency"
  | "score"
  | "p_value"
  | "origin"
  | "community"
  | "track"
  | SharedColumn;

/** Columns that a comparison has: by how many other SAEs a feature is shared, and where. */
type SharedColumn = (typeof SHARED)[number];
const SHARED = ["shared_with", "cluster", "nearest"] as const;

/** What a list shows of a feature. `score` and `p` are of its target in the next SAE. */
export interface Listed {
  node: number;
  label: string | null;
  /** Around the place where it fires most; null where that is not known. */
  snippet: { before: string; token: string; after: string } | null;
  /** Row of its track in the table of tracks. */
  track: number;
  lifespan: number;
  frequency: number;
  score: number;
  p: number;
}

/** How much a feature fires on what is searched for, and the row of its track. */
export interface Firing {
  strength: number;
  track: number;
}

/** What a list shows of a track. */
export interface TrackRow {
  /** The feature that is clearest. */
  node: number;
  label: string | null;
  /** A sign for each SAE of the chain up to its last feature; null of features off the chain. */
  line: string | null;
  length: number;
}

export class Explorer {
  private readonly rowOf = new Map<string, number>();
  private words: Promise<Vocabulary> | null = null;

  constructor(
    readonly index: Index,
    readonly reader: Reader,
  ) {
    for (const [i, site] of index.sites.entries()) this.rowOf.set(site.name, i);
  }

  /** Number of a feature among all of the run. */
  node(site: string, feature: number): number {
    return this.site(site).start + feature;
  }

  site(name: string): Place {
    const row = this.rowOf.get(name);
    if (row === undefined) throw new RunError(`the run has no SAE ${name}`);
    return this.index.sites[row];
  }

  /** The feature that has a number. */
  feature(node: number): { site: string; feature: number } {
    const sites = this.index.sites;
    let [low, high] = [0, sites.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (sites[middle].start <= node) low = middle;
      else high = middle - 1;
    }
    return { site: sites[low].name, feature: node - sites[low].start };
  }

  /** One column of all features by number. */
  async column(name: NodeColumn): Promise<Float64Array> {
    const table = SHARED.some((its) => its === name) ? "shared" : "nodes";
    return (await this.reader.read(this.table(table), [name])).numbers(name);
  }

  /** What a list shows of a feature. */
  async listed(node: number): Promise<Listed> {
    const frame = await this.row("labels", undefined, node);
    const text = (name: string) => frame.texts(name)[0];
    const number = (name: string) => frame.numbers(name)[0];
    const token = text("token");
    return {
      node,
      label: shown(text("label")),
      snippet:
        token === null ? null : { before: text("before") ?? "", token, after: text("after") ?? "" },
      track: number("track"),
      lifespan: number("lifespan"),
      frequency: number("frequency"),
      score: number("score"),
      p: number("p_value"),
    };
  }

  /** What a list shows of a track, by its row in the table of tracks. */
  async trackRow(row: number): Promise<TrackRow> {
    const frame = await this.row("tracks", ["node", "label", "line", "length"], row);
    return {
      node: frame.numbers("node")[0],
      label: shown(frame.texts("label")[0]),
      line: frame.texts("line")[0],
      length: frame.numbers("length")[0],
    };
  }

  /** Labels of some features by number. */
  async labels(nodes: readonly number[]): Promise<Map<number, string | null>> {
    const found = new Map<number, string | null>();
    await Promise.all(nodes.map(async (node) => found.set(node, await this.label(node))));
    return found;
  }

  /** Labels of all features of an SAE. */
  async labelsOf(name: string): Promise<readonly (string | null)[]> {
    const { start, features } = this.site(name);
    const rows = [start, start + features] as const;
    const frame = await this.reader.read(this.table("labels"), ["label"], {}, rows);
    return frame.texts("label").map(shown);
  }

  /** How each feature of A and its target fire: `pearson`, and `common`, tokens in common. */
  firingOf(a: string, b: string): Promise<Frame> {
    return this.reader.read(`explorer/firing/${a}--${b}.parquet`);
  }

  /** Which features of an SAE are clear: they fire on few tokens, mostly on one. */
  async clearOf(name: string): Promise<readonly boolean[]> {
    const { start, features } = this.site(name);
    const rows = [start, start + features] as const;
    const frame = await this.reader.read(this.table("nodes"), ["clear"], {}, rows);
    return frame.flags("clear").map((clear) => clear === true);
  }

  private async label(node: number): Promise<string | null> {
    return shown((await this.row("labels", ["label"], node)).texts("label")[0]);
  }

  /** Where what a feature fires on stands among the contexts of its SAE; null if nowhere. */
  async contextRow(node: number): Promise<number | null> {
    const row = (await this.row("nodes", ["context"], node)).numbers("context")[0];
    return Number.isNaN(row) ? null : row;
  }

  /** One feature. */
  async life(site: string, feature: number): Promise<Life> {
    const place = this.site(site);
    if (feature >= place.features) {
      throw new RunError(`${site} has ${place.features} features, from 0: there is no ${feature}`);
    }
    const frame = await this.row("nodes", ["life"], place.start + feature);
    const row = frame.numbers("life")[0];
    return (await this.lives(row, row + 1))[0];
  }

  /** Reads ahead what `life` needs of a feature that may be opened next. */
  foresee(node: number): void {
    const { site, feature } = this.feature(node);
    // whoever opens it is told what is wrong
    this.life(site, feature).catch(() => {});
  }

  /** Features of some rows of the tables of lives: of a track, as they follow one another. */
  async lives(first: number, end: number): Promise<Life[]> {
    const { rows } = this.index.life;
    const files: Promise<Frame>[] = [];
    for (let file = Math.floor(first / rows); file * rows < end; file++) {
      const place = `explorer/life/${String(file).padStart(5, "0")}.parquet`;
      const range = [Math.max(0, first - file * rows), Math.min(rows, end - file * rows)] as const;
      files.push(this.reader.read(place, undefined, {}, range));
    }
    return (await Promise.all(files)).flatMap((frame) =>
      Array.from({ length: frame.length }, (_, i) => lifeOf(frame, i, this.index)),
    );
  }

  /**
   * The track of a mode that a feature is on, from its first feature to its last.
   *
   * Of the mode that lives are ordered by, that is one range of rows; else the features are looked
   * up one by one.
   */
  async track(life: Life, mode: Mode | null): Promise<Life[]> {
    if (!this.index.mode) return this.matches(life);
    const place = mode ? life.tracks[mode] : undefined;
    if (mode === this.index.mode) return this.lives(life.first, life.first + life.length);
    // in no track of this mode, it has no links, whatever those of the others are
    if (!place) return [withLink({ ...life, score: NaN, p: NaN }, undefined)];
    const frame = await this.reader.read(
      "flow/tracks.parquet",
      ["site", "feature", "score", "p_value"],
      {},
      [place.row, place.row + place.length],
    );
    const [site, feature] = [frame.texts("site"), frame.numbers("feature")];
    const [score, p] = [frame.numbers("score"), frame.numbers("p_value")];
    const steps = await Promise.all(
      site.map(async (name, i) => {
        const life = await this.life(name as string, feature[i]);
        return { ...life, score: score[i], p: p[i] };
      }),
    );
    return steps.map((step, i) => withLink(step, steps[i - 1]));
  }

  /** Accepted matches before a feature and after it along the chain, in a run without tracks. */
  private async matches(life: Life): Promise<Life[]> {
    const chain = this.index.chain ?? [];
    const next = async (from: Life, edges: readonly Edge[], step: 1 | -1) => {
      const site = chain[chain.indexOf(from.site) + step];
      const edge = edges.find((e) => e.kind === "match" && this.feature(e.other).site === site);
      if (!chain.includes(from.site) || !edge) return null;
      const { feature } = this.feature(edge.other);
      return { life: await this.life(site, feature), edge };
    };
    const track = [life];
    for (let found = await next(life, life.out, 1); found; ) {
      const { score, p } = found.edge;
      track.push(withLink({ ...found.life, score, p }, track[track.length - 1]));
      found = await next(found.life, found.life.out, 1);
    }
    for (let found = await next(life, life.in, -1); found; ) {
      const { score, p } = found.edge;
      track[0] = withLink({ ...track[0], score, p }, found.life);
      track.unshift(found.life);
      found = await next(found.life, found.life.in, -1);
    }
    return track;
  }

  /** What the table of tracks says of the tracks to begin with. */
  async examples(): Promise<Record<string, unknown>[]> {
    const { examples = [], tables } = this.index;
    const columns = ["node", "label", "line"];
    const read = (row: number) =>
      this.reader.read(tables.tracks, columns, {}, [row, row + 1] as const);
    return (await Promise.all(examples.map(read))).map((frame) => frame.row(0));
  }

  /** Tokens of the top contexts of all features; read whole once, for searching. */
  vocabulary(): Promise<Vocabulary> {
    if (!this.words) {
      this.words = this.reader.read(this.table("vocabulary")).then((all) => new Vocabulary(all));
      this.words.catch(() => {
        this.words = null;
      });
    }
    return this.words;
  }

  /**
   * Which features fire on some tokens: how much, by the largest product of closeness and weight.
   *
   * @param most postings read of each token, the most first.
   */
  async firing(tokens: readonly Near[], most = Infinity): Promise<Map<number, Firing>> {
    const found = new Map<number, Firing>();
    const spans: Near[][] = [];
    let end = -Infinity;
    for (const one of [...tokens].sort((x, y) => x.first - y.first)) {
      // what lies side by side is read at once
      if (one.first > end + ASIDE) spans.push([]);
      spans[spans.length - 1].push(one);
      end = one.first + one.features;
    }
    await Promise.all(
      spans.map(async (span) => {
        const from = span[0].first;
        const last = span[span.length - 1];
        const range = [from, last.first + Math.min(last.features, most)] as const;
        const frame = await this.reader.read(this.table("postings"), POSTING, {}, range);
        const [node, weight, track] = POSTING.map((name) => frame.numbers(name));
        for (const { first, features, closeness } of span) {
          const until = first - from + Math.min(features, most);
          for (let i = first - from; i < until; i++) {
            const strength = closeness * weight[i];
            if (strength > (found.get(node[i])?.strength ?? 0)) {
              found.set(node[i], { strength, track: track[i] });
            }
          }
        }
      }),
    );
    return found;
  }

  /** A small table, whole; null where the run has none. */
  async whole(
    name: "communities" | "pairs" | "links" | "relations" | "against_steps" | `causes_${string}`,
  ): Promise<Frame | null> {
    const place = this.index.tables[name];
    return place ? this.reader.read(place) : null;
  }

  private table(name: string): string {
    const place = this.index.tables[name];
    if (!place) throw new RunError(`the run has no table ${name} for this page: ${PREPARE}`);
    return place;
  }

  private row(table: string, columns: readonly string[] | undefined, row: number): Promise<Frame> {
    return this.reader.read(this.table(table), columns, {}, [row, row + 1]);
  }
}

/** The tables of a run for this page. */
export async function openExplorer(open: Opener, reader: Reader): Promise<Explorer> {
  let index: Index;
  try {
    const file = await open("explorer/index.json");
    index = JSON.parse(new TextDecoder().decode(await file.slice(0))) as Index;
  } catch (error) {
    if (error instanceof FileError && error.status === 404) {
      throw new RunError(`the run has no tables for this page: ${PREPARE}`);
    }
    throw error;
  }
  return new Explorer(index, reader);
}

const POSTING = ["node", "weight", "track"];
const ASIDE = 2048; // rows of postings that are read rather than asked for anew
const PREPARE = "`saematch explore RUN`, with or without --export, makes them";
