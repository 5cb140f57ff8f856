import * as Plot from "@observablehq/plot";
import { cut, measured, rem } from "./measured";
import { Chart } from "./plot";

/** A figure with its interval; `low` and `high` are NaN where none is known. */
export interface Measure {
  value: number;
  low: number;
  high: number;
  color: string;
  /** Which of its row's marks it is: a dot, a ring, a square, a hollow square. */
  kind: number;
  /** What it says to who points at it. */
  said: string;
}

export interface IntervalRow {
  name: string;
  /** Written less loud than the others. */
  quiet?: boolean;
  marks: readonly Measure[];
  /** Written at the right end. */
  figure?: string;
}

const GAP = 9; // pixels between the marks of a row
const ARROW = 12; // and between figures beyond the axis
const SHAPES = ["circle", "circle", "square", "square"] as const;

/**
 * Rows of figures with their intervals, on one axis.
 *
 * Nothing is left out without a sign: a figure beyond the axis is written at its end with an arrow,
 * and an interval that goes on beyond it ends in one.
 */
export function Intervals(props: {
  label: string;
  /** Written above the rows, where several charts are one picture. */
  title?: string;
  rows: readonly IntervalRow[];
  domain: readonly [number, number];
  log?: boolean;
  /** Where a figure says nothing: no cost, no effect. */
  rule?: number;
  /** Dashed: what all is to be seen beside. */
  guide?: number;
  write: (value: number) => string;
  /** Marks of one row stand below each other: of several text sets. */
  spread?: boolean;
  testid?: string;
}) {
  const { label, title, rows, domain, log, rule, guide, write, spread, testid } = props;
  const kinds = [...new Set(rows.flatMap(({ marks }) => marks.map(({ kind }) => kind)))].sort();
  const beyond = (one: Measure) => one.value < domain[0] || one.value > domain[1];
  const far = rows.some(({ marks }) => marks.some(beyond));
  const step = far ? ARROW : GAP;
  const tall = spread ? step * kinds.length + 9 : 27;
  const [top, bottom] = [title ? 26 : 4, 26];
  const options = (width: number) => {
    const size = 0.8 * rem();
    const [least, figures] = [0.44 * width, rows.some(({ figure }) => figure) ? 52 : 14];
    const names = Math.min(least, ...[Math.max(...rows.map(({ name }) => measured(name, size)))]);
    const left = Math.ceil(names) + 14;
    const room = width - left - figures;
    const clamp = (value: number) => Math.max(domain[0], Math.min(domain[1], value));
    return {
      marginLeft: left,
      marginRight: figures,
      marginTop: top,
      marginBottom: bottom,
      color: { type: "identity" as const },
      x: { domain: [...domain], type: log ? ("log" as const) : ("linear" as const) },
      y: { domain: rows.map((_, i) => i), type: "band" as const, padding: 0, axis: null },
      marks: [
        Plot.axisX({
          ticks: log
            ? TICKS.filter((one) => clamp(one) === one)
            : Math.max(2, Math.min(6, room / 70)),
          tickFormat: write,
          tickSize: 0,
          label: null,
        }),
        Plot.gridX({
          ticks: log
            ? TICKS.filter((one) => clamp(one) === one)
            : Math.max(2, Math.min(6, room / 70)),
          stroke: "var(--guide)",
          strokeOpacity: 1,
        }),
        ...(rule === undefined || clamp(rule) !== rule
          ? []
          : [Plot.ruleX([rule], { stroke: "var(--faint)" })]),
        ...(guide === undefined || clamp(guide) !== guide
          ? []
          : [Plot.ruleX([guide], { stroke: "var(--ink)", strokeDasharray: "3 4" })]),
        ...(title
          ? [
              Plot.text([cut(title, width - 12, size, 600)], {
                frameAnchor: "top-left",
                dx: -left,
                dy: -20,
                fill: "var(--ink)",
                fontWeight: 600,
              }),
            ]
          : []),
        ...[false, true].map((quiet) =>
          Plot.text(
            rows.flatMap((row, i) => (Boolean(row.quiet) === quiet ? [{ row, i }] : [])),
            {
              y: "i",
              text: ({ row }) => cut(row.name, names, size),
              title: ({ row }) => row.name,
              frameAnchor: "left",
              textAnchor: "end",
              dx: -10,
              fill: quiet ? "var(--muted)" : "var(--ink)",
              className: "plot-row",
            },
          ),
        ),
        Plot.text(
          rows.map(({ figure = "" }, i) => ({ figure, i })),
          {
            y: "i",
            text: "figure",
            frameAnchor: "right",
            textAnchor: "start",
            dx: 10,
            fill: "var(--ink)",
            fontWeight: 600,
            className: "plot-figure",
          },
        ),
        ...kinds.flatMap((kind) => {
          const its = rows.flatMap(({ marks }, i) =>
            marks.filter((one) => one.kind === kind).map((one) => ({ ...one, i })),
          );
          const at = kinds.indexOf(kind) - (kinds.length - 1) / 2;
          const dy = spread ? step * at : 0;
          const there = its.filter((one) => !beyond(one));
          const known = there.filter(({ low, high }) => !Number.isNaN(low) && !Number.isNaN(high));
          return [
            Plot.ruleY(known, {
              y: "i",
              x1: ({ low }) => clamp(low),
              x2: ({ high }) => clamp(high),
              stroke: "color",
              strokeWidth: 1.75,
              strokeOpacity: kind % 2 ? 0.6 : 1,
              strokeLinecap: "round",
              dy,
              className: "plot-interval",
            }),
            ...CUT.map(({ end, arrow, anchor }) =>
              Plot.text(
                known.filter((one) => clamp(one[end]) !== one[end]),
                {
                  x: (one) => clamp(one[end]),
                  y: "i",
                  text: () => arrow,
                  textAnchor: anchor,
                  fill: "color",
                  dy,
                  className: "plot-cut",
                },
              ),
            ),
            Plot.dot(there, {
              x: "value",
              y: "i",
              fill: kind % 2 ? "var(--paper)" : "color",
              stroke: "color",
              strokeWidth: 1.6,
              r: 3.8,
              symbol: SHAPES[kind % 4],
              dy,
              title: "said",
              className: "plot-value",
            }),
            ...BEYOND.map(({ is, arrow, anchor, side }) =>
              Plot.text(
                rows.flatMap((_, i) => {
                  const far = its.filter((one) => one.i === i && is(one.value, domain));
                  return far.length ? [{ i, ...together(far, write, arrow) }] : [];
                }),
                {
                  x: domain[side],
                  y: "i",
                  text: "text",
                  textAnchor: anchor,
                  fill: "color",
                  title: "said",
                  dy,
                  className: "plot-beyond",
                },
              ),
            ),
          ];
        }),
      ],
    };
  };
  return (
    <Chart
      label={label}
      height={rows.length * tall + top + bottom}
      options={options}
      on={[rows, domain]}
      testid={testid}
    />
  );
}

const TICKS = [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64]; // of a logarithmic axis
const CUT = [
  { end: "low", arrow: "◂", anchor: "start" },
  { end: "high", arrow: "▸", anchor: "end" },
] as const;
const BEYOND = [
  {
    is: (value: number, domain: readonly [number, number]) => value < domain[0],
    arrow: (figures: string) => `← ${figures}`,
    anchor: "start",
    side: 0,
  },
  {
    is: (value: number, domain: readonly [number, number]) => value > domain[1],
    arrow: (figures: string) => `${figures} →`,
    anchor: "end",
    side: 1,
  },
] as const;

/** What is written of figures that lie beyond the axis, of one row: one by itself, of many the range. */
function together(
  its: readonly Measure[],
  write: (value: number) => string,
  arrow: (figures: string) => string,
) {
  const values = its.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)].map(write);
  return {
    text: arrow(its.length > 1 ? `${its.length}: ${low} to ${high}` : low),
    said: its.map(({ said }) => said).join("\n"),
    color: its[0].color,
  };
}
