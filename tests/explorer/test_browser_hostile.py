"""A run that wishes the page ill, in headless Chromium: all of it is shown as text.

Names of SAEs (which saematch itself never makes such), the model, tokens, and the texts around them
hold HTML, scripts, what turns the direction of writing, and more than fits.
"""

import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from msgspec.structs import replace as evolve

import saematch
from saematch.explorer import explore
from saematch.explorer.export import export
from saematch.layers.analysis import analyse
from saematch.runs.run import Run
from support.browsing import becomes, cells, hosted, settled, watched
from support.stand_in import write_shipped

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
NAMES = [
    "<img src=x onerror=alert(1)>",
    "\u202eexe.png\u202c\u2067\u05e9\u05dc\u05d5\u05dd",
    "resid" + "_long" * 18,
]
MODEL = "<script>alert(1)</script>\u202e\x07"
TOKENS = [
    "<script>alert(2)</script>",
    '"><svg onload=alert(3)>',
    "<img src=x onerror=alert(4)>",
    "javascript:alert(5)",
    "long" * 3000,
    "\u202egnorts\u202c",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "e\u0301" * 40 + "\u200b\u200d\ufeff",
    "\x00\x1b[31m",
    "line\nbreak\r\n\ttab",
    "${7*7}{{7*7}}%2e%2e/",
    "&lt;b&gt; &amp;",
]
# what would turn the text around it is spelt out
SIGNS = {"\u202egnorts\u202c": "⟨202E⟩gnorts⟨202C⟩"}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Run:
    root = tmp_path_factory.mktemp("hostile")
    folder = write_shipped(root / "data", d_in=32) / "saes"
    sources = [folder / f"resid_post_{layer}" for layer in range(3)]
    for source in sources:
        beside = source / "features.parquet"
        spoil(pl.read_parquet(beside)).write_parquet(beside)
    saes = [saematch.load(source) for source in sources]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saematch.runs.run.names_of", lambda saes: NAMES[: len(saes)])
        run = Run.create(root / "run", "flow", {"method": MODEL}, saes)
    for (a, x), (b, y) in pairwise(zip(NAMES, saes, strict=True)):
        run.add_pair(a, b, saematch.match(x, y, "cosine"))
    analyse(run)
    named = {"model": MODEL, "neuronpedia_id": 'toy"><b>/0-res?x=<i>'}
    saes = [evolve(s, conventions=evolve(s.conventions, **named)) for s in run.record.saes]
    noted = evolve(run.record.pairs[0], notes=["<b onclick=alert(6)>note</b>"])
    run.update(saes=saes, pairs=[noted, *run.record.pairs[1:]])
    run.finish()
    return Run.open(run.path)


def spoil(frame: pl.DataFrame) -> pl.DataFrame:
    """The same contexts with every text hostile; a feature fires on one token throughout."""
    rows = frame.to_dicts()
    for i, row in enumerate(rows):
        token = TOKENS[i % len(TOKENS)]
        for n, context in enumerate(row["contexts"]):
            beside = TOKENS[(i + n + 1) % len(TOKENS)]
            context.update(token=token, before=beside, after=beside[::-1], source=token)
    return pl.DataFrame(rows, schema=frame.schema)


@pytest.fixture(scope="module")
def hostile_served(hostile):
    with explore(hostile, open_browser=False) as explorer:
        yield explorer.url


