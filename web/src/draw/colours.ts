import type { Lane } from "../data/run";

/** Colours of lanes: of the Okabe-Ito set, told apart with any colour vision. */
export const LANES: Record<Lane, string> = {
  stream: "var(--stream)",
  attn: "var(--attn)",
  mlp: "var(--mlp)",
  other: "var(--quiet)",
};

export const LANE_NAMES: Record<Lane, string> = {
  attn: "attention",
  stream: "residual stream",
  mlp: "MLP",
  other: "other",
};

/** A CSS variable's value as a canvas takes it. */
export function resolved(variable: string): string {
  const name = /var\((--[\w-]+)\)/.exec(variable)?.[1] ?? variable;
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Opacity by a score between what chance reaches and 1: faint, never invisible. */
export function opacityOf(score: number, chance = 0): number {
  if (Number.isNaN(score)) return 0.3;
  const share = (score - chance) / Math.max(1e-9, 1 - chance);
  return 0.3 + 0.7 * Math.max(0, Math.min(1, share));
}
