/** run.json, as docs/reference/run-directory.md describes it, and what follows from it. */

export interface Site {
  hook: string;
  kind: string | null;
  layer: number | null;
}

export interface Sae {
  name: string;
  d_in: number;
  d_sae: number;
  d_out: number;
  threshold_kind: string;
  excluded: Record<string, number>;
  features: string;
  contexts: string | null;
  conventions: {
    activation?: string;
    architecture?: string;
    site?: Site | null;
    model?: string | null;
    source?: string | null;
    neuronpedia_id?: string | null;
    notes?: string[];
  };
}

/** Figures of a pair; the ones read here by name, and `median_X`, `identity_X` besides. */
export interface Summary {
  method: string;
  fold: string;
  features_a: number;
  features_b: number;
  excluded_a: number;
  excluded_b: number;
  null: string;
  fdr: number | null;
  p_cut: number | null;
  assigned: number;
  matched: number;
  median_score: number | null;
  /** What p-values are of; runs of before it was told have null_score instead. */
  test?: "direction" | "score";
  median_statistic?: number | null;
  null_statistic?: number | null;
  null_score?: number | null;
  mutual_share: number | null;
  identity_share: number | null;
  seconds: number;
  [figure: string]: unknown;
}

export interface Tested {
  name: string;
  median: number | null;
  chance: number | null;
}

/** What was tested of a pair: its name, its median over the matches, and what chance reaches. */
export function testedOf(summary: Summary): Tested {
  return {
    name: summary.test === "direction" ? "similarity" : "score",
    median: summary.median_statistic ?? summary.median_score,
    chance: summary.null_statistic ?? summary.null_score ?? null,
  };
}

export interface Pair {
  a: string;
  b: string;
  table: string;
  candidates: string;
  sources: string;
  nulls: string;
  summary: Summary;
  notes: string[];
}

export interface ModeFigures {
  tracks: number;
  longer_than_one: number;
  mean_length: number;
  median_length: number;
  whole: number;
  skips: number;
  births: number;
  deaths: number;
}

export interface Flow {
  tables: Record<string, string>;
  chain: string[];
  modes: Record<string, ModeFigures>;
  composition: { steps: number; agreement: number | null; kept: number | null }[];
  splits: number;
  merges: number;
  edges: number;
  communities: number;
  origins: { site: string; origin: string; features: number; share: number }[];
}

export interface Section {
  tables: Record<string, string>;
  [more: string]: unknown;
}

/** What N SAEs share. A row of `exactly` has `features_NAME` of every SAE besides. */
export interface Compared extends Section {
  /** Of each SAE, the features that take part. */
  features: Record<string, number>;
  shared: { a: string; b: string; shared: number }[];
  exactly: ({ n: number; clusters: number; complete: number; tangled: number } & Record<
    string,
    number
  >)[];
}

export interface Manifest {
  format: string;
  format_version: number;
  saematch: string;
  command: string;
  options: Record<string, unknown>;
  created: string;
  finished: string | null;
  saes: Sae[];
  pairs: Pair[];
  flow?: Flow;
  compare?: Compared;
  relations?: Section;
  evaluation?: Section;
  judging?: Section;
  circuits?: Section;
  causes?: Section;
  dashboards?: Section;
  /** Tables made for this page alone, where the run has them. */
  explorer?: Section;
}

/** What a site is part of: the residual stream, attention, the MLP, or something else. */
export type Lane = "attn" | "stream" | "mlp" | "other";

/** Modes of tracks, those that pass over layers first. */
const MODES = ["gaps", "flow", "chained"] as const;
export type Mode = (typeof MODES)[number];

const VERSION = 2;
// the way through one block
const WITHIN = ["resid_pre", "attn_z", "attn_out", "resid_mid", "mlp_in", "mlp_out", "resid_post"];

/** A run that this page cannot show. */
export class RunError extends Error {}

/** A run: its SAEs in order of depth, its pairs, and what tables it has. */
export class Run {
  readonly saes: readonly Sae[];
  /** SAEs that tracks run along, in order of depth. */
  readonly chain: readonly string[];
  readonly pairs: readonly Pair[];
  private readonly bySae: ReadonlyMap<string, Sae>;
  private readonly byPair: ReadonlyMap<string, Pair>;

