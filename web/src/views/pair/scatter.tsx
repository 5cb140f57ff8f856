import { extent, max } from "d3-array";
import { scaleLinear, scaleSymlog } from "d3-scale";
import { useMemo, useRef, useState } from "preact/hooks";
import type { Brush, Matches } from "../../data/matches";
import { useCanvas } from "../../draw/canvas";
import { resolved } from "../../draw/colours";
import { count, figure, pValue } from "../../draw/format";
import { hexbins } from "../../draw/hexbins";
import { ticked } from "../../draw/ticks";
import { Field } from "../../parts/field";
import { useWidth } from "../../parts/use";
import "./plots.css";

const [TOP, BOTTOM, LEFT, RIGHT] = [22, 36, 52, 12];
const MANY = 20_000; // points beyond which they are counted in hexagons
const NEAR = 12; // pixels within which a point is pointed at

/** What stands on the axes of the scatter. */
export interface Axes {
  x: Float64Array;
  y: Float64Array;
  yTitle: string;
  /** Of the brush's two fields for y. */
  yName: string;
  /** Whether y is of p-values, which a few may push out of sight of all the others. */
  ofP: boolean;
}

/** Cosine of decoders against correlation of activations, or else against the p-value. */
export function axesOf(matches: Matches): Axes {
  if (matches.pearson) {
    return {
      x: matches.cosine,
      y: matches.pearson,
      yTitle: "correlation of activations",
      yName: "correlation",
      ofP: false,
    };
  }
  return {
    x: matches.cosine,
    // p-values stop at 1e-300
    y: matches.p.map((p) => -Math.log10(Math.max(p, 1e-300))),
    yTitle: "p-value, smaller upwards",
    yName: "−log₁₀ p",
    ofP: true,
  };
}

