import type { Mode } from "../data/run";
import { Explained } from "../parts/explained";
import { Figure } from "../parts/figure";
import { Empty, Failure, Loading } from "../parts/notices";
import { Segments } from "../parts/segments";
import { latest, useLoaded, useWidth } from "../parts/use";
import { Claim } from "./overview/claim";
import { figuresOf } from "./overview/figures";
import { Lengths, SurvivalCurves } from "./overview/lifespans";
import { Numbers, Pairs } from "./overview/pairs";
import { legendOf, River } from "./overview/river";
import { Strips } from "./overview/strips";
import type { ViewProps } from "./view";
import "./overview.css";

const LEAST = 104; // from layer to layer, below which the river can be drawn to fit

/** How features flow through the model, in one look. */
export function Overview({ run, data, explorer, state, go }: ViewProps) {
  const asked = state.more.mode as Mode;
  const mode = run.modes.includes(asked) ? asked : (run.modes[0] ?? null);
  const loaded = useLoaded(() => figuresOf(run, data, explorer, mode), [mode]);
  const figures = latest(loaded);
  const [ref, width] = useWidth<HTMLElement>();
  const its = { run, explorer, state, go };
  const long = width > 0 && (run.chain.length - 1) * LEAST > width;
  const fit = long && state.more.fit === "1";
  return (
    <div class="overview" data-testid="view-overview">
      <Claim {...its} figures={figures} />
      {loaded.status === "error" && <Failure error={loaded.error} />}
      {run.pairs.length === 0 && (
        <Empty title="No pair is matched yet">
          The run is unfinished: repeat the command that began it, then reload this page.
        </Empty>
      )}
      <section ref={ref} aria-label="Flow" aria-busy={!figures}>
        {!figures && loaded.status === "loading" && <Loading what="the flow" />}
        {figures && width > 0 && run.chain.length > 1 && run.pairs.length > 0 && (
          <>
            <Figure
              name="river"
              title={mode ? "How features flow" : "What matches"}
              legend={legendOf(figures)}
              aside={
                <>
                  {run.modes.length > 1 && mode && (
                    <span class="river-modes">
                      <Segments
                        label="Tracks"
                        value={mode}
                        choices={run.modes.map((value) => ({ value, text: value }))}
                        onChange={(value) => go({ more: { mode: value } })}
                      />
                      <Explained term={mode}>{""}</Explained>
                    </span>
                  )}
                  {long && (
                    <button
                      type="button"
                      class="button fit"
                      aria-pressed={fit}
                      onClick={() => go({ more: { fit: fit ? null : 1 } })}
                    >
                      all at once
                    </button>
                  )}
                </>
              }
            >
              <River run={run} figures={figures} width={width} fit={fit} state={state} go={go} />
            </Figure>
            <Numbers {...its} figures={figures} />
          </>
        )}
      </section>
      {figures && run.chain.length > 1 && <Strips run={run} figures={figures} />}
      {figures && figures.survival.length > 0 && (
        <div class="lives-row">
          <SurvivalCurves run={run} figures={figures} />
          <Lengths figures={figures} />
        </div>
      )}
      {figures && run.pairs.length > 0 && (
        <section>
          <h2>Pairs</h2>
          <Pairs {...its} figures={figures} />
        </section>
      )}
    </div>
  );
}
