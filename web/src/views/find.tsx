import type { ComponentChildren } from "preact";
import { useMemo, useRef } from "preact/hooks";
import type { Explorer, Listed } from "../data/explorer";
import { parseFeature, type Run } from "../data/run";
import { count, figure, percent, pValue } from "../draw/format";
import { FeatureChip } from "../parts/chip";
import { Empty, Failure, Loading } from "../parts/notices";
import { type ColumnOf, Table } from "../parts/table";
import { latest, useLoaded } from "../parts/use";
import { changed, type Go, type State, writeHash } from "../state";
import { Filters } from "./find/filters";
import { answer, queryOf, type Sort } from "./find/query";
import type { ViewProps } from "./view";
import "./find.css";

/** A list of features: by tokens they fire on, by what they do, sorted. */
export function Find({ run, explorer, state, go }: ViewProps) {
  const query = queryOf(state, standardSort(run, explorer));
  const orders = useRef(new Map<string, Uint32Array>());
  const found = useLoaded(() => answer(explorer, query, orders.current), [JSON.stringify(query)]);
  const nodes = latest(found);
  const exact = query.text ? parseFeature(run, query.text) : [];
  const table = useMemo(() => columnsOf(run, explorer, state, go), [explorer, writeHash(state)]);
  const onSort = (key: string) => {
    const turned = query.sort === key && !(state.more.sort ?? "").startsWith("-");
    go({ more: { sort: turned ? `-${key}` : key } });
  };
  return (
    <div class="find" data-testid="view-find">
      <h1>
        {query.text ? (
          <>
            Firing on “<bdi>{query.text}</bdi>”
          </>
        ) : (
          "Features"
        )}
      </h1>
      {exact.length > 0 && <Exact exact={exact} state={state} go={go} />}
      <div class="find-body">
        <Filters run={run} explorer={explorer} state={state} go={go} />
        <section aria-label="Results" aria-busy={found.status === "loading"}>
          {found.status === "error" && <Failure error={found.error} />}
          {!nodes && found.status === "loading" && <Loading what="the features" />}
          {nodes && (
            <p class="found" role="status" data-testid="found">
              {count(nodes.length)} of {count(explorer.index.nodes)} features
            </p>
          )}
          {nodes && nodes.length === 0 && <Nothing run={run} text={query.text} />}
          {nodes && nodes.length > 0 && (
            <Table
              name="features"
              label="Features"
              columns={table}
              count={nodes.length}
              row={(i) => nodes[i]}
              sort={query.sort}
              descending={query.descending}
              onSort={onSort}
              onNear={(node) => explorer.foresee(node)}
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
  const layer = run.layer(run.chain[0] ?? run.names[0]) ?? 0;
  return (
    <Empty title="No feature is like that">
      {text
        ? "Search looks at the tokens that features fire on most, and at labels they were given. Try a shorter part of a word, loosen the filters, or give a number such as "
        : "Loosen the filters, or give a number such as "}
      <code>{layer}_100</code>.
    </Empty>
  );
}

function columnsOf(run: Run, explorer: Explorer, state: State, go: Go): ColumnOf<number>[] {
  const columns: ColumnOf<number>[] = [
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
      title: "label",
      sorts: Boolean(state.more.q),
      hint: "what it is said to mean, else the commonest tokens of its top contexts",
      show: (node) => (
        <Cell
          explorer={explorer}
          node={node}
          show={({ label }) => <bdi title={label ?? undefined}>{label?.slice(0, 300) ?? "–"}</bdi>}
        />
      ),
    },
    {
      key: "lifespan",
      title: "lives",
      numeric: true,
      sorts: true,
      width: "5.5em",
      hint: "layers of its track",
      show: (node) => <Cell explorer={explorer} node={node} show={(its) => count(its.lifespan)} />,
    },
    {
      key: "shared",
      title: "shared with",
      numeric: true,
      sorts: true,
      width: "7.5em",
      hint: "how many other SAEs have it too",
      show: (node) => <SharedWith run={run} explorer={explorer} node={node} />,
    },
    {
      key: "frequency",
      title: "tokens",
      numeric: true,
      sorts: true,
      width: "6.5em",
      hint: "share of tokens on which it fires",
      show: (node) => (
        <Cell explorer={explorer} node={node} show={(its) => percent(its.frequency)} />
      ),
    },
    {
      key: "score",
      title: "score",
      numeric: true,
      sorts: true,
      width: "6em",
      hint: "of its target in the next SAE",
      show: (node) => <Cell explorer={explorer} node={node} show={(its) => figure(its.score)} />,
    },
    {
      key: "p",
      title: "p-value",
      numeric: true,
      sorts: true,
      width: "7em",
      hint: "of that score",
      show: (node) => <Cell explorer={explorer} node={node} show={(its) => pValue(its.p)} />,
    },
  ];
  return columns.filter(
    ({ key }) => told(run, explorer).includes(key as Sort) || key === "feature",
  );
}

/** Orders that a run's features have: what SAEs share, or tracks, and scores along them. */
function told(run: Run, explorer: Explorer): Sort[] {
  const shares: Sort[] = explorer.index.tables.shared ? ["shared"] : [];
  if (run.compared) return [...shares, "relevance", "frequency"];
  const tracks: Sort[] = explorer.index.mode === null ? [] : ["lifespan"];
  return [...tracks, ...shares, "relevance", "frequency", "score", "p"];
}

/** The order of all features, before a person asks for another. */
function standardSort(run: Run, explorer: Explorer): Sort {
  const orders = told(run, explorer);
  return (
    (["lifespan", "shared", "score", "frequency"] as const).find((one) => orders.includes(one)) ??
    "frequency"
  );
}

/** How many other SAEs share a feature. */
function SharedWith({ run, explorer, node }: { run: Run; explorer: Explorer; node: number }) {
  const its = useLoaded(() => explorer.column("shared_with"), []);
  if (its.status === "error") return <span title={its.error.message}>not read</span>;
  if (its.status === "loading") return <span aria-busy={true} />;
  const others = its.value[node];
  return <>{Number.isNaN(others) ? "–" : `${others} of ${run.names.length - 1}`}</>;
}

function Cell(props: {
  explorer: Explorer;
  node: number;
  show: (its: Listed) => ComponentChildren;
}) {
  const { explorer, node, show } = props;
  const its = useLoaded(() => explorer.listed(node), [node]);
  if (its.status === "ready") return <>{show(its.value)}</>;
  if (its.status === "loading") return <span aria-busy={true} />;
  return <span title={its.error.message}>not read</span>;
}
