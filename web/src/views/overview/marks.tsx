import type { ComponentChildren } from "preact";
import type { Run } from "../../data/run";
import { LANES } from "../../draw/colours";
import { count, percent } from "../../draw/format";
import { band, fitted, level } from "../../draw/path";
import type { useTooltip } from "../../draw/tooltip";
import type { Change, Go, State } from "../../state";
import { changed, writeHash } from "../../state";
import type { Arc, Figures, Layer, Side, Step } from "./figures";
import { archOf, BAR, birthOf, deathOf, type Geometry, wordsOf } from "./geometry";
import { placeOf } from "./story";

interface Shared {
  run: Run;
  shape: Geometry;
  state: State;
  go: Go;
  tip: ReturnType<typeof useTooltip>;
  stop: (key: string) => object;
}

const ROOMY = 66; // from layer to layer, for numbers within bands and beside them

/** A mark that leads somewhere, and tells its numbers when it is pointed at or reached. */
function Leading(
  props: Shared & {
    mark: string;
    to: Change;
    class: string;
    title: string;
    /** Its numbers: what they are of, and the numbers. */
    facts: [string, string][];
    testid: string;
    children: ComponentChildren;
  },
) {
  const { state, go, tip, stop, mark, to, title, facts } = props;
  const said = facts.map(([name, value]) => `${value} ${name}`).join(", ");
  return (
    <a
      href={writeHash(changed(state, to))}
      class={props.class}
      aria-label={`${title}: ${said}`}
      data-testid={props.testid}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        go(to);
      }}
      {...stop(mark)}
      {...tip.on(() => (
        <>
          <p class="tip-label">{title}</p>
          <dl class="tip-facts">
            {facts.map(([name, value]) => [
              <dt key={name}>{name}</dt>,
              <dd key={value}>{value}</dd>,
            ])}
          </dl>
        </>
      ))}
    >
      {props.children}
    </a>
  );
}

/** A layer: its bar, what is born there and what dies. */
export function Column(props: Shared & { layer: Layer; at: number; figures: Figures }) {
  const { run, shape, layer, at, figures } = props;
  const { xs, bottom, tall, spacing, every, height } = shape;
  const words = wordsOf(figures);
  const x = xs[at];
  const top = bottom - tall(layer.features);
  const [born, dying] = [tall(layer.births), tall(layer.deaths)];
  const reach = Math.min(62, spacing * 0.7);
  const counted = at % every === 0;
  const roomy = spacing > ROOMY || counted;
  const name = fitted(run.short(layer.site), spacing * every - 6, 12);
  return (
    <g data-testid="overview-column">
      {born > 0 && (
        <path
          class="river-births"
          d={birthOf(x - BAR / 2, top + tall(layer.landing), born, reach)}
        />
      )}
      {dying > 0 && (
        <path class="river-deaths" d={deathOf(x + BAR / 2, bottom - dying, dying, reach)} />
      )}
      <Leading
        {...props}
        mark={`layer ${at}`}
        to={{ view: "find", more: { site: layer.site } }}
        class="river-column"
        title={layer.site}
        facts={factsOf(layer, words, run, at)}
        testid="river-layer"
      >
        <rect class="river-bar-hit" x={x - 10} y={top - 8} width={20} height={height - top} />
        <rect
          class="river-bar"
          x={x - BAR / 2}
          y={top}
          width={BAR}
          height={bottom - top}
          rx={1.5}
        />
      </Leading>
      <g aria-hidden="true" class="river-counts">
        {roomy && born > 0 && (
          <text class="river-count born" x={x - 9} y={top - 34} text-anchor="end">
            {count(layer.births)}
          </text>
        )}
        {roomy && dying > 0 && (
          <text class="river-count dying" x={x + 9} y={bottom + 46}>
            {count(layer.deaths)}
          </text>
        )}
        {counted && (
          <>
            <text class="river-axis here" x={x} y={height - 24} text-anchor="middle">
              {name}
            </text>
            <text class="river-axis" x={x} y={height - 7} text-anchor="middle">
              {count(layer.features)}
            </text>
          </>
        )}
      </g>
    </g>
  );
}

