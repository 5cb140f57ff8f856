"""Pages of a run of a test's own, and what is asked of every page."""

from collections.abc import Iterator
from pathlib import Path

from saematch.explorer import explore
from saematch.explorer.export import export
from saematch.runs.run import Run
from support.browsing import hosted, settled
from support.screens import AXE


def serving(run: Run) -> Iterator[str]:
    """The address of a run that is served, for a fixture `served_url`."""
    with explore(run, open_browser=False) as explorer:
        yield explorer.url


def exporting(run: Run, folder: Path) -> Iterator[str]:
    """The address of its export, for a fixture `exported_url`."""
    export(run, folder / "site")
    yield from hosted(folder / "site")


def sound(page) -> None:
    """Nothing on the page hinders those who do not see it, and it is no wider than the window."""
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then((found) => found.violations)")
    assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


def without(page, place: str, part: str) -> None:
    """Have the page read a file of the run as if a part of it was not there."""

    def fulfil(route):
        answer = route.fetch()
        content = answer.json()
        tables = content["tables"] if part not in content else content
        for name in [name for name in tables if name.startswith(part)]:
            del tables[name]
        route.fulfill(response=answer, json=content, headers={}, status=200)

    page.route(f"**/{place}", fulfil)
