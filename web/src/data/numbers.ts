/** Features that a text names by their number. */

import { count } from "../draw/format";
import type { Run, Sae } from "./run";
import type { Feature } from "./tables";

export interface Named {
  features: Feature[];
  /** Whether the text is a number alone, which names a feature of every SAE. */
  plain: boolean;
  /** Why there is no such feature, where the text names one; else null. */
  wrong: string | null;
}

const NONE: Named = { features: [], plain: false, wrong: null };

/**
 * The features that a text names: `resid_post_3/100`, `3_100`, `L3 f100`, or `100` of every SAE.
 *
 * A layer alone names the SAEs of the chain first.
 */
export function named(run: Run, text: string): Named {
  const plain = /^\s*#?(\d{1,9})\s*$/.exec(text);
  if (plain) return { ...NONE, features: having(run.saes, Number(plain[1])), plain: true };
  const found = /^\s*(.+?)(?:[\s/_:.#]+(?:f(?:eature)?[\s/_:.#]*)?|f)(\d{1,9})\s*$/i.exec(text);
  if (!found) return NONE;
  const feature = Number(found[2]);
  const layer = /^(?:layer[\s_]*|l)?(\d+)$/i.exec(found[1]);
  const exact = run.saes.filter((sae) => sae.name === found[1]);
  const saes = exact.length ? exact : layer ? ofLayer(run, Number(layer[1])) : [];
  const features = having(saes, feature);
  if (features.length) return { ...NONE, features };
  if (saes.length) {
    const [{ name, d_sae }] = saes;
    return { ...NONE, wrong: `${name} has ${count(d_sae)} features, 0 to ${count(d_sae - 1)}.` };
  }
  return layer ? { ...NONE, wrong: `No SAE of this run is at layer ${layer[1]}.` } : NONE;
}

function having(saes: readonly Sae[], feature: number): Feature[] {
  const those = saes.filter((sae) => feature < sae.d_sae);
  return those.map(({ name: site }) => ({ site, feature }));
}

/** What leaves a block before what enters it; the stream before modules. */
function ofLayer(run: Run, layer: number): Sae[] {
  const rank = ({ name, conventions }: Sae) =>
    (conventions.site?.kind === "resid_post" ? 0 : 1) + (run.chain.includes(name) ? 0 : 2);
  return run.saes.filter((sae) => run.layer(sae.name) === layer).sort((x, y) => rank(x) - rank(y));
}
