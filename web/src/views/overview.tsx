import type { Explorer } from "../data/explorer";
import { type Mode, type Pair, type Run, testedOf } from "../data/run";
import { count, figure, percent, several } from "../draw/format";
import { Empty, Failure, Loading } from "../parts/notices";
import { Segments } from "../parts/segments";
import { latest, useLoaded, useWidth } from "../parts/use";
import { changed, type State, writeHash } from "../state";
import { figuresOf } from "./overview/figures";
import { Lengths, SurvivalCurves } from "./overview/lifespans";
import { River } from "./overview/river";
import { Strips } from "./overview/strips";
import type { ViewProps } from "./view";
import "./overview.css";

/** How features flow through the model, in one look. */
export function Overview({ run, data, explorer, state, go }: ViewProps) {
  const asked = state.more.mode as Mode;
  const mode = run.modes.includes(asked) ? asked : (run.modes[0] ?? null);
  const loaded = useLoaded(() => figuresOf(run, data, explorer, mode), [mode]);
  const figures = latest(loaded);
  const [ref, width] = useWidth<HTMLDivElement>();
  const [left, leftWidth] = useWidth<HTMLDivElement>();
  const [right, rightWidth] = useWidth<HTMLDivElement>();
  return (
    <div class="overview" data-testid="view-overview">
      <Head run={run} explorer={explorer} mode={mode} />
      {run.modes.length > 1 && mode && (
        <Segments
          label="Tracks"
          value={mode}
          choices={run.modes.map((value) => ({ value, text: value }))}
          onChange={(value) => go({ more: { mode: value } })}
        />
      )}
      {loaded.status === "error" && <Failure error={loaded.error} />}
      {run.pairs.length === 0 && (
        <Empty title="No pair is matched yet">
          The run is unfinished: repeat the command that began it, then reload this page.
        </Empty>
      )}
      <section class="flow" ref={ref} aria-label="Flow">
        {!figures && loaded.status === "loading" && <Loading what="the flow" />}
        {figures && width > 0 && run.chain.length > 1 && (
          <>
            <River run={run} figures={figures} width={width} state={state} go={go} />
            <Strips run={run} figures={figures} width={width} />
          </>
        )}
      </section>
      {(figures === undefined || figures.survival.length > 0) && (
        <div class="two">
          <section ref={left}>
            <h2>Still alive, % of the tracks that start at a layer</h2>
            {figures && <SurvivalCurves run={run} figures={figures} width={leftWidth} />}
          </section>
          <section ref={right}>
            <h2>How long tracks live</h2>
            {figures && <Lengths figures={figures} width={rightWidth} />}
          </section>
        </div>
      )}
      <section>
        <h2>Pairs</h2>
        <Pairs run={run} state={state} />
      </section>
    </div>
  );
}

function Head({ run, explorer, mode }: { run: Run; explorer: Explorer; mode: Mode | null }) {
  const { manifest } = run;
  const flow = mode ? manifest.flow?.modes[mode] : undefined;
  const facts: [string, string][] = [
    ["SAEs", count(run.saes.length)],
    ["features", count(explorer.index.nodes)],
    ["method", String(manifest.options.method ?? "–")],
  ];
  if (flow) {
    facts.push(
      ["tracks of two layers or more", count(flow.longer_than_one)],
      ["mean lifespan", `${figure(flow.mean_length)} layers`],
      ["through all layers", count(flow.whole)],
    );
  }
  return (
    <header class="life-head">
      <p class="eyebrow">
        <bdi>{run.model || "a model"}</bdi>
      </p>
      <h1>How features flow</h1>
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </header>
  );
}

function Pairs({ run, state }: { run: Run; state: State }) {
  const steps = new Set(run.steps.map(({ a, b }) => `${a}--${b}`));
  const adjacent = ({ a, b }: Pair) => steps.has(`${a}--${b}`);
  const [near, far] = [run.pairs.filter(adjacent), run.pairs.filter((pair) => !adjacent(pair))];
  if (!near.length) return <PairTable label="Pairs of SAEs" pairs={far} state={state} />;
  return (
    <>
      <PairTable label="Pairs of neighbours" pairs={near} state={state} />
      {far.length > 0 && (
        <details class="further">
          <summary>{several(far.length, "pair")} of other layers and modules</summary>
          <PairTable label="Other pairs" pairs={far} state={state} />
        </details>
      )}
    </>
  );
}

function PairTable(props: { label: string; pairs: readonly Pair[]; state: State }) {
  const { label, pairs, state } = props;
  return (
    <div class="wide-table">
      <table class="plain pairs" aria-label={label} data-testid="overview-pairs">
        <thead>
          <tr>
            <th scope="col">pair</th>
            <th scope="col" class="numeric">
              matched
            </th>
            <th scope="col" class="numeric">
              share
            </th>
            <th
              scope="col"
              class="numeric"
              title="median of what was tested: the score, or the mean cosine of the views"
            >
              tested
            </th>
            <th scope="col" class="numeric" title="median of what features reach by chance">
              by chance
            </th>
            <th scope="col" class="numeric" title="median decoder cosine of the matches">
              cosine
            </th>
            <th scope="col" class="numeric" title="the same if feature i went to feature i">
              i to i
            </th>
            <th scope="col" class="numeric" title="share of the matches that are each other's best">
              mutual
            </th>
          </tr>
        </thead>
        <tbody>
          {pairs.map(({ a, b, summary }) => (
            <tr key={`${a}--${b}`} class="match">
              <td>
                <a href={writeHash(changed(state, { view: "pair", a, b }))}>
                  <bdi class="site">{a}</bdi> → <bdi class="site">{b}</bdi>
                </a>
              </td>
              <td class="numeric">{count(summary.matched)}</td>
              <td class="numeric">
                {percent(summary.matched / (summary.features_a - summary.excluded_a))}
              </td>
              <td class="numeric">{figure(testedOf(summary).median)}</td>
              <td class="numeric">{figure(testedOf(summary).chance)}</td>
              <td class="numeric">{figure(summary.median_decoder_cosine as number | null)}</td>
              <td class="numeric">{figure(summary.identity_decoder_cosine as number | null)}</td>
              <td class="numeric">{percent(summary.mutual_share)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
