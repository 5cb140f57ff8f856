import { expect, it } from "vitest";
import { curvesOf, isNamed, removalsOf, replacementsOf, togetherOf } from "../src/data/causes";
import { type Column, Frame } from "../src/data/frame";

const frame = (columns: Record<string, Column>) =>
  new Frame(Object.values(columns)[0].length, new Map(Object.entries(columns)));

it("removals are of a step or of all, with their intervals", () => {
  const found = removalsOf(
    frame({
      a: [null, "x+y"],
      b: [null, "z"],
      joint: [false, true],
      method: ["cosine", "best active"],
      control: [true, false],
      features: Float64Array.of(150, 30),
      active: Float64Array.of(0.5, 1),
      success: Float64Array.of(0.25, 0.75),
      success_low: Float64Array.of(0.2, 0.7),
      success_high: Float64Array.of(0.3, NaN),
    }),
  );
  expect(found[0]).toMatchObject({ step: null, joint: false, control: true, features: 150 });
  expect(found[0].success).toEqual({ value: 0.25, low: 0.2, high: 0.3 });
  expect(found[1]).toMatchObject({ step: "x+y--z", joint: true, method: "best active" });
  expect(found[1].success.high).toBeNaN();
});

it("replacements lack what a method has not", () => {
  const [found] = replacementsOf(
    frame({
      a: ["x"],
      b: ["y"],
      method: ["random partner"],
      features: Float64Array.of(30),
      coverage: Float64Array.of(1),
      equivalence: Float64Array.of(-0.5),
      equivalence_low: Float64Array.of(-0.6),
      equivalence_high: Float64Array.of(-0.4),
      alike: Float64Array.of(0),
    }),
  );
  expect(found).toMatchObject({ step: "x--y", alike: 0, alikeDifferent: NaN });
  expect(found.equivalence).toEqual({ value: -0.5, low: -0.6, high: -0.4 });
  expect(found.ausqc.value).toBeNaN();
});

it("a curve holds the points of its method, in order", () => {
  const found = curvesOf(
    frame({
      method: ["a", "b", "a"],
      coverage: Float64Array.of(0.5, 1, 1),
      quality: Float64Array.of(0.9, 0.1, 0.4),
    }),
  );
  expect(found.map(({ method }) => method)).toEqual(["a", "b"]);
  expect(found[0].points).toEqual([
    { coverage: 0.5, quality: 0.9 },
    { coverage: 1, quality: 0.4 },
  ]);
});

it("tracks stand beside what they are a multiple of", () => {
  const [found] = togetherOf(
    frame({
      control: [true],
      to: ["alone"],
      tracks: Float64Array.of(20),
      length: Float64Array.of(4.5),
      ratio: Float64Array.of(0.5),
      ratio_low: Float64Array.of(0.4),
      ratio_high: Float64Array.of(0.6),
    }),
  );
  expect(found).toMatchObject({ control: true, to: "alone", tracks: 20, length: 4.5 });
});

it("what no matching names is told apart", () => {
  expect(["cosine", "5 nearest by cosine"].map(isNamed)).toEqual([true, true]);
  expect(["best active", "most affected", "random partner"].some(isNamed)).toBe(false);
});
