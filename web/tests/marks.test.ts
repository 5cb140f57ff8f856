import { describe, expect, it } from "vitest";
import { Explorer, type Index } from "../src/data/explorer";
import {
  grouped,
  loaded,
  NO_MARKS,
  named,
  pinned,
  readMarks,
  saved,
  writeMarks,
} from "../src/data/marks";
import type { Reader } from "../src/data/parquet";
import type { Run } from "../src/data/run";

const sites = [
  { name: "a", start: 0, features: 10 },
  { name: "b", start: 10, features: 5 },
];
const explorer = new Explorer({ sites, nodes: 15 } as unknown as Index, null as unknown as Reader);
const runOf = (checksum: string) =>
  ({
    model: "m",
    manifest: {
      saes: [
        { name: "a", checksum },
        { name: "b", checksum: "2" },
      ],
    },
  }) as unknown as Run;

const marks = {
  pins: [3, 12],
  names: new Map([[12, `<img src=x onerror="1"> "quoted", ‮right-to-left`]]),
  groups: [{ name: "one & other", nodes: [3, 4] }],
};

describe("marks", () => {
  it("are the same after the URL", () => {
    const more = writeMarks(marks) as Record<string, string>;
    expect(readMarks(more, 15)).toEqual(marks);
    expect(writeMarks(NO_MARKS)).toEqual({ pins: null, names: null, groups: null });
  });

  it("of a broken URL are left out", () => {
    const more = { pins: "3_x_99_-1_3", names: '[[99,"n"],[1,2],7]', groups: "{" };
    expect(readMarks(more, 15)).toEqual({ ...NO_MARKS, pins: [3] });
  });

  it("can be taken back", () => {
    expect(pinned(pinned(NO_MARKS, [1, 2]), [1]).pins).toEqual([2]);
    expect(named(named(NO_MARKS, 1, " x "), 1, "").names.size).toBe(0);
    const moved = grouped(grouped(NO_MARKS, [1, 2], "g"), [2], "h");
    expect(moved.groups).toEqual([
      { name: "g", nodes: [1] },
      { name: "h", nodes: [2] },
    ]);
    expect(grouped(moved, [1, 2], "").groups).toEqual([]);
  });
});

describe("files", () => {
  const graph = { site: "b", feature: 2, more: { p: "0.01", theme: "dark" }, marks };
  const text = saved(runOf("1"), explorer, graph);

  it("give back what was saved", () => {
    const back = loaded(text, runOf("1"), explorer);
    expect(back).toEqual({ ...graph, more: { p: "0.01" }, note: null });
  });

  it("of other weights say so", () => {
    expect(loaded(text, runOf("9"), explorer).note).toMatch(/other weights of a:/);
  });

  it("that are none, or name what is not there, are refused", () => {
    expect(() => loaded("{}", runOf("1"), explorer)).toThrow(/not a graph saved/);
    expect(() => loaded("no", runOf("1"), explorer)).toThrow(/not a graph saved/);
    const other = text.replace(/"feature": 3/, '"feature": 10');
    expect(() => loaded(other, runOf("1"), explorer)).toThrow("a/10, which this run does not have");
  });
});
