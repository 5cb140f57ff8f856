import { describe, expect, it } from "vitest";
import { changed, readHash, START, type State, writeHash } from "../src/state";

describe("the state", () => {
  const states: State[] = [
    START,
    { ...START, view: "life", site: "resid_post_3", feature: 100, more: { theme: "dark" } },
    { ...START, view: "life", site: "a/b?c#d&e=<img>%", feature: 0 },
    { ...START, view: "pair", a: "a--b", b: "ü +", more: { sort: "-p", q: "&=#?/ %" } },
    { ...START, view: "find", more: { q: "\u202eright to left" } },
  ];

  it("comes back from its hash", () => {
    for (const state of states) expect(readHash(writeHash(state))).toEqual(state);
  });

  it("is read from anything", () => {
    for (const hash of ["", "#", "#/", "#nonsense", "#/%E0%A4%A/1", "#/nowhere/x/y?z"]) {
      expect(readHash(hash).view).toBe("overview");
    }
    expect(readHash("#/life/x/-1").feature).toBeNull();
    expect(readHash("#/life/x/1e3").feature).toBeNull();
  });

  it("leaves behind what only the view before knew", () => {
    const find: State = { ...START, view: "find", more: { q: "cat", theme: "dark", mode: "flow" } };
    const life = changed(find, { view: "life", site: "a", feature: 1 });
    expect(life.more).toEqual({ theme: "dark", mode: "flow" });
    expect(changed(find, { more: { q: null } }).more).toEqual({ theme: "dark", mode: "flow" });
    const there: State = { ...START, view: "life", site: "a", feature: 1, more: { mode: "flow" } };
    expect(changed(there, { view: "graph" })).toEqual({ ...there, view: "graph" });
    expect(changed(there, { view: "overview" })).toEqual({ ...START, more: { mode: "flow" } });
    expect(writeHash(changed(there, { view: "find", more: { q: "(" } }))).toBe(
      "#/find?mode=flow&q=%28",
    );
    const pair: State = { ...START, view: "pair", a: "a", b: "b" };
    expect(changed(pair, { view: "life" })).toEqual({ ...START, view: "life" });
    expect(readHash("#/overview/resid_post_0/1208")).toEqual(START);
    expect(changed(find, { view: "find", more: { life: 2 } }).more.q).toBe("cat");
  });
});
