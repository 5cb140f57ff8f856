import { useMemo } from "preact/hooks";
import type { Edge, Explorer, Life } from "../../data/explorer";
import { featureName, type Run } from "../../data/run";
import { figure, pValue } from "../../draw/format";
import { FeatureChip } from "../../parts/chip";
import { latest, useLoaded } from "../../parts/use";
import type { Go, State } from "../../state";
import { changed, writeHash } from "../../state";

const SHOWN = 40;

/** All that the run relates to one feature, before it and after it, as a table. */
export function Links(props: { run: Run; explorer: Explorer; life: Life; state: State; go: Go }) {
  const { explorer, life } = props;
  return (
    <div class="links">
      <LinkTable {...props} title="Where it goes" edges={life.out} />
      <LinkTable
        {...props}
        title="Where it comes from"
        edges={useMemo(() => closest(explorer, life), [life])}
      />
    </div>
  );
}

/** Matches first, then the nearest SAE, then the best source. */
function closest(explorer: Explorer, life: Life): Edge[] {
  const start = (edge: Edge) => explorer.site(explorer.feature(edge.other).site).start;
  const rank = (edge: Edge) => (Number.isNaN(edge.sourceRank) ? 1e9 : edge.sourceRank);
  const other = (edge: Edge) => Number(edge.kind !== "match");
  return [...life.in].sort(
    (x, y) => other(x) - other(y) || start(y) - start(x) || rank(x) - rank(y) || y.score - x.score,
  );
}

/** Shows what a feature fires on beside the one in focus. */
function Compare({ name, state, go }: { name: string; state: State; go: Go }) {
  const pressed = state.more.with === name;
  return (
    <button
      type="button"
      class="compare"
      aria-pressed={pressed}
      aria-label={`Compare contexts with ${name}`}
      title="Show what it fires on beside the feature in focus"
      data-testid="compare"
      onClick={() => {
        go({ more: { with: pressed ? null : name } });
        if (!pressed) document.getElementById("contexts-title")?.scrollIntoView();
      }}
    >
      <span aria-hidden="true">{pressed ? "×" : "⇆"}</span>
    </button>
  );
}

function LinkTable(props: {
  run: Run;
  explorer: Explorer;
  title: string;
  edges: readonly Edge[];
  state: State;
  go: Go;
}) {
  const { explorer, title, state, go } = props;
  const edges = props.edges.slice(0, SHOWN);
  const labels = latest(
    useLoaded(() => explorer.labels(edges.map((edge) => edge.other)), [props.edges]),
  );
  const heard = edges.some((edge) => !Number.isNaN(edge.pearson));
  return (
    <section>
      <h3>{title}</h3>
      {!edges.length && <p class="panel-none">The run relates nothing here.</p>}
      {edges.length > 0 && (
        <table class="plain relations" aria-label={title}>
          <thead>
            <tr>
              <th scope="col">feature</th>
              <th
                scope="col"
                title="match: significant and accepted; target: assigned, not accepted"
              >
                kind
              </th>
              <th scope="col" class="numeric">
                score
              </th>
              <th scope="col" class="numeric">
                p-value
              </th>
              <th scope="col" class="numeric" title="rank among the targets, among the sources">
                ranks
              </th>
              {heard && (
                <th scope="col" class="numeric" title="Pearson correlation of activations">
                  corr.
                </th>
              )}
              <th scope="col">
                <span class="visually-hidden">compare contexts</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {edges.map((edge) => {
              const { site, feature } = explorer.feature(edge.other);
              const ranks = [edge.rank, edge.sourceRank].map((r) => (Number.isNaN(r) ? "–" : r));
              return (
                <tr key={edge.other} class={edge.kind === "match" ? "match" : undefined}>
                  <td>
                    <FeatureChip
                      site={site}
                      feature={feature}
                      label={labels?.get(edge.other)}
                      go={go}
                      href={writeHash(changed(state, { view: "life", site, feature }))}
                    />
                  </td>
                  <td>{edge.kind}</td>
                  <td class="numeric">{figure(edge.score)}</td>
                  <td class="numeric">{pValue(Number.isNaN(edge.p) ? edge.sourceP : edge.p)}</td>
                  <td class="numeric">{ranks.join(" · ")}</td>
                  {heard && <td class="numeric">{figure(edge.pearson)}</td>}
                  <td class="numeric">
                    <Compare name={featureName(site, feature)} state={state} go={go} />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      {props.edges.length > SHOWN && (
        <p class="panel-none">and {props.edges.length - SHOWN} more in flow/edges.parquet</p>
      )}
    </section>
  );
}
