"""Two runs side by side, in headless Chromium: every figure is that of both runs' own tables."""

import re
from collections import Counter

import polars as pl
import pytest

from saematch.explorer import explore
from saematch.explorer.against import PARTS
from saematch.explorer.export import export
from support.browsing import (
    NONE,
    becomes,
    cells,
    downloaded,
    figure,
    hosted,
    numbers,
    p_value,
    percent,
    settled,
)
from support.compared import parts_of, write_compared, write_other
from support.explored import write_run
from support.screens import AXE, needs_axe

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return write_other(tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def served_url(run, other):
    with explore(run, against=other, open_browser=False) as explorer:
        yield explorer.url


@pytest.fixture(scope="module")
def exported_url(run, other, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    export(run, folder, against=other)
    yield from hosted(folder)


def share(one, a, b) -> float:
    pair = one.pair(a, b)
    return pair["matched"].sum() / pair["excluded"].is_null().sum()


def test_the_finding_is_what_both_tables_say(tab, run, other):
    tab.goto("#/")
    tab.get_by_test_id("nav-compare").click()
    expect(tab.get_by_test_id("nav-compare")).to_have_text("Two runs")
    a, b = max(other.pairs, key=lambda pair: abs(share(run, *pair) - share(other, *pair)))
    parts = Counter(part for pair in other.pairs for part in parts_of(run, other, *pair))
    both = parts["same"] + parts["different"]
    features = sum(parts.values()) - parts[None]
    expect(tab.get_by_test_id("finding")).to_have_text(
        f"Over 2 steps, both match {both} of {features} features, "
        f"{percent(parts['same'] / both)} of those to the same feature. They differ most from {a} "
        f"to {b}: there flow sees {percent(share(run, a, b))} of features go on, feature-flow "
        f"{percent(share(other, a, b))}."
    )


def test_every_part_of_every_step_is_counted(tab, run, other):
    tab.goto("#/compare")
    stacks = tab.get_by_test_id("run-stacks")
    for part in PARTS:
        wanted = [
            (counted[part], percent(counted[part] / (sum(counted.values()) - counted[None])))
            for pair in other.pairs
            if (counted := Counter(parts_of(run, other, *pair)))[part]
        ]
        pieces = stacks.get_by_test_id(f"piece-{part}")
        expect(pieces).to_have_count(len(wanted))
        for place, (count, its) in enumerate(wanted):
            label = pieces.nth(place).get_attribute("aria-label") or ""
            assert label.startswith(f"{count} · {its} of ")


@pytest.mark.parametrize("part", PARTS)
def test_lists_have_both_targets_the_most_certain_first(tab, run, other, part):
    a, b = other.pairs[1]
    tab.goto(f"#/compare?step={a}--{b}&part={part}")
    one, two = (pair.pair(a, b).to_dicts() for pair in (run, other))
    features = [f for f, its in enumerate(parts_of(run, other, a, b)) if its == part]
    sides = {"first": [one], "second": [two]}.get(part, [one, two])
    worst = min if part == "neither" else max

    def doubt(f):
        p = worst(1 if side[f]["p_value"] is None else side[f]["p_value"] for side in sides)
        cosines = [side[f]["decoder_cosine"] for side in sides]
        return p, -max(-1 if cosine is None else cosine for cosine in cosines), f

    features.sort(key=doubt)
    expect(tab.get_by_test_id("list-says")).to_contain_text(f"{len(features)} of ")
    shown = min(5, len(features))

    def told(row):
        return [
            numbers(row[0].removeprefix(a))[0],
            *(numbers(row[i])[0] if row[i] != NONE else None for i in (2, 5)),
            *(row[i] for i in (3, 4, 6, 7)),
        ]

    wanted = [
        [
            f,
            one[f]["target"],
            two[f]["target"],
            p_value(one[f]["p_value"]),
            figure(one[f]["decoder_cosine"]),
            p_value(two[f]["p_value"]),
            figure(two[f]["decoder_cosine"]),
        ]
        for f in features[:shown]
    ]
    becomes(tab, lambda: [told(row) for row in cells(tab, shown)], wanted)
    saved = pl.read_csv(downloaded(tab, tab.get_by_test_id(f"csv-runs-{a}-{b}-{part}").click))
    assert saved["feature"].to_list() == [f"{a}/{f}" for f in features]
    tab.get_by_test_id("result-row").first.click()
    expect(tab).to_have_url(re.compile(f"#/life/{a}/{features[0]}"))


def test_a_feature_says_what_the_other_run_says_of_it(tab, run, other):
    a, b = other.pairs[0]
    parts = parts_of(run, other, a, b)
    for part in ("same", "different", "first", "second", "neither"):
        feature = parts.index(part)
        one, two = (pair.pair(a, b).to_dicts()[feature] for pair in (run, other))
        tab.goto(f"#/life/{a}/{feature}")
        settled(tab)
        said = tab.get_by_test_id("other-run").locator("li").first
        expect(said).to_contain_text(f"To {b}: ")
        ends = [(b, row["target"], p_value(row["p_value"])) for row in (one, two)]
        names = ("flow", "feature-flow")
        wanted = {
            "same": ["both match", ends[0]],
            "different": [ends[0], ends[1]],
            "first": [f"flow matches {b}", ends[0], f"feature-flow accepts none (p {ends[1][2]})"],
            "second": [f"{names[1]} matches {b}", ends[1], f"flow accepts none (p {ends[0][2]})"],
            "neither": ["neither accepts a match"],
        }[part]
        for text in wanted:
            if isinstance(text, str):
                expect(said).to_contain_text(text)
            else:
                expect(said).to_contain_text(re.compile(rf"{b}\s*{text[1]}.*\(p {text[2]}\)"))
    said.get_by_role("link", name="To").click()
    expect(tab.get_by_test_id("list-part")).to_have_value("neither")


def test_parts_are_reached_by_keyboard(tab, other):
    tab.goto("#/compare")
    stacks = tab.get_by_test_id("run-stacks")
    expect(stacks.locator("[tabindex='0']")).to_have_count(1)
    stacks.locator("[tabindex='0']").focus()
    for _ in PARTS:
        tab.keyboard.press("ArrowLeft")
    for _ in PARTS:
        tab.keyboard.press("ArrowUp")
    tab.keyboard.press(" ")
    expect(tab.get_by_test_id("list-step")).to_have_value("--".join(other.pairs[0]))
    expect(tab.get_by_test_id("list-part")).to_have_value("same")


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_and_nothing_is_too_wide(tab, width, theme):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"#/compare?theme={theme}")
    tab.locator("main figure svg").first.wait_for()
    settled(tab)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.evaluate(AXE.read_text())
    found = tab.evaluate("axe.run().then((found) => found.violations)")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_two_comparisons_have_both_views(browser, tmp_path):
    run, plain = write_compared(tmp_path), write_run(tmp_path)
    with explore(run, against=plain, open_browser=False) as explorer:
        tab = browser.new_page()
        tab.goto(explorer.url)
        tab.get_by_text("Two runs").click()
        expect(tab.get_by_test_id("finding")).to_contain_text("of features shared")
        expect(tab.get_by_test_id("run-stacks").get_by_test_id("piece-same")).to_have_count(
            sum("same" in parts_of(run, plain, *pair) for pair in run.pairs)
        )
        tab.close()


def test_a_run_alone_says_how_to_set_another_against_it(browser, tmp_path):
    with explore(write_run(tmp_path), open_browser=False) as explorer:
        tab = browser.new_page(base_url=explorer.url)
        tab.goto("#/")
        expect(tab.get_by_test_id("nav-overview")).to_be_visible()
        expect(tab.get_by_test_id("nav-compare")).to_have_count(0)
        tab.goto("#/compare")
        expect(tab.get_by_test_id("view-compare")).to_contain_text("--against RUN2")
        tab.close()
