import { describe, expect, it } from "vitest";
import { named } from "../src/data/numbers";
import { Frame } from "../src/data/parquet";
import { Run, RunError } from "../src/data/run";
import { closenessOf, piecesOf, Vocabulary, wordsOf } from "../src/data/vocabulary";
import { START } from "../src/state";
import { answer, onePerTrack, orderBy, type Query, queryOf } from "../src/views/find/query";
import { layoutOf } from "../src/views/life/layout";
import { figuresOf } from "../src/views/overview/figures";
import { expected, openFixture } from "./run";

const { run, data, explorer } = await openFixture();
const nodes = expected.nodes as Record<string, (number | string | boolean | null)[]>;

describe("features by number", () => {
  it("are numbered through, SAE by SAE", () => {
    expect(explorer.node("resid_post_2", 7)).toBe(87);
    for (const node of [0, 39, 40, 87, 159]) {
      const { site, feature } = explorer.feature(node);
      expect(explorer.node(site, feature)).toBe(node);
    }
  });

  it("have the life that the table has", async () => {
    const life = await explorer.life("resid_post_0", 0);
    const { life: row } = expected;
    expect(life.label).toBe(row.label);
    expect(life.length).toBe(row.length);
    expect(life.out.map((edge) => edge.other)).toEqual(
      row.out.map((e: { other: number }) => e.other),
    );
    expect(life.out.map((edge) => edge.kind)).toEqual(
      row.out.map((e: { kind: number }) => explorer.index.kinds[e.kind]),
    );
  });

  it("that do not exist are refused with what there is", async () => {
    await expect(explorer.life("resid_post_0", 40)).rejects.toThrow("40 features");
  });
});

describe("a track", () => {
  it("of each mode is the one of flow/tracks", async () => {
    const rows = expected.tracks as [string, number, number, string, number][];
    for (const feature of [0, 3, 17, 31]) {
      const life = await explorer.life("resid_post_1", feature);
      const track = await explorer.track(life, "flow");
      const through = rows.filter((r) => r[3] === "resid_post_1" && r[4] === feature);
      const longest = Math.max(...through.map(([, t]) => rows.filter((r) => r[1] === t).length));
      expect(track.length).toBe(longest);
      const steps = track.map((step) => `${step.site}/${step.feature}`);
      const found = through.some(([, t]) => {
        const its = rows.filter((r) => r[1] === t).sort((x, y) => x[2] - y[2]);
        return its.map((r) => `${r[3]}/${r[4]}`).join() === steps.join();
      });
      expect(found).toBe(true);
    }
  });

  it("is the same from each of its features", async () => {
    const life = await explorer.life("resid_post_1", 3);
    const track = await explorer.track(life, "gaps");
    for (const step of track) {
      const again = await explorer.track(await explorer.life(step.site, step.feature), "gaps");
      expect(again.map((its) => its.node)).toEqual(track.map((its) => its.node));
    }
  });

  it("is laid out within its width, each feature in the column of its SAE", async () => {
    const life = await explorer.life("resid_post_1", 3);
    const track = await explorer.track(life, "gaps");
    const layout = layoutOf(run, explorer, track, 1000);
    const columns = new Map(layout.columns.map(({ site, x }) => [site, x]));
    for (const mark of layout.track) expect(mark.x).toBe(columns.get(mark.life.site));
    const places = [...layout.sides, ...layout.track].map(({ x, y }) => `${x},${y}`);
    expect(new Set(places).size).toBe(places.length);
    for (const { x, y } of [...layout.sides, ...layout.track]) {
      expect(x >= 0 && x <= 1000 && y >= 0 && y <= layout.height).toBe(true);
    }
  });
});

