import { useRef } from "preact/hooks";
import {
  type Counterpart,
  counterparts,
  loadSharing,
  type SharedPair,
  sharedPairs,
} from "../../data/compare";
import type { Explorer, Life } from "../../data/explorer";
import type { Run } from "../../data/run";
import type { Data } from "../../data/tables";
import { figure, pValue } from "../../draw/format";
import { fitted } from "../../draw/path";
import { useTooltip } from "../../draw/tooltip";
import { Explained } from "../../parts/explained";
import { Figure } from "../../parts/figure";
import { Failure, Loading } from "../../parts/notices";
import { CsvButton } from "../../parts/table";
import { latest, useLoaded, useWidth } from "../../parts/use";
import type { Go, State } from "../../state";
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
        legend={[{ color: "var(--accent)", kind: "line", text: "shared, with the decoder cosine" }]}
        aside={<Explained term="shared">shared</Explained>}
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
              <th scope="col">shared</th>
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

const COLUMN = 150; // least pixels between two SAEs
const ROW = 74;
const TOP = 40;

/** A cluster: SAEs from left to right, a line for every two features that are shared. */
function Cluster(props: {
  run: Run;
  life: Life;
  members: readonly Life[];
  pairs: readonly SharedPair[];
  go: Go;
}) {
  const { run, life, members, pairs, go } = props;
  const [ref, seen] = useWidth<HTMLDivElement>();
  const svg = useRef<SVGSVGElement>(null);
  const tip = useTooltip();
  const names = run.names;
  const width = Math.max(seen, names.length * COLUMN);
  const step = Math.min(300, width / names.length);
  const column = new Map(names.map((name, i) => [name, (i + 0.5) * step]));
  const used = new Map<string, number>();
  // lines between SAEs that are not neighbours pass above the first row
  const lift = TOP + 30 * Math.max(0, names.length - 2);
  const marks = members.map((member, i) => {
    const row = used.get(member.site) ?? 0;
    used.set(member.site, row + 1);
    return { life: member, i, x: column.get(member.site) ?? 0, y: lift + row * ROW };
  });
  const rows = Math.max(1, ...used.values());
  const height = lift + (rows - 1) * ROW + 76;
  const at = new Map(marks.map((mark) => [mark.life.node, mark]));
  const labelled = pairs.length <= 10;
  const move = (event: KeyboardEvent) => {
    const here = Number((event.target as Element).getAttribute("data-place"));
    const to = {
      ArrowRight: here + 1,
      ArrowDown: here + 1,
      ArrowLeft: here - 1,
      ArrowUp: here - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    svg.current?.querySelector<SVGElement>(`[data-place="${to}"]`)?.focus();
  };
  return (
    <div class="scrolls" ref={ref}>
      {seen > 0 && (
        <svg
          ref={svg}
          class="cluster"
          width={Math.max(seen, step * names.length)}
          height={height}
          role="group"
          aria-label="The features of its cluster: arrow keys move, Enter goes there"
          onKeyDown={move}
          data-testid="cluster"
        >
          <g aria-hidden="true">
            {names.map((name) => (
              <g key={name}>
                <text x={column.get(name)} y={height - 8} text-anchor="middle" class="cluster-sae">
                  {fitted(name, step - 10, 12)}
                </text>
                {!used.has(name) && <circle class="absent" cx={column.get(name)} cy={lift} r="7" />}
              </g>
            ))}
          </g>
          <g aria-hidden="true">
            {pairs.map(({ a, b, cosine }) => {
              const [from, to] = [at.get(a), at.get(b)];
              if (!from || !to) return null;
              const apart = Math.round(Math.abs(to.x - from.x) / step);
              const up = 30 * Math.max(0, apart - 1) * (4 / 3) + (apart > 1 ? 16 : 0);
              const [x, y] = [(from.x + to.x) / 2, (from.y + to.y) / 2 - up * 0.75];
              const bend = `C${from.x + (to.x - from.x) / 4},${from.y - up} ${to.x - (to.x - from.x) / 4},${to.y - up}`;
              return (
                <g key={`${a} ${b}`}>
                  <path
                    class={a === life.node || b === life.node ? "tie own" : "tie"}
                    d={`M${from.x},${from.y}${bend} ${to.x},${to.y}`}
                    data-testid="tie"
                  />
                  {labelled && (
                    <text class="tie-cosine" x={x} y={y + 4} text-anchor="middle">
                      {figure(cosine)}
                    </text>
                  )}
                </g>
              );
            })}
          </g>
          {marks.map(({ life: one, i, x, y }) => {
            const chosen = one.node === life.node;
            const open = () => go({ view: "life", site: one.site, feature: one.feature });
            const label = one.label ?? "no label";
            return (
              <g
                key={one.node}
                class={chosen ? "member chosen" : "member"}
                transform={`translate(${x},${y})`}
                role="link"
                tabindex={chosen ? 0 : -1}
                aria-current={chosen ? "true" : undefined}
                aria-label={`${one.feature} ${label}, ${one.site}`}
                data-place={i}
                data-testid="member"
                onClick={open}
                onKeyDown={(event) => {
                  if (event.key === "Enter" || event.key === " ") {
                    event.preventDefault();
                    open();
                  }
                }}
                {...tip.on(() => (
                  <>
                    <p class="tip-title">
                      <bdi class="site">{one.site}</bdi> <b>{one.feature}</b>
                    </p>
                    <p class="tip-label">
                      <bdi>{label}</bdi>
                    </p>
                  </>
                ))}
              >
                <circle class="halo" r="16" />
                <circle class="dot" r={chosen ? 9 : 7} />
                <text y={25} text-anchor="middle" class="member-number" aria-hidden="true">
                  {one.feature}
                </text>
                <text y={41} text-anchor="middle" class="member-label" aria-hidden="true">
                  {fitted(one.label ?? "–", step - 16, 13)}
                </text>
              </g>
            );
          })}
        </svg>
      )}
      {tip.view}
    </div>
  );
}
