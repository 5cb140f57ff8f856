import type { ComponentChildren } from "preact";
import type { Matches } from "../../data/matches";
import type { Frame } from "../../data/parquet";
import {
  loadGates,
  loadGroups,
  loadOrigins,
  loadPassing,
  type PairGroups,
} from "../../data/relations";
import type { Pair } from "../../data/run";
import { count } from "../../draw/format";
import { Failure, Loading } from "../../parts/notices";
import { Segments } from "../../parts/segments";
import { useLoaded } from "../../parts/use";
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

type Of = ViewProps & {
  pair: Pair;
  matches: Matches;
  over: Float64Array | null;
  composition: Frame | null;
  /** How many steps the way along the chain has; null off the chain. */
  steps: number | null;
  groups: PairGroups;
  label: LabelOf;
};

/** All that the run says of a pair, as lists one can follow. */
export function Sections(props: Of) {
  const { data, explorer, state, go, pair, steps, groups } = props;
  const { a, b } = pair;
  const counts = countsOf(props);
  const there = SECTIONS.filter((section) => counts[section] !== 0);
  const section = there.find((one) => one === state.more.list) ?? "matches";
  return (
    <section class="pair-lists" aria-label="Lists">
      <Segments
        label="What is listed"
        value={section}
        choices={there.map((value) => ({
          value,
          text: counts[value] === null ? TITLES[value] : `${TITLES[value]} ${count(counts[value])}`,
        }))}
        onChange={(value) => go({ more: { ...CLEAN, list: value === "matches" ? null : value } })}
      />
      {section === "matches" && <Lists {...props} />}
      {section === "differ" && steps !== null && (
        <>
          <Ways composition={props.composition} a={a} b={b} steps={steps} />
          <Lists {...props} only="differ" />
        </>
      )}
      {(section === "splits" || section === "merges") && (
        <Read
          key={section}
          what={`the ${section}`}
          load={() => loadGroups(data, explorer, groups[section].kind, a, b)}
        >
          {(found) => <Groups {...props} kind={groups[section].kind} groups={found} />}
        </Read>
      )}
      {section === "gates" && (
        <Read what="the gates" load={() => loadGates(data, a, b)}>
          {(gates) => <Gates {...props} gates={gates} />}
        </Read>
      )}
      {section === "origins" && (
        <Read what="the origins" load={() => loadOrigins(data, explorer, b)}>
          {(origins) => <Origins {...props} origins={origins} />}
        </Read>
      )}
      {section === "passing" && (
        <Read what="what passes" load={() => loadPassing(data, a, b)}>
          {(curves) => <Passing {...props} curves={curves} />}
        </Read>
      )}
    </section>
  );
}

/** What a list needs, once it is read. */
function Read<T>(props: {
  what: string;
  load: () => Promise<T>;
  children: (value: T) => ComponentChildren;
}) {
  const loaded = useLoaded(props.load, []);
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  if (loaded.status === "loading") return <Loading what={props.what} />;
  return <>{props.children(loaded.value)}</>;
}

/** How many of each the run has of the pair; null where that is no number. */
function countsOf({ run, pair, steps, groups }: Of): Record<Section, number | null> {
  const { a, b, summary } = pair;
  const { relations, flow } = run.manifest;
  const related = (relations?.pairs as Related[] | undefined)?.find(
    (one) => one.a === a && one.b === b,
  );
  // origins are told beside the pairs of the SAEs that features may come from
  const before = run.chain[run.chain.indexOf(b) - 1];
  const place = (name: string) => run.names.indexOf(name);
  const near = run.chain.includes(b) && place(a) >= place(before) && place(a) < place(b);
  const origins = near ? (flow?.origins ?? []).filter(({ site }) => site === b) : [];
  return {
    matches: summary.matched,
    splits: run.flow("splits") ? groups.splits.features : 0,
    merges: run.flow("splits") ? groups.merges.features : 0,
    gates: related && relations?.tables.gates && gatesOf(related) ? null : 0,
    differ: steps === null ? 0 : null,
    origins: origins.reduce((sum, { features }) => sum + features, 0),
    passing: related && relations?.tables.passing ? null : 0,
  };
}

interface Related {
  a: string;
  b: string;
  [figure: string]: unknown;
}

function gatesOf(related: Related): number {
  return Object.entries(related)
    .filter(([name]) => /^(and|or)_gates_/.test(name))
    .reduce((sum, [, value]) => sum + Number(value), 0);
}

/** What one list says in the URL and another does not keep. */
const CLEAN = {
  sort: null,
  dir: null,
  pick: null,
  brush: null,
  rule: null,
  origin: null,
  by: null,
  way: null,
};
