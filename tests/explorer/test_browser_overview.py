"""The first view: each of its numbers is the run's own, and those of a layer add up."""

import re
from itertools import pairwise

import pytest

from saematch.explorer.overview import beyond
from support.browsing import NONE, figure, numbers, percent, settled
from support.screens import AXE, needs_axe

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]

MODES = ["gaps", "flow", "chained"]


def steps_of(run, mode):
    """Every link of the tracks of a mode, as two features; features of an SAE in use."""
    tracks = run.table("flow", "tracks").filter(mode=mode).sort("track", "position")
    steps, used = set(), set()
    for _, track in tracks.group_by("track"):
        features = list(track.select("site", "feature").iter_rows())
        used |= set(features)
        steps |= set(pairwise(features))
    return steps, used


def spans_of(run, mode):
    """Where in the chain each track of a mode starts, and how many layers it lives for."""
    chain = run.section("flow").chain
    tracks = run.table("flow", "tracks").filter(mode=mode)
    places = [[chain.index(site) for site in t["site"]] for _, t in tracks.group_by("track")]
    return [(min(of), max(of) - min(of) + 1) for of in places]


def told(mark) -> dict[str, int]:
    """What a mark's name says: its numbers, by what they are of."""
    _, said = mark.get_attribute("aria-label").split(": ", 1)
    found = {}
    for part in said.split(", "):
        count, name = part.split(" ", 1)
        found[name] = int(count.replace(",", "")) if count.replace(",", "").isdigit() else count
    return found


@pytest.mark.parametrize("mode", MODES)
def test_the_river_counts_the_links_of_the_tracks(tab, shipped_run, mode):
    tab.goto(f"#/overview?mode={mode}")
    layers = tab.get_by_test_id("river-layer")
    chain = shipped_run.section("flow").chain
    expect(layers).to_have_count(len(chain))
    steps, used = steps_of(shipped_run, mode)
    turnover = shipped_run.table("flow", "turnover").filter(mode=mode)
    arcs = tab.get_by_test_id("river-arc")
    over = {(a[0], b[0]) for a, b in steps if chain.index(b[0]) > chain.index(a[0]) + 1}
    assert over or mode != "gaps"
    expect(arcs).to_have_count(len(over))
    drawn = {}
    for i in range(len(over)):
        title = arcs.nth(i).get_attribute("aria-label").split(": ")[0]
        drawn[tuple(title.split(" → "))] = next(iter(told(arcs.nth(i)).values()))
    assert drawn == {(a, b): len({x for x, y in steps if (x[0], y[0]) == (a, b)}) for a, b in over}
    for place, site in enumerate(chain):
        said = told(layers.nth(place))
        its = {feature for feature in used if feature[0] == site}
        row = turnover.filter(site=site).row(0, named=True)
        assert said["features"] == row["features"] == len(its)
        if place < len(chain) - 1:
            later = f"layer {chain[place + 1].rsplit('_', 1)[1]}"
            on = {a for a, b in steps if a[0] == site and b[0] == chain[place + 1]}
            away = {a for a, b in steps if a[0] == site} - on
            assert said[f"go on to {later}"] == len(on)
            assert said.get("pass over it", 0) == len(away)
            assert said["die"] == row["deaths"] == len(its - on - away)
            band = told(tab.get_by_test_id("river-step").nth(place))
            assert band["go on"] == len(on)
        if place:
            before = f"layer {chain[place - 1].rsplit('_', 1)[1]}"
            come = {b for a, b in steps if b[0] == site and a[0] == chain[place - 1]}
            over_to = {b for _, b in steps if b[0] == site} - come
            assert said[f"from {before}"] == len(come)
            assert said.get("over layers passed over", 0) == len(over_to)
            assert said["born"] == row["births"]
            parts = ("born", f"from {before}", "over layers passed over", "split off")
            assert sum(said.get(part, 0) for part in parts) == said["features"]
            assert "split off" not in said or mode == "flow"


def test_the_numbers_of_the_river_stand_in_a_table_too(tab, shipped_run):
    tab.goto("")
    numbers_of = tab.get_by_test_id("numbers")
    numbers_of.locator("summary").click()
    chain = shipped_run.section("flow").chain
    headings = numbers_of.locator("th").all_inner_texts()
    rows = numbers_of.locator("tbody tr")
    expect(rows).to_have_count(len(chain))
    into = headings.index("= features =")
    for i in range(len(chain)):
        values = [
            int(text.replace(",", "")) if text != NONE else 0
            for text in rows.nth(i).locator("td").all_inner_texts()[1:]
        ]
        values.insert(0, 0)
        if i:
            assert sum(values[1:into]) == values[into]
        if i < len(chain) - 1:
            assert sum(values[into + 1 :]) == values[into]


