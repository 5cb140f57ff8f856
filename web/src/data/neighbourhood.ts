/** What flows into a feature and out of it, over all layers. */

import type { Edge, Explorer, Life } from "./explorer";

/** An edge of the flow graph between two features by number. */
export interface Link extends Omit<Edge, "other"> {
  source: number;
  target: number;
}

/** How far from a feature, and which edges. */
export interface Reach {
  back: number;
  ahead: number;
  /** The largest p-value, of target or source; edges without one go. Null: any. */
  maxP: number | null;
  minScore: number | null;
  /** Accepted matches alone. */
  accepted: boolean;
}

export interface Neighbourhood {
  /** Features by number, ascending, with what is known of them. */
  nodes: Life[];
  /** By source, rank, target. */
  links: Link[];
  /** Features that are near enough and were not looked at, as there are too many. */
  left: number;
}

// features looked at: each is a read of its own, those of a community mostly lie beside each other
const NEAR = 80;
const WITHIN = 140;

/** What tells of a feature. */
export type Look = (node: number) => Promise<Life>;

/** Whether an edge is kept: as `FlowGraph.keep` has it. */
export function passes(edge: Omit<Edge, "other">, reach: Reach): boolean {
  if (reach.accepted && edge.kind !== "match") return false;
  if (reach.minScore !== null && !(edge.score >= reach.minScore)) return false;
  return reach.maxP === null || least(edge.p, edge.sourceP) <= reach.maxP;
}

/**
 * All features on paths of at most `ahead` edges from a feature and `back` edges to it, and the
 * edges of those paths; beyond `limit` features, those of the best edges.
 *
 * Features in `also` (pinned) are there in any case, with the edges that join them to the others.
 */
export async function around(
  start: number,
  look: Look,
  reach: Reach,
  also: readonly number[] = [],
  limit = NEAR,
): Promise<Neighbourhood> {
  const lives = new Map<number, Life>();
  const links = new Map<string, Link>();
  const turned = new Set<number>();
  const learn = async (nodes: readonly number[]) => {
    const fresh = nodes.filter((node) => !lives.has(node));
    const found = await Promise.all(fresh.map(look));
    for (const life of found) lives.set(life.node, life);
  };
  await learn([start, ...also]);
  for (const [side, steps] of [
    ["out", reach.ahead],
    ["in", reach.back],
  ] as const) {
    let frontier = [start];
    const seen = new Set(frontier);
    for (let step = 0; step < steps && frontier.length; step++) {
      const found = frontier
        .flatMap((node) => linksOf(lives.get(node) as Life, side))
        .filter((link) => passes(link, reach))
        .sort(better);
      const next: number[] = [];
      const kept: Link[] = [];
      for (const link of found) {
        const node = side === "out" ? link.target : link.source;
        if (!seen.has(node) && !lives.has(node) && lives.size + next.length >= limit) {
          turned.add(node);
          continue;
        }
        if (!seen.has(node)) {
          seen.add(node);
          next.push(node);
        }
        kept.push(link);
      }
      await learn(next);
      for (const link of kept) links.set(`${link.source} ${link.target}`, link);
      frontier = next;
    }
  }
  for (const node of also) {
    const life = lives.get(node) as Life;
    for (const link of [...linksOf(life, "out"), ...linksOf(life, "in")]) {
      const joined = lives.has(link.source) && lives.has(link.target);
      if (joined && passes(link, reach)) links.set(`${link.source} ${link.target}`, link);
    }
  }
  for (const node of lives.keys()) turned.delete(node);
  return { ...inOrder(lives.values(), links.values()), left: turned.size };
}

/** Some features and the edges among them. */
export async function among(
  members: readonly number[],
  look: Look,
  reach: Reach,
  limit = WITHIN,
): Promise<Neighbourhood> {
  const found = await Promise.all(members.slice(0, limit).map(look));
  const there = new Set(found.map((life) => life.node));
  const links = found
    .flatMap((life) => linksOf(life, "out"))
    .filter((link) => there.has(link.target) && passes(link, reach));
  return { ...inOrder(found, links), left: Math.max(0, members.length - limit) };
}

/** Looks features up in the tables made for this page. */
export function lookIn(explorer: Explorer): Look {
  return (node) => {
    const { site, feature } = explorer.feature(node);
    return explorer.life(site, feature);
  };
}

function linksOf(life: Life, side: "out" | "in"): Link[] {
  return life[side].map(({ other, ...edge }) => ({
    ...edge,
    source: side === "out" ? life.node : other,
    target: side === "out" ? other : life.node,
  }));
}

function inOrder(lives: Iterable<Life>, links: Iterable<Link>) {
  const rank = (link: Link) => (Number.isNaN(link.rank) ? Infinity : link.rank);
  return {
    nodes: [...lives].sort((x, y) => x.node - y.node),
    links: [...links].sort(
      (x, y) =>
        x.source - y.source || (rank(x) === rank(y) ? 0 : rank(x) - rank(y)) || x.target - y.target,
    ),
  };
}

const KINDS = ["match", "target", "candidate", "source"];

/** Accepted matches before others, then the less likely by chance, then the higher score. */
export function better(x: Link, y: Link): number {
  const kind = Math.min(1, KINDS.indexOf(x.kind)) - Math.min(1, KINDS.indexOf(y.kind));
  const [p, q] = [least(x.p, x.sourceP), least(y.p, y.sourceP)];
  return (
    kind || (p === q ? 0 : p - q) || y.score - x.score || x.source - y.source || x.target - y.target
  );
}

/** The smaller of two p-values of which either may be unknown; infinite if both are. */
function least(p: number, q: number): number {
  return Math.min(Number.isNaN(p) ? Infinity : p, Number.isNaN(q) ? Infinity : q);
}
