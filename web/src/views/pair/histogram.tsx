import * as Plot from "@observablehq/plot";
import { useMemo } from "preact/hooks";
import type { Matches } from "../../data/matches";
import type { Frame } from "../../data/parquet";
import type { Pair, Tested } from "../../data/run";
import { count, figure } from "../../draw/format";
import { Chart } from "../../draw/plot";
import { Figure } from "../../parts/figure";

/** How much the targets of A's features score, beside what chance gives. */
export function Histogram(props: {
  pair: Pair;
  nulls: Frame | null;
  matches: Matches;
  tested: Tested;
  height: number;
}) {
  const { pair, nulls, matches, tested, height } = props;
  const bins = useMemo(() => binsOf(nulls, matches), [nulls, matches]);
  const chance = bins.some((bin) => bin.chance > 0);
  const [low, high] = [bins[0].low, bins[bins.length - 1].high];
  const matched = bins.reduce((sum, bin) => sum + bin.matched, 0);
  const saying =
    `Histogram of the ${tested.name} from ${figure(low)} to ${figure(high)}: ` +
    `${count(matched)} matches` +
    (tested.chance === null ? "" : `; by chance the median best is ${figure(tested.chance)}`);
  return (
    <Figure
      name={`${pair.a}-${pair.b}-scores`}
      title={chance ? "Targets beside chance" : "Targets by score"}
      legend={[
        { color: "var(--accent)", text: "matched" },
        { color: "var(--quiet)", text: "not matched" },
        ...(chance
          ? [{ color: "var(--ink)", text: "by chance alone", kind: "dash" as const }]
          : []),
      ]}
    >
      <Chart
        label={saying}
        height={height}
        on={[bins, tested.name]}
        options={(width) => ({
          marginLeft: 40,
          marginRight: 12,
          marginTop: 22,
          marginBottom: 36,
          x: {
            label: `${tested.name === "similarity" ? "mean cosine" : tested.name} of each feature’s target →`,
            domain: [low, high],
            ticks: Math.max(3, Math.floor(width / 90)),
          },
          y: { label: "↑ features", ticks: 4, grid: true },
          marks: [
            Plot.rectY(bins, {
              x1: "low",
              x2: "high",
              y1: "matched",
              y2: "all",
              fill: "var(--quiet)",
              fillOpacity: 0.45,
              insetRight: 0.75,
            }),
            Plot.rectY(bins, {
              x1: "low",
              x2: "high",
              y1: 0,
              y2: "matched",
              fill: "var(--accent)",
              insetRight: 0.75,
            }),
            ...(chance
              ? [
                  Plot.lineY(bins, {
                    x: (bin: Bin) => (bin.low + bin.high) / 2,
                    y: "chance",
                    stroke: "var(--ink)",
                    strokeWidth: 1.5,
                    strokeDasharray: "3 2",
                  }),
                ]
              : []),
            Plot.ruleY([0], { stroke: "var(--line)" }),
          ],
        })}
      />
    </Figure>
  );
}

interface Bin {
  low: number;
  high: number;
  all: number;
  matched: number;
  chance: number;
}

/** Bins of the run's table of nulls; without one, fifty of the scores themselves. */
function binsOf(nulls: Frame | null, matches: Matches): Bin[] {
  const low = nulls?.numbers("low") ?? [];
  let bins: Bin[];
  if (nulls && low.length) {
    const [high, chance] = [nulls.numbers("high"), nulls.numbers("null")];
    bins = Array.from(low, (value, i) => ({
      low: value,
      high: high[i],
      all: 0,
      matched: 0,
      chance: chance[i],
    }));
  } else {
    let [least, most] = [Infinity, -Infinity];
    for (const score of matches.statistic) {
      if (score < least) least = score;
      if (score > most) most = score;
    }
    if (!(least < most))
      [least, most] = [Number.isFinite(least) ? least - 0.5 : 0, least + 0.5 || 1];
    const step = (most - least) / 50;
    bins = Array.from({ length: 50 }, (_, i) => ({
      low: least + i * step,
      high: least + (i + 1) * step,
      all: 0,
      matched: 0,
      chance: 0,
    }));
  }
  const [start, end] = [bins[0].low, bins[bins.length - 1].high];
  for (let i = 0; i < matches.length; i++) {
    const score = matches.statistic[i];
    if (matches.target[i] < 0 || Number.isNaN(score)) continue;
    const place = Math.floor(((score - start) / (end - start)) * bins.length);
    const bin = bins[Math.max(0, Math.min(bins.length - 1, place))];
    bin.all++;
    if (matches.matched[i]) bin.matched++;
  }
  return bins;
}
