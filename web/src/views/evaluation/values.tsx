import { useMemo } from "preact/hooks";
import { isOurs, nameOf, plainly, type Value } from "../../data/evaluation";
import { count, figure } from "../../draw/format";
import { type ColumnOf, Table } from "../../parts/table";
import type { ViewProps } from "../view";
import { short } from "./plots";

const SORTED = ["pair", "skipped", "texts", "estimate", "q", "value"] as const;

/** All figures of a metric, as a table. */
export function Figures(
  props: ViewProps & { of: readonly Value[]; usual: string | null; metric: string },
) {
  const { run, state, go, of, usual, metric } = props;
  const sort = SORTED.find((name) => name === state.more.sort) ?? null;
  const descending = state.more.dir === "down";
  const rows = useMemo(() => {
    const key = (one: Value): string | number => {
      if (sort === "pair") return run.names.indexOf(one.a) * 1000 + run.names.indexOf(one.b);
      if (sort === "estimate") return nameOf(one, usual);
      return sort === null ? 0 : one[sort];
    };
    const unknown = (value: string | number) => Number.isNaN(value);
    return [...of].sort((x, y) => {
      const [one, other] = [key(x), key(y)];
      if (unknown(one) || unknown(other)) return Number(unknown(one)) - Number(unknown(other));
      const less = one < other ? -1 : one > other ? 1 : 0;
      return descending ? -less : less;
    });
  }, [of, sort, descending, usual]);
  const columns: ColumnOf<Value>[] = [
    {
      key: "pair",
      title: "Pair",
      sorts: true,
      width: "7em",
      show: (one) => (
        <span title={`${one.a} → ${one.b}`}>
          {run.short(one.a)} → {run.short(one.b)}
        </span>
      ),
      text: (one) => `${one.a} → ${one.b}`,
    },
    {
      key: "texts",
      title: "Texts",
      sorts: true,
      width: "5em",
      show: (one) => short(one.texts),
      text: (one) => one.texts,
    },
    {
      key: "estimate",
      title: "Estimate",
      sorts: true,
      width: "15em",
      grows: true,
      show: (one) => {
        const name = nameOf(one, usual);
        return (
          <span title={name} class={isOurs(one.estimate) ? "eval-ours" : undefined}>
            {plainly(name)}
          </span>
        );
      },
      text: (one) => nameOf(one, usual),
    },
    numbers("value", "Value", figure, true),
    numbers("low", "Low", figure),
    numbers("high", "High", figure),
    numbers("q", "q", (value) => (Number.isNaN(value) ? "" : String(value)), true),
    numbers("skipped", "Left out", count, true),
    numbers("tokens", "Tokens", count),
  ];
  return (
    <section aria-labelledby="eval-table">
      <h2 id="eval-table">All figures</h2>
      <Table<Value>
        name={`evaluation-${metric}`}
        label="Figures of the evaluation"
        columns={columns}
        count={rows.length}
        row={(index) => rows[index]}
        sort={sort}
        descending={descending}
        onSort={(key) =>
          go({ more: { sort: key, dir: sort === key && !descending ? "down" : null } })
        }
        height={480}
        testid="evaluation-table"
      />
    </section>
  );
}

function numbers(
  key: "skipped" | "q" | "value" | "low" | "high" | "tokens",
  title: string,
  show: (value: number) => string,
  sorts = false,
): ColumnOf<Value> {
  return {
    key,
    title,
    numeric: true,
    sorts,
    width: "5.5em",
    show: (one) => show(one[key]),
    text: (one) => one[key],
  };
}
