import * as Plot from "@observablehq/plot";
import type { Run } from "../../data/run";
import { figure, percent } from "../../draw/format";
import type { Key } from "../../draw/picture";
import { Chart } from "../../draw/plot";
import { Explained } from "../../parts/explained";
import { Figure } from "../../parts/figure";
import { type Figures, numberOf, type Step } from "./figures";

const TALL = 168;

interface Strip {
  name: string;
  title: string;
  term: string;
  value: (step: Step) => number;
  against?: (step: Step) => number;
  says: string;
  say: (value: number) => string;
  most?: number;
  legend: Key[];
}

const STRIPS: Strip[] = [
  {
    name: "matched",
    title: "Matched share",
    term: "matched",
    value: ({ share }) => share,
    says: "features that match",
    say: percent,
    most: 1,
    legend: [],
  },
  {
    name: "beyond",
    title: "Distance from chance",
    term: "beyond chance",
    value: ({ beyond }) => beyond,
    says: "spreads of chance",
    say: figure,
    legend: [],
  },
  {
    name: "cosine",
    title: "Decoder cosine",
    term: "cosine",
    value: ({ pair }) => numberOf(pair?.summary.median_decoder_cosine),
    against: ({ pair }) => numberOf(pair?.summary.identity_decoder_cosine),
    says: "median of the matches",
    say: figure,
    most: 1,
    legend: [
      { color: "var(--stream)", text: "matches", kind: "dot" },
      { color: "var(--quiet)", text: "feature i with feature i", kind: "line" },
    ],
  },
];

/** What may be compared from step to step: share, distance from chance, cosine. */
export function Strips({ run, figures }: { run: Run; figures: Figures }) {
  const shown = STRIPS.filter(({ value }) =>
    figures.steps.some((step) => !Number.isNaN(value(step))),
  );
  if (!shown.length || figures.steps.length < 2) return null;
  return (
    <div class="strips-row">
      {shown.map((strip) => (
        <Figure
          key={strip.name}
          name={strip.name}
          title={strip.title}
          level={3}
          legend={strip.legend}
          aside={<Explained term={strip.term}>{""}</Explained>}
        >
          <Drawn run={run} figures={figures} strip={strip} />
        </Figure>
      ))}
    </div>
  );
}

function Drawn({ run, figures, strip }: { run: Run; figures: Figures; strip: Strip }) {
  const { value, against, says, say, most } = strip;
  const rows = figures.steps
    .map((step, i) => ({
      i,
      name: `${run.short(step.a)} → ${run.short(step.b)}`,
      value: value(step),
      against: against?.(step) ?? NaN,
    }))
    .filter((row) => !Number.isNaN(row.value));
  const told = rows.map((row) => `${row.name} ${say(row.value)}`).join(", ");
  return (
    <Chart
      label={`${strip.title}, ${says}: ${told}`}
      height={TALL}
      on={[figures]}
      testid={`strip-${strip.name}`}
      options={(width) => {
        const spacing = (width - 60) / figures.steps.length;
        const every = Math.ceil(58 / spacing);
        const last = figures.steps.length - 1;
        return {
          marginLeft: 40,
          marginBottom: 28,
          marginTop: 22,
          x: {
            type: "linear",
            domain: [-0.5, last + 0.5],
            ticks: rows.filter(({ i }) => i % every === 0).map(({ i }) => i),
            tickFormat: (i: number) => nameOf(rows, i),
            label: null,
            tickSize: 0,
          },
          y: {
            domain: [0, most ?? Math.max(...rows.map((row) => row.value)) * 1.12],
            ticks: 4,
            label: null,
            tickSize: 0,
            tickFormat: most === 1 && strip.name === "matched" ? percent : undefined,
            grid: true,
          },
          marks: [
            Plot.ruleX(rows, {
              x: "i",
              y1: 0,
              y2: "value",
              stroke: "var(--stream)",
              strokeOpacity: 0.55,
              strokeWidth: Math.min(10, spacing * 0.3),
            }),
            Plot.ruleY(
              rows.filter((row) => !Number.isNaN(row.against)),
              {
                x1: ({ i }) => i - 0.28,
                x2: ({ i }) => i + 0.28,
                y: "against",
                stroke: "var(--quiet)",
                strokeWidth: 2,
              },
            ),
            Plot.dot(rows, {
              x: "i",
              y: "value",
              r: Math.min(4, spacing * 0.3),
              fill: "var(--stream)",
              tip: { format: { x: false, y: false } },
              title: (row) => `${row.name}\n${say(row.value)} ${says}`,
            }),
            Plot.text(spacing > 40 ? rows : [], {
              x: "i",
              y: "value",
              text: (row) => say(row.value),
              dy: -11,
              fill: "var(--ink)",
            }),
          ],
        };
      }}
    />
  );
}

function nameOf(rows: readonly { i: number; name: string }[], at: number): string {
  return rows.find(({ i }) => i === at)?.name ?? "";
}
