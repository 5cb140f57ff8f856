/** How it is told by how many SAEs a feature is shared, and in which colour. */

/** How a number of others is told: after "features that are". */
export function sharedWith(n: number, total: number): string {
  if (n === 1) return "found only here";
  if (n === total) return total === 2 ? "shared with the other" : `shared with all ${n - 1} others`;
  return `shared with ${n - 1} of ${total - 1} others`;
}

/** The tone of a part of features that n SAEs have: see stacks.css. */
export function toneOf(n: number, total: number): string {
  if (n === 1) return "only";
  if (n === total) return "all";
  // as many steps as can be told apart
  return `some-${Math.max(1, Math.min(3, Math.ceil((3 * (n - 1)) / Math.max(1, total - 2))))}`;
}

/** The colours of tones, as stacks.css has them. */
export const COLOURS: Record<string, string> = {
  all: "var(--accent)",
  "some-3": "color-mix(in oklab, var(--accent) 74%, var(--paper))",
  "some-2": "color-mix(in oklab, var(--accent) 42%, var(--paper))",
  "some-1": "color-mix(in oklab, var(--accent) 22%, var(--paper))",
  only: "var(--attn)",
};
