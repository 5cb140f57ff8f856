import type { ComponentType } from "preact";
import type { Explorer } from "../data/explorer";
import type { Run } from "../data/run";
import type { Data } from "../data/tables";
import type { Go, State } from "../state";

/** What every view is given. */
export interface ViewProps {
  run: Run;
  /** Tables of the run itself. */
  data: Data;
  /** Tables made for this page: features by number, lives by track. */
  explorer: Explorer;
  state: State;
  go: Go;
}

export type View = ComponentType<ViewProps>;