/** What there is to say of a layer: what comes, and what becomes of it. */
function factsOf(
  layer: Layer,
  words: ReturnType<typeof wordsOf>,
  run: Run,
  at: number,
): [string, string][] {
  const facts: [string, number][] = [["features", layer.features]];
  if (at > 0) {
    facts.push([words.begin, layer.births]);
    facts.push([`from ${placeOf(run, run.chain[at - 1])}`, layer.arriving]);
    if (layer.landing) facts.push(["over layers passed over", layer.landing]);
    if (layer.apart) facts.push(["split off", layer.apart]);
  }
  if (at < run.chain.length - 1) {
    facts.push([`go on to ${placeOf(run, run.chain[at + 1])}`, layer.onward]);
    if (layer.passing) facts.push(["pass over it", layer.passing]);
    facts.push([words.end, layer.deaths]);
  }
  return facts
    .filter(([, value]) => !Number.isNaN(value))
    .map(([name, value]) => [name, count(value)]);
}

/** From one layer to the next: what goes on, and of that what splits and merges. */
export function StepBand(props: Shared & { step: Step; at: number; figures: Figures }) {
  const { run, shape, step, at, figures } = props;
  const { xs, bottom, tall, spacing } = shape;
  const a = figures.layers[at];
  const [x0, x1] = [xs[at] + BAR / 2, xs[at + 1] - BAR / 2];
  const top = bottom - tall(a.features) + tall(a.passing);
  const [leaving, arriving] = [tall(step.leaving), tall(step.arriving)];
  if (!step.pair && !leaving) return null;
  const within = (features: number) => Math.min(tall(features), Math.max(leaving, arriving));
  const [splits, parts] = [within(step.splits), within(step.splitParts)];
  const [mergers, merged] = [within(step.mergeParts), within(step.merges)];
  const ends: [number, number] = [bottom - arriving, bottom];
  const middle = (top + leaving / 2 + bottom - arriving / 2) / 2;
  const facts: [string, string][] = [[wordsOf(figures).on, count(step.leaving)]];
  const over = figures.arcs.filter(({ from, to }) => from <= at && to > at + 1);
  const passing = over.reduce((sum, arc) => sum + arc.leaving, 0);
  if (passing) facts.push([`pass over ${placeOf(run, step.b)}`, count(passing)]);
  if (step.pair) {
    facts.push(["matched", percent(step.share)]);
    facts.push(["split", `${count(step.splits)} into ${count(step.splitParts)}`]);
    facts.push(["merge", `${count(step.mergeParts)} into ${count(step.merges)}`]);
  }
  return (
    <>
      <Leading
        {...props}
        mark={`step ${at}`}
        to={{ view: "pair", a: step.a, b: step.b }}
        class="river-step"
        title={`${step.a} → ${step.b}`}
        facts={facts}
        testid="river-step"
      >
        <path class="river-flow" d={band(x0, [top, top + leaving], x1, ends)} />
        {splits > 0 && (
          <path
            class="river-parts"
            d={band(x0, [top, top + splits], x1, [ends[0], Math.min(bottom, ends[0] + parts)])}
          />
        )}
        {mergers > 0 && (
          <path
            class="river-parts"
            d={band(x0, [Math.max(top, top + leaving - mergers), top + leaving], x1, [
              bottom - merged,
              bottom,
            ])}
          />
        )}
        <path class="river-edge" d={level(x0, top, x1, ends[0])} />
        <path class="river-edge" d={level(x0, top + leaving, x1, bottom)} />
      </Leading>
      {spacing > ROOMY && leaving > 15 && (
        <text
          class="river-count on"
          x={(x0 + x1) / 2}
          y={middle + 4}
          text-anchor="middle"
          aria-hidden="true"
        >
          {count(step.leaving)}
        </text>
      )}
    </>
  );
}

