import { Empty } from "../parts/notices";
import { Segments } from "../parts/segments";
import { TwoRuns } from "./compare/runs";
import { Shared } from "./compare/shared";
import type { ViewProps } from "./view";
import "./compare.css";

/** What several SAEs share, or what two runs say of the same SAEs: as far as the run has them. */
export function Compare(props: ViewProps) {
  const { run, explorer, state, go } = props;
  const shared = run.compared || run.manifest.compare !== undefined;
  const two = explorer.index.against !== undefined;
  const shows = two && (!shared || state.more.show === "runs") ? "runs" : "shared";
  return (
    <div class="compared" data-testid="view-compare">
      {shared && two && (
        <Segments
          label="Compare"
          value={shows}
          choices={[
            { value: "shared", text: "SAEs" },
            { value: "runs", text: "Two runs" },
          ]}
          onChange={(value) => go({ more: { show: value === "runs" ? value : null } })}
        />
      )}
      {shows === "runs" && <TwoRuns {...props} />}
      {shows === "shared" && shared && <Shared {...props} />}
      {!shared && !two && (
        <Empty title="Nothing is compared here">
          <code>saematch compare SAE SAE</code> says what several SAEs share, and{" "}
          <code>saematch explore RUN --against RUN2</code> puts two runs of the same SAEs side by
          side.
        </Empty>
      )}
    </div>
  );
}
