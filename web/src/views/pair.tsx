import { composedTargets, loadMatches, wayOf } from "../data/matches";
import { loadCounts } from "../data/relations";
import { type Pair as RunPair, testedOf } from "../data/run";
import { Empty, Failure, Loading } from "../parts/notices";
import { latest, useLoaded, useWidth } from "../parts/use";
import { Choice } from "./pair/choice";
import { Head } from "./pair/head";
import { Histogram } from "./pair/histogram";
import { useLabels } from "./pair/labels";
import { AllPairs } from "./pair/matrix";
import { Sections } from "./pair/sections";
import type { ViewProps } from "./view";
import "./pair.css";

/** Two SAEs: how well their features match, and which do. */
export function Pair(props: ViewProps) {
  const { run, state } = props;
  if (!run.pairs.length) {
    return (
      <Empty title="The run has no pairs yet">
        saematch match A B, or saematch flow, makes them.
      </Empty>
    );
  }
  const first = run.steps.find((step) => step.pair)?.pair ?? run.pairs[0];
  const asked = state.a && state.b;
  const pair = asked ? run.pair(state.a as string, state.b as string) : first;
  return (
    <div class="pair-view" data-testid="view-pair">
      {pair ? (
        <OfPair key={`${pair.a}--${pair.b}`} {...props} pair={pair} />
      ) : (
        <>
          <AllPairs {...props} a={state.a ?? ""} b={state.b ?? ""} />
          <Empty title={`The run has no pair ${state.a} to ${state.b}`}>
            Choose one above; saematch flow --pairs all matches every two SAEs of a stream.
          </Empty>
        </>
      )}
    </div>
  );
}

function OfPair(props: ViewProps & { pair: RunPair }) {
  const { run, data, explorer, pair } = props;
  const { a, b } = pair;
  const [box, width] = useWidth<HTMLDivElement>();
  const way = wayOf(run, a, b);
  const label = useLabels(run, explorer, pair, props.state.more.list === "origins");
  const loaded = useLoaded(
    () =>
      Promise.all([
        loadMatches(data, explorer, a, b),
        data.nulls(a, b),
        way && data.flowTable("composition"),
        way && composedTargets(data, way),
        loadCounts(explorer, a, b),
      ]),
    [a, b],
  );
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  const value = latest(loaded);
  // room for the first matches on a small screen
  const height = width >= 1500 ? 280 : 196;
  return (
    <div ref={box}>
      {value?.[0] ? (
        <>
          <Head pair={pair} matches={value[0]} />
          <div class="pair-plots">
            <AllPairs {...props} a={a} b={b} />
            <Histogram
              pair={pair}
              nulls={value[1]}
              matches={value[0]}
              tested={testedOf(pair.summary)}
              height={height}
            />
            <Choice {...props} matches={value[0]} height={height} />
          </div>
          <Sections
            {...props}
            matches={value[0]}
            composition={value[2]}
            over={value[3]}
            groups={value[4]}
            label={label}
            steps={way ? way.length - 1 : null}
          />
        </>
      ) : (
        <Loading what={`${a} to ${b}`} />
      )}
    </div>
  );
}
