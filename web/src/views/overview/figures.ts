/** What the overview draws, read from the run: counts of each layer and each step. */

import type { Explorer } from "../../data/explorer";
import type { Frame } from "../../data/parquet";
import type { Mode, Pair, Run } from "../../data/run";
import type { Data } from "../../data/tables";

export interface Layer {
  site: string;
  /** Features in use. */
  features: number;
  /** Features that nothing leads to, and that lead to nothing; NaN at the ends. */
  births: number;
  deaths: number;
}

export interface Step {
  a: string;
  b: string;
  pair: Pair | undefined;
  /** Features of A that go on, and features of B that come from before. */
  leaving: number;
  arriving: number;
  splits: number;
  splitParts: number;
  merges: number;
  mergeParts: number;
}

export interface Survival {
  start: string;
  started: number;
  points: { site: string; steps: number; share: number; alive: number }[];
}

export interface Figures {
  layers: Layer[];
  steps: Step[];
  survival: Survival[];
  /** How many tracks end after so many steps. */
  lengths: { steps: number; tracks: number }[];
}

export async function figuresOf(
  run: Run,
  data: Data,
  explorer: Explorer,
  mode: Mode | null,
): Promise<Figures> {
  const [pairs, turnover, lifespans] = await Promise.all([
    explorer.whole("pairs"),
    mode ? data.flowTable("turnover") : null,
    mode ? data.flowTable("lifespans") : null,
  ]);
  const counts = pairs ? rowsBy(pairs, (row) => `${row.a}--${row.b}`) : new Map();
  const turned = turnover ? rowsBy(turnover, (row) => `${row.mode} ${row.site}`) : new Map();
  const layers = run.chain.map((site, i) =>
    layerOf(run, site, i, turned.get(`${mode} ${site}`), counts),
  );
  const steps = run.steps.map(({ a, b, pair }, i) => {
    const row = counts.get(`${a}--${b}`) ?? {};
    return {
      a,
      b,
      pair,
      leaving: layers[i].features - layers[i].deaths,
      arriving: layers[i + 1].features - layers[i + 1].births,
      splits: numberOf(row.splits),
      splitParts: numberOf(row.split_parts),
      merges: numberOf(row.merges),
      mergeParts: numberOf(row.merge_parts),
    };
  });
  const survival = lifespans && mode ? survivalOf(run, lifespans, mode) : [];
  return { layers, steps, survival, lengths: lengthsOf(survival) };
}

type Row = Record<string, unknown>;

function layerOf(
  run: Run,
  site: string,
  at: number,
  turned: Row | undefined,
  counts: Map<string, Row>,
): Layer {
  if (turned) {
    return {
      site,
      features: numberOf(turned.features),
      births: numberOf(turned.births),
      deaths: numberOf(turned.deaths),
    };
  }
  const before = counts.get(`${run.chain[at - 1]}--${site}`);
  const after = counts.get(`${site}--${run.chain[at + 1]}`);
  const sae = run.sae(site);
  const left = Object.values(sae.excluded).reduce((sum, n) => sum + n, 0);
  return {
    site,
    features: sae.d_sae - left,
    births: numberOf(before?.unmatched_b),
    deaths: numberOf(after?.unmatched_a),
  };
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
  return [...ended].sort(([p], [q]) => p - q).map(([steps, tracks]) => ({ steps, tracks }));
}

function rowsBy(frame: Frame, key: (row: Row) => string): Map<string, Row> {
  const found = new Map<string, Row>();
  for (let i = 0; i < frame.length; i++) {
    const row = frame.row(i);
    found.set(key(row), row);
  }
  return found;
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : NaN;
}
