import { describe, expect, it } from "vitest";
import {
  brushed,
  composed,
  differing,
  listed,
  type Matches,
  readBrush,
  sorted,
  surprises,
  writeBrush,
} from "../src/data/matches";
import { hexbins } from "../src/draw/hexbins";

const f = (...values: number[]) => Float64Array.from(values);

// six features: 0 to 3 are matches, 4 nearly, 5 has no target
const MATCHES: Matches = {
  length: 6,
  target: f(5, 4, 3, 2, 1, -1),
  matched: [true, true, true, true, false, false],
  score: f(0.9, 0.7, 0.8, 0.5, 0.4, NaN),
  statistic: f(0.9, 0.7, 0.8, 0.5, 0.4, NaN),
  p: f(1e-9, 1e-4, 1e-6, 1e-3, 0.02, NaN),
  cosine: f(0.9, 0.7, 0.8, 0.5, 0.4, NaN),
  rankInRow: f(1, 1, 2, 1, 1, NaN),
  rankInColumn: f(1, 3, 1, 1, 1, NaN),
  // 0 points most alike and fires least together; 3 the reverse
  pearson: f(0.1, 0.5, 0.6, 0.9, 0.3, NaN),
  common: f(0, 0, 0.5, 1, 0, NaN),
  commonOf: "tokens",
  clear: [false, true, true, true, false, false],
};

describe("lists of matches", () => {
  it("go by score, and by p-value for what was missed", () => {
    expect(listed(MATCHES, "best")).toEqual([2, 1, 3, 0]); // 0 is not clear
    expect(listed(MATCHES, "worst")).toEqual([3, 1, 2, 0]);
    expect(listed(MATCHES, "missed")).toEqual([4]);
  });

  it("find what fires together and points apart, and the reverse", () => {
    // shares by rank of the cosine: 1, 1/3, 2/3, 0; of the correlation: 0, 1/3, 2/3, 1
    expect([...surprises(MATCHES, [0, 1, 2, 3])].slice(0, 4)).toEqual([-1, 0, 0, 1]);
    expect(listed(MATCHES, "apart")).toEqual([3]);
    expect(listed(MATCHES, "alike")).toEqual([0]);
  });

  it("have no surprises where correlations are not known", () => {
    expect(listed({ ...MATCHES, pearson: null }, "apart")).toEqual([]);
    const one = { ...MATCHES, pearson: f(NaN, NaN, NaN, 0.9, NaN, NaN) };
    expect(listed(one, "apart")).toEqual([]);
  });

  it("find matches whose contexts disagree: no token in common, and no firing together", () => {
    // 1 shares no token either, but fires with its target; 4 is no match
    expect(listed(MATCHES, "contrary")).toEqual([0]);
    // what is not known to fire together does not
    const unheard = { ...MATCHES, pearson: f(NaN, NaN, 0.6, 0.9, 0.3, NaN) };
    expect(listed(unheard, "contrary")).toEqual([0, 1]);
    expect(listed({ ...MATCHES, pearson: null }, "contrary")).toEqual([0, 1]);
    const shared = {
      ...MATCHES,
      common: f(0.3, 0.2, 0.1, 0.9, 0, NaN),
      commonOf: "contexts",
    } as const;
    expect(listed(shared, "contrary")).toEqual([]); // of 1 and 2 little is shared; they fire together
    expect(listed({ ...shared, pearson: null }, "contrary")).toEqual([2, 1]);
    expect(listed({ ...MATCHES, common: null }, "contrary")).toEqual([]);
  });

  it("find matches that are not each other's best, the furthest first", () => {
    expect(listed(MATCHES, "second")).toEqual([1, 2]);
  });

  it("compose matches and tell where they differ from the direct ones", () => {
    const step = (target: Float64Array, matched: boolean[]) => ({ target, matched });
    const first = step(f(1, 0, 2, 3, 3, 0), [true, true, true, false, true, true]);
    const second = step(f(4, 5, 9, 2), [true, true, true, true]);
    const over = composed([first, second]) as Float64Array;
    expect([...over]).toEqual([5, 4, 9, -1, 2, 4]);
    expect(differing(MATCHES, over)).toEqual([2]);
    expect(composed([first, null])).toBeNull();
  });

  it("sort by a column with what is not known last", () => {
    expect(sorted([5, 4, 0], MATCHES.score, true)).toEqual([0, 4, 5]);
    expect(sorted([5, 0, 4], MATCHES.score, false)).toEqual([4, 0, 5]);
  });
});

describe("the brush", () => {
  it("is the same after the URL", () => {
    const brush = { x: [-0.25, 0.5], y: [0, 1e-5] } as const;
    expect(readBrush(writeBrush(brush))).toEqual(brush);
    expect(readBrush("0.5_-0.25_1_0")).toEqual({ x: [-0.25, 0.5], y: [0, 1] });
    expect(readBrush("a_b")).toBeNull();
    expect(readBrush(undefined)).toBeNull();
  });

  it("lists what is within", () => {
    const brush = { x: [0.4, 0.8], y: [0.3, 0.6] } as const;
    expect(brushed(MATCHES, MATCHES.cosine, MATCHES.pearson as Float64Array, brush)).toEqual([
      2, 1, 4,
    ]);
  });
});

it("hexagons count every point once, and each point in the nearest", () => {
  const [x, y] = [f(0, 1, 40, 41, NaN), f(0, 1, 30, 30, 2)];
  const bins = hexbins(
    5,
    (i) => x[i],
    (i) => y[i],
    5,
  );
  expect(bins.map((bin) => bin.count)).toEqual([2, 2]);
  for (const bin of bins) {
    const away = Math.min(...[0, 2].map((i) => Math.hypot(bin.x - x[i], bin.y - y[i])));
    expect(away).toBeLessThanOrEqual(5);
  }
});
