import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadMatches } from "../src/data/matches";
import { Frame, Reader } from "../src/data/parquet";
import { Run, testedOf } from "../src/data/run";
import { Data } from "../src/data/tables";

const ROOT = new URL("../../tests/golden/run/", import.meta.url);

/** The golden run, which tests of the Python package read too. */
const open = async (path: string) => {
  const body = readFileSync(new URL(path, ROOT));
  const bytes = new Uint8Array(body).buffer;
  return {
    byteLength: bytes.byteLength,
    transferred: bytes.byteLength,
    slice: async (a: number, b?: number) => bytes.slice(a, b),
  };
};
const run = Run.parse(readFileSync(new URL("run.json", ROOT), "utf8"));
const data = new Data(run, new Reader(open));

describe("the golden run", () => {
  it("has its SAEs in order of depth, and its pairs", () => {
    expect(run.chain).toEqual(["resid_post_0", "resid_post_1", "resid_post_2"]);
    expect(run.pairs.map(({ a, b }) => `${a}--${b}`)).toContain("resid_post_0--resid_post_2");
    expect(run.manifest.flow?.modes.chained.tracks).toBeGreaterThan(0);
  });

  it("says what was tested", () => {
    const pair = run.pairs[0];
    const tested = testedOf(pair.summary);
    expect(tested.name).toBe("similarity");
    expect(tested.median).toBeGreaterThan(tested.chance as number);
  });

  it("has every match in the table of its pair", async () => {
    // the run has no tables of the page
    const firing = new Frame(24, new Map());
    const explorer = { firingOf: async () => firing, clearOf: async () => [] } as never;
    const matches = await loadMatches(data, explorer, "resid_post_0", "resid_post_1");
    expect(matches?.length).toBe(24);
    expect([matches?.pearson, matches?.common]).toEqual([null, null]);
    expect(matches?.matched.filter(Boolean).length).toBe(run.pairs[0].summary.matched);
    for (const value of matches?.statistic ?? []) expect(Math.abs(value)).toBeLessThanOrEqual(1);
  });
});
