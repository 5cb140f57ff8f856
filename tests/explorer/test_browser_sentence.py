"""The live sentence in headless Chromium: with a model beside the page, and as exported."""

import re
from urllib.parse import quote

import polars as pl
import pytest

import saematch
from saematch.explorer import export
from support.browsing import becomes, downloaded, figure, hosted, settled, watched
from support.live_world import MODULE, STREAM, TEXT, write_run
from support.screens import AXE, needs_axe

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("transformers")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
HOSTILE = "<img src=x onerror=alert(1)> \u202eturned\u202c & \x07 </script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("sentences"))


@pytest.fixture(scope="module")
def served(run):
    with saematch.explore(
        run, open_browser=False, model="saematch:model", device="cpu", sentences=[TEXT, HOSTILE]
    ) as explorer:
        yield explorer


@pytest.fixture(scope="module")
def reader(served):
    return served._live.reader


@pytest.fixture(scope="module")
def sentence(reader):
    return reader.read(TEXT)


@pytest.fixture(scope="module")
def served_url(served):
    return served.url.split("#")[0]


@pytest.fixture(scope="module")
def exported_url(run, reader, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    export(run, folder, sentences=[reader.read(text) for text in (TEXT, HOSTILE)])
    yield from hosted(folder)


@pytest.fixture(params=["served", "exported"])
def place(request):
    """The address of a page that has the sentences, with a model beside it or without."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def tab(browser, place):
    yield from watched(browser, place.split("?")[0])


@pytest.fixture
def live(browser, served_url):
    """A page with a model beside it."""
    yield from watched(browser, served_url.split("?")[0])


def open_sentence(tab, url, text=TEXT, **more):
    query = "&".join(f"{name}={value}" for name, value in more.items())
    tab.goto(f"{url}#/sentence?text={quote(text)}&{query}")
    expect(tab.get_by_test_id("sentence-picture")).to_be_visible()
    settled(tab)


def strands(reader, sentence):
    """What fires, by token and track, with what each says: as the page has it, worked out anew."""
    starts = reader.nodes.starts
    names = list(starts)
    known = sentence.known.with_columns(
        pl.col("frequency").clip(1e-6, 1).log10().neg().fill_null(3.0).alias("rarity")
    )
    order = {name: row for row, name in enumerate(reader.nodes.layers.names)}
    its = sentence.firing.join(known, on="node").with_columns(
        (pl.col("activation") / pl.col("max_activation")).alias("share"),
        pl.col("node")
        .map_elements(
            lambda node: order[max((n for n in names if starts[n] <= node), key=starts.get)],
            pl.Int64,
        )
        .alias("row"),
    )
    return its.with_columns((pl.col("share").clip(0, 1) * pl.col("rarity")).alias("weight"))


def test_the_finding_counts_as_python_does(tab, place, reader, sentence):
    open_sentence(tab, place)
    its = strands(reader, sentence)
    chain = [reader.nodes.layers.names.index(name) for name in STREAM]
    on = its.drop_nulls("track").with_columns(
        pl.col("row").replace_strict(chain, range(len(chain))).alias("step")
    )
    reach = on.group_by("token", "track").agg(
        (pl.col("step").max() - pl.col("step").min() + 1).alias("reach")
    )
    layers = min(reach["reach"].max(), max(2, round(0.7 * len(chain))))
    far = reach.filter(pl.col("reach") >= layers)["track"].n_unique()
    said = tab.get_by_test_id("sentence-finding")
    expect(said).to_contain_text(f"{far} tracks carry this sentence through {layers} layers")
    expect(said).to_contain_text(f"of {on['track'].n_unique()} that fire in it")
    alone = 100 * its["track"].null_count() / len(its)
    expect(said).to_contain_text(f"{int(alone + 0.5)} % of what fires is on no track")


def test_strands_above_a_word_are_those_that_say_most(tab, place, reader, sentence):
    open_sentence(tab, place)
    its = strands(reader, sentence).drop_nulls("track")
    totals = its.group_by("token", "track").agg(
        pl.col("weight").sum(), pl.col("row").n_unique().alias("rows")
    )
    best = totals.filter(pl.col("rows") > 1).sort("weight", descending=True)
    for token in range(1, len(sentence.tokens)):
        drawn = tab.locator(f"[data-testid=sentence-strand][data-key^='{token}-t']")
        keys = {mark.get_attribute("data-key") for mark in drawn.all()}
        tracks = best.filter(token=token)["track"].head(len(keys)).to_list()
        assert keys == {f"{token}-t{track}" for track in tracks}
        # a bead at every SAE where it fires
        for track in tracks:
            rows = its.filter(token=token, track=track)
            beads = tab.locator(f"[data-key='{token}-t{track}'] .bead")
            expect(beads).to_have_count(len(rows))


def test_a_word_lists_all_that_fires_there(tab, place, reader, sentence):
    open_sentence(tab, place)
    tab.locator("[data-key=w4]").click()
    panel = tab.get_by_test_id("sentence-at")
    active = sum(counts[4] for counts in sentence.active)
    expect(panel).to_contain_text(f"{active} features fire")
    expect(panel.get_by_role("table")).to_have_attribute(
        "aria-rowcount", str(len(sentence.firing.filter(token=4)) + 1)
    )
    file = downloaded(tab, lambda: tab.get_by_test_id("csv-sentence-token").click())
    table = pl.read_csv(file)
    wanted = (
        strands(reader, sentence)
        .filter(token=4)
        .sort("row", "activation", descending=[False, True])
    )
    assert len(table) == len(wanted)
    assert table["activation"].to_list() == pytest.approx(wanted["activation"].to_list())
    assert table.columns[0] == "feature"
    expect(tab).to_have_url(re.compile("token=4"))
    tab.reload()
    expect(panel).to_be_visible()


def test_a_track_shows_what_it_has_at_every_layer_and_token(tab, place, reader, sentence):
    open_sentence(tab, place)
    strand = tab.get_by_test_id("sentence-strand").first
    track = int(strand.get_attribute("data-key").split("-t")[1])
    strand.click()
    heat = tab.get_by_test_id("sentence-track").locator(".sentence-heat table")
    its = strands(reader, sentence).filter(track=track)
    rows = sorted(set(its["row"]), reverse=True)
    lines = heat.locator("tbody tr")
    expect(lines).to_have_count(len(rows))
    for line, row in zip(lines.all(), rows, strict=True):
        values = dict(its.filter(row=row).select("token", "activation").iter_rows())
        wanted = [
            figure(values[token]) if token in values else "·"
            for token in range(1, len(sentence.tokens))
        ]
        assert line.locator("td").all_inner_texts() == wanted
    expect(tab.locator(".sentence-strand.lit")).not_to_have_count(0)
    lit = {m.get_attribute("data-key") for m in tab.locator(".sentence-strand.lit").all()}
    assert all(key.endswith(f"-t{track}") for key in lit)
    tab.get_by_test_id("sentence-track").locator(".chip").click()
    expect(tab).to_have_url(re.compile(r"#/life/resid_post_\d/\d+"))
    tab.go_back()
    expect(tab.get_by_test_id("sentence-track")).to_be_visible()


def test_the_keyboard_walks_from_word_to_strand_and_along_a_track(tab, place):
    open_sentence(tab, place)
    entry = tab.locator("[data-testid=sentence-picture] [tabindex='0']")
    expect(entry).to_have_count(1)
    entry.focus()
    focused = "document.activeElement.dataset.key"
    becomes(tab, lambda: tab.evaluate(focused), "w1")
    tab.keyboard.press("ArrowRight")
    becomes(tab, lambda: tab.evaluate(focused), "w2")
    tab.keyboard.press("ArrowUp")
    strand = tab.evaluate(focused)
    assert strand.startswith("2-t")
    expect(tab.locator(".tooltip")).to_be_visible()
    tab.keyboard.press("Enter")
    expect(tab.get_by_test_id("sentence-track")).to_be_visible()
    expect(tab.locator(f"[data-key='{strand}']")).to_have_attribute("aria-pressed", "true")
    tab.keyboard.press("Escape")
    expect(tab.get_by_test_id("sentence-track")).to_have_count(0)
    tab.locator("[data-key=w2]").focus()
    tab.keyboard.press("End")
    becomes(tab, lambda: tab.evaluate(focused), "w11")


def test_a_sentence_that_is_typed_is_read_and_is_in_the_url(live, served_url, reader):
    open_sentence(live, served_url)
    typed = "The king of Israel said unto them"
    live.get_by_test_id("sentence-text").fill(typed)
    live.keyboard.press("Enter")
    settled(live)
    words = live.get_by_test_id("sentence-word")
    wanted = reader.read(typed)
    expect(words).to_have_count(len(wanted.tokens))
    expect(words.last).to_contain_text(wanted.tokens[-1].strip()[:3])
    assert quote(typed).replace("%20", "+") in live.url
    live.reload()
    expect(words).to_have_count(len(wanted.tokens))
    live.go_back()
    expect(live.get_by_test_id("sentence-text")).to_have_value(TEXT)


def test_what_the_model_refuses_is_said(served_url, browser):
    # the browser writes of every refusal to its console, which fails a watched tab
    context = browser.new_context()
    tab = context.new_page()
    open_sentence(tab, served_url)
    tab.get_by_test_id("sentence-text").fill("word " * 100)
    tab.get_by_test_id("sentence-read").click()
    expect(tab.get_by_role("alert")).to_contain_text("64 are read at most")
    context.close()


def test_steering_shows_both_and_where_they_part(live, served_url):
    open_sentence(live, served_url)
    live.get_by_test_id("sentence-strand").first.click()
    live.get_by_test_id("steer-go").click()
    both = live.get_by_test_id("steer-both")
    expect(both).to_be_visible()
    texts = both.locator("section p")
    expect(texts).to_have_count(2)
    for text in texts.all_inner_texts():
        assert text.startswith(TEXT)
    slider = live.get_by_test_id("steer-strength")
    slider.fill("0.5")
    live.get_by_test_id("steer-go").click()
    expect(both.locator("mark")).to_have_count(2)
    marks = both.locator("mark").all_inner_texts()
    assert marks[0] != marks[1]
    live.get_by_text("remove it").click()
    expect(slider).to_have_count(0)
    live.get_by_test_id("steer-go").click()
    expect(both).to_contain_text("Without it")


def test_without_a_model_the_page_says_how_to_get_one(browser, exported_url):
    for tab in watched(browser, exported_url):
        tab.goto("#/sentence")
        expect(tab.get_by_test_id("sentence-how")).to_contain_text(
            "saematch explore RUN --model saematch:model"
        )
        expect(tab.get_by_test_id("sentence-text")).to_have_count(0)
        expect(tab.get_by_test_id("sentence-offered")).to_have_count(2)
        # the first that was recorded is there at once
        expect(tab.get_by_test_id("sentence-picture")).to_be_visible()
        tab.goto("#/sentence?text=never+read")
        expect(tab.get_by_test_id("view-sentence")).to_contain_text("was not recorded")
        tab.get_by_test_id("sentence-offered").first.click()
        expect(tab.get_by_role("heading", level=1)).to_have_text(f"“{TEXT}”")


def test_what_is_given_away_has_no_token(live, served_url):
    live.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_sentence(live, served_url)
    for choice in ("Copy link", "Copy frame for a web page"):
        live.get_by_test_id("figure-sentence").locator("summary").click()
        live.get_by_role("button", name=choice).click()
        expect(live.locator(".keep-said").first).to_contain_text("copied")
        copied = live.evaluate("navigator.clipboard.readText()")
        assert "sentence?text=" in copied.replace("&amp;", "&") or "#/sentence" in copied
        assert "live=" not in copied


def test_hostile_text_is_only_ever_text(tab, place):
    open_sentence(tab, place, HOSTILE)
    shown = tab.get_by_role("heading", level=1)
    expect(shown).to_contain_text("<img src=x onerror=alert(1)> ⟨202E⟩turned⟨202C⟩ & ␇ </script>")
    tab.locator("[data-key=w1]").click()
    expect(tab.get_by_test_id("sentence-at")).to_be_visible()
    assert (
        tab.evaluate(
            "document.querySelectorAll('main img, main script, [onerror], [onload]').length"
        )
        == 0
    )
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", tab.locator("main").inner_text())


@pytest.mark.parametrize("width", [390, 640, 1280, 1920])
def test_names_lie_apart_and_the_page_is_no_wider_than_the_window(tab, place, width):
    tab.set_viewport_size({"width": width, "height": 900})
    open_sentence(tab, place)
    overlaps = """() => {
        const texts = [...document.querySelectorAll(".sentence-names text, .sentence-word text")];
        const boxes = texts.map((one) => one.getBoundingClientRect());
        const found = [];
        boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, j) => {
            const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const along = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (across > 1 && along > 5) {
                found.push(`${texts[i].textContent} / ${texts[i + 1 + j].textContent}`);
            }
        }));
        return found;
    }"""
    assert tab.evaluate(overlaps) == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(live, served_url, width, theme):
    live.set_viewport_size({"width": width, "height": 900})
    for more in ({}, {"token": 3}, {"at": None}):
        open_sentence(live, served_url, theme=theme, **{k: v for k, v in more.items() if v})
        if "at" in more:
            live.get_by_test_id("sentence-strand").first.click()
            expect(live.get_by_test_id("sentence-track")).to_be_visible()
        live.evaluate(AXE.read_text())
        found = live.evaluate("axe.run().then((found) => found.violations)")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_modules_have_a_line_and_no_strand_runs_through_them(tab, place, reader):
    open_sentence(tab, place)
    axis = tab.locator(".sentence-axis text").all_text_contents()
    assert len(axis) == len(reader.nodes.layers.names)
    module = reader.nodes.layers.names.index(MODULE)
    assert axis[module] == "attn 3"
    expect(tab.locator(".sentence-axis text.module")).to_have_count(1)
