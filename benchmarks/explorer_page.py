"""How quickly the explorer shows a run: first view, a click on a feature, bytes and memory.

    python -m benchmarks.explorer_page RUN [--times 7] [--shots FOLDER]

Serves the run and opens it in headless Chromium (which must be there), each time in a fresh context
that has read nothing. Four times are told of each step: from outside, as a script that drives the
browser sees it; by the page's own clock, from the event to the frame after the last mark; how much
of that the page waited for answers; and how long a processor worked for the page's main thread. The
last is the page's own: where the others are much more than it, the machine was busy.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from saematch.explorer import Explorer, explore

VIEWS = {
    "overview": ("", "overview-column"),
    "find": ("#/find?q=the", "result-row"),
    "life": ("#/life/{site}/7", "track-node"),
    "pair": ("#/pair/{site}/{next}", "view-pair"),
    "graph": ("#/graph/{site}/7", "view-graph"),
}
# a word, and the beginnings and middles of many
SEARCHES = ("the", "th", "a")
# waits in the page itself for the frame in which a mark stands, from the last click or the start
CLOCK = """
(() => {
  let start = 0;
  for (const kind of ["click", "submit"]) {
    addEventListener(kind, (event) => (start = event.timeStamp), true);
  }
  const framed = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  window.until = async (selector) => {
    while (!document.querySelector(selector)) await framed();
    await framed();
    const end = performance.now();
    const spans = performance.getEntriesByType("resource")
      .filter((entry) => entry.startTime >= start && entry.startTime < end)
      .map((entry) => [entry.startTime, Math.min(entry.responseEnd || end, end)])
      .sort((x, y) => x[0] - y[0]);
    let [waited, seen] = [0, 0];
    for (const [from, to] of spans) {
      waited += Math.max(0, to - Math.max(from, seen));
      seen = Math.max(seen, to);
    }
    return { page: (end - start) / 1000, waited: waited / 1000, requests: spans.length };
  };
})();
"""


@dataclass(frozen=True)
class Timed:
    """Seconds of one step, and its requests."""

    outside: float
    page: float
    waited: float
    work: float
    requests: int


class Tab:
    """A page that has read nothing, and what it costs."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sizes: list[int] = []
        page.on("response", lambda r: self.sizes.append(int(r.headers.get("content-length") or 0)))
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def work(self) -> float:
        """Seconds that a processor worked for the main thread so far."""
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")

    def until(self, selector: str, start: float, work: float) -> Timed:
        """Wait for a mark; `start` and `work` are of when the step began."""
        told = self.page.evaluate("selector => until(selector)", selector)
        outside = time.perf_counter() - start
        return Timed(outside, told["page"], told["waited"], self.work() - work, told["requests"])


