import type { Listed } from "../../data/communities";
import type { Reach } from "../../data/neighbourhood";
import type { Run } from "../../data/run";
import { pValue } from "../../draw/format";
import { Field } from "../../parts/field";
import { Segments } from "../../parts/segments";
import type { ViewProps } from "../view";

const CUTS = ["1", "0.05", "0.01", "0.001", "0.0001", "1e-6", "1e-9", "1e-15"];

/** How far the graph reaches: steps, p-values, scores, which edges. */
export function Cuts(props: ViewProps & { reach: Reach; community: Listed | null }) {
  const { state, go, reach, community } = props;
  const set = (more: Record<string, string | number | null>) => go({ more });
  const steps = (name: "back" | "ahead", text: string) => (
    <label>
      {text}
      <select value={reach[name]} onChange={(event) => set({ [name]: event.currentTarget.value })}>
        {[0, 1, 2, 3, 4, 5, 6].map((value) => (
          <option key={value} value={value}>
            {value}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <div class="cuts">
      {!community && steps("back", "Steps back")}
      {!community && steps("ahead", "ahead")}
      <label>
        p up to
        <select
          value={reach.maxP === null ? "1" : (state.more.p ?? String(reach.maxP))}
          onChange={(event) => set({ p: event.currentTarget.value })}
        >
          {CUTS.map((cut) => (
            <option key={cut} value={cut}>
              {cut === "1" ? "any" : pValue(Number(cut))}
            </option>
          ))}
        </select>
      </label>
      <label>
        score from
        <Field
          type="number"
          placeholder="any"
          value={state.more.score ?? ""}
          onDone={({ value }) => set({ score: value })}
        />
      </label>
      <Segments
        label="Edges"
        value={reach.accepted ? "match" : "all"}
        choices={[
          { value: "all", text: "All edges" },
          { value: "match", text: "Matches alone" },
        ]}
        onChange={(value) => set({ edges: value === "all" ? null : value })}
      />
    </div>
  );
}

/**
 * Cut-offs that the URL says; without any, those within which most is not chance. `whole` is for a
 * community rather than what is around a feature.
 */
export function reachOf(run: Run, more: Readonly<Record<string, string>>, whole: boolean): Reach {
  const steps = (text: string | undefined) =>
    text !== undefined && /^\d$/.test(text) ? Number(text) : 2;
  const tested = run.pairs.some((pair) => pair.summary.fdr !== null);
  // communities are found among edges up to 0.01
  const usual = !tested ? 1 : whole ? 0.01 : 0.001;
  const p = more.p === undefined ? usual : Number(more.p);
  const score = more.score === undefined ? NaN : Number(more.score);
  return {
    back: steps(more.back),
    ahead: steps(more.ahead),
    maxP: Number.isNaN(p) || p >= 1 ? null : p,
    minScore: Number.isNaN(score) ? null : score,
    accepted: more.edges === "match",
  };
}