@pytest.mark.parametrize("mode", MODES)
def test_lifespans_count_layers_from_first_to_last(tab, shipped_run, mode):
    tab.goto(f"#/overview?mode={mode}")
    spans = spans_of(shipped_run, mode)
    longer = sum(lives > 1 for _, lives in spans)
    mean = sum(lives for _, lives in spans) / len(spans)
    expect(tab.get_by_test_id("lifespan-facts")).to_have_text(
        f"{len(spans):,} tracks, {longer:,} of two layers or more; "
        f"mean lifespan {figure(mean)} layers"
    )
    drawn = tab.get_by_test_id("lifespans").locator("[role=img]").get_attribute("aria-label")
    chain = shipped_run.section("flow").chain
    counted = [sum(lives == n for _, lives in spans) for n in range(1, len(chain) + 1)]
    parts = [f"{n:,} of {i + 1} layer{'s' if i else ''}" for i, n in enumerate(counted)]
    assert drawn == f"Lifespans: {', '.join(parts)}"


def test_the_claim_says_how_many_live_and_leads_to_them(tab, shipped_run):
    tab.goto("")
    claim = tab.get_by_test_id("claim")
    expect(claim.get_by_role("link").first).to_be_visible()
    chain = shipped_run.section("flow").chain
    lives = [n for start, n in spans_of(shipped_run, "gaps") if start == 0]
    links = claim.get_by_role("link")
    going = sum(n >= 2 for n in lives)
    assert links.nth(0).inner_text() in {percent(going / len(lives)), "Half", "A third"}
    assert links.nth(1).inner_text() == f"{len(lives):,} features"
    last = links.last
    whole = sum(n == len(chain) for n in lives)
    assert whole
    assert last.inner_text() == f"{whole:,}"
    for i, wanted in ((0, going), (1, shipped_run.sae(chain[0]).d_sae)):
        links.nth(i).click()
        expect(tab).to_have_url(re.compile(rf"#/find\?.*site={chain[0]}"))
        found = tab.get_by_test_id("found")
        expect(found).to_be_visible()
        settled(tab)
        assert wanted in numbers(found.inner_text())
        tab.go_back()
        expect(links.nth(i)).to_be_visible()
    last.click()
    expect(tab).to_have_url(re.compile(f"life={len(chain)}"))
    settled(tab)
    assert whole in numbers(tab.get_by_test_id("found").inner_text())


def test_tracks_to_begin_with_are_one_click_away(tab, shipped_run):
    tab.goto("")
    examples = tab.get_by_test_id("example")
    expect(examples).to_have_count(3)
    chain = shipped_run.section("flow").chain
    tracks = shipped_run.table("flow", "tracks").filter(mode="gaps")
    for i in range(3):
        found = re.search(r"#/life/(\w+)/(\d+)", examples.nth(i).get_attribute("href"))
        site, feature = found.group(1, 2)
        its = tracks.filter(site=site, feature=int(feature))["track"][0]
        places = [chain.index(name) for name in tracks.filter(track=its)["site"]]
        assert len(places) > 1
        lives = ("two", "three", "four")[max(places) - min(places) - 1]
        expect(examples.nth(i)).to_contain_text(f"{lives} layers")
        label = shipped_run.contexts(site).filter(feature=int(feature))["contexts"][0][0]["token"]
        name = examples.nth(i).locator(".example-name").inner_text().lower()
        assert label.strip().lower() in name
        frequencies = [
            shipped_run.features(name)["frequency"][number]
            for name, number in tracks.filter(track=its).select("site", "feature").iter_rows()
        ]
        assert max(frequencies) < 0.05
    examples.first.click()
    expect(tab.get_by_test_id("track-node").first).to_be_visible()


def test_modules_enter_the_river_with_what_they_match(tab, shipped_run):
    tab.goto("")
    sides = tab.get_by_test_id("river-side")
    expect(sides).to_have_count(2)
    for i, module in enumerate(("attn_out_3", "mlp_out_3")):
        said = sides.nth(i).get_attribute("aria-label")
        pair = shipped_run.pair(module, "resid_post_3").filter("matched")
        summary = shipped_run.summaries[module, "resid_post_3"]
        used = summary["features_a"] - summary["excluded_a"]
        assert said == (
            f"{module} → resid_post_3: {len(pair):,} of {used:,} features match, "
            f"{pair['target'].n_unique():,} features of layer 3 they lead to"
        )
    sides.nth(1).focus()
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile("#/pair/mlp_out_3/resid_post_3"))


