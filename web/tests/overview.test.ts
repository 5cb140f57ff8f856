import { describe, expect, it } from "vitest";
import type { Explorer } from "../src/data/explorer";
import { type Manifest, type Mode, type Pair, Run, type Sae } from "../src/data/run";
import { saidOf } from "../src/views/overview/examples";
import type { Figures, Step } from "../src/views/overview/figures";
import { nextMark } from "../src/views/overview/roving";
import { claimOf, shareOf } from "../src/views/overview/story";

/** A run of SAEs by what they read and how deep; the pairs that are matched, by `null`. */
function runOf(
  sites: [kind: string | null, layer: number][],
  pairs: [number, number][],
  null_ = "covariance",
) {
  const saes = sites.map(([kind, layer]) => ({
    name: kind ? `${kind}_${layer}` : `sae_${layer}`,
    d_sae: 100,
    excluded: {},
    conventions: { site: kind ? { hook: "", kind, layer } : null },
  })) as unknown as Sae[];
  const matched = pairs.map(([i, j]) => ({
    a: saes[i].name,
    b: saes[j].name,
    summary: { null: null_, features_a: 100, excluded_a: 4, matched: 48 },
  })) as unknown as Pair[];
  return new Run({ saes, pairs: matched, options: {} } as unknown as Manifest);
}

function figuresOf(run: Run, alive: number[] | null, births: number[] = []): Figures {
  const steps = run.steps.map(({ a, b, pair }) => ({
    a,
    b,
    pair,
    leaving: pair ? 48 : NaN,
    share: pair ? 0.5 : NaN,
  })) as Step[];
  const layers = run.chain.map((site, i) => ({ site, features: 100, births: births[i] ?? NaN }));
  const points = (alive ?? []).map((n, steps) => ({
    site: run.chain[steps],
    steps,
    share: n / (alive as number[])[0],
    alive: n,
  }));
  const survival = alive ? [{ start: run.chain[0], started: alive[0], points }] : [];
  return { mode: alive ? "gaps" : null, layers, steps, survival } as unknown as Figures;
}

const explorer = (mode: Mode | null) => ({ index: { mode } }) as unknown as Explorer;
const said = (run: Run, figures: Figures, mode: Mode | null = figures.mode) =>
  claimOf(run, explorer(mode), figures)
    .map(({ text }) => text)
    .join("");
const STREAM = (n: number) =>
  Array.from({ length: n }, (_, i): [string, number] => ["resid_post", i]);
const steps = (n: number) => Array.from({ length: n - 1 }, (_, i): [number, number] => [i, i + 1]);

