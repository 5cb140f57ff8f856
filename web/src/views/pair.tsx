import { useMemo } from "preact/hooks";
import {
  brushed,
  composedTargets,
  differing,
  listed,
  LISTS,
  loadLabels,
  loadMatches,
  readBrush,
  sorted,
  wayOf,
  writeBrush,
  type List,
  type Matches,
} from "../data/matches";
import type { Pair as RunPair } from "../data/run";
import { count, figure, percent, pValue } from "../draw/format";
import { Histogram } from "./pair/histogram";
import { Matrix } from "./pair/matrix";
import { axesOf, BrushFields, Scatter } from "./pair/scatter";
import { Ways } from "./pair/ways";
import { FeatureChip } from "../parts/chip";
import { ContextList } from "../parts/contexts";
import { Empty, Failure, Loading } from "../parts/notices";
import { Segments } from "../parts/segments";
import { VirtualTable, type ColumnOf } from "../parts/table";
import { latest, useLoaded } from "../parts/use";
import { changed, writeHash } from "../state";
import type { ViewProps } from "./view";
import "./pair.css";

/** One short sentence for each list: what it is. */
const SAYING: Record<List, string> = {
  best: "Accepted matches, the highest score first.",
  worst: "Accepted matches, the lowest score first: where acceptance begins.",
  missed: "Targets that were assigned and not accepted, the least p-value first.",
  apart: "Matches that rank much higher by how they fire than by where they point.",
  alike: "Matches that point alike and rank much lower by how they fire.",
  second: "Matches in which the target is not the feature’s best, or the feature not the target’s.",
  differ: "Matches that the steps over the layers between lead to another feature.",
  brush: "Features in the part of the scatter that is chosen.",
};

