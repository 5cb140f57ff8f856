import { describe, expect, it } from "vitest";
import {
  type About,
  type Circuit,
  circuitOf,
  figuresOf,
  type Mark,
  type Node,
  pictureOf,
  predicted,
  strongestPath,
} from "../src/data/circuits";
import { type Column, Frame } from "../src/data/frame";
import { type Layout, layoutOf, type Sizes } from "../src/views/circuits/layout";

const about: About = {
  slug: "x",
  prompt: "a b",
  tokens: ["<s>", "a", " b"],
  sites: ["early", "middle", "late"],
  model: "m",
  attention: "frozen",
};

const frame = (rows: readonly Record<string, unknown>[]) =>
  new Frame(
    rows.length,
    new Map(
      Object.keys(rows[0] ?? {}).map((name) => {
        const values = rows.map((row) => row[name]);
        const numeric = values.every((value) => value === null || typeof value === "number");
        const column = numeric ? Float64Array.from(values, (v) => (v as number) ?? NaN) : values;
        return [name, column as Column];
      }),
    ),
  );

const row = (node: number, kind: string, more: Record<string, unknown> = {}) => ({
  circuit: "x",
  ...{ node, kind, site: null, layer: null, feature: null, position: 1, activation: null },
  ...{ influence: 0, token: null, probability: null, track: null, group: null },
  ...{ group_name: null, label: null },
  ...more,
});
const feature = (node: number, site: string, more: Record<string, unknown> = {}) =>
  row(node, "feature", { site, layer: about.sites.indexOf(site), feature: 10 + node, ...more });
const edge = (source: number, target: number, effect: number, share: number) => ({
  ...{ circuit: "x", source, target, effect, share },
});

// two features of one track, one feature beside them, an error; two tokens, two logits
const NODES = [
  row(0, "token", { token: "a", influence: 0.4 }),
  row(1, "token", { token: " b", position: 2, influence: 0.1 }),
  feature(2, "early", { group: 7, group_name: "the track", influence: 0.5, label: "one" }),
  feature(3, "middle", { position: 2, influence: 0.2 }),
  row(4, "error", { site: "middle", layer: 1, influence: 0.3 }),
  feature(5, "late", { group: 7, group_name: "the track", influence: 0.25, label: "two" }),
  row(6, "logit", { token: " c", position: 2, probability: 0.2, influence: 0.25 }),
  row(7, "logit", { token: " d", position: 2, probability: 0.6, influence: 0.75 }),
];
const EDGES = [
  edge(0, 2, 3, 0.9),
  edge(1, 3, 1, 0.5),
  edge(2, 5, 2, 0.4),
  edge(2, 7, 1, 0.3),
  edge(3, 5, -1, 0.2),
  edge(3, 7, 0.5, 0.1),
  edge(4, 5, 1, 0.1),
  edge(5, 7, -4, 0.5),
  edge(5, 6, 1, 0.8),
];
const circuit = circuitOf(about, frame(NODES), frame(EDGES));
const marked = (picture: { marks: Mark[] }, key: string) =>
  picture.marks.find((mark) => mark.key === key) as Mark;

describe("a circuit", () => {
  it("has the nodes and links of its tables, in rows by depth", () => {
    expect(circuit.nodes.map((node) => node.row)).toEqual([0, 0, 1, 2, 2, 3, 4, 4]);
    expect(circuit.nodes[2]).toMatchObject({ kind: "feature", feature: 12, label: "one" });
    expect(circuit.links).toHaveLength(EDGES.length);
    const cut = circuitOf(about, frame(NODES.slice(0, 5)), frame(EDGES));
    expect(cut.links).toEqual(circuit.links.slice(0, 2));
  });

  it("draws supernodes as one, with the largest influence of theirs", () => {
    const together = pictureOf(circuit, true);
    expect(together.marks).toHaveLength(7);
    const track = marked(together, "g7-1");
    expect(track.nodes.map((node) => node.id)).toEqual([2, 5]);
    expect(track).toMatchObject({ name: "the track", influence: 0.5, kind: "feature" });
    const apart = pictureOf(circuit, false);
    expect(apart.marks).toHaveLength(8);
    expect(marked(apart, "n5").name).toBe("two");
    expect(marked(apart, "n3").name).toBeNull();
  });

  it("draws the errors at a token as one, in which paths begin: their influence adds up", () => {
    const more = [...NODES, row(8, "error", { site: "late", influence: 0.25 })];
    const of = circuitOf(about, frame(more), frame(EDGES));
    expect(marked(pictureOf(of, true), "e-1")).toMatchObject({ influence: 0.55, kind: "error" });
    expect(marked(pictureOf(of, false), "n4").influence).toBe(0.3);
  });

  it("sums effects between marks; shares are means by influence, as Python has them", () => {
    const { edges } = pictureOf(circuit, true);
    const between = (key: string) => edges.find((one) => one.key === key);
    // into the track: its first node weighs 0.5, its last 0.25
    expect(between("n0 g7-1")).toMatchObject({ effect: 3, share: 0.9 * (0.5 / 0.75) });
    expect(between("n3 g7-1")).toMatchObject({ effect: -1, share: 0.2 * (0.25 / 0.75) });
    const out = between("g7-1 n7");
    expect(out).toMatchObject({ effect: -3, share: 0.8 });
    expect(out?.weight).toBeCloseTo(0.8 * 0.75, 12);
    // drawn where the strongest of its links is
    expect(out?.from.id).toBe(5);
    expect(edges.some((one) => one.source === one.target)).toBe(false);
    expect(edges.map((one) => one.weight)).toEqual(
      [...edges.map((one) => one.weight)].sort((x, y) => y - x),
    );
    const single = pictureOf(circuit, false).edges.find((one) => one.key === "n5 n7");
    expect(single).toMatchObject({ effect: -4, share: 0.5 });
  });

  it("foretells the likeliest token, whatever the order", () => {
    expect(predicted(circuit.nodes)?.token).toBe(" d");
    expect(predicted(circuit.nodes.slice(0, 5))).toBeNull();
  });

  it("has a strongest path: that of the largest product of shares, from a token", () => {
    const to = predicted(circuit.nodes) as Node;
    const keys = (together: boolean, of: Circuit = circuit) =>
      strongestPath(of, pictureOf(of, together), to).marks.map((mark) => mark.key);
    // 0.9 * 0.3 by the first alone beats 0.9 * 0.4 * 0.5 by both
    expect(keys(false)).toEqual(["n0", "n2", "n7"]);
    expect(keys(true)).toEqual(["n0", "g7-1", "n7"]);
    expect(strongestPath(circuit, pictureOf(circuit, true), to).share).toBeCloseTo(
      0.9 * 0.3 * 0.75,
    );
    const weaker = circuit.links.map((link) =>
      link.source === 2 && link.target === 7 ? { ...link, share: 0.1 } : link,
    );
    expect(keys(false, { ...circuit, links: weaker })).toEqual(["n0", "n2", "n5", "n7"]);
    expect(keys(true, { ...circuit, links: weaker })).toEqual(["n0", "g7-1", "n7"]);
    expect(keys(true, { ...circuit, links: circuit.links.slice(2) })).toEqual([]);
  });

  it("counts its features, those before pruning, and what is left to errors", () => {
    const whole = { ...about, nodes_before: 40, influence_before: 2, replacement: 0.75 };
    const { origins, ...figures } = figuresOf({ ...circuit, about: whole });
    expect(origins.map((node) => node.token)).toEqual(["a", " b"]);
    expect(figures).toEqual({
      features: 3,
      // 2 tokens, 2 logits, 3 errors at each of 2 tokens
      active: 30,
      tracks: 1,
      alone: 1,
      share: 0.95 / 2,
      errors: 0.25,
    });
    const { active, share, errors } = figuresOf(circuit);
    expect([active, share, errors]).toEqual([NaN, NaN, NaN]);
  });
});

