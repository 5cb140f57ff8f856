import { useMemo } from "preact/hooks";
import {
  estimatesOf,
  loadEvaluation,
  nameOf,
  rangeOf,
  usualCarry,
  type Value,
} from "../data/evaluation";
import { Figure } from "../parts/figure";
import { Empty, Failure, Loading } from "../parts/notices";
import { Segments } from "../parts/segments";
import { useLoaded } from "../parts/use";
import { FindingOf } from "./evaluation/finding";
import { METRICS } from "./evaluation/metrics";
import {
  Distances,
  Estimate,
  isShare,
  keyOf,
  Quantiles,
  rangeOfShares,
  Summary,
  short,
} from "./evaluation/plots";
import { Figures } from "./evaluation/values";
import type { ViewProps } from "./view";
import "./evaluation.css";

const FIRST = 8; // pairs drawn unless all are asked for

/** What matches are worth to the model: the finding, its plots, all its figures. */
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
  const metrics = useMemo(() => {
    const found = new Set(all.map((one) => one.metric));
    return [...Object.keys(METRICS).filter((name) => found.delete(name)), ...found];
  }, [all]);
  const metric = metrics.find((name) => name === state.more.metric) ?? metrics[0];
  const of = useMemo(() => all.filter((one) => one.metric === metric), [all, metric]);
  const texts = useMemo(() => [...new Set(all.map((one) => one.texts))], [all]);
  const distances = [...new Set(of.map((one) => one.skipped))].sort((x, y) => x - y);
  const distance = distances.find((one) => String(one) === state.more.apart) ?? distances[0];
  const there = useMemo(() => of.filter((one) => one.skipped === distance), [of, distance]);
  const whole = useMemo(() => there.filter((one) => Number.isNaN(one.q)), [there]);
  const domain = useMemo(() => rangeOf(whole), [whole]);
  const shares = useMemo(() => rangeOfShares(there, usual), [there, usual]);
  const rows = estimatesOf(there, usual);
  const titled = (a: string, b: string) => `${run.short(a)} → ${run.short(b)}`;
  const pairs = pairsOf(there, run.names).map((pair) => ({
    ...pair,
    title: titled(pair.a, pair.b),
  }));
  const shown = state.more.all ? pairs : pairs.slice(0, FIRST);
  const model = modelOf(run.manifest.evaluation);
  const kinds = [
    { color: "var(--accent)", text: "made of matches" },
    { color: "var(--quiet)", text: "baseline" },
  ];
  const legend = [...keyOf(texts), ...kinds];
  const { title: metricTitle, means } = METRICS[metric] ?? { title: metric, means: "" };
  return (
    <div class="eval-view" data-testid="view-evaluation">
      <header>
        <p class="eyebrow">
          Evaluation
          {model && (
            <>
              {" "}
              on <bdi>{model}</bdi>
            </>
          )}
        </p>
        <h1>What are matches worth to the model?</h1>
        <FindingOf
          values={all.filter((one) => one.skipped === distance)}
          usual={usual}
          texts={texts}
          distance={distances.length > 1 ? distance : null}
        />
        <div class="eval-choices">
          <label>
            <span class="visually-hidden">Metric</span>
            <select
              class="filter"
              value={metric}
              onChange={(event) => go({ more: { metric: event.currentTarget.value } })}
            >
              {metrics.map((name) => (
                <option key={name} value={name}>
                  {METRICS[name]?.title ?? name}
                </option>
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
        </div>
        <p class="aside">{means}</p>
      </header>
      <section>
        <Figure
          name={`evaluation-${metric}`}
          title={`${metricTitle}: all pairs at a glance`}
          legend={
            rows.includes("drop")
              ? [
                  ...legend,
                  { color: "var(--ink)", text: "median of dropping the layers", kind: "dash" },
                ]
              : legend
          }
        >
          <div class="eval-grid wide">
            {texts.map((text, at) => (
              <Summary
                key={text}
                texts={text}
                at={at}
                values={whole.filter((one) => one.texts === text)}
                names={rows}
                usual={usual}
                domain={domain}
                title={(one) => titled(one.a, one.b)}
              />
            ))}
          </div>
        </Figure>
        <p class="aside">
          A mark for each pair of SAEs, and at the right the median over pairs. What lies beyond the
          axis is written at its end.
        </p>
      </section>
      <section>
        <Figure
          name={`evaluation-pairs-${metric}`}
          title="Pair by pair, with 95 % intervals"
          legend={legend}
        >
          <div class="eval-grid">
            {rows.map((name) => (
              <Estimate
                key={name}
                name={name}
                values={whole.filter((one) => nameOf(one, usual) === name)}
                pairs={shown}
                texts={texts}
                domain={domain}
              />
            ))}
          </div>
        </Figure>
        <p class="aside">
          Intervals are over examples of text; one that ends in an arrow goes on beyond the axis.
        </p>
        {shown.length < pairs.length && (
          <button type="button" class="button" onClick={() => go({ more: { all: 1 } })}>
            Show all {pairs.length} pairs
          </button>
        )}
      </section>
      {there.some((one) => isShare(one, usual)) && (
        <section>
          <Figure
            name={`evaluation-shares-${metric}`}
            title="The best-matched features sent ahead, the others kept"
            legend={[
              ...keyOf(texts),
              { color: "var(--accent)", text: "dropping the layers", kind: "dash" },
            ]}
          >
            <div class="eval-grid small">
              {shown.map(({ a, b, title }) => (
                <Quantiles
                  key={title}
                  title={title}
                  values={there.filter((one) => one.a === a && one.b === b)}
                  texts={texts}
                  usual={usual}
                  domain={shares}
                />
              ))}
            </div>
          </Figure>
          <p class="aside">At q = 1 all features go, as along matches above.</p>
        </section>
      )}
      {distances.length > 1 && (
        <section>
          <Figure
            name={`evaluation-distances-${metric}`}
            title="With distance: medians over pairs"
            legend={kinds}
          >
            <div class="eval-grid wide">
              {texts.map((text) => (
                <Distances
                  key={text}
                  title={short(text)}
                  values={of.filter((one) => one.texts === text)}
                  names={estimatesOf(of, usual)}
                  usual={usual}
                />
              ))}
            </div>
          </Figure>
        </section>
      )}
      <Figures {...props} of={of} usual={usual} metric={metric} />
    </div>
  );
}

function pairsOf(values: readonly Value[], order: readonly string[]) {
  const found = new Map(values.map(({ a, b }) => [`${a}--${b}`, { a, b }]));
  return [...found.values()].sort(
    (x, y) => order.indexOf(x.a) - order.indexOf(y.a) || order.indexOf(x.b) - order.indexOf(y.b),
  );
}

function modelOf(section: { [more: string]: unknown } | undefined): string | null {
  const options = section?.options as { model?: unknown } | undefined;
  return typeof options?.model === "string" ? options.model : null;
}
