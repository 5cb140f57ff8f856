import { describe, expect, it } from "vitest";
import type { Edge, Life } from "../src/data/explorer";
import { among, around, type Look, passes, type Reach } from "../src/data/neighbourhood";
import { layered } from "../src/views/graph/layout";

const ALL: Reach = { back: 9, ahead: 9, maxP: null, minScore: null, accepted: false };

/** A graph from [source, target, p] and kinds; sites of ten features each. */
function graph(edges: [number, number, number, Edge["kind"]?][]): { look: Look; asked: number[] } {
  const asked: number[] = [];
  const edge = (other: number, p: number, kind: Edge["kind"] = "match"): Edge => ({
    other,
    kind,
    rank: 1,
    sourceRank: NaN,
    score: -Math.log10(p),
    cosine: NaN,
    p,
    sourceP: NaN,
    pearson: NaN,
  });
  const look: Look = (node) => {
    asked.push(node);
    return Promise.resolve({
      node,
      site: `s${Math.floor(node / 10)}`,
      feature: node % 10,
      out: edges.filter(([from]) => from === node).map(([, to, p, kind]) => edge(to, p, kind)),
      in: edges.filter(([, to]) => to === node).map(([from, , p, kind]) => edge(from, p, kind)),
    } as unknown as Life);
  };
  return { look, asked };
}

const numbers = (found: { nodes: Life[] }) => found.nodes.map((life) => life.node);
const ends = (found: { links: { source: number; target: number }[] }) =>
  found.links.map(({ source, target }) => [source, target]);

// 0 and 1 lead to 10; 10 to 20 and 21; 20 to 30; 1 also to 11, which is no neighbour of 10's way
const WAY = graph([
  [0, 10, 1e-5],
  [1, 10, 1e-3, "target"],
  [1, 11, 1e-9],
  [10, 20, 1e-6],
  [10, 21, 1e-2, "candidate"],
  [20, 30, 1e-4],
]);

describe("the neighbourhood of a feature", () => {
  it("goes ahead and back without turning round", async () => {
    const found = await around(10, WAY.look, ALL);
    expect(numbers(found)).toEqual([0, 1, 10, 20, 21, 30]);
    expect(ends(found)).toEqual([
      [0, 10],
      [1, 10],
      [10, 20],
      [10, 21],
      [20, 30],
    ]);
    expect(found.left).toBe(0);
  });

  it("keeps to its steps", async () => {
    expect(numbers(await around(10, WAY.look, { ...ALL, ahead: 1, back: 0 }))).toEqual([
      10, 20, 21,
    ]);
    expect(numbers(await around(30, WAY.look, { ...ALL, back: 2 }))).toEqual([10, 20, 30]);
    expect(numbers(await around(10, WAY.look, { ...ALL, ahead: 0, back: 0 }))).toEqual([10]);
  });

  it("leaves out edges beyond the cut-offs and what only they reach", async () => {
    expect(numbers(await around(10, WAY.look, { ...ALL, maxP: 1e-3 }))).toEqual([0, 1, 10, 20, 30]);
    expect(numbers(await around(10, WAY.look, { ...ALL, maxP: 1e-5 }))).toEqual([0, 10, 20]);
    expect(numbers(await around(10, WAY.look, { ...ALL, minScore: 4.5 }))).toEqual([0, 10, 20]);
    expect(numbers(await around(10, WAY.look, { ...ALL, accepted: true }))).toEqual([
      0, 10, 20, 30,
    ]);
  });

  it("looks at the best alone where there are too many, and says how many it left", async () => {
    const star = graph(
      Array.from({ length: 9 }, (_, i): [number, number, number] => [0, 10 + i, 10 ** -(i + 1)]),
    );
    const found = await around(0, star.look, ALL, [], 4);
    expect(numbers(found)).toEqual([0, 16, 17, 18]);
    expect(found.left).toBe(6);
    expect(star.asked.length).toBe(4);
  });

  it("has what is pinned, joined to the rest", async () => {
    const found = await around(10, WAY.look, { ...ALL, back: 0, ahead: 0 }, [1, 11]);
    expect(numbers(found)).toEqual([1, 10, 11]);
    expect(ends(found)).toEqual([
      [1, 10],
      [1, 11],
    ]);
  });

  it("of a community has the edges within", async () => {
    const found = await among([0, 10, 20, 11], WAY.look, ALL);
    expect(ends(found)).toEqual([
      [0, 10],
      [10, 20],
    ]);
  });
});

it("takes the better of an edge's two p-values, and none for none", () => {
  const edge = {
    kind: "source",
    rank: NaN,
    sourceRank: 1,
    score: 1,
    cosine: 1,
    pearson: 0,
  } as const;
  const reach = { ...ALL, maxP: 0.01 };
  expect(passes({ ...edge, p: 0.5, sourceP: 0.001 }, reach)).toBe(true);
  expect(passes({ ...edge, p: NaN, sourceP: NaN }, reach)).toBe(false);
  expect(passes({ ...edge, p: NaN, sourceP: NaN }, ALL)).toBe(true);
});

describe("layers of a drawing", () => {
  const nodes = [0, 1, 10, 11].map((node) => ({ node, site: `s${Math.floor(node / 10)}` }));

  it("are ordered so that edges do not cross", () => {
    const links = [
      { source: 0, target: 11 },
      { source: 1, target: 10 },
    ];
    const { placed } = layered(nodes, links, ["s0", "s1", "s2"]);
    const row = (node: number) => placed.get(node)?.row ?? NaN;
    expect((row(0) - row(1)) * (row(11) - row(10))).toBeGreaterThan(0);
    expect(placed.get(10)?.column).toBe(1);
  });

  it("keep groups apart", () => {
    const { lanes, placed, rows } = layered(
      nodes,
      [],
      ["s0", "s1"],
      [{ name: "g", nodes: [1, 11] }],
    );
    expect(lanes.map((lane) => lane.name)).toEqual(["g", null]);
    expect(placed.get(1)?.row).toBe(0);
    expect(placed.get(0)?.row).toBe(2);
    expect(rows).toBe(3);
  });
});
