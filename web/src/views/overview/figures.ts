/** What the overview draws, read from the run: counts of each layer and of what lies between. */

import type { Explorer } from "../../data/explorer";
import type { Frame } from "../../data/parquet";
import type { Lane, Mode, Pair, Run } from "../../data/run";
import type { Data } from "../../data/tables";

export interface Layer {
  site: string;
  /** Features in use. */
  features: number;
  /** Features that nothing leads to, and that lead to nothing; NaN where that cannot be known. */
  births: number;
  deaths: number;
  /** Features that go on to the next layer, and that pass over it. */
  onward: number;
  passing: number;
  /** Features that come from the layer before, and over layers passed over. */
  arriving: number;
  landing: number;
  /** Of a feature that goes on elsewhere: they are not born and no track leads to them. */
  apart: number;
}

export interface Step {
  a: string;
  b: string;
  pair: Pair | undefined;
  /** Features of A that go on to B, and features of B that they lead to. */
  leaving: number;
  arriving: number;
  /** Share of A's features that match, and how far the median match is from chance. */
  share: number;
  beyond: number;
  splits: number;
  splitParts: number;
  merges: number;
  mergeParts: number;
}

/** Tracks that pass over layers: from one place in the chain to another. */
export interface Arc {
  from: number;
  to: number;
  leaving: number;
  arriving: number;
}

/** An SAE of attention or an MLP, and the layer that it is matched with. */
export interface Side {
  site: string;
  lane: Lane;
  /** Place in the chain of the layer it leads to. */
  to: number;
  /** Its features in use, those that match, and the layer's features that they lead to. */
  features: number;
  matched: number;
  reached: number;
}

export interface Survival {
  start: string;
  started: number;
  points: { site: string; steps: number; share: number; alive: number }[];
}

export interface Figures {
  mode: Mode | null;
  layers: Layer[];
  steps: Step[];
  arcs: Arc[];
  sides: Side[];
  survival: Survival[];
  /** How many tracks live for so many layers, from first to last. */
  lengths: { layers: number; tracks: number }[];
  /** How far the median match is from chance, by pair; NaN where that is not known. */
  beyond: (pair: Pair) => number;
}

export async function figuresOf(
  run: Run,
  data: Data,
  explorer: Explorer,
  mode: Mode | null,
): Promise<Figures> {
  const [pairs, links, turnover, lifespans] = await Promise.all([
    explorer.whole("pairs"),
    explorer.whole("links"),
    mode ? data.flowTable("turnover") : null,
    mode ? data.flowTable("lifespans") : null,
  ]);
  const counts = pairs ? rowsBy(pairs, (row) => `${row.a}--${row.b}`) : new Map<string, Row>();
  const linked = links ? linksOf(run, links, mode) : [];
  const turned = turnover ? rowsBy(turnover, (row) => `${row.mode} ${row.site}`) : new Map();
  const steps = run.steps.map(({ a, b, pair }, i): Step => {
    const row = counts.get(`${a}--${b}`) ?? {};
    const link = linked.find(({ from, to }) => from === i && to === i + 1);
    const tracked = mode !== null;
    return {
      a,
      b,
      pair,
      leaving: tracked ? (link?.leaving ?? 0) : numberOf(row.matched),
      arriving: tracked ? (link?.arriving ?? 0) : numberOf(row.reached),
      share: numberOf(row.matched) / numberOf(row.used_a),
      beyond: numberOf(row.beyond),
      splits: numberOf(row.splits),
      splitParts: numberOf(row.split_parts),
      merges: numberOf(row.merges),
      mergeParts: numberOf(row.merge_parts),
    };
  });
  const arcs = linked.filter(({ from, to }) => to > from + 1);
  const layers = run.chain.map((site, i) => {
    const known = turned.get(`${mode} ${site}`) ?? unlinked(run, i, counts);
    return layerOf(site, i, known, steps, arcs);
  });
  const survival = lifespans && mode ? survivalOf(run, lifespans, mode) : [];
  return {
    mode,
    layers,
    steps,
    arcs,
    sides: sidesOf(run, counts),
    survival,
    lengths: lengthsOf(survival),
    beyond: ({ a, b }) => numberOf(counts.get(`${a}--${b}`)?.beyond),
  };
}

type Row = Record<string, unknown>;

