import { useMemo } from "preact/hooks";
import { DISAGREES } from "../../data/dashboards";
import {
  brushed,
  contrary,
  differing,
  LISTS,
  type List,
  listed,
  type Matches,
  readBrush,
  sorted,
  UNLIKE,
} from "../../data/matches";
import type { Pair } from "../../data/run";
import { count, figure, percent, pValue } from "../../draw/format";
import { Explained } from "../../parts/explained";
import { Segments } from "../../parts/segments";
import { numberOf } from "../../state";
import type { ViewProps } from "../view";
import { columnsOf, valuesBy } from "./columns";
import { Listing } from "./listing";
import type { LabelOf } from "./named";
import { axesOf } from "./scatter";

const TITLES: Record<List, string> = {
  best: "Best",
  worst: "Weakest",
  missed: "Just missed",
  apart: "Fire alike, point apart",
  alike: "Point alike, fire apart",
  contrary: "Contexts disagree",
  second: "Not each other’s best",
  differ: "Steps disagree",
  brush: "Chosen in the scatter",
};

/** One short sentence for each list: what it is. */
function sayingOf(list: List, matches: Matches): string {
  const heard = matches.pearson !== null;
  const few =
    matches.commonOf === "tokens" ? "no token" : `less than ${percent(DISAGREES)} of contexts`;
  return {
    best: "Matches by score, first those of features that are rare and fire mostly on one token.",
    worst: "Matches, the lowest score first.",
    missed: "Targets that did not become matches, the least p-value first.",
    apart: "Matches that rank much higher by how they fire than by where they point.",
    alike: "Matches that point alike and rank much lower by how they fire.",
    contrary: heard
      ? `Matches with ${few} in common that do not fire together either: their correlation is below ${UNLIKE}, or too low to be kept.`
      : `Matches with ${few} in common. saematch relate tells which of them fire together nevertheless.`,
    second:
      "Matches in which the target is not the feature’s best, or the feature not the target’s.",
    differ: "Matches that the steps over the layers between lead to another feature.",
    brush: "Features in the part of the scatter that is chosen.",
  }[list];
}

/** The matches worth reading, by list, and what both features of the picked one fire on. */
export function Lists(
  props: ViewProps & {
    pair: Pair;
    matches: Matches;
    over: Float64Array | null;
    label: LabelOf;
    /** One list, which is not chosen here. */
    only?: List;
  },
) {
  const { state, go, pair, matches, over, label } = props;
  const { a, b } = pair;
  const orders = useOrders(matches, over, state.more.brush);
  const there = LISTS.filter(
    (list) => list !== "differ" && (orders[list].length || (list === "brush" && state.more.brush)),
  );
  const list = props.only ?? there.find((one) => one === state.more.list) ?? there[0] ?? "best";
  const by = useMemo(() => valuesBy(matches), [matches]);
  const sort = state.more.sort && by[state.more.sort] ? state.more.sort : null;
  const descending = state.more.dir !== "up";
  const order = useMemo(
    () => (sort ? sorted(orders[list], by[sort] as Float64Array, descending) : orders[list]),
    [orders, list, sort, descending],
  );
  const asked = numberOf(state.more.pick);
  const picked = asked !== null && asked < matches.length ? asked : (order[0] ?? null);
  return (
    <>
      {!props.only && (
        <Segments
          label="Which matches"
          value={list}
          choices={there.map((value) => ({ value, text: TITLES[value] }))}
          onChange={(value) => go({ more: { list: value, sort: null, dir: null, pick: null } })}
        />
      )}
      <Listing<number>
        {...props}
        name={`${a}-${b}-${list}`}
        title={`${TITLES[list]}: ${a} to ${b}`}
        says={
          <>
            {sayingOf(list, matches)} {count(order.length)} of {count(matches.length)} features.{" "}
            <Columns matches={matches} />
          </>
        }
        columns={(narrow) =>
          columnsOf({
            a,
            b,
            matches,
            label,
            picked,
            over: list === "differ" ? over : null,
            narrow,
          })
        }
        rows={order}
        keyOf={(row) => row}
        picked={picked}
        sides={(row) => [
          { site: a, feature: row },
          ...(matches.target[row] >= 0 ? [{ site: b, feature: matches.target[row] }] : []),
        ]}
        told={(row) => toldOf(matches, row)}
        sort={sort}
        descending={descending}
        onSort={(key) => go({ more: { sort: key, dir: sort === key && descending ? "up" : null } })}
      />
    </>
  );
}

/** The words of the headings, each with what it means. */
function Columns({ matches }: { matches: Matches }) {
  const terms = ["score", "p-value", "cosine"];
  if (matches.pearson) terms.push("correlation");
  if (matches.common)
    terms.push(matches.commonOf === "tokens" ? "tokens in common" : "contexts shared");
  terms.push("ranks");
  return (
    <span class="columns-mean">
      {terms.map((term) => (
        <Explained key={term} term={term} />
      ))}
    </span>
  );
}

/** What is known of a match, in a line. */
function toldOf(matches: Matches, row: number) {
  const { pearson, common } = matches;
  const said = [
    `score ${figure(matches.score[row])}`,
    `p ${pValue(matches.p[row])}`,
    `cosine ${figure(matches.cosine[row])}`,
    ...(pearson ? [`correlation ${figure(pearson[row])}`] : []),
    ...(common ? [`${percent(common[row])} of ${matches.commonOf} in common`] : []),
    matches.matched[row] ? "matched" : "not matched",
  ];
  return (
    <>
      {said.join(" · ")}
      {contrary(matches, row) && (
        <strong class="contrary"> ≠ weights agree, contexts do not</strong>
      )}
    </>
  );
}

/** The rows of every list. */
function useOrders(matches: Matches, over: Float64Array | null, chosen: string | undefined) {
  const brush = useMemo(() => readBrush(chosen), [chosen]);
  const fixed = useMemo(() => {
    const all = {} as Record<List, number[]>;
    for (const list of LISTS) {
      if (list === "brush") continue;
      if (list === "differ") all[list] = over ? differing(matches, over) : [];
      else all[list] = listed(matches, list);
    }
    return all;
  }, [matches, over]);
  return useMemo(() => {
    const axes = axesOf(matches);
    return { ...fixed, brush: brush ? brushed(matches, axes.x, axes.y, brush) : [] };
  }, [fixed, brush]);
}
