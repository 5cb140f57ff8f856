import {
  type Causes as All,
  CEILINGS,
  CONTROLS,
  isNamed,
  loadCauses,
  type Measured,
  type Removal,
  type Replacement,
} from "../data/causes";
import type { Run } from "../data/run";
import { count, percent, several } from "../draw/format";
import { Figure } from "../parts/figure";
import { Empty, Failure, Loading } from "../parts/notices";
import { CsvButton } from "../parts/table";
import { useLoaded } from "../parts/use";
import { Curves } from "./causes/curves";
import { COLUMNS, Dots, keyOf, type Row } from "./causes/dots";
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

const share = (its: Measured) => `${percent(its.value)} (${within(its, 100)})`;
const plain = (its: Measured) => `${two(its.value)} (${two(its.low)} to ${two(its.high)})`;
const two = (value: number) => (Number.isNaN(value) ? "–" : value.toFixed(2).replace("-", "−"));
/** Whether a method names five features at once. */
const ofFive = (method: string) => method.startsWith("5 ");

function within({ low, high }: Measured, times: number): string {
  return `${Math.round(times * low)} to ${Math.round(times * high)}`;
}

const kindOf = (method: string): Row["kind"] =>
  CEILINGS.includes(method) ? "ceiling" : CONTROLS.includes(method) ? "control" : "named";

function Deactivation(props: { title: string; id: string; removals: readonly Removal[] }) {
  const { title, id, removals } = props;
  if (!removals.length) return null;
  const its = removals
    .filter(({ control }) => !control)
    .sort((x, y) => y.success.value - x.success.value);
  const controlOf = (method: string) =>
    removals.find((one) => one.control && one.method === method)?.success ?? null;
  const named = its.filter(({ method }) => isNamed(method));
  const best = named.find(({ method }) => !ofFive(method)) ?? named[0];
  const five = named.find(({ method }) => ofFive(method) && method !== best?.method);
  const ceiling = its.find(({ method }) => CEILINGS.includes(method));
  const control = best && controlOf(best.method);
  const rows = its.map((one): Row => {
    const beside = controlOf(one.method);
    return {
      name: one.method,
      its: one.success,
      control: beside,
      kind: kindOf(one.method),
      said:
        `${one.method}: ${share(one.success)} of ${count(one.features)} no longer fire; ` +
        `something that fired was removed in ${percent(one.active)}` +
        (beside ? `; control ${share(beside)}` : ""),
    };
  });
  return (
    <section>
      <Figure name={id} title={title} legend={keyOf(rows, "as much removed elsewhere")}>
        {best && (
          <p class="cause-sentence" data-testid={`${id}-sentence`}>
            With the feature that <b class="method">{best.method}</b> names removed,{" "}
            <b>{percent(best.success.value)}</b> ({within(best.success, 100)}) of{" "}
            {several(best.features, "feature")} no longer fire
            {control && (
              <>
                ; with as much removed along another feature that fires there,{" "}
                <b>{percent(control.value)}</b>
              </>
            )}
            {five && (
              <>
                ; with five removed, by <b class="method">{five.method.slice(2)}</b>,{" "}
                <b>{percent(five.success.value)}</b>
              </>
            )}
            {ceiling && (
              <>
                . The best single feature, found by trying every one, stops{" "}
                <b>{percent(ceiling.success.value)}</b>
              </>
            )}
            .
          </p>
        )}
        <p class="aside">Share of features that no longer fire, with 95 % intervals.</p>
        <Dots
          label="Share of features that no longer fire"
          rows={rows}
          domain={[0, 1]}
          write={percent}
          testid={`${id}-dots`}
        />
      </Figure>
      <CsvButton name={id} columns={COLUMNS} rows={() => rows} />
    </section>
  );
}

