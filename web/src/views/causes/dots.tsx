import { type ScaleContinuousNumeric, scaleLinear, scaleLog } from "d3-scale";
import type { Measured } from "../../data/causes";
import { cut, measured, rem } from "../../draw/measured";
import { useWidth } from "../../parts/use";

export interface Row {
  name: string;
  its: Measured | null;
  /** As much done elsewhere. */
  control: Measured | null;
  kind: "named" | "ceiling" | "control";
  said: string;
}

const ROW = 28;
const BOTTOM = 26;

/** Rows of a figure with its interval, filled, and of its control, hollow; one line per reference. */
export function Dots(props: {
  label: string;
  rows: readonly Row[];
  domain: readonly [number, number];
  log?: boolean;
  /** Where a figure says nothing: no effect, or as much. */
  zero?: number;
  /** A figure as it is written. */
  write: (value: number) => string;
  testid: string;
}) {
  const { rows, domain, zero, write } = props;
  const [box, width] = useWidth<HTMLDivElement>();
  const size = 0.8 * rem();
  const names = Math.min(
    0.42 * width,
    Math.max(...rows.map(({ name }) => measured(name, size)), 0),
  );
  const [left, right] = [names + 16, Math.max(names + 60, width - 56)];
  const scale: ScaleContinuousNumeric<number, number> = props.log
    ? scaleLog(domain, [left, right])
    : scaleLinear(domain, [left, right]);
  const x = (value: number) => scale(Math.max(domain[0], Math.min(domain[1], value)));
  const height = rows.length * ROW + BOTTOM;
  const ticks = props.log
    ? [0.1, 0.25, 0.5, 1, 2, 4, 8, 16].filter((one) => one >= domain[0] && one <= domain[1])
    : scale.ticks(Math.max(3, Math.min(6, Math.floor((right - left) / 80))));
  return (
    <div ref={box} class="cause-dots" data-testid={props.testid}>
      {width > 0 && (
        <svg
          width={width}
          height={height}
          role="img"
          aria-label={`${props.label}. ${rows.map(({ said }) => said).join("; ")}`}
        >
          {ticks.map((tick) => (
            <g key={tick} class="grid">
              <line x1={x(tick)} x2={x(tick)} y1={4} y2={height - BOTTOM + 4} />
              <text x={x(tick)} y={height - 4} text-anchor="middle">
                {write(tick)}
              </text>
            </g>
          ))}
          {zero !== undefined && (
            <line class="zero" x1={x(zero)} x2={x(zero)} y1={4} y2={height - BOTTOM + 4} />
          )}
          {rows.map(({ name, its, control, kind, said }, i) => {
            const y = (i + 0.5) * ROW;
            return (
              <g key={name} class={`cause-row ${kind}`} data-testid="cause-row">
                <title>{said}</title>
                <rect class="hit" x={0} y={i * ROW} width={width} height={ROW} />
                <text x={names + 2} y={y + 4} text-anchor="end">
                  {cut(name, names, size)}
                </text>
                {its && control && (
                  <line class="between" x1={x(control.value)} x2={x(its.value)} y1={y} y2={y} />
                )}
                {control && <Interval its={control} x={x} y={y} hollow />}
                {its && <Interval its={its} x={x} y={y} />}
                {its && (
                  <text class="figure" x={right + 12} y={y + 4}>
                    {write(its.value)}
                  </text>
                )}
              </g>
            );
          })}
        </svg>
      )}
    </div>
  );
}

function Interval(props: {
  its: Measured;
  x: (value: number) => number;
  y: number;
  hollow?: boolean;
}) {
  const { its, x, y, hollow } = props;
  return (
    <g class={hollow ? "hollow" : undefined}>
      {!Number.isNaN(its.low) && (
        <line class="interval" x1={x(its.low)} x2={x(its.high)} y1={y} y2={y} />
      )}
      <circle cx={x(its.value)} cy={y} r={hollow ? 4 : 5} />
    </g>
  );
}
