import {
  certain,
  farthest,
  loadSides,
  loadSteps,
  PARTS,
  type Part,
  type Sides,
  type Step,
  shareOf,
} from "../../data/against";
import type { Explorer } from "../../data/explorer";
import type { Run } from "../../data/run";
import { count, figure, percent, pValue, several } from "../../draw/format";
import { Explained } from "../../parts/explained";
import { Figure } from "../../parts/figure";
import { Failure, Loading } from "../../parts/notices";
import { type ColumnOf, Table } from "../../parts/table";
import { latest, useLoaded } from "../../parts/use";
import type { Go, State } from "../../state";
import type { ViewProps } from "../view";
import { Chip, Choice, featureText, Label } from "./lists";
import { type Stack, Stacks } from "./stacks";

/** Two runs of the same SAEs: where they agree, and where only one matches a feature. */
export function TwoRuns(props: ViewProps) {
  const { explorer } = props;
  const loaded = useLoaded(() => loadSteps(explorer), []);
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  const steps = latest(loaded);
  if (!steps) return <Loading what="both runs" />;
  return <Told {...props} steps={steps} />;
}

/** What a part is, of the features of a step. */
function saidOfPart(part: Part, [one, two]: readonly [string, string]): string {
  return {
    same: "both match the same feature",
    different: "both match, different features",
    first: `only ${one} matches`,
    second: `only ${two} matches`,
    neither: "neither matches",
  }[part];
}

const COLOURS: Record<Part, string> = {
  same: "var(--accent)",
  different: "color-mix(in oklab, var(--accent) 42%, var(--paper))",
  first: "var(--attn)",
  second: "var(--mlp)",
  neither: "var(--line)",
};

function Told(props: ViewProps & { steps: readonly Step[] }) {
  const { run, explorer, state, go, steps } = props;
  const names = namesOf(explorer);
  const near = new Set(run.steps.map(({ a, b }) => keyOf({ a, b })));
  const adjacent = steps.filter((step) => near.has(keyOf(step)));
  const further = adjacent.length ? steps.filter((step) => !near.has(keyOf(step))) : [];
  const first = adjacent.length ? adjacent : steps;
  const told = farthest(first) as Step;
  const step = steps.find((one) => keyOf(one) === state.more.step) ?? told;
  const part = PARTS.find((one) => one === state.more.part) ?? openOn(step);
  const open = (key: string, piece: string) => go({ more: { step: key, part: piece } });
  const stacks = (of: readonly Step[]) => of.map((one) => stackOf(run, one, names));
  const chosen = { stack: keyOf(step), piece: part };
  return (
    <>
      <header class="compared-head">
        <p class="eyebrow">
          <bdi>{names[0]}</bdi> against <bdi>{names[1]}</bdi>, on the same SAEs
        </p>
        <h1>Where they agree</h1>
        <Finding run={run} steps={first} told={told} names={names} />
      </header>
      <Figure
        name="two-runs"
        title={run.compared ? "Pair by pair" : "Step by step"}
        legend={PARTS.map((one) => ({ color: COLOURS[one], text: saidOfPart(one, names) }))}
        aside={<Explained term="two runs">two runs</Explained>}
      >
        <Stacks
          label="Features of each pair, by what the two runs say of them"
          stacks={stacks(first)}
          chosen={chosen}
          onOpen={open}
          testid="run-stacks"
        />
      </Figure>
      {further.length > 0 && (
        <details class="further" open={further.includes(step)}>
          <summary>{several(further.length, "pair")} of other layers and modules</summary>
          <Figure name="two-runs-further" title="Other pairs" level={3}>
            <Stacks
              label="Features of other pairs, by what the two runs say of them"
              stacks={stacks(further)}
              chosen={chosen}
              onOpen={open}
              testid="run-stacks-further"
            />
          </Figure>
        </details>
      )}
      <PartList {...props} step={step} part={part} names={names} />
    </>
  );
}

function namesOf(explorer: Explorer): readonly [string, string] {
  return explorer.index.against?.names ?? ["first run", "second run"];
}

const keyOf = ({ a, b }: { a: string; b: string }) => `${a}--${b}`;

/** The part to begin with: what only the run that matches more has. */
function openOn(step: Step): Part {
  const { first, second } = step.parts;
  if (!first && !second) return "same";
  return first >= second ? "first" : "second";
}

function stackOf(run: Run, step: Step, names: readonly [string, string]): Stack {
  return {
    key: keyOf(step),
    name: `${run.short(step.a)} → ${run.short(step.b)}`,
    total: step.features,
    pieces: PARTS.map((part) => ({
      key: part,
      count: step.parts[part],
      tone: part,
      said: saidOfPart(part, names),
    })),
  };
}

