import type { Run } from "../../data/run";
import { count, percent } from "../../draw/format";
import { band } from "../../draw/path";
import { useTooltip } from "../../draw/tooltip";
import type { Go, State } from "../../state";
import { changed, writeHash } from "../../state";
import type { Figures, Layer, Step } from "./figures";

export const LEFT = 128;
export const RIGHT = 40;
const TALL = 230; // pixels of the layer with most features
const TOP = 96;
const BAR = 4;
const REACH = 62; // how far births come from and deaths go to

/** x of each layer. */
export function columnsOf(count: number, width: number): number[] {
  const step = (width - LEFT - RIGHT) / Math.max(1, count - 1);
  return Array.from({ length: count }, (_, i) => LEFT + i * step);
}

/**
 * Features as a river through the layers: those that go on pass from bar to bar, those that are born
 * come in from above, those that die leave below. Widths are counts.
 */
export function River(props: { run: Run; figures: Figures; width: number; state: State; go: Go }) {
  const { run, figures, width, state, go } = props;
  const { layers, steps } = figures;
  const tip = useTooltip();
  const xs = columnsOf(layers.length, width);
  const spacing = xs.length > 1 ? xs[1] - xs[0] : width;
  const most = Math.max(...layers.map((layer) => layer.features), 1);
  const scale = TALL / most;
  const tall = (n: number) => (Number.isNaN(n) ? 0 : n * scale);
  const bottom = TOP + TALL;
  const height = bottom + 112;
  const roomy = spacing > 104;
  // splits and merges are named where they are widest
  const thinner = steps.map((s) => Math.min(s.splits, s.splitParts, s.merges, s.mergeParts) || 0);
  const widest = Math.max(...thinner) * scale > 18 ? thinner.indexOf(Math.max(...thinner)) : -1;
  return (
    <div class="river">
      <svg width={width} height={height} role="group" aria-label="Features from layer to layer">
        <defs>
          <linearGradient id="born" x1="0" x2="0" y1="0" y2="1">
            <stop offset="0" stop-color="var(--birth)" stop-opacity="0" />
            <stop offset="1" stop-color="var(--birth)" stop-opacity="0.5" />
          </linearGradient>
          <linearGradient id="dying" x1="0" x2="0" y1="0" y2="1">
            <stop offset="0" stop-color="var(--death)" stop-opacity="0.5" />
            <stop offset="1" stop-color="var(--death)" stop-opacity="0" />
          </linearGradient>
        </defs>
        <g aria-hidden="true">
          <text class="lane-name" x={0} y={TOP - 34} style={{ color: "var(--birth)" }}>
            born
          </text>
          <text class="lane-name" x={0} y={TOP + TALL / 2} style={{ color: "var(--stream)" }}>
            go on
          </text>
          <text class="lane-name" x={0} y={bottom + 44} style={{ color: "var(--death)" }}>
            die
          </text>
          <text class="aside" x={0} y={height - 22}>
            layer
          </text>
          {roomy && (
            <text class="aside" x={0} y={height - 4}>
              features
            </text>
          )}
        </g>
        {steps.map((step, i) => (
          <StepBand
            key={step.b}
            step={step}
            x0={xs[i] + BAR / 2}
            x1={xs[i + 1] - BAR / 2}
            from={[bottom - tall(layers[i].features), tall(step.leaving)]}
            to={[bottom, tall(step.arriving)]}
            scale={scale}
            roomy={roomy}
            named={i === widest}
            href={writeHash(changed(state, { view: "pair", a: step.a, b: step.b }))}
            go={go}
            tip={tip}
          />
        ))}
        {layers.map((layer, i) => (
          <Column
            key={layer.site}
            run={run}
            layer={layer}
            x={xs[i]}
            top={bottom - tall(layer.features)}
            bottom={bottom}
            born={i ? tall(layer.births) : 0}
            dying={i < layers.length - 1 ? tall(layer.deaths) : 0}
            reach={Math.min(REACH, spacing * 0.8)}
            roomy={roomy}
            named={i % Math.ceil(30 / spacing) === 0}
            last={i === layers.length - 1}
            height={height}
            href={writeHash(changed(state, { view: "find", more: { site: layer.site } }))}
            go={go}
            tip={tip}
          />
        ))}
      </svg>
      {tip.view}
    </div>
  );
}

type Tip = ReturnType<typeof useTooltip>;

