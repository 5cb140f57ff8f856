import { type Counterpart, counterparts, loadSharing, sharedPairs } from "../../data/compare";
import type { Explorer, Life } from "../../data/explorer";
import type { Run } from "../../data/run";
import type { Data } from "../../data/tables";
import { figure, pValue } from "../../draw/format";
import { Explained } from "../../parts/explained";
import { Figure } from "../../parts/figure";
import { Failure, Loading } from "../../parts/notices";
import { CsvButton } from "../../parts/table";
import { latest, useLoaded } from "../../parts/use";
import type { Go, State } from "../../state";
import { Cluster } from "./cluster";
import { Chip, Label } from "./lists";
import "./counterparts.css";

const MOST = 24; // features of a cluster that are drawn

/** The features of a feature's cluster, SAE by SAE; itself alone where none shares it. */
export async function clusterOf(explorer: Explorer, life: Life): Promise<Life[]> {
  const sharing = await loadSharing(explorer);
  const cluster = sharing?.cluster[life.node] ?? NaN;
  const members = Number.isNaN(cluster) ? [] : (sharing?.members[cluster] ?? []);
  const others = members.filter((node) => node !== life.node).slice(0, MOST - 1);
  const found = [life.node, ...others].sort((x, y) => x - y);
  const lives = await Promise.all(
    found.map((node) => {
      const { site, feature } = explorer.feature(node);
      return node === life.node ? life : explorer.life(site, feature);
    }),
  );
  // no link leads from one to the next: they stand side by side
  return lives.map((one) => ({ ...one, score: NaN, p: NaN }));
}

/** "2 of 3 others": by how many other SAEs a feature is shared. */
export function SharedWith({ run, explorer, life }: { run: Run; explorer: Explorer; life: Life }) {
  const sharing = latest(useLoaded(() => loadSharing(explorer), []));
  if (!sharing) return <span aria-busy={true} />;
  const others = sharing.with[life.node];
  if (Number.isNaN(others)) return <>takes no part</>;
  return (
    <span data-testid="shared-with">
      {others} of {run.names.length - 1} others
    </span>
  );
}

/** A feature's counterparts in the other SAEs, drawn with what they share, and as a table. */
export function Counterparts(props: {
  run: Run;
  data: Data;
  explorer: Explorer;
  life: Life;
  /** The features of its cluster. */
  members: readonly Life[];
  state: State;
  go: Go;
}) {
  const { run, data, explorer, life, members } = props;
  const of = members.map(({ node }) => node);
  const loaded = useLoaded(async () => {
    const [its, pairs] = await Promise.all([
      counterparts(run, data, life.site, life.feature),
      sharedPairs(run, data, explorer, of),
    ]);
    return { its, pairs };
  }, [life.node, of.join()]);
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  const shown = latest(loaded);
  if (!shown) return <Loading what="its counterparts" />;
  return (
    <div class="counterparts">
      <Figure
        name="cluster"
        title="Where it is shared"
        legend={[
          { color: "var(--accent)", kind: "line", text: "shared; figures are decoder cosines" },
        ]}
      >
        <Cluster {...props} pairs={shown.pairs} />
      </Figure>
      <section aria-labelledby="counterparts-title">
        <h2 id="counterparts-title">In the other SAEs</h2>
        <OtherTable {...props} its={shown.its} />
      </section>
    </div>
  );
}

function OtherTable(props: {
  explorer: Explorer;
  life: Life;
  its: readonly Counterpart[];
  state: State;
  go: Go;
}) {
  const { explorer, life, its, state, go } = props;
  return (
    <>
      <div class="scrolls">
        <table class="plain others" aria-label="In the other SAEs" data-testid="counterparts">
          <thead>
            <tr>
              <th scope="col">counterpart</th>
              <th scope="col">label</th>
              <th scope="col">
                <Explained term="shared">shared</Explained>
              </th>
              <th scope="col" class="numeric" title="of the decoder rows">
                decoders
              </th>
              <th scope="col" class="numeric" title="cosine of the encoder columns">
                encoders
              </th>
              <th scope="col" class="numeric">
                p-value
              </th>
            </tr>
          </thead>
          <tbody>
            {its.map((one) => {
              const node = one.feature < 0 ? null : explorer.node(one.sae, one.feature);
              return (
                <tr key={one.sae} class={one.shared ? "match" : undefined}>
                  <td>
                    {node === null ? (
                      <bdi class="site">{one.sae}</bdi>
                    ) : (
                      <Chip explorer={explorer} node={node} state={state} go={go} />
                    )}
                  </td>
                  <td>{node === null ? "–" : <Label explorer={explorer} node={node} />}</td>
                  <td>{one.shared ? "shared" : node === null ? "none" : "not shared"}</td>
                  <td class="numeric">{figure(one.cosine)}</td>
                  <td class="numeric">{figure(one.encoderCosine)}</td>
                  <td class="numeric">{pValue(one.p)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <CsvButton
        name={`counterparts-${life.site}-${life.feature}`}
        columns={[
          { title: "sae", text: (one: Counterpart) => one.sae },
          { title: "feature", text: (one) => (one.feature < 0 ? null : one.feature) },
          { title: "shared", text: (one) => String(one.shared) },
          { title: "decoder cosine", text: (one) => one.cosine },
          { title: "encoder cosine", text: (one) => one.encoderCosine },
          { title: "p-value", text: (one) => one.p },
        ]}
        rows={() => its}
      />
    </>
  );
}
