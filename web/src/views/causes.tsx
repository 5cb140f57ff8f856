import { type Causes as All, loadCauses } from "../data/causes";
import type { Run } from "../data/run";
import { Empty, Failure, Loading } from "../parts/notices";
import { useLoaded } from "../parts/use";
import { Deactivation } from "./causes/removed";
import { Substitution } from "./causes/replaced";
import { Tracks } from "./causes/tracks";
import type { ViewProps } from "./view";
import "./causes.css";

/** What happens to features and predictions where matched features are removed or replaced. */
export function Causes(props: ViewProps) {
  const loaded = useLoaded(() => loadCauses(props.explorer), []);
  if (loaded.status === "error") return <Failure error={loaded.error} />;
  if (loaded.status !== "ready") return <Loading what="the interventions" />;
  if (!loaded.value) {
    return (
      <div data-testid="view-causes">
        <Empty title="Nothing was changed in this run's model">
          <code>saematch intervene RUN --model NAME</code> removes and replaces matched features,
          and writes what happens to the run. Then explore it anew.
        </Empty>
      </div>
    );
  }
  return <Shown {...props} all={loaded.value} />;
}

function Shown({ run, state, go, all }: ViewProps & { all: All }) {
  const steps = [...new Set([...all.removals, ...all.replacements].map(({ step }) => step))].filter(
    (step) => step !== null,
  );
  const step = steps.find((one) => one === state.more.step) ?? null;
  const removals = all.removals.filter((one) => one.step === step);
  const replacements = all.replacements.filter((one) => one.step === step);
  const section = run.manifest.causes;
  const notes = Array.isArray(section?.notes) ? (section.notes as string[]) : [];
  return (
    <div class="causes-view" data-testid="view-causes">
      <header>
        <p class="eyebrow">
          Interventions in <bdi>{String(section?.model ?? run.model ?? "the model")}</bdi>
        </p>
        <h1>Do matches say what causes what?</h1>
        {steps.length > 1 && (
          <label class="cause-choice">
            Layers{" "}
            <select
              value={step ?? ""}
              data-testid="cause-step"
              onChange={(event) => go({ more: { step: event.currentTarget.value } })}
            >
              <option value="">all</option>
              {steps.map((one) => (
                <option key={one} value={one}>
                  {titled(run, one)}
                </option>
              ))}
            </select>
          </label>
        )}
        {notes.map((note) => (
          <p key={note} class="aside">
            Note: {note}.
          </p>
        ))}
      </header>
      <Deactivation
        title="What a feature comes from is removed"
        id="cause-removed"
        removals={removals.filter(({ joint }) => !joint)}
      />
      <Deactivation
        title="Predecessors in the stream, attention and MLP are removed together"
        id="cause-joint"
        removals={removals.filter(({ joint }) => joint)}
      />
      <Substitution all={all} replacements={replacements} whole={step === null} />
      {step === null && <Tracks all={all} />}
    </div>
  );
}

/** A step, `A--B`, as the axis of layers would say it. */
function titled(run: Run, step: string): string {
  const [a, b] = step.split("--");
  const short = (name: string) => (run.has(name) ? run.short(name) : name);
  return `${a.split("+").map(short).join(" + ")} → ${short(b)}`;
}