function Column(props: {
  run: Run;
  layer: Layer;
  x: number;
  top: number;
  bottom: number;
  born: number;
  dying: number;
  reach: number;
  roomy: boolean;
  named: boolean;
  last: boolean;
  height: number;
  href: string;
  go: Go;
  tip: Tip;
}) {
  const { run, layer, x, top, bottom, born, dying, reach, roomy, named, last, height, go, tip } =
    props;
  const name = run.short(layer.site);
  const said = [
    `${count(layer.features)} features`,
    Number.isNaN(layer.births) ? "" : `${count(layer.births)} born`,
    Number.isNaN(layer.deaths) ? "" : `${count(layer.deaths)} die`,
  ].filter(Boolean);
  return (
    <g data-testid="overview-column">
      {born > 0 && (
        <path class="births" fill="url(#born)" d={bend(x - BAR / 2, top, born, -reach)} />
      )}
      {dying > 0 && (
        <path
          class="deaths"
          fill="url(#dying)"
          d={bend(x + BAR / 2, bottom - dying, dying, reach)}
        />
      )}
      <a
        href={props.href}
        class="column"
        aria-label={`${layer.site}: ${said.join(", ")}`}
        onClick={(event) => {
          if (event.metaKey || event.ctrlKey) return;
          event.preventDefault();
          go({ view: "find", more: { site: layer.site } });
        }}
        {...tip.on(() => (
          <>
            <p class="tip-label">{layer.site}</p>
            {said.map((line) => (
              <p class="tip-note" key={line}>
                {line}
              </p>
            ))}
          </>
        ))}
      >
        <rect class="bar-hit" x={x - 10} y={top - 8} width={20} height={height - top} />
        <rect class="bar-mark" x={x - BAR / 2} y={top} width={BAR} height={bottom - top} rx={2} />
        {named && (
          <text
            class="axis here"
            x={x}
            y={height - 22}
            text-anchor={last && name.length > 8 ? "end" : "middle"}
          >
            {name}
          </text>
        )}
        {roomy && (
          <text class="axis" x={x} y={height - 4} text-anchor="middle">
            {count(layer.features)}
          </text>
        )}
      </a>
      {roomy && born > 0 && (
        <text
          class="flow-count"
          x={x - 12}
          y={top - 40}
          text-anchor="middle"
          style={{ fill: "var(--birth)" }}
        >
          {count(layer.births)}
        </text>
      )}
      {roomy && dying > 0 && (
        <text
          class="flow-count"
          x={x + 14}
          y={bottom + 56}
          text-anchor="middle"
          style={{ fill: "var(--death)" }}
        >
          {count(layer.deaths)}
        </text>
      )}
    </g>
  );
}

/** A band that leaves a bar level and turns up (to the left) or down (to the right). */
function bend(x: number, y: number, wide: number, reach: number): string {
  const up = reach < 0;
  const across = Math.min(Math.abs(reach) * 0.7, Math.max(10, wide * 0.55));
  const depth = Math.abs(reach) * 0.62;
  if (up) {
    // born: from above, into the upper part of the bar
    return `M${x},${y + wide}C${x - across},${y + wide} ${x - across},${y} ${x - across},${y - depth}L${x - 2},${y - depth}C${x - 2},${y - depth * 0.4} ${x},${y} ${x},${y}Z`;
  }
  const end = y + wide + depth;
  return `M${x},${y}C${x + across},${y} ${x + across},${y + wide} ${x + across},${end}L${x + 2},${end}C${x + 2},${y + wide + depth * 0.4} ${x},${y + wide} ${x},${y + wide}Z`;
}

function StepBand(props: {
  step: Step;
  x0: number;
  x1: number;
  from: readonly [number, number];
  to: readonly [number, number];
  scale: number;
  roomy: boolean;
  named: boolean;
  href: string;
  go: Go;
  tip: Tip;
}) {
  const { step, x0, x1, from, to, scale, roomy, named, go, tip } = props;
  const [top, wide] = from;
  const [bottom, arriving] = to;
  const summary = step.pair?.summary;
  const share = summary ? summary.matched / (summary.features_a - summary.excluded_a) : NaN;
  const wideAt = (n: number) =>
    Number.isNaN(n) ? 0 : Math.min(n * scale, Math.max(wide, arriving));
  const [splits, parts] = [wideAt(step.splits), wideAt(step.splitParts)];
  const [mergers, merged] = [wideAt(step.mergeParts), wideAt(step.merges)];
  const middle = [(x0 + x1) / 2, (top + wide / 2 + bottom - arriving / 2) / 2];
  const label = `${step.a} to ${step.b}: ${count(step.leaving)} go on, ${count(step.splits)} split, ${count(step.merges)} merge`;
  return (
    <a
      href={props.href}
      class="step"
      aria-label={label}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey) return;
        event.preventDefault();
        go({ view: "pair", a: step.a, b: step.b });
      }}
      {...tip.on(() => (
        <>
          <p class="tip-label">
            {step.a} → {step.b}
          </p>
          <dl class="tip-facts">
            <dt>go on</dt>
            <dd>{count(step.leaving)}</dd>
            <dt>matched: significant</dt>
            <dd>{percent(share)}</dd>
            <dt>split</dt>
            <dd>
              {count(step.splits)} into {count(step.splitParts)}
            </dd>
            <dt>merge</dt>
            <dd>
              {count(step.mergeParts)} into {count(step.merges)}
            </dd>
          </dl>
        </>
      ))}
    >
      <path class="flowing" d={band(x0, [top, top + wide], x1, [bottom - arriving, bottom])} />
      {splits > 0 && (
        <path
          class="splitting"
          d={band(x0, [top, top + splits], x1, [bottom - arriving, bottom - arriving + parts])}
        />
      )}
      {mergers > 0 && (
        <path
          class="merging"
          d={band(x0, [top + wide - mergers, top + wide], x1, [bottom - merged, bottom])}
        />
      )}
      {named && roomy && (
        <>
          <text class="flow-note" x={x0 + 10} y={top + 15}>
            split
          </text>
          <text class="flow-note" x={x1 - 10} y={bottom - 8} text-anchor="end">
            merge
          </text>
        </>
      )}
      {roomy && wide > 16 && (
        <text class="flow-count on" x={middle[0]} y={middle[1] + 4} text-anchor="middle">
          {count(step.leaving)}
        </text>
      )}
    </a>
  );
}
