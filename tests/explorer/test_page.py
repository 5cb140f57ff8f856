"""The built page is the one that the sources in web/ make."""

import hashlib
import json
from pathlib import Path

import pytest

from saematch.explorer.places import PAGE, Places

WEB = Path(__file__).parents[2] / "web"
# as web/vite.config.ts has them
SOURCES = ("index.html", "package-lock.json", "package.json", "tsconfig.json", "vite.config.ts")
REBUILD = "cd web && npm ci && npm run build, and commit src/saematch/explorer/page"


def digest(root: Path, places: list[str]) -> str:
    found = hashlib.sha256()
    for place in sorted(places):
        text = (root / place).read_bytes().replace(b"\r\n", b"\n")
        found.update(place.encode() + b"\0" + text + b"\0")
    return found.hexdigest()


def within(root: Path, folder: str = "") -> list[str]:
    files = (path for path in (root / folder).rglob("*") if path.is_file())
    return [path.relative_to(root).as_posix() for path in files]


@pytest.fixture
def built():
    return json.loads((PAGE / "build.json").read_text())


@pytest.mark.skipif(not WEB.is_dir(), reason="this copy has no sources of the page")
def test_the_page_was_built_from_these_sources(built):
    sources = [*SOURCES, *within(WEB, "src")]
    assert built["sources"] == digest(WEB, sources), f"web/ has changed: {REBUILD}"


def test_the_page_is_as_it_was_built(built):
    page = [place for place in within(PAGE) if place != "build.json"]
    assert "assets/explorer.js" in page
    assert built["page"] == digest(PAGE, page), f"the page was changed by hand: {REBUILD}"


def test_the_record_is_not_given_out(tmp_path):
    places = Places(PAGE, tmp_path, tmp_path)
    assert places.find("/index.html") is not None
    assert places.find("/build.json") is None
