import { useMemo } from "preact/hooks";
import { type Cluster, loadClusters, type Sharing, sharedExactly } from "../../data/compare";
import type { Explorer } from "../../data/explorer";
import type { Run } from "../../data/run";
import { count, figure, percent } from "../../draw/format";
import { FeatureChip } from "../../parts/chip";
import { Empty } from "../../parts/notices";
import { Segments } from "../../parts/segments";
import { type ColumnOf, Table } from "../../parts/table";
import { latest, useLoaded } from "../../parts/use";
import { changed, type Go, numberOf, type State, writeHash } from "../../state";
import type { ViewProps } from "../view";
import { sharedWith } from "./words";

type Props = ViewProps & { sharing: Sharing; of: string; n: number };

/** Features by how many SAEs share them, and the clusters that they form. */
export function SharedLists(props: Props) {
  const { state, go } = props;
  const list = state.more.list === "clusters" ? "clusters" : "features";
  return (
    <section class="compared-lists" aria-labelledby="shared-lists">
      <h2 id="shared-lists">{list === "features" ? "Features" : "Clusters"}</h2>
      <Segments
        label="List"
        value={list}
        choices={[
          { value: "features", text: "Features" },
          { value: "clusters", text: "Clusters" },
        ]}
        onChange={(value) => go({ more: { list: value, n: null, kind: null, sort: null } })}
      />
      {list === "features" ? <Features {...props} /> : <Clusters {...props} />}
    </section>
  );
}

const SORTS = ["nearest", "frequency"] as const;

function Features(props: Props) {
  const { run, explorer, state, go, sharing, of, n } = props;
  const total = run.names.length;
  const frequency = latest(useLoaded(() => explorer.column("frequency"), []));
  const [, sign, name] = /^(-?)(.*)$/.exec(state.more.sort ?? "") ?? [];
  const sort = SORTS.find((one) => one === name) ?? "nearest";
  // what is found only here: that which is the least like anything else first
  const descending = (sort !== "nearest" || n > 1) !== (sign === "-");
  const column = sort === "frequency" ? frequency : sharing.nearest;
  const { start, features } = explorer.site(of);
  const order = useMemo(
    () =>
      column
        ? sharedExactly(sharing, [start, start + features], n - 1, { column, descending })
        : [],
    [sharing, start, n, column, descending],
  );
  const columns = useMemo(
    () => featureColumns(explorer, sharing, total - 1, state, go),
    [sharing, writeHash(state)],
  );
  return (
    <>
      <div class="compared-choice">
        <Choice
          label="of"
          testid="list-of"
          value={of}
          choices={run.names.map((site) => [site, site])}
          onChange={(value) => go({ more: { of: value } })}
        />
        <Choice
          label="that are"
          testid="list-n"
          value={String(n)}
          choices={run.names.map((_, i) => [String(i + 1), sharedWith(i + 1, total)])}
          onChange={(value) => go({ more: { n: value, sort: null } })}
        />
      </div>
      <p class="aside" role="status" data-testid="list-says" aria-busy={!column}>
        {count(order.length)} of {count(features)} features of <bdi class="site">{of}</bdi> are{" "}
        {sharedWith(n, total)}.
      </p>
      {order.length > 0 && (
        <Table
          name={`shared-${of}-${n}`}
          label={`Features of ${of} that are ${sharedWith(n, total)}`}
          columns={columns}
          count={order.length}
          row={(i) => order[i]}
          sort={sort}
          descending={descending}
          onSort={(key) => go({ more: { sort: key === sort && sign !== "-" ? `-${key}` : key } })}
          onNear={(node) => explorer.foresee(node)}
          onOpen={(node) => go({ view: "life", ...explorer.feature(node) })}
          height={520}
        />
      )}
    </>
  );
}

function featureColumns(
  explorer: Explorer,
  sharing: Sharing,
  others: number,
  state: State,
  go: Go,
): ColumnOf<number>[] {
  return [
    {
      key: "feature",
      title: "feature",
      width: "13em",
      show: (node) => <Chip explorer={explorer} node={node} state={state} go={go} />,
      text: (node) => featureText(explorer, node),
    },
    {
      key: "label",
      title: "label",
      grows: true,
      width: "13em",
      hint: "what it is said to mean, else the commonest tokens of its top contexts",
      show: (node) => <Label explorer={explorer} node={node} />,
      text: async (node) => (await explorer.listed(node)).label,
    },
    {
      key: "shared",
      title: "shared with",
      numeric: true,
      width: "7em",
      show: (node) => `${sharing.with[node]} of ${others}`,
      text: (node) => sharing.with[node],
    },
    {
      key: "nearest",
      title: "nearest",
      numeric: true,
      sorts: true,
      width: "6em",
      hint: "its largest decoder cosine with a feature of another SAE that it is assigned to",
      show: (node) => figure(sharing.nearest[node]),
      text: (node) => sharing.nearest[node],
    },
    {
      key: "frequency",
      title: "tokens",
      numeric: true,
      sorts: true,
      width: "6em",
      hint: "share of tokens on which it fires",
      show: (node) => <Frequency explorer={explorer} node={node} />,
      text: async (node) => (await explorer.listed(node)).frequency,
    },
  ];
}

const KINDS = [
  ["", "any"],
  ["complete", "complete"],
  ["incomplete", "incomplete"],
  ["tangled", "tangled"],
] as const;

