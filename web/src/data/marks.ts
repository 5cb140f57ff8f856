/** What a user adds to a graph: pins, names and groups; in the URL and in files. */

import type { Explorer } from "./explorer";
import { type Run, RunError } from "./run";

export interface Group {
  name: string;
  nodes: readonly number[];
}

export interface Marks {
  pins: readonly number[];
  names: ReadonlyMap<number, string>;
  groups: readonly Group[];
}

export const NO_MARKS: Marks = { pins: [], names: new Map(), groups: [] };
const FORMAT = "saematch graph";
const VERSION = 1;

/** The marks that a URL says; what cannot be understood, or is no feature, is left out. */
export function readMarks(more: Readonly<Record<string, string>>, total: number): Marks {
  const isNode = (node: unknown): node is number =>
    Number.isInteger(node) && (node as number) >= 0 && (node as number) < total;
  const names = parsed(more.names);
  const groups = parsed(more.groups);
  return {
    pins: [...new Set((more.pins ?? "").split("_").filter(Boolean).map(Number))].filter(isNode),
    names: new Map(
      (Array.isArray(names) ? names : []).flatMap((entry): [number, string][] =>
        Array.isArray(entry) && isNode(entry[0]) && typeof entry[1] === "string"
          ? [[entry[0], entry[1]]]
          : [],
      ),
    ),
    groups: (Array.isArray(groups) ? groups : []).flatMap((entry): Group[] => {
      if (!Array.isArray(entry) || typeof entry[0] !== "string") return [];
      const nodes = entry.slice(1).filter(isNode);
      return nodes.length ? [{ name: entry[0], nodes }] : [];
    }),
  };
}

/** The same as entries of the URL; null where there is nothing to say. */
export function writeMarks({ pins, names, groups }: Marks): Record<string, string | null> {
  return {
    pins: pins.length ? pins.join("_") : null,
    names: names.size ? JSON.stringify([...names]) : null,
    groups: groups.length
      ? JSON.stringify(groups.map((group) => [group.name, ...group.nodes]))
      : null,
  };
}

/** Pins features, or unpins them if all are pinned. */
export function pinned(marks: Marks, nodes: readonly number[]): Marks {
  const all = nodes.every((node) => marks.pins.includes(node));
  const others = marks.pins.filter((pin) => !nodes.includes(pin));
  return { ...marks, pins: all ? others : [...others, ...nodes] };
}

/** Names a feature; an empty name takes it back. */
export function named(marks: Marks, node: number, name: string): Marks {
  const names = new Map(marks.names);
  if (name.trim()) names.set(node, name.trim());
  else names.delete(node);
  return { ...marks, names };
}

/** Puts features in a group, out of the ones they were in; without a name, in none. */
export function grouped(marks: Marks, nodes: readonly number[], name: string): Marks {
  const known = marks.groups.some((group) => group.name === name);
  const groups = marks.groups.map((group) => {
    const others = group.nodes.filter((node) => !nodes.includes(node));
    return { ...group, nodes: name && group.name === name ? [...others, ...nodes] : others };
  });
  if (name && !known) groups.push({ name, nodes: [...nodes] });
  return { ...marks, groups: groups.filter((group) => group.nodes.length) };
}

/** What is kept in a file: a feature in the middle, the cut-offs, and the marks. */
export interface Saved {
  site: string | null;
  feature: number | null;
  more: Record<string, string>;
  marks: Marks;
}

/** Entries of the URL that say what is drawn. */
const DRAWN = ["back", "ahead", "p", "score", "edges", "community"];

/** A graph with its marks as a file. */
export function saved(run: Run, explorer: Explorer, graph: Saved): string {
  const of = (node: number) => explorer.feature(node);
  const used = run.manifest.saes.map((sae) => [sae.name, checksum(sae)] as const);
  const content = {
    format: FORMAT,
    format_version: VERSION,
    model: run.model || null,
    saes: Object.fromEntries(used),
    centre: graph.site === null ? null : { site: graph.site, feature: graph.feature },
    cuts: Object.fromEntries(Object.entries(graph.more).filter(([name]) => DRAWN.includes(name))),
    pinned: graph.marks.pins.map(of),
    names: [...graph.marks.names].map(([node, name]) => ({ ...of(node), name })),
    groups: graph.marks.groups.map(({ name, nodes }) => ({ name, features: nodes.map(of) })),
  };
  return `${JSON.stringify(content, null, 1)}\n`;
}

/**
 * What a file has, and a note where it was made of SAEs with other weights.
 *
 * Throws RunError if it is no such file, or names a feature that the run does not have.
 */
export function loaded(
  text: string,
  run: Run,
  explorer: Explorer,
): Saved & { note: string | null } {
  const content = parsed(text) as Record<string, unknown> | null;
  if (!content || content.format !== FORMAT) {
    throw new RunError("this is not a graph saved from this page");
  }
  if ((content.format_version as number) > VERSION) {
    throw new RunError(
      `the graph has format ${content.format_version}: open it with a newer saematch`,
    );
  }
  const node = (of: unknown): number => {
    const { site, feature } = (of ?? {}) as { site?: unknown; feature?: unknown };
    const place = explorer.index.sites.find((known) => known.name === site);
    const there = place && Number.isInteger(feature) && (feature as number) >= 0;
    if (!there || (feature as number) >= place.features) {
      throw new RunError(
        `the graph names ${String(site)}/${String(feature)}, which this run does not have`,
      );
    }
    return place.start + (feature as number);
  };
  const list = (name: string) => (Array.isArray(content[name]) ? (content[name] as unknown[]) : []);
  const centre = content.centre ? explorer.feature(node(content.centre)) : null;
  const cuts = (content.cuts ?? {}) as Record<string, unknown>;
  const other = run.manifest.saes.filter((sae) => {
    const its = (content.saes as Record<string, unknown> | undefined)?.[sae.name];
    return its && its !== checksum(sae);
  });
  return {
    site: centre?.site ?? null,
    feature: centre?.feature ?? null,
    more: Object.fromEntries(
      DRAWN.flatMap((name) => (cuts[name] ? [[name, String(cuts[name])]] : [])),
    ),
    marks: {
      pins: list("pinned").map(node),
      names: new Map(list("names").map((of) => [node(of), String((of as { name: unknown }).name)])),
      groups: list("groups").map((of) => {
        const { name, features } = of as { name: unknown; features?: unknown[] };
        return { name: String(name), nodes: (features ?? []).map(node) };
      }),
    },
    note: other.length
      ? `It was saved with other weights of ${other.map((sae) => sae.name).join(", ")}: its features may be others here.`
      : null,
  };
}

function checksum(sae: object): unknown {
  return (sae as { checksum?: unknown }).checksum ?? null;
}

function parsed(text: string | undefined): unknown {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}
