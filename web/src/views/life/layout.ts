/** Where the marks of a life go: pure geometry, in pixels. */

import type { Edge, Explorer, Life } from "../../data/explorer";
import type { Lane, Run } from "../../data/run";

export const LEFT = 128;
export const RIGHT = 96;
const ROW = 34; // between alternatives of a column
/** Columns closer than this have no room for labels of what lies beside the track. */
export const ROOM = 88;
const SHOWN = 3; // alternatives above, and below, the line
const WRITERS = 2; // of a module's SAE that are drawn for one feature

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
  p: number;
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
  columns: { site: string; x: number }[];
  lanes: { lane: Lane; y: number }[];
  track: TrackMark[];
  sides: SideMark[];
  links: LinkMark[];
}

/** What is drawn of a track: columns are the SAEs of the chain. */
export function layoutOf(
  run: Run,
  explorer: Explorer,
  track: readonly Life[],
  width: number,
): Layout {
  const chain = run.chain.includes(track[0].site) ? run.chain : track.map((life) => life.site);
  const step = (width - LEFT - RIGHT) / Math.max(1, chain.length - 1);
  const xOf = new Map(chain.map((site, i) => [site, LEFT + i * step]));
  const column = new Map(chain.map((site, i) => [site, i]));
  const onTrack = new Set(track.map((life) => life.node));
  const has = (lane: Lane) => run.saes.some((sae) => run.lane(sae.name) === lane);
  const above = has("attn");
  const below = has("mlp");
  const middle = (above ? 76 : 28) + SHOWN * ROW + 18;
  const height = middle + SHOWN * ROW + (below ? 84 : 52);

  const marks: TrackMark[] = track.map((life) => ({
    kind: "track",
    life,
    x: xOf.get(life.site) ?? LEFT,
    y: middle,
  }));
  const sides = new Map<number, SideMark>();
  const used = new Map<string, number>();
  const links: LinkMark[] = [];

  const place = (kind: SideMark["kind"], edge: Edge, of: Life, up: boolean): SideMark | null => {
    const known = sides.get(edge.other);
    if (known) return known;
    const { site, feature } = explorer.feature(edge.other);
    const x = xOf.get(site);
    if (x === undefined) return null;
    const key = `${site} ${up}`;
    const row = used.get(key) ?? 0;
    if (row >= SHOWN) return null;
    used.set(key, row + 1);
    const y = middle + (up ? -1 : 1) * (row + 1) * ROW - (up ? 10 : -16);
    const mark: SideMark = {
      kind,
      node: edge.other,
      site,
      feature,
      edge,
      of,
      lane: "stream",
      x,
      y,
    };
    sides.set(edge.other, mark);
    return mark;
  };
  const near = (edges: readonly Edge[], site: string | undefined) =>
    site === undefined
      ? []
      : edges.filter((e) => !onTrack.has(e.other) && explorer.feature(e.other).site === site);

  track.forEach((life, i) => {
    const mark = marks[i];
    const at = column.get(life.site) ?? i;
    const after = chain[at + 1];
    const before = chain[at - 1];
    for (const edge of near(life.out, after).slice(0, SHOWN)) {
      const side = place("target", edge, life, true);
      if (side) links.push(linkOf("target", mark, side, edge, life.node, edge.other));
    }
    for (const edge of near(life.in, before).sort(bySourceRank).slice(0, SHOWN)) {
      const side = place("source", edge, life, false);
      if (side) links.push(linkOf("source", side, mark, edge, edge.other, life.node));
    }
    const previous = marks[i - 1];
    if (previous) {
      links.push({
        kind: "track",
        from: [previous.x, middle],
        to: [mark.x, middle],
        score: life.score,
        cosine: life.cosine,
        p: life.p,
        a: previous.life.node,
        b: life.node,
        matched: true,
        skips: at - (column.get(previous.life.site) ?? at - 1) - 1,
      });
    }
    for (const lane of ["attn", "mlp"] as const) {
      const writers = life.in
        .filter((e) => run.lane(explorer.feature(e.other).site) === lane)
        .sort((p, q) => q.score - p.score)
        .slice(0, WRITERS);
      writers.forEach((edge, j) => {
        const { site, feature } = explorer.feature(edge.other);
        const x = mark.x - Math.min(46, step * 0.36) - j * Math.min(18, step * 0.2);
        const y = lane === "attn" ? 34 : height - 38;
        const side: SideMark = {
          kind: "writer",
          node: edge.other,
          site,
          feature,
          edge,
          of: life,
          lane,
          x,
          y,
        };
        sides.set(edge.other, side);
        links.push(linkOf("writer", side, mark, edge, edge.other, life.node));
      });
    }
  });
  const lanes: Layout["lanes"] = [{ lane: "stream", y: middle }];
  if (above) lanes.unshift({ lane: "attn", y: 34 });
  if (below) lanes.push({ lane: "mlp", y: height - 38 });
  return {
    width,
    height,
    middle,
    columns: chain.map((site) => ({ site, x: xOf.get(site) as number })),
    lanes,
    track: marks,
    sides: [...sides.values()],
    links,
  };
}

function bySourceRank(x: Edge, y: Edge): number {
  const rank = (edge: Edge) => (Number.isNaN(edge.sourceRank) ? Infinity : edge.sourceRank);
  return rank(x) - rank(y) || y.score - x.score;
}

function linkOf(
  kind: LinkMark["kind"],
  from: { x: number; y: number },
  to: { x: number; y: number },
  edge: Edge,
  a: number,
  b: number,
): LinkMark {
  return {
    kind,
    from: [from.x, from.y],
    to: [to.x, to.y],
    score: edge.score,
    cosine: edge.cosine,
    p: Number.isNaN(edge.p) ? edge.sourceP : edge.p,
    a,
    b,
    matched: edge.kind === "match",
    skips: 0,
  };
}
