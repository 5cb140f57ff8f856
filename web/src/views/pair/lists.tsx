import { useMemo } from "preact/hooks";
import {
  brushed,
  differing,
  LISTS,
  type List,
  listed,
  type Matches,
  readBrush,
  sorted,
} from "../../data/matches";
import type { Pair } from "../../data/run";
import { count } from "../../draw/format";
import { Segments } from "../../parts/segments";
import { Table } from "../../parts/table";
import { latest, useLoaded } from "../../parts/use";
import { numberOf } from "../../state";
import type { ViewProps } from "../view";
import { Both } from "./both";
import { columnsOf, valuesBy } from "./columns";
import { axesOf } from "./scatter";
import "./lists.css";

/** One short sentence for each list: what it is. */
const SAYING: Record<List, string> = {
  best: "Accepted matches, the highest score first.",
  worst: "Accepted matches, the lowest score first: where acceptance begins.",
  missed: "Targets that were assigned and not accepted, the least p-value first.",
  apart: "Matches that rank much higher by how they fire than by where they point.",
  alike: "Matches that point alike and rank much lower by how they fire.",
  second: "Matches in which the target is not the feature’s best, or the feature not the target’s.",
  differ: "Matches that the steps over the layers between lead to another feature.",
  brush: "Features in the part of the scatter that is chosen.",
};

const TITLES: Record<List, string> = {
  best: "Best",
  worst: "Weakest",
  missed: "Just missed",
  apart: "Fire alike, point apart",
  alike: "Point alike, fire apart",
  second: "Not each other’s best",
  differ: "Steps disagree",
  brush: "Chosen in the scatter",
};

/** The matches worth reading, by list, and what both features of the picked one fire on. */
export function Lists(
  props: ViewProps & { pair: Pair; matches: Matches; over: Float64Array | null },
) {
  const { explorer, state, go, pair, matches, over } = props;
  const { a, b } = pair;
  const orders = useOrders(matches, over, state.more.brush);
  const there = LISTS.filter(
    (list) => orders[list].length || (list === "brush" && state.more.brush),
  );
  const wanted = there.find((list) => list === state.more.list);
  const list = wanted ?? there[0] ?? "best";
  const known = latest(
    useLoaded(() => Promise.all([explorer.labelsOf(a), explorer.labelsOf(b)]), [a, b]),
  );
  const label = (site: string, feature: number) => known?.[site === a ? 0 : 1][feature] ?? null;
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
    <section class="pair-lists" aria-labelledby="pair-matches">
      <h2 id="pair-matches">Matches</h2>
      <Segments
        label="Which matches"
        value={list}
        choices={there.map((value) => ({ value, text: TITLES[value], hint: SAYING[value] }))}
        onChange={(value) => go({ more: { list: value, sort: null, dir: null, pick: null } })}
      />
      <p class="aside" role="status" data-testid="list-says">
        {SAYING[list]} {count(order.length)} of {count(matches.length)} features.
      </p>
      <div class="pair-list-and-contexts">
        <Table
          name={`${list}-${a}-${b}`}
          label={`${TITLES[list]}: ${a} to ${b}`}
          columns={columnsOf({
            a,
            b,
            matches,
            label,
            picked,
            over: list === "differ" ? over : null,
          })}
          count={order.length}
          row={(index) => order[index]}
          sort={sort}
          descending={descending}
          onSort={(key) =>
            go({ more: { sort: key, dir: sort === key && descending ? "up" : null } })
          }
          onOpen={(row) => go({ more: { pick: row } }, { replace: true })}
          height={496}
        />
        {picked !== null && <Both {...props} row={picked} label={label} />}
      </div>
    </section>
  );
}

/** The rows of every list. */
function useOrders(matches: Matches, over: Float64Array | null, chosen: string | undefined) {
  return useMemo(() => {
    const axes = axesOf(matches);
    const brush = readBrush(chosen);
    const all = {} as Record<List, number[]>;
    for (const list of LISTS) {
      if (list === "brush") all[list] = brush ? brushed(matches, axes.x, axes.y, brush) : [];
      else if (list === "differ") all[list] = over ? differing(matches, over) : [];
      else all[list] = listed(matches, list);
    }
    return all;
  }, [matches, over, chosen]);
}
