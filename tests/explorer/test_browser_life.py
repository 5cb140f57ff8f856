"""The life of a feature, in headless Chromium: the figures drawn are those of the Parquet."""

import re
from itertools import pairwise

import polars as pl
import pytest

from support.browsing import becomes, downloaded, figure, longest, percent, settled
from support.screens import AXE, needs_axe

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]


def opened(tab, site, feature, more=""):
    tab.goto(f"#/life/{site}/{feature}{more}")
    settled(tab)
    nodes = tab.get_by_test_id("track-node")
    expect(nodes.first).to_be_visible()
    return nodes


def curve(tab, name: str) -> list[str]:
    """The figures along one of the curves."""
    return (
        tab.get_by_test_id("curves")
        .get_by_test_id(name)
        .locator(".curve-point")
        .all_text_contents()
    )


def edge_of(run, before, after) -> dict | None:
    """The edge between two rows of a track."""
    found = run.table("flow", "edges").filter(
        pl.col("source_site").cast(pl.String) == before["site"],
        pl.col("target_site").cast(pl.String) == after["site"],
        source=before["feature"],
        target=after["feature"],
    )
    return found.row(0, named=True) if len(found) else None


def beginning_later(run, mode: str) -> pl.DataFrame:
    """A track of a mode that begins at a feature which another leads to in the mode `gaps`."""
    tracks = run.table("flow", "tracks")
    led_to = tracks.filter(pl.col("position") > 0, mode="gaps").select("site", "feature")
    own = tracks.filter(mode=mode)
    sizes = own.group_by("track").len().filter(pl.col("len") > 2)
    first = own.filter(position=0).join(led_to, on=["site", "feature"]).join(sizes, on="track")
    # of features that are on one track of the mode alone, so that it is the one shown
    alone = own.group_by("site", "feature").len("tracks").filter(tracks=1)
    track = first.join(alone, on=["site", "feature"]).sort("len", "track", descending=True)["track"]
    assert len(track), f"no such track of {mode}"
    return own.filter(track=track[0]).sort("position")


@pytest.mark.parametrize("mode", ["flow", "chained"])
def test_a_track_of_another_mode_has_the_links_of_that_mode_alone(tab, shipped_run, mode):
    track = beginning_later(shipped_run, mode)
    rows = track.to_dicts()
    assert rows[0]["score"] is None
    nodes = opened(tab, rows[0]["site"], rows[0]["feature"], f"?mode={mode}")
    expect(nodes).to_have_count(len(rows))
    edges = [edge_of(shipped_run, *pair) for pair in pairwise(rows)]
    wanted = [figure(edge["cosine"]) for edge in edges if edge and edge["cosine"] is not None]
    assert wanted
    becomes(tab, lambda: curve(tab, "decoder cosine"), wanted)
    assert len(curve(tab, "correlation of activations")) <= len(rows) - 1


def test_curves_are_those_of_the_tables(tab, shipped_run):
    rows = longest(shipped_run).to_dicts()
    opened(tab, rows[1]["site"], rows[1]["feature"])
    cosines = []
    for before, after in pairwise(rows):
        pair = shipped_run.pair(before["site"], after["site"]).row(before["feature"], named=True)
        assert pair["target"] == after["feature"]
        cosines.append(figure(pair["decoder_cosine"]))
    becomes(tab, lambda: curve(tab, "decoder cosine"), cosines)
    known = [shipped_run.features(row["site"]).row(row["feature"], named=True) for row in rows]
    assert curve(tab, "fires on") == [percent(each["frequency"]) for each in known]
    assert curve(tab, "threshold") == [figure(each["threshold"]) for each in known]


def test_labels_stand_where_they_change(tab, shipped_run):
    rows = longest(shipped_run).to_dicts()
    nodes = opened(tab, rows[0]["site"], rows[0]["feature"])
    said = [nodes.nth(i).get_attribute("aria-label") for i in range(len(rows))]
    words = [set(re.sub(r", score .*$", "", text).split(", ")[1:]) for text in said]
    changes = 1 + sum(a != b for a, b in pairwise(words))
    drawn = tab.locator(".texts g:has(.node-label)")
    expect(drawn).to_have_count(changes)


