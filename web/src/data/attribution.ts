/** A neighbourhood as an attribution graph: the same as saematch.layers.exports.attribution. */

import type { Place } from "./explorer";
import type { Marks } from "./marks";
import { NO_MARKS } from "./marks";
import type { Link } from "./neighbourhood";

/** A feature as the file names it. */
export interface Named {
  node: number;
  site: string;
  feature: number;
  label: string | null;
}

/**
 * What circuit-tracer and Neuronpedia open; see docs/reference/run-directory.md.
 *
 * Features that the user pinned are `pinnedIds`, groups `supernodes`, and names given stand in
 * place of labels.
 */
export function attribution(
  sites: readonly Place[],
  nodes: readonly Named[],
  links: readonly Pick<Link, "source" | "target" | "cosine" | "p" | "sourceP">[],
  options: { slug: string; title: string; version: string; model?: string | null; marks?: Marks },
) {
  const { layer, column, titles } = columnsOf(sites);
  const { pins, names, groups } = options.marks ?? NO_MARKS;
  const ids = new Map(
    nodes.map(({ node, site, feature }) => [
      node,
      `${layer.get(site)}_${feature}_${column.get(site)}`,
    ]),
  );
  const idsOf = (of: readonly number[]) => of.flatMap((node) => ids.get(node) ?? []);
  return {
    metadata: {
      slug: options.slug,
      scan: options.model || options.slug,
      transcoder_list: [],
      prompt_tokens: titles,
      prompt: options.title,
      title_prefix: "",
      schema_version: 1,
      info: { generator: { name: "saematch", version: options.version } },
    },
    qParams: {
      pinnedIds: idsOf(pins),
      supernodes: groups
        .map((group) => [group.name, ...idsOf(group.nodes)])
        .filter((group) => group.length > 1),
      linkType: "both",
      clickedId: "",
      sg_pos: "",
    },
    nodes: nodes.map(({ node, site, feature, label }) => {
      const [depth, place] = [layer.get(site) as number, column.get(site) as number];
      const together = depth + feature;
      return {
        node_id: ids.get(node) as string,
        feature: (together * (together + 1)) / 2 + feature,
        layer: String(depth),
        ctx_idx: place,
        feature_type: "cross layer transcoder",
        token_prob: 0,
        is_target_logit: false,
        run_idx: 0,
        reverse_ctx_idx: 0,
        jsNodeId: `${depth}_${feature}-${place}`,
        clerp: names.get(node) ?? label ?? "",
        influence: null,
        activation: null,
      };
    }),
    links: links.map((link) => ({
      source: ids.get(link.source) as string,
      target: ids.get(link.target) as string,
      weight: weightOf(link),
    })),
  };
}

function weightOf(link: Pick<Link, "cosine" | "p" | "sourceP">): number {
  if (!Number.isNaN(link.cosine)) return link.cosine;
  const known = [link.p, link.sourceP].filter((p) => !Number.isNaN(p));
  return known.length ? 1 - Math.min(...known) : 1;
}

/** Layer and column of each SAE, no two at one place, and what the columns are called. */
function columnsOf(sites: readonly Place[]) {
  const column = new Map<string, number>();
  const known = sites.every((site) => site.layer !== null) && sites.some((site) => site.layer);
  if (!known) {
    return {
      layer: new Map(sites.map((site, i) => [site.name, i + 1])),
      column: new Map(sites.map((site) => [site.name, 0])),
      titles: ["features"],
    };
  }
  const titles: string[] = [];
  const taken = new Set<string>();
  for (const site of sites) {
    const kind = site.kind ?? "features";
    let title = kind;
    for (let number = 2; taken.has(`${site.layer} ${title}`); number++)
      title = `${kind} (${number})`;
    taken.add(`${site.layer} ${title}`);
    if (!titles.includes(title)) titles.push(title);
    column.set(site.name, titles.indexOf(title));
  }
  return {
    layer: new Map(sites.map((site) => [site.name, site.layer as number])),
    column,
    titles,
  };
}
