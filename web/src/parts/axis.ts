import type { Run } from "../data/run";

/** The name of an SAE on an axis; the first one says what a number alone is. */
export function axisName(run: Run, site: string, first: boolean): string {
  const name = run.has(site) ? run.short(site) : site;
  return first && /^\d+$/.test(name) ? `layer ${name}` : name;
}