describe("finding", () => {
  const query = (more: Record<string, string>): Query => queryOf({ ...START, more });
  const found = (more: Record<string, string>) => answer(explorer, query(more), new Map());
  const find = async (more: Record<string, string>) => [
    ...((await found({ list: "features", ...more })).nodes ?? []),
  ];

  it("filters as polars does", async () => {
    const kept = (test: (node: number) => boolean) =>
      nodes.score.map((_, node) => node).filter(test);
    const found = await find({ score: "0.7", life: "3", site: "resid_post_1" });
    const wanted = kept(
      (node) =>
        (nodes.score[node] as number) >= 0.7 &&
        (nodes.lifespan[node] as number) >= 3 &&
        node >= 40 &&
        node < 80,
    );
    expect(wanted.length).toBeGreaterThan(0);
    expect(found.sort((x, y) => x - y)).toEqual(wanted);
  });

  it("finds each feature by a token of its label", async () => {
    const label = nodes.label[12] as string;
    expect(await find({ q: label.split(", ")[0] })).toContain(12);
  });

  it("needs all the words", async () => {
    const [one, two] = (nodes.label[12] as string).split(", ");
    expect(one.startsWith("␣")).toBe(true);
    const found = await find({ q: `${one} ${two}` });
    expect(found).toContain(12);
    const others = await find({ q: `${one} zqzqzq` });
    expect(others).toEqual([]);
  });

  it("sorts with what is not known last, both ways", () => {
    const column = Float64Array.from([0.2, NaN, 0.9, 0.2, NaN]);
    const tracks = Float64Array.from([7, 3, 1, 5, 4]);
    expect([...orderBy(column, true, tracks)]).toEqual([2, 3, 0, 1, 4]);
    expect([...orderBy(column, false, tracks)]).toEqual([3, 0, 2, 1, 4]);
  });

  it("takes the nearer token for the closer", () => {
    expect(closenessOf("cat", "cat")).toBeGreaterThan(closenessOf("cats", "cat"));
    expect(closenessOf("cats", "cat")).toBeGreaterThan(closenessOf("scat", "cat"));
    expect(closenessOf("dog", "cat")).toBe(0);
  });

  it("understands what names a feature", () => {
    const one = [{ site: "resid_post_3", feature: 10 }];
    const texts = ["3_10", "3 10", "resid_post_3/10", "resid_post_3 10", "layer 3 10", "L3/10"];
    for (const text of [...texts, "L3 f10", "l3f10", "3 feature 10", "resid_post_3#10"]) {
      expect(named(run, text)).toEqual({ features: one, plain: false, wrong: null });
    }
    expect(named(run, "cat")).toEqual({ features: [], plain: false, wrong: null });
    expect(named(run, "cats 9")).toEqual({ features: [], plain: false, wrong: null });
  });

  it("takes a plain number for a feature of every SAE", () => {
    const { features, plain } = named(run, " 39 ");
    expect(plain).toBe(true);
    expect(features).toEqual(run.names.map((site) => ({ site, feature: 39 })));
    expect(named(run, "40").features).toEqual([]);
  });

  it("says why there is no feature of a number", () => {
    expect(named(run, "3_40").wrong).toBe("resid_post_3 has 40 features, 0 to 39.");
    expect(named(run, "L9 f1").wrong).toBe("No SAE of this run is at layer 9.");
  });

  it("lists a track once, by the first of its features", async () => {
    const tracks = Float64Array.from([2, 0, 2, 1, 0]);
    expect([...onePerTrack(Uint32Array.from([4, 2, 1, 0, 3]), (node) => tracks[node])]).toEqual([
      4, 2, 3,
    ]);
    const [features, rows] = [await found({ q: "a", list: "features" }), await found({ q: "a" })];
    expect(rows.features).toBe(features.rows);
    expect(rows.rows).toBeLessThan(features.rows);
    const column = await explorer.column("track");
    const of = [...(rows.nodes ?? [])].map((node) => column[node]);
    expect(new Set(of).size).toBe(of.length);
    expect(new Set([...(features.nodes ?? [])].map((node) => column[node]))).toEqual(new Set(of));
  });

  it("reads all tracks in the order they lie in", async () => {
    const { rows, nodes: none } = await found({});
    expect([rows, none]).toEqual([explorer.index.tracks, null]);
    const turned = await found({ sort: "-clear" });
    const last = await explorer.trackRow(rows - 1);
    const column = await explorer.column("track");
    expect(column[(turned.nodes ?? [])[0]]).toBe(column[last.node]);
  });
});

describe("the words of a search", () => {
  it("have no case, no space before them, and signs for what cannot be seen", () => {
    expect(wordsOf("  The ␣Cat\\n")).toEqual(["the", "cat↵"]);
    expect(wordsOf("\\t ␣ ␣↵")).toEqual(["⇥", "␣", "␣↵"]);
    expect(wordsOf(" ")).toEqual(["␣"]);
    expect(wordsOf("")).toEqual([]);
  });

  it("are taken apart between letters and marks", () => {
    expect(piecesOf("self.x()")).toEqual(["self", ".", "x", "()"]);
    expect(piecesOf("日本go")).toEqual(["日", "本", "go"]);
    expect(piecesOf("cat")).toEqual(["cat"]);
  });

  it("find what they begin before what holds them, and leave out what lies too far about", () => {
    const words = Array.from({ length: 60 }, (_, i) => `${"x".repeat(i + 1)}ab`);
    const columns = new Map<string, Float64Array | string[]>([
      ["token", ["ab", "abc", ...words]],
      ["features", Float64Array.from([2, 3, ...words.map(() => 1)])],
      ["first", Float64Array.from([0, 2, ...words.map((_, i) => 8192 * (i + 1))])],
    ]);
    const vocabulary = new Vocabulary(new Frame(62, columns));
    const { near, left } = vocabulary.like("ab");
    expect(near.slice(0, 3).map(({ token }) => token)).toEqual(["ab", "abc", "xab"]);
    expect(near.length + left).toBe(62);
    expect(left).toBe(44);
    expect(vocabulary.like("a").near.map(({ token }) => token)).toEqual(["abc", "ab"]);
  });
});

describe("the overview", () => {
  it("counts every feature of a layer once before it and once after", async () => {
    for (const mode of run.modes) {
      const { layers, steps } = await figuresOf(run, data, explorer, mode);
      steps.forEach((step, i) => {
        const [before, after] = [layers[i], layers[i + 1]];
        expect(step.leaving + before.passing + before.deaths).toBe(before.features);
        const come = step.arriving + after.landing + after.apart;
        expect(come + after.births).toBe(after.features);
        expect(after.apart === 0 || mode === "flow").toBe(true);
      });
    }
  });

  it("counts every track once by its length", async () => {
    const { lengths } = await figuresOf(run, data, explorer, "chained");
    const tracks = lengths.reduce((sum, length) => sum + length.tracks, 0);
    expect(tracks).toBe(run.manifest.flow?.modes.chained.tracks);
  });
});

describe("a run", () => {
  it("of a newer format is refused", () => {
    const newer = JSON.stringify({ ...run.manifest, format_version: 99 });
    expect(() => Run.parse(newer)).toThrow(RunError);
    expect(() => Run.parse("{}")).toThrow("saematch run");
    expect(() => Run.parse("{")).toThrow("not JSON");
  });
});
