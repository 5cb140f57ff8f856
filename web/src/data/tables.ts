import {
  type Common,
  type Dashboard,
  readAgreement,
  readCommon,
  readDashboard,
} from "./dashboards";
import type { Explorer } from "./explorer";
import type { Frame, Reader } from "./parquet";
import type { Pair, Run } from "./run";

/** A feature of an SAE. */
export interface Feature {
  site: string;
  feature: number;
}

/** A place in a text where a feature fired. */
export interface Context {
  before: string;
  token: string;
  after: string;
  activation: number;
  source: string;
}

/** What one feature fires on. */
export interface Contexts {
  frequency: number;
  mean: number;
  max: number;
  contexts: Context[];
}

/** One row per feature of an SAE. */
export interface Features {
  threshold: Float64Array;
  frequency: Float64Array;
  decoderNorm: Float64Array;
  maxActivation: Float64Array;
  excluded: readonly (string | null)[];
}

/** A row of a pair's table; missing numbers are NaN, and target is -1 without one. */
export interface Match {
  feature: number;
  target: number;
  matched: boolean;
  score: number;
  p: number;
  rankInRow: number;
  rankInColumn: number;
  mutual: boolean;
  cosine: number;
  encoderCosine: number;
  mse: number;
  mseFolded: number;
}

/** Another of a feature's best targets or sources. */
export interface Partner {
  feature: number;
  rank: number;
  score: number;
  p: number;
}

/** Part of a split or merge: `one` feature of one side, `many` of the other. */
export interface Split {
  kind: "split" | "merge";
  a: string;
  b: string;
  feature: number;
  part: number;
  parts: number;
  score: number;
  p: number;
}

/** Where a feature comes from: the best source in the stream, MLP and attention before it. */
export interface Origin {
  origin: string;
  from: { through: "R" | "M" | "A"; site: string; feature: number; score: number; p: number }[];
}

export interface Community {
  community: number;
  size: number;
  sites: number;
  label: string | null;
  members: Feature[];
}

/** The tables of a run, typed. A table that the run lacks gives null or nothing. */
export class Data {
  private readonly made = new Map<string, Promise<unknown>>();

  constructor(
    readonly run: Run,
    readonly reader: Reader,
  ) {}

  features(site: string): Promise<Features> {
    return this.once(`features ${site}`, async () => {
      const frame = await this.reader.read(this.run.sae(site).features, [
        "threshold",
        "frequency",
        "decoder_norm",
        "max_activation",
        "excluded",
      ]);
      return {
        threshold: frame.numbers("threshold"),
        frequency: frame.numbers("frequency"),
        decoderNorm: frame.numbers("decoder_norm"),
        maxActivation: frame.numbers("max_activation"),
        excluded: frame.texts("excluded"),
      };
    });
  }

  /** What a feature fires on; null where the run does not know. */
  async contextsOf(explorer: Explorer, site: string, feature: number): Promise<Contexts | null> {
    return this.contextsAt(site, await explorer.contextRow(explorer.node(site, feature)));
  }

  /** What the feature of a row of an SAE's contexts fires on. */
  async contextsAt(site: string, row: number | null): Promise<Contexts | null> {
    const place = this.run.sae(site).contexts;
    if (!place || row === null) return null;
    const frame = await this.reader.read(place, undefined, {}, [row, row + 1]);
    return {
      frequency: frame.numbers("frequency")[0],
      mean: frame.numbers("mean_activation")[0],
      max: frame.numbers("max_activation")[0],
      contexts: ((frame.values("contexts")[0] ?? []) as Context[]).filter(Boolean),
    };
  }

  /** The match of one feature; null where the pair is not matched or leaves it out. */
  async match(a: string, b: string, feature: number): Promise<Match | null> {
    const pair = this.run.pair(a, b);
    if (!pair) return null;
    const frame = await this.reader.read(pair.table, MATCH, { feature });
    return frame.length ? matchIn(frame, 0) : null;
  }

  /** All of a pair's table, by column. */
  async pair(a: string, b: string, columns?: readonly string[]): Promise<Frame | null> {
    const pair = this.run.pair(a, b);
    return pair ? this.reader.read(pair.table, columns) : null;
  }

  /** A feature's best targets, best first. */
  candidates(a: string, b: string, feature: number): Promise<Partner[]> {
    return this.partners(this.run.pair(a, b), "candidates", "target", feature);
  }

  /** A feature's best sources, best first. */
  sources(a: string, b: string, feature: number): Promise<Partner[]> {
    return this.partners(this.run.pair(a, b), "sources", "source", feature);
  }

  private async partners(
    pair: Pair | undefined,
    table: "candidates" | "sources",
    other: "target" | "source",
    feature: number,
  ): Promise<Partner[]> {
    if (!pair) return [];
    const frame = await this.reader.read(pair[table], ["rank", other, "score", "p_value"], {
      feature,
    });
    const [rank, its] = [frame.numbers("rank"), frame.numbers(other)];
    const [score, p] = [frame.numbers("score"), frame.numbers("p_value")];
    return Array.from({ length: frame.length }, (_, i) => ({
      feature: its[i],
      rank: rank[i],
      score: score[i],
      p: p[i],
    })).sort((x, y) => x.rank - y.rank);
  }

