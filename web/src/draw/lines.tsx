import * as Plot from "@observablehq/plot";
import { scaleLinear } from "d3-scale";
import { apart } from "./apart";
import { cut, measured, rem } from "./measured";
import { Chart } from "./plot";

export interface LinePoint {
  x: number;
  y: number;
  /** Its interval, and what it says to who points at it. */
  low?: number;
  high?: number;
  said?: string;
}

/** A line with its name at its end; without points, one level at a height. */
export interface Line {
  name: string;
  points: readonly LinePoint[];
  /** Dashed, as wide as the chart: what the line is to be seen beside. */
  level?: number;
  color: string;
  /** Stands out, above the others. */
  chosen?: boolean;
  /** Points are marked: a dot, a ring, a square. */
  kind?: number;
}

const SHAPES = ["circle", "circle", "square", "square"] as const;

/** Lines on two axes, each named where it ends. */
export function Lines(props: {
  label: string;
  /** Written above, where several charts are one picture. */
  title?: string;
  lines: readonly Line[];
  x: { domain: readonly [number, number]; ticks: readonly number[]; label: string };
  y: { domain: readonly [number, number]; rule?: number };
  writeX: (value: number) => string;
  writeY: (value: number) => string;
  height?: number;
  testid?: string;
}) {
  const { label, title, lines, writeX, writeY, height = 320, testid } = props;
  const [top, bottom] = [title ? 30 : 12, 44];
  const y = scaleLinear(props.y.domain, [height - bottom, top]);
  const ticks = y.ticks(5);
  const options = (width: number) => {
    const size = 0.8 * rem();
    const wide = (line: Line) => measured(line.name, size, line.chosen ? 600 : 400);
    const left = Math.max(...ticks.map((tick) => measured(writeY(tick), size))) + 12;
    const room = Math.min(0.4 * width, Math.max(0, ...lines.map(wide)) + 24);
    const named = lines.flatMap((line) => {
      const last = line.points[line.points.length - 1];
      const height = last?.y ?? line.level;
      return height === undefined ? [] : [{ line, x: last?.x ?? props.x.domain[1], y: height }];
    });
    const heights = apart(
      named.map((one) => y(one.y)),
      1.35 * size,
      [top - 4, height - bottom + 4],
    );
    const ends = named.map((one, i) => ({ ...one, at: y.invert(heights[i]) }));
    // the chosen one is drawn over the others
    const order = [...lines].sort((one, other) => Number(one.chosen) - Number(other.chosen));
    return {
      marginLeft: Math.ceil(left),
      marginRight: Math.ceil(room),
      marginTop: top,
      marginBottom: bottom,
      x: { domain: [...props.x.domain] },
      y: { domain: [...props.y.domain] },
      marks: [
        Plot.gridY(ticks, { stroke: "var(--guide)", strokeOpacity: 1 }),
        Plot.axisY(ticks, { tickFormat: writeY, tickSize: 0, label: null }),
        Plot.axisX([...props.x.ticks], {
          tickFormat: writeX,
          tickSize: 0,
          label: props.x.label,
          labelAnchor: "center" as const,
          labelArrow: "none" as const,
        }),
        ...(props.y.rule === undefined
          ? []
          : [Plot.ruleY([props.y.rule], { stroke: "var(--faint)" })]),
        ...(title
          ? [
              Plot.text([cut(title, width - 12, size, 600)], {
                frameAnchor: "top-left",
                dx: -left,
                dy: -24,
                fill: "var(--ink)",
                fontWeight: 600,
              }),
            ]
          : []),
        ...order.flatMap((line) => marksOf(line)),
        Plot.link(ends, {
          x1: "x",
          x2: props.x.domain[1],
          y1: "y",
          y2: "at",
          stroke: "var(--line)",
          dx: 4,
        }),
        ...[false, true].map((chosen) =>
          Plot.text(
            ends.filter(({ line }) => Boolean(line.chosen) === chosen),
            {
              x: props.x.domain[1],
              y: "at",
              text: ({ line }) => cut(line.name, room - 14, size, chosen ? 600 : 400),
              title: ({ line }) => line.name,
              textAnchor: "start",
              dx: 10,
              fill: chosen ? "var(--ink)" : "var(--muted)",
              fontWeight: chosen ? 600 : 400,
              className: "plot-name",
            },
          ),
        ),
      ],
    };
  };
  return <Chart label={label} height={height} options={options} on={[lines]} testid={testid} />;
}

function marksOf({ name, points, level, color, chosen, kind }: Line): Plot.Markish[] {
  const known = points.filter(({ low, high }) => low !== undefined && high !== undefined);
  return [
    ...(level === undefined
      ? []
      : [
          Plot.ruleY([level], {
            stroke: color,
            strokeDasharray: "4 4",
            strokeOpacity: chosen ? 1 : 0.7,
          }),
        ]),
    Plot.ruleX(known, { x: "x", y1: "low", y2: "high", stroke: color, strokeWidth: 1.5 }),
    Plot.line(points, {
      x: "x",
      y: "y",
      stroke: color,
      strokeWidth: chosen ? 2.5 : 1.6,
      title: () => name,
      className: "plot-line",
    }),
    ...(kind === undefined && points.length > 1
      ? []
      : [
          Plot.dot(points, {
            x: "x",
            y: "y",
            r: 3.6,
            symbol: SHAPES[(kind ?? 0) % 4],
            fill: (kind ?? 0) % 2 ? "var(--paper)" : color,
            stroke: color,
            strokeWidth: 1.6,
            title: ({ said }) => said ?? name,
            className: "plot-point",
          }),
        ]),
  ];
}