function Clusters(props: Props) {
  const { run, explorer, state, go, sharing } = props;
  const total = run.names.length;
  const clusters = latest(useLoaded(() => loadClusters(run, explorer, sharing), []));
  const n = numberOf(state.more.n);
  const kind = state.more.kind ?? "";
  const found = useMemo(
    () =>
      (clusters ?? []).filter(
        (one) =>
          (n === null || one.saes === n) &&
          (kind !== "complete" || one.complete) &&
          (kind !== "incomplete" || !one.complete) &&
          (kind !== "tangled" || one.tangled),
      ),
    [clusters, n, kind],
  );
  const columns = useMemo(() => clusterColumns(run, explorer), []);
  return (
    <>
      <div class="compared-choice">
        <Choice
          label="of"
          testid="list-saes"
          value={String(n ?? "")}
          choices={[
            ["", "any number of SAEs"],
            ...run.names.slice(1).map((_, i): [string, string] => {
              const saes = i + 2;
              return [String(saes), saes === total ? `all ${saes} SAEs` : `${saes} SAEs`];
            }),
          ]}
          onChange={(value) => go({ more: { n: value } })}
        />
        <Choice
          label="kind"
          testid="list-kind"
          value={kind}
          choices={KINDS}
          onChange={(value) => go({ more: { kind: value } })}
        />
      </div>
      <p class="aside" role="status" data-testid="list-says" aria-busy={!clusters}>
        {count(found.length)} of {count(clusters?.length)} clusters. Complete: every two of its
        features are shared. Tangled: it has two features of one SAE.
      </p>
      {clusters && !found.length && <Empty title="No cluster is like that" />}
      {found.length > 0 && (
        <Table
          name={`clusters-${n}-${kind}`}
          label="Clusters"
          columns={columns}
          count={found.length}
          row={(i) => found[i]}
          onNear={({ members }) => explorer.foresee(members[0])}
          onOpen={({ members }) => go({ view: "life", ...explorer.feature(members[0]) })}
          height={520}
        />
      )}
    </>
  );
}

function clusterColumns(run: Run, explorer: Explorer): ColumnOf<Cluster>[] {
  const within = (site: string, { members }: Cluster) => {
    const { start, features } = explorer.site(site);
    return members.filter((node) => node >= start && node < start + features);
  };
  return [
    {
      key: "cluster",
      title: "cluster",
      width: "10em",
      show: ({ cluster, complete, tangled }) => (
        <>
          {cluster} <small class="kind">{tangled ? "tangled" : complete ? "complete" : ""}</small>
        </>
      ),
      text: ({ cluster }) => cluster,
    },
    ...run.names.map(
      (site): ColumnOf<Cluster> => ({
        key: site,
        title: site,
        width: "12em",
        grows: true,
        show: (cluster) => <Members explorer={explorer} nodes={within(site, cluster)} />,
        text: (cluster) =>
          within(site, cluster)
            .map((node) => explorer.feature(node).feature)
            .join(" "),
      }),
    ),
  ];
}

/** A cluster's features of one SAE: the first with its label, and how many more. */
function Members({ explorer, nodes }: { explorer: Explorer; nodes: readonly number[] }) {
  if (!nodes.length) return <span class="none">–</span>;
  return (
    <>
      <b>{explorer.feature(nodes[0]).feature}</b> <Label explorer={explorer} node={nodes[0]} />
      {nodes.length > 1 && <small class="kind"> and {nodes.length - 1} more</small>}
    </>
  );
}

/** One of a few values. */
export function Choice(props: {
  label: string;
  value: string;
  choices: readonly (readonly [string, string])[];
  onChange: (value: string) => void;
  testid: string;
}) {
  return (
    <label>
      {props.label}{" "}
      <select
        value={props.value}
        data-testid={props.testid}
        onChange={(event) => props.onChange(event.currentTarget.value)}
      >
        {props.choices.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A feature by its number among all, as a link. */
export function Chip(props: {
  explorer: Explorer;
  node: number;
  label?: string | null;
  state: State;
  go: Go;
}) {
  const { site, feature } = props.explorer.feature(props.node);
  const href = writeHash(changed(props.state, { view: "life", site, feature }));
  return (
    <FeatureChip site={site} feature={feature} label={props.label} go={props.go} href={href} />
  );
}

export function featureText(explorer: Explorer, node: number): string {
  const { site, feature } = explorer.feature(node);
  return `${site}/${feature}`;
}

/** What a feature is said to mean, once it is read. */
export function Label({ explorer, node }: { explorer: Explorer; node: number }) {
  const its = useLoaded(() => explorer.listed(node), [node]);
  if (its.status === "error") return <span title={its.error.message}>not read</span>;
  if (its.status === "loading") return <span aria-busy={true} />;
  const { label } = its.value;
  return <bdi title={label ?? undefined}>{label?.slice(0, 300) ?? "–"}</bdi>;
}

function Frequency({ explorer, node }: { explorer: Explorer; node: number }) {
  const its = useLoaded(() => explorer.listed(node), [node]);
  if (its.status === "error") return <span title={its.error.message}>not read</span>;
  if (its.status === "loading") return <span aria-busy={true} />;
  return <>{percent(its.value.frequency)}</>;
}
