import { useMemo, useRef } from "preact/hooks";
import type { Life as Being, Explorer } from "../data/explorer";
import { type Partner, partnersOf } from "../data/partners";
import type { Mode, Run } from "../data/run";
import type { Data } from "../data/tables";
import { shortened } from "../data/tokens";
import { useArrival } from "../parts/arrival";
import { Figure } from "../parts/figure";
import { Empty, Failure, Loading } from "../parts/notices";
import { Segments } from "../parts/segments";
import { latest, useLoaded, usePainted, useWidth } from "../parts/use";
import { changed, type Go, type State, writeHash } from "../state";
import { Counterparts, clusterOf } from "./compare/counterparts";
import { OtherRun } from "./compare/other-run";
import { Curves, CurveTerms } from "./life/curves";
import { Header } from "./life/head";
import { layoutOf } from "./life/layout";
import { legendOf } from "./life/legend";
import { Links } from "./life/links";
import { Missing, missingOf } from "./life/missing";
import { Panels } from "./life/panels";
import { Strip } from "./life/strip";
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
  const missing = missingOf(run, explorer, state);
  const loaded = useLoaded(async () => {
    if (site === null || feature === null || missing) return null;
    const life = await explorer.life(site, feature);
    const track = run.compared ? clusterOf(explorer, life) : explorer.track(life, mode);
    return { life, track: await track };
  }, [site, feature, mode]);
  if (site === null || feature === null) return <Start run={run} state={state} />;
  if (missing) return <Missing why={missing} run={run} explorer={explorer} state={state} />;
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
  const labels = latest(
    useLoaded(
      async () => explorer.labels(layout ? layout.sides.map((side) => side.node) : []),
      [layout],
    ),
  );
  // the track is what a person waits for; the tables below it are many more elements
  const drawn = usePainted(layout !== null);
  const compared =
    latest(useLoaded(() => besideOf(run, explorer, state), [state.more.with])) ?? null;
  const partners = latest(useLoaded(() => partnersOf(data, explorer, track), [track])) ?? NONE;
  const beside = useMemo(() => new Set(partners.map(({ other }) => other)), [partners]);
  const heading = useRef<HTMLHeadingElement>(null);
  // whoever walks along the drawing, or along the contexts, stays there
  useArrival(heading, [life.node], ".life-track, .panels");
  return (
    <div class="life" data-testid="view-life">
      <Header {...props} heading={heading} />
      {run.compared ? (
        <section class="life-track" aria-label="Counterparts">
          <Counterparts {...props} members={track} />
        </section>
      ) : (
        <section class="life-track" aria-label="Track">
          <Figure
            name={`life-${life.site}-${life.feature}`}
            title={titleOf(life)}
            level={0}
            legend={layout ? legendOf(layout, beside) : []}
            aside={
              <>
                <h2>The track, layer by layer</h2>
                {run.modes.length > 1 && (
                  <Segments
                    label="Tracks"
                    value={mode as Mode}
                    choices={run.modes.map((value) => ({
                      value,
                      text: value,
                      hint: MODE_HINTS[value],
                    }))}
                    onChange={(value) => go({ more: { mode: value } })}
                  />
                )}
              </>
            }
          >
            <div ref={ref}>
              {layout && (
                <Strip run={run} layout={layout} focus={life.node} width={width}>
                  <Track
                    run={run}
                    explorer={explorer}
                    layout={layout}
                    focus={life.node}
                    labels={labels ?? NAMELESS}
                    partners={beside}
                    walk={walk}
                  />
                  <Curves layout={layout} focus={life.node} />
                </Strip>
              )}
            </div>
          </Figure>
          {layout && <CurveTerms layout={layout} />}
        </section>
      )}
      <OtherRun run={run} explorer={explorer} life={life} state={state} go={go} />
      <section aria-labelledby="contexts-title">
        <h2 id="contexts-title">What they fire on</h2>
        <Panels
          data={data}
          track={track}
          focus={life.node}
          beside={compared}
          onClose={() => go({ more: { with: null } })}
          walk={walk}
        />
      </section>
      {!run.compared && (
        <section aria-labelledby="links-title">
          <h2 id="links-title">
            All that the run relates to <bdi class="site">{life.site}</bdi> {life.feature}
          </h2>
          {drawn && (
            <Links
              run={run}
              explorer={explorer}
              life={life}
              partners={partners}
              state={state}
              go={go}
            />
          )}
        </section>
      )}
    </div>
  );
}

const NONE: readonly Partner[] = [];
const NAMELESS: ReadonlyMap<number, string | null> = new Map();

/** What a picture of a track is called: it stands alone, without the heading of the page. */
function titleOf({ site, feature, label }: Being): string {
  const called = label === null ? "" : `: ${shortened(label, 60, "beginning")}`;
  return `The track of ${site} ${feature}${called}`;
}

/** The feature that the state compares with the one in focus. */
async function besideOf(run: Run, explorer: Explorer, state: State): Promise<Being | null> {
  const [, site, feature] = /^(.+)\/(\d+)$/.exec(state.more.with ?? "") ?? [];
  return site && run.has(site) ? explorer.life(site, Number(feature)) : null;
}
