"""The view of judgements, in headless Chromium, served and exported, against the run's tables."""

import csv
import re

import numpy as np
import polars as pl
import pytest

import saematch
from saematch.judging import judged, shares
from saematch.judging.votes import VotesFile
from support.browsing import becomes, cells, downloaded, figure, p_value
from support.judged_world import make_world
from support.opened import exporting, serving, sound, without
from support.screens import needs_axe

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    world = make_world(tmp_path_factory.mktemp("judged"))
    run = saematch.judge(world.run, world.store, judges=["firing"], paths=12, distances=[2])
    place = run.path / "judging" / "cases.parquet"
    cases = pl.read_parquet(place)
    p = pl.Series("p_value", [(k + 1) / 100 for k in range(len(cases))])
    cases.with_columns(p_value=pl.when(kind="match").then(p)).write_parquet(place)
    votes = VotesFile(run, "Anna")
    grades = np.random.default_rng(0).integers(0, 4, len(cases)).tolist()
    for grade, row in zip(grades, cases.iter_rows(named=True), strict=True):
        if grade:
            a, b = (saematch.judging.Feature(row[s], row[f"feature_{s}"]) for s in "ab")
            votes.add(a, b, grade, 1.0)
    return run


@pytest.fixture(scope="module")
def served_url(run):
    yield from serving(run)


@pytest.fixture(scope="module")
def exported_url(run, tmp_path_factory):
    yield from exporting(run, tmp_path_factory.mktemp("site"))


def percent(share):
    return f"{100 * share:.0f} %"


@pytest.mark.parametrize("judge", ["firing", "people: Anna"])
def test_a_judge_is_said_and_drawn_as_python_counts(tab, run, judge):
    tab.goto("#/judging")
    tab.get_by_test_id("judge").select_option(judge)
    its = judged(run).filter(judge=judge)
    of = {row["kind"]: row for row in shares(its.filter(steps=1), ["kind"]).to_dicts()}
    match, random = of["match"], of["random"]
    sentence = tab.get_by_test_id("sentence")
    expect(sentence).to_contain_text(f"{judge} judges {percent(match['same'])} of")
    expect(sentence).to_contain_text(f"{match['cases']} matches the same")
    low, high = (int(100 * match[f"same_{end}"] + 0.5) for end in ("low", "high"))
    expect(sentence).to_contain_text(f"({low} to {high})")
    expect(sentence).to_contain_text(
        f"{percent(random['same'])} of {random['cases']} random partners"
    )
    pairs = its.filter(kind="match").select("a", "b").unique(maintain_order=True).rows()
    bars = tab.get_by_test_id("bars-pairs").get_by_test_id("bar")
    expect(bars).to_have_count(len(pairs))
    for k, (a, b) in enumerate(pairs):
        here = its.filter(kind="match", a=a, b=b)
        for grade, name in ((3, "same"), (2, "maybe"), (1, "different")):
            count = len(here.filter(grade=grade))
            bar = bars.nth(k).locator(f".grade-part.{name}")
            expect(bar).to_have_count(int(count > 0))
            if count:
                expect(bar).to_have_accessible_name(
                    f"{k} → {k + 1}: {count} {name} of {len(here)}, "
                    f"{percent(count / len(here))}; list them",
                )
    expect(tab.get_by_test_id("bars-others")).to_contain_text("chained matches, 2 steps")
    ends = tab.get_by_test_id("judged-curves").locator(".plot-name text")
    expect(ends).to_have_count(2)
    assert {end.locator("title").text_content() for end in ends.all()} == {
        "firing",
        "people: Anna",
    }


def test_a_bar_lists_its_cases_which_lead_to_both_features(tab, run):
    tab.goto("#/judging?judge=people%3A+Anna")
    its = judged(run).filter(judge="people: Anna", kind="match", grade=3)
    a, b = its.select("a", "b").row(0)
    wanted = its.filter(a=a, b=b)
    tab.get_by_test_id("bars-pairs").locator(".grade-part.same").first.click()
    expect(tab.get_by_test_id("found")).to_have_text(f"{len(wanted)} pairs by people: Anna")
    table = tab.get_by_test_id("judged-table")
    for _ in range(2):  # from the largest on
        table.get_by_role("button", name="p-value").click()
    wanted = wanted.sort("p_value", descending=True)
    becomes(tab, lambda: cells(tab, 1)[0][4], p_value(wanted["p_value"][0]))
    for row, known in zip(cells(tab, len(wanted)), wanted.to_dicts(), strict=True):
        assert row[1] == "match"
        assert row[0] == f"0/{known['feature_a']} → 1/{known['feature_b']}"
        assert row[4:6] == [p_value(known["p_value"]), figure(known["decoder_cosine"])]
        assert row[7] == "same"
    table.get_by_role("link").first.click()
    i, j = wanted.select("feature_a", "feature_b").row(0)
    panels = tab.get_by_test_id("context-panel")
    expect(panels.and_(tab.locator(".chosen"))).to_have_attribute("aria-label", f"{a} {i}")
    expect(panels.and_(tab.locator(".beside"))).to_have_attribute("aria-label", f"{b} {j}")
    tab.go_back()
    expect(tab.get_by_test_id("found")).to_have_text(f"{len(wanted)} pairs by people: Anna")


def test_bars_are_walked_by_keys_and_are_one_stop(tab, run):
    tab.goto("#/judging?judge=people%3A+Anna")
    parts = tab.get_by_test_id("bars-others").get_by_role("button")
    expect(parts.nth(2)).to_be_visible()
    assert [part.get_attribute("tabindex") for part in parts.all()].count("0") == 1
    parts.first.focus()
    tab.keyboard.press("ArrowRight")
    expect(parts.nth(1)).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile("grade=.*kind="))


def test_the_list_is_saved_as_it_is_sorted(tab, run):
    tab.goto("#/judging?kind=match&sort=p&dir=down")
    button = tab.get_by_test_id("csv-judged")
    with downloaded(tab, button.click).open(encoding="utf-8", newline="") as file:
        saved = [*csv.DictReader(file)]
    its = judged(run).filter(judge="people: Anna", kind="match")
    words = {3: "same", 2: "maybe", 1: "different", None: ""}
    known = {
        f"{row['a']} {row['feature_a']} → {row['b']} {row['feature_b']}": (
            row["p_value"],
            words[row["grade"]],
        )
        for row in its.to_dicts()
    }
    assert known
    ours = {row["features"]: (float(row["p-value"]), row["people: Anna"]) for row in saved}
    assert {name: ours[name] for name in known} == known
    assert [p for p, _ in ours.values()] == sorted((p for p, _ in ours.values()), reverse=True)


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_and_nothing_is_too_wide(tab, width, theme):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"#/judging?theme={theme}")
    expect(tab.get_by_test_id("judged-curves").get_by_role("img")).to_be_visible()
    sound(tab)


def test_a_run_without_judgements_says_how_to_make_them(tab):
    without(tab, "run/run.json", "judging")
    tab.goto("#/judging")
    expect(tab.get_by_test_id("view-judging")).to_contain_text("saematch judge RUN")
    expect(tab.get_by_test_id("nav-judging")).to_have_count(0)
