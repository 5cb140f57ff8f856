/** Circuits: effects between what is active on a prompt. docs/reference/run-directory.md. */

import type { Frame } from "./frame";
import type { Data } from "./tables";

/** What run.json says of a circuit. */
export interface About {
  slug: string;
  prompt: string;
  tokens: string[];
  /** SAEs, the earliest first. */
  sites: string[];
  model: string;
  attention: string;
  options?: Record<string, unknown>;
  unread?: number[];
  /** What was there before what matters little was left out. */
  nodes_before?: number;
  edges_before?: number;
  /** Sum over all nodes but logits, before what matters little was left out. */
  influence_before?: number | null;
  /** Share of what comes into nodes that is no error's, by their influence. */
  completeness?: number | null;
  /** Share of what reaches the logits that begins in tokens; the rest begins in errors. */
  replacement?: number | null;
}

const NODE_KINDS = ["feature", "error", "token", "logit"] as const;
export type NodeKind = (typeof NODE_KINDS)[number];

export interface Node {
  id: number;
  kind: NodeKind;
  site: string | null;
  layer: number;
  /** Row of the picture: 0 for tokens, then sites in order of depth, logits last. */
  row: number;
  feature: number;
  position: number;
  activation: number;
  /** Share of what reaches the logits that passes through it, 0 to 1. */
  influence: number;
  token: string;
  probability: number;
  /** The track it is on, NaN in none. */
  track: number;
  group: number;
  groupName: string | null;
  label: string | null;
}

export interface Link {
  source: number;
  target: number;
  /** Signed. */
  effect: number;
  /** Of the sizes of all effects on the target, 0 to 1. */
  share: number;
}

export interface Circuit {
  about: About;
  nodes: Node[];
  links: Link[];
}

/** The circuits that a run has. */
export function circuitsOf(data: Data): About[] {
  const section = data.run.manifest.circuits;
  if (!section?.tables.nodes || !section.tables.edges) return [];
  return (section.circuits ?? []) as About[];
}

/** One circuit of a run. */
export async function loadCircuit(data: Data, about: About): Promise<Circuit> {
  const tables = data.run.manifest.circuits?.tables ?? {};
  const only = { circuit: about.slug };
  const [nodes, edges] = await Promise.all([
    data.reader.read(tables.nodes, undefined, only),
    data.reader.read(tables.edges, undefined, only),
  ]);
  return circuitOf(about, nodes, edges);
}

/** A circuit of its rows; a link whose ends are not both there is left out. */
export function circuitOf(about: About, nodes: Frame, edges: Frame): Circuit {
  const number = (name: string) => nodes.numbers(name);
  const [id, layer, feature, position] = ["node", "layer", "feature", "position"].map(number);
  const [activation, influence] = ["activation", "influence"].map(number);
  const [probability, track, group] = ["probability", "track", "group"].map(number);
  const [kind, site, token] = ["kind", "site", "token"].map((name) => nodes.texts(name));
  const [groupName, label] = ["group_name", "label"].map((name) => nodes.texts(name));
  const rowOf = new Map(about.sites.map((name, i) => [name, i + 1]));
  const row = (kind: string | null, site: string | null) =>
    kind === "token" ? 0 : kind === "logit" ? about.sites.length + 1 : (rowOf.get(site ?? "") ?? 1);
  const found: Node[] = Array.from({ length: nodes.length }, (_, i) => ({
    id: id[i],
    kind: NODE_KINDS.find((known) => known === kind[i]) ?? "feature",
    site: site[i],
    layer: layer[i],
    row: row(kind[i], site[i]),
    feature: feature[i],
    position: position[i],
    activation: activation[i],
    influence: influence[i],
    token: token[i] ?? "",
    probability: probability[i],
    track: track[i],
    group: group[i],
    groupName: groupName[i] || null,
    label: label[i] || null,
  }));
  const there = new Set(found.map((node) => node.id));
  const [source, target] = [edges.numbers("source"), edges.numbers("target")];
  const [effect, share] = [edges.numbers("effect"), edges.numbers("share")];
  const links: Link[] = [];
  for (let i = 0; i < edges.length; i++) {
    if (!there.has(source[i]) || !there.has(target[i])) continue;
    links.push({ source: source[i], target: target[i], effect: effect[i], share: share[i] });
  }
  return { about, nodes: found, links };
}

/** What is drawn as one: a node, the nodes of a supernode, or the errors at one position. */
export interface Mark {
  /** As the URL says it. */
  key: string;
  kind: NodeKind;
  /** From the earliest row to the last. */
  nodes: Node[];
  position: number;
  influence: number;
  /** Null where nothing is known but a number. */
  name: string | null;
}

/** Effects of one mark on another. */
export interface Edge {
  key: string;
  source: Mark;
  target: Mark;
  /** Sum over the nodes of both; of one unit only where both are single. */
  effect: number;
  /** Of what comes into the target: the mean over its nodes, weighted by their influence. */
  share: number;
  /** Share of all that reaches the logits that passes here. */
  weight: number;
  /** The strongest of the links that it is made of: where it is drawn. */
  from: Node;
  to: Node;
}

export interface Picture {
  marks: Mark[];
  /** The weightiest first. */
  edges: Edge[];
  markOf: ReadonlyMap<number, Mark>;
}