@contextmanager
def fresh(browser: Browser) -> Iterator[Tab]:
    """A tab of a browser that was never used."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(CLOCK)
    yield Tab(context.new_page())
    context.close()


def first_view(tab: Tab, url: str) -> Timed:
    """From the address to the overview."""
    start = time.perf_counter()
    tab.page.goto(url, wait_until="commit")
    return tab.until("[data-testid=overview-column]", start, 0)


def clicked(tab: Tab, row: int) -> tuple[Timed, Timed]:
    """From a click on a found feature to its track, and to its contexts."""
    page = tab.page
    link = page.get_by_test_id("result-row").nth(row).locator("a").first
    link.wait_for()
    page.wait_for_load_state("networkidle")
    start, work = time.perf_counter(), tab.work()
    link.click()
    track = tab.until("[data-testid=track-node]", start, work)
    # contexts are read of the panels that are in sight
    panel = "[data-testid=context-panel][aria-current=true]"
    page.locator(panel).scroll_into_view_if_needed()
    return track, tab.until(f"{panel} mark", start, work)


def searched(browser: Browser, explorer: Explorer, text: str) -> tuple[Timed, int]:
    """From Enter in the search box of a first view to the rows found, and the bytes of that."""
    with fresh(browser) as tab:
        first_view(tab, explorer.url)
        tab.page.wait_for_load_state("networkidle")
        tab.page.get_by_test_id("search").fill(text)
        tab.page.wait_for_load_state("networkidle")
        before = sum(tab.sizes)
        start, work = time.perf_counter(), tab.work()
        tab.page.keyboard.press("Enter")
        found = tab.until("[data-testid=result-row]", start, work)
        tab.page.wait_for_load_state("networkidle")
        return found, sum(tab.sizes) - before


def told(name: str, timed: list[Timed]) -> None:
    """One line: least, median and most of each clock."""

    def spread(values: list[float]) -> str:
        return f"{min(values):.2f} {statistics.median(values):.2f} {max(values):.2f}"

    clocks = (spread([getattr(each, clock) for each in timed]) for clock in Timed.__annotations__)
    outside, page, waited, work, _ = clocks
    requests = max(each.requests for each in timed)
    print(f"{name:21s} {outside}   {page}   {waited}   {work}   {requests:3d}", flush=True)


def repeated(browser: Browser, explorer: Explorer, times: int, place: str) -> None:
    """First view and clicks, each time anew: least, median, most."""
    views, tracks, contexts, next_tracks, sizes = [], [], [], [], [0]
    for turn in range(times):
        with fresh(browser) as tab:
            views.append(first_view(tab, explorer.url))
        with fresh(browser) as tab:
            tab.page.goto(explorer.url + place)
            track, context = clicked(tab, 2 * turn % 10)
            tracks.append(track)
            contexts.append(context)
            tab.page.go_back()
            next_tracks.append(clicked(tab, (2 * turn + 1) % 10)[0])
            sizes = tab.sizes
    print("least, median, most s  outside          page's clock     waiting          work")
    told("first view", views)
    told("cold click, track", tracks)
    told("cold click, contexts", contexts)
    told("next click, track", next_tracks)
    print(f"two clicks from {place}: {sum(sizes) / 1e6:.1f} MB", flush=True)


def searches(browser: Browser, explorer: Explorer, times: int) -> None:
    """Searches, each time anew: least, median, most."""
    for text in SEARCHES:
        found = [searched(browser, explorer, text) for _ in range(times)]
        told(f"search for {text!r}", [timed for timed, _ in found])
        print(f"search for {text!r}: {max(size for _, size in found) / 1e6:.1f} MB", flush=True)


def visit(browser: Browser, explorer: Explorer, shots: Path | None) -> None:
    """All views, one after the other: time, bytes, memory."""
    with fresh(browser) as tab:
        page, sizes = tab.page, tab.sizes
        names = page.request.get(explorer.url + "run/run.json").json()["flow"]["chain"]
        middle = len(names) // 2
        known = {"site": names[middle], "next": names[middle + 1]}
        for view, (place, wanted) in VIEWS.items():
            before, start = sum(sizes), time.perf_counter()
            page.goto(explorer.url + place.format(**known))
            page.get_by_test_id(wanted).first.wait_for(timeout=60_000)
            seconds = time.perf_counter() - start
            page.wait_for_load_state("networkidle")
            print(f"{view:10s} {seconds:6.2f} s  {(sum(sizes) - before) / 1e6:6.2f} MB", flush=True)
            if shots:
                shots.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=shots / f"{view}.png")
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
        print(f"{sum(sizes) / 1e6:.1f} MB in all, {heap:.0f} MB of JavaScript heap")


def main() -> None:
    """Measure a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run")
    parser.add_argument("--times", type=int, default=7, help="fresh contexts for each figure")
    parser.add_argument("--shots", type=Path, help="a folder for pictures of every view")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with explore(options.run, open_browser=False) as explorer, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for place in ("#/find", "#/find?q=the"):
            repeated(browser, explorer, options.times, place)
        searches(browser, explorer, options.times)
        visit(browser, explorer, options.shots)
        browser.close()


if __name__ == "__main__":
    main()
