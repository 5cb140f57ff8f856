import * as Plot from "@observablehq/plot";
import type { Run } from "../../data/run";
import { count, figure, percent, several } from "../../draw/format";
import { Chart } from "../../draw/plot";
import { Explained } from "../../parts/explained";
import { Figure } from "../../parts/figure";
import { type Figures, meanLifespan } from "./figures";

const TALL = 264;
const DRAWN = 8; // curves; of more starting layers, every so many are drawn
const ROWS = 12; // lifespans that stand in rows of their own

/** The share of the tracks that start at each layer which still live at each later one. */
export function SurvivalCurves({ run, figures }: { run: Run; figures: Figures }) {
  const curves = figures.survival.filter(({ points }) => points.length > 1);
  if (!curves.length) return null;
  const every = Math.ceil(curves.length / DRAWN);
  const drawn = curves.filter((_, i) => i % every === 0);
  const place = new Map(run.chain.map((site, i) => [site, i]));
  const rows = drawn.flatMap(({ start, points }, i) =>
    points.map((point) => ({
      ...point,
      start,
      x: place.get(point.site) ?? 0,
      strength: 1 - (0.55 * i) / Math.max(1, drawn.length - 1),
    })),
  );
  const starts = rows.filter(({ steps }) => steps === 0);
  const roomy = (width: number) => width > 84 * starts.length;
  return (
    <Figure
      name="survival"
      title="Still alive, by the layer they start at"
      legend={[
        {
          color: "var(--stream)",
          kind: "line",
          text:
            every > 1
              ? `a line for every ${ordinal(every)} layer, from where its tracks start`
              : "a line for each layer, from where its tracks start",
        },
      ]}
      aside={<Explained term="lifespan">{""}</Explained>}
    >
      <Chart
        label={`Share of tracks alive, by starting layer: ${drawn.map(({ start, points }) => `of those from ${start}, ${percent(points[points.length - 1].share)} reach ${points[points.length - 1].site}`).join("; ")}`}
        height={TALL}
        on={[figures]}
        testid="survival"
        options={(width) => ({
          marginLeft: 46,
          marginRight: 46,
          marginTop: 26,
          marginBottom: 40,
          x: {
            domain: [0, run.chain.length - 1],
            ticks: ticksOf(run.chain.length, width - 92),
            tickFormat: (i: number) => run.short(run.chain[i]),
            label: "layer",
            labelArrow: "none",
            labelAnchor: "center",
          },
          y: {
            domain: [0, 1],
            ticks: 5,
            tickFormat: percent,
            grid: true,
            label: null,
          },
          marks: [
            Plot.line(rows, {
              x: "x",
              y: "share",
              z: "start",
              stroke: "var(--stream)",
              strokeWidth: 2,
              strokeOpacity: "strength",
            }),
            Plot.dot(rows, {
              x: "x",
              y: "share",
              r: run.chain.length > 20 ? 1.5 : 3,
              fill: "var(--stream)",
              fillOpacity: "strength",
              tip: { format: { x: false, y: false, fillOpacity: false } },
              title: (row) =>
                `${percent(row.share)} of those from ${row.start} reach ${row.site}\n` +
                `${count(row.alive)} of ${several(row.started, "track")}`,
            }),
            Plot.text(starts, {
              x: "x",
              y: "share",
              text: ({ start }) => `${roomy(width) ? "from " : ""}${run.short(start)}`,
              dy: -12,
              fill: "var(--ink)",
            }),
            Plot.text(
              rows.filter(({ x, steps }) => x === run.chain.length - 1 && steps > 0).slice(0, 1),
              {
                x: "x",
                y: "share",
                text: ({ share }) => percent(share),
                dx: 8,
                textAnchor: "start",
                fill: "var(--ink)",
              },
            ),
          ],
          opacity: { type: "identity" },
        })}
      />
    </Figure>
  );
}

/** How many tracks live for how many layers. */
export function Lengths({ figures }: { figures: Figures }) {
  const { lengths } = figures;
  const total = lengths.reduce((sum, { tracks }) => sum + tracks, 0);
  if (!total) return null;
  const longer = total - (lengths.find(({ layers }) => layers === 1)?.tracks ?? 0);
  const rows = lengths.length <= ROWS;
  return (
    <Figure
      name="lifespans"
      title="How long tracks live"
      aside={<Explained term="track">{""}</Explained>}
    >
      <p class="lengths-said" data-testid="lifespan-facts">
        {several(total, "track")}, {count(longer)} of two layers or more; mean lifespan{" "}
        {figure(meanLifespan(lengths))} layers
      </p>
      <Chart
        label={`Lifespans: ${lengths.map(({ layers, tracks }) => `${count(tracks)} of ${several(layers, "layer")}`).join(", ")}`}
        height={TALL - 32}
        on={[figures]}
        testid="lifespans"
        options={() => (rows ? inRows(lengths, total) : inColumns(lengths))}
      />
    </Figure>
  );
}

function inRows(lengths: Figures["lengths"], total: number): Plot.PlotOptions {
  return {
    marginLeft: 66,
    marginRight: 92,
    marginTop: 4,
    marginBottom: 6,
    x: { axis: null },
    y: {
      type: "band",
      padding: 0.28,
      label: null,
      tickSize: 0,
      tickFormat: (layers: number) => several(layers, "layer"),
    },
    marks: [
      Plot.barX(lengths, {
        x: "tracks",
        y: "layers",
        fill: ({ layers }) => (layers > 1 ? "var(--stream)" : "var(--quiet)"),
        rx: 2,
      }),
      Plot.text(lengths, {
        x: "tracks",
        y: "layers",
        text: ({ tracks }) => `${count(tracks)}  ·  ${percent(tracks / total)}`,
        textAnchor: "start",
        dx: 7,
        fill: "var(--ink)",
      }),
    ],
  };
}

/** Of many lifespans, by the square root of the number: the few that live long are seen, too. */
function inColumns(lengths: Figures["lengths"]): Plot.PlotOptions {
  const last = lengths[lengths.length - 1].layers;
  return {
    marginLeft: 56,
    marginTop: 40,
    marginBottom: 40,
    x: { label: "layers", labelArrow: "none", labelAnchor: "center", ticks: 8 },
    y: {
      type: "sqrt",
      grid: true,
      label: "tracks, square-root scale",
      labelArrow: "none",
      ticks: 3,
    },
    marks: [
      Plot.rectY(lengths, {
        x1: ({ layers }) => layers - 0.4,
        x2: ({ layers }) => layers + 0.4,
        y: "tracks",
        fill: ({ layers }) => (layers > 1 ? "var(--stream)" : "var(--quiet)"),
        tip: { format: { x: false, y: false, fill: false } },
        title: ({ layers, tracks }) => `${several(tracks, "track")} of ${several(layers, "layer")}`,
      }),
      Plot.text(
        lengths.filter(({ layers }) => layers === 1 || layers === last),
        {
          x: "layers",
          y: "tracks",
          text: ({ tracks }) => count(tracks),
          dy: -8,
          fill: "var(--ink)",
        },
      ),
    ],
  };
}

/** Every so many places of a chain, as many as there is room to name. */
function ticksOf(places: number, width: number): number[] {
  const every = Math.max(1, Math.ceil((44 * places) / Math.max(1, width)));
  return Array.from({ length: places }, (_, i) => i).filter((i) => i % every === 0);
}

function ordinal(number: number): string {
  return number === 2 ? "second" : number === 3 ? "third" : `${number}th`;
}
