import type { Run } from "../../data/run";
import { LANE_NAMES, LANES } from "../../draw/colours";
import { textScale } from "../../draw/path";
import type { Key } from "../../draw/picture";
import { useTooltip } from "../../draw/tooltip";
import type { Go, State } from "../../state";
import type { Figures } from "./figures";
import { type Geometry, geometryOf, wordsOf } from "./geometry";
import { ArcCounts, ArcMark, Column, SideMark, StepBand } from "./marks";
import { type Mark, useRoving } from "./roving";

/**
 * Features as a river through the layers: those that go on pass from bar to bar, or over bars in
 * arcs; those that are born come in from above, those that die leave below. Widths are counts.
 */
export function River(props: {
  run: Run;
  figures: Figures;
  width: number;
  fit: boolean;
  state: State;
  go: Go;
}) {
  const { run, figures, width, fit, state, go } = props;
  const { layers, steps, arcs, sides } = figures;
  const shape = geometryOf(figures, width, textScale(), fit);
  const tip = useTooltip();
  const { onKeyDown, stop } = useRoving(marksOf(figures), "layer 0");
  const shared = { run, shape, state, go, tip, stop };
  return (
    <div
      class="river scrolls"
      data-testid="river"
      style={{ scrollPaddingLeft: `${shape.gutter + 20}px` }}
    >
      {shape.scrolled && (
        <svg
          class="river-names"
          width={shape.gutter}
          height={shape.height}
          data-export="no"
          aria-hidden="true"
        >
          <rect width={shape.gutter} height={shape.height} />
          <Names shape={shape} />
        </svg>
      )}
      <svg
        class="river-drawing"
        width={shape.width}
        height={shape.height}
        role="group"
        aria-label="Features from layer to layer: arrow keys move, Enter opens"
        onKeyDown={onKeyDown}
      >
        <Names shape={shape} />
        {steps.map((step, i) => (
          <StepBand key={step.b} {...shared} step={step} at={i} figures={figures} />
        ))}
        {arcs.map((arc) => (
          <ArcMark key={`${arc.from} ${arc.to}`} {...shared} arc={arc} layers={layers} />
        ))}
        <ArcCounts arcs={arcs} shape={shape} />
        {layers.map((layer, i) => (
          <Column key={layer.site} {...shared} layer={layer} at={i} figures={figures} />
        ))}
        {sides.map((side) => (
          <SideMark key={side.site} {...shared} side={side} sides={sides} />
        ))}
      </svg>
      {tip.view}
    </div>
  );
}

/** What the colours of the river mean. */
export function legendOf(figures: Figures): Key[] {
  const words = wordsOf(figures);
  const keys: Key[] = [
    { color: "var(--birth)", text: words.begin },
    { color: "var(--river)", text: words.on },
  ];
  if (figures.steps.some(({ splits, merges }) => splits > 0 || merges > 0)) {
    keys.push({
      color: "var(--river-more)",
      text: "split (above) or merge (below), darker where both",
    });
  }
  keys.push({ color: "var(--death)", text: words.end });
  if (figures.arcs.length) keys.push({ color: "var(--stream)", text: "pass over", kind: "line" });
  for (const lane of ["attn", "mlp", "other"] as const) {
    if (figures.sides.some((side) => side.lane === lane)) {
      keys.push({ color: LANES[lane], text: `also written by ${LANE_NAMES[lane]}`, kind: "line" });
    }
  }
  return keys;
}

function Names({ shape }: { shape: Geometry }) {
  return (
    <g aria-hidden="true">
      {shape.rows.map(({ text, y, color }) => (
        <text
          key={text}
          class={color ? "river-name" : "river-axis"}
          x={0}
          y={y}
          style={color ? { fill: color } : undefined}
        >
          {text}
        </text>
      ))}
    </g>
  );
}

/** Marks in the order of rows: arcs, bands, bars, SAEs of modules. */
function marksOf({ arcs, steps, layers, sides }: Figures): Mark[] {
  return [
    ...arcs.map(({ from, to }) => ({ key: `arc ${from} ${to}`, row: 0, at: (from + to) / 2 })),
    ...steps.map((_, i) => ({ key: `step ${i}`, row: 1, at: i + 0.5 })),
    ...layers.map((_, i) => ({ key: `layer ${i}`, row: 2, at: i })),
    ...sides.map(({ lane, to }, i) => ({
      key: `side ${i}`,
      row: 3 + ["attn", "stream", "mlp", "other"].indexOf(lane),
      at: to - 0.3,
    })),
  ];
}