function layerOf(site: string, at: number, known: Row, steps: Step[], arcs: Arc[]): Layer {
  const total = (of: Arc[], what: "leaving" | "arriving") =>
    of.reduce((sum, arc) => sum + arc[what], 0);
  const layer = {
    site,
    features: numberOf(known.features),
    births: numberOf(known.births),
    deaths: numberOf(known.deaths),
    onward: steps[at]?.leaving ?? NaN,
    arriving: steps[at - 1]?.arriving ?? NaN,
    passing: total(
      arcs.filter(({ from }) => from === at),
      "leaving",
    ),
    landing: total(
      arcs.filter(({ to }) => to === at),
      "arriving",
    ),
  };
  const come = layer.births + layer.arriving + layer.landing;
  return { ...layer, apart: Number.isNaN(come) ? 0 : layer.features - come };
}

/** A layer of a run without tracks: what no match leads to, and what has none. */
function unlinked(run: Run, at: number, counts: Map<string, Row>): Row {
  const site = run.chain[at];
  const sae = run.sae(site);
  const left = Object.values(sae.excluded).reduce((sum, n) => sum + n, 0);
  return {
    features: sae.d_sae - left,
    births: counts.get(`${run.chain[at - 1]}--${site}`)?.unmatched_b,
    deaths: counts.get(`${site}--${run.chain[at + 1]}`)?.unmatched_a,
  };
}

function linksOf(run: Run, links: Frame, mode: Mode | null): Arc[] {
  const place = new Map(run.chain.map((site, i) => [site, i]));
  const names = links.texts("mode");
  const [a, b] = [links.texts("a"), links.texts("b")];
  const [leaving, arriving] = [links.numbers("leaving"), links.numbers("arriving")];
  const found: Arc[] = [];
  for (let i = 0; i < links.length; i++) {
    const [from, to] = [place.get(a[i] ?? ""), place.get(b[i] ?? "")];
    if (names[i] !== mode || from === undefined || to === undefined) continue;
    found.push({ from, to, leaving: leaving[i], arriving: arriving[i] });
  }
  return found;
}

function sidesOf(run: Run, counts: Map<string, Row>): Side[] {
  const found = run.pairs.flatMap(({ a, b }): Side[] => {
    const to = run.chain.indexOf(b);
    const row = counts.get(`${a}--${b}`);
    if (to < 0 || run.chain.includes(a) || !row) return [];
    return [
      {
        site: a,
        lane: run.lane(a),
        to,
        features: numberOf(row.used_a),
        matched: numberOf(row.matched),
        reached: numberOf(row.reached),
      },
    ];
  });
  // as they stand below each other
  return found.sort((p, q) => p.to - q.to || p.lane.localeCompare(q.lane));
}

function survivalOf(run: Run, lifespans: Frame, mode: Mode): Survival[] {
  const found = new Map<string, Survival>();
  const names = lifespans.texts("mode");
  const [start, site] = [lifespans.texts("start"), lifespans.texts("site")];
  const [steps, started] = [lifespans.numbers("steps"), lifespans.numbers("started")];
  const [alive, share] = [lifespans.numbers("alive"), lifespans.numbers("share")];
  for (let i = 0; i < lifespans.length; i++) {
    if (names[i] !== mode || !start[i] || !site[i]) continue;
    const name = start[i] as string;
    const of = found.get(name) ?? { start: name, started: started[i], points: [] };
    of.points.push({ site: site[i] as string, steps: steps[i], share: share[i], alive: alive[i] });
    found.set(name, of);
  }
  for (const { points } of found.values()) points.sort((p, q) => p.steps - q.steps);
  return [...found.values()].sort(
    (p, q) => run.chain.indexOf(p.start) - run.chain.indexOf(q.start),
  );
}

function lengthsOf(survival: readonly Survival[]): Figures["lengths"] {
  const ended = new Map<number, number>();
  for (const { points } of survival) {
    points.forEach((point, i) => {
      const gone = point.alive - (points[i + 1]?.alive ?? 0);
      ended.set(point.steps, (ended.get(point.steps) ?? 0) + gone);
    });
  }
  return [...ended]
    .sort(([p], [q]) => p - q)
    .map(([steps, tracks]) => ({ layers: steps + 1, tracks }));
}

/** Layers that a track lives for, on average. */
export function meanLifespan(lengths: Figures["lengths"]): number {
  const tracks = lengths.reduce((sum, each) => sum + each.tracks, 0);
  return lengths.reduce((sum, each) => sum + each.layers * each.tracks, 0) / tracks;
}

function rowsBy(frame: Frame, key: (row: Row) => string): Map<string, Row> {
  const found = new Map<string, Row>();
  for (let i = 0; i < frame.length; i++) {
    const row = frame.row(i);
    found.set(key(row), row);
  }
  return found;
}

export function numberOf(value: unknown): number {
  return typeof value === "number" ? value : NaN;
}
