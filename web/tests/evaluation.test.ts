import { expect, it } from "vitest";
import {
  apart,
  estimatesOf,
  medians,
  nameOf,
  usualCarry,
  type Value,
} from "../src/data/evaluation";

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
});
