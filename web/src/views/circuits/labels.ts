/** What marks of a circuit are called, and how much of it fits. */

import type { Mark, Node } from "../../data/circuits";
import type { Run } from "../../data/run";
import { visible } from "../../data/tokens";

/** A token as it is read: line ends made visible, blanks that stand alone too. */
export function tokenText(text: string): string {
  // no line ends between a quotation mark and the blank that a token begins with
  const blanks = text.trim() ? text.replace(/^ +/, (its) => "\u00a0".repeat(its.length)) : text;
  return visible(text.trim() ? blanks : text.replace(/ /g, "␣")) || "∅";
}

/** Layers of a mark, as the axis names them. */
export function layersOf(run: Run, mark: Mark): string {
  const name = (node: Node) => (node.site && run.has(node.site) ? run.short(node.site) : "");
  const [first, last] = [name(mark.nodes[0]), name(mark.nodes[mark.nodes.length - 1])];
  return first === last ? first : `${first} to ${last}`;
}

/** What a mark is called. */
export function nameOf(mark: Mark): string {
  const { kind, nodes, name } = mark;
  if (kind === "token" || kind === "logit") return tokenText(nodes[0].token);
  if (kind === "error") return "error";
  return name ? visible(name) : `feature ${nodes[0].feature}`;
}
