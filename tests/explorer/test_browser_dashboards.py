"""Dashboards in headless Chromium: what is shown is what the Parquet says, hostile or not."""

import shutil

import numpy as np
import pytest
from msgspec import UNSET

import saematch
from saematch.activations.batch import Batch
from saematch.activations.store import ActivationStore
from saematch.dashboards import TextSets, activity, agreement, windows
from saematch.dashboards.saved import Dashing
from saematch.explorer import explore
from saematch.runs.run import Run
from support.browsing import becomes, figure, percent, settled, watched
from support.sparse_case import activations, dense_of
from support.stand_in import write_shipped

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]

LENGTH, EXAMPLES = 23, 40
HOSTILE = "<img src=x onerror=alert(1)>"
WORDS = [HOSTILE, " \u202ee", "\n", " the", "</mark>", " w5", "", " w7", "x" * 500, " w9"]
A, B = "resid_post_1", "resid_post_2"
FEATURE = 3


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    home = tmp_path_factory.mktemp("dashboards")
    folder = write_shipped(home / "data", d_in=32) / "saes"
    saes = [saematch.load(folder / f"resid_post_{layer}") for layer in (1, 2)]
    run = Run.create(home / "run", "match", {}, saes)
    run.add_pair(A, B, saematch.match(saes[0], saes[1], "cosine"))
    run.finish()
    target = run.pair(A, B)["target"].fill_null(-1).to_numpy()
    assert target[FEATURE] >= 0
    width, stores = saes[0].d_sae, []
    for k, name in enumerate(("saematch:prose", "<b>mine</b>")):
        dense = dense_of(LENGTH * EXAMPLES, width, k, density=0.3)
        # B's features do what those of A do that lead to them, but that of FEATURE fires elsewhere
        later = dense_of(LENGTH * EXAMPLES, saes[1].d_sae, k + 9, density=0.02)
        for i in np.flatnonzero(target >= 0):
            if i != FEATURE:
                later[:, target[i]] = dense[:, i]
        rare = np.random.default_rng(k).random(len(dense)) < 0.9
        later[(dense[:, FEATURE] != 0) & rare, target[FEATURE]] = 0
        ids = np.random.default_rng(k).integers(0, len(WORDS), len(dense)).astype(np.int32)
        store = ActivationStore.create(
            home / f"store{k}",
            model="tiny",
            texts={"from": [name]},
            saes=dict(zip((A, B), saes, strict=True)),
            pieces=lambda some: [WORDS[i] for i in some],
        )
        parts = {A: activations(dense, LENGTH), B: activations(later, LENGTH)}
        position = np.tile(np.arange(LENGTH, dtype=np.int32), EXAMPLES)
        store.add(Batch(parts, ids, parts[A].example, position))
        store.finish()
        stores.append(store)
    texts = {name: TextSets(stores, [name, name]) for name in (A, B)}
    told = [
        {"name": name, "tokens": tokens, "examples": EXAMPLES}
        for name, tokens in zip(("saematch:prose", "<b>mine</b>"), texts[A].tokens, strict=True)
    ]
    asked = {"model": "tiny", "texts": told, "made_of": [], "options": {}}
    with run.writing():
        dashing = Dashing(run, asked)
        for name in (A, B):
            found = activity(texts[name])
            sides = {}
            for k, kind in enumerate(("logits_top", "logits_bottom")):
                logits = np.linspace(2, 1, 3) * (1, -1)[k] + np.arange(len(found.maximum))[:, None]
                sides[kind] = (np.tile([0, 3, 2], (len(found.maximum), 1)), logits)
            words = dict(enumerate(WORDS))
            shown = windows(texts[name], found.places)
            dashing.add(name, found, shown, texts[name].tokens, sides, words)
        places = {name: dashing.places(name) for name in (A, B)}
        dashing.add_agreement(agreement({(A, B): target}, places, texts))
    return Run.open(run.path)


@pytest.fixture
def tab(browser, run):
    with explore(run, open_browser=False) as explorer:
        yield from watched(browser, explorer.url)


def row_of(run, site, feature):
    return run.table("dashboards", site).row(feature, named=True)


def shown_values(dash):
    """Of each passage that is shown, the activations of its tokens that fire, and where it is."""
    return dash.locator(".passages > li").evaluate_all(
        """rows => rows.map((row) => [
            Number(row.dataset.place),
            [...row.querySelectorAll('mark')].map((mark) => mark.dataset.value.split(' ')[0]),
        ])"""
    )


def expected_values(quantile):
    return [
        [one["place"], [figure(value) for value in one["activations"] if value != 0]]
        for one in quantile["contexts"]
    ]


