"""Lists of tracks, suggestions, numbers, and where focus and scrolling go, in headless Chromium."""

import re

import polars as pl
import pytest

from support.browsing import NONE, becomes, cells, numbers, percent, settled

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]


@pytest.fixture(scope="module")
def world(shipped_run) -> pl.DataFrame:
    """Every feature: `site`, `feature`, `track` (null: none), `tokens` it fires on, folded."""
    tracks = shipped_run.table("flow", "tracks").filter(mode="gaps").select(
        pl.col("site").cast(pl.String), pl.col("feature").cast(pl.Int64), "track"
    )  # fmt: skip
    parts = []
    for name in shipped_run.names:
        token = pl.element().struct["token"].str.strip_chars().str.to_lowercase()
        contexts = shipped_run.contexts(name).select(
            pl.lit(name).alias("site"),
            pl.col("feature").cast(pl.Int64),
            pl.col("contexts").list.eval(token).alias("tokens"),
        )
        frequency = shipped_run.features(name).select(pl.col("feature").cast(pl.Int64), "frequency")
        parts.append(frequency.join(contexts, on="feature", how="left"))
    return pl.concat(parts).join(tracks, on=["site", "feature"], how="left")


def holds_focus(page, locator) -> None:
    """Waits until an element has the focus, whether or not its window is in front."""
    becomes(page, lambda: locator.evaluate("it => it === document.activeElement"), True)


def rows(frame: pl.DataFrame) -> int:
    """How many rows a list has of features: one per track, and one for each on none."""
    return frame["track"].drop_nulls().n_unique() + frame["track"].null_count()


def test_a_track_is_one_row_with_its_life(tab, world, shipped_run):
    tab.goto("#/find?q=import")
    settled(tab)
    has = pl.col("tokens").list.eval(pl.element().str.contains("import", literal=True)).list.any()
    wanted = world.filter(has)
    assert 1 < rows(wanted) < len(wanted)
    said = numbers(tab.get_by_test_id("found").inner_text())
    assert said[:2] == [rows(wanted), len(wanted)]
    members = {
        track: dict(part.select("site", "feature").iter_rows())
        for (track,), part in world.drop_nulls("track").group_by("track")
    }
    listed = cells(tab, min(10, rows(wanted)))
    lines = tab.get_by_test_id("result-row").locator("svg.find-line")
    seen, drawn = set(), 0
    for label, _, layers, tokens, context, feature in listed:
        site, number = feature.split()
        its = wanted.row(by_predicate=(pl.col("site") == site) & (pl.col("feature") == int(number)),
                         named=True)  # fmt: skip
        assert any("import" in token for token in its["tokens"])
        assert tokens == percent(its["frequency"])
        assert its["tokens"][0] in context.lower()
        assert label
        if its["track"] is None:
            assert layers == NONE
            continue
        assert its["track"] not in seen
        seen.add(its["track"])
        chain = [name for name in shipped_run.names if name.startswith("resid")]
        places = sorted(chain.index(name) for name in members[its["track"]])
        assert layers == str(places[-1] - places[0] + 1)
        line = lines.nth(drawn)
        drawn += 1
        expect(line.locator("g > circle")).to_have_count(len(places))
        expect(line.locator("circle.found-at")).to_have_count(1)
        name = line.get_attribute("aria-label") or ""
        assert name.startswith(f"{layers} layer")
        for kind, side in (("splits", "a"), ("merges", "b")):
            groups = shipped_run.table("flow", "splits").filter(kind=kind[:-1])
            forks = {(row[side], row["feature"]) for row in groups.iter_rows(named=True)} & set(
                members[its["track"]].items()
            )
            expect(line.locator(f"path.{kind}")).to_have_count(len(forks))


def test_all_tracks_are_there_the_clear_ones_first(tab, world):
    tab.goto("#/find")
    settled(tab)
    said = numbers(tab.get_by_test_id("found").inner_text())
    assert said == [rows(world), len(world), len(world)]
    for _, _, _, tokens, _, feature in cells(tab, 12):
        site, number = feature.split()
        its = world.row(by_predicate=(pl.col("site") == site) & (pl.col("feature") == int(number)),
                        named=True)  # fmt: skip
        assert tokens == percent(its["frequency"])
        assert its["frequency"] < 0.05


