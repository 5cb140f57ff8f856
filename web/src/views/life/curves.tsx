import { extent } from "d3-array";
import { scaleLinear, scaleLog } from "d3-scale";
import type { Life } from "../../data/explorer";
import { figure, percent } from "../../draw/format";
import { type Layout, LEFT, RIGHT } from "./layout";

interface Curve {
  name: string;
  /** Of the link into a feature, rather than of the feature. */
  link?: boolean;
  logarithmic?: boolean;
  domain?: readonly [number, number];
  of: (life: Life) => number;
  say?: (value: number) => string;
}

const CURVES: readonly Curve[] = [
  { name: "decoder cosine", link: true, domain: [0, 1], of: (life) => life.cosine },
  { name: "activation corr.", link: true, domain: [0, 1], of: (life) => life.pearson },
  { name: "MSE, folded", link: true, of: (life) => life.mseFolded },
  { name: "frequency", logarithmic: true, of: (life) => life.frequency, say: percent },
  { name: "threshold", of: (life) => life.threshold },
];

const HEIGHT = 54;
const PAD = 10;

/** Measures along the track, one row each, over the same columns as the track. */
export function Curves({ layout, focus }: { layout: Layout; focus: number }) {
  const known = CURVES.filter(({ of }) => layout.track.some(({ life }) => !Number.isNaN(of(life))));
  if (!known.length) return null;
  return (
    <svg
      class="curves"
      width={layout.width}
      height={known.length * HEIGHT + 4}
      role="img"
      aria-label={`Along the track: ${known.map((curve) => curve.name).join(", ")}; the table below has the figures`}
    >
      {known.map((curve, i) => (
        <g key={curve.name} transform={`translate(0,${i * HEIGHT})`}>
          <CurveRow curve={curve} layout={layout} focus={focus} />
        </g>
      ))}
    </svg>
  );
}

function CurveRow(props: { curve: Curve; layout: Layout; focus: number }) {
  const { curve, layout, focus } = props;
  const points = layout.track
    .map(({ life, x }, i) => ({
      value: curve.of(life),
      // what belongs to a link stands at its middle
      x: curve.link && i ? (x + layout.track[i - 1].x) / 2 : x,
      chosen: life.node === focus,
    }))
    .filter((point) => !Number.isNaN(point.value) && (!curve.logarithmic || point.value > 0));
  const [low, high] = extent(points, (point) => point.value) as [number, number];
  const domain = curve.domain
    ? [Math.min(curve.domain[0], low), Math.max(curve.domain[1], high)]
    : curve.logarithmic
      ? [low / 1.3, high * 1.3]
      : [Math.min(0, low), high || 1];
  const range = [HEIGHT - PAD, PAD];
  const y = curve.logarithmic ? scaleLog(domain, range) : scaleLinear(domain, range);
  const last = points[points.length - 1];
  const marked = points.find((point) => point.chosen) ?? null;
  const line = points.map((p, i) => `${i ? "L" : "M"}${p.x},${y(p.value)}`).join("");
  return (
    <>
      <line
        class="guide"
        x1={LEFT - 20}
        x2={layout.width - RIGHT + 20}
        y1={HEIGHT - 2}
        y2={HEIGHT - 2}
      />
      <text class="curve-name" x={0} y={HEIGHT / 2 + 4}>
        {curve.name}
      </text>
      <path class="curve" d={line} />
      {points.map((point) => (
        <circle
          key={point.x}
          class={point.chosen ? "curve-dot chosen" : "curve-dot"}
          cx={point.x}
          cy={y(point.value)}
          r={point.chosen ? 4 : 2.5}
        />
      ))}
      {[...new Set([marked, last])]
        .filter((point) => point !== null)
        .map((point) => (
          <text
            key={point.x}
            class={point.chosen ? "curve-value chosen" : "curve-value"}
            x={point.x + 8}
            y={y(point.value) + (y(point.value) < HEIGHT / 2 ? 13 : -5)}
          >
            {(curve.say ?? figure)(point.value)}
          </text>
        ))}
    </>
  );
}