function Finding(props: {
  run: Run;
  steps: readonly Step[];
  told: Step;
  names: readonly [string, string];
}) {
  const { run, steps, told, names } = props;
  const sum = (of: (step: Step) => number) => steps.reduce((total, step) => total + of(step), 0);
  const features = sum((step) => step.features);
  const both = sum(({ parts }) => parts.same + parts.different);
  const same = sum(({ parts }) => parts.same);
  const what = run.compared ? "shared" : "go on";
  return (
    <p class="finding" data-testid="finding">
      Over {several(steps.length, run.compared ? "pair" : "step")}, both match {count(both)} of{" "}
      {count(features)} features
      {both > 0 && (
        <>
          , <b>{percent(same / both)}</b> of those to the same feature
        </>
      )}
      . {steps.length > 1 && "They differ most "}
      {steps.length > 1 ? "from" : "From"} <bdi class="site">{told.a}</bdi> to{" "}
      <bdi class="site">{told.b}</bdi>
      {steps.length > 1 ? ": there" : ","} <bdi>{names[0]}</bdi> sees{" "}
      <b>{percent(shareOf(told, 0))}</b> of features {what}, <bdi>{names[1]}</bdi>{" "}
      <b>{percent(shareOf(told, 1))}</b>.
    </p>
  );
}

function PartList(props: ViewProps & { step: Step; part: Part; names: readonly [string, string] }) {
  const { run, explorer, state, go, step, part, names } = props;
  const { a, b } = step;
  const loaded = useLoaded(async () => {
    const sides = await loadSides(explorer, a, b);
    return { sides, order: certain(sides, part) };
  }, [a, b, part]);
  const shown = latest(loaded);
  const steps = latest(useLoaded(() => loadSteps(explorer), [])) ?? [step];
  return (
    <section class="compared-lists" aria-labelledby="part-list">
      <h2 id="part-list">
        <bdi class="site">{a}</bdi> → <bdi class="site">{b}</bdi>: {saidOfPart(part, names)}
      </h2>
      <div class="compared-choice">
        <Choice
          label="step"
          testid="list-step"
          value={keyOf(step)}
          choices={steps.map((one) => [keyOf(one), `${run.short(one.a)} → ${run.short(one.b)}`])}
          onChange={(value) => go({ more: { step: value, part } })}
        />
        <Choice
          label="where"
          testid="list-part"
          value={part}
          choices={PARTS.map((one) => [one, saidOfPart(one, names)])}
          onChange={(value) => go({ more: { step: keyOf(step), part: value } })}
        />
      </div>
      <p
        class="aside"
        role="status"
        data-testid="list-says"
        aria-busy={loaded.status === "loading"}
      >
        {count(step.parts[part])} of {count(step.features)} features, the most certain first: by
        p-value, then by cosine.
      </p>
      {loaded.status === "error" && <Failure error={loaded.error} />}
      {shown && shown.order.length > 0 && (
        <Table
          name={`runs-${a}-${b}-${part}`}
          label={`Features of ${a}: ${saidOfPart(part, names)}`}
          columns={columnsOf(explorer, step, shown.sides, names, state, go)}
          count={shown.order.length}
          row={(i) => shown.order[i]}
          onNear={(feature) => explorer.foresee(explorer.node(a, feature))}
          onOpen={(feature) => go({ view: "life", site: a, feature })}
          height={520}
        />
      )}
    </section>
  );
}

function columnsOf(
  explorer: Explorer,
  { a, b }: Step,
  sides: Sides,
  names: readonly [string, string],
  state: State,
  go: Go,
): ColumnOf<number>[] {
  const node = (feature: number) => explorer.node(a, feature);
  const label = async (node: number) => (await explorer.listed(node)).label;
  const sideOf = (run: 0 | 1): ColumnOf<number>[] => {
    const target = (feature: number) => sides.target[run][feature];
    const matched = (feature: number) => sides.matched[run][feature] === true;
    return [
      {
        key: `target ${run}`,
        title: `by ${names[run]}`,
        width: "13em",
        grows: true,
        hint: "its target; in grey where it is no match",
        show: (feature) =>
          target(feature) < 0 ? (
            "–"
          ) : (
            <span class={matched(feature) ? undefined : "refused"}>
              <b>{target(feature)}</b>{" "}
              <Label explorer={explorer} node={explorer.node(b, target(feature))} />
              {!matched(feature) && <small class="kind"> no match</small>}
            </span>
          ),
        text: (feature) => (target(feature) < 0 ? null : target(feature)),
      },
      {
        key: `p ${run}`,
        title: "p-value",
        heading: `p-value by ${names[run]}`,
        numeric: true,
        width: "5.5em",
        show: (feature) => pValue(sides.p[run][feature]),
        text: (feature) => sides.p[run][feature],
      },
      {
        key: `cosine ${run}`,
        title: "cosine",
        heading: `cosine by ${names[run]}`,
        numeric: true,
        width: "5em",
        hint: "of the decoder rows of the feature and that target",
        show: (feature) => figure(sides.cosine[run][feature]),
        text: (feature) => sides.cosine[run][feature],
      },
    ];
  };
  return [
    {
      key: "feature",
      title: "feature",
      width: "12em",
      show: (feature) => <Chip explorer={explorer} node={node(feature)} state={state} go={go} />,
      text: (feature) => featureText(explorer, node(feature)),
    },
    {
      key: "label",
      title: "label",
      width: "11em",
      grows: true,
      show: (feature) => <Label explorer={explorer} node={node(feature)} />,
      text: (feature) => label(node(feature)),
    },
    ...sideOf(0),
    ...sideOf(1),
  ];
}
