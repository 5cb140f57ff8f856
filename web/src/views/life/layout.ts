/** Where the marks of a life go: pure geometry, in pixels. */

import type { Edge, Explorer, Life } from "../../data/explorer";
import type { Lane, Run } from "../../data/run";

export const LEFT = 40;
export const RIGHT = 116; // the label of the last feature stands to the right of it
/** The least distance of layers: a label has room; more layers than fit are scrolled to. */
export const LEAST = 108;
const MOST = 320; // and the largest of a drawing of few
const ROW = 32; // between alternatives of a column
const ABOVE = 72; // from the line to the first alternative above it: labels are between
const BELOW = 62; // and below it: numbers are between
const SHOWN = 3; // alternatives above, and below, the line
const WRITERS = 2; // of a module's SAE that are drawn for one feature
const LANE = 24; // between the writers of a lane

/** A feature of the track. */
export interface TrackMark {
  kind: "track";
  life: Life;
  x: number;
  y: number;
}

/** Another feature: near the one before, leading to the next, or of a module that writes one. */
export interface SideMark {
  kind: "target" | "source" | "writer";
  node: number;
  site: string;
  feature: number;
  edge: Edge;
  /** The feature of the track that it is near. */
  of: Life;
  lane: Lane;
  x: number;
  y: number;
}

export interface LinkMark {
  kind: "track" | "target" | "source" | "writer";
  from: readonly [number, number];
  to: readonly [number, number];
  score: number;
  cosine: number;
  /** Ends of the link, and whether it is an accepted match. */
  a: number;
  b: number;
  matched: boolean;
  /** Layers that it passes over. */
  skips: number;
}

export interface Layout {
  width: number;
  height: number;
  middle: number;
  /** Between layers. */
  step: number;
  columns: { site: string; x: number }[];
  /** Lanes besides that of the stream: where their first row is, and where their name stands. */
  lanes: { lane: Lane; y: number; name: number }[];
  /** Whether the track is on the chain: what is beside it is then of the layers next to each. */
  chained: boolean;
  track: TrackMark[];
  sides: SideMark[];
  links: LinkMark[];
}

/** An edge that joins a feature beside the track to one of the track. */
interface Joined {
  kind: SideMark["kind"];
  edge: Edge;
  of: Life;
}

/** A feature beside the track, before it is known how many rows there are. */
interface Placed extends Joined {
  lane: Lane;
  site: string;
  feature: number;
  x: number;
  row: number;
}

/**
 * What is drawn of a track: columns are the SAEs of the chain.
 *
 * Of a feature that is on no chain, such as one of a module, they are the SAEs of all that it is
 * linked to. The drawing is as wide as `width`, or wider where layers would be nearer than `LEAST`.
 */
export function layoutOf(
  run: Run,
  explorer: Explorer,
  track: readonly Life[],
  width: number,
): Layout {
  const chained = run.chain.includes(track[0].site);
  const sites = chained ? [...run.chain] : linkedSites(run, explorer, track);
  const room = (width - LEFT - RIGHT) / Math.max(1, sites.length - 1);
  const step = Math.max(LEAST, Math.min(MOST, room));
  const column = new Map(sites.map((site, i) => [site, i]));
  const xAt = (site: string) => LEFT + (column.get(site) ?? 0) * step;
  const { placed, joined } = sidesOf(run, explorer, track, sites, chained, step, xAt);
  const rows = (kind: SideMark["kind"]) =>
    Math.max(0, ...placed.filter((side) => side.kind === kind).map((side) => side.row + 1));
  const writers = (lane: Lane) =>
    Math.max(
      0,
      ...placed.filter((s) => s.kind === "writer" && s.lane === lane).map((s) => s.row + 1),
    );
  const [attn, mlp] = [writers("attn"), writers("mlp")];
  const top = attn ? 30 + attn * LANE + 14 : 0;
  const middle = top + (rows("target") ? 26 + (rows("target") - 1) * ROW + ABOVE : 58);
  const sunk = middle + (rows("source") ? BELOW + (rows("source") - 1) * ROW + 34 : 48);
  const height = sunk + (mlp ? 34 + mlp * LANE : 0) + 24;
  const own = run.lane(track[0].site);
  const lanes: Layout["lanes"] = [];
  if (attn) lanes.push({ lane: "attn", y: 34, name: 20 });
  if (own !== "stream") lanes.push({ lane: own, y: middle, name: middle + 46 });
  if (mlp) lanes.push({ lane: "mlp", y: sunk + 30, name: sunk + 16 });
  const yOf = (side: Placed) => {
    if (side.kind === "target") return middle - ABOVE - side.row * ROW;
    if (side.kind === "source") return middle + BELOW + side.row * ROW;
    return (side.lane === "attn" ? 34 : sunk + 30) + side.row * LANE;
  };
  const marks: TrackMark[] = track.map((life) => ({
    kind: "track",
    life,
    x: xAt(life.site),
    y: middle,
  }));
  const sides: SideMark[] = placed.map(({ row, ...side }) => ({
    ...side,
    node: side.edge.other,
    y: yOf({ row, ...side }),
  }));
  return {
    width: Math.max(width, LEFT + step * (sites.length - 1) + RIGHT),
    height,
    middle,
    step,
    columns: sites.map((site) => ({ site, x: xAt(site) })),
    lanes,
    chained,
    track: marks,
    sides,
    links: linksOf(marks, sides, joined, column),
  };
}

