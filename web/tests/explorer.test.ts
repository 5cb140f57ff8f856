import { describe, expect, it } from "vitest";
import { parseFeature, Run, RunError } from "../src/data/run";
import { START } from "../src/state";
import { answer, closenessOf, orderBy, type Query, queryOf } from "../src/views/find/query";
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
  const find = async (more: Record<string, string>) => [
    ...(await answer(explorer, query(more), new Map())),
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
    const found = await find({ q: `${one} ${two}` });
    expect(found).toContain(12);
    const others = await find({ q: `${one} no-such-token` });
    expect(others).toEqual([]);
  });

  it("sorts with what is not known last, both ways", () => {
    const column = Float64Array.from([0.2, NaN, 0.9, 0.2, NaN]);
    expect([...orderBy(column, true)]).toEqual([2, 0, 3, 1, 4]);
    expect([...orderBy(column, false)]).toEqual([0, 3, 2, 1, 4]);
  });

  it("takes the nearer token for the closer", () => {
    expect(closenessOf("cat", "cat")).toBeGreaterThan(closenessOf("cats", "cat"));
    expect(closenessOf("cats", "cat")).toBeGreaterThan(closenessOf("scat", "cat"));
    expect(closenessOf("dog", "cat")).toBe(0);
  });

  it("understands what names a feature", () => {
    const one = [{ site: "resid_post_3", feature: 10 }];
    for (const text of [
      "3_10",
      "3 10",
      "resid_post_3/10",
      "resid_post_3 10",
      "layer 3 10",
      "L3/10",
    ]) {
      expect(parseFeature(run, text)).toEqual(one);
    }
    expect(parseFeature(run, "3_40")).toEqual([]);
    expect(parseFeature(run, "cat")).toEqual([]);
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
