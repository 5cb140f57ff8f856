"""Graphs and communities, in headless Chromium: what is drawn, marked, saved and exported."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import polars as pl
import pytest

from saematch.explorer.tables import prepare
from saematch.layers import FlowGraph
from saematch.layers.exports import attribution
from support.browsing import (
    NONE,
    becomes,
    downloaded,
    downloaded_json,
    longest,
    numbers,
    percent,
    settled,
)
from support.screens import AXE, needs_axe

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
HOSTILE = "<img src=x onerror=alert(1)> & \u202egnp.exe"


@pytest.fixture(scope="module")
def centre(shipped_run):
    """A feature that many others lie around."""
    row = longest(shipped_run).row(1, named=True)
    return row["site"], row["feature"]


@pytest.fixture(scope="module")
def graph(shipped_run) -> FlowGraph:
    """As the page has it: of pairs that pass over a neighbour, matches and targets alone."""
    whole = FlowGraph.of(shipped_run)
    chain = {site: place for place, site in enumerate(shipped_run.section("flow").chain)}
    ends = whole.edges().select(pl.col("source_site", "target_site").cast(pl.String)).rows()
    near = [chain.get(b, 0) - chain.get(a, 0) < 2 for a, b in ends]
    kept = pl.Series(near) | whole.table["kind"].cast(pl.String).is_in(["match", "target"])
    return replace(whole, table=whole.table.filter(kept))


def opened(tab, centre, more: str = ""):
    tab.goto(f"#/graph/{centre[0]}/{centre[1]}{more}")
    expect(tab.get_by_text(re.compile(r"^\d+ features, \d+ edge"))).to_be_visible()
    nodes = tab.get_by_test_id("graph-node")
    expect(nodes.first).to_be_visible()
    return nodes


def features(nodes) -> set[tuple[str, int]]:
    said = [nodes.nth(i).get_attribute("aria-label") for i in range(nodes.count())]
    return {(m[1], int(m[2])) for m in (re.match(r"(\S+) (\d+),", text) for text in said) if m}


def node_of(tab, site, feature):
    return tab.locator(f"[data-testid=graph-node][aria-label^='{site} {feature},']")


@pytest.mark.parametrize(("steps", "p"), [(1, 0.001), (2, 0.001), (2, 1e-6)])
def test_a_neighbourhood_is_that_of_the_graph(tab, graph, centre, steps, p):
    nodes = opened(tab, centre, f"?back={steps}&ahead={steps}&p={p}")
    near = graph.keep(max_p=p).around(*centre, forward=steps, backward=steps)
    wanted = set(near.nodes().select(pl.col("site").cast(pl.String), "feature").iter_rows())
    expect(nodes).to_have_count(len(wanted))
    becomes(tab, lambda: features(nodes), wanted)
    expect(tab.get_by_text(f"{len(wanted)} features, {len(near.table)} edge")).to_be_visible()


def test_matches_alone(tab, graph, centre):
    nodes = opened(tab, centre)
    whole = graph.keep(max_p=0.001).around(*centre, forward=2, backward=2)
    expect(nodes).to_have_count(len(whole.members))
    tab.get_by_role("radio", name="Matches alone").check(force=True)
    near = graph.keep(kinds=["match"], max_p=0.001).around(*centre, forward=2, backward=2)
    expect(nodes).to_have_count(len(near.members))
    assert len(near.members) < len(whole.members)
    expect(tab).to_have_url(re.compile("edges=match"))


def test_an_attribution_graph_is_the_one_of_the_package(tab, graph, centre):
    opened(tab, centre)
    got = downloaded_json(tab, tab.get_by_role("button", name="Attribution graph").click)
    near = graph.keep(max_p=0.001).around(*centre, forward=2, backward=2)
    wanted = attribution(near)
    ids = {node["node_id"]: node["feature"] for node in wanted["nodes"]}
    assert {node["node_id"]: node["feature"] for node in got["nodes"]} == ids
    assert got["metadata"]["prompt_tokens"] == wanted["metadata"]["prompt_tokens"]
    weights = {(link["source"], link["target"]): link["weight"] for link in wanted["links"]}
    assert {(link["source"], link["target"]) for link in got["links"]} == set(weights)
    for link in got["links"]:
        assert link["weight"] == pytest.approx(weights[link["source"], link["target"]], abs=1e-6)


def marked(tab, centre):
    """Pins the centre, names it with hostile text, groups it with another feature."""
    nodes = opened(tab, centre)
    (other,) = [of for of in sorted(features(nodes)) if of != centre][:1]
    node_of(tab, *centre).click()
    tab.get_by_role("button", name="Pin", exact=True).click()
    tab.get_by_label(f"Name of {centre[0]} {centre[1]}").fill(HOSTILE)
    tab.keyboard.press("Tab")
    node_of(tab, *other).click(modifiers=["Shift"])
    tab.get_by_label("Group of the chosen features").fill("quotes & <b>more</b>")
    tab.get_by_role("button", name="Group", exact=True).click()
    expect(node_of(tab, *centre)).to_have_attribute("aria-label", re.compile("pinned$"))
    expect(tab.locator(".graph-lane text")).to_contain_text("quotes & <b>more")
    return other


def test_pins_names_and_groups_stay_in_the_url_and_in_a_file(tab, centre, shipped_run):
    other = marked(tab, centre)
    said = f"{centre[0]} {centre[1]}, {HOSTILE}, pinned"
    expect(node_of(tab, *centre)).to_have_attribute("aria-label", said)
    tab.reload()
    expect(node_of(tab, *centre)).to_have_attribute("aria-label", said)
    assert tab.locator("img").count() == 0
    file = downloaded(tab, tab.get_by_role("button", name="Save", exact=True).click)
    content = json.loads(file.read_text())
    assert content["centre"] == {"site": centre[0], "feature": centre[1]}
    assert content["pinned"] == [content["centre"]]
    assert content["names"] == [{**content["centre"], "name": HOSTILE}]
    (group,) = content["groups"]
    assert group["name"] == "quotes & <b>more</b>"
    assert {(f["site"], f["feature"]) for f in group["features"]} == {centre, other}
    assert content["saes"] == {s.name: s.checksum for s in shipped_run.record.saes}
    tab.goto("#/graph")
    expect(tab.get_by_test_id("graph-node").first).to_be_visible()
    tab.locator("input[type=file]").set_input_files(file)
    expect(node_of(tab, *centre)).to_have_attribute("aria-label", said)
    expect(tab.locator(".graph-lane text")).to_contain_text("quotes & <b>more")
    node_of(tab, *centre).click()
    tab.get_by_role("button", name="Unpin").click()
    expect(node_of(tab, *centre)).to_have_attribute("aria-label", re.compile("[^d]$"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "not a graph saved from this page"),
        ("no json", "not a graph saved from this page"),
        ('{"format": "saematch graph", "format_version": 99}', "open it with a newer saematch"),
        (
            '{"format": "saematch graph", "format_version": 1, '
            '"pinned": [{"site": "<b>", "feature": 3}]}',
            "the graph names <b>/3, which this run does not have",
        ),
    ],
)
def test_a_file_that_is_no_such_graph_is_said_to_be_none(tab, tmp_path, text, said):
    file = tmp_path / "graph.json"
    file.write_text(text)
    tab.goto("#/graph")
    expect(tab.get_by_test_id("graph-node").first).to_be_visible()
    tab.locator("input[type=file]").set_input_files(file)
    expect(tab.get_by_role("alert")).to_contain_text(said)


def test_a_picture_is_a_whole_file_of_its_own(tab, centre):
    marked(tab, centre)

    def kept(kind: str):
        tab.get_by_label(re.compile("^Keep or share")).click()
        return downloaded(tab, tab.get_by_role("button", name=f"Picture, {kind}").click)

    root = ElementTree.fromstring(kept("SVG").read_text("utf-8"))
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    title = f"Around {centre[0]} {centre[1]}: {HOSTILE}"
    assert root.findtext(f"{space}title").startswith(title)
    texts = ["".join(element.itertext()) for element in root.iter(f"{space}text")]
    assert {title, "match", "pinned"} <= set(texts)
    assert any("matched by feature-flow" in each for each in texts)
    assert any(each.startswith("<img src=x") for each in texts)
    drawn = tab.get_by_test_id("graph-node").count()
    assert len(list(root.iter(f"{space}circle"))) >= drawn + 1  # and the ring of a pin
    assert not [e for e in root.iter() if e.tag.endswith(("script", "image", "foreignObject"))]
    assert "var(--" not in ElementTree.tostring(root, "unicode")
    picture = kept("PNG").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(picture[i : i + 4]) for i in (16, 20))
    wanted = [2 * float(root.get(side)) for side in ("width", "height")]
    assert (width, height) == pytest.approx(wanted, abs=1)


def test_a_graph_is_walked_by_keys(tab, centre, shipped_run):
    opened(tab, centre)
    node_of(tab, *centre).focus()
    tab.keyboard.press("p")
    expect(node_of(tab, *centre)).to_have_attribute("aria-label", re.compile("pinned$"))
    tab.keyboard.press("ArrowRight")
    focused = tab.evaluate("document.activeElement.getAttribute('aria-label')")
    site, feature = focused.split(",")[0].split(" ")
    row = shipped_run.pair(centre[0], site).row(centre[1], named=True)
    assert row["target"] == int(feature)
    tab.keyboard.press(" ")
    expect(node_of(tab, site, feature)).to_have_attribute("aria-pressed", "true")
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile(rf"#/graph/{site}/{feature}\b"))


def test_edges_are_there_as_a_table(tab, graph, centre):
    opened(tab, centre)
    near = graph.keep(max_p=0.001).around(*centre, forward=2, backward=2)
    tab.get_by_text(re.compile(r"^\d+ edges? as a table$")).click()
    table = tab.get_by_role("table", name="Edges")
    expect(table).to_have_attribute("aria-rowcount", str(len(near.table) + 1))


def rows_of(tab, number: int) -> list[list[str]]:
    """The first rows of the list of communities."""
    rows = tab.get_by_test_id("communities").get_by_test_id("result-row")
    return [
        [" ".join(cell.split()) for cell in rows.nth(i).locator("td").all_inner_texts()]
        for i in range(number)
    ]


@pytest.fixture(scope="module")
def communities(shipped_run):
    """The communities in the order of the page, with the figures that it is by."""
    made = pl.read_parquet(prepare(shipped_run).folder / "communities.parquet")
    table = shipped_run.table("flow", "communities")
    figures = made.with_columns(pl.col("community").cast(pl.Int64))
    return table.join(figures, on="community", how="left", maintain_order="left").sort(
        pl.col("clean").fill_null(-1), "size", "community", descending=[True, True, False]
    )


def row_of(of: dict) -> list[str]:
    agree = NONE if of["agreement"] is None else percent(of["agreement"])
    return [" ".join(of["label"].split()), str(of["size"]), str(of["sites"]), agree]


def test_communities_are_those_of_the_table_the_cleanest_first(tab, communities):
    tab.goto("#/graph")
    expect(tab.get_by_text(f"{len(communities):,} communities")).to_be_visible()
    wanted = [row_of(row) for row in communities.head(5).to_dicts()]
    becomes(tab, lambda: rows_of(tab, 5), wanted)
    tab.get_by_role("button", name="Features").click()
    expect(tab).to_have_url(re.compile("order=size"))
    largest = communities.sort("size", "community", descending=[True, False])
    first = largest.row(0, named=True)
    becomes(tab, lambda: rows_of(tab, 1), [row_of(first)])
    tab.get_by_test_id("communities").get_by_test_id("result-row").first.click()
    expect(tab).to_have_url(re.compile(f"community={first['community']}"))
    nodes = tab.get_by_test_id("graph-node")
    expect(nodes).to_have_count(min(140, first["size"]))
    members = {(m["site"], m["feature"]) for m in first["members"]}
    becomes(tab, lambda: features(nodes) <= members, True)
    word = first["label"].split(",")[0]
    tab.get_by_label("Filter communities by token").fill(word)
    kept = communities.filter(
        pl.col("label").str.to_lowercase().str.contains(word.lower(), literal=True)
    )
    said = tab.locator(".communities .aside [role=status]")
    expect(said).to_have_text(f"{len(kept):,} communities")
    assert numbers(said.inner_text()) == [len(kept)]


def test_a_good_community_is_open_at_once(tab, communities):
    tab.goto("#/graph")
    drawn = communities.filter(pl.col("size").is_between(20, 60))
    several = drawn.filter(pl.col("label").str.contains(", ", literal=True))
    good = next(each for each in (several, drawn, communities) if len(each)).row(0, named=True)
    expect(tab.get_by_role("heading", level=1)).to_have_text(" ".join(good["label"].split()))
    nodes = tab.get_by_test_id("graph-node")
    expect(nodes).to_have_count(good["size"])
    becomes(tab, lambda: features(nodes), {(m["site"], m["feature"]) for m in good["members"]})


def test_a_click_shows_what_a_feature_fires_on(tab, shipped_run, centre):
    opened(tab, centre)
    node_of(tab, *centre).click()
    panel = tab.get_by_test_id("graph-chosen")
    contexts = shipped_run.contexts(centre[0]).filter(feature=centre[1])["contexts"][0]
    shown = panel.locator(".context")
    expect(shown).to_have_count(min(6, len(contexts)))
    expect(shown.first.locator("mark")).to_have_text(contexts[0]["token"].strip())
    panel.get_by_role("button", name="Let go of what is chosen").click()
    expect(panel).to_have_count(0)


def test_names_of_saes_do_not_touch_and_labels_can_be_read(tab, centre):
    for width in (390, 1280):
        tab.set_viewport_size({"width": width, "height": 900})
        opened(tab, centre)
        boxes = [one.bounding_box() for one in tab.locator(".graph-heads text").all()]
        for before, after in pairwise(boxes):
            assert before["x"] + before["width"] + 8 <= after["x"]
        sizes = tab.evaluate(
            "[...document.querySelectorAll('.graph-svg text')]"
            ".map((each) => parseFloat(getComputedStyle(each).fontSize))"
        )
        assert min(sizes) >= 11
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(tab, width, theme):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"#/graph?theme={theme}")
    tab.get_by_test_id("graph-node").first.click()
    expect(tab.get_by_test_id("graph-chosen").locator(".context").first).to_be_visible()
    settled(tab)
    tab.evaluate(AXE.read_text())
    found = tab.evaluate(
        "axe.run({ rules: { 'label-content-name-mismatch': { enabled: true } } })"
        ".then((found) => found.violations.map((each) => [each.id, each.nodes[0].html]))"
    )
    assert found == []
