import { extent } from "d3-array";
import { scaleLinear, scaleLog } from "d3-scale";
import type { Life } from "../../data/explorer";
import { figure, percent } from "../../draw/format";
import { Explained } from "../../parts/explained";
import type { Layout } from "./layout";

interface Curve {
  name: string;
  /** What explains it, in data/glossary.ts. */
  term: string;
  /** Of the link into a feature, rather than of the feature. */
  link?: boolean;
  logarithmic?: boolean;
  domain?: readonly [number, number];
  of: (life: Life) => number;
  say?: (value: number) => string;
}

const CURVES: readonly Curve[] = [
  {
    name: "Decoder cosine",
    term: "decoder cosine",
    link: true,
    domain: [0, 1],
    of: (life) => life.cosine,
  },
  {
    name: "Correlation of activations",
    term: "correlation of activations",
    link: true,
    domain: [0, 1],
    of: (life) => life.pearson,
  },
  {
    name: "Squared difference of decoder rows",
    term: "squared difference",
    link: true,
    of: (life) => life.mseFolded,
  },
  {
    name: "Fires on",
    term: "fires on",
    logarithmic: true,
    of: (life) => life.frequency,
    say: percent,
  },
  { name: "Threshold", term: "threshold", of: (life) => life.threshold },
];

const HEIGHT = 68;
const [TOP, BOTTOM] = [28, 56]; // of what a curve takes of its row

/** The curves of which a track has figures; one feature alone makes no curve. */
function knownOf(layout: Layout): Curve[] {
  if (layout.track.length < 2) return [];
  return CURVES.filter(({ of, logarithmic }) =>
    layout.track.some(({ life }) => (logarithmic ? of(life) > 0 : !Number.isNaN(of(life)))),
  );
}

/** Measures along the track, one row each, over the same columns as the track. */
export function Curves({ layout, focus }: { layout: Layout; focus: number }) {
  const known = knownOf(layout);
  if (!known.length) return null;
  return (
    <svg
      class="curves"
      width={layout.width}
      height={known.length * HEIGHT + 6}
      role="img"
      aria-label={`Along the track: ${known.map(({ name }) => name.toLowerCase()).join(", ")}; the marks of the track say the figures`}
      data-testid="curves"
    >
      {known.map((curve, i) => (
        <g key={curve.name} transform={`translate(0,${i * HEIGHT})`} data-testid={curve.term}>
          <Row curve={curve} layout={layout} focus={focus} />
        </g>
      ))}
    </svg>
  );
}

/** The same in words: what each of the curves is. */
export function CurveTerms({ layout }: { layout: Layout }) {
  const known = knownOf(layout);
  if (!known.length) return null;
  return (
    <p class="curve-terms">
      Below the track:{" "}
      {known.map(({ term }, i) => (
        <span key={term}>
          {i > 0 && ", "}
          <Explained term={term} />
        </span>
      ))}
      . What belongs to a match stands between its two features. Bold in a label is what the one
      before does not say.
    </p>
  );
}

function Row(props: { curve: Curve; layout: Layout; focus: number }) {
  const { curve, layout, focus } = props;
  const say = curve.say ?? figure;
  const all = layout.track.map(({ life, x }, i) => ({
    value: curve.of(life),
    // what belongs to a link stands at its middle
    x: curve.link && i ? (x + layout.track[i - 1].x) / 2 : x,
    node: life.node,
    place: i,
  }));
  const points = all.filter(
    ({ value }) => !Number.isNaN(value) && (!curve.logarithmic || value > 0),
  );
  const [low, high] = extent(points, (point) => point.value) as [number, number];
  const domain = curve.domain
    ? [Math.min(curve.domain[0], low), Math.max(curve.domain[1], high)]
    : curve.logarithmic
      ? [low / 1.3, high * 1.3]
      : [Math.min(0, low), high > 0 ? high : 1];
  const range = [BOTTOM, TOP];
  const y = curve.logarithmic ? scaleLog(domain, range) : scaleLinear(domain, range);
  // where a figure is not known the line is broken
  const line = points
    .map((p, i) => `${i && points[i - 1].place === p.place - 1 ? "L" : "M"}${p.x},${y(p.value)}`)
    .join("");
  const axis = `${say(domain[0])} to ${say(domain[1])}${curve.logarithmic ? ", logarithmic" : ""}`;
  const [first, end] = [0, layout.width];
  return (
    <>
      <text class="curve-name stays" x={0} y={14}>
        {curve.name} <tspan class="range">{axis}</tspan>
      </text>
      {[TOP, BOTTOM].map((at) => (
        <line key={at} class="guide" x1={first} x2={end} y1={at} y2={at} />
      ))}
      <path class="curve" d={line} />
      {points.map((point) => {
        const above = y(point.value) > (TOP + BOTTOM) / 2;
        return (
          <g key={point.x} class={point.node === focus ? "curve-point chosen" : "curve-point"}>
            <circle cx={point.x} cy={y(point.value)} r={point.node === focus ? 4.5 : 3} />
            <text x={point.x} y={y(point.value) + (above ? -7 : 15)} text-anchor="middle">
              {say(point.value)}
            </text>
          </g>
        );
      })}
    </>
  );
}
