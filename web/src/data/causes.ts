/** What interventions found: docs/reference/explorer.md, `causes_NAME`. */

import type { Explorer } from "./explorer";
import type { Frame } from "./frame";

/** A figure with its 95 % interval. */
export interface Measured {
  value: number;
  low: number;
  high: number;
}

/** How often a feature no longer fires, by what was removed. */
export interface Removal {
  /** Of which step; null of all. */
  step: string | null;
  /** Whether several SAEs' features were removed together. */
  joint: boolean;
  method: string;
  control: boolean;
  features: number;
  /** Share in which something that fired was removed. */
  active: number;
  success: Measured;
}

/** How well partners take the place of features. */
export interface Replacement {
  step: string | null;
  method: string;
  features: number;
  /** Share with a partner. */
  coverage: number;
  /** 1: predictions as if nothing was changed; 0: as if the feature was only removed. */
  equivalence: Measured;
  ausqc: Measured;
  /** Partners with a decoder cosine of 0.7 or more, and the share of those no better than nothing. */
  alike: number;
  alikeDifferent: number;
}

export interface Curve {
  method: string;
  points: { coverage: number; quality: number }[];
}

/** What tracks do as a whole, as a multiple of what else does. */
export interface Together {
  control: boolean;
  to: string;
  tracks: number;
  /** Features of a track, on average. */
  length: number;
  ratio: Measured;
}

export interface Causes {
  removals: Removal[];
  replacements: Replacement[];
  curves: Curve[];
  together: Together[];
}

/** Names of what no matching is: the best that trying all finds, and what is drawn at random. */
export const CEILINGS = ["best active", "most affected"];
export const CONTROLS = ["random active", "random partner", "nearest other"];
export const isNamed = (method: string) => ![...CEILINGS, ...CONTROLS].includes(method);

/** All that a run's interventions found; null where the run has none. */
export async function loadCauses(explorer: Explorer): Promise<Causes | null> {
  const [removals, replacements, curves, together] = await Promise.all([
    explorer.whole("causes_deactivation"),
    explorer.whole("causes_substitution"),
    explorer.whole("causes_curves"),
    explorer.whole("causes_tracks"),
  ]);
  if (!removals && !replacements && !together) return null;
  return {
    removals: removals ? removalsOf(removals) : [],
    replacements: replacements ? replacementsOf(replacements) : [],
    curves: curves ? curvesOf(curves) : [],
    together: together ? togetherOf(together) : [],
  };
}

/** A column with its interval, row by row. */
function measured(frame: Frame, name: string): (row: number) => Measured {
  const [value, low, high] = ["", "_low", "_high"].map((end) => frame.numbers(`${name}${end}`));
  return (row) => ({ value: value[row], low: low[row], high: high[row] });
}

/** The step of a row, `A--B`; null of all. */
function stepped(frame: Frame): (row: number) => string | null {
  const [a, b] = [frame.texts("a"), frame.texts("b")];
  return (row) => (a[row] === null ? null : `${a[row]}--${b[row]}`);
}

export function removalsOf(frame: Frame): Removal[] {
  const [step, success] = [stepped(frame), measured(frame, "success")];
  const [joint, control] = [frame.flags("joint"), frame.flags("control")];
  const [features, active] = [frame.numbers("features"), frame.numbers("active")];
  return frame.texts("method").map((method, i) => ({
    step: step(i),
    joint: joint[i] === true,
    method: method ?? "",
    control: control[i] === true,
    features: features[i],
    active: active[i],
    success: success(i),
  }));
}

export function replacementsOf(frame: Frame): Replacement[] {
  const [step, equivalence, ausqc] = [
    stepped(frame),
    measured(frame, "equivalence"),
    measured(frame, "ausqc"),
  ];
  const number = (name: string) => frame.numbers(name);
  const [features, coverage, alike] = ["features", "coverage", "alike"].map(number);
  const different = number("alike_different");
  return frame.texts("method").map((method, i) => ({
    step: step(i),
    method: method ?? "",
    features: features[i],
    coverage: coverage[i],
    equivalence: equivalence(i),
    ausqc: ausqc(i),
    alike: alike[i],
    alikeDifferent: different[i],
  }));
}

export function curvesOf(frame: Frame): Curve[] {
  const found = new Map<string, Curve>();
  const [coverage, quality] = [frame.numbers("coverage"), frame.numbers("quality")];
  frame.texts("method").forEach((name, i) => {
    const method = name ?? "";
    const curve = found.get(method) ?? { method, points: [] };
    curve.points.push({ coverage: coverage[i], quality: quality[i] });
    found.set(method, curve);
  });
  return [...found.values()];
}

export function togetherOf(frame: Frame): Together[] {
  const [control, ratio] = [frame.flags("control"), measured(frame, "ratio")];
  const [tracks, length] = [frame.numbers("tracks"), frame.numbers("length")];
  return frame.texts("to").map((to, i) => ({
    control: control[i] === true,
    to: to ?? "",
    tracks: tracks[i],
    length: length[i],
    ratio: ratio(i),
  }));
}
