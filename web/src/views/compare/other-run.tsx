import { loadSides, loadSteps, PARTS, type Part } from "../../data/against";
import type { Explorer, Life } from "../../data/explorer";
import type { Run } from "../../data/run";
import { pValue } from "../../draw/format";
import { latest, useLoaded } from "../../parts/use";
import type { Go, State } from "../../state";
import { changed, writeHash } from "../../state";
import { Chip } from "./lists";
import "./other-run.css";

interface Said {
  b: string;
  part: Part;
  targets: readonly [number, number];
  p: readonly [number, number];
  matched: readonly [boolean, boolean];
}

/** What two runs say of the feature in focus, where two are shown; else nothing. */
export function OtherRun(props: {
  run: Run;
  explorer: Explorer;
  life: Life;
  state: State;
  go: Go;
}) {
  const { explorer, life, state } = props;
  const names = explorer.index.against?.names;
  const said = latest(
    useLoaded(() => (names ? saidOf(explorer, life) : Promise.resolve([])), [life.node]),
  );
  if (!names || !said?.length) return null;
  return (
    <section class="other-run" aria-labelledby="other-run-title" data-testid="other-run">
      <h2 id="other-run-title">
        <bdi>{names[0]}</bdi> and <bdi>{names[1]}</bdi>
      </h2>
      <ul>
        {said.map((one) => {
          const more = { step: `${life.site}--${one.b}`, part: one.part, show: "runs" };
          return (
            <li key={one.b}>
              <a
                href={writeHash(
                  changed(state, { view: "compare", site: null, feature: null, more }),
                )}
              >
                To <bdi class="site">{one.b}</bdi>
              </a>
              : <Sentence {...props} said={one} names={names} />
            </li>
          );
        })}
      </ul>
    </section>
  );
}

async function saidOf(explorer: Explorer, life: Life): Promise<Said[]> {
  const steps = (await loadSteps(explorer)) ?? [];
  const its = steps.filter(({ a }) => a === life.site);
  const found = await Promise.all(
    its.map(async ({ a, b }): Promise<Said[]> => {
      const { part, target, p, matched } = await loadSides(explorer, a, b, life.feature);
      const known = PARTS.find((one) => one === part[0]);
      if (!known) return [];
      return [
        {
          b,
          part: known,
          targets: [target[0][0], target[1][0]],
          p: [p[0][0], p[1][0]],
          matched: [matched[0][0] === true, matched[1][0] === true],
        },
      ];
    }),
  );
  return found.flat();
}

function Sentence(props: {
  explorer: Explorer;
  state: State;
  go: Go;
  said: Said;
  names: readonly [string, string];
}) {
  const { explorer, state, go, said, names } = props;
  const of = (run: 0 | 1) => <Target {...{ explorer, state, go, said, run }} />;
  const none = (run: 0 | 1) => (
    <>
      <bdi>{names[run]}</bdi> accepts none (p {pValue(said.p[run])})
    </>
  );
  const one = (run: 0 | 1) => (
    <>
      <bdi>{names[run]}</bdi> matches {of(run)}
    </>
  );
  switch (said.part) {
    case "same":
      return (
        <>
          both match {of(0)}, <bdi>{names[1]}</bdi> with p {pValue(said.p[1])}.
        </>
      );
    case "different":
      return (
        <>
          {one(0)}, {one(1)}.
        </>
      );
    case "first":
      return (
        <>
          {one(0)}, {none(1)}.
        </>
      );
    case "second":
      return (
        <>
          {one(1)}, {none(0)}.
        </>
      );
    case "neither":
      return <>neither accepts a match.</>;
  }
}

function Target(props: { explorer: Explorer; state: State; go: Go; said: Said; run: 0 | 1 }) {
  const { explorer, state, go, said, run } = props;
  const node = explorer.node(said.b, said.targets[run]);
  const label = latest(useLoaded(() => explorer.listed(node), [node]))?.label;
  return (
    <>
      <Chip explorer={explorer} node={node} label={label} state={state} go={go} /> (p{" "}
      {pValue(said.p[run])})
    </>
  );
}
