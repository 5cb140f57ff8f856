"""Screens of the page, compared with those that were kept: coarsely, since machines' fonts differ.

A screen is kept as its brightness in cells of 10 x 10 CSS pixels, blurred by a cell: what stands
where, and not which letters. `SCREENS=write pytest tests/explorer/test_browser_screens.py` keeps
new ones: look at the page before they are committed.
"""

import base64
import json
import os
from pathlib import Path

import pytest

from support.browsing import settled

KEPT = Path(__file__).parents[1] / "explorer" / "screens"
CELL = 10  # CSS pixels
FAR = 12  # of 255: a cell that differs by more has other things in it
MANY = 0.03  # share of cells that may; two views differ in more, which a test makes sure of
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: npm ci in web/")
SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")  # one object


def differs(page, name: str) -> str:
    """What is other on the screen than on the one that was kept; empty if it is alike."""
    size = page.viewport_size
    grid = {"wide": size["width"] // CELL, "tall": size["height"] // CELL}
    now = _cells(page, page.screenshot(animations="disabled"), **grid, blur=True)
    place = KEPT / f"{name}.png"
    if os.environ.get("SCREENS") == "write":
        KEPT.mkdir(exist_ok=True)
        place.write_bytes(base64.b64decode(now["png"]))
        return ""
    if not place.is_file():
        return f"no screen {place.name} is kept: SCREENS=write keeps it"
    then = _cells(page, place.read_bytes(), **grid, blur=False)
    far = other_cells(now["gray"], then["gray"])
    share = len(far) / len(now["gray"])
    if share <= MANY:
        return ""
    rows = [CELL * (i // grid["wide"]) for i in far]
    return f"{name}: {share:.0%} is other than what was kept, {min(rows)} to {max(rows)} px down"


def other_cells(one: list[int], other: list[int]) -> list[int]:
    """The cells that have other things in them."""
    return [i for i, (x, y) in enumerate(zip(one, other, strict=True)) if abs(x - y) > FAR]


def kept_cells(page, name: str, width: int, height: int) -> list[int]:
    """The brightness of a screen that was kept."""
    grid = {"wide": width // CELL, "tall": height // CELL}
    return _cells(page, (KEPT / f"{name}.png").read_bytes(), **grid, blur=False)["gray"]


def ailments(page) -> list[str]:
    """What is wrong with a screen of whatever size: cut off, out of reach, or found by axe."""
    settled(page)
    found = page.evaluate(f"() => {SCRIPT}.ailments()")
    if AXE.is_file():
        page.evaluate(AXE.read_text(encoding="utf-8"))
        for violation in page.evaluate("axe.run().then((found) => found.violations)"):
            nodes = [node["html"][:120] for node in violation["nodes"][:3]]
            found.append(f"axe: {violation['id']}: {json.dumps(nodes)}")
    return found


def _cells(page, png: bytes, **asked) -> dict:
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return page.evaluate(f"(asked) => {SCRIPT}.cells(asked)", {"url": url, **asked})
