"""What tests in a browser share: figures as the page writes them, what is in a list, a file saved."""

import json
import os
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from saematch.runs import Run

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
MISSING = "no Chromium on this machine (Debian: apt-get install chromium)"
if CHROMIUM is None and os.environ.get("CI"):
    raise RuntimeError(MISSING)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
TEXTS = ("--text", "saematch:prose", "--text", "saematch:code")


def figure(value: float | None) -> str:
    """A measure to three figures: 0.614, 12.3, 1.2e−5."""
    if value is None:
        return "–"
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
        return "–"
    return f"{value:.3f}" if value >= 0.001 else _minus(re.sub(r"e-0*", "e-", f"{value:.0e}"))


def percent(value: float) -> str:
    """A share: 51 %, 7.4 %, 0.24 %."""
    share = 100 * value
    digits = 0 if share == 0 or share >= 9.95 else 1 if share >= 0.995 else 2
    return f"{share:.{digits if share >= 0.0995 or share == 0 else 3}f} %"


def _minus(text: str) -> str:
    return text.replace("-", "−")


def cells(page, wanted: int) -> list[list[str]]:
    """The texts of the first rows of the list that is shown, by column."""
    rows = page.get_by_test_id("result-row")
    # rows come into being as they come into sight
    return [
        [" ".join(cell.split()) for cell in rows.nth(i).locator("td").all_inner_texts()]
        for i in range(wanted)
    ]


def numbers(text: str) -> list[int]:
    """Whole numbers in a text, with commas between thousands."""
    return [int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*", text)]


def longest(run: Run) -> pl.DataFrame:
    """The longest track, layer by layer."""
    tracks = run.flow_table("tracks").filter(mode="gaps")
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
