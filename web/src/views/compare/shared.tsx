import { loadSharing, type Sharing } from "../../data/compare";
import type { Compared, Run } from "../../data/run";
import { count, percent, several } from "../../draw/format";
import { Explained } from "../../parts/explained";
import { Figure } from "../../parts/figure";
import { Empty, Failure, Loading } from "../../parts/notices";
import { CsvButton } from "../../parts/table";
import { latest, useLoaded } from "../../parts/use";
import { numberOf } from "../../state";
import type { ViewProps } from "../view";
import { SharedLists } from "./lists";
import { SharedMatrix } from "./matrix";
import { type Piece, type Stack, Stacks } from "./stacks";
import { COLOURS, sharedWith, toneOf } from "./words";

/** What several SAEs share, and what is in one alone. */
export function Shared(props: ViewProps) {
  const { run, explorer } = props;
  const loaded = useLoaded(() => loadSharing(explorer), []);
  const compared = run.manifest.compare;
  if (!compared) {
    return (
      <Empty title="Nothing is compared yet">
        The run is unfinished: repeat the command that began it, then explore it anew.
      </Empty>
    );
  }
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  const sharing = latest(loaded);
  if (!sharing) return <Loading what="the comparison" />;
  return <Told {...props} compared={compared} sharing={sharing} />;
}

function Told(props: ViewProps & { compared: Compared; sharing: Sharing }) {
  const { run, state, go, compared } = props;
  const total = run.names.length;
  const of = run.has(state.more.of ?? "") ? (state.more.of as string) : run.names[0];
  const asked = numberOf(state.more.n);
  const n = asked !== null && asked >= 1 && asked <= total ? asked : 1;
  const open = (stack: string, piece: string) =>
    go({ more: { of: stack, n: piece, list: null, sort: null } });
  return (
    <>
      <header class="compared-head">
        <p class="eyebrow">
          <bdi>{run.model || "a model"}</bdi> · {several(total, "SAE")} compared
        </p>
        <h1>What they share</h1>
        <Finding run={run} compared={compared} of={of} />
      </header>
      <Figure
        name="shared"
        title="Shared by how many"
        legend={legendOf(total)}
        aside={<Explained term="shared">shared</Explained>}
      >
        <Stacks
          label="Features of each SAE, by how many others share them"
          stacks={run.names.map((name) => stackOf(compared, name, total))}
          chosen={{ stack: of, piece: state.more.list === "clusters" ? "" : String(n) }}
          onOpen={open}
          testid="shared-stacks"
        />
      </Figure>
      <div class="compared-two">
        <section aria-labelledby="by-pair">
          <h2 id="by-pair">By pair</h2>
          <p class="aside">Of the features of the row, those shared with the SAE of the column.</p>
          <SharedMatrix run={run} state={state} />
        </section>
        <section aria-labelledby="by-cluster">
          <h2 id="by-cluster">
            In exactly n of {total}: <Explained term="cluster">clusters</Explained>
          </h2>
          <p class="aside">Features that shared pairs join, by how many SAEs they are of.</p>
          <Exactly {...props} total={total} />
        </section>
      </div>
      <SharedLists {...props} of={of} n={n} />
    </>
  );
}

/** Of how many features of an SAE it can be said that n SAEs have them. */
function inExactly(compared: Compared, name: string, n: number): number {
  return compared.exactly.find((row) => row.n === n)?.[`features_${name}`] ?? 0;
}

function Finding({ run, compared, of }: { run: Run; compared: Compared; of: string }) {
  const total = run.names.length;
  const features = compared.features[of];
  const [everywhere, alone] = [total, 1].map((n) => inExactly(compared, of, n));
  const share = (number: number) => percent(number / Math.max(1, features));
  const others = total === 2 ? "with the other" : `with all ${total - 1} others`;
  return (
    <p class="finding" data-testid="finding">
      Of the {count(features)} features of <bdi class="site">{of}</bdi>, <b>{count(everywhere)}</b>{" "}
      ({share(everywhere)}) are shared {others}, and <b>{count(alone)}</b> ({share(alone)}) are
      found only here.
    </p>
  );
}

function legendOf(total: number) {
  return descending(total).map((n) => ({
    color: COLOURS[toneOf(n, total)],
    text: sharedWith(n, total),
  }));
}

const descending = (total: number) => Array.from({ length: total }, (_, i) => total - i);

function stackOf(compared: Compared, name: string, total: number): Stack {
  const pieces = descending(total).map(
    (n): Piece => ({
      key: String(n),
      count: inExactly(compared, name, n),
      tone: toneOf(n, total),
      said: sharedWith(n, total),
    }),
  );
  return { key: name, name, total: compared.features[name], pieces };
}

function Exactly({
  compared,
  state,
  go,
  total,
}: ViewProps & { compared: Compared; total: number }) {
  const rows = [...compared.exactly].filter(({ n }) => n > 1).sort((x, y) => y.n - x.n);
  const chosen = state.more.list === "clusters" ? numberOf(state.more.n) : null;
  return (
    <>
      <div class="scrolls">
        <table class="plain exactly" aria-label="Clusters by number of SAEs" data-testid="exactly">
          <thead>
            <tr>
              <th scope="col">of SAEs</th>
              <th scope="col" class="numeric">
                clusters
              </th>
              <th scope="col" class="numeric">
                complete
              </th>
              <th scope="col" class="numeric">
                tangled
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ n, clusters, complete, tangled }) => (
              <tr key={n} class="match">
                <td>
                  <button
                    type="button"
                    class="linklike"
                    aria-pressed={chosen === n}
                    onClick={() => go({ more: { list: "clusters", n, kind: null, sort: null } })}
                  >
                    {n === total ? `all ${n}` : `${n} of ${total}`}
                  </button>
                </td>
                <td class="numeric">{count(clusters)}</td>
                <td class="numeric">{count(complete)}</td>
                <td class="numeric">{count(tangled)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <CsvButton
        name="clusters-by-number"
        columns={["n", "clusters", "complete", "tangled"].map((title) => ({
          title,
          text: (row: Compared["exactly"][number]) => row[title],
        }))}
        rows={() => rows}
      />
    </>
  );
}
