"""The explorer as a person uses it, in headless Chromium: what it shows is what the Parquet says.

Over a served run of the shipped SAEs, and over its export as a static site.
"""

import re

import pytest

from support.browsing import becomes, figure, longest, p_value, settled

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]


def names_of(page, testid: str) -> list[tuple[str, int]]:
    """The features that marks say they are."""
    marks = page.get_by_test_id(testid)
    said = [marks.nth(i).get_attribute("aria-label") for i in range(marks.count())]
    return [(m[1], int(m[2])) for m in (re.match(r"(\S+) (\d+)", text) for text in said) if m]


def test_a_feature_is_found_and_its_track_followed(tab, shipped_run):
    track = longest(shipped_run)
    first = track.row(0, named=True)
    layer = first["site"].rsplit("_", 1)[1]
    tab.goto("")
    expect(tab.get_by_test_id("overview-column").first).to_be_visible()
    tab.keyboard.press("/")
    expect(tab.get_by_test_id("search")).to_be_focused()
    tab.keyboard.type(f"{layer}_{first['feature']}")
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile(rf"#/life/{first['site']}/{first['feature']}"))
    nodes = tab.get_by_test_id("track-node")
    expect(nodes).to_have_count(len(track))
    its = sorted(zip(track["site"], track["feature"], strict=True))
    becomes(tab, lambda: sorted(names_of(tab, "track-node")), its)
    nodes.first.focus()
    tab.keyboard.press("ArrowRight")
    second = track.row(1, named=True)
    expect(tab).to_have_url(re.compile(rf"#/life/{second['site']}/{second['feature']}"))
    tab.reload()
    expect(nodes).to_have_count(len(track))
    # arrows leave no trail of their own: back leads to where the track was come from
    tab.go_back()
    expect(tab.get_by_test_id("overview-column").first).to_be_visible()
    tab.go_forward()
    expect(nodes).to_have_count(len(track))


def test_a_node_tells_its_link_when_it_is_pointed_at(tab, shipped_run):
    track = longest(shipped_run)
    before, row = track.row(0, named=True), track.row(1, named=True)
    tab.goto(f"#/life/{row['site']}/{row['feature']}")
    node = tab.get_by_test_id("track-node").nth(1)
    expect(node).to_have_attribute("aria-label", re.compile(rf"^{row['site']} {row['feature']}\b"))
    node.hover()
    tip = tab.locator(".tooltip")
    expect(tip).to_contain_text(figure(row["score"]))
    expect(tip).to_contain_text(p_value(row["p_value"]))
    pair = shipped_run.pair(before["site"], row["site"]).row(before["feature"], named=True)
    assert pair["target"] == row["feature"]
    expect(tip).to_contain_text(figure(pair["decoder_cosine"]))


@pytest.mark.parametrize("mode", ["chained", "flow"])
def test_tracks_of_another_mode_are_those_of_the_table(tab, shipped_run, mode):
    first = longest(shipped_run).row(0, named=True)
    tab.goto(f"#/life/{first['site']}/{first['feature']}")
    tab.get_by_role("radio", name=mode).check(force=True)
    expect(tab).to_have_url(re.compile(f"mode={mode}"))
    tracks = shipped_run.table("flow", "tracks").filter(mode=mode)
    through = tracks.filter(site=first["site"], feature=first["feature"])["track"]
    lengths = tracks.filter(tracks["track"].is_in(through.implode())).group_by("track").len()
    expect(tab.get_by_test_id("track-node")).to_have_count(lengths["len"].max())
    wanted = [
        list(zip(part["site"], part["feature"], strict=True))
        for _, part in tracks.filter(tracks["track"].is_in(through.implode())).group_by("track")
    ]
    becomes(tab, lambda: names_of(tab, "track-node") in wanted, True)


def test_relations_are_the_edges_of_the_graph(tab, shipped_run):
    feature = longest(shipped_run).row(1, named=True)
    edges = shipped_run.table("flow", "edges").filter(
        source_site=feature["site"], source=feature["feature"], kind="match"
    )
    assert len(edges)
    tab.goto(f"#/life/{feature['site']}/{feature['feature']}")
    rows = tab.get_by_role("table", name="Where it goes").locator("tr:has(:text-is('match'))")
    expect(rows).to_have_count(len(edges))
    wanted = {
        ("match", figure(edge["score"]), p_value(edge["p_value"]))
        for edge in edges.iter_rows(named=True)
    }
    cells = [rows.nth(i).locator("td") for i in range(len(edges))]
    becomes(tab, lambda: {tuple(each.all_inner_texts()[2:5]) for each in cells}, wanted)


