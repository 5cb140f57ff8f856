import type { Explorer } from "../../data/explorer";
import type { Run } from "../../data/run";
import { count, several } from "../../draw/format";
import { latest, useLoaded } from "../../parts/use";
import type { Go, State } from "../../state";
import { changed, writeHash } from "../../state";
import { type Example, examplesOf } from "./examples";
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
    <ul class="examples" aria-label="Tracks to begin with">
      {examples.map((example) => {
        const { site, feature, label, said } = example;
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
              <Lifeline example={example} all={run.chain.length} />
              <span class="example-said">{said}</span>
            </a>
          </li>
        );
      })}
    </ul>
  );
}

const WIDE = 120;
const TALL = 14;

/** A track among the layers: a dot where it has a feature, dotted where it passes over. */
function Lifeline({ example: { line }, all }: { example: Example; all: number }) {
  const step = (WIDE - TALL) / Math.max(1, all - 1);
  const x = (i: number) => TALL / 2 + i * step;
  const here = [...line].flatMap((sign, i) => (sign === "." ? [] : [i]));
  const radius = Math.min(4, step * 0.36);
  return (
    <svg class="lifeline" width={WIDE} height={TALL} aria-hidden="true">
      <path class="lifeline-all" d={`M${x(0)},${TALL / 2}H${x(all - 1)}`} />
      {here.slice(1).map((i, before) => (
        <path
          key={i}
          class={i > here[before] + 1 ? "lifeline-over" : "lifeline-link"}
          d={`M${x(here[before])},${TALL / 2}H${x(i)}`}
        />
      ))}
      {here.map((i) => (
        <circle key={i} cx={x(i)} cy={TALL / 2} r={radius} />
      ))}
    </svg>
  );
}

function following(go: Go, to: Parameters<Go>[0]) {
  return (event: MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go(to);
  };
}
