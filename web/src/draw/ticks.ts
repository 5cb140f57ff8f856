import type { ScaleLinear } from "d3-scale";

/** A tick of an axis, all with as many decimals as they need. */
export function ticked(scale: ScaleLinear<number, number>, count: number, tick: number): string {
  return scale.tickFormat(count)(tick).replace(/-/g, "−");
}