def test_links_are_ordered_by_strength_and_saved(tab, shipped_run):
    row = longest(shipped_run).row(1, named=True)
    opened(tab, row["site"], row["feature"])
    table = tab.get_by_role("table", name="Where it comes from")
    kinds = table.locator("tbody tr td:nth-child(3)").all_inner_texts()
    assert kinds == sorted(kinds, key=lambda kind: kind != "match")
    csv = downloaded(tab, tab.get_by_role("button", name="CSV").first.click)
    saved = pl.read_csv(csv)
    edges = shipped_run.table("flow", "edges").filter(
        pl.col("source_site").cast(pl.String) == row["site"], source=row["feature"]
    )
    targets = pl.concat_str(pl.col("target_site").cast(pl.String), "target", separator="/")
    # of pairs that pass over a neighbour the page has matches and targets alone
    near = edges.filter(pl.col("kind").cast(pl.String).is_in(["match", "target"]))
    assert set(near.select(targets).to_series()) <= set(saved["Feature"])
    assert set(saved["Feature"]) <= set(edges.select(targets).to_series())
    best = edges.filter(kind="match").sort("p_value", "score", descending=[False, True])
    assert saved["Score"][0] == pytest.approx(best["score"][0], abs=1e-6)


def test_the_drawing_is_one_stop_of_the_keyboard(tab, shipped_run):
    row = longest(shipped_run).row(1, named=True)
    nodes = opened(tab, row["site"], row["feature"])
    expect(tab.locator(".track-svg [tabindex='0']")).to_have_count(1)
    nodes.nth(1).focus()
    tab.keyboard.press("ArrowUp")
    focused = "document.activeElement.dataset.testid"
    assert tab.evaluate(focused) == "side-node"
    expect(tab.locator(".track-svg [tabindex='0']")).to_have_count(1)
    tab.keyboard.press("Tab")
    assert tab.evaluate("!document.activeElement.closest('.track-svg')")
    tab.keyboard.press("Shift+Tab")
    assert tab.evaluate(focused) == "side-node"
    tab.keyboard.press("Enter")
    expect(tab).not_to_have_url(re.compile(rf"/{row['feature']}$"))


def test_what_is_opened_gets_the_focus(tab, shipped_run):
    row = longest(shipped_run).row(1, named=True)
    opened(tab, row["site"], row["feature"])
    table = tab.get_by_role("table", name="Where it goes")
    table.get_by_role("link").first.click()
    expect(tab.locator(".life-head h1")).to_be_focused()


def test_what_is_found_gets_the_focus(tab, shipped_run):
    row = longest(shipped_run).row(1, named=True)
    tab.goto("#/overview")
    tab.get_by_test_id("search").fill(f"{row['site']}/{row['feature']}")
    tab.keyboard.press("Enter")
    expect(tab.locator(".life-head h1")).to_be_focused()


def test_a_narrow_screen_scrolls_the_drawing_to_the_feature(tab, shipped_run):
    rows = longest(shipped_run).to_dicts()
    tab.set_viewport_size({"width": 390, "height": 844})
    nodes = opened(tab, rows[-1]["site"], rows[-1]["feature"])
    expect(tab.get_by_test_id("lifeline")).to_be_visible()
    box = nodes.last.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    step = nodes.nth(1).bounding_box()["x"] - nodes.nth(0).bounding_box()["x"]
    assert step >= 96
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(tab, shipped_run, width, theme):
    row = longest(shipped_run).row(1, named=True)
    tab.set_viewport_size({"width": width, "height": 900})
    opened(tab, row["site"], row["feature"], f"?theme={theme}")
    tab.evaluate(AXE.read_text())
    found = tab.evaluate(
        "axe.run({ rules: { 'label-content-name-mismatch': { enabled: true } } })"
        ".then((found) => found.violations.map((each) => [each.id, each.nodes[0].html]))"
    )
    assert found == []
