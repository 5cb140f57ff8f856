import { max } from "d3-array";
import { scaleLinear } from "d3-scale";
import type { Run } from "../../data/run";
import { count, percent } from "../../draw/format";
import { useTooltip } from "../../draw/tooltip";
import type { Figures } from "./figures";

const TALL = 240;
const LEFT = 46;
const BOTTOM = 34;

/** The share of the tracks that start at each layer which still live at each later one. */
export function SurvivalCurves(props: { run: Run; figures: Figures; width: number }) {
  const { run, figures, width } = props;
  const curves = figures.survival.filter(({ points }) => points.length > 1);
  if (!curves.length || width < 100) return null;
  const x = scaleLinear([0, run.chain.length - 1], [LEFT, width - 64]);
  const y = scaleLinear([0, 1], [TALL - BOTTOM, 14]);
  const place = new Map(run.chain.map((site, i) => [site, x(i)]));
  const every = Math.ceil(34 / (x(1) - x(0)));
  return (
    <svg
      width={width}
      height={TALL}
      role="img"
      aria-label="Share of tracks alive, by starting layer"
    >
      {[0, 0.25, 0.5, 0.75, 1].map((tick) => (
        <g key={tick}>
          <line class="guide" x1={LEFT} x2={width - 64} y1={y(tick)} y2={y(tick)} />
          <text class="axis" x={LEFT - 10} y={y(tick) + 4} text-anchor="end">
            {Math.round(100 * tick)}
          </text>
        </g>
      ))}
      {run.chain.map((site, i) =>
        i % every ? null : (
          <text key={site} class="axis" x={x(i)} y={TALL - 8} text-anchor="middle">
            {run.short(site)}
          </text>
        ),
      )}
      {curves.map(({ start, points }, i) => {
        const line = points
          .map((p, j) => `${j ? "L" : "M"}${place.get(p.site) ?? 0},${y(p.share)}`)
          .join("");
        const last = points[points.length - 1];
        return (
          <g key={start} class="survival" style={{ "--age": 1 - i / Math.max(1, curves.length) }}>
            <path d={line} />
            {points.map((p) => (
              <circle key={p.site} cx={place.get(p.site)} cy={y(p.share)} r={2.5}>
                <title>{`${percent(p.share)} of those from ${start} reach ${p.site}`}</title>
              </circle>
            ))}
            {curves.length <= 8 && i === curves.length - 1 ? null : i < 2 ? (
              <text class="curve-value" x={(place.get(last.site) ?? 0) + 8} y={y(last.share) + 4}>
                {percent(last.share)}
              </text>
            ) : null}
          </g>
        );
      })}
    </svg>
  );
}

/** How many tracks go on for how many layers. */
export function Lengths({ figures, width }: { figures: Figures; width: number }) {
  const tip = useTooltip();
  const { lengths } = figures;
  if (!lengths.length || width < 100) return null;
  const row = Math.min(30, Math.max(9, (TALL - 20) / lengths.length));
  const total = lengths.reduce((sum, length) => sum + length.tracks, 0);
  const x = scaleLinear([0, max(lengths, (length) => length.tracks) ?? 1], [0, width - 190]);
  return (
    <>
      <svg
        width={width}
        height={row * lengths.length + 8}
        role="img"
        aria-label={`Lifespans: ${lengths.map((l) => `${l.tracks} of ${l.steps + 1}`).join(", ")} layers`}
      >
        {lengths.map(({ steps, tracks }, i) => (
          <g key={steps} transform={`translate(0,${i * row})`}>
            {(row > 13 || (i % 2 === 0 && i < lengths.length - 2) || i === lengths.length - 1) && (
              <text class="axis" x={78} y={row / 2 + 4} text-anchor="end">
                {steps + 1} {steps ? "layers" : "layer"}
              </text>
            )}
            <rect
              class={steps ? "length" : "length single"}
              x={90}
              y={row * 0.15}
              width={Math.max(1, x(tracks))}
              height={row * 0.7}
              rx={2}
            />
            {(row > 13 || i === 0 || i === lengths.length - 1) && (
              <text class="axis" x={98 + x(tracks)} y={row / 2 + 4}>
                {count(tracks)} <tspan class="share">{percent(tracks / total)}</tspan>
              </text>
            )}
          </g>
        ))}
      </svg>
      {tip.view}
    </>
  );
}
