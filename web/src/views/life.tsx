import { useMemo, useState } from "preact/hooks";
import type { Life as Being, Explorer } from "../data/explorer";
import type { Mode, Run } from "../data/run";
import type { Data } from "../data/tables";
import { count, figure, percent } from "../draw/format";
import { Empty, Failure, Loading } from "../parts/notices";
import { Segments } from "../parts/segments";
import { latest, useLoaded, usePainted, useWidth } from "../parts/use";
import { changed, type Go, type State, writeHash } from "../state";
import { Counterparts, clusterOf, SharedWith } from "./compare/counterparts";
import { OtherRun } from "./compare/other-run";
import { Curves } from "./life/curves";
import { layoutOf, ROOM } from "./life/layout";
import { Links } from "./life/links";
import { Panels } from "./life/panels";
import { Track, type Walk } from "./life/track";
import type { ViewProps } from "./view";
import "./life.css";

const MODE_HINTS: Record<Mode, string> = {
  gaps: "the best set of tracks at once, which may pass over a layer",
  flow: "each feature to its best target; tracks may run together",
  chained: "matches of neighbours, one after the other",
};

/** A feature's life: its track over the layers, what lies beside it, and what it fires on. */
export function Life(props: ViewProps) {
  const { run, explorer, state, go } = props;
  const { site, feature } = state;
  const mode = modeOf(run, explorer, state);
  const loaded = useLoaded(async () => {
    if (site === null || feature === null) return null;
    if (!run.has(site))
      throw new Error(`The run has no SAE ${site}. It has ${run.names.join(", ")}.`);
    const life = await explorer.life(site, feature);
    const track = run.compared ? clusterOf(explorer, life) : explorer.track(life, mode);
    return { life, track: await track };
  }, [site, feature, mode]);
  if (site === null || feature === null) return <Start run={run} state={state} />;
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  const shown = latest(loaded);
  if (!shown) return <Loading what={`${site} ${feature}`} />;
  return <Shown {...props} {...shown} mode={mode} go={go} />;
}

function modeOf(run: Run, explorer: Explorer, state: State): Mode | null {
  const asked = state.more.mode as Mode;
  return run.modes.includes(asked) ? asked : (explorer.index.mode ?? run.modes[0] ?? null);
}

function Start({ run, state }: { run: Run; state: State }) {
  const sort = run.compared ? "shared" : "lifespan";
  const first = writeHash(changed(state, { view: "find", more: { sort } }));
  return (
    <div data-testid="view-life">
      <h1 class="visually-hidden">{run.compared ? "A feature" : "Life of a feature"}</h1>
      <Empty title={run.compared ? "Which feature?" : "Whose life?"}>
        Search for a token that a feature fires on, or for a number such as <code>3_100</code>{" "}
        (press <kbd>/</kbd>), or begin with{" "}
        <a href={first}>
          {run.compared ? "the features that most SAEs share" : "the features that live longest"}
        </a>
        .
      </Empty>
    </div>
  );
}

function Shown(props: {
  run: Run;
  data: Data;
  explorer: Explorer;
  state: State;
  go: Go;
  life: Being;
  track: Being[];
  mode: Mode | null;
}) {
  const { run, data, explorer, state, go, life, track, mode } = props;
  const [ref, width] = useWidth<HTMLDivElement>();
  const walk: Walk = (site, feature, options) => go({ view: "life", site, feature }, options);
  const layout = useMemo(
    () => (width > 0 ? layoutOf(run, explorer, track, width) : null),
    [track.map((step) => step.node).join(), width],
  );
  const roomy = layout
    ? layout.columns.length < 2 || layout.columns[1].x - layout.columns[0].x > ROOM
    : false;
  const labels = latest(
    useLoaded(
      async () => explorer.labels(roomy && layout ? layout.sides.map((side) => side.node) : []),
      [layout, roomy],
    ),
  );
  // the track is what a person waits for; the tables below it are many more elements
  const drawn = usePainted(layout !== null);
  const beside = latest(useLoaded(() => besideOf(run, explorer, state), [state.more.with])) ?? null;
  const partners =
    latest(useLoaded(() => partnersOf(run, data, explorer, track), [track])) ?? NOBODY;
  return (
    <div class="life" data-testid="view-life">
      <Header {...props} />
      {run.modes.length > 1 && (
        <Segments
          label="Tracks"
          value={mode as Mode}
          choices={run.modes.map((value) => ({ value, text: value, hint: MODE_HINTS[value] }))}
          onChange={(value) => go({ more: { mode: value } })}
        />
      )}
      <section class="life-track" ref={ref} aria-label={run.compared ? "Counterparts" : "Track"}>
        {run.compared && <Counterparts {...props} members={track} />}
        {layout && !run.compared && (
          <>
            <Track
              run={run}
              explorer={explorer}
              layout={layout}
              focus={life.node}
              labels={labels ?? NAMELESS}
              partners={partners}
              walk={walk}
            />
            <Curves layout={layout} focus={life.node} />
          </>
        )}
      </section>
      <OtherRun run={run} explorer={explorer} life={life} state={state} go={go} />
      <section aria-labelledby="contexts-title">
        <h2 id="contexts-title">What they fire on</h2>
        <Panels
          data={data}
          track={track}
          focus={life.node}
          beside={beside}
          onClose={() => go({ more: { with: null } })}
          walk={walk}
        />
      </section>
      {!run.compared && (
        <section aria-labelledby="links-title">
          <h2 id="links-title">
            All that the run relates to <bdi class="site">{life.site}</bdi> {life.feature}
          </h2>
          {drawn && <Links run={run} explorer={explorer} life={life} state={state} go={go} />}
        </section>
      )}
    </div>
  );
}