const TITLES: Record<List, string> = {
  best: "Best",
  worst: "Weakest",
  missed: "Just missed",
  apart: "Fire alike, point apart",
  alike: "Point alike, fire apart",
  second: "Not each other’s best",
  differ: "Steps disagree",
  brush: "Chosen in the scatter",
};

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
        <p class="aside">From the layer of the row to that of the column; the stronger, the more match.</p>
      </aside>
      {pair ? (
        <OfPair key={`${pair.a}--${pair.b}`} {...props} pair={pair} />
      ) : (
        <Empty title={`The run has no pair ${state.a} to ${state.b}`}>
          Choose one on the left; saematch flow --pairs all matches every two layers.
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
          {a} <span aria-label="to">→</span> {b}
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
          <h2 id="pair-scores">Scores beside chance</h2>
          <Histogram nulls={nulls} matches={matches} nullScore={pair.summary.null_score} />
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
  const used = s.features_a - s.excluded_a;
  const number = (name: string) => (typeof s[name] === "number" ? (s[name] as number) : null);
  const shown: [string, string, string][] = [
    ["matched", percent(used ? s.matched / used : null), `${count(s.matched)} of ${count(used)}`],
    ["median score", figure(s.median_score), `by chance ${figure(s.null_score)}`],
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

function Choice({ state, go, matches }: ViewProps & { matches: Matches }) {
  const axes = useMemo(() => axesOf(matches), [matches]);
  const brush = useMemo(() => readBrush(state.more.brush), [state.more.brush]);
  const assigned = matches.target.filter((target) => target >= 0).length;
  const known = axes.y.filter((value, i) => matches.target[i] >= 0 && !Number.isNaN(value)).length;
  return (
    <section aria-labelledby="pair-scatter">
      <h2 id="pair-scatter">
        Pointing and firing
        <small>
          {" "}
          <i class="key accent" /> matched <i class="key" /> not accepted. Drag to list a part.
        </small>
      </h2>
      <Scatter
        matches={matches}
        axes={axes}
        brush={brush}
        picked={numberOf(state.more.pick)}
        theme={document.documentElement.dataset.theme + (state.more.theme ?? "")}
        onPick={(row) => go({ more: { pick: row } })}
        onBrush={(next, done) =>
          go(
            {
              more: next
                ? { brush: writeBrush(next), list: "brush", sort: null, dir: null }
                : { brush: null, list: null },
            },
            { replace: !done },
          )
        }
      />
      {matches.pearson && known < assigned && (
        <p class="aside">
          {count(known)} of {count(assigned)} features: of the others the correlation with their target
          is not among those the run keeps.
        </p>
      )}
      <BrushFields
        axes={axes}
        brush={brush}
        onBrush={(next) =>
          go({
            more: next
              ? { brush: writeBrush(next), list: "brush", sort: null, dir: null }
              : { brush: null, list: null },
          })
        }
      />
    </section>
  );
}

function Lists(props: ViewProps & { matches: Matches; over: Float64Array | null }) {
  const { explorer, state, go, pair, matches, over } = props as typeof props & { pair: RunPair };
  const { a, b } = pair;
  const axes = useMemo(() => axesOf(matches), [matches]);
  const brush = useMemo(() => readBrush(state.more.brush), [state.more.brush]);
  const orders = useMemo(() => {
    const all = {} as Record<List, number[]>;
    for (const list of LISTS) {
      if (list === "brush") all[list] = brush ? brushed(matches, axes.x, axes.y, brush) : [];
      else if (list === "differ") all[list] = over ? differing(matches, over) : [];
      else all[list] = listed(matches, list);
    }
    return all;
  }, [matches, over, brush]);
  const there = LISTS.filter((list) => orders[list].length || (list === "brush" && brush));
  const wanted = LISTS.find((list) => list === state.more.list);
  const list = wanted && there.includes(wanted) ? wanted : (there[0] ?? "best");
  const labels = useLoaded(
    () => Promise.all([loadLabels(explorer, a), loadLabels(explorer, b)]),
    [a, b],
  );
  const known = latest(labels);
  const label = (site: string, feature: number) => known?.[site === a ? 0 : 1][feature] ?? null;
  const by: Record<string, Float64Array | null> = {
    feature: useMemo(() => matches.target.map((_, i) => i), [matches]),
    target: matches.target,
    score: matches.score,
    p: matches.p,
    cosine: matches.cosine,
    pearson: matches.pearson,
    rank: useMemo(
      () => matches.rankInRow.map((rank, i) => Math.max(rank, matches.rankInColumn[i])),
      [matches],
    ),
  };
  const sort = state.more.sort && by[state.more.sort] ? state.more.sort : null;
  const descending = state.more.dir !== "up";
  const order = useMemo(
    () => (sort ? sorted(orders[list], by[sort] as Float64Array, descending) : orders[list]),
    [orders, list, sort, descending],
  );
  const asked = numberOf(state.more.pick);
  const picked = asked !== null && asked < matches.length ? asked : (order[0] ?? null);
  const columns: ColumnOf<number>[] = [
    {
      key: "feature",
      title: a,
      sorts: true,
      show: (i) => <Named feature={i} label={label(a, i)} strong={i === picked} />,
    },
    {
      key: "target",
      title: b,
      sorts: true,
      show: (i) => (
        <Named
          feature={matches.target[i]}
          label={label(b, matches.target[i])}
          strong={i === picked}
        />
      ),
    },
    numeric("score", "Score", (i) => figure(matches.score[i])),
    { ...numeric("p", "p", (i) => pValue(matches.p[i])), width: "88px" },
    numeric("cosine", "Cosine", (i) => figure(matches.cosine[i])),
  ];
  if (matches.pearson) {
    const { pearson } = matches;
    columns.push(
      numeric("pearson", "Firing", (i) => figure(pearson[i]), "correlation of activations"),
    );
  }
  columns.push(
    numeric(
      "rank",
      "Ranks",
      (i) => `${count(matches.rankInRow[i])} · ${count(matches.rankInColumn[i])}`,
      "of the target for the feature, and of the feature for the target",
    ),
  );
  if (list === "differ" && over) {
    columns.push(numeric("over", "By steps", (i) => count(over[i]), "feature the steps lead to"));
    columns[columns.length - 1].sorts = false;
  }
  return (
    <section class="pair-lists" aria-labelledby="pair-matches">
      <h2 id="pair-matches">Matches</h2>
      <Segments
        label="Which matches"
        value={list}
        choices={there.map((value) => ({ value, text: TITLES[value], hint: SAYING[value] }))}
        onChange={(value) =>
          go({ more: { list: value, sort: null, dir: null, pick: null } })
        }
      />
      <p class="aside" role="status">
        {SAYING[list]} {count(order.length)} of {count(matches.length)} features.
      </p>
      <div class="pair-list-and-contexts">
        <VirtualTable
          label={`${TITLES[list]}: ${a} to ${b}`}
          columns={columns}
          count={order.length}
          row={(index) => order[index]}
          sort={sort}
          descending={descending}
          onSort={(key) =>
            go({ more: { sort: key, dir: sort === key && descending ? "up" : null } })
          }
          onOpen={(row) => go({ more: { pick: row } }, { replace: true })}
          height={496}
        />
        {picked !== null && <Both {...props} pair={pair} row={picked} label={label} />}
      </div>
    </section>
  );
}

function numeric(
  key: string,
  title: string,
  show: (row: number) => string,
  hint?: string,
): ColumnOf<number> {
  return { key, title, numeric: true, sorts: true, width: "68px", hint, show };
}

function Named(props: { feature: number; label: string | null; strong: boolean }) {
  if (props.feature < 0) return <span class="muted">none</span>;
  return (
    <span class={props.strong ? "named strong" : "named"}>
      <span class="named-number">{props.feature}</span>
      {props.label && <bdi title={props.label}>{props.label}</bdi>}
    </span>
  );
}

/** What both features of a match fire on, side by side. */
function Both(
  props: ViewProps & {
    pair: RunPair;
    matches: Matches;
    row: number;
    label: (site: string, feature: number) => string | null;
  },
) {
  const { data, explorer, state, go, pair, matches, row, label } = props;
  const target = matches.target[row];
  const sides = [
    { site: pair.a, feature: row },
    ...(target >= 0 ? [{ site: pair.b, feature: target }] : []),
  ];
  const loaded = useLoaded(
    () => Promise.all(sides.map((side) => data.contextsOf(explorer, side.site, side.feature))),
    [pair.a, pair.b, row, target],
  );
  const contexts = latest(loaded);
  const said = [
    `score ${figure(matches.score[row])}`,
    `p ${pValue(matches.p[row])}`,
    `cosine ${figure(matches.cosine[row])}`,
    ...(matches.pearson ? [`firing ${figure(matches.pearson[row])}`] : []),
    matches.matched[row] ? "accepted" : "not accepted",
  ];
  return (
    <div class="both" data-testid="context-panel" aria-live="polite">
      <p class="both-said">{said.join(" · ")}</p>
      {loaded.status === "error" && <Failure error={loaded.error} />}
      <div class="both-sides">
        {sides.map(({ site, feature }, i) => {
          const its = contexts?.[i];
          return (
            <section key={site} aria-label={`${site} ${feature}`}>
              <FeatureChip
                site={site}
                feature={feature}
                label={label(site, feature)}
                go={go}
                href={writeHash(changed(state, { view: "life", site, feature }))}
              />
              {its ? (
                <>
                  <p class="aside">
                    fires on {percent(its.frequency)} of tokens, at most {figure(its.max)}
                  </p>
                  <ContextList contexts={its} limit={7} />
                </>
              ) : (
                contexts && <p class="aside">The run knows no contexts of this feature.</p>
              )}
            </section>
          );
        })}
      </div>
    </div>
  );
}

function numberOf(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}
