"""Graphs and communities, in headless Chromium: what is drawn, marked, saved and exported."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import polars as pl
import pytest

from saematch.layers import FlowGraph
from saematch.layers.exports import attribution
from support.browsing import (
    becomes,
    cells,
    downloaded,
    downloaded_json,
    longest,
    numbers,
)

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
    expect(tab.get_by_text("No feature is chosen")).to_be_visible()
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
    expect(tab.get_by_text("No feature is chosen")).to_be_visible()
    tab.locator("input[type=file]").set_input_files(file)
    expect(tab.get_by_role("alert")).to_contain_text(said)


def test_a_picture_is_a_whole_file_of_its_own(tab, centre):
    marked(tab, centre)
    text = downloaded(tab, tab.get_by_role("button", name="SVG").click).read_text("utf-8")
    root = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert root.findtext(f"{space}title") == f"Around {centre[0]} {centre[1]}"
    texts = ["".join(element.itertext()) for element in root.iter(f"{space}text")]
    assert any(each.startswith("<img src=x") for each in texts)
    drawn = tab.get_by_test_id("graph-node").count()
    assert len(list(root.iter(f"{space}circle"))) >= drawn + 1  # and the ring of a pin
    assert not [e for e in root.iter() if e.tag.endswith(("script", "image", "foreignObject"))]
    assert "var(--" not in text
    picture = downloaded(tab, tab.get_by_role("button", name="PNG").click).read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    box = tab.get_by_test_id("graph").bounding_box()
    width, height = (int.from_bytes(picture[i : i + 4]) for i in (16, 20))
    assert (width, height) == (round(2 * box["width"]), round(2 * box["height"]))


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


def test_communities_are_those_of_the_table(tab, shipped_run):
    table = shipped_run.table("flow", "communities")
    tab.goto("#/graph")
    expect(tab.get_by_text(f"{len(table):,} communities")).to_be_visible()
    first = table.row(0, named=True)
    box = tab.get_by_test_id("communities")
    assert cells(tab, 1)[0] == [" ".join(first["label"].split()), str(first["size"]),
                                str(first["sites"])]  # fmt: skip
    box.locator("tbody tr").first.click()
    expect(tab).to_have_url(re.compile(f"community={first['community']}"))
    nodes = tab.get_by_test_id("graph-node")
    expect(nodes).to_have_count(first["size"])
    becomes(tab, lambda: features(nodes), {(m["site"], m["feature"]) for m in first["members"]})
    word = first["label"].split(",")[0]
    tab.get_by_label("Filter communities by token").fill(word)
    kept = table.filter(pl.col("label").str.to_lowercase().str.contains(word.lower(), literal=True))
    said = tab.locator(".communities [role=status]")
    expect(said).to_have_text(f"{len(kept):,} communities")
    assert numbers(said.inner_text()) == [len(kept)]
