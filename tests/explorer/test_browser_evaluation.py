"""The view of an evaluation, in headless Chromium, against the table of its values."""

import re

import polars as pl
import pytest

from support.browsing import cells, figure

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]


@pytest.fixture(scope="module")
def values(shipped_run) -> pl.DataFrame:
    return shipped_run.table("evaluation", "values")


@pytest.mark.parametrize("metric", ["delta-loss", "explained variance"])
def test_the_table_has_every_value_of_a_metric(tab, values, metric):
    tab.goto("#/evaluation")
    tab.get_by_label("Metric").select_option(metric)
    its = values.filter(metric=metric)
    assert len(its) > 10
    table = tab.get_by_role("table", name="Figures of the evaluation")
    expect(table).to_have_attribute("aria-rowcount", str(len(its) + 1))
    known = {
        (f"{row['a']} → {row['b']}", row["texts"].split(":")[1], *map(figure, measures(row)))
        for row in its.iter_rows(named=True)
    }
    for row in cells(tab, 8):
        assert (row[0], row[1], *row[5:8]) in known, row


def measures(row):
    return row["value"], row["low"], row["high"]


def test_values_sort(tab, values):
    tab.goto("#/evaluation")
    its = values.filter(metric="delta-loss")["value"].drop_nans().drop_nulls()
    first = tab.get_by_test_id("evaluation-table").locator("tbody tr").first.locator("td").nth(5)
    heading = tab.get_by_test_id("evaluation-table").get_by_role("button", name="Value")
    heading.click()
    expect(first).to_have_text(figure(its.min()))
    heading.click()
    expect(first).to_have_text(figure(its.max()))


def test_each_pair_is_drawn_with_what_its_marks_stand_for(tab, values, shipped_run):
    tab.goto("#/evaluation")
    its = values.filter(metric="delta-loss")
    pairs = its.select("a", "b").unique(maintain_order=True).rows()
    panels = tab.get_by_label("Estimates by pair").locator(".eval-panel")
    expect(panels).to_have_count(len(pairs))
    a, b = pairs[0]
    drop = its.filter(a=a, b=b, estimate="drop")
    assert len(drop) == 2
    for row in drop.iter_rows(named=True):
        value, low, high = map(figure, measures(row))
        said = f"{row['texts']}: {value} ({low} to {high})"
        expect(panels.first.locator("title").filter(has_text=said).first).to_be_attached()


def test_a_run_without_evaluation_says_how_to_make_one(tab, shipped_run):
    def without(route):
        answer = route.fetch()
        manifest = answer.json()
        del manifest["evaluation"]
        route.fulfill(response=answer, json=manifest, headers={}, status=200)

    tab.route("**/run/run.json", without)
    tab.goto("#/evaluation")
    expect(tab.get_by_test_id("view-evaluation")).to_contain_text("has not been evaluated")
    expect(tab.get_by_test_id("view-evaluation")).to_contain_text("saematch evaluate RUN")
    expect(tab.get_by_test_id("nav-evaluation")).to_have_count(0)
    assert re.search("#/evaluation", tab.url)
