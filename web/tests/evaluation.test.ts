import { expect, it } from "vitest";
import {
  estimatesOf,
  findingOf,
  medians,
  nameOf,
  plainly,
  rangeOf,
  usualCarry,
  type Value,
} from "../src/data/evaluation";
import { apart } from "../src/draw/apart";

const value = (of: Partial<Value>): Value => ({
  a: "a",
  b: "b",
  skipped: 1,
  texts: "t",
  estimate: "match",
  links: "assigned",
  q: NaN,
  carry: "threshold",
  metric: "delta-loss",
  value: 1,
  low: 0,
  high: 2,
  examples: 1,
  tokens: 1,
  ...of,
});

it("estimates are named by what sets them apart, baselines first", () => {
  const values = [
    value({}),
    value({ links: "matched" }),
    value({ carry: "none" }),
    value({ estimate: "partial", q: 0.5 }),
    value({ estimate: "mine" }),
    value({ estimate: "drop", links: null, carry: null }),
  ];
  const usual = usualCarry(values);
  expect(usual).toBe("threshold");
  expect(estimatesOf(values, usual)).toEqual([
    "drop",
    "match",
    "match, not rescaled",
    "match, significant",
    "mine",
  ]);
  expect(nameOf(values[3], usual)).toBe("partial, share q");
  expect(estimatesOf(values, usual).map(plainly)).toEqual([
    "Layers dropped",
    "All matches",
    "All matches, not rescaled",
    "Significant matches",
    "mine",
  ]);
});

const losses = (b: string, match: number, drop: number, mean: number, by: number): Value[] => [
  value({ b, value: match }),
  value({ b, value: match + 9, carry: "none" }),
  value({ b, value: 9, estimate: "partial", q: 0.5 }),
  value({ b, value: drop, estimate: "drop", links: null, carry: null }),
  value({ b, value: mean, estimate: "mean", links: null, carry: null }),
  value({
    b,
    metric: "delta-loss less drop's",
    value: match - drop,
    low: match - drop - by,
    high: match - drop + by,
  }),
];

it("the finding counts what matches cost beside dropping the layers, and beside the mean", () => {
  const values = [
    ...losses("b", 2, 1, 5, 0.5),
    ...losses("c", 1.2, 1, 4, 0.5),
    ...losses("d", 0.5, 3, 0.2, 1),
    // of no pair whose drop is known
    value({ b: "e", value: 100 }),
  ];
  expect(findingOf(values, "threshold")).toEqual({
    match: { median: 1.2, low: 0.5, high: 2 },
    drop: { median: 1, low: 1, high: 3 },
    mean: { median: 4, low: 0.2, high: 5 },
    cases: 3,
    pairs: 3,
    more: 2,
    surelyMore: 1,
    surelyLess: 1,
    lessThanMean: 2,
    meanCases: 3,
  });
  expect(findingOf([value({})], "threshold")).toBeNull();
});

it("a mean that is far beyond all else does not set the range, one that is near does", () => {
  const near = [
    value({ value: 1, low: -0.5, high: 2 }),
    value({ value: 1.5, low: NaN, high: NaN }),
  ];
  const mean = (of: number) =>
    value({ estimate: "mean", value: of, low: of - 0.1, high: of + 0.1 });
  expect(rangeOf([...near, mean(9)])).toEqual([-0.5, 2]);
  expect(rangeOf([...near, mean(2.5)])).toEqual([-0.5, 2.6]);
  expect(rangeOf([mean(9)])).toEqual([0, 9.1]);
  expect(rangeOf([])).toEqual([0, 1]);
});

it("medians are by distance, of odd and even numbers of pairs", () => {
  const values = [5, 1, 3].map((one) => value({ value: one }));
  const far = [4, 10, NaN].map((one) => value({ value: one, skipped: 2 }));
  expect(medians([...far, ...values])).toEqual([
    { skipped: 1, value: 3 },
    { skipped: 2, value: 7 },
  ]);
});

it("labels are moved apart in their order", () => {
  const moved = apart([10, 11, 50, 10.5], 14);
  expect(moved[0]).toBeLessThan(moved[3]);
  expect(moved[3] - moved[0]).toBeGreaterThan(13);
  expect(moved[1] - moved[3]).toBeGreaterThan(13);
  expect(moved[2]).toBe(50);
  expect(apart([0, 1, 99, 100], 10, [5, 95])).toEqual([5, 15, 85, 95]);
});