def test_what_is_shown_is_what_the_table_says(tab, run):
    row = row_of(run, A, FEATURE)
    tab.goto(f"#/life/{A}/{FEATURE}")
    dash = tab.get_by_test_id("dash")
    becomes(tab, lambda: shown_values(dash), expected_values(row["quantiles"][0]))
    for quantile in row["quantiles"][1:]:
        name = f"{figure(quantile['low'])}–{figure(quantile['high'])}"  # noqa: RUF001
        dash.get_by_role("radio", name=name).check(force=True)
        becomes(tab, lambda: shown_values(dash), expected_values(quantile))
        expect(dash).to_contain_text(f"{quantile['count']:,} token")
    fired = sum(row["histogram"])
    label = f"{fired:,} tokens by activation, from 0 to {figure(row['max_activation'])}"
    chart = dash.get_by_test_id("histogram").get_by_role("img", name=label)
    bars = chart.locator("g[aria-label=rect] rect")
    heights = [float(bar.get_attribute("height") or 0) for bar in bars.all()]
    # the square root is what is drawn
    counts = np.array(row["histogram"])
    np.testing.assert_allclose(
        np.array(heights) / max(heights), np.sqrt(counts / counts.max()), atol=0.01
    )
    told = dash.get_by_test_id("frequencies").locator("dd").all_inner_texts()
    assert [text.strip() for text in told] == [percent(share) for share in row["frequency"]]
    for side in ("top", "bottom"):
        logits = dash.get_by_test_id(f"logits-{side}").locator(".value").all_inner_texts()
        assert logits == [figure(one["logit"]) for one in row[f"logits_{side}"]]
    expect(dash.get_by_test_id("carried-top")).to_have_count(0)


def test_texts_of_a_run_stay_texts(tab, run):
    tab.goto(f"#/life/{A}/{FEATURE}")
    dash = tab.get_by_test_id("dash")
    expect(dash.locator(".passages")).to_contain_text(HOSTILE)
    expect(dash.get_by_test_id("logits-top").locator("li").first).to_contain_text(HOSTILE[:20])
    expect(dash.get_by_test_id("frequencies")).to_contain_text("<b>mine</b>")
    assert tab.locator("main img").count() == 0
    assert "\u202e" not in dash.inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.set_viewport_size({"width": 390, "height": 800})
    becomes(tab, lambda: tab.evaluate("document.documentElement.scrollWidth"), 390)


def test_values_are_reached_by_keyboard_with_one_stop(tab, run):
    row = row_of(run, A, FEATURE)
    tab.goto(f"#/life/{A}/{FEATURE}")
    dash = tab.get_by_test_id("dash")
    stops = dash.locator(".passages mark[tabindex='0']")
    expect(stops).to_have_count(1)
    first = row["quantiles"][0]["contexts"]
    stops.focus()
    tip = "getComputedStyle(document.activeElement, '::after')"
    assert tab.evaluate(f"{tip}.display") == "block"
    strongest = figure(first[0]["activations"][first[0]["at"]])
    assert tab.evaluate(f"{tip}.content") == f'"{strongest}"'
    tab.keyboard.press("ArrowDown")
    second = figure(first[1]["activations"][first[1]["at"]])
    assert tab.evaluate(f"{tip}.content") == f'"{second}"'
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("ArrowRight")
    fired = [v for one in first for v in one["activations"] if v != 0]
    after = sum(v != 0 for v in first[0]["activations"][: first[0]["at"] + 1])
    assert tab.evaluate(f"{tip}.content") == f'"{figure(fired[after])}"'
    expect(stops).to_have_count(1)


def test_two_features_show_what_they_share(tab, run):
    pair = run.table("dashboards", f"{A}--{B}")
    agreeing = pair.filter((pair["share"] == 1) & (pair["target"].is_not_null()))
    feature, target = agreeing.select("feature", "target").row(0)
    values = agreeing["values"][0]
    tab.goto(f"#/life/{A}/{feature}?with={B}/{target}")
    said = tab.get_by_test_id("in-common")
    expect(said).to_contain_text(f"{len(values)} of {len(values)} top contexts are shared")
    dashes = tab.get_by_test_id("dash")
    expect(dashes).to_have_count(2)
    expect(dashes.first.locator("li.shared")).to_have_count(len(values))
    others = dashes.first.locator(".context-other").all_inner_texts()
    assert others == [figure(value) for value in values]
    expect(tab.get_by_test_id("disagree")).to_have_count(0)


def test_a_match_whose_contexts_disagree_says_so(tab, run):
    row = run.table("dashboards", f"{A}--{B}").filter(feature=FEATURE).row(0, named=True)
    assert row["share"] < 0.25
    assert run.pair(A, B)["matched"][FEATURE]
    tab.goto(f"#/life/{A}/{FEATURE}?with={B}/{row['target']}")
    shared = sum(value != 0 for value in row["values"])
    said = tab.get_by_test_id("in-common")
    expect(said).to_contain_text(f"{shared} of {len(row['values'])} top contexts are shared")
    expect(tab.get_by_test_id("disagree")).to_contain_text(percent(row["share"]))
    panel = tab.get_by_test_id("context-panel").filter(has_text="they fire on different tokens")
    expect(panel).not_to_have_count(0)


def test_without_dashboards_the_page_says_how_to_make_them(browser, run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    bare = Run.open(tmp_path / "run")
    bare.update(dashboards=UNSET)
    with explore(bare, open_browser=False) as explorer:
        for page in watched(browser, explorer.url):
            page.goto(f"#/life/{A}/{FEATURE}")
            settled(page)
            expect(page.get_by_text("saematch dashboard RUN --model M --text T")).to_be_visible()
            expect(page.get_by_test_id("dashboards")).to_have_count(0)
