/** The whole state of the page, as its URL says it: #/life/SITE/FEATURE?more=... */

const VIEWS = [
  "overview",
  "sentence",
  "find",
  "life",
  "pair",
  "graph",
  "compare",
  "evaluation",
  "judging",
  "circuits",
  "causes",
] as const;
export type ViewName = (typeof VIEWS)[number];

/** What is shown. `more` holds what a view adds: filters, sorting, modes. */
export interface State {
  readonly view: ViewName;
  /** An SAE and a feature of it, in `life` and `graph`. */
  readonly site: string | null;
  readonly feature: number | null;
  /** The SAEs of `pair`. */
  readonly a: string | null;
  readonly b: string | null;
  /** The circuit of `circuits`, by its slug. */
  readonly circuit: string | null;
  readonly more: Readonly<Record<string, string>>;
}

/** A change of state; an entry of `more` that is null or "" is taken out. */
export interface Change {
  view?: ViewName;
  site?: string | null;
  feature?: number | null;
  a?: string | null;
  b?: string | null;
  circuit?: string | null;
  more?: Record<string, string | number | null>;
}

export const START: State = {
  view: "overview",
  site: null,
  feature: null,
  a: null,
  b: null,
  circuit: null,
  more: {},
};

/** Entries of `more` that stay when the view changes. */
const KEPT = ["theme", "mode", "embed"];

/** Which of a state's parts a view knows; others keep none of them. */
const KNOWN: Partial<Record<ViewName, "feature" | "pair" | "circuit">> = {
  life: "feature",
  graph: "feature",
  pair: "pair",
  circuits: "circuit",
};

/** Views that are of no SAE and no feature, whatever an address says. */
const WHOLE: readonly ViewName[] = ["overview", "find"];

/** The state that a hash says; what cannot be understood is left out. */
export function readHash(hash: string): State {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view, first, second] = path.split("/").map(decode);
  const more = Object.fromEntries([...new URLSearchParams(query)].filter(([, value]) => value));
  const name = VIEWS.find((known) => known === view) ?? "overview";
  if (name === "pair") {
    return { ...START, view: name, a: first || null, b: second || null, more };
  }
  if (name === "circuits") return { ...START, view: name, circuit: first || null, more };
  if (WHOLE.includes(name)) return { ...START, view: name, more };
  const feature = second !== undefined && /^\d+$/.test(second) ? Number(second) : null;
  return { ...START, view: name, site: first || null, feature, more };
}

/** The hash that says a state; the same state gives the same hash. */
export function writeHash(state: State): string {
  const parts: string[] = [state.view];
  if (state.view === "pair") {
    if (state.a) parts.push(state.a);
    if (state.a && state.b) parts.push(state.b);
  } else if (state.view === "circuits") {
    if (state.circuit) parts.push(state.circuit);
  } else if (state.site && !WHOLE.includes(state.view)) {
    parts.push(state.site);
    if (state.feature !== null) parts.push(String(state.feature));
  }
  const query = new URLSearchParams(Object.entries(state.more).sort()).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

/**
 * A state after a change. Going to another view leaves behind what only the old one knows: from a
 * life to the graph its feature stays.
 */
export function changed(state: State, change: Change): State {
  const view = change.view ?? state.view;
  const moved = view !== state.view;
  const alike = !moved || (KNOWN[view] !== undefined && KNOWN[view] === KNOWN[state.view]);
  const entries = Object.entries(state.more).filter(([name]) => !moved || KEPT.includes(name));
  const more: Record<string, string> = Object.fromEntries(entries);
  for (const [name, value] of Object.entries(change.more ?? {})) {
    if (value === null || value === "") delete more[name];
    else more[name] = String(value);
  }
  return { ...(alike ? state : START), ...change, view, more };
}

/** The whole number that a text of the URL says; null where it says none. */
export function numberOf(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}

/** Goes to another state. `replace` leaves no entry in the history: for typing and dragging. */
export type Go = (change: Change, options?: { replace?: boolean }) => void;

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
