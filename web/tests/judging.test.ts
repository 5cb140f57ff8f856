import { describe, expect, it } from "vitest";
import { type Column, Frame } from "../src/data/frame";
import {
  type Case,
  coverageOf,
  filtered,
  groupsOf,
  judgementsOf,
  LEAST,
  tallyOf,
  type Verdict,
} from "../src/data/judging";

const frame = (columns: Record<string, Column>) =>
  new Frame(Object.values(columns)[0].length, new Map(Object.entries(columns)));

const verdict = (grade: Verdict["grade"], probability = NaN): Verdict => ({
  grade,
  probability,
  problem: grade ? null : "no contexts",
});

const judged = (of: Partial<Case>, verdicts: Record<string, Verdict> = {}): Case => ({
  kind: "match",
  path: 0,
  steps: 1,
  a: "x",
  featureA: 0,
  b: "y",
  featureB: 0,
  p: NaN,
  cosine: NaN,
  ...of,
  verdicts: new Map(Object.entries(verdicts)),
});

it("cases meet the verdicts of judges and of people, by their number", () => {
  const cases = frame({
    case: Float64Array.of(4, 9),
    kind: ["match", "self"],
    path: Float64Array.of(0, 0),
    steps: Float64Array.of(1, 1),
    a: ["x", "x"],
    feature_a: Float64Array.of(1, 2),
    b: ["y", "x"],
    feature_b: Float64Array.of(3, 2),
    p_value: Float64Array.of(0.5, NaN),
    decoder_cosine: Float64Array.of(0.25, NaN),
  });
  const verdicts = frame({
    case: Float64Array.of(9, 4),
    judge: ["firing", "firing"],
    grade: Float64Array.of(3, NaN),
    probability: Float64Array.of(0.75, NaN),
    problem: [null, "too rare"],
  });
  const votes = frame({
    case: Float64Array.of(4, 4),
    judge: ["people: A", "people: B"],
    grade: Float64Array.of(1, 2),
    probability: Float64Array.of(0, 0.5),
    problem: [null, null],
  });
  const shares = frame({
    kind: ["match"],
    steps: Float64Array.of(1),
    judge: ["firing"],
    same_low: Float64Array.of(0.1),
    same_high: Float64Array.of(0.2),
  });
  const found = judgementsOf(cases, [verdicts, votes], shares);
  expect(found.judges).toEqual(["firing", "people: A", "people: B"]);
  const [first, second] = found.cases;
  expect([first.a, first.featureA, first.b, first.featureB]).toEqual(["x", 1, "y", 3]);
  expect([...first.verdicts].map(([judge, its]) => [judge, its.grade, its.problem])).toEqual([
    ["firing", null, "too rare"],
    ["people: A", "different", null],
    ["people: B", "maybe", null],
  ]);
  expect(second.verdicts.get("firing")).toEqual(verdict("same", 0.75));
  expect(second.verdicts.has("people: A")).toBe(false);
  expect(found.shares).toEqual([{ kind: "match", judge: "firing", steps: 1, low: 0.1, high: 0.2 }]);
  expect(judgementsOf(cases, [verdicts], null).shares).toEqual([]);
});

it("a tally counts what a judge was shown, and apart what it could not grade", () => {
  const cases = [
    judged({}, { one: verdict("same"), other: verdict(null) }),
    judged({}, { one: verdict("different"), other: verdict("maybe") }),
    judged({}, { one: verdict("same") }),
  ];
  expect(tallyOf(cases, "one")).toEqual({
    same: 2,
    maybe: 0,
    different: 1,
    graded: 3,
    ungraded: 0,
  });
  expect(tallyOf(cases, "other")).toMatchObject({ maybe: 1, graded: 1, ungraded: 1 });
});

it("groups stand in order: matches, chained and direct by steps, then controls", () => {
  const far = (kind: string, steps: number) => judged({ kind, steps });
  const cases = [
    judged({ kind: "random" }),
    far("direct", 5),
    far("composed", 5),
    far("direct", 2),
    far("composed", 2),
    judged({ kind: "self" }),
    judged({}),
    judged({}),
  ];
  const groups = groupsOf(cases);
  expect(groups.map((group) => group.key)).toEqual([
    "match",
    "composed-2",
    "direct-2",
    "composed-5",
    "direct-5",
    "self",
    "random",
  ]);
  expect(groups[0].cases).toHaveLength(2);
  expect(groups[1].title).toBe("chained matches, 2 steps");
});

describe("quality against coverage", () => {
  it("is the running mean from the smallest p-value on, ending at the mean of all", () => {
    const cases = Array.from({ length: 20 }, (_, i) =>
      judged({ p: (20 - i) / 100 }, { j: verdict("same", i >= 10 ? 1 : 0) }),
    );
    const curve = coverageOf(cases, "j");
    expect(curve?.mean).toBe(0.5);
    expect(curve?.points).toHaveLength(20 - LEAST + 1);
    expect(curve?.points[0]).toEqual({ share: 0.5, quality: 1 });
    expect(curve?.points.at(-1)).toEqual({ share: 1, quality: 0.5 });
  });

  it("takes matches of one p-value together, and only matches with one", () => {
    const cases = [
      ...Array.from({ length: 30 }, (_, i) => judged({ p: 0 }, { j: verdict("same", i % 2) })),
      ...Array.from({ length: 10 }, () => judged({ p: 1 }, { j: verdict("different", 0) })),
      judged({ p: NaN }, { j: verdict("same", 1) }),
      judged({ p: 0, kind: "composed" }, { j: verdict("same", 1) }),
      judged({ p: 0 }, { j: verdict(null) }),
    ];
    const curve = coverageOf(cases, "j");
    expect(curve?.matches).toBe(40);
    expect(curve?.points).toEqual([
      { share: 0.75, quality: 0.5 },
      { share: 1, quality: 0.375 },
    ]);
    expect(coverageOf(cases, "nobody")).toBeNull();
  });
});

it("a list is narrowed by kind with its steps, by pair, and by the grade of one judge", () => {
  const cases = [
    judged({ featureA: 0 }, { j: verdict("same") }),
    judged({ featureA: 1, b: "z" }, { j: verdict("different") }),
    judged({ featureA: 2, kind: "composed", steps: 2 }, { j: verdict("same") }),
    judged({ featureA: 3, kind: "composed", steps: 5 }, { j: verdict(null) }),
  ];
  const all = { kind: null, pair: null, grade: null, judge: "j" };
  const features = (of: object) => filtered(cases, { ...all, ...of }).map((one) => one.featureA);
  expect(features({})).toEqual([0, 1, 2, 3]);
  expect(features({ kind: "match" })).toEqual([0, 1]);
  expect(features({ kind: "composed-2" })).toEqual([2]);
  expect(features({ pair: "x--z" })).toEqual([1]);
  expect(features({ grade: "same" })).toEqual([0, 2]);
  expect(features({ grade: "same", judge: "other" })).toEqual([]);
});
