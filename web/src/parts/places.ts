/** Where a person was in what scrolls, so that going back leads there. */

const places = new Map<string, { offset: number; active: number }>();
let last = 0;

/** The name of an entry of the history; one that has none is given one. */
export function entry(): string {
  const known = (history.state as { at?: string } | null)?.at;
  if (known) return known;
  const at = fresh();
  history.replaceState({ at }, "");
  return at;
}

/** A name for an entry that is about to be made. */
export function fresh(): string {
  last += 1;
  return `${Date.now().toString(36)}-${last}`;
}

/** The place kept for something that scrolls, in the entry that is shown. */
export function placeOf(name: string): { offset: number; active: number } | undefined {
  return places.get(`${entry()} ${name}`);
}

/** Keeps a place. */
export function keepPlace(name: string, offset: number, active: number): void {
  places.set(`${entry()} ${name}`, { offset, active });
}
