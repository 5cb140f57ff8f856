import { useMemo, useRef } from "preact/hooks";
import type { Explorer, Nodes } from "../data/explorer";
import { parseFeature, type Run } from "../data/run";
import { count, figure, percent, pValue } from "../draw/format";
import { FeatureChip } from "../parts/chip";
import { Empty, Failure, Loading } from "../parts/notices";
import { VirtualTable, type ColumnOf } from "../parts/table";
import { latest, useLoaded } from "../parts/use";
import { changed, writeHash, type Go, type State } from "../state";
import { Filters } from "./find/filters";
import { answer, queryOf } from "./find/query";
import type { ViewProps } from "./view";

/** A list of features: by tokens they fire on, by what they do, sorted. */
export function Find({ run, explorer, state, go }: ViewProps) {
  const query = queryOf(state);
  const needs = query.origin !== null || query.community !== null;
  const columns = useLoaded(() => explorer.columns(needs), [needs]);
  const orders = useRef(new Map<string, Uint32Array>());
  const known = latest(columns);
  const found = useLoaded(
    async () => (known ? answer(explorer, query, known, orders.current) : null),
    [known, JSON.stringify(query)],
  );
  const nodes = latest(found);
  const exact = query.text ? parseFeature(run, query.text) : [];
  const table = useMemo(
    () => (known ? columnsOf(explorer, state, go, known) : []),
    [known, explorer, writeHash(state)],
  );
  const onSort = (key: string) => {
    const turned = query.sort === key && !(state.more.sort ?? "").startsWith("-");
    go({ more: { sort: turned ? `-${key}` : key } });
  };
  return (
    <div class="find" data-testid="view-find">
      <h1>{query.text ? <>Firing on “<bdi>{query.text}</bdi>”</> : "Features"}</h1>
      {exact.length > 0 && <Exact exact={exact} state={state} go={go} />}
      <div class="find-body">
        <Filters run={run} explorer={explorer} state={state} go={go} />
        <section aria-label="Results">
          {columns.status === "error" && <Failure error={columns.error} />}
          {found.status === "error" && <Failure error={found.error} />}
          {!nodes && columns.status !== "error" && <Loading what="the features" />}
          {nodes && (
            <p class="found" role="status" data-testid="found">
              {count(nodes.length)} of {count(explorer.index.nodes)} features
            </p>
          )}
          {nodes && nodes.length === 0 && <Nothing run={run} text={query.text} />}
          {nodes && nodes.length > 0 && (
            <VirtualTable
              label="Features"
              columns={table}
              count={nodes.length}
              row={(i) => nodes[i]}
              sort={query.sort}
              descending={query.descending}
              onSort={onSort}
              onOpen={(node) => go({ view: "life", ...explorer.feature(node) })}
              height={Math.max(360, innerHeight - 260)}
            />
          )}
        </section>
      </div>
    </div>
  );
}

function Exact(props: { exact: { site: string; feature: number }[]; state: State; go: Go }) {
  return (
    <p class="exact">
      By number:{" "}
      {props.exact.map(({ site, feature }) => (
        <FeatureChip
          key={site}
          site={site}
          feature={feature}
          go={props.go}
          href={writeHash(changed(props.state, { view: "life", site, feature }))}
        />
      ))}
    </p>
  );
}

function Nothing({ run, text }: { run: Run; text: string }) {
  const layer = run.layer(run.chain[0]) ?? 0;
  return (
    <Empty title="No feature is like that">
      {text
        ? "Search looks at the tokens that features fire on most. Try a shorter part of a word, loosen the filters, or give a number such as "
        : "Loosen the filters, or give a number such as "}
      <code>{layer}_100</code>.
    </Empty>
  );
}

function columnsOf(
  explorer: Explorer,
  state: State,
  go: Go,
  known: Nodes,
): ColumnOf<number>[] {
  return [
    {
      key: "feature",
      title: "feature",
      width: "15em",
      show: (node) => {
        const { site, feature } = explorer.feature(node);
        const href = writeHash(changed(state, { view: "life", site, feature }));
        return <FeatureChip site={site} feature={feature} go={go} href={href} />;
      },
    },
    {
      key: "relevance",
      title: "fires on",
      sorts: Boolean(state.more.q),
      hint: "the commonest tokens of its top contexts",
      show: (node) => <Label explorer={explorer} node={node} />,
    },
    {
      key: "lifespan",
      title: "lives",
      numeric: true,
      sorts: true,
      width: "5.5em",
      hint: "layers of its track",
      show: (node) => count(known.lifespan[node]),
    },
    {
      key: "frequency",
      title: "tokens",
      numeric: true,
      sorts: true,
      width: "6.5em",
      hint: "share of tokens on which it fires",
      show: (node) => percent(known.frequency[node]),
    },
    {
      key: "score",
      title: "score",
      numeric: true,
      sorts: true,
      width: "6em",
      hint: "of its target in the next SAE",
      show: (node) => figure(known.score[node]),
    },
    {
      key: "p",
      title: "p-value",
      numeric: true,
      sorts: true,
      width: "7em",
      hint: "of that score",
      show: (node) => pValue(known.p[node]),
    },
  ];
}

function Label({ explorer, node }: { explorer: Explorer; node: number }) {
  const labels = useLoaded(() => explorer.labels([node]), [node]);
  const label = labels.status === "ready" ? labels.value.get(node) : undefined;
  return <bdi title={label ?? undefined}>{label ?? (labels.status === "ready" ? "–" : "")}</bdi>;
}