def test_what_pairs_are_compared_by_is_in_one_unit(tab, shipped_run):
    tab.goto("")
    chain = shipped_run.section("flow").chain
    summaries = [shipped_run.summaries[pair] for pair in pairwise(chain)]
    names = [f"{a.rsplit('_', 1)[1]} → {b.rsplit('_', 1)[1]}" for a, b in pairwise(chain)]
    away = [
        beyond(shipped_run.null(a, b), its["median_statistic"])
        for (a, b), its in zip(pairwise(chain), summaries, strict=True)
    ]
    shares = [s["matched"] / (s["features_a"] - s["excluded_a"]) for s in summaries]
    for name, values in (
        ("matched", [percent(share) for share in shares]),
        ("beyond", [figure(value) for value in away]),
        ("cosine", [figure(s["median_decoder_cosine"]) for s in summaries]),
    ):
        drawn = tab.get_by_test_id(f"strip-{name}").locator("[role=img]")
        said = drawn.get_attribute("aria-label")
        parts = [f"{n} {v}" for n, v in zip(names, values, strict=True)]
        assert said.endswith(", ".join(parts))


def test_the_pairs_of_the_overview_are_those_of_the_run(tab, shipped_run):
    tab.goto("")
    near = tab.get_by_role("table", name="Pairs of neighbours").locator("tbody tr")
    chain = shipped_run.section("flow").chain
    expect(near).to_have_count(len(chain) - 1)
    for i, (a, b) in enumerate(pairwise(chain)):
        summary = shipped_run.summaries[a, b]
        row = near.nth(i).locator("td")
        expect(row.nth(0)).to_have_text(f"{a} → {b}")
        expect(row.nth(1)).to_have_text(f"{summary['matched']:,}")
        expect(row.nth(3)).to_have_text(figure(summary["median_score"]))
        expect(row.nth(4)).to_have_text(figure(summary["null_statistic"]))
        away = beyond(shipped_run.null(a, b), summary["median_statistic"])
        expect(row.nth(5)).to_have_text(figure(away))
    others = len(shipped_run.pairs) - len(chain) + 1
    tab.get_by_text(f"{others} pairs of other layers and modules").click()
    far = tab.get_by_role("table", name="Other pairs")
    expect(far.locator("tbody tr")).to_have_count(others)
    far.get_by_role("link", name="mlp_out_3 → resid_post_3").click()
    expect(tab).to_have_url(re.compile("#/pair/mlp_out_3/resid_post_3"))


def test_arrow_keys_move_in_the_river_which_is_one_stop(tab, shipped_run):
    tab.goto("")
    layers = tab.get_by_test_id("river-layer")
    expect(layers).to_have_count(4)
    assert tab.locator("[data-testid=river] [tabindex='0']").count() == 1
    layers.first.focus()
    tab.keyboard.press("ArrowRight")
    expect(layers.nth(1)).to_be_focused()
    expect(tab.locator(".tooltip")).to_contain_text("resid_post_3")
    tab.keyboard.press("ArrowUp")
    expect(tab.get_by_test_id("river-step").first).to_be_focused()
    tab.keyboard.press("ArrowUp")
    expect(tab.get_by_test_id("river-arc").first).to_be_focused()
    expect(tab.locator(".tooltip")).to_contain_text("pass over layer 3")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("End")
    expect(tab.get_by_test_id("river-step").last).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile("#/pair/resid_post_4/resid_post_5"))


def test_a_word_is_explained_where_it_stands(tab):
    tab.goto("")
    tab.get_by_role("button", name="What gaps means").click()
    expect(tab.get_by_role("note")).to_contain_text("may pass over a layer")


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_and_nothing_is_too_wide(tab, width, theme):
    tab.set_viewport_size({"width": width, "height": 844})
    tab.goto(f"#/overview?theme={theme}")
    river = tab.get_by_test_id("river")
    expect(river).to_be_visible()
    settled(tab)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # on a phone the river is scrolled to, its names stay
    wide = river.evaluate("river => river.scrollWidth > river.clientWidth")
    assert wide == (width == 390)
    tab.evaluate(AXE.read_text())
    found = tab.evaluate("axe.run().then((found) => found.violations)")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
