import { max } from "d3-array";
import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import type { Matches } from "../../data/matches";
import type { Frame } from "../../data/parquet";
import type { Tested } from "../../data/run";
import { count, figure } from "../../draw/format";
import { ticked } from "../../draw/ticks";
import { useWidth } from "../../parts/use";
import "./plots.css";

const HEIGHT = 232;
const [TOP, BOTTOM, SIDE] = [26, 34, 10];

/** How much the targets of A's features score, beside what chance gives. */
export function Histogram(props: { nulls: Frame | null; matches: Matches; tested: Tested }) {
  const { matches, tested } = props;
  const [box, width] = useWidth<HTMLDivElement>();
  const bins = binsOf(props.nulls, matches);
  const x = scaleLinear([bins[0].low, bins[bins.length - 1].high], [SIDE, width - SIDE]);
  const most = max(bins, (bin) => Math.max(bin.all, bin.chance)) || 1;
  const y = scaleLinear([0, most], [HEIGHT - BOTTOM, TOP]);
  const chance = bins.some((bin) => bin.chance > 0);
  const outline = line<Bin>(
    (bin) => x((bin.low + bin.high) / 2),
    (bin) => y(bin.chance),
  )(bins);
  const peak = bins.reduce((best, bin) => (bin.chance > best.chance ? bin : best), bins[0]);
  const matched = bins.reduce((sum, bin) => sum + bin.matched, 0);
  const mid = middle(bins);
  const ends = x(peak.high) < width * 0.6;
  const saying =
    `Histogram of the ${tested.name} from ${figure(bins[0].low)} to ${figure(bins[bins.length - 1].high)}: ` +
    `${count(matched)} matches` +
    (tested.chance === null ? "" : `; by chance the median best is ${figure(tested.chance)}`);
  return (
    <div ref={box} class="pair-plot">
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label={saying}>
          {y.ticks(3).map((tick) => (
            <g key={tick} class="grid">
              <line x1={SIDE} x2={width - SIDE} y1={y(tick)} y2={y(tick)} />
              {tick > 0 && (
                <text x={SIDE} y={y(tick) - 3}>
                  {count(tick)}
                </text>
              )}
            </g>
          ))}
          {bins.map((bin) => {
            const wide = Math.max(0.5, x(bin.high) - x(bin.low) - 0.75);
            return (
              <g key={bin.low}>
                <rect
                  class="bar-rest"
                  x={x(bin.low)}
                  width={wide}
                  y={y(bin.all)}
                  height={y(bin.matched) - y(bin.all)}
                />
                <rect
                  class="bar-matched"
                  x={x(bin.low)}
                  width={wide}
                  y={y(bin.matched)}
                  height={y(0) - y(bin.matched)}
                />
              </g>
            );
          })}
          {chance && outline && <path class="chance" d={outline} />}
          {chance && (
            <text
              class="direct muted"
              x={x(peak.high) + (ends ? 6 : -6)}
              y={Math.max(TOP - 4, y(peak.chance) + 6)}
              text-anchor={ends ? "start" : "end"}
            >
              chance alone
            </text>
          )}
          {matched > 0 && (
            <text class="direct accent" x={x(mid.low)} y={y(mid.all) - 22} text-anchor="middle">
              {count(matched)} matched
            </text>
          )}
          <g class="axis">
            {x.ticks(Math.max(3, Math.floor(width / 90))).map((tick) => (
              <text key={tick} x={x(tick)} y={HEIGHT - BOTTOM + 16} text-anchor="middle">
                {ticked(x, 8, tick)}
              </text>
            ))}
            <text class="title" x={width - SIDE} y={HEIGHT - 3} text-anchor="end">
              {tested.name}
              {tested.name === "similarity" ? ", mean cosine of the views," : ""} of each target →
            </text>
          </g>
        </svg>
      )}
    </div>
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
export function binsOf(nulls: Frame | null, matches: Matches): Bin[] {
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

/** The bin in which the median match lies. */
function middle(bins: readonly Bin[]): Bin {
  const half = bins.reduce((sum, bin) => sum + bin.matched, 0) / 2;
  let sum = 0;
  for (const bin of bins) {
    sum += bin.matched;
    if (sum >= half) return bin;
  }
  return bins[0];
}
