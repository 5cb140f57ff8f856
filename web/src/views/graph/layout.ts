/** Where features of a graph stand: SAEs from left to right, groups below one another. */

import type { Group } from "../../data/marks";
import type { Link } from "../../data/neighbourhood";

export interface Placed {
  node: number;
  column: number;
  /** Row, from 0; not always whole. */
  row: number;
}

export interface Lane {
  name: string | null;
  /** Rows from the first on. */
  first: number;
  rows: number;
}

export interface Layout {
  /** Sites that have features here, in order of depth. */
  sites: string[];
  placed: Map<number, Placed>;
  lanes: Lane[];
  rows: number;
}

/**
 * Features in columns by SAE and lanes by group, ordered so that edges cross little: each sweep
 * sorts a column by the mean row of what its features are linked to.
 */
export function layered(
  nodes: readonly { node: number; site: string }[],
  links: readonly Pick<Link, "source" | "target">[],
  order: readonly string[],
  groups: readonly Group[] = [],
): Layout {
  const there = new Set(nodes.map((node) => node.site));
  const sites = order.filter((site) => there.has(site));
  const laneOf = new Map<number, number>();
  for (const [lane, group] of groups.entries()) {
    for (const node of group.nodes) laneOf.set(node, lane);
  }
  const neighbours = new Map<number, number[]>(nodes.map(({ node }) => [node, []]));
  for (const { source, target } of links) {
    neighbours.get(source)?.push(target);
    neighbours.get(target)?.push(source);
  }
  const placed = new Map<number, Placed>();
  const lanes: Lane[] = [];
  let first = 0;
  for (let lane = 0; lane <= groups.length; lane++) {
    const its = nodes.filter(({ node }) => (laneOf.get(node) ?? groups.length) === lane);
    if (!its.length) continue;
    const columns = sites.map((site) =>
      its.filter((node) => node.site === site).map(({ node }) => node),
    );
    const rows = Math.max(...columns.map((column) => column.length));
    const place = (column: readonly number[], at: number) => {
      for (const [i, node] of column.entries()) {
        placed.set(node, { node, column: at, row: first + (rows - column.length) / 2 + i });
      }
    };
    columns.forEach(place);
    for (let sweep = 0; sweep < 8; sweep++) {
      const turn = sweep % 2 ? [...columns.keys()].reverse() : [...columns.keys()];
      for (const at of turn) {
        const mean = new Map(columns[at].map((node) => [node, meanRow(node, neighbours, placed)]));
        columns[at].sort((x, y) => (mean.get(x) as number) - (mean.get(y) as number));
        place(columns[at], at);
      }
    }
    lanes.push({ name: groups[lane]?.name ?? null, first, rows });
    // a row between lanes, for the name of the next
    first += rows + 1;
  }
  return { sites, placed, lanes, rows: Math.max(0, first - 1) };
}

function meanRow(
  node: number,
  neighbours: ReadonlyMap<number, readonly number[]>,
  placed: ReadonlyMap<number, Placed>,
): number {
  const rows = (neighbours.get(node) ?? []).flatMap((other) => placed.get(other)?.row ?? []);
  if (!rows.length) return placed.get(node)?.row ?? 0;
  return rows.reduce((sum, row) => sum + row, 0) / rows.length;
}
