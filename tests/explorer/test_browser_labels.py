"""Labels that features were given, in headless Chromium: shown, with who says so, and found."""

import json

import pytest

import saematch
from saematch.explorer import explore
from saematch.runs.run import Run
from support.browsing import cells, watched
from support.stand_in import write_shipped

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
LABEL = "The Kings of <b>Spain</b>"
SITE = "resid_post_1"


@pytest.fixture
def tab(browser, tmp_path):
    folder = write_shipped(tmp_path / "data", d_in=32) / "saes"
    saes = [saematch.load(folder / f"resid_post_{layer}") for layer in (1, 2)]
    run = Run.create(tmp_path / "run", "match", {}, saes)
    run.add_pair(SITE, "resid_post_2", saematch.match(saes[0], saes[1], "cosine"))
    run.finish()
    row = {"site": SITE, "feature": 7, "label": LABEL, "source": "Me <i>"}
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    with explore(saematch.label(run, tmp_path / "x.jsonl"), open_browser=False) as explorer:
        yield from watched(browser, explorer.url)


def test_a_given_label_is_found_by_its_words_and_names_its_feature(tab):
    tab.goto("./")
    tab.get_by_test_id("search").fill("spain kings")
    tab.get_by_test_id("search").press("Enter")
    expect(tab.get_by_test_id("found")).to_contain_text("1 of 96")
    assert LABEL in cells(tab, 1)[0]
    tab.get_by_test_id("search").fill("1_7")
    tab.get_by_test_id("search").press("Enter")
    expect(tab.get_by_role("heading", level=1)).to_have_text(LABEL)
    expect(tab.get_by_test_id("label-source")).to_have_text("label: Me <i>")
    tab.get_by_test_id("search").fill("1_8")
    tab.get_by_test_id("search").press("Enter")
    expect(tab.get_by_role("heading", level=1)).not_to_have_text(LABEL)
    expect(tab.get_by_test_id("label-source")).to_have_count(0)