@pytest.fixture(scope="module")
def hostile_exported(hostile, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile-site") / "site"
    export(hostile, folder)
    yield from hosted(folder)


@pytest.fixture(params=["served", "exported"])
def tab(request, browser):
    yield from watched(browser, request.getfixturevalue(f"hostile_{request.param}"))


def at(tab, view: str, *places: object, **more: object) -> None:
    """Opens a view by its URL, as a link of the page would."""
    script = """([view, places, more]) => {
        const query = new URLSearchParams(more).toString();
        location.hash = "#/" + [view, ...places].map(encodeURIComponent).join("/")
            + (query ? "?" + query : "");
    }"""
    if not tab.url.startswith("http"):
        tab.goto("")
    tab.evaluate(script, [view, [str(p) for p in places], {k: str(v) for k, v in more.items()}])


def unharmed(tab) -> None:
    """Nothing of the run has become an element, and nothing is wider than the window."""
    tab.wait_for_load_state("networkidle")
    settled(tab)
    measured = """() => ({
        elements: document.querySelectorAll(
            "main img, main script, header img, [onerror], [onload], [onclick], main i b"
        ).length,
        scripts: [...document.scripts].map((one) => one.getAttribute("src").split("/").pop()),
        wide: document.documentElement.scrollWidth > innerWidth,
        tall: [...document.querySelectorAll(
            "main .context, main h1, main tr:not([aria-hidden])"
        )].some((one) => one.getBoundingClientRect().height >= 400),
    })"""
    wanted = {"elements": 0, "scripts": ["explorer.js"], "wide": False, "tall": False}
    becomes(tab, lambda: tab.evaluate(measured), wanted)


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def feature_of(run: Run, site: str, token: str) -> int:
    contexts = run.contexts(site)
    assert contexts is not None
    firsts = [row[0]["token"] for row in contexts["contexts"]]
    return int(contexts["feature"][firsts.index(token)])


def test_the_overview(tab, hostile):
    at(tab, "overview")
    expect(tab.get_by_test_id("overview-column")).to_have_count(3)
    expect(tab.locator(".story-of bdi")).to_have_text([MODEL, MODEL])
    expect(tab.get_by_test_id("overview-pairs").first.locator("tbody a")).to_have_text(
        [f"{a} → {b}" for a, b in hostile.pairs]
    )
    unharmed(tab)


def test_the_list(tab):
    at(tab, "find")
    expect(tab.get_by_test_id("result-row").first).to_be_visible()
    unharmed(tab)
    options = tab.get_by_test_id("filter-site").locator("option")
    expect(options).to_have_text(["all", *NAMES])
    at(tab, "find", q="onerror")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("onerror")
    unharmed(tab)
    (row,) = cells(tab, 1)
    assert row[0].startswith("<img src=x onerror=aler")
    assert "<img src=x onerror=alert(4)>" in row[4]
    at(tab, "find", q="<b>no such</b>")
    expect(tab.get_by_role("heading", level=1)).to_have_text("Firing on “<b>no such</b>”")
    unharmed(tab)


@pytest.mark.parametrize("token", TOKENS)
def test_a_life(tab, hostile, token: str):
    feature = feature_of(hostile, NAMES[0], token)
    at(tab, "life", NAMES[0], feature)
    panel = tab.locator("[data-testid=context-panel][aria-current=true]")
    expect(panel).to_have_attribute("aria-label", f"{NAMES[0]} {feature}")
    shown = panel.locator("mark").first
    expect(shown).to_be_visible()
    assert letters(shown.inner_text()).startswith(letters(SIGNS.get(token, token))[:40])
    unharmed(tab)


def test_neighbours_of_any_name_are_walked_to(tab, hostile):
    pair = hostile.pair(NAMES[0], NAMES[1]).filter("matched").row(0, named=True)
    at(tab, "life", NAMES[0], pair["feature"])
    expect(tab.get_by_test_id("track-node").first).to_be_visible()
    goes = tab.get_by_role("table", name="Where it goes")
    goes.locator("tr:has(:text-is('match')) a").first.click()
    heading = tab.locator(".life-head .eyebrow")
    expect(heading).to_have_text(f"{NAMES[1]} {pair['target']}")
    tab.reload()
    expect(heading).to_have_text(f"{NAMES[1]} {pair['target']}")
    unharmed(tab)


def test_a_name_that_turns_the_writing_does_not_turn_what_follows(tab, hostile):
    pair = hostile.pair(NAMES[0], NAMES[1]).filter("matched").row(0, named=True)
    at(tab, "life", NAMES[1], pair["target"])
    number = tab.locator(".life-head .eyebrow b")
    expect(number).to_have_text(str(pair["target"]))
    right_of_name = """() => {
        const number = document.querySelector(".life-head .eyebrow b");
        const range = document.createRange();
        range.selectNodeContents(number.parentElement);
        range.setEndBefore(number);
        const ends = [...range.getClientRects()].map((rect) => rect.right);
        return number.getBoundingClientRect().left - Math.max(...ends) >= -1;
    }"""
    becomes(tab, lambda: tab.evaluate(right_of_name), True)


def test_a_pair(tab, hostile):
    at(tab, "pair", NAMES[1], NAMES[2])
    expect(tab.get_by_role("heading", level=1)).to_contain_text(NAMES[2])
    expect(tab.get_by_test_id("result-row").first).to_be_visible()
    expect(tab.get_by_test_id("pair-contexts").locator("mark").first).to_be_visible()
    unharmed(tab)
    at(tab, "pair", NAMES[0], NAMES[1])
    tab.get_by_text("How they were matched").click()
    expect(tab.get_by_text("<b onclick=alert(6)>note</b>")).to_be_visible()
    unharmed(tab)


def test_graphs_and_communities(tab, hostile):
    pair = hostile.pair(NAMES[0], NAMES[1]).filter("matched").row(0, named=True)
    at(tab, "graph", NAMES[0], pair["feature"], p=1)
    expect(tab.get_by_test_id("graph-node").first).to_be_visible()
    unharmed(tab)
    table = hostile.table("flow", "communities")
    assert len(table)
    at(tab, "graph", community=table["community"][0])
    expect(tab.get_by_test_id("graph-node")).to_have_count(table["size"][0])
    unharmed(tab)


@pytest.mark.parametrize("view", ["overview", "life", "graph", "pair"])
def test_a_picture_is_whole_whatever_it_says(tab, hostile, view: str):
    places = {
        "overview": (),
        "life": (NAMES[0], feature_of(hostile, NAMES[0], "\x00\x1b[31m")),
        "graph": (NAMES[0], feature_of(hostile, NAMES[0], "\x00\x1b[31m")),
        "pair": NAMES[:2],
    }
    at(tab, view, *places[view], **({"p": 1} if view == "graph" else {}))
    figure = tab.locator("figure.figure:visible").first
    figure.locator(".keep summary").click()
    settled(tab)
    with tab.expect_download() as download:
        figure.get_by_role("button", name="Picture, SVG").click()
    picture = ElementTree.parse(download.value.path())
    assert not [one for one in picture.iter() if re.search("script|foreignObject", one.tag)]


def test_marks_in_the_url_are_text_too(tab, hostile):
    named = json.dumps([[0, "<img src=x onerror=alert(7)>"]])
    grouped = json.dumps([["<svg onload=alert(8)>" + "x" * 500, 0]])
    at(tab, "graph", NAMES[0], 0, p=1, names=named, groups=grouped, pins="0_99999999_x")
    expect(tab.get_by_role("heading", level=1)).to_have_text("<img src=x onerror=alert(7)>")
    unharmed(tab)
    # what no view can understand falls back
    at(tab, "../../etc/passwd", "<b>")
    expect(tab.get_by_test_id("overview-column").first).to_be_visible()
    unharmed(tab)


def test_neuronpedia_is_asked_when_somebody_wants_it_and_under_its_own_address(
    browser, hostile_served
):
    context = browser.new_context(base_url=hostile_served)
    page = context.new_page()
    asked: list[str] = []
    context.route(
        re.compile("^https://"),
        lambda route: (asked.append(route.request.url), route.fulfill(body="there")),
    )
    at(page, "life", NAMES[0], 3)
    link = page.get_by_role("link", name="Neuronpedia")
    address = "https://www.neuronpedia.org/toy%22%3E%3Cb%3E/0-res%3Fx%3D%3Ci%3E/3"
    expect(link).to_have_attribute("href", address)
    expect(link).to_have_attribute("rel", "noreferrer noopener")
    assert asked == []
    page.get_by_role("button", name="show it here").click()
    expect(page.frame_locator("iframe.embed").locator("body")).to_have_text("there")
    assert asked == [f"{address}?embed=true"]
    context.close()


def test_the_files_of_the_run_are_named_as_it_names_them(hostile):
    assert [Path(sae.features).stem for sae in hostile.record.saes] == NAMES
