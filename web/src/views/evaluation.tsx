import { max, min } from "d3-array";
import { useMemo } from "preact/hooks";
import { estimatesOf, loadEvaluation, nameOf, usualCarry, type Value } from "../data/evaluation";
import { count, figure } from "../draw/format";
import { Empty, Failure, Loading } from "../parts/notices";
import { Segments } from "../parts/segments";
import { type ColumnOf, Table } from "../parts/table";
import { useLoaded } from "../parts/use";
import { Distances, Estimates, Mark, Quantiles, short } from "./evaluation/plots";
import type { ViewProps } from "./view";
import "./evaluation.css";

const FIRST = 8; // pairs drawn unless all are asked for

/** What the metrics are called, and what says what they mean. */
const METRICS: Record<string, string> = {
  "delta-loss":
    "Nats that predictions lose when the estimate stands in place of the hidden state; 0 costs nothing.",
  "delta-loss less drop's":
    "The same, less what leaving the layers out costs: above 0 is worse than dropping them.",
  "explained variance": "Share of the variance of the hidden state; 1 is all of it.",
  "explained variance per dimension": "The mean over dimensions of the share explained of each.",
  "explained variance, errors centred": "As SAE Match prints it: a constant error is forgiven.",
  "P(j|i)": "Of the tokens on which a feature fires, the share on which its match does.",
  "P(i|j)": "Of the tokens on which a match fires, the share on which the feature does.",
  Jaccard: "Tokens on which both fire, as a share of those on which either does.",
};

export function Evaluation(props: ViewProps) {
  const { data } = props;
  const loaded = useLoaded(() => loadEvaluation(data), []);
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  if (loaded.status !== "ready") return <Loading what="the evaluation" />;
  if (!loaded.value?.length) {
    return (
      <div data-testid="view-evaluation">
        <Empty title="This run has not been evaluated">
          <code>saematch evaluate RUN --model MODEL --text TEXTS</code> measures what hidden states
          carried along matches cost the model, and writes it to the run. Then reload this page.
        </Empty>
      </div>
    );
  }
  return <Values {...props} all={loaded.value} />;
}

