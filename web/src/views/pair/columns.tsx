import { contrary, type Matches } from "../../data/matches";
import { count, figure, percent, pValue } from "../../draw/format";
import type { ColumnOf } from "../../parts/table";
import { numeric } from "./listing";
import { type LabelOf, Named, namedText } from "./named";

/** What the columns of the list sort by. */
export function valuesBy(matches: Matches): Record<string, Float64Array | null> {
  return {
    feature: matches.target.map((_, i) => i),
    target: matches.target,
    score: matches.score,
    p: matches.p,
    cosine: matches.cosine,
    pearson: matches.pearson,
    common: matches.common,
    rank: matches.rankInRow.map((rank, i) => Math.max(rank, matches.rankInColumn[i])),
  };
}

/** The columns of the list of matches; `over` adds what the steps lead to instead. */
export function columnsOf(of: {
  a: string;
  b: string;
  matches: Matches;
  label: LabelOf;
  picked: number | null;
  over: Float64Array | null;
  narrow: boolean;
}): ColumnOf<number>[] {
  const { a, b, matches, label, picked, over, narrow } = of;
  const { pearson, common, target } = matches;
  const one = (i: number) => <Named feature={i} label={label(a, i)} strong={i === picked} />;
  const other = (i: number) => (
    <Named feature={target[i]} label={label(b, target[i])} strong={i === picked} />
  );
  const columns: ColumnOf<number>[] = narrow
    ? [
        {
          key: "feature",
          title: "Feature → target",
          width: "11em",
          grows: true,
          show: (i) => (
            <span class="stacked">
              {one(i)}
              {other(i)}
            </span>
          ),
          text: (i) =>
            `${namedText(i, label(a, i))} → ${namedText(target[i], label(b, target[i]))}`,
        },
      ]
    : [
        {
          key: "feature",
          title: a,
          sorts: true,
          width: "9em",
          grows: true,
          show: one,
          text: (i) => namedText(i, label(a, i)),
        },
        {
          key: "target",
          title: b,
          sorts: true,
          width: "9em",
          grows: true,
          show: other,
          text: (i) => namedText(target[i], label(b, target[i])),
        },
      ];
  if (over) {
    columns.push({
      key: "over",
      title: `${b}, by steps`,
      width: "8em",
      show: (i) => <Named feature={over[i]} label={label(b, over[i])} />,
      text: (i) => over[i],
    });
  }
  columns.push(
    numeric(
      "score",
      "Score",
      (i) => figure(matches.score[i]),
      (i) => matches.score[i],
    ),
    numeric(
      "p",
      "p",
      (i) => pValue(matches.p[i]),
      (i) => matches.p[i],
      { width: "6em" },
    ),
    numeric(
      "cosine",
      "Cosine",
      (i) => figure(matches.cosine[i]),
      (i) => matches.cosine[i],
    ),
  );
  if (pearson) {
    columns.push(
      numeric(
        "pearson",
        "Correlation",
        (i) => figure(pearson[i]),
        (i) => pearson[i],
        { width: "6.4em" },
      ),
    );
  }
  if (common) {
    columns.push({
      ...numeric<number>(
        "common",
        "In common",
        () => "",
        (i) => common[i],
        { width: "6.4em" },
      ),
      show: (i) => (
        <span class={contrary(matches, i) ? "contrary" : undefined}>
          {contrary(matches, i) && (
            <span role="img" aria-label="weights agree, contexts do not">
              ≠
            </span>
          )}
          {percent(common[i])}
        </span>
      ),
    });
  }
  if (!over)
    columns.push({
      ...numeric<number>(
        "rank",
        "Ranks",
        (i) => `${count(matches.rankInRow[i])} · ${count(matches.rankInColumn[i])}`,
        (i) => Math.max(matches.rankInRow[i], matches.rankInColumn[i]),
      ),
    });
  return columns;
}
