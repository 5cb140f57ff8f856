import { composedTargets, loadMatches, wayOf } from "../data/matches";
import { type Pair as RunPair, testedOf } from "../data/run";
import { count, figure, percent } from "../draw/format";
import { Empty, Failure, Loading } from "../parts/notices";
import { latest, useLoaded } from "../parts/use";
import { Choice } from "./pair/choice";
import { Histogram } from "./pair/histogram";
import { Lists } from "./pair/lists";
import { Matrix } from "./pair/matrix";
import { Ways } from "./pair/ways";
import type { ViewProps } from "./view";
import "./pair.css";

/** Two SAEs: how well their features match, and which do. */
export function Pair(props: ViewProps) {
  const { run, state, go } = props;
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
      <aside class="pair-side">
        <h2>Pairs</h2>
        <Matrix
          run={run}
          a={pair?.a ?? state.a ?? ""}
          b={pair?.b ?? state.b ?? ""}
          state={state}
          go={go}
        />
        <p class="aside">
          From the SAE of the row to that of the column; the stronger, the more match.
        </p>
      </aside>
      {pair ? (
        <OfPair key={`${pair.a}--${pair.b}`} {...props} pair={pair} />
      ) : (
        <Empty title={`The run has no pair ${state.a} to ${state.b}`}>
          Choose one on the left; saematch flow --pairs all matches every two SAEs of a stream.
        </Empty>
      )}
    </div>
  );
}

function OfPair(props: ViewProps & { pair: RunPair }) {
  const { run, data, explorer, pair } = props;
  const { a, b } = pair;
  const way = wayOf(run, a, b);
  const loaded = useLoaded(
    () =>
      Promise.all([
        loadMatches(data, explorer, a, b),
        data.nulls(a, b),
        way && data.flowTable("composition"),
        way && composedTargets(data, way),
      ]),
    [a, b],
  );
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  const value = latest(loaded);
  if (!value?.[0]) return <Loading what={`${a} to ${b}`} />;
  const [matches, nulls, composition, over] = value;
  return (
    <div class="pair-main">
      <header class="pair-head">
        <h1>
          <bdi class="site">{a}</bdi>{" "}
          <span role="img" aria-label="to">
            →
          </span>{" "}
          <bdi class="site">{b}</bdi>
        </h1>
        <Figures pair={pair} />
        {pair.notes.map((note) => (
          <p key={note} class="aside">
            {note}
          </p>
        ))}
      </header>
      <div class="pair-plots">
        <section aria-labelledby="pair-scores">
          <h2 id="pair-scores">Matches beside chance</h2>
          <Histogram nulls={nulls} matches={matches} tested={testedOf(pair.summary)} />
          {way && (
            <>
              <h2>Step by step, or direct</h2>
              <Ways composition={composition} a={a} b={b} steps={way.length - 1} />
            </>
          )}
        </section>
        <Choice {...props} matches={matches} />
      </div>
      <Lists {...props} matches={matches} over={over} />
    </div>
  );
}

/** The figures of a pair that say most, each beside what it is to be compared with. */
function Figures({ pair }: { pair: RunPair }) {
  const s = pair.summary;
  const tested = testedOf(s);
  const used = s.features_a - s.excluded_a;
  const number = (name: string) => (typeof s[name] === "number" ? (s[name] as number) : null);
  const shown: [string, string, string][] = [
    ["matched", percent(used ? s.matched / used : null), `${count(s.matched)} of ${count(used)}`],
    [`median ${tested.name}`, figure(tested.median), `by chance ${figure(tested.chance)}`],
    [
      "median cosine",
      figure(number("median_decoder_cosine")),
      `i to i ${figure(number("identity_decoder_cosine"))}`,
    ],
    ["each other’s best", percent(s.mutual_share), "of the matches"],
  ];
  return (
    <dl class="figures">
      {shown.map(([name, value, beside]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {value} <small>{beside}</small>
          </dd>
        </div>
      ))}
    </dl>
  );
}