  /** Splits and merges that a feature of a pair is in, on either side. */
  async splits(a: string, b: string): Promise<Split[]> {
    const place = this.run.flow("splits");
    if (!place) return [];
    return this.once(`splits ${a} ${b}`, async () => {
      const frame = await this.reader.read(place, undefined, { a, b });
      return Array.from({ length: frame.length }, (_, i) => {
        const row = frame.row(i) as Record<string, never>;
        return { ...(row as object), p: row.p_value ?? NaN } as unknown as Split;
      });
    });
  }

  /** Where a feature comes from, where the run has SAEs of modules before it. */
  async origin(site: string, feature: number): Promise<Origin | null> {
    const place = this.run.flow("origins");
    if (!place) return null;
    const frame = await this.reader.read(place, undefined, { site, feature });
    if (!frame.length) return null;
    const row = frame.row(0);
    const from: Origin["from"] = [];
    for (const through of ["R", "M", "A"] as const) {
      if (typeof row[`source_${through}`] !== "number") continue;
      from.push({
        through,
        site: row[`site_${through}`] as string,
        feature: row[`source_${through}`] as number,
        score: (row[`s_${through}`] as number | null) ?? NaN,
        p: (row[`p_${through}`] as number | null) ?? NaN,
      });
    }
    return { origin: String(row.origin ?? ""), from };
  }

  /** All communities, the largest first. */
  communities(): Promise<Community[]> {
    const place = this.run.flow("communities");
    if (!place) return Promise.resolve([]);
    return this.once("communities", async () => {
      const names = ["community", "size", "sites", "label", "members"];
      const frame = await this.reader.read(place, names);
      const [community, size] = [frame.numbers("community"), frame.numbers("size")];
      const [sites, label] = [frame.numbers("sites"), frame.texts("label")];
      return frame.values("members").map((members, i) => ({
        community: community[i],
        size: size[i],
        sites: sites[i],
        label: label[i],
        members: (members as { site: string; feature: bigint | number }[]).map((member) => ({
          site: member.site,
          feature: Number(member.feature),
        })),
      }));
    });
  }

  /** A small table of the flow as a whole: turnover, lifespans, composition. */
  async flowTable(name: "turnover" | "lifespans" | "composition" | "spans"): Promise<Frame | null> {
    const place = this.run.flow(name);
    return place ? this.reader.read(place) : null;
  }

  /** A histogram of a pair's scores, beside what chance gives. */
  async nulls(a: string, b: string): Promise<Frame | null> {
    const pair = this.run.pair(a, b);
    return pair ? this.reader.read(pair.nulls) : null;
  }

  /** What a feature does on text, in full; null where the run has no dashboard of it. */
  dashboard(site: string, feature: number): Promise<Dashboard | null> {
    return readDashboard(this.run, this.reader, site, feature);
  }

  /**
   * By feature of A, the share of top contexts that it has in common with its target in B; NaN
   * where that is not known. Null where the run has no dashboards of the pair.
   */
  agreement(a: string, b: string): Promise<Float64Array | null> {
    return this.once(`agreement ${a} ${b}`, () => readAgreement(this.run, this.reader, a, b));
  }

  /** What two matched features do in each other's strongest contexts; null where not known. */
  common(one: Feature, other: Feature): Promise<Common | null> {
    return readCommon(this.run, this.reader, one, other);
  }

  /** What two features do on the same text: value by statistic, where they are kept partners. */
  async together(
    a: string,
    b: string,
    feature: number,
    target: number,
  ): Promise<Record<string, number>> {
    const place = this.run.manifest.relations?.tables.targets;
    if (!place) return {};
    const frame = await this.reader.read(place, ["statistic", "target", "value"], {
      a,
      b,
      feature,
    });
    const [its, value] = [frame.numbers("target"), frame.numbers("value")];
    const found: Record<string, number> = {};
    frame.texts("statistic").forEach((statistic, i) => {
      if (its[i] === target && statistic) found[statistic] = value[i];
    });
    return found;
  }

  private once<T>(key: string, make: () => Promise<T>): Promise<T> {
    let made = this.made.get(key) as Promise<T> | undefined;
    if (!made) {
      made = make();
      made.catch(() => this.made.delete(key));
      this.made.set(key, made);
    }
    return made;
  }
}

const MATCH = [
  "feature",
  "target",
  "matched",
  "score",
  "p_value",
  "rank_in_row",
  "rank_in_column",
  "mutual",
  "decoder_cosine",
  "encoder_cosine",
  "decoder_mse",
  "decoder_mse_folded",
];

function matchIn(frame: Frame, row: number): Match {
  const number = (name: string) => frame.numbers(name)[row];
  const target = number("target");
  return {
    feature: number("feature"),
    target: Number.isNaN(target) ? -1 : target,
    matched: frame.flags("matched")[row] === true,
    score: number("score"),
    p: number("p_value"),
    rankInRow: number("rank_in_row"),
    rankInColumn: number("rank_in_column"),
    mutual: frame.flags("mutual")[row] === true,
    cosine: number("decoder_cosine"),
    encoderCosine: number("encoder_cosine"),
    mse: number("decoder_mse"),
    mseFolded: number("decoder_mse_folded"),
  };
}