export function Scatter(props: {
  matches: Matches;
  axes: Axes;
  brush: Brush | null;
  picked: number | null;
  theme: string;
  height: number;
  onBrush: (brush: Brush | null, done: boolean) => void;
  onPick: (row: number) => void;
}) {
  const { matches, axes, brush, picked, height } = props;
  const [box, width] = useWidth<HTMLDivElement>();
  const [hover, setHover] = useState<number | null>(null);
  const from = useRef<[number, number] | null>(null);
  const shown = useMemo(
    () =>
      Array.from({ length: matches.length }, (_, i) => i).filter(
        (i) => matches.target[i] >= 0 && !Number.isNaN(axes.x[i]) && !Number.isNaN(axes.y[i]),
      ),
    [matches, axes],
  );
  const scale = (values: Float64Array, pixels: [number, number]) => {
    const [low = 0, high = 1] = extent(shown, (i) => values[i]);
    return scaleLinear([low, high === low ? low + 1 : high], pixels).nice();
  };
  const x = useMemo(() => scale(axes.x, [LEFT, width - RIGHT]), [shown, width]);
  const y = useMemo((): Scale => {
    const pixels: [number, number] = [height - BOTTOM, TOP];
    if (!axes.ofP) return scale(axes.y, pixels);
    return scaleSymlog([0, Math.max(1, max(shown, (i) => axes.y[i]) ?? 1)], pixels);
  }, [shown, height]);
  const ticks = axes.ofP ? apart(POWERS, y) : y.ticks(5);
  const canvas = useCanvas(
    width,
    height,
    (context) => {
      if (shown.length > MANY) drawHexagons(context, shown, axes, x, y);
      else drawPoints(context, shown, matches, axes, x, y);
    },
    [shown, x, y, props.theme],
  );
  const nearest = (px: number, py: number): number | null => {
    let best: [number, number] | null = null;
    for (const i of shown) {
      const away = (x(axes.x[i]) - px) ** 2 + (y(axes.y[i]) - py) ** 2;
      if (away < (best?.[1] ?? NEAR * NEAR)) best = [i, away];
    }
    return best?.[0] ?? null;
  };
  const at = (event: PointerEvent): [number, number] => {
    const place = (event.currentTarget as Element).getBoundingClientRect();
    return [
      Math.max(LEFT, Math.min(width - RIGHT, event.clientX - place.left)),
      Math.max(TOP, Math.min(height - BOTTOM, event.clientY - place.top)),
    ];
  };
  const dragged = ([x0, y0]: [number, number], [x1, y1]: [number, number]): Brush => ({
    x: [x.invert(Math.min(x0, x1)), x.invert(Math.max(x0, x1))],
    y: [y.invert(Math.max(y0, y1)), y.invert(Math.min(y0, y1))],
  });
  const far = (one: [number, number], other: [number, number]) =>
    Math.hypot(one[0] - other[0], one[1] - other[1]) > 4;
  const marked = hover ?? picked;
  return (
    <div
      ref={box}
      class="pair-plot scatter"
      style={{ height: `${height}px` }}
      onPointerDown={(event) => {
        if (event.button) return;
        from.current = at(event);
        event.currentTarget.setPointerCapture(event.pointerId);
      }}
      onPointerMove={(event) => {
        const to = at(event);
        if (!from.current) setHover(nearest(...to));
        else if (far(from.current, to)) props.onBrush(dragged(from.current, to), false);
      }}
      onPointerUp={(event) => {
        const to = at(event);
        const start = from.current;
        from.current = null;
        if (!start) return;
        if (far(start, to)) return props.onBrush(dragged(start, to), true);
        const row = nearest(...to);
        if (row !== null) props.onPick(row);
        else if (brush) props.onBrush(null, true);
      }}
      onPointerCancel={() => (from.current = null)}
      onPointerLeave={() => setHover(null)}
    >
      <canvas ref={canvas} aria-hidden="true" />
      {width > 0 && (
        <svg
          width={width}
          height={height}
          role="img"
          aria-label={`${count(shown.length)} features by cosine of decoders and ${axes.yTitle}. The fields below choose a part of it.`}
        >
          <g class="axis">
            {x.ticks(6).map((tick) => (
              <text key={tick} x={x(tick)} y={height - BOTTOM + 16} text-anchor="middle">
                {ticked(x, 6, tick)}
              </text>
            ))}
            {ticks.map((tick) => (
              <text key={tick} x={LEFT - 8} y={y(tick) + 4} text-anchor="end">
                {axes.ofP ? powerOf(tick) : ticked(scaleLinear(y.domain(), y.range()), 5, tick)}
              </text>
            ))}
            <text class="title" x={width - RIGHT} y={height - 4} text-anchor="end">
              cosine of decoders →
            </text>
            <text class="title" x={4} y={12}>
              ↑ {axes.yTitle}
            </text>
          </g>
          {brush && (
            <rect
              class="brush"
              x={x(brush.x[0])}
              width={Math.max(0, x(brush.x[1]) - x(brush.x[0]))}
              y={y(brush.y[1])}
              height={Math.max(0, y(brush.y[0]) - y(brush.y[1]))}
            />
          )}
          {marked !== null && !Number.isNaN(axes.x[marked]) && !Number.isNaN(axes.y[marked]) && (
            <circle class="marked" cx={x(axes.x[marked])} cy={y(axes.y[marked])} r={5} />
          )}
        </svg>
      )}
      {hover !== null && !from.current && (
        <p
          class="scatter-note"
          style={{
            left: `${Math.max(70, Math.min(width - 70, x(axes.x[hover])))}px`,
            top: `${y(axes.y[hover])}px`,
          }}
        >
          {hover} → {matches.target[hover]}
          <br />
          cosine {figure(matches.cosine[hover])}
          {matches.pearson
            ? `, correlation ${figure(matches.pearson[hover])}`
            : `, p ${pValue(matches.p[hover])}`}
        </p>
      )}
    </div>
  );
}

