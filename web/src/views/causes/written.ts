/** How figures of interventions are written. */

import { CEILINGS, CONTROLS, type Measured } from "../../data/causes";
import { percent } from "../../draw/format";
import type { Row } from "./dots";

export const share = (its: Measured) => `${percent(its.value)} (${within(its, 100)})`;
export const plain = (its: Measured) => `${two(its.value)} (${two(its.low)} to ${two(its.high)})`;
export const two = (value: number) =>
  Number.isNaN(value) ? "–" : value.toFixed(2).replace("-", "−");
/** Whether a method names five features at once. */
export const ofFive = (method: string) => method.startsWith("5 ");

export function within({ low, high }: Measured, times: number): string {
  return `${Math.round(times * low)} to ${Math.round(times * high)}`;
}

export const kindOf = (method: string): Row["kind"] =>
  CEILINGS.includes(method) ? "ceiling" : CONTROLS.includes(method) ? "control" : "named";
