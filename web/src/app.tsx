import { useCallback, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { useArriving } from "./arriving";
import { type Explorer, openExplorer } from "./data/explorer";
import { overHttp } from "./data/files";
import { Reader } from "./data/parquet";
import { Run } from "./data/run";
import { Data } from "./data/tables";
import { Failure, Loading } from "./parts/notices";
import { entry, fresh } from "./parts/places";
import { ShownRun } from "./parts/shown-run";
import { useLoaded } from "./parts/use";
import { Search } from "./search";
import { type Change, changed, readHash, type State, type ViewName, writeHash } from "./state";
import { useTheme } from "./theme";
import { Causes } from "./views/causes";
import { Circuits } from "./views/circuits";
import { Compare } from "./views/compare";
import { Evaluation } from "./views/evaluation";
import { Find } from "./views/find";
import { Graph } from "./views/graph";
import { Judging } from "./views/judging";
import { Life } from "./views/life";
import { Overview } from "./views/overview";
import { Pair } from "./views/pair";
import { Sentence } from "./views/sentence";
import type { View } from "./views/view";

const PAGES: Record<ViewName, { title: string; view: View }> = {
  overview: { title: "Overview", view: Overview },
  sentence: { title: "A sentence", view: Sentence },
  find: { title: "Find", view: Find },
  life: { title: "Life of a feature", view: Life },
  pair: { title: "Pair", view: Pair },
  graph: { title: "Graph", view: Graph },
  compare: { title: "Compare", view: Compare },
  evaluation: { title: "Evaluation", view: Evaluation },
  judging: { title: "Judgements", view: Judging },
  circuits: { title: "Circuits", view: Circuits },
  causes: { title: "Causes", view: Causes },
};

interface Opened {
  run: Run;
  data: Data;
  explorer: Explorer;
}

async function openRun(base: string): Promise<Opened> {
  const open = overHttp(base);
  const reader = new Reader(open);
  const [manifest, explorer] = await Promise.all([open("run.json"), openExplorer(open, reader)]);
  const run = Run.parse(new TextDecoder().decode(await manifest.slice(0)));
  return { run, data: new Data(run, reader), explorer };
}

export function App() {
  const [state, setState] = useState<State>(() => readHash(location.hash));
  const current = useRef(state);
  current.current = state;
  // before the first frame, so that no change of the address is missed
  useLayoutEffect(() => {
    const follow = () => setState(readHash(location.hash));
    addEventListener("hashchange", follow);
    addEventListener("popstate", follow);
    return () => {
      removeEventListener("hashchange", follow);
      removeEventListener("popstate", follow);
    };
  }, []);
  const go = useCallback((change: Change, { replace = false } = {}) => {
    const next = changed(current.current, change);
    const hash = writeHash(next);
    if (hash === writeHash(current.current)) return;
    if (replace) history.replaceState({ at: entry() }, "", hash);
    else history.pushState({ at: fresh() }, "", hash);
    if (change.view && change.view !== current.current.view) scrollTo(0, 0);
    current.current = next;
    setState(next);
  }, []);
  const opened = useLoaded(() => openRun("run/"), []);
  const theme = useTheme(state.more.theme, (theme) => go({ more: { theme } }, { replace: true }));
  const value = opened.status === "ready" ? opened.value : null;
  const run = value?.run ?? null;
  useArriving(placeIn(state));
  // a run that compares SAEs has no flow to look over: its first view is what they share
  const name = run?.compared && state.view === "overview" ? "compare" : state.view;
  const { view: Shown, title } = PAGES[name];
  useLayoutEffect(() => {
    const of = state.feature !== null ? `${state.site} ${state.feature} · ` : "";
    document.title = `${of}${title}${run?.model ? ` · ${run.model}` : ""} · saematch`;
  }, [state, run]);
  const explorer = opened.status === "ready" ? opened.value.explorer : null;
  const pages = useMemo(() => pagesOf(run, explorer), [run, explorer]);
  const embedded = state.more.embed === "1";
  return (
    <ShownRun.Provider value={run}>
      <a class="skip" href="#main" onClick={skip}>
        Skip to content
      </a>
      {embedded ? (
        <Whole state={state} title={document.title} />
      ) : (
        <header class="bar">
          <a class="brand" href={writeHash(changed(state, { view: "overview", site: null }))}>
            saematch
          </a>
          <nav aria-label="Views">
            {pages.map(({ view, title }) => (
              <a
                key={view}
                href={writeHash(changed(state, { view }))}
                aria-current={view === name ? "page" : undefined}
                data-testid={`nav-${view}`}
              >
                {title}
              </a>
            ))}
          </nav>
          <Search opened={value} asked={state.more.q ?? ""} go={go} />
          {theme}
        </header>
      )}
      <main id="main" tabIndex={-1}>
        {opened.status === "loading" && <Loading what="the run" />}
        {opened.status === "error" && <Failure error={opened.error} />}
        {opened.status === "ready" && <Shown key={name} {...opened.value} state={state} go={go} />}
      </main>
    </ShownRun.Provider>
  );
}

/** Of a view that stands in another page: where all of it is. */
function Whole({ state, title }: { state: State; title: string }) {
  return (
    <p class="whole">
      <a href={writeHash(changed(state, { more: { embed: null } }))} target="_blank" rel="noopener">
        {title} ↗
      </a>
    </p>
  );
}

/** What is looked at: focus goes there when it changes. */
function placeIn({ view, site, feature, a, b, circuit, more }: State): string {
  return JSON.stringify([view, site, feature, a, b, circuit, more.q, more.community]);
}

/** The views that a run has something for, in the order of the bar. */
function pagesOf(
  run: Run | null,
  explorer: Explorer | null,
): readonly { view: ViewName; title: string }[] {
  const two = explorer?.index.against !== undefined;
  const pages: ViewName[] = run?.compared
    ? ["compare", "sentence", "find", "life", "pair"]
    : ["overview", "sentence", "find", "life", "pair", "graph"];
  if (!run?.compared && (run?.manifest.compare || two)) pages.push("compare");
  if (run?.manifest.evaluation) pages.push("evaluation");
  if (run?.manifest.judging) pages.push("judging");
  if (run?.manifest.circuits) pages.push("circuits");
  if (run?.manifest.causes) pages.push("causes");
  const titles: Partial<Record<ViewName, string>> = {
    life: run?.compared ? "A feature" : PAGES.life.title,
    compare: two && !run?.manifest.compare ? "Two runs" : PAGES.compare.title,
  };
  return pages.map((view) => ({ view, title: titles[view] ?? PAGES[view].title }));
}

function skip(event: Event) {
  // the hash holds the state, so that it cannot name a place on the page
  event.preventDefault();
  document.getElementById("main")?.focus();
}
