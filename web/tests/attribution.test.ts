import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { attribution, type Named } from "../src/data/attribution";
import type { Place } from "../src/data/explorer";
import type { Link } from "../src/data/neighbourhood";

interface Case {
  sites: Place[];
  nodes: Named[];
  links: Record<string, number | null>[];
  attribution: Record<string, unknown>;
}

// made by tests/layers/test_page_case.py
const made = JSON.parse(readFileSync(new URL("attribution.json", import.meta.url), "utf-8")) as {
  version: string;
  cases: Record<string, Case>;
};
const number = (value: number | null) => value ?? NaN;
const linksOf = (one: Case) =>
  one.links.map((link) => ({
    source: link.source,
    target: link.target,
    cosine: number(link.cosine),
    p: number(link.p_value),
    sourceP: number(link.source_p_value),
  })) as unknown as Link[];
const options = { slug: "mine", title: "l0 #0", version: made.version };

describe("attribution graphs", () => {
  it.each(Object.entries(made.cases))("are those of Python: %s", (_, one) => {
    const ours = attribution(one.sites, one.nodes, linksOf(one), options);
    expect(JSON.parse(JSON.stringify(ours))).toEqual(one.attribution);
  });

  it("say what the user pinned, named and grouped", () => {
    const one = made.cases.layers;
    const [first, second] = one.nodes;
    const marks = {
      pins: [second.node, 10_000],
      names: new Map([[first.node, "<b>mine</b>"]]),
      groups: [
        { name: "both", nodes: [first.node, second.node] },
        { name: "elsewhere", nodes: [10_000] },
      ],
    };
    const ours = attribution(one.sites, one.nodes, linksOf(one), { ...options, marks });
    expect(ours.qParams.pinnedIds).toEqual([ours.nodes[1].node_id]);
    expect(ours.qParams.supernodes).toEqual([
      ["both", ours.nodes[0].node_id, ours.nodes[1].node_id],
    ]);
    expect(ours.nodes[0].clerp).toBe("<b>mine</b>");
  });
});
