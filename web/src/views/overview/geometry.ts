/** Where everything in the river stands. */

import { LANES } from "../../draw/colours";
import type { Arc, Figures } from "./figures";

export const BAR = 5; // width of a layer's bar
const TALL = 168; // pixels of the layer with most features
const LEAST = 104; // from layer to layer, where the river is scrolled
const ABOVE = 46; // what is born comes from so far above a bar
const BELOW = 58; // what dies goes so far below
const LANE = 30; // of SAEs of attention and MLPs
const AXIS = 44;
const ARC = [30, 56]; // height of an arc over one layer, as there is room from layer to layer
const ARC_MORE = 13; // and over one more

/** A row of names at the left: what stands at that height. */
export interface Row {
  text: string;
  y: number;
  color?: string;
}

export interface Geometry {
  width: number;
  height: number;
  /** Width of the names at the left. */
  gutter: number;
  xs: number[];
  spacing: number;
  /** The foot of the bars, and the height of so many features. */
  bottom: number;
  tall: (features: number) => number;
  /** Where arcs leave the bars' legs and begin to bend. */
  arcs: number;
  /** How far an arc rises above that: further, the more layers it passes over. */
  rise: (arc: Arc) => number;
  /** Where SAEs of a lane stand. */
  lanes: Map<string, number>;
  rows: Row[];
  /** Every so many layers are named and counted. */
  every: number;
  /** The river is wider than there is room for. */
  scrolled: boolean;
}

/** What the lanes and the ends of tracks are called, with tracks and without. */
export function wordsOf({ mode }: Figures) {
  return mode
    ? { begin: "born", on: "go on", end: "die" }
    : { begin: "not reached", on: "matched", end: "no match" };
}

/**
 * The river's layout.
 *
 * @param room pixels that there are.
 * @param scale how much larger text is than on a screen of usual size.
 * @param fit whether all of it must be in sight at once.
 */
export function geometryOf(figures: Figures, room: number, scale: number, fit: boolean): Geometry {
  const { layers, arcs, sides } = figures;
  const words = wordsOf(figures);
  const gutter = (room < 560 ? 72 : 88) * scale;
  const [left, right] = [gutter + 34 * scale, 40 * scale];
  const gaps = Math.max(1, layers.length - 1);
  const fitted = (room - left - right) / gaps;
  const spacing = fit ? fitted : Math.max(LEAST * scale, fitted);
  const xs = layers.map((_, i) => left + i * spacing);
  const most = Math.max(...layers.map((layer) => layer.features), 1);
  const tall = (features: number) => (Number.isNaN(features) ? 0 : (features / most) * TALL);
  const rise = (arc: Arc) =>
    Math.max(ARC[0], Math.min(ARC[1], spacing * 0.3)) + ARC_MORE * (arc.to - arc.from - 2);
  const over = arcs.length ? Math.max(...arcs.map(rise)) + 18 : 0;
  const top = over + ABOVE * scale;
  const bottom = top + TALL;
  const rows: Row[] = [
    { text: words.begin, y: top - 20 * scale, color: "var(--birth)" },
    { text: words.on, y: top + TALL / 2, color: "var(--stream)" },
    { text: words.end, y: bottom + 46 * scale, color: "var(--death)" },
  ];
  if (over) rows.unshift({ text: "pass over", y: over - 16, color: "var(--muted)" });
  let y = bottom + BELOW * scale;
  const lanes = new Map<string, number>();
  for (const lane of ["attn", "mlp", "other"] as const) {
    if (!sides.some((side) => side.lane === lane)) continue;
    y += LANE * scale;
    lanes.set(lane, y);
    const text = { attn: "attention", mlp: "MLP", other: "other" }[lane];
    rows.push({ text, y, color: LANES[lane] });
  }
  rows.push({ text: "layer", y: y + 26 * scale }, { text: "features", y: y + 43 * scale });
  return {
    width: Math.max(room, xs[xs.length - 1] + right),
    height: y + (AXIS + 6) * scale,
    gutter,
    xs,
    spacing,
    bottom,
    tall,
    arcs: top - ABOVE * scale,
    rise,
    lanes,
    rows,
    every: Math.max(1, Math.ceil((50 * scale) / spacing)),
    scrolled: spacing > fitted + 0.5,
  };
}

/** From the top of one bar over the bars between to the top of another. */
export function archOf(
  x0: number,
  top0: number,
  x1: number,
  top1: number,
  base: number,
  rise: number,
) {
  const peak = base - rise / 0.75;
  return `M${x0},${top0}V${base}C${x0},${peak} ${x1},${peak} ${x1},${base}V${top1}`;
}

/** A band that comes down to a bar from its left, its lower edge level. */
export function birthOf(x: number, y: number, wide: number, reach: number): string {
  const across = Math.min(reach * 0.62, Math.max(9, wide * 0.5));
  const up = y - 30;
  return (
    `M${x},${y + wide}C${x - across},${y + wide} ${x - across},${y} ${x - across},${up}` +
    `L${x - 2},${up}C${x - 2},${y - 12} ${x},${y} ${x},${y}Z`
  );
}

/** A band that goes down from a bar to its right, its upper edge level. */
export function deathOf(x: number, y: number, wide: number, reach: number): string {
  const across = Math.min(reach * 0.62, Math.max(9, wide * 0.5));
  const end = y + wide + 30;
  return (
    `M${x},${y}C${x + across},${y} ${x + across},${y + wide} ${x + across},${end}` +
    `L${x + 2},${end}C${x + 2},${y + wide + 12} ${x},${y + wide} ${x},${y + wide}Z`
  );
}
