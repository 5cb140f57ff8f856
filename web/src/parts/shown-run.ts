import { createContext } from "preact";
import type { Run } from "../data/run";

/** The run that is shown, for what every drawing and table says of it. */
export const ShownRun = createContext<Run | null>(null);

/** What a picture or a file is of, in a line. */
export function describing(run: Run | null): string {
  if (!run) return "saematch";
  const { method } = run.manifest.options;
  const saes = `${run.saes.length} SAEs`;
  return [run.model || "a model", saes, method && `matched by ${method}`, "saematch"]
    .filter(Boolean)
    .join(" · ");
}