describe("the claim of the first view", () => {
  it("is of the first layer's features, with the lists that its numbers count", () => {
    const run = runOf(STREAM(7), steps(7));
    const figures = figuresOf(run, [1536, 768, 700, 695, 300, 14, 14], [NaN, 20, 30, 44, 15]);
    expect(said(run, figures)).toBe(
      "Half of the 1,536 features of layer 0 go on; 695 live to layer 3 or beyond, " +
        "14 to the last of seven layers. Of each later layer, 15 to 44 % of the features are new.",
    );
    const links = claimOf(run, explorer("gaps"), figures).flatMap(({ text, to }) =>
      to ? [[text, to.more?.life ?? null]] : [],
    );
    expect(links).toEqual([
      ["Half", 2],
      ["1,536 features", null],
      ["695", 4],
      ["14", 7],
    ]);
    // lists are of tracks of another mode: no number of this one leads there
    expect(claimOf(run, explorer("chained"), figures).every(({ to }) => !to)).toBe(true);
  });

  it("agrees in number", () => {
    const run = runOf(STREAM(4), steps(4));
    expect(said(run, figuresOf(run, [1, 1, 1, 1]))).toBe(
      "All of 1 feature of layer 0 goes on; 1 lives to the last of four layers.",
    );
    expect(said(run, figuresOf(run, [80, 0, 0, 0]))).toBe(
      "None of the 80 features of layer 0 go on; none lives to the last of four layers.",
    );
    expect(said(run, figuresOf(run, [80, 40, 1, 1]))).toBe(
      "Half of the 80 features of layer 0 go on; 1 lives to the last of four layers.",
    );
  });

  it("of two layers says what is new in the second", () => {
    const run = runOf(STREAM(2), steps(2));
    expect(said(run, figuresOf(run, [100, 70], [NaN, 1]))).toBe(
      "70 % of the 100 features of layer 0 go on to layer 1. 1 feature of layer 1 is new.",
    );
  });

  it("of modules alone calls them by their names", () => {
    const run = runOf(
      [0, 1, 2].map((layer) => ["mlp_out", layer]),
      steps(3),
    );
    expect(said(run, figuresOf(run, [100, 25, 3]))).toBe(
      "A quarter of the 100 features of mlp_out_0 go on; 3 live to the last of three layers.",
    );
  });

  it("of one pair without tracks is what matches", () => {
    const run = runOf(STREAM(2), steps(2));
    expect(said(run, figuresOf(run, null))).toBe(
      "Half of the 96 features of layer 0 match one of layer 1 beyond chance.",
    );
    const untested = runOf(STREAM(2), steps(2), "none");
    expect(said(untested, figuresOf(untested, null))).toBe(
      "Half of the 96 features of layer 0 match one of layer 1; how many would by chance was not asked.",
    );
  });

  it("of an unfinished run says how far it is", () => {
    const run = runOf(STREAM(5), [
      [0, 1],
      [1, 2],
    ]);
    expect(said(run, figuresOf(run, null))).toBe(
      "2 of 4 pairs of neighbours are matched: 50 % of their features.",
    );
    const far = runOf(STREAM(3), [[0, 2]]);
    expect(said(far, figuresOf(far, null))).toBe("1 pair of SAEs is matched.");
    const none = runOf(STREAM(3), []);
    expect(said(none, figuresOf(none, null))).toBe("");
  });

  it("says shares in words where there are any", () => {
    expect([0, 0.004, 0.25, 0.331, 0.5, 0.66, 0.666, 0.75, 0.997, 1].map(shareOf)).toEqual([
      "None",
      "0.40 %",
      "A quarter",
      "A third",
      "Half",
      "66 %",
      "Two thirds",
      "Three quarters",
      "Nearly all",
      "All",
    ]);
  });
});

describe("an example", () => {
  const run = runOf(STREAM(5), steps(5));
  it("says what its life is like", () => {
    expect(saidOf(run, "ooooo")).toBe("lives for all five layers");
    expect(saidOf(run, "o.o.o")).toBe("lives for all five layers, two of them passed over");
    expect(saidOf(run, "..oso")).toBe("born at layer 2, lives for three layers");
    expect(saidOf(run, "oo")).toBe("lives for two layers, dies after layer 1");
  });
});

describe("arrow keys in a drawing", () => {
  const marks = [
    { key: "arc", row: 0, at: 1.4 },
    ...[0, 1, 2].map((at) => ({ key: `layer ${at}`, row: 2, at })),
    { key: "side", row: 5, at: 1.7 },
  ];
  const from = (key: string, press: string) =>
    nextMark(marks, marks.find((mark) => mark.key === key) ?? marks[0], press)?.key;
  it("go along a row and to the nearest of the next", () => {
    expect(from("layer 0", "ArrowRight")).toBe("layer 1");
    expect(from("layer 2", "ArrowRight")).toBeUndefined();
    expect(from("layer 2", "Home")).toBe("layer 0");
    expect(from("layer 2", "ArrowDown")).toBe("side");
    expect(from("side", "ArrowUp")).toBe("layer 2");
    expect(from("layer 0", "ArrowUp")).toBe("arc");
    expect(from("arc", "ArrowDown")).toBe("layer 1");
    expect(from("arc", "x")).toBeUndefined();
  });
});