/** The brush as four numbers, for the keyboard. */
export function BrushFields(props: {
  axes: Axes;
  brush: Brush | null;
  onBrush: (brush: Brush | null) => void;
}) {
  const { axes, brush } = props;
  const whole = (values: Float64Array): [number, number] => {
    const [low = 0, high = 1] = extent(values.filter((value) => !Number.isNaN(value)));
    return [low, high];
  };
  const of = { x: brush?.x ?? whole(axes.x), y: brush?.y ?? whole(axes.y) };
  const field = (axis: "x" | "y", end: 0 | 1, label: string) => (
    <Field
      type="number"
      label={label}
      value={brush ? Number(of[axis][end].toPrecision(4)) : ""}
      placeholder={figure(of[axis][end])}
      onDone={({ valueAsNumber: value }) => {
        if (Number.isNaN(value)) return props.onBrush(null);
        const next: [number, number] = [...of[axis]];
        next[end] = value;
        props.onBrush({ ...of, [axis]: [Math.min(...next), Math.max(...next)] });
      }}
    />
  );
  return (
    <div class="brush-fields" role="group" aria-label="Part of the scatter that is listed">
      <span class="between-fields">
        cosine {field("x", 0, "least cosine")}–{field("x", 1, "largest cosine")}
      </span>
      <span class="between-fields">
        {axes.yName} {field("y", 0, `least ${axes.yName}`)}–{field("y", 1, `largest ${axes.yName}`)}
      </span>
      {brush && (
        <button type="button" class="button" onClick={() => props.onBrush(null)}>
          Clear
        </button>
      )}
    </div>
  );
}

type Scale =
  | ReturnType<typeof scaleLinear<number, number>>
  | ReturnType<typeof scaleSymlog<number, number>>;

/** p-values on the axis, as powers of ten. */
const POWERS = [0, 1, 2, 5, 10, 30, 100, 300];

/** Those that there is room for. */
function apart(powers: readonly number[], y: Scale): number[] {
  const shown: number[] = [];
  for (const power of powers) {
    const last = shown[shown.length - 1];
    if (power > y.domain()[1]) break;
    if (last === undefined || y(last) - y(power) >= 16) shown.push(power);
  }
  return shown;
}

function powerOf(power: number): string {
  return power ? `1e−${power}` : "1";
}

function drawPoints(
  context: CanvasRenderingContext2D,
  shown: readonly number[],
  matches: Matches,
  axes: Axes,
  x: Scale,
  y: Scale,
) {
  const radius = shown.length > 6000 ? 1.5 : 2;
  for (const matched of [false, true]) {
    context.fillStyle = resolved(matched ? "--accent" : "--quiet");
    context.globalAlpha = matched ? 0.55 : 0.4;
    for (const i of shown) {
      if ((matches.matched[i] === true) !== matched) continue;
      context.beginPath();
      context.arc(x(axes.x[i]), y(axes.y[i]), radius, 0, 2 * Math.PI);
      context.fill();
    }
  }
  context.globalAlpha = 1;
}

function drawHexagons(
  context: CanvasRenderingContext2D,
  shown: readonly number[],
  axes: Axes,
  x: Scale,
  y: Scale,
) {
  const radius = 5;
  const bins = hexbins(
    shown.length,
    (k) => x(axes.x[shown[k]]),
    (k) => y(axes.y[shown[k]]),
    radius,
  );
  const most = max(bins, (bin) => bin.count) ?? 1;
  context.fillStyle = resolved("--accent");
  for (const bin of bins) {
    context.globalAlpha = 0.12 + 0.88 * Math.sqrt(bin.count / most);
    context.beginPath();
    for (let k = 0; k < 6; k++) {
      const angle = (Math.PI / 3) * k + Math.PI / 6;
      context.lineTo(bin.x + radius * Math.cos(angle), bin.y + radius * Math.sin(angle));
    }
    context.fill();
  }
  context.globalAlpha = 1;
}
