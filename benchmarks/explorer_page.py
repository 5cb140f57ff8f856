"""How quickly the explorer shows a run: first view, a click on a feature, bytes and memory.

    python -m benchmarks.explorer_page RUN [--shots FOLDER]

Serves the run, opens it in headless Chromium (which must be there), and times what a person
waits for: until the overview stands, and from the click on a found feature until its track and its
contexts do. Then the other views of the same visit.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from saematch.explorer import explore

VIEWS = {
    "overview": ("", "overview-column"),
    "find": ("#/find?q=the", "result-row"),
    "life": ("#/life/{site}/7", "track-node"),
    "pair": ("#/pair/{site}/{next}", "view-pair"),
    "graph": ("#/graph/{site}/7", "view-graph"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--shots", type=Path, help="a folder for pictures of every view")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with explore(options.run, open_browser=False) as explorer, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        sizes: list[int] = []
        page.on("response", lambda r: sizes.append(int(r.headers.get("content-length") or 0)))
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
            if options.shots:
                options.shots.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=options.shots / f"{view}.png")
        page.goto(explorer.url + VIEWS["find"][0])
        row = page.get_by_test_id("result-row").nth(3)
        row.wait_for()
        page.wait_for_load_state("networkidle")
        for _ in range(2):
            start = time.perf_counter()
            page.get_by_test_id("result-row").nth(3).locator("a, button").first.click()
            page.get_by_test_id("track-node").first.wait_for()
            track = time.perf_counter() - start
            # contexts are read of the panels that are in sight
            panel = page.locator("[data-testid=context-panel][aria-current=true]")
            panel.scroll_into_view_if_needed()
            panel.locator("mark").first.wait_for()
            contexts = time.perf_counter() - start
            print(f"click      {track:6.2f} s until the track, {contexts:.2f} s until its contexts")
            page.go_back()
            row.wait_for()
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
        print(f"{sum(sizes) / 1e6:.1f} MB in all, {heap:.0f} MB of JavaScript heap")
        browser.close()


if __name__ == "__main__":
    main()