  constructor(readonly manifest: Manifest) {
    this.saes = inDepth(manifest.saes);
    this.bySae = new Map(manifest.saes.map((sae) => [sae.name, sae]));
    this.pairs = manifest.pairs;
    this.byPair = new Map(manifest.pairs.map((pair) => [key(pair.a, pair.b), pair]));
    const stream = this.saes.filter((sae) => this.lane(sae.name) === "stream");
    const along = (stream.length ? stream : this.saes).map((sae) => sae.name);
    this.chain = manifest.flow?.chain ?? (this.compared ? [] : along);
  }

  /** The run that a text of run.json describes. */
  static parse(text: string): Run {
    let manifest: Manifest;
    try {
      manifest = JSON.parse(text) as Manifest;
    } catch {
      throw new RunError("run/run.json is not JSON: is the run still being written?");
    }
    if (manifest.format !== "saematch run") {
      throw new RunError("run/run.json is not the run.json of a saematch run");
    }
    if (manifest.format_version > VERSION) {
      throw new RunError(
        `the run has format ${manifest.format_version}, this page reads up to ${VERSION}: ` +
          "open it with a newer saematch",
      );
    }
    return new Run(manifest);
  }

  /** Whether its SAEs stand beside each other, as `saematch compare` leaves them: no tracks. */
  get compared(): boolean {
    const { command, compare, flow } = this.manifest;
    return !flow && (command === "compare" || compare !== undefined);
  }

  get names(): string[] {
    return this.saes.map((sae) => sae.name);
  }

  has(name: string): boolean {
    return this.bySae.has(name);
  }

  sae(name: string): Sae {
    const sae = this.bySae.get(name);
    if (!sae) throw new RunError(`the run has no SAE ${name}; it has ${this.names.join(", ")}`);
    return sae;
  }

  pair(a: string, b: string): Pair | undefined {
    return this.byPair.get(key(a, b));
  }

  /** Pairs from an SAE onwards, and pairs that lead to it. */
  from(name: string): Pair[] {
    return this.pairs.filter((pair) => pair.a === name);
  }

  to(name: string): Pair[] {
    return this.pairs.filter((pair) => pair.b === name);
  }

  lane(name: string): Lane {
    const kind = this.sae(name).conventions.site?.kind ?? "";
    if (kind.startsWith("attn")) return "attn";
    if (kind.startsWith("mlp")) return "mlp";
    return kind === "" || kind.startsWith("resid") ? "stream" : "other";
  }

  layer(name: string): number | null {
    return this.sae(name).conventions.site?.layer ?? null;
  }

  /** A short name for axes: `pre 0`, `3` for what leaves block 3, else the name. */
  short(name: string): string {
    const site = this.sae(name).conventions.site;
    const alike = this.saes.filter((other) => {
      const its = other.conventions.site;
      return its && site && its.kind === site.kind && its.layer === site.layer;
    });
    if (!site?.kind || site.layer === null || alike.length > 1) return name;
    const names: Record<string, string> = { resid_post: "", resid_pre: "pre ", resid_mid: "mid " };
    return `${names[site.kind] ?? `${site.kind.replace(/_(out|z|in)$/, "")} `}${site.layer}`;
  }

  /** Place of a table of the flow, if the run has it. */
  flow(name: string): string | undefined {
    return this.manifest.flow?.tables[name];
  }

  /** Modes of tracks that the run has. */
  get modes(): Mode[] {
    const there = this.manifest.flow?.modes ?? {};
    return MODES.filter((mode) => mode in there);
  }

  /** Neighbours along the chain, with their pair where it is matched. */
  get steps(): { a: string; b: string; pair: Pair | undefined }[] {
    return this.chain.slice(1).map((b, i) => {
      const a = this.chain[i];
      return { a, b, pair: this.pair(a, b) };
    });
  }

  /** What the SAEs are of, for the page's title. */
  get model(): string {
    return [...new Set(this.manifest.saes.map((sae) => sae.conventions.model ?? ""))]
      .filter(Boolean)
      .join(", ");
  }
}

/** What a user types or reads for a feature: `3_100` where the layer says enough, else `site/100`. */
export function featureName(site: string, feature: number): string {
  return `${site}/${feature}`;
}

function inDepth(saes: readonly Sae[]): Sae[] {
  const depth = (sae: Sae): number => {
    const site = sae.conventions.site;
    const within = WITHIN.indexOf(site?.kind ?? "");
    return site && site.layer !== null && within >= 0 ? site.layer * WITHIN.length + within : NaN;
  };
  // where one depth is not known, all stay in the order they were given
  if (saes.some((sae) => Number.isNaN(depth(sae)))) return [...saes];
  return [...saes].sort((x, y) => depth(x) - depth(y));
}

function key(a: string, b: string): string {
  return `${a}--${b}`;
}
