import { describe, expect, it } from "vitest";
import { by, type Listed, openingOf } from "../src/data/communities";
import type { Edge, Life } from "../src/data/explorer";
import { keyTarget } from "../src/views/life/keys";
import { labelledOf, linesOf, wordsOf } from "../src/views/life/labels";
import { LEAST, layoutOf } from "../src/views/life/layout";
import { orderOf, strongest } from "../src/views/life/strength";
import { openFixture } from "./run";

const { run, explorer } = await openFixture();

const of = (node: number, label: string | null, labelSource: string | null = null) =>
  ({ node, label, labelSource }) as Life;

describe("labels of a track", () => {
  it("stand at its first feature, where words change, and at the feature in focus", () => {
    const track = [of(1, "she, her"), of(2, "her, she"), of(3, "her"), of(4, "her"), of(5, null)];
    expect(labelledOf(track, 1).map(({ node }) => node)).toEqual([1, 3, 5]);
    expect(labelledOf(track, 4).map(({ node }) => node)).toEqual([1, 3, 4, 5]);
  });

  it("tell the words that the one before does not have", () => {
    const [first, second] = labelledOf([of(1, "she, her"), of(2, "her, hers")], 1);
    expect(first.words.map((word) => word.fresh)).toEqual([true, true]);
    expect(second.words.map((word) => word.fresh)).toEqual([false, true]);
  });

  it("of somebody are one word, whatever commas are in them", () => {
    expect(wordsOf(of(1, "names, first and last", "neuronpedia"))).toHaveLength(1);
  });

  it("break into lines between words, and end in an ellipsis where room ends", () => {
    const measure = (text: string) => text.length;
    const cut = (text: string, width: number) => `${text.slice(0, width - 1)}…`;
    const words = (...texts: string[]) => texts.map((text) => ({ text, fresh: true }));
    const lines = (width: number, ...texts: string[]) =>
      linesOf(words(...texts), width, 2, measure, cut).map((line) =>
        line.map(({ text }) => text).join(""),
      );
    expect(lines(10, "she", "her")).toEqual(["she, her"]);
    expect(lines(7, "she", "her")).toEqual(["she, ", "her"]);
    expect(lines(7, "she", "her", "herself")).toEqual(["she, ", "her, …"]);
    expect(lines(4, "hippopotamus")).toEqual(["hip…"]);
  });
});

describe("the drawing of a life", async () => {
  const track = await explorer.track(await explorer.life("resid_post_1", 3), "gaps");
  const layout = layoutOf(run, explorer, track, 300);

  it("keeps layers apart however narrow the screen is", () => {
    expect(layout.step).toBe(LEAST);
    expect(layout.width).toBeGreaterThan(300);
  });

  it("is walked by arrows within a column and back", () => {
    const here = layout.track[1].life.node;
    const up = keyTarget(layout, here, "ArrowUp");
    expect(up).not.toBeNull();
    expect(layout.sides.some((side) => side.node === up)).toBe(true);
    expect(keyTarget(layout, up as number, "ArrowDown")).toBe(here);
  });

  it("has no mark before its first layer or after its last", () => {
    const first = layout.track.find((mark) => mark.life.site === layout.columns[0].site);
    expect(keyTarget(layout, first?.life.node as number, "ArrowLeft")).toBeNull();
  });
});

describe("edges", () => {
  const edge = (kind: Edge["kind"], score: number, p: number) =>
    ({ kind, score, p, sourceP: NaN, other: 0 }) as Edge;

  it("are ordered by acceptance, then by chance, then by score", () => {
    const edges = [
      edge("candidate", 0.9, 0.7),
      edge("source", 0.58, 2e-4),
      edge("match", 0.5, 1e-3),
      edge("source", 0.6, NaN),
      edge("candidate", 0.95, 0.7),
    ];
    expect([...edges].sort(strongest).map(({ score }) => score)).toEqual([
      0.5, 0.58, 0.95, 0.9, 0.6,
    ]);
    expect([...edges].sort(orderOf("p", false)).map(({ p }) => p)).toEqual([
      2e-4,
      1e-3,
      0.7,
      0.7,
      NaN,
    ]);
  });
});

describe("communities", () => {
  const listed = (community: number, size: number, clean: number, label = "a"): Listed => ({
    community,
    size,
    sites: 2,
    label,
    agreement: clean,
    clean,
  });

  it("come the cleanest first, those of which nothing is known last", () => {
    const order = [listed(0, 90, NaN), listed(1, 5, 0.5), listed(2, 30, 0.7), listed(3, 99, NaN)];
    expect(order.sort(by("clean")).map(({ community }) => community)).toEqual([2, 1, 3, 0]);
  });

  it("open with the cleanest that makes a good drawing", () => {
    expect(openingOf([listed(0, 3, 0.9), listed(1, 30, 0.8)])?.community).toBe(1);
    expect(openingOf([listed(0, 30, 0.9), listed(1, 30, 0.8, "a, b")])?.community).toBe(1);
    expect(openingOf([listed(0, 3, 0.9), listed(1, 300, 0.8)])?.community).toBe(0);
    expect(openingOf([])).toBeNull();
  });
});
