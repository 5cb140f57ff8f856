import { useMemo } from "preact/hooks";
import type { Explorer } from "../../data/explorer";
import type { Pair, Run } from "../../data/run";
import { latest, useLoaded } from "../../parts/use";
import type { LabelOf } from "./named";

/** Labels of the features of a pair, and of the SAEs that its origins may name where they are shown. */
export function useLabels(run: Run, explorer: Explorer, pair: Pair, origins: boolean): LabelOf {
  const names = useMemo(() => {
    const { a, b } = pair;
    if (!origins || !run.chain.includes(b)) return [a, b];
    const before = run.names.indexOf(run.chain[run.chain.indexOf(b) - 1] ?? a);
    return run.names.slice(before, run.names.indexOf(b) + 1);
  }, [pair, origins]);
  const read = async (name: string) => [name, await explorer.labelsOf(name)] as const;
  const known = latest(useLoaded(async () => new Map(await Promise.all(names.map(read))), [names]));
  return useMemo(
    () => (site: string, feature: number) => known?.get(site)?.[feature] ?? null,
    [known],
  );
}