/** Tracks that pass over layers, from bar to bar. */
export function ArcMark(props: Shared & { arc: Arc; layers: Layer[] }) {
  const { run, shape, arc, layers } = props;
  const { xs, bottom, tall, arcs } = shape;
  const [x0, x1] = [xs[arc.from], xs[arc.to]];
  const topOf = (at: number) => bottom - tall(layers[at].features);
  const rise = shape.rise(arc);
  const path = archOf(x0, topOf(arc.from), x1, topOf(arc.to), arcs, rise);
  const [from, to] = [run.chain[arc.from], run.chain[arc.to]];
  const over = run.chain.slice(arc.from + 1, arc.to).map((site) => placeOf(run, site));
  const between = over.length < 4 ? over.join(" and ") : `${over.length} layers`;
  const facts: [string, string][] = [[`pass over ${between}`, count(arc.leaving)]];
  if (arc.arriving !== arc.leaving) facts.push(["features that they lead to", count(arc.arriving)]);
  return (
    <Leading
      {...props}
      mark={`arc ${arc.from} ${arc.to}`}
      // without a match of its own, the first of the two is where its features are
      to={
        run.pair(from, to)
          ? { view: "pair", a: from, b: to }
          : { view: "find", more: { site: from } }
      }
      class="river-arc"
      title={`${from} → ${to}`}
      facts={facts}
      testid="river-arc"
    >
      <path class="river-arc-hit" d={path} />
      <path class="river-arc-mark" d={path} style={{ strokeWidth: widthOf(tall(arc.leaving)) }} />
    </Leading>
  );
}

/** The numbers of arcs, over all of them. */
export function ArcCounts({ arcs, shape }: { arcs: readonly Arc[]; shape: Geometry }) {
  if (shape.spacing <= ROOMY) return null;
  return (
    <g aria-hidden="true">
      {arcs.map((arc) => (
        <text
          key={`${arc.from} ${arc.to}`}
          class="river-count passing"
          x={(shape.xs[arc.from] + shape.xs[arc.to]) / 2}
          y={shape.arcs - shape.rise(arc) - 5}
          text-anchor="middle"
        >
          {count(arc.leaving)}
        </text>
      ))}
    </g>
  );
}

/** An SAE of attention or an MLP: how much of the layer it leads to matches one of its features. */
export function SideMark(props: Shared & { side: Side; sides: Side[] }) {
  const { run, shape, side, sides } = props;
  const { xs, bottom, tall, lanes, spacing } = shape;
  const beside = sides.filter(({ to }) => to === side.to).indexOf(side);
  const foot = xs[side.to] - BAR / 2 - 3 - 5 * beside;
  const y = lanes.get(side.lane) ?? bottom;
  const [wide, tallness] = [Math.min(44, spacing * 0.5), 18];
  const x = xs[side.to] - Math.min(34, spacing * 0.34) - wide / 2;
  const layer = run.chain[side.to];
  return (
    <>
      <Leading
        {...props}
        mark={`side ${sides.indexOf(side)}`}
        to={{ view: "pair", a: side.site, b: layer }}
        class="river-module"
        title={`${side.site} → ${layer}`}
        facts={[
          [`of ${count(side.features)} features match`, count(side.matched)],
          [`features of ${placeOf(run, layer)} they lead to`, count(side.reached)],
        ]}
        testid="river-side"
      >
        <g style={{ color: LANES[side.lane] }}>
          <path
            class="river-module-line"
            d={`M${x + wide},${y - 4}C${foot},${y - 4} ${foot},${y - 10} ${foot},${bottom + 3}`}
          />
          <rect
            class="river-module-bracket"
            x={foot - 1.5}
            y={bottom - tall(side.reached)}
            width={3}
            height={tall(side.reached) + 3}
          />
          <rect
            class="river-module-chip"
            x={x}
            y={y - 4 - tallness / 2}
            width={wide}
            height={tallness}
            rx={5}
          />
        </g>
      </Leading>
      {spacing > ROOMY && (
        <text
          class="river-count side"
          x={x + wide / 2}
          y={y}
          text-anchor="middle"
          aria-hidden="true"
        >
          {count(side.reached)}
        </text>
      )}
    </>
  );
}

/** An arc's width: to the scale of the river as far as it stays thin. */
function widthOf(tall: number): number {
  return Math.max(1.5, Math.min(7, tall));
}
