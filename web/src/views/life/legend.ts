import { LANES } from "../../draw/colours";
import type { Key } from "../../draw/picture";
import type { Layout } from "./layout";

/** What the marks mean that a drawing has. */
export function legendOf(layout: Layout, partners: ReadonlySet<number>): Key[] {
  const has = (kind: string) => layout.links.some((link) => link.kind === kind);
  const keys: Key[] = [];
  if (has("track")) {
    keys.push({
      kind: "line",
      color: "var(--stream)",
      text: "the track: the stronger the match, the darker",
    });
  }
  if (layout.links.some((link) => link.skips > 0)) {
    keys.push({ kind: "dash", color: "var(--stream)", text: "passes over a layer" });
  }
  if (layout.sides.some(({ kind, node }) => kind !== "writer" && !partners.has(node))) {
    keys.push({
      kind: "dot",
      color: "var(--quiet)",
      text: layout.chained
        ? "another target (above) or source (below)"
        : "a target or source of it",
    });
  }
  if (layout.sides.some(({ node }) => partners.has(node))) {
    keys.push({
      kind: "ring",
      color: "var(--stream)",
      text: "splits off (above) or merges (below)",
    });
  }
  if (layout.links.some(({ kind, matched }) => kind !== "track" && matched)) {
    keys.push({
      kind: "line",
      color: "var(--quiet)",
      text: "a match that is not on the track",
    });
  }
  for (const lane of ["attn", "mlp"] as const) {
    if (layout.sides.some((side) => side.kind === "writer" && side.lane === lane)) {
      keys.push({
        kind: "dot",
        color: LANES[lane],
        text: lane === "attn" ? "what attention writes" : "what the MLP writes",
      });
    }
  }
  return keys;
}
