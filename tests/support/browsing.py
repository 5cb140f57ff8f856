"""What tests in a browser share: tabs, figures as the page writes them, lists, saved files."""

import http.server
import json
import re
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl

from saematch.runs.run import Run

PATIENCE = 20  # seconds: machines may be busy
NONE, MINUS = "\u2013", "\u2212"  # as the page writes them


def figure(value: float | None) -> str:
    """A measure to three figures: 0.614, 12.3, 1.2e−5."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    size = abs(value)
    if size < 0.001:
        return _minus(re.sub(r"e-0*", "e-", f"{value:.1e}"))
    if size < 1:
        return _minus(f"{value:.3f}")
    return _minus(f"{value:,.0f}" if size >= 1000 else f"{value:#.3g}".rstrip("."))


def p_value(value: float | None) -> str:
    """A p-value: 0.012, 3e−7."""
    if value is None:
        return NONE
    return f"{value:.3f}" if value >= 0.001 else _minus(re.sub(r"e-0*", "e-", f"{value:.0e}"))


def percent(value: float) -> str:
    """A share: 51 %, 7.4 %, 0.24 %."""
    share = 100 * value
    digits = 0 if share == 0 or share >= 9.95 else 1 if share >= 0.995 else 2
    return f"{share:.{digits if share >= 0.0995 or share == 0 else 3}f} %"


def _minus(text: str) -> str:
    return text.replace("-", MINUS)


def becomes(page, read: Callable[[], object], wanted: object) -> None:
    """What is read from a page is `wanted`, now or soon: a page draws in its own time."""
    last = time.monotonic() + PATIENCE
    while True:
        try:
            found = read()
        except IndexError:  # a list that is shorter yet than what is looked for
            if time.monotonic() > last:
                raise
        else:
            if found == wanted or time.monotonic() > last:
                break
        page.wait_for_timeout(50)
    assert found == wanted


def settled(page) -> None:
    """Waits until the page says of nothing any more that it is being read."""
    page.locator("[aria-busy=true]").first.wait_for(state="detached")


def cells(page, wanted: int) -> list[list[str]]:
    """The texts of the first rows of the list that is shown, by column, once they are read."""
    rows = page.get_by_test_id("result-row")
    settled(page)
    return [
        [" ".join(cell.split()) for cell in rows.nth(i).locator("td").all_inner_texts()]
        for i in range(wanted)
    ]


def numbers(text: str) -> list[int]:
    """Whole numbers in a text, with commas between thousands."""
    return [int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*", text)]


def longest(run: Run) -> pl.DataFrame:
    """The longest track, layer by layer."""
    tracks = run.table("flow", "tracks").filter(mode="gaps")
    sizes = tracks.group_by("track").len().sort("len", "track", descending=[True, False])
    return tracks.filter(track=sizes["track"][0])


def downloaded(page, click) -> Path:
    """The file that a click saves."""
    with page.expect_download() as waiting:
        click()
    return Path(waiting.value.path())


def downloaded_json(page, click):
    """The same, read."""
    return json.loads(downloaded(page, click).read_text(encoding="utf-8"))


def hosted(folder):
    """As a web host that knows nothing of byte ranges serves it."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def watched(browser, url, **context):
    """A tab whose faults, dialogs and requests to other hosts fail the test."""
    context = browser.new_context(
        base_url=url, **{"viewport": {"width": 1280, "height": 900}, **context}
    )
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    outside: list[str] = []
    page.on(
        "request",
        lambda sent: (
            None if sent.url.startswith((url, "data:", "blob:")) else outside.append(sent.url)
        ),
    )
    yield page
    context.close()
    assert faults == []
    assert outside == []