/** A circuit as it is drawn: supernodes as one mark each, or every node by itself. */
export function pictureOf({ nodes, links }: Circuit, together: boolean): Picture {
  const marks = new Map<string, Mark>();
  const markOf = new Map<number, Mark>();
  for (const node of [...nodes].sort((a, b) => a.row - b.row || a.id - b.id)) {
    const grouped = together && node.kind === "feature" && !Number.isNaN(node.group);
    const error = together && node.kind === "error";
    const of = grouped ? `g${node.group}` : "e";
    const key = grouped || error ? `${of}-${node.position}` : `n${node.id}`;
    const mark = marks.get(key);
    if (mark) mark.nodes.push(node);
    else {
      const name = node.kind === "feature" ? (grouped && node.groupName) || node.label : node.token;
      const { kind, position, influence } = node;
      marks.set(key, { key, kind, nodes: [node], position, influence, name });
    }
    const its = mark ?? (marks.get(key) as Mark);
    if (mark) {
      // what passes through one layer of a track passes through others too; in errors paths begin
      const [one, other] = [mark.influence || 0, node.influence || 0];
      mark.influence = error ? one + other : Math.max(one, other);
    }
    markOf.set(node.id, its);
  }
  const byId = new Map(nodes.map((node) => [node.id, node]));
  return { marks: [...marks.values()], edges: edgesOf(links, byId, markOf), markOf };
}

function edgesOf(
  links: readonly Link[],
  byId: ReadonlyMap<number, Node>,
  markOf: ReadonlyMap<number, Mark>,
): Edge[] {
  const sums = new Map<Mark, number>();
  for (const node of byId.values()) {
    const mark = markOf.get(node.id) as Mark;
    sums.set(mark, (sums.get(mark) ?? 0) + weighed(node));
  }
  const found = new Map<string, Edge & { most: number }>();
  for (const { source, target, effect, share } of links) {
    const [from, to] = [byId.get(source) as Node, byId.get(target) as Node];
    const [a, b] = [markOf.get(source) as Mark, markOf.get(target) as Mark];
    if (a === b) continue;
    const weight = share * weighed(to);
    const key = `${a.key} ${b.key}`;
    const edge = found.get(key) ?? {
      ...{ key, source: a, target: b, effect: 0, share: 0, weight: 0, from, to, most: -1 },
    };
    edge.effect += effect;
    edge.weight += weight;
    edge.share += weight / (sums.get(b) as number);
    if (weight > edge.most) Object.assign(edge, { from, to, most: weight });
    found.set(key, edge);
  }
  return [...found.values()]
    .map(({ most: _, ...edge }) => edge)
    .sort((x, y) => y.weight - x.weight || (x.key < y.key ? -1 : 1));
}

/** Weight of a node among those of its mark: its influence, and a little where it has none. */
const weighed = (node: Node) => Math.max(1e-9, node.influence || 0);

/** The likeliest token next. */
export function predicted(nodes: readonly Node[]): Node | null {
  const logits = nodes.filter((node) => node.kind === "logit");
  return logits.sort((a, b) => b.probability - a.probability)[0] ?? null;
}

export interface Path {
  /** From a token on; empty where no path begins in one. */
  marks: Mark[];
  /** Share of all that reaches the logits that goes this way. */
  share: number;
}

/** The way from a token to a node on which the product of shares is largest. */
export function strongestPath(circuit: Circuit, picture: Picture, to: Node): Path {
  const into = new Map<number, Link[]>();
  for (const link of circuit.links) {
    into.set(link.target, [...(into.get(link.target) ?? []), link]);
  }
  const byId = new Map(circuit.nodes.map((node) => [node.id, node]));
  const best = new Map<number, { product: number; by: Link | null }>();
  const order = [...circuit.nodes].sort((a, b) => a.row - b.row);
  for (const node of order) {
    let found = { product: node.kind === "token" ? 1 : 0, by: null as Link | null };
    for (const link of into.get(node.id) ?? []) {
      const product = (best.get(link.source)?.product ?? 0) * link.share;
      if (product > found.product) found = { product, by: link };
    }
    best.set(node.id, found);
  }
  const path: Mark[] = [];
  for (let at: Node | undefined = to; at; ) {
    const mark = picture.markOf.get(at.id) as Mark;
    if (path[0] !== mark) path.unshift(mark);
    const by: Link | null | undefined = best.get(at.id)?.by;
    at = by ? byId.get(by.source) : undefined;
  }
  const whole = path.length > 1 && path[0].kind === "token";
  const share = (best.get(to.id)?.product ?? 0) * (to.influence || 0);
  return whole ? { marks: path, share } : { marks: [], share: 0 };
}

/** Counts and shares of a circuit, as its sentence says them. */
export interface Figures {
  features: number;
  /** That were active on the prompt; NaN where it is not known. */
  active: number;
  /** Supernodes, and features in none. */
  tracks: number;
  alone: number;
  /** Share of the influence of all nodes that the features have; NaN where it is not known. */
  share: number;
  /** Share of what reaches the logits that begins in errors; NaN where it is not known. */
  errors: number;
  /** Tokens in which most of the rest begins, by their influence. */
  origins: Node[];
}

export function figuresOf({ about, nodes }: Circuit): Figures {
  const of = (kind: NodeKind) => nodes.filter((node) => node.kind === kind);
  const [features, tokens, logits] = [of("feature"), of("token"), of("logit")];
  const grouped = features.filter((node) => !Number.isNaN(node.group));
  const all = about.nodes_before || NaN;
  // tokens and logits are all kept, and before pruning each SAE has an error at each of these tokens
  const others = tokens.length * (1 + about.sites.length) + logits.length;
  const influence = features.reduce((sum, node) => sum + (node.influence || 0), 0);
  return {
    features: features.length,
    active: all - others,
    tracks: new Set(grouped.map((node) => node.group)).size,
    alone: features.length - grouped.length,
    share: influence / (about.influence_before || NaN),
    errors: 1 - (about.replacement ?? NaN),
    origins: tokens.filter((node) => node.influence > 0).sort((x, y) => y.influence - x.influence),
  };
}
