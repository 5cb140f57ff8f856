import { describe, expect, it } from "vitest";
import { Cache } from "../src/data/cache";
import { FileError, overHttp } from "../src/data/files";
import { Reader } from "../src/data/parquet";
import { asNumbers, expected, host } from "./run";

const PAIR = "pairs/resid_post_0--resid_post_1.parquet"; // in row groups of 8

function reader(on = host()) {
  return new Reader(overHttp("run/", on.fetch));
}

describe("a table", () => {
  it("holds what polars reads from it, over ranges and from a host without", async () => {
    for (const on of [host(), host({ ranges: false })]) {
      const frame = await reader(on).read(PAIR);
      expect(frame.length).toBe(40);
      for (const name of ["feature", "target", "score", "p_value", "rank_in_column"]) {
        expect([...frame.numbers(name)]).toEqual(asNumbers(expected.pair[name]));
      }
      expect(frame.flags("matched")).toEqual(expected.pair.matched);
      expect(frame.texts("excluded")).toEqual(expected.pair.excluded);
    }
  });

  it("gives rows that fulfil conditions, from the row groups that can hold them", async () => {
    const on = host();
    const some = await reader(on).read(PAIR, ["target", "score"], { feature: 19 });
    expect(some.length).toBe(1);
    expect(some.numbers("score")[0]).toBe(expected.pair.score[19]);
    const between = await reader().read(PAIR, ["feature"], { feature: { from: 6, to: 9 } });
    expect([...between.numbers("feature")]).toEqual([6, 7, 8, 9]);
    const none = await reader().read(PAIR, ["feature"], { feature: 40 });
    expect(none.length).toBe(0);
  });

  it("gives ranges of rows across row groups", async () => {
    const frame = await reader().read(PAIR, ["score"], {}, [5, 21]);
    expect([...frame.numbers("score")]).toEqual(asNumbers(expected.pair.score.slice(5, 21)));
  });

  it("combines conditions, on texts too", async () => {
    const frame = await reader().read("flow/tracks.parquet", undefined, {
      mode: "flow",
      site: "resid_post_2",
    });
    const rows = expected.tracks.filter((row: unknown[]) => row[3] === "resid_post_2");
    expect(frame.length).toBe(rows.length);
    expect([...frame.numbers("feature")]).toEqual(rows.map((row: unknown[]) => row[4]));
  });

  it("reads structs in lists", async () => {
    const frame = await reader().read("contexts/resid_post_0.parquet", ["contexts"], {}, [20, 21]);
    const [contexts] = frame.values("contexts") as { before: string; token: string }[][];
    expect(contexts).toEqual(expected.context);
  });

  it("is not taken for nulls where a part of it comes empty", async () => {
    // as Chromium's cache answers now and then: the headers of a part, and none of its bytes
    const cut: typeof fetch = async (url, options) => {
      const { headers, status } = await host().fetch(url, options);
      return new Response(new Uint8Array(0), { headers, status });
    };
    await expect(overHttp("run/", cut)(PAIR)).rejects.toThrow(`${PAIR} came cut short`);
    const file = await overHttp("run/", host().fetch)(PAIR);
    const slice = async (start: number, end = file.byteLength) =>
      end < file.byteLength - 8 ? new ArrayBuffer(0) : file.slice(start, end);
    const emptied = new Reader(async () => ({ ...file, slice, byteLength: file.byteLength }));
    await expect(emptied.read(PAIR, ["score"])).rejects.toThrow("score has 0 of 8 rows");
  });

  it("is read once", async () => {
    const on = host();
    const tables = reader(on);
    await tables.read(PAIR, ["score"]);
    const before = on.asked.length;
    await tables.read(PAIR, ["score"], {}, [3, 30]);
    expect(on.asked.length).toBe(before);
  });

  it("that is not there says so, and is asked for again", async () => {
    const tables = reader();
    for (let i = 0; i < 2; i++) {
      const failed = await tables.read("pairs/none.parquet").catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(FileError);
      expect((failed as FileError).status).toBe(404);
    }
  });
});

describe("a cache", () => {
  it("drops what was used longest ago, by bytes", () => {
    const cache = new Cache<string>(10);
    cache.set("a", "A", 4);
    cache.set("b", "B", 4);
    cache.get("a");
    cache.set("c", "C", 4);
    expect([cache.get("a"), cache.get("b"), cache.get("c")]).toEqual(["A", undefined, "C"]);
    expect(cache.bytes).toBe(8);
  });

  it("does not hold what is larger than all of it", () => {
    const cache = new Cache<string>(10);
    cache.set("a", "A", 11);
    expect(cache.get("a")).toBeUndefined();
    expect(cache.bytes).toBe(0);
  });
});
