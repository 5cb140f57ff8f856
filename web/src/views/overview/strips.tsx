import { scaleLinear } from "d3-scale";
import { type Run, testedOf } from "../../data/run";
import { figure, percent } from "../../draw/format";
import type { Figures } from "./figures";
import { columnsOf, LEFT, RIGHT } from "./river";

const HEIGHT = 84;

/** Figures of each step below the river: matched share, score beside chance, cosine beside i to i. */
export function Strips({ figures, width }: { run: Run; figures: Figures; width: number }) {
  const xs = columnsOf(figures.layers.length, width);
  const at = figures.steps.map((_, i) => (xs[i] + xs[i + 1]) / 2);
  const summaries = figures.steps.map(({ pair }) => pair?.summary);
  const share = summaries.map((s) => (s ? s.matched / (s.features_a - s.excluded_a) : NaN));
  const tested = summaries.map((s) => s && testedOf(s));
  const score = tested.map((t) => numberOf(t?.median));
  const chance = tested.map((t) => numberOf(t?.chance));
  const cosine = summaries.map((s) => numberOf(s?.median_decoder_cosine));
  const identity = summaries.map((s) => numberOf(s?.identity_decoder_cosine));
  const spacing = xs.length > 1 ? xs[1] - xs[0] : width;
  const shared = { at, width, roomy: spacing > 70 };
  return (
    <svg
      class="strips"
      width={width}
      height={3 * HEIGHT}
      role="img"
      aria-label="Matched share, median of what was tested with its null, and cosine with the identity baseline of each step; the table below has the figures"
    >
      <Strip {...shared} y={0} name="matched" values={share} say={percent} domain={[0, 1]} />
      <Strip
        {...shared}
        y={HEIGHT}
        name={`median ${tested.find((t) => t)?.name ?? "score"}`}
        values={score}
        baseline={chance}
        against="by chance"
        say={figure}
      />
      <Strip
        {...shared}
        y={2 * HEIGHT}
        name="decoder cosine"
        values={cosine}
        baseline={identity}
        against="feature i to i"
        say={figure}
        domain={[0, 1]}
      />
    </svg>
  );
}

function Strip(props: {
  at: number[];
  width: number;
  roomy: boolean;
  y: number;
  name: string;
  values: number[];
  baseline?: number[];
  against?: string;
  domain?: [number, number];
  say: (value: number) => string;
}) {
  const { at, values, baseline, say } = props;
  const all = [...values, ...(baseline ?? [])].filter((value) => !Number.isNaN(value));
  const domain = props.domain ?? [Math.min(0, ...all), Math.max(...all, 1e-9)];
  const y = scaleLinear(domain, [HEIGHT - 18, 20]);
  const zero = y(Math.max(domain[0], Math.min(0, domain[1])));
  return (
    <g transform={`translate(0,${props.y})`}>
      <text class="curve-name" x={0} y={HEIGHT / 2 + 6}>
        {props.name}
      </text>
      {props.against && (
        <text class="aside" x={0} y={HEIGHT / 2 + 22}>
          – {props.against}
        </text>
      )}
      <line class="guide" x1={LEFT - 20} x2={props.width - RIGHT + 10} y1={zero} y2={zero} />
      {values.map((value, i) => {
        if (Number.isNaN(value)) return null;
        const base = baseline?.[i];
        const known = base !== undefined && !Number.isNaN(base);
        return (
          <g key={at[i]}>
            <line class="stem" x1={at[i]} x2={at[i]} y1={known ? y(base) : zero} y2={y(value)} />
            {known && (
              <line class="baseline" x1={at[i] - 8} x2={at[i] + 8} y1={y(base)} y2={y(base)} />
            )}
            <circle class="curve-dot" cx={at[i]} cy={y(value)} r={4} />
            {(props.roomy || i === 0 || i === values.length - 1) && (
              <text class="curve-value chosen" x={at[i]} y={y(value) - 9} text-anchor="middle">
                {say(value)}
              </text>
            )}
          </g>
        );
      })}
    </g>
  );
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : NaN;
}
