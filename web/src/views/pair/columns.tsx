import type { Matches } from "../../data/matches";
import { count, figure, pValue } from "../../draw/format";
import type { ColumnOf } from "../../parts/table";

/** What the columns of the list sort by. */
export function valuesBy(matches: Matches): Record<string, Float64Array | null> {
  return {
    feature: matches.target.map((_, i) => i),
    target: matches.target,
    score: matches.score,
    p: matches.p,
    cosine: matches.cosine,
    pearson: matches.pearson,
    rank: matches.rankInRow.map((rank, i) => Math.max(rank, matches.rankInColumn[i])),
  };
}

/** The columns of the list of matches; `over` adds what the steps lead to instead. */
export function columnsOf(of: {
  a: string;
  b: string;
  matches: Matches;
  label: (site: string, feature: number) => string | null;
  picked: number | null;
  over: Float64Array | null;
}): ColumnOf<number>[] {
  const { a, b, matches, label, picked, over } = of;
  const { pearson, target } = matches;
  const columns: ColumnOf<number>[] = [
    {
      key: "feature",
      title: a,
      sorts: true,
      show: (i) => <Named feature={i} label={label(a, i)} strong={i === picked} />,
    },
    {
      key: "target",
      title: b,
      sorts: true,
      show: (i) => <Named feature={target[i]} label={label(b, target[i])} strong={i === picked} />,
    },
    numeric("score", "Score", (i) => figure(matches.score[i])),
    { ...numeric("p", "p", (i) => pValue(matches.p[i])), width: "6.4em" },
    numeric("cosine", "Cosine", (i) => figure(matches.cosine[i])),
  ];
  if (pearson) {
    columns.push(
      numeric("pearson", "Firing", (i) => figure(pearson[i]), "correlation of activations"),
    );
  }
  columns.push(
    numeric(
      "rank",
      "Ranks",
      (i) => `${count(matches.rankInRow[i])} · ${count(matches.rankInColumn[i])}`,
      "of the target for the feature, and of the feature for the target",
    ),
  );
  if (over) {
    const steps = numeric("over", "By steps", (i) => count(over[i]), "feature the steps lead to");
    columns.push({ ...steps, sorts: false });
  }
  return columns;
}

function numeric(
  key: string,
  title: string,
  show: (row: number) => string,
  hint?: string,
): ColumnOf<number> {
  return { key, title, numeric: true, sorts: true, width: "4.3em", hint, show };
}

function Named(props: { feature: number; label: string | null; strong: boolean }) {
  if (props.feature < 0) return <span class="muted">none</span>;
  return (
    <span class={props.strong ? "named strong" : "named"}>
      <span class="named-number">{props.feature}</span>
      {props.label && <bdi title={props.label}>{props.label}</bdi>}
    </span>
  );
}
