import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import type { Curve, Replacement } from "../../data/causes";
import { apart } from "../../draw/apart";
import { figure } from "../../draw/format";
import { cut, rem } from "../../draw/measured";
import { useWidth } from "../../parts/use";

const HEIGHT = 320;
const [LEFT, TOP, BOTTOM] = [44, 12, 44];
const LEAST = 10; // features from which on a mean is drawn: of fewer it says little

/** Substitution quality against coverage: a curve per method, beside lines of what is no match. */
export function Curves(props: {
  curves: readonly Curve[];
  lines: readonly Replacement[];
  features: number;
  best: string | null;
}) {
  const { curves, lines, features, best } = props;
  const [box, width] = useWidth<HTMLDivElement>();
  const size = 0.8 * rem();
  const right = Math.min(190, 0.4 * width);
  const drawn = curves.map(({ method, points }) => ({
    method,
    points: points.filter(({ coverage }) => coverage * features >= LEAST - 0.5),
  }));
  const values = [
    0,
    ...drawn.flatMap(({ points }) => points.map(({ quality }) => quality)),
    ...lines.map(({ equivalence }) => equivalence.value),
  ].filter((value) => !Number.isNaN(value));
  const y = scaleLinear(
    [Math.min(...values), Math.max(0.2, ...values)],
    [HEIGHT - BOTTOM, TOP],
  ).nice(5);
  const x = scaleLinear([0, 1], [LEFT, width - right]);
  const ends = [
    ...drawn.map(({ method, points }) => ({
      method,
      value: points[points.length - 1]?.quality ?? 0,
    })),
    ...lines.map(({ method, equivalence }) => ({ method, value: equivalence.value })),
  ];
  const labels = apart(
    ends.map(({ value }) => y(value)),
    17,
  );
  return (
    <div ref={box} class="cause-curves">
      {width > 0 && (
        <svg
          width={width}
          height={HEIGHT}
          role="img"
          aria-label={ends
            .map(({ method, value }) => `${method}: ${figure(value)} of all`)
            .join("; ")}
        >
          {y.ticks(5).map((tick) => (
            <g key={tick} class="grid">
              <line
                class={tick === 0 ? "zero" : undefined}
                x1={LEFT}
                x2={width - right}
                y1={y(tick)}
                y2={y(tick)}
              />
              <text x={LEFT - 8} y={y(tick) + 4} text-anchor="end">
                {figure(tick).replace(/0+$/, "").replace(/\.$/, "") || "0"}
              </text>
            </g>
          ))}
          {[0, 0.25, 0.5, 0.75, 1].map((tick) => (
            <text
              key={tick}
              class="muted-text"
              x={x(tick)}
              y={HEIGHT - BOTTOM + 18}
              text-anchor="middle"
            >
              {100 * tick}
              {tick === 1 && " %"}
            </text>
          ))}
          <text
            class="muted-text"
            x={(LEFT + width - right) / 2}
            y={HEIGHT - 6}
            text-anchor="middle"
          >
            of the features, the surest partners first
          </text>
          {lines.map(({ method, equivalence }) => (
            <line
              key={method}
              class="flat"
              x1={LEFT}
              x2={width - right}
              y1={y(equivalence.value)}
              y2={y(equivalence.value)}
            />
          ))}
          {drawn.map(({ method, points }) => (
            <g
              key={method}
              class={method === best ? "cause-curve best" : "cause-curve"}
              data-testid="cause-curve"
            >
              <title>{method}</title>
              <path
                d={
                  line<Curve["points"][number]>(
                    ({ coverage }) => x(coverage),
                    ({ quality }) => y(quality),
                  )(points) ?? ""
                }
              />
            </g>
          ))}
          {ends.map(({ method, value }, i) => (
            <g key={method} class={method === best ? "cause-end best" : "cause-end"}>
              <path d={`M${width - right + 3},${y(value)}L${width - right + 14},${labels[i]}`} />
              <text x={width - right + 18} y={labels[i] + 4}>
                {cut(method, right - 22, size, method === best ? 600 : 400)}
              </text>
            </g>
          ))}
        </svg>
      )}
    </div>
  );
}
