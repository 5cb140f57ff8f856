import { useEffect, useMemo, useState } from "preact/hooks";
import type { Edge, Explorer, Life } from "../../data/explorer";
import type { Partner } from "../../data/partners";
import { featureName, type Run } from "../../data/run";
import { figure, pValue } from "../../draw/format";
import { FeatureChip } from "../../parts/chip";
import { Explained } from "../../parts/explained";
import { type ColumnOf, Table } from "../../parts/table";
import { latest, useLoaded } from "../../parts/use";
import type { Go, State } from "../../state";
import { changed, writeHash } from "../../state";
import { orderOf, pOf, strongest } from "./strength";

const ASCENDING = ["p", "rank", "back"]; // columns of which the least is the best
const ROWS = 7; // of a table that are seen at once

interface LinksProps {
  run: Run;
  explorer: Explorer;
  life: Life;
  partners: readonly Partner[];
  state: State;
  go: Go;
}

/** All that the run relates to one feature, before it, after it and beside it, as tables. */
export function Links(props: LinksProps) {
  const { run, explorer, life } = props;
  const [stream, modules] = useMemo(() => {
    const of = (edge: Edge) => run.lane(explorer.feature(edge.other).site);
    const written = (edge: Edge) => of(edge) === "attn" || of(edge) === "mlp";
    return [life.in.filter((edge) => !written(edge)), life.in.filter(written)];
  }, [life, run, explorer]);
  const own = props.partners.filter((partner) => partner.of === life.node);
  return (
    <div class="links">
      <LinkTable {...props} title="Where it goes" edges={life.out} forward />
      <LinkTable {...props} title="Where it comes from" edges={stream} />
      {own.length > 0 && <PartnerTable {...props} partners={own} />}
      {modules.length > 0 && (
        <LinkTable {...props} title="What attention and the MLP write near it" edges={modules} />
      )}
    </div>
  );
}

/** A row of any of the tables: another feature, by number. */
interface Other {
  other: number;
}

/** Labels as they are read, of all the rows at once. */
function useLabels(explorer: Explorer, rows: readonly Other[]) {
  return latest(useLoaded(() => explorer.labels(rows.map(({ other }) => other)), [rows]));
}

/** The columns that all of the tables have: what the other feature is, and its contexts. */
function otherColumns<Row extends Other>(
  props: LinksProps,
  labels: ReadonlyMap<number, string | null> | undefined,
): { feature: ColumnOf<Row>; label: ColumnOf<Row>; compare: ColumnOf<Row> } {
  const { explorer, state, go } = props;
  const nameOf = ({ other }: Row) => {
    const { site, feature } = explorer.feature(other);
    return featureName(site, feature);
  };
  return {
    feature: {
      key: "feature",
      title: "Feature",
      width: "12em",
      text: nameOf,
      show: ({ other }) => {
        const { site, feature } = explorer.feature(other);
        const href = writeHash(changed(state, { view: "life", site, feature }));
        return <FeatureChip site={site} feature={feature} go={go} href={href} />;
      },
    },
    label: {
      key: "label",
      title: "Label",
      width: "11em",
      grows: true,
      text: ({ other }) => labels?.get(other),
      show: ({ other }) => {
        const label = labels?.get(other);
        return label ? <bdi title={label}>{label}</bdi> : <span class="muted">–</span>;
      },
    },
    compare: {
      key: "compare",
      title: "Contexts",
      width: "5.4em",
      hint: "shows what it fires on beside the feature in focus",
      show: (row) => <Compare name={nameOf(row)} state={state} go={go} />,
    },
  };
}

