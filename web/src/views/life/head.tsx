import { useState } from "preact/hooks";
import type { Life as Being, Explorer } from "../../data/explorer";
import type { Run } from "../../data/run";
import { count, figure, percent } from "../../draw/format";
import { Explained } from "../../parts/explained";
import { changed, type State, writeHash } from "../../state";
import { SharedWith } from "../compare/counterparts";

/** What a feature is: its label, its figures, and what else there is of it. */
export function Header(props: {
  heading: { current: HTMLHeadingElement | null };
  run: Run;
  explorer: Explorer;
  state: State;
  life: Being;
  track: readonly Being[];
}) {
  const { heading, run, explorer, state, life, track } = props;
  const origin = life.origin === null ? null : explorer.index.origins[life.origin];
  const { community } = life;
  const page = neuronpediaOf(run, life);
  // nothing is asked of another host before someone wants it
  const [embedded, setEmbedded] = useState<string | null>(null);
  const embed = (page: string) => setEmbedded(embedded === page ? null : page);
  const facts: [name: string, term: string, value: string][] = [
    ["fires on", "fires on", `${percent(life.frequency)} of tokens`],
    ["largest activation", "largest activation", figure(life.maxActivation)],
  ];
  if (!run.compared) facts.push(["lifespan", "lifespan", lifespanOf(run, track)]);
  if (origin) facts.push(["origin", "origin", origin]);
  return (
    <header class="life-head">
      <p class="eyebrow">
        <bdi class="site">{life.site}</bdi> <b>{life.feature}</b>
      </p>
      <h1 ref={heading} tabIndex={-1}>
        <bdi>{life.label ?? "No contexts known"}</bdi>
      </h1>
      {life.labelSource !== null && (
        <p class="said-by" data-testid="label-source">
          label: <bdi>{life.labelSource}</bdi>
        </p>
      )}
      <dl class="facts">
        {facts.map(([name, term, value]) => (
          <div key={name}>
            <dt>
              <Explained term={term}>{name}</Explained>
            </dt>
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

/** How long a track lives: the layers from its first to its last, both counted. */
function lifespanOf(run: Run, track: readonly Being[]): string {
  if (track.length < 2) return "this layer only";
  const [first, last] = [track[0].site, track[track.length - 1].site];
  const layers = run.chain.indexOf(last) - run.chain.indexOf(first) + 1;
  const passed = layers - track.length;
  const over = passed > 0 ? `, passing over ${count(passed)}` : "";
  return `${count(layers)} layers, ${run.short(first)} to ${run.short(last)}${over}`;
}

/** The page of a feature on Neuronpedia, where its SAE is there. */
function neuronpediaOf(run: Run, { site, feature }: Being): string | null {
  const id = run.sae(site).conventions.neuronpedia_id;
  if (!id) return null;
  return `https://www.neuronpedia.org/${id.split("/").map(encodeURIComponent).join("/")}/${feature}`;
}
