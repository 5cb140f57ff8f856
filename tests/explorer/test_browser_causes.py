"""The view of interventions, in headless Chromium, served and exported, against the findings."""

import csv
import re

import polars as pl
import pytest

from saematch.causal.findings import deactivations, substitutions, together
from saematch.explorer.causes import cause_tables
from support.browsing import MINUS, downloaded, percent
from support.cause_world import EQUIVALENCE, SUCCESS, add_causes
from support.explored import write_run
from support.opened import exporting, serving, sound, without
from support.screens import needs_axe

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("causes"))
    add_causes(run)
    return run


@pytest.fixture(scope="module")
def served_url(run):
    yield from serving(run)


@pytest.fixture(scope="module")
def exported_url(run, tmp_path_factory):
    yield from exporting(run, tmp_path_factory.mktemp("site"))


def two(value: float) -> str:
    return f"{value:.2f}".replace("-", MINUS)


def removals(run, a: str | None = None) -> pl.DataFrame:
    """Findings of single predecessors, of all steps or of one."""
    table = run.table("causes", "deactivation").filter(~pl.col("a").str.contains("+", literal=True))
    return deactivations(table if a is None else table.filter(a=a))


def test_what_was_removed_is_said_and_drawn_as_python_finds_it(tab, run):
    tab.goto("#/causes")
    for a in (None, run.names[1]):
        if a is not None:
            tab.get_by_test_id("cause-step").select_option(f"{a}--{run.names[2]}")
        found = removals(run, a)
        one = {(row["method"], row["control"]): row for row in found.to_dicts()}
        best, control = one["cosine", False], one["cosine", True]
        said = tab.get_by_test_id("cause-removed-sentence")
        low, high = (int(100 * best[f"success_{end}"] + 0.5) for end in ("low", "high"))
        expect(said).to_contain_text(
            f"With the feature that cosine names removed, {percent(best['success'])} "
            f"({low} to {high}) of {best['features']} features no longer fire"
        )
        expect(said).to_contain_text(percent(control["success"]))
        expect(said).to_contain_text(percent(one["5 nearest by cosine", False]["success"]))
        expect(said).to_contain_text(percent(one["best active", False]["success"]))
        dots = tab.get_by_test_id("cause-removed-dots")
        order = found.filter(~pl.col("control")).sort("success", descending=True)
        expect(dots.locator(".plot-row text")).to_have_count(len(SUCCESS))
        expect(dots.locator(".plot-figure text")).to_have_text(
            [percent(success) for success in order["success"]]
        )
        # one for what was removed, and one for its control
        expect(dots.locator(".plot-value > *")).to_have_count(2 * len(SUCCESS) - 1)
        expect(dots.locator(".plot-interval > *")).to_have_count(2 * len(SUCCESS) - 1)


def test_figures_are_saved_as_python_finds_them(tab, run):
    tab.goto("#/causes")
    button = tab.get_by_test_id("csv-cause-removed")
    with downloaded(tab, button.click).open(encoding="utf-8", newline="") as file:
        saved = [*csv.DictReader(file)]
    found = removals(run)
    for row in saved:
        its = found.filter(method=row["what"], control=False).row(0, named=True)
        ends = ("success", "success_low", "success_high")
        assert [float(row[name]) for name in ("value", "low", "high")] == [its[end] for end in ends]
    assert len(saved) == len(SUCCESS)


def test_several_predecessors_removed_together_stand_by_themselves(tab, run):
    tab.goto("#/causes")
    expect(tab.get_by_test_id("cause-joint-dots")).to_be_visible()
    options = tab.get_by_test_id("cause-step").locator("option")
    expect(options).to_have_text(["all", "0 → 1", "1 → 2", "2 → 3", "0 + 1 → 2"])
    tab.get_by_test_id("cause-step").select_option("")
    tab.get_by_test_id("cause-step").select_option(f"{run.names[0]}--{run.names[1]}")
    expect(tab.get_by_test_id("cause-joint-dots")).to_have_count(0)


def test_partners_in_the_place_of_features(tab, run):
    tab.goto("#/causes")
    found = substitutions(run.table("causes", "substitution"))
    one = {row["method"]: row for row in found.to_dicts()}
    said = tab.get_by_test_id("cause-replaced-sentence")
    its = one["cosine"]
    expect(said).to_contain_text(
        f"causal equivalence is {two(its['equivalence'])} "
        f"({two(its['equivalence_low'])} to {two(its['equivalence_high'])})"
    )
    expect(said).to_contain_text(two(one["random partner"]["equivalence"]))
    expect(said).to_contain_text(f"Of {its['alike']} partners")
    expect(said).to_contain_text(f"{percent(its['alike_different'])} are no better than nothing")
    rows = tab.get_by_test_id("cause-replaced-dots").locator(".plot-figure text")
    order = found.sort("equivalence", descending=True)
    expect(rows).to_have_text([two(value) for value in order["equivalence"]])
    assert len(order) == len(EQUIVALENCE)
    expect(tab.get_by_test_id("cause-curves").locator(".plot-line path")).to_have_count(2)
    assert tab.evaluate("document.querySelectorAll('main img, main b b').length") == 0


def test_tracks_removed_as_a_whole(tab, run):
    tab.goto("#/causes")
    found = together(run.table("causes", "tracks")).filter(~pl.col("control"))
    of = {row["to"]: two(row["ratio"]) for row in found.to_dicts()}
    expect(tab.get_by_test_id("cause-tracks-sentence")).to_have_text(
        re.compile(
            rf"12 tracks of 3\.0 features .* {of['largest']} times .* {of['alone']} times .*"
            rf" {of['control together']} times"
        )
    )
    rows = tab.get_by_test_id("cause-tracks-dots").locator(".plot-figure text")
    expect(rows).to_have_text([f"{of[to]}\u00d7" for to in found["to"]])


def test_the_curve_ends_in_the_mean_and_is_not_too_long(run):
    tables = dict(cause_tables(run))
    assert [*tables] == [
        "causes_deactivation",
        "causes_substitution",
        "causes_curves",
        "causes_tracks",
    ]
    curve = tables["causes_curves"].filter(method="cosine")
    assert curve["coverage"][-1] == 1
    assert len(curve) <= 200
    assert curve["coverage"].is_sorted()


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_and_nothing_is_too_wide(tab, width, theme):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"#/causes?theme={theme}")
    expect(tab.get_by_test_id("cause-tracks-dots")).to_be_visible()
    sound(tab)


def test_a_run_without_interventions_says_how_to_make_them(tab):
    without(tab, "explorer/index.json", "causes")
    tab.goto("#/causes")
    expect(tab.get_by_test_id("view-causes")).to_contain_text("saematch intervene RUN --model NAME")
