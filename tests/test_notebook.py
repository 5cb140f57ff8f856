"""The tour is executed from beginning to end, as a reader would."""

import re
from pathlib import Path

import nbclient
import nbformat
import pytest

TOUR = Path(__file__).parents[1] / "notebooks" / "tour.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of what runs the kernel
def test_the_tour_runs_and_shows_what_is_committed(tmp_path):
    tour = nbformat.read(TOUR, as_version=4)
    before = [words(cell) for cell in tour.cells]
    assert sum(map(len, before)) > 100
    place = {"metadata": {"path": tmp_path}}
    nbclient.NotebookClient(tour, timeout=300, resources=place).execute()
    assert [words(cell) for cell in tour.cells] == before


def words(cell) -> list[str]:
    """The words that a cell shows, without numbers, which machines may round differently."""
    outputs = [one for one in cell.get("outputs", []) if one.get("name") != "stderr"]
    texts = (
        "".join(one.get("text") or one.get("data", {}).get("text/plain", "")) for one in outputs
    )
    return [word for text in texts for word in re.findall(r"[A-Za-z_]{3,}", text)]


def test_the_tour_is_small():
    assert TOUR.stat().st_size < 100_000
