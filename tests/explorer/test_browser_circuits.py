"""The view of circuits, in headless Chromium, served and exported, against the run's tables."""

import re

import polars as pl
import pytest

from saematch.circuits import read_circuit
from support.browsing import MINUS, becomes, figure, percent, settled
from support.circuit_world import LOGITS, PARIS, Prompt, add_circuits
from support.explored import write_run
from support.opened import exporting, serving, sound, without
from support.screens import needs_axe

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
ILL = [
    "<img src=x onerror=alert(1)>",
    "\u202egnorts\u202c",
    "long" * 300,
    "line\nbreak\t",
    "  ",
    '"><svg onload=alert(2)>',
]
LONG = ["<s>", *(f" word{i}" for i in range(30))]
PROMPTS = [
    Prompt("paris", PARIS, LOGITS),
    Prompt("ill & <b>", ["<s>", *ILL], [(text, 0.1) for text in ILL], ILL),
    Prompt("long", LONG, [(" end", 0.5)]),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("circuits"))
    add_circuits(run, PROMPTS)
    return run


@pytest.fixture(scope="module")
def served_url(run):
    yield from serving(run)


@pytest.fixture(scope="module")
def exported_url(run, tmp_path_factory):
    yield from exporting(run, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def paris(run):
    return read_circuit(run, "paris")


def units(circuit):
    """Supernodes and single features, the most influential first, by the key of the page."""
    group = circuit.nodes.select(pl.col("node").alias("unit"), "group")
    of = circuit.units().filter(kind="feature").join(group, on="unit", how="left")
    key = (
        pl.when(pl.col("group").is_null())
        .then(pl.format("n{}", "unit"))
        .otherwise(pl.format("g{}-{}", "group", "position"))
    )
    return of.with_columns(key.alias("key")).sort("influence", descending=True)


def node(tab, key: str):
    return tab.locator(f"[data-testid=circuit-node][data-key='{key}']")


def test_the_sentence_counts_as_python_does(tab, paris):
    tab.goto("#/circuits/paris")
    expect(tab.get_by_role("heading", level=1)).to_have_text(
        re.compile(r"“The capital of France is”\s*→\s*Paris\s*62 %")
    )
    about, nodes = paris.figures, paris.nodes
    features = nodes.filter(kind="feature")
    alone = features["group"].null_count()
    active = len(features) + 100
    share = features["influence"].sum() / about.influence_before
    said = tab.get_by_test_id("sentence")
    expect(said).to_contain_text(f"{len(features)} of {active} active features")
    expect(said).to_contain_text(f"{about.supernodes} tracks and {alone} alone")
    expect(said).to_contain_text(f"have {percent(share)} of all influence")
    tokens = nodes.filter(kind="token").sort("influence", descending=True)
    for row in tokens.head(3).to_dicts():
        text = row["token"].replace(" ", "\u00a0")
        expect(said).to_contain_text(f"“{text}” ({percent(row['influence'])})")
    expect(said).to_contain_text(f"leave out ({percent(1 - about.replacement)})")
    path = said.get_by_role("link").all_inner_texts()
    assert path[-1] == "“\u00a0Paris”"


def test_tracks_are_drawn_as_one_or_feature_by_feature(tab, paris):
    strongest = units(paris).head(8)
    tab.goto("#/circuits/paris?features=8")
    for row in strongest.to_dicts():
        mark = node(tab, row["key"])
        expect(mark).to_have_count(1)
        expect(mark.locator("circle")).to_have_count(len(row["nodes"]))
        expect(mark.locator(".capsule")).to_have_count(int(len(row["nodes"]) > 1))
    tracks = strongest.filter(pl.col("nodes").list.len() > 1)
    assert len(tracks)
    drawn = [
        " ".join(name.locator("text").all_text_contents()).rstrip("\u2026")
        for name in tab.locator(".circuit-names > .feature").all()
    ]
    for name in tracks["name"]:
        assert any(one and name.startswith(one) for one in drawn), (name, drawn)
    expect(tab.locator(".circuit-node.error")).not_to_have_count(0)
    tab.get_by_text("every feature").click()
    expect(tab.locator(".capsule")).to_have_count(0)
    singles = paris.nodes.filter(kind="feature").sort("influence", descending=True).head(8)
    for number in singles["node"]:
        expect(node(tab, f"n{number}").locator("circle")).to_have_count(1)


def test_a_node_lists_its_causes_and_effects_as_python_has_them(tab, paris):
    known = units(paris)
    chosen = known.filter(pl.col("nodes").list.len() > 1).row(0, named=True)
    tab.goto("#/circuits/paris?features=128")
    node(tab, chosen["key"]).click(position={"x": 12, "y": 30})
    panel = tab.get_by_test_id("circuit-panel")
    expect(panel.get_by_role("heading", level=2)).to_have_text(chosen["name"])
    expect(panel).to_contain_text(f"{percent(chosen['influence'])} of the influence")
    between = paris.between()
    names = dict(known.select("unit", "name").iter_rows())
    lists = panel.locator(".circuit-lines")
    for place, side, other in ((0, "target", "source"), (1, "source", "target")):
        title = lists.nth(place).get_by_role("button", name="more")
        if title.count():
            title.click()
        wanted = between.filter(pl.col(side) == chosen["unit"], pl.col(other).is_in([*names]))
        lines = lists.nth(place).get_by_test_id("circuit-line")
        said = [line.split("\n") for line in lines.all_inner_texts()]
        shares = [(name, share) for name, share, *where in said if where and " on " in where[0]]
        shares = [(name, share) for name, share in shares if name != "error"]
        assert sorted(shares) == sorted(
            (
                names[row[other]] or name_of(paris, row[other]),
                ("+" if row["effect"] >= 0 else MINUS) + percent(row["share"]),
            )
            for row in wanted.to_dicts()
        )
    tab.reload()
    expect(panel.get_by_role("heading", level=2)).to_have_text(chosen["name"])
    line = lists.nth(1).get_by_test_id("circuit-line").first
    name = line.locator(".line-name").inner_text().strip("“”").strip()
    line.click()
    expect(panel.get_by_role("heading", level=2)).to_have_text(re.compile(re.escape(name)))
    tab.go_back()
    expect(panel.get_by_role("heading", level=2)).to_have_text(chosen["name"])


def name_of(circuit, number: int) -> str:
    return f"feature {circuit.nodes.filter(node=number)['feature'][0]}"


def test_a_chosen_node_stands_out(tab, paris):
    key = units(paris)["key"][0]
    tab.goto(f"#/circuits/paris?node={key}")
    expect(node(tab, key)).to_have_attribute("aria-pressed", "true")
    faded = tab.locator(".circuit-node.far")
    expect(faded).not_to_have_count(0)
    opacity = tab.locator("[data-testid=circuit-edge] path:not(.hit)")
    seen = {path.get_attribute("stroke-opacity") for path in opacity.all()}
    assert seen == {"0.05", "0.95"}
    tab.get_by_role("button", name="Let go").click()
    expect(faded).to_have_count(0)
    expect(node(tab, key)).to_have_attribute("aria-pressed", "false")


def test_what_a_feature_fires_on_and_the_way_to_its_life(tab, run, paris):
    first = units(paris).row(0, named=True)
    its = paris.nodes.filter(pl.col("node").is_in(first["nodes"])).sort(
        "influence", descending=True
    )
    site, feature = its.select("site", "feature").row(0)
    tab.goto(f"#/circuits/paris?node={first['key']}")
    contexts = run.contexts(site).filter(feature=feature)["contexts"][0]
    shown = tab.locator(".circuit-features .context")
    expect(shown).to_have_count(min(5, len(contexts)))
    expect(shown.first.locator(".context-value")).to_have_text(figure(contexts[0]["activation"]))
    link = tab.locator(".circuit-features .chip")
    expect(link).to_contain_text(str(feature))
    link.click()
    expect(tab).to_have_url(re.compile(f"#/life/{site}/{feature}"))
    expect(tab.locator(".life-head .eyebrow")).to_have_text(f"{site} {feature}")
    tab.go_back()
    expect(tab.get_by_test_id("circuit-panel")).to_be_visible()


def test_the_slider_says_which_edges_are_drawn(tab):
    tab.goto("#/circuits/paris")
    edges = tab.get_by_test_id("circuit-edge")
    expect(edges.first).to_be_attached()
    slider = tab.get_by_test_id("circuit-threshold")
    before = edges.count()
    slider.focus()
    slider.press("End")
    becomes(tab, lambda: edges.count() < before / 2, True)
    expect(tab).to_have_url(re.compile("cut="))
    few = edges.count()
    slider.press("Home")
    becomes(tab, lambda: edges.count() > before, True)
    said = slider.get_attribute("aria-valuetext")
    assert said is not None
    # the strongest path is drawn whatever the slider says
    assert few >= int(said.startswith("0 %"))
    assert f"{edges.count()} edges" in said
    tab.reload()
    becomes(tab, lambda: edges.count() > before, True)


def test_the_keyboard_walks_chooses_and_lets_go(tab, paris):
    tab.goto("#/circuits/paris")
    entry = tab.locator("[data-testid=circuit-node][tabindex='0']")
    expect(entry).to_have_count(1)
    entry.focus()
    focused = "document.activeElement.dataset.key"
    logits = paris.nodes.filter(kind="logit").sort("probability", descending=True)
    first = f"n{logits['node'][0]}"
    becomes(tab, lambda: tab.evaluate(focused), first)
    tab.keyboard.press("ArrowRight")
    becomes(tab, lambda: tab.evaluate(focused), f"n{logits['node'][1]}")
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowDown")
    becomes(tab, lambda: tab.evaluate(focused) != first, True)
    below = tab.evaluate(focused)
    expect(tab.locator(".tooltip")).to_be_visible()
    tab.keyboard.press("Enter")
    expect(node(tab, below)).to_have_attribute("aria-pressed", "true")
    expect(tab).to_have_url(re.compile(f"node={below}"))
    tab.keyboard.press("Escape")
    expect(tab.get_by_test_id("circuit-panel")).to_have_count(0)


def test_one_of_several_circuits_is_chosen(tab):
    tab.goto("#/circuits")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("The capital of France is")
    choice = tab.get_by_test_id("circuit-choice")
    expect(choice.locator("option")).to_have_count(3)
    choice.select_option("long")
    expect(tab).to_have_url(re.compile("#/circuits/long"))
    expect(tab.get_by_role("heading", level=1)).to_contain_text("word29")
    box = tab.locator(".circuit-scroll")
    # the end of a long prompt is what is seen first
    reach = "it => [it.scrollWidth > it.clientWidth, it.scrollLeft > 0]"
    becomes(tab, lambda: box.evaluate(reach), [True, True])
    tab.go_back()
    expect(tab.get_by_role("heading", level=1)).to_contain_text("The capital of France is")


@pytest.mark.parametrize("width", [390, 1280, 1920])
@pytest.mark.parametrize("slug", ["paris", "ill & <b>"])
@pytest.mark.parametrize("by", ["track", "feature"])
def test_labels_lie_apart_and_the_page_is_no_wider_than_the_window(tab, slug, width, by):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto("")
    tab.evaluate(
        "([slug, by]) => { location.hash = `#/circuits/${encodeURIComponent(slug)}?by=${by}` }",
        [slug, by],
    )
    expect(tab.get_by_test_id("circuit")).to_be_visible()
    settled(tab)
    overlaps = """() => {
        const texts = [...document.querySelectorAll(".circuit-names text")];
        const boxes = texts.map((one) => one.getBoundingClientRect());
        const found = [];
        boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, j) => {
            const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const along = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            // lines of one name stand close above each other
            if (across > 1 && along > 5) {
                found.push(`${texts[i].textContent} / ${texts[i + 1 + j].textContent}`);
            }
        }));
        return found;
    }"""
    assert tab.evaluate(overlaps) == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_text_of_a_circuit_is_only_ever_text(tab):
    tab.goto("#/circuits/ill%20%26%20%3Cb%3E?features=128")
    expect(tab.get_by_test_id("circuit")).to_be_visible()
    expect(tab.get_by_role("heading", level=1)).to_contain_text(
        "<img src=x onerror=alert(1)>⟨202E⟩gnorts⟨202C⟩longlong"
    )
    tab.locator(".circuit-node.feature").first.click(position={"x": 12, "y": 12})
    expect(tab.get_by_test_id("circuit-panel")).to_be_visible()
    tab.get_by_text("edges as a table").click()
    expect(tab.get_by_test_id("result-row").first).to_be_visible()
    assert (
        tab.evaluate(
            "document.querySelectorAll('main img, main script, [onerror], [onload]').length"
        )
        == 0
    )


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(tab, paris, width, theme):
    tab.set_viewport_size({"width": width, "height": 900})
    for more in ("", f"&node={units(paris)['key'][0]}"):
        tab.goto(f"#/circuits/paris?theme={theme}{more}")
        expect(tab.get_by_test_id("circuit")).to_be_visible()
        sound(tab)


def test_a_run_without_circuits_says_how_to_make_them(tab):
    without(tab, "run/run.json", "circuits")
    tab.goto("#/circuits")
    expect(tab.get_by_test_id("view-circuits")).to_contain_text(
        'saematch circuit RUN --model NAME --prompt "..."'
    )
    expect(tab.get_by_test_id("nav-circuits")).to_have_count(0)
