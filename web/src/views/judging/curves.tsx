import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import type { Coverage } from "../../data/judging";
import { apart } from "../../draw/apart";
import { count, figure } from "../../draw/format";
import { fitted } from "../../draw/path";
import { useWidth } from "../../parts/use";

const HEIGHT = 320;
const [LEFT, TOP, BOTTOM] = [40, 12, 44];

/** Quality against coverage: a curve per judge, beside the line of its mean. */
export function Curves({ curves, judge }: { curves: readonly Coverage[]; judge: string }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const right = Math.min(170, 0.36 * width);
  const x = scaleLinear([0, 1], [LEFT, width - right]);
  const y = scaleLinear([0, 1], [HEIGHT - BOTTOM, TOP]);
  const labels = apart(
    curves.map((curve) => y(curve.mean)),
    16,
  );
  // the chosen one is drawn over the others
  const order = curves
    .map((curve, at) => ({ ...curve, at }))
    .sort((one, other) => Number(one.judge === judge) - Number(other.judge === judge));
  return (
    <div ref={box} class="judged-curves">
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label={curves.map(said).join("; ")}>
          {[0, 0.25, 0.5, 0.75, 1].map((tick) => (
            <g key={tick} class="grid">
              <line x1={LEFT} x2={width - right} y1={y(tick)} y2={y(tick)} />
              <text x={LEFT - 8} y={y(tick) + 4} text-anchor="end">
                {tick}
              </text>
              <text x={x(tick)} y={HEIGHT - BOTTOM + 18} text-anchor="middle">
                {100 * tick}
                {tick === 1 && " %"}
              </text>
            </g>
          ))}
          <text
            class="muted-text"
            x={(LEFT + width - right) / 2}
            y={HEIGHT - 6}
            text-anchor="middle"
          >
            of the matches, the smallest p-values first
          </text>
          {order.map(({ at, ...curve }) => (
            <g
              key={curve.judge}
              class={curve.judge === judge ? "judged-curve chosen" : "judged-curve"}
              data-testid="curve"
            >
              <title>{said(curve)}</title>
              <line
                class="mean"
                x1={LEFT}
                x2={width - right}
                y1={y(curve.mean)}
                y2={y(curve.mean)}
              />
              <path
                d={
                  line<Coverage["points"][number]>(
                    (one) => x(one.share),
                    (one) => y(one.quality),
                  )(curve.points) ?? ""
                }
              />
              {curve.points.length === 1 && (
                <circle cx={x(curve.points[0].share)} cy={y(curve.mean)} r="3" />
              )}
              <path
                class="leader"
                d={`M${width - right + 3},${y(curve.mean)}L${width - right + 15},${labels[at]}`}
              />
              <text x={width - right + 19} y={labels[at] + 4}>
                {fitted(curve.judge, right - 20)}
              </text>
            </g>
          ))}
        </svg>
      )}
    </div>
  );
}

function said({ judge, points, mean, matches }: Coverage): string {
  const quarter = points.find((point) => point.share >= 0.25);
  const first =
    quarter && quarter.share < 0.5
      ? `, ${figure(quarter.quality)} over the surest ${Math.round(100 * quarter.share)} %`
      : "";
  return `${judge}: ${figure(mean)} over ${count(matches)} matches${first}`;
}