/** SAEs of a track off the chain, and of all that it is linked to, in order of depth. */
function linkedSites(run: Run, explorer: Explorer, track: readonly Life[]): string[] {
  const there = new Set(track.map((life) => life.site));
  for (const life of track) {
    for (const edge of [...life.in, ...life.out]) there.add(explorer.feature(edge.other).site);
  }
  return run.names.filter((site) => there.has(site));
}

function sidesOf(
  run: Run,
  explorer: Explorer,
  track: readonly Life[],
  sites: readonly string[],
  chained: boolean,
  step: number,
  xAt: (site: string) => number,
): { placed: Placed[]; joined: Joined[] } {
  const placed = new Map<number, Placed>();
  const joined: Joined[] = [];
  const used = new Map<string, number>();
  const taken = new Set(track.map((life) => life.node));
  const put = (
    kind: Placed["kind"],
    edge: Edge,
    of: Life,
    key: string,
    most: number,
    x: number,
  ) => {
    const row = used.get(key) ?? 0;
    if (taken.has(edge.other) || (row >= most && !placed.has(edge.other))) return;
    joined.push({ kind, edge, of });
    if (placed.has(edge.other)) return;
    used.set(key, row + 1);
    const { site, feature } = explorer.feature(edge.other);
    placed.set(edge.other, { kind, edge, of, lane: run.lane(site), site, feature, x, row });
  };
  for (const life of track) {
    const at = sites.indexOf(life.site);
    // on the chain, what is near in the next layer and the one before; off it, all there is
    const near = (site: string, sign: 1 | -1) =>
      sign * (sites.indexOf(site) - at) > 0 && (!chained || site === sites[at + sign]);
    for (const [kind, edges, sign] of [
      ["target", life.out, 1],
      ["source", [...life.in].sort(bySourceRank), -1],
    ] as const) {
      for (const edge of edges) {
        const { site } = explorer.feature(edge.other);
        if (near(site, sign)) put(kind, edge, life, `${site} ${kind}`, SHOWN, xAt(site));
      }
    }
    if (!chained) continue;
    for (const lane of ["attn", "mlp"] as const) {
      const writers = life.in
        .filter((edge) => run.lane(explorer.feature(edge.other).site) === lane)
        .sort((p, q) => q.score - p.score);
      const x = xAt(life.site) - Math.min(0.55 * step, 90);
      for (const edge of writers) {
        put("writer", edge, life, `${life.site} ${lane}`, WRITERS, Math.max(12, x));
      }
    }
  }
  return { placed: [...placed.values()], joined };
}

function linksOf(
  marks: readonly TrackMark[],
  sides: readonly SideMark[],
  joined: readonly Joined[],
  column: ReadonlyMap<string, number>,
): LinkMark[] {
  const onTrack = new Map(marks.map((mark) => [mark.life.node, mark]));
  const beside = new Map(sides.map((side) => [side.node, side]));
  const links = joined.map(({ kind, edge, of }): LinkMark => {
    const ends = [onTrack.get(of.node) as TrackMark, beside.get(edge.other) as SideMark] as const;
    const [from, to] = kind === "target" ? ends : [ends[1], ends[0]];
    const [a, b] = kind === "target" ? [of.node, edge.other] : [edge.other, of.node];
    return {
      kind,
      from: [from.x, from.y],
      to: [to.x, to.y],
      score: edge.score,
      cosine: edge.cosine,
      a,
      b,
      matched: edge.kind === "match",
      skips: 0,
    };
  });
  marks.forEach((mark, i) => {
    const before = marks[i - 1];
    if (!before) return;
    const { node, site, score, cosine } = mark.life;
    links.push({
      kind: "track",
      from: [before.x, before.y],
      to: [mark.x, mark.y],
      score,
      cosine,
      a: before.life.node,
      b: node,
      matched: true,
      skips: (column.get(site) ?? 0) - (column.get(before.life.site) ?? 0) - 1,
    });
  });
  return links;
}

function bySourceRank(x: Edge, y: Edge): number {
  const rank = (edge: Edge) => (Number.isNaN(edge.sourceRank) ? Infinity : edge.sourceRank);
  return rank(x) - rank(y) || y.score - x.score;
}