const NOBODY: ReadonlySet<number> = new Set();
const NAMELESS: ReadonlyMap<number, string | null> = new Map();

/** The feature that the state compares with the one in focus. */
async function besideOf(run: Run, explorer: Explorer, state: State): Promise<Being | null> {
  const [, site, feature] = /^(.+)\/(\d+)$/.exec(state.more.with ?? "") ?? [];
  return site && run.has(site) ? explorer.life(site, Number(feature)) : null;
}

/** Features that a feature of the track splits into, or that merge into one with it. */
async function partnersOf(
  run: Run,
  data: Data,
  explorer: Explorer,
  track: readonly Being[],
): Promise<Set<number>> {
  const found = new Set<number>();
  const follow = async (life: Being, kind: "split" | "merge") => {
    const at = run.chain.indexOf(life.site);
    const [a, b] = kind === "split" ? [at, at + 1] : [at - 1, at];
    if (at < 0 || !run.chain[a] || !run.chain[b]) return;
    for (const split of await data.splits(run.chain[a], run.chain[b])) {
      if (split.kind !== kind || split.feature !== life.feature) continue;
      found.add(explorer.node(kind === "split" ? split.b : split.a, split.part));
    }
  };
  await Promise.all(
    track.flatMap((life) => [
      life.split > 1 ? follow(life, "split") : null,
      life.merge > 1 ? follow(life, "merge") : null,
    ]),
  );
  return found;
}

function Header(props: {
  run: Run;
  explorer: Explorer;
  state: State;
  life: Being;
  track: readonly Being[];
}) {
  const { run, explorer, state, life, track } = props;
  const first = track[0];
  const last = track[track.length - 1];
  const origin = life.origin === null ? null : explorer.index.origins[life.origin];
  const { community } = life;
  const page = neuronpediaOf(run, life);
  // nothing is asked of another host before someone wants it
  const [embedded, setEmbedded] = useState<string | null>(null);
  const embed = (page: string) => setEmbedded(embedded === page ? null : page);
  const facts: [string, string][] = [
    ["fires on", `${percent(life.frequency)} of tokens`],
    ["largest activation", figure(life.maxActivation)],
  ];
  if (!run.compared) {
    facts.push([
      "lifespan",
      track.length > 1
        ? `${count(track.length)} layers, ${run.short(first.site)} to ${run.short(last.site)}`
        : "this layer only",
    ]);
  }
  if (origin) facts.push(["origin", origin]);
  return (
    <header class="life-head">
      <p class="eyebrow">
        <bdi class="site">{life.site}</bdi> <b>{life.feature}</b>
      </p>
      <h1>
        <bdi>{life.label ?? "No contexts known"}</bdi>
      </h1>
      {life.labelSource !== null && (
        <p class="said-by" data-testid="label-source">
          label: <bdi>{life.labelSource}</bdi>
        </p>
      )}
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
        {run.compared && (
          <div>
            <dt>shared with</dt>
            <dd>
              <SharedWith run={run} explorer={explorer} life={life} />
            </dd>
          </div>
        )}
        <div>
          <dt>more</dt>
          <dd>
            {run.compared ? (
              <a href={writeHash(changed(state, { view: "compare", site: null, feature: null }))}>
                all that is shared
              </a>
            ) : (
              <a href={writeHash(changed(state, { view: "graph" }))}>neighbourhood</a>
            )}
            {community !== null && (
              <a href={writeHash(changed(state, { view: "find", more: { community } }))}>
                community {community}
              </a>
            )}
            {page && (
              <>
                <a href={page} rel="noreferrer noopener" target="_blank">
                  Neuronpedia ↗
                </a>
                <button type="button" class="linklike" onClick={() => embed(page)}>
                  {embedded === page ? "hide it" : "show it here"}
                </button>
              </>
            )}
          </dd>
        </div>
      </dl>
      {page && embedded === page && (
        <iframe
          class="embed"
          title="Neuronpedia"
          src={`${page}?embed=true`}
          sandbox="allow-scripts allow-same-origin allow-popups"
          referrerpolicy="no-referrer"
        />
      )}
    </header>
  );
}

/** The page of a feature on Neuronpedia, where its SAE is there. */
function neuronpediaOf(run: Run, { site, feature }: Being): string | null {
  const id = run.sae(site).conventions.neuronpedia_id;
  if (!id) return null;
  return `https://www.neuronpedia.org/${id.split("/").map(encodeURIComponent).join("/")}/${feature}`;
}