function Values(props: ViewProps & { all: readonly Value[] }) {
  const { run, state, go, all } = props;
  const usual = useMemo(() => usualCarry(all), [all]);
  const metrics = Object.keys(METRICS).filter((name) => all.some((one) => one.metric === name));
  const metric = metrics.find((name) => name === state.more.metric) ?? metrics[0];
  const of = useMemo(() => all.filter((one) => one.metric === metric), [all, metric]);
  const texts = useMemo(() => [...new Set(all.map((one) => one.texts))], [all]);
  const distances = [...new Set(of.map((one) => one.skipped))].sort((x, y) => x - y);
  const distance = distances.find((one) => String(one) === state.more.apart) ?? distances[0];
  const there = of.filter((one) => one.skipped === distance);
  const names = useMemo(() => estimatesOf(of, usual), [of, usual]);
  const rows = estimatesOf(there, usual);
  const pairs = pairsOf(there, run.names);
  const shown = state.more.all ? pairs : pairs.slice(0, FIRST);
  const domain = domainOf(there);
  const title = (a: string, b: string) => `${run.short(a)} → ${run.short(b)}`;
  const model = modelOf(run.manifest.evaluation);
  return (
    <div class="eval-view" data-testid="view-evaluation">
      <header class="eval-head">
        <p class="eyebrow">
          Evaluation{model && <> on {model}</>}, {texts.map(short).join(" and ")}, intervals of 95 %
        </p>
        <h1>What matches are worth to the model</h1>
        <div class="eval-choices">
          <label>
            <span class="visually-hidden">Metric</span>
            <select
              class="filter"
              value={metric}
              onChange={(event) => go({ more: { metric: event.currentTarget.value } })}
            >
              {metrics.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
          {distances.length > 1 && (
            <Segments
              label="Blocks left out"
              value={String(distance)}
              choices={distances.map((one) => ({
                value: String(one),
                text: `${one} ${one === 1 ? "block" : "blocks"} left out`,
              }))}
              onChange={(value) => go({ more: { apart: value } })}
            />
          )}
          <ul class="eval-key" aria-label="Text sets">
            {texts.map((text, at) => (
              <li key={text}>
                <svg width="12" height="12" viewBox="-6 -6 12 12" aria-hidden="true">
                  <Mark at={at} />
                </svg>
                {short(text)}
              </li>
            ))}
          </ul>
        </div>
        <p class="aside">{METRICS[metric]}</p>
      </header>
      <h2 class="visually-hidden">Estimates by pair</h2>
      <section class="eval-grid" aria-label="Estimates by pair">
        {shown.map(({ a, b }) => (
          <Estimates
            key={`${a}--${b}`}
            title={title(a, b)}
            values={there.filter((one) => one.a === a && one.b === b)}
            names={rows}
            texts={texts}
            usual={usual}
            domain={domain}
          />
        ))}
      </section>
      {shown.length < pairs.length && (
        <button type="button" class="button" onClick={() => go({ more: { all: 1 } })}>
          Show all {pairs.length} pairs
        </button>
      )}
      {there.some((one) => !Number.isNaN(one.q)) && (
        <section aria-labelledby="eval-quantiles">
          <h2 id="eval-quantiles">The best-matched features sent ahead, the others kept</h2>
          <p class="aside">Dashed: the layer dropped. At q = 1 all features go, as in “match”.</p>
          <div class="eval-grid small">
            {shown.map(({ a, b }) => (
              <Quantiles
                key={`${a}--${b}`}
                title={title(a, b)}
                values={there.filter((one) => one.a === a && one.b === b)}
                texts={texts}
                usual={usual}
                domain={domain}
              />
            ))}
          </div>
        </section>
      )}
      {distances.length > 1 && (
        <section aria-labelledby="eval-distances">
          <h2 id="eval-distances">With distance</h2>
          <p class="aside">Medians over pairs.</p>
          <div class="eval-grid">
            {texts.map((text) => (
              <Distances
                key={text}
                title={short(text)}
                values={of.filter((one) => one.texts === text)}
                names={names.filter((name) => name !== "mean")}
                usual={usual}
              />
            ))}
          </div>
        </section>
      )}
      <Figures {...props} of={of} usual={usual} />
    </div>
  );
}

const COLUMNS = ["pair", "skipped", "texts", "estimate", "q", "value"] as const;

function Figures(props: ViewProps & { of: readonly Value[]; usual: string | null }) {
  const { run, state, go, of, usual } = props;
  const sort = COLUMNS.find((name) => name === state.more.sort) ?? null;
  const descending = state.more.dir === "down";
  const rows = useMemo(() => {
    const key = (one: Value): string | number => {
      if (sort === "pair") return run.names.indexOf(one.a) * 1000 + run.names.indexOf(one.b);
      if (sort === "estimate") return nameOf(one, usual);
      return sort === null ? 0 : one[sort];
    };
    const unknown = (value: string | number) => Number.isNaN(value);
    return [...of].sort((x, y) => {
      const [one, other] = [key(x), key(y)];
      if (unknown(one) || unknown(other)) return Number(unknown(one)) - Number(unknown(other));
      const less = one < other ? -1 : one > other ? 1 : 0;
      return descending ? -less : less;
    });
  }, [of, sort, descending, usual]);
  const number = (key: string, title: string, show: (one: Value) => string, width = "84px") =>
    ({
      key,
      title,
      numeric: true,
      sorts: COLUMNS.includes(key as "q"),
      width,
      show,
    }) as ColumnOf<Value>;
  return (
    <section aria-labelledby="eval-table">
      <h2 id="eval-table">All figures</h2>
      <Table<Value>
        name="evaluation"
        label="Figures of the evaluation"
        columns={[
          {
            key: "pair",
            title: "Pair",
            sorts: true,
            width: "24%",
            show: (one) => `${one.a} → ${one.b}`,
          },
          {
            key: "texts",
            title: "Texts",
            sorts: true,
            width: "9%",
            show: (one) => short(one.texts),
          },
          { key: "estimate", title: "Estimate", sorts: true, show: (one) => nameOf(one, usual) },
          number("skipped", "Left out", (one) => count(one.skipped)),
          number("q", "q", (one) => (Number.isNaN(one.q) ? "" : String(one.q)), "64px"),
          number("value", "Value", (one) => figure(one.value)),
          number("low", "Low", (one) => figure(one.low)),
          number("high", "High", (one) => figure(one.high)),
          number("tokens", "Tokens", (one) => count(one.tokens)),
        ]}
        count={rows.length}
        row={(index) => rows[index]}
        sort={sort}
        descending={descending}
        onSort={(key) =>
          go({ more: { sort: key, dir: sort === key && !descending ? "down" : null } })
        }
        height={480}
        testid="evaluation-table"
      />
    </section>
  );
}

function pairsOf(values: readonly Value[], order: readonly string[]) {
  const found = new Map(values.map(({ a, b }) => [`${a}--${b}`, { a, b }]));
  return [...found.values()].sort(
    (x, y) => order.indexOf(x.a) - order.indexOf(y.a) || order.indexOf(x.b) - order.indexOf(y.b),
  );
}

/** The range of what is drawn; the mean of the hidden states costs so much that it may lie beyond. */
function domainOf(values: readonly Value[]): [number, number] {
  const near = values.filter((one) => one.estimate !== "mean");
  const used = near.length ? near : values;
  const low = min(used, (one) => (Number.isNaN(one.low) ? one.value : one.low)) ?? 0;
  const high = max(used, (one) => (Number.isNaN(one.high) ? one.value : one.high)) ?? 1;
  return [Math.min(0, low), Math.max(0, high)];
}

function modelOf(section: { [more: string]: unknown } | undefined): string | null {
  const options = section?.options as { model?: unknown } | undefined;
  return typeof options?.model === "string" ? options.model : null;
}
