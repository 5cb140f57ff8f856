import type { Explorer } from "../../data/explorer";
import type { Run } from "../../data/run";
import { count, several } from "../../draw/format";
import { latest, useLoaded } from "../../parts/use";
import type { Go, State } from "../../state";
import { changed, writeHash } from "../../state";
import { Lifeline } from "../find/lifeline";
import { examplesOf } from "./examples";
import type { Figures } from "./figures";
import { claimOf } from "./story";

interface Its {
  run: Run;
  explorer: Explorer;
  state: State;
  go: Go;
}

/** What the run says, in its own numbers, and three of its tracks by name. */
export function Claim(props: Its & { figures: Figures | undefined }) {
  const { run, explorer, figures, state, go } = props;
  const parts = figures ? claimOf(run, explorer, figures) : [];
  return (
    <header class="story">
      <p class="story-of">
        <bdi>{run.model || "a model"}</bdi>
        <span>{several(run.saes.length, "SAE")}</span>
        <span>{count(explorer.index.nodes)} features</span>
        <bdi>{String(run.manifest.options.method ?? "–")}</bdi>
      </p>
      <h1 data-testid="claim">
        {!parts.length && "How features flow"}
        {parts.map(({ text, to }, i) =>
          to ? (
            <a key={i} href={writeHash(changed(state, to))} onClick={following(go, to)}>
              {text}
            </a>
          ) : (
            text
          ),
        )}
      </h1>
      <Examples run={run} explorer={explorer} state={state} go={go} />
    </header>
  );
}

function Examples({ run, explorer, state, go }: Its) {
  const examples = latest(useLoaded(() => examplesOf(run, explorer), []));
  if (!examples?.length) return null;
  return (
    <ul class="tracks-to-begin" aria-label="Tracks to begin with">
      {examples.map((example) => {
        const { site, feature, label, line, said } = example;
        const to = { view: "life", site, feature, more: { mode: null } } as const;
        return (
          <li key={`${site} ${feature}`}>
            <a
              href={writeHash(changed(state, to))}
              onClick={following(go, to)}
              onPointerEnter={() => explorer.foresee(explorer.node(site, feature))}
              data-testid="example"
            >
              <bdi class="example-name">{label ?? `${site} ${feature}`}</bdi>
              <Lifeline explorer={explorer} line={line} site={site} />
              <span class="example-said">{said}</span>
            </a>
          </li>
        );
      })}
    </ul>
  );
}

function following(go: Go, to: Parameters<Go>[0]) {
  return (event: MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go(to);
  };
}