function LinkTable(
  props: LinksProps & { title: string; edges: readonly Edge[]; forward?: boolean },
) {
  const { title, forward = false, explorer, go } = props;
  const [sort, setSort] = useState<{ key: string; down: boolean } | null>(null);
  const edges = useMemo(
    () => [...props.edges].sort(sort ? orderOf(sort.key, sort.down) : strongest),
    [props.edges, sort],
  );
  const labels = useLabels(explorer, props.edges);
  const heard = edges.some((edge) => !Number.isNaN(edge.pearson));
  const { feature, label, compare } = otherColumns<Edge>(props, labels);
  const number = (
    key: string,
    title: string,
    of: (edge: Edge) => number,
    say: (value: number) => string,
    hint: string,
    width = "5.4em",
  ): ColumnOf<Edge> => ({
    key,
    title,
    hint,
    numeric: true,
    sorts: true,
    width,
    text: of,
    show: (edge) => say(of(edge)),
  });
  const rank = (value: number) => (Number.isNaN(value) ? "–" : String(value));
  const columns: ColumnOf<Edge>[] = [
    feature,
    label,
    {
      key: "kind",
      title: "Kind",
      width: "6.4em",
      hint: "match: assigned and significant; target: assigned, but no match; candidate and source: among the best, not assigned",
      text: (edge) => edge.kind,
      show: (edge) => <span class={edge.kind === "match" ? "strong" : ""}>{edge.kind}</span>,
    },
    number("score", "Score", (edge) => edge.score, figure, "compared within a pair of SAEs"),
    number(
      "p",
      "p-value",
      pOf,
      pValue,
      "of the target, or where that is not known of the source",
      "6em",
    ),
    number("cosine", "Cosine", (edge) => edge.cosine, figure, "of the decoder rows"),
    ...(heard
      ? [
          number(
            "pearson",
            "Correlation",
            (edge: Edge) => edge.pearson,
            figure,
            "of their activations, token by token",
            "6.8em",
          ),
        ]
      : []),
    number(
      forward ? "rank" : "back",
      "Its rank",
      (edge) => (forward ? edge.rank : edge.sourceRank),
      rank,
      `which of the best ${forward ? "targets" : "sources"} of this feature it is`,
      "5.8em",
    ),
    number(
      forward ? "back" : "rank",
      "Rank there",
      (edge) => (forward ? edge.sourceRank : edge.rank),
      rank,
      `which of the best ${forward ? "sources" : "targets"} of the other feature this one is`,
      "5.8em",
    ),
    compare,
  ];
  return (
    <section>
      <h3>{title}</h3>
      {!edges.length && <p class="panel-none">The run relates nothing here.</p>}
      {edges.length > 0 && (
        <Table
          name={`${forward ? "targets" : "sources"} of ${featureName(props.life.site, props.life.feature)} ${title}`}
          label={title}
          columns={columns}
          count={edges.length}
          row={(i) => edges[i]}
          sort={sort?.key}
          descending={sort?.down}
          onSort={(key) =>
            setSort({ key, down: sort?.key === key ? !sort.down : !ASCENDING.includes(key) })
          }
          onOpen={({ other }) => go({ view: "life", ...explorer.feature(other) })}
          height={heightOf(edges.length)}
        />
      )}
    </section>
  );
}

function PartnerTable(props: LinksProps & { partners: readonly Partner[] }) {
  const { partners, explorer, go, life } = props;
  const labels = useLabels(explorer, partners);
  const { feature, label, compare } = otherColumns<Partner>(props, labels);
  const columns: ColumnOf<Partner>[] = [
    feature,
    label,
    {
      key: "kind",
      title: "Kind",
      width: "7.4em",
      hint: "splits off: this feature is its best source; merges: this feature is its best target",
      text: ({ kind }) => kind,
      show: ({ kind }) => (kind === "split" ? "splits off" : "merges"),
    },
    {
      key: "score",
      title: "Score",
      numeric: true,
      width: "5.4em",
      text: ({ score }) => score,
      show: ({ score }) => figure(score),
    },
    {
      key: "p",
      title: "p-value",
      numeric: true,
      width: "6em",
      hint: "of the one that splits or merges as the best of all for this part: of a match the other way round, so not the p-value of the match above",
      text: ({ p }) => p,
      show: ({ p }) => pValue(p),
    },
    compare,
  ];
  return (
    <section>
      <h3>
        <Explained term="split">Splits and merges</Explained>
      </h3>
      <Table
        name={`splits of ${featureName(life.site, life.feature)}`}
        label="Splits and merges"
        columns={columns}
        count={partners.length}
        row={(i) => partners[i]}
        onOpen={({ other }) => go({ view: "life", ...explorer.feature(other) })}
        height={heightOf(partners.length)}
      />
    </section>
  );
}

/** Shows what a feature fires on beside the one in focus. */
function Compare({ name, state, go }: { name: string; state: State; go: Go }) {
  const pressed = state.more.with === name;
  const [asked, ask] = useState(false);
  useEffect(() => {
    if (!asked || !pressed) return;
    ask(false);
    document.getElementById("contexts-title")?.scrollIntoView();
  }, [asked, pressed]);
  return (
    <button
      type="button"
      class="compare"
      aria-pressed={pressed}
      aria-label={`Compare contexts with ${name}`}
      title="Show what it fires on beside the feature in focus"
      data-testid="compare"
      onClick={(event) => {
        event.stopPropagation();
        ask(!pressed);
        go({ more: { with: pressed ? null : name } });
      }}
    >
      <span aria-hidden="true">{pressed ? "×" : "⇆"}</span>
    </button>
  );
}

function heightOf(rows: number): number {
  return 36 * (Math.min(rows, ROWS) + 1) + 12;
}