function Substitution(props: { all: All; replacements: readonly Replacement[]; whole: boolean }) {
  const { all, replacements, whole } = props;
  if (!replacements.length) return null;
  const its = [...replacements].sort((x, y) => y.equivalence.value - x.equivalence.value);
  const best = its.find(({ method }) => isNamed(method));
  const random = its.find(({ method }) => method === "random partner");
  const ceiling = its.find(({ method }) => CEILINGS.includes(method));
  const drawn = whole ? all.curves : [];
  const values = its.flatMap(({ equivalence }) => [equivalence.low, equivalence.high]);
  const known = values.filter((value) => !Number.isNaN(value));
  const low = Math.min(-0.1, ...known);
  const high = Math.max(0.1, ...known);
  const rows = its.map(
    ({ method, equivalence, coverage, features }): Row => ({
      name: method,
      its: Number.isNaN(equivalence.value) ? null : equivalence,
      control: null,
      kind: kindOf(method),
      said: `${method}: ${plain(equivalence)}, of the ${percent(coverage)} of ${count(features)} features that have a partner`,
    }),
  );
  return (
    <section>
      <Figure
        name="cause-replaced"
        title="A feature's partner is put in its place"
        legend={[
          ...keyOf(rows, ""),
          ...(drawn.length
            ? [{ color: "var(--quiet)", text: "what no matching is", kind: "dash" } as const]
            : []),
        ]}
      >
        {best && (
          <p class="cause-sentence" data-testid="cause-replaced-sentence">
            With the partner by <b class="method">{best.method}</b> in a feature's place, causal
            equivalence is <b>{two(best.equivalence.value)}</b> ({two(best.equivalence.low)} to{" "}
            {two(best.equivalence.high)})
            {random && (
              <>
                , with a random partner <b>{two(random.equivalence.value)}</b>
              </>
            )}
            {ceiling && (
              <>
                , with the feature that its removal affects most{" "}
                <b>{two(ceiling.equivalence.value)}</b>
              </>
            )}
            .
            {best.alike > 0 && (
              <>
                {" "}
                Of {several(best.alike, "partner")} with a decoder cosine of 0.7 or more,{" "}
                <b>{percent(best.alikeDifferent)}</b> are no better than nothing.
              </>
            )}
          </p>
        )}
        <p class="aside">
          Causal equivalence: 1, predictions as if nothing was changed; 0, as if the feature was
          only removed; below, worse than that.
        </p>
        <div class={drawn.length ? "cause-pair" : undefined}>
          <Dots
            label="Causal equivalence"
            title={drawn.length ? "All features with a partner" : undefined}
            rows={rows}
            domain={[low, high]}
            rule={0}
            write={two}
            testid="cause-replaced-dots"
          />
          {drawn.length > 0 && (
            <Curves
              title="The surest partners first"
              curves={drawn}
              levels={its.filter(({ method }) => !isNamed(method))}
              features={best?.features ?? 0}
              best={best?.method ?? null}
            />
          )}
        </div>
      </Figure>
      <CsvButton name="cause-replaced" columns={COLUMNS} rows={() => rows} />
    </section>
  );
}

const TO: Record<string, string> = {
  alone: "as the sum of its members",
  largest: "as its strongest member",
  "control together": "as other features of the same sizes",
};

function Tracks({ all }: { all: All }) {
  const its = all.together.filter(({ control }) => !control);
  if (!its.length) return null;
  const of = (to: string) => its.find((one) => one.to === to);
  const controlOf = (to: string) =>
    all.together.find((one) => one.control && one.to === to)?.ratio ?? null;
  const [alone, largest, others] = ["alone", "largest", "control together"].map(of);
  const rows = its.map(({ to, ratio }): Row => {
    const control = controlOf(to);
    const name = TO[to] ?? to;
    return {
      name,
      its: ratio,
      control,
      kind: "named",
      said: `${name}: ${plain(ratio)}${control ? `; of other features ${plain(control)}` : ""}`,
    };
  });
  const values = rows.flatMap((row) => [row.its, row.control]).filter((one) => one !== null);
  const domain: [number, number] = [
    Math.min(0.5, ...values.map(({ low }) => low || 0.5)),
    Math.max(2, ...values.map(({ high }) => high || 2)),
  ];
  return (
    <section>
      <Figure
        name="cause-tracks"
        title="A track is removed as a whole"
        legend={[
          { color: "var(--accent)", text: "tracks", kind: "dot" },
          { color: "var(--accent)", text: "as many other features that fire there", kind: "ring" },
        ]}
      >
        <p class="cause-sentence" data-testid="cause-tracks-sentence">
          Removed over all their layers, {several(its[0].tracks, "track")} of{" "}
          {its[0].length.toFixed(1)} features change predictions
          {largest && (
            <>
              {" "}
              <b>{two(largest.ratio.value)}</b> times as much as their strongest member alone
            </>
          )}
          {alone && (
            <>
              , <b>{two(alone.ratio.value)}</b> times as much as their members one by one, summed
            </>
          )}
          {others && (
            <>
              , and <b>{two(others.ratio.value)}</b> times as much as other features of the same
              sizes
            </>
          )}
          .
        </p>
        <p class="aside">Ratios of summed KL divergences, with 95 % intervals over tracks.</p>
        <Dots
          label="How much a track changes predictions, as a multiple"
          rows={rows}
          domain={domain}
          log
          rule={1}
          write={(value) => `${two(value)}×`}
          testid="cause-tracks-dots"
        />
      </Figure>
      <CsvButton name="cause-tracks" columns={COLUMNS} rows={() => rows} />
    </section>
  );
}