def test_focus_goes_to_the_list_and_then_to_the_heading_and_back_keeps_the_row(tab):
    tab.goto("")
    expect(tab.get_by_test_id("overview-column").first).to_be_visible()
    tab.keyboard.press("/")
    tab.keyboard.type("the")
    tab.keyboard.press("Enter")
    region = tab.get_by_role("region", name=re.compile("arrow keys move"))
    holds_focus(tab, region)
    settled(tab)
    for _ in range(30):
        tab.keyboard.press("ArrowDown")
    active = tab.locator("tr.active")
    expect(active).to_have_attribute("aria-rowindex", "32")
    settled(tab)
    chosen = active.locator("td").last.inner_text().split()
    top = region.evaluate("it => it.scrollTop")
    assert top > 0
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile(f"#/life/{chosen[0]}/{chosen[1]}"))
    holds_focus(tab, tab.locator("main h1"))
    assert tab.title().startswith(f"{chosen[0]} {chosen[1]} · Life")
    tab.go_back()
    holds_focus(tab, region)
    expect(active).to_have_attribute("aria-rowindex", "32")
    becomes(tab, lambda: region.evaluate("it => it.scrollTop"), top)


def test_addresses_and_titles_hold_nothing_of_other_views(tab):
    tab.goto("#/life/resid_post_3/100")
    expect(tab.locator("main h1")).to_be_visible()
    tab.get_by_test_id("nav-graph").click()
    expect(tab).to_have_url(re.compile("#/graph/resid_post_3/100$"))
    tab.get_by_test_id("nav-overview").click()
    expect(tab).to_have_url(re.compile("#/overview$"))
    expect(tab).to_have_title(re.compile("^Overview"))
    tab.goto("#/life/resid_post_3/100")
    tab.get_by_test_id("search").fill("(")
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile("#/find\\?q=%28$"))


def test_suggestions_are_walked_by_keys(tab, world):
    tab.goto("")
    box = tab.get_by_role("combobox", name=re.compile("Search features"))
    box.fill("import")
    offered = tab.get_by_test_id("suggestion")
    expect(offered.first).to_contain_text("import")
    holds = pl.col("tokens").list.contains("import")
    expect(offered.first).to_contain_text(f"{len(world.filter(holds))} features")
    expect(box).to_have_attribute("aria-expanded", "true")
    tab.keyboard.press("ArrowDown")
    expect(offered.first).to_have_attribute("aria-selected", "true")
    expect(box).to_have_attribute("aria-activedescendant", offered.first.get_attribute("id") or "")
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile("#/find\\?q=import$"))
    expect(box).to_have_attribute("aria-expanded", "false")
    box.fill("impor")
    expect(offered.first).to_be_visible()
    tab.keyboard.press("Escape")
    expect(offered).to_have_count(0)
    expect(box).to_have_value("import")


def test_numbers_lead_to_features_or_say_what_is_wrong(tab, shipped_run):
    tab.goto("")
    box = tab.get_by_test_id("search")
    box.fill("100")
    for name in shipped_run.names:
        expect(tab.get_by_role("option", name=re.compile(f"^{name} 100"))).to_be_visible()
    box.press("Enter")
    links = tab.get_by_test_id("by-number").get_by_role("link")
    expect(links).to_have_count(len(shipped_run.names))
    box.fill("L3 f100")
    box.press("Enter")
    expect(tab).to_have_url(re.compile("#/life/resid_post_3/100"))
    holds_focus(tab, tab.locator("main h1"))
    box.fill("3_99999")
    box.press("Enter")
    expect(tab.get_by_test_id("wrong-number")).to_contain_text("1,536 features, 0 to 1,535")


@pytest.mark.parametrize(
    ("typed", "tokens"), [("self.", {"self", "."}), ("\\n", {""}), ("SELF", {"self"})]
)
def test_marks_and_signs_are_found(tab, world, typed, tokens):
    tab.goto("")
    tab.get_by_test_id("search").fill(typed)
    tab.keyboard.press("Enter")
    expect(tab.get_by_test_id("found")).to_have_text(re.compile("^[1-9]"))
    settled(tab)
    for row in cells(tab, 3):
        site, number = row[5].split()
        its = world.row(by_predicate=(pl.col("site") == site) & (pl.col("feature") == int(number)),
                        named=True)  # fmt: skip
        assert tokens & set(its["tokens"])


@pytest.mark.parametrize("width", [390, 640])
def test_on_a_small_screen_filters_are_folded_and_nothing_is_lost(tab, width):
    tab.set_viewport_size({"width": width, "height": 844})
    tab.goto("#/find?q=import")
    settled(tab)
    first = tab.get_by_test_id("result-row").first
    assert (first.bounding_box() or {"y": 9999})["y"] < 500
    expect(tab.get_by_test_id("filter-p")).to_be_hidden()
    tab.get_by_test_id("filters-fold").click()
    expect(tab.get_by_test_id("filter-p")).to_be_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tokens = first.locator("td").nth(3)
    assert (tokens.bounding_box() or {"width": 0})["width"] > 60
    tokens.scroll_into_view_if_needed()
    expect(tokens).to_be_in_viewport()
    expect(tokens).to_have_text(re.compile("%"))
