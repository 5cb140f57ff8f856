import { useMemo } from "preact/hooks";
import type { Matches } from "../../data/matches";
import type { Frame } from "../../data/parquet";
import { loadGates, loadGroups, loadOrigins, loadPassing, type Origin } from "../../data/relations";
import type { Pair } from "../../data/run";
import { count } from "../../draw/format";
import { Failure } from "../../parts/notices";
import { Segments } from "../../parts/segments";
import { latest, useLoaded } from "../../parts/use";
import type { ViewProps } from "../view";
import { Gates } from "./gates";
import { Groups } from "./groups";
import { Lists } from "./lists";
import type { LabelOf } from "./named";
import { Origins } from "./origins";
import { Passing } from "./passing";
import { Ways } from "./ways";

const SECTIONS = ["matches", "splits", "merges", "gates", "differ", "origins", "passing"] as const;
type Section = (typeof SECTIONS)[number];

const TITLES: Record<Section, string> = {
  matches: "Matches",
  splits: "Splits",
  merges: "Merges",
  gates: "Gates",
  differ: "Step by step",
  origins: "Origins",
  passing: "Passing",
};

/** All that the run says of a pair, as lists one can follow. */
export function Sections(
  props: ViewProps & {
    pair: Pair;
    matches: Matches;
    over: Float64Array | null;
    composition: Frame | null;
    /** How many steps the way along the chain has; null off the chain. */
    steps: number | null;
  },
) {
  const { data, explorer, state, go, pair, steps } = props;
  const { a, b } = pair;
  const loaded = useLoaded(async () => {
    const splits = await loadGroups(data, explorer, "split", a, b);
    const [merges, gates, passing, origins] = await Promise.all([
      loadGroups(data, explorer, "merge", a, b),
      loadGates(data, a, b),
      loadPassing(data, a, b),
      loadOrigins(data, explorer, b),
    ]);
    // of a pair that they are about
    const near = origins.some(({ sources }) => sources.some(({ site }) => site === a));
    return { splits, merges, gates, passing, origins: near ? origins : [] };
  }, [a, b]);
  const found = latest(loaded);
  const label = useLabels(props, found?.origins);
  const counts: Record<Section, number | null> = {
    matches: pair.summary.matched,
    splits: found?.splits.length ?? null,
    merges: found?.merges.length ?? null,
    gates: found?.gates.length ?? null,
    differ: null,
    origins: found?.origins.length ?? null,
    passing: null,
  };
  const asked = SECTIONS.find((section) => section === state.more.list);
  const there = SECTIONS.filter((section) => {
    if (section === "matches") return true;
    if (section === "differ") return steps !== null;
    if (section === "passing") return (found?.passing.length ?? 0) > 0;
    return (counts[section] ?? 0) > 0;
  });
  const section = asked && (there.includes(asked) || !found) ? asked : "matches";
  return (
    <section class="pair-lists" aria-label="Lists" aria-busy={loaded.status === "loading"}>
      <Segments
        label="What is listed"
        value={section}
        choices={there.map((value) => ({
          value,
          text: counts[value] === null ? TITLES[value] : `${TITLES[value]} ${count(counts[value])}`,
        }))}
        onChange={(value) => go({ more: { ...CLEAN, list: value === "matches" ? null : value } })}
      />
      {loaded.status === "error" && <Failure error={loaded.error} />}
      {section === "matches" && <Lists {...props} label={label} />}
      {section === "differ" && steps !== null && (
        <>
          <Ways composition={props.composition} a={a} b={b} steps={steps} />
          <Lists {...props} label={label} only="differ" />
        </>
      )}
      {found && (section === "splits" || section === "merges") && (
        <Groups
          {...props}
          kind={section === "splits" ? "split" : "merge"}
          groups={found[section]}
          label={label}
        />
      )}
      {found && section === "gates" && <Gates {...props} gates={found.gates} label={label} />}
      {found && section === "origins" && (
        <Origins {...props} origins={found.origins} label={label} />
      )}
      {found && section === "passing" && (
        <Passing {...props} curves={found.passing} label={label} />
      )}
    </section>
  );
}

/** What one list says in the URL and another does not keep. */
export const CLEAN = {
  sort: null,
  dir: null,
  pick: null,
  brush: null,
  rule: null,
  origin: null,
  by: null,
  way: null,
};

/** Labels of the features of the pair, and of those that its origins name. */
function useLabels(
  { explorer, pair, state }: ViewProps & { pair: Pair },
  origins: readonly Origin[] = [],
): LabelOf {
  const names = useMemo(() => {
    const far = state.more.list === "origins" ? origins : [];
    return [...new Set([pair.a, pair.b, ...far.flatMap((one) => one.sources.map((s) => s.site))])];
  }, [pair, origins, state.more.list]);
  const known = latest(
    useLoaded(
      async () =>
        new Map(
          await Promise.all(
            names.map(async (name) => [name, await explorer.labelsOf(name)] as const),
          ),
        ),
      [names],
    ),
  );
  return useMemo(
    () => (site: string, feature: number) => known?.get(site)?.[feature] ?? null,
    [known],
  );
}
