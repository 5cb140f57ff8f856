/** How the features and SAEs of a graph are written. */

import type { Run } from "../../data/run";
import { cutTo, type Type, widthOf } from "../../draw/measured";

const HEAD: Type = { size: 0.867, weight: 600 };
const APART = 18; // pixels between headings

/** Names of SAEs above their columns: short ones for all, where one would touch the next. */
export function headsOf(run: Run, sites: readonly string[], step: number): string[] {
  if (sites.every((site) => widthOf(site, HEAD) <= step - APART)) return [...sites];
  return sites.map((site) => {
    const short = run.short(site);
    return cutTo(/^\d+$/.test(short) ? `layer ${short}` : short, step - APART, HEAD);
  });
}

/** A name that can be seen: one of signs alone, such as `._`, stands in quotation marks. */
export function seen(name: string): string {
  return /[\p{L}\p{N}]/u.test(name) ? name : `“${name}”`;
}