def test_a_feature_beside_the_track_is_compared(tab, shipped_run):
    feature = longest(shipped_run).row(1, named=True)
    tab.goto(f"#/life/{feature['site']}/{feature['feature']}")
    panels = tab.get_by_test_id("context-panel")
    expect(panels).to_have_count(len(longest(shipped_run)))
    tab.get_by_role("table", name="Where it goes").get_by_test_id("compare").last.click()
    expect(panels).to_have_count(len(longest(shipped_run)) + 1)
    beside = tab.locator(".panel.beside")
    site, number = beside.get_attribute("aria-label").split()
    contexts = shipped_run.contexts(site).filter(feature=int(number))["contexts"][0]
    expect(beside.locator("mark").first).to_have_text(contexts[0]["token"].strip())
    tab.reload()
    expect(beside).to_have_attribute("aria-label", f"{site} {number}")
    beside.get_by_role("button", name="Stop comparing").click()
    expect(panels).to_have_count(len(longest(shipped_run)))


def test_contexts_are_those_of_the_run(tab, shipped_run):
    first = longest(shipped_run).row(0, named=True)
    contexts = shipped_run.contexts(first["site"]).filter(feature=first["feature"])["contexts"][0]
    tab.goto(f"#/life/{first['site']}/{first['feature']}")
    panel = tab.locator("[data-testid=context-panel][aria-current=true]")
    panel.scroll_into_view_if_needed()
    shown = panel.locator(".context")
    expect(shown).to_have_count(min(8, len(contexts)))
    for i in range(3):
        expect(shown.nth(i).locator("mark")).to_have_text(contexts[i]["token"].strip())
        value = shown.nth(i).locator(".context-value")
        expect(value).to_have_text(figure(contexts[i]["activation"]))


def test_modules_have_lanes_and_walk_into_the_stream(tab, shipped_run):
    pair = shipped_run.pair("mlp_out_3", "resid_post_3").filter("matched")
    row = pair.sort("score", descending=True).row(0, named=True)
    tab.goto(f"#/life/mlp_out_3/{row['feature']}")
    expect(tab.locator("svg text.lane-name")).to_contain_text(["MLP"])
    goes = tab.get_by_role("table", name="Where it goes")
    link = goes.get_by_role("link", name=re.compile(rf"resid_post_3\s*{row['target']}$")).first
    link.click()
    expect(tab).to_have_url(re.compile(rf"#/life/resid_post_3/{row['target']}"))


def test_a_shared_url_shows_the_same(tab, browser):
    tab.goto("#/find?q=import&site=resid_post_3")
    here = tab.get_by_test_id("found")
    expect(here).to_contain_text("features")
    settled(tab)
    said = here.inner_text()
    other = browser.new_context().new_page()
    other.goto(tab.url)
    expect(other.get_by_test_id("found")).to_have_text(said)
    other.context.close()


def test_dark_and_light(tab):
    tab.goto("")
    switch, page = tab.get_by_test_id("theme"), tab.locator("html")
    expect(switch).to_be_visible()
    paper = page.evaluate("it => getComputedStyle(it).backgroundColor")
    switch.click()
    expect(page).not_to_have_css("background-color", paper)
    switch.click()
    expect(page).to_have_css("background-color", paper)


def test_what_is_being_typed_stays_when_the_page_is_drawn_anew(tab, shipped_run):
    feature = longest(shipped_run).row(1, named=True)
    tab.goto(f"#/graph/{feature['site']}/{feature['feature']}?theme=light")
    node = f"[data-testid=graph-node][aria-label^='{feature['site']} {feature['feature']},']"
    tab.locator(node).click()
    fields = [
        (tab.get_by_test_id("search"), "impo"),
        (tab.get_by_label(f"Name of {feature['site']} {feature['feature']}"), "a na"),
        (tab.get_by_label("score from"), "0.1"),
    ]
    for field, text in fields:
        expect(field).to_have_value("")
        field.press_sequentially(text)
        theme = tab.locator("html").get_attribute("data-theme")
        other = "dark" if theme == "light" else "light"
        # from outside, as by the browser's own buttons
        tab.evaluate(f"location.hash = location.hash.replace('{theme}', '{other}')")
        expect(tab.locator("html")).to_have_attribute("data-theme", other)
        expect(field).to_have_value(text)


def test_what_is_not_there_is_said(tab):
    tab.goto("#/life/resid_post_3/999999")
    expect(tab.get_by_role("alert")).to_contain_text("resid_post_3 has 1536 features")
    tab.goto("#/life/nowhere/3")
    expect(tab.get_by_role("alert")).to_contain_text("no SAE nowhere. It has resid_post_2")
    tab.get_by_role("alert").get_by_role("link").first.click()
    expect(tab.get_by_test_id("track-node").first).to_be_visible()
    tab.goto("#/pair/resid_post_5/resid_post_2")
    expect(tab.locator("main")).to_contain_text("The run has no pair resid_post_5 to resid_post_2")
    tab.goto("#/graph/resid_post_3/999999")
    expect(tab.get_by_role("alert")).to_contain_text("there is no 999999")
