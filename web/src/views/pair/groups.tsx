import { useMemo } from "preact/hooks";
import { type Group, least, surely } from "../../data/relations";
import type { Pair } from "../../data/run";
import { count, figure, pValue, several } from "../../draw/format";
import { Explained } from "../../parts/explained";
import type { ColumnOf } from "../../parts/table";
import type { ViewProps } from "../view";
import { Listing, numeric } from "./listing";
import { type LabelOf, Named, namedText } from "./named";

const NAMED = 6; // parts of a group that a row names

/** Features that split into several of the next SAE, or that several merge into. */
export function Groups(
  props: ViewProps & {
    pair: Pair;
    kind: "split" | "merge";
    groups: readonly Group[];
    label: LabelOf;
  },
) {
  const { state, go, pair, kind, groups, label } = props;
  const split = kind === "split";
  const [site, others] = split ? [pair.a, pair.b] : [pair.b, pair.a];
  const sort = state.more.sort && state.more.sort in BY ? state.more.sort : null;
  const descending = state.more.dir !== "up";
  const rows = useMemo(() => {
    if (!sort) return groups;
    const by = BY[sort];
    const sign = descending ? -1 : 1;
    return [...groups].sort((x, y) => sign * (by(x) - by(y)) || x.feature - y.feature);
  }, [groups, sort, descending]);
  const parts = groups.reduce((sum, group) => sum + group.parts.length, 0);
  const columns = (narrow: boolean): ColumnOf<Group>[] => [
    {
      key: "feature",
      title: site,
      sorts: true,
      width: narrow ? "9em" : "12em",
      show: (group) => <Named feature={group.feature} label={label(site, group.feature)} />,
      text: (group) => namedText(group.feature, label(site, group.feature)),
    },
    {
      key: "named",
      title: split ? `Splits into, of ${others}` : `Merged of ${others}`,
      width: "18em",
      grows: true,
      show: (group) => (
        <span class={narrow ? "parts two" : "parts"}>
          {group.parts.slice(0, NAMED).map(({ feature }) => (
            <Named key={feature} feature={feature} label={label(others, feature)} />
          ))}
          {group.parts.length > NAMED && <span class="muted">and more</span>}
        </span>
      ),
      text: (group) =>
        group.parts.map(({ feature }) => namedText(feature, label(others, feature))).join("; "),
    },
    numeric(
      "parts",
      "Parts",
      (group) => count(group.parts.length),
      (group) => group.parts.length,
    ),
    numeric("score", "Least score", (group) => figure(least(group)), least, { width: "6.6em" }),
    numeric("p", "Largest p", (group) => pValue(surely(group)), surely, { width: "6.6em" }),
  ];
  return (
    <Listing<Group>
      {...props}
      name={`${pair.a}-${pair.b}-${kind}s`}
      title={`${split ? "Splits" : "Merges"}: ${pair.a} to ${pair.b}`}
      says={
        <>
          {split
            ? `${several(groups.length, "feature")} of ${pair.a} split into ${count(parts)} of ${pair.b}: `
            : `${count(parts)} features of ${pair.a} merge into ${count(groups.length)} of ${pair.b}: `}
          {split ? "each part has it as its best source" : "each part has it as its best target"},
          and is <Explained term="significant">significant</Explained>. Features that are rare and
          fire mostly on one token come first, then the highest scores.
        </>
      }
      columns={columns}
      rows={rows}
      keyOf={(group) => group.feature}
      sides={(group) => [
        { site, feature: group.feature, note: split ? "splits into" : "is merged of" },
        ...group.parts.map(({ feature, score, p }) => ({
          site: others,
          feature,
          note: `score ${figure(score)} · p ${pValue(p)}`,
        })),
      ]}
      told={(group) =>
        `${site} ${group.feature} ${split ? "splits into" : "is merged of"} ${several(group.parts.length, "feature")} of ${others}`
      }
      sort={sort}
      descending={descending}
      onSort={(key) => go({ more: { sort: key, dir: sort === key && descending ? "up" : null } })}
    />
  );
}

const BY: Record<string, (group: Group) => number> = {
  feature: ({ feature }) => feature,
  parts: ({ parts }) => parts.length,
  score: least,
  p: surely,
};