/** Many nodes at each of some tokens; every third one in a supernode. */
function crowd(tokens: number, each: number, sites: number): Mark[] {
  const nodes: Record<string, unknown>[] = [];
  for (let position = 0; position < tokens; position++) {
    nodes.push(row(nodes.length, "token", { position, token: "t" }));
    for (let site = 0; site < sites; site++) {
      nodes.push(row(nodes.length, "error", { position, site: `s${site}` }));
      for (let k = 0; k < each; k++) {
        const group = k % 3 ? null : position * each + k;
        nodes.push(row(nodes.length, "feature", { position, site: `s${site}`, group }));
      }
    }
  }
  for (let k = 0; k < 4; k++) {
    nodes.push(row(nodes.length, "logit", { position: tokens - 1, token: "n" }));
  }
  const of = { ...about, sites: Array.from({ length: sites }, (_, i) => `s${i}`) };
  return pictureOf(circuitOf(of, frame(nodes), frame([])), true).marks;
}

describe("the layout", () => {
  const sizes: Sizes = {
    label: (mark) => (mark.kind === "logit" ? 60 : 200),
    token: () => 40,
    ...{ tokens: 4, sites: 5, width: 1000, height: 500 },
  };
  // what a mark takes with its label
  const boxes = (marks: readonly Mark[], layout: Layout) =>
    marks
      .filter(({ kind }) => kind === "feature" || kind === "error")
      .map((mark) => {
        const cell = layout.cells.get(mark.key) as NonNullable<ReturnType<Layout["cells"]["get"]>>;
        const right = mark.kind === "error" ? cell.x + 5 : cell.x + 8 + cell.room;
        return { left: cell.x - 7, right, top: cell.top - 10, bottom: cell.bottom + 10 };
      });

  for (const each of [1, 4, 9, 14]) {
    it(`keeps ${each} features in every cell apart, and within their column`, () => {
      const marks = crowd(4, each, 5);
      const layout = layoutOf(marks, [], sizes);
      const found = boxes(marks, layout);
      found.forEach((one, i) => {
        for (const other of found.slice(i + 1)) {
          const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
          const along = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
          expect(across > 0 && along > 0).toBe(false);
        }
      });
      for (const mark of marks.filter(({ kind }) => kind !== "logit")) {
        const { left, width } = layout.columns[mark.position];
        const cell = layout.cells.get(mark.key);
        expect(cell && cell.x > left && cell.x < left + width).toBe(true);
      }
      expect(layout.columns[3].left + layout.columns[3].width).toBeCloseTo(layout.width, 6);
    });
  }

  it("fills the page where it can, and grows beyond it where it must", () => {
    const width = (each: number) => layoutOf(crowd(4, each, 5), [], sizes).width;
    expect(width(1)).toBeLessThanOrEqual(1000);
    expect(width(1)).toBeGreaterThan(900);
    expect(width(14)).toBeGreaterThan(1000);
  });

  it("puts rows above each other in order, from the tokens up", () => {
    const { rows, height } = layoutOf(crowd(2, 3, 5), [], { ...sizes, tokens: 2 });
    expect(rows).toHaveLength(7);
    expect([...rows].sort((x, y) => y - x)).toEqual(rows);
    expect(rows[0]).toBeLessThan(height);
  });
});
