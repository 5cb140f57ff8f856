"""The view of an evaluation, in headless Chromium, against the table of its values."""

import csv
import re
from collections import Counter

import numpy as np
import polars as pl
import pytest

from support.browsing import MINUS, cells, downloaded, figure
from support.opened import sound, without
from support.screens import needs_axe

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
METRICS = ["delta-loss", "delta-loss less drop's", "explained variance", "P(j|i)", "loss"]


@pytest.fixture(scope="module")
def values(shipped_run) -> pl.DataFrame:
    return shipped_run.table("evaluation", "values")


@pytest.mark.parametrize("metric", METRICS)
def test_the_table_has_every_value_of_a_metric(tab, values, metric):
    tab.goto("#/evaluation")
    tab.get_by_label("Metric").select_option(metric)
    its = values.filter(metric=metric)
    assert len(its) >= 6
    table = tab.get_by_role("table", name="Figures of the evaluation")
    expect(table).to_have_attribute("aria-rowcount", str(len(its) + 1))
    known = {
        (row["texts"].split(":")[1], *map(figure, measures(row)))
        for row in its.iter_rows(named=True)
    }
    for row in cells(tab, 6):
        assert (row[1], *row[3:6]) in known, row
    button = tab.get_by_test_id(f"csv-evaluation-{metric}")
    with downloaded(tab, button.click).open(encoding="utf-8", newline="") as file:
        saved = [*csv.DictReader(file)]
    ours = Counter((row["Pair"], row["Texts"], number(row["Value"])) for row in saved)
    theirs = Counter(
        (f"{row['a']} → {row['b']}", row["texts"], row["value"])
        for row in its.iter_rows(named=True)
    )
    assert ours == theirs


def number(text: str) -> float | None:
    return float(text) if text else None


def measures(row):
    return row["value"], row["low"], row["high"]


def test_values_sort(tab, values):
    tab.goto("#/evaluation")
    its = values.filter(metric="delta-loss")["value"].drop_nans().drop_nulls()
    first = tab.get_by_test_id("evaluation-table").locator("tbody tr").first.locator("td").nth(3)
    heading = tab.get_by_test_id("evaluation-table").get_by_role("button", name="Value")
    heading.click()
    expect(first).to_have_text(figure(its.min()))
    heading.click()
    expect(first).to_have_text(figure(its.max()))


@pytest.mark.parametrize("metric", METRICS)
def test_every_value_is_drawn_or_written_at_the_end_of_the_axis(tab, values, metric):
    tab.goto("#/evaluation?all=1")
    tab.get_by_label("Metric").select_option(metric)
    drawn = values.filter(pl.col("q").is_null(), metric=metric).drop_nulls("value")
    charts = tab.get_by_test_id("eval-estimate")
    expect(charts).to_have_count(estimates(drawn))
    marks = charts.locator(".plot-value title, .plot-beyond title")
    wanted = Counter(
        f"{row['texts'].split(':')[1]}: {said(row)}" for row in drawn.iter_rows(named=True)
    )
    expect(marks).to_have_count(wanted.total())
    assert Counter(text.split(", ", 1)[1] for text in marks.all_text_contents()) == wanted
    for text in charts.locator(".plot-beyond text").all():  # its own figure, with an arrow
        value = text.locator("title").text_content().split(": ")[1].split(" (")[0]
        shown = "".join(
            text.evaluate(
                "t => [...t.childNodes].map(n => n.nodeName == '#text' ? n.data : '').join('')"
            )
        )
        assert re.fullmatch(r"← \S+|\S+ →", shown)
        assert same(shown.strip("←→ "), value)


def same(one: str, other: str) -> bool:
    return float(one.replace(MINUS, "-")) == float(other.replace(MINUS, "-"))


def said(row) -> str:
    value, low, high = map(figure, measures(row))
    return f"{value} ({low} to {high})"


def estimates(frame: pl.DataFrame) -> int:
    """Estimates that are told apart: by their links, and by what they are rescaled by."""
    carry = pl.when(pl.col("links").is_not_null()).then("carry")
    return frame.select("estimate", pl.col("links") == "matched", carry).n_unique()


def test_an_interval_that_goes_on_beyond_the_axis_ends_in_an_arrow(tab, values):
    tab.goto("#/evaluation?all=1")
    its = values.filter(pl.col("q").is_null(), metric="delta-loss")
    near = its.filter(pl.col("estimate") != "mean")
    end = max(near["high"].max(), near["value"].max())
    whole = its["high"].max()
    assert whole > 1.5 * end, "the mean is to lie far beyond"
    cut = its.filter(pl.col("value") <= end, pl.col("high") > end)
    charts = tab.get_by_test_id("eval-estimate")
    expect(charts.first).to_be_visible()
    expect(charts.locator(".plot-cut").get_by_text("▸")).to_have_count(len(cut))
    expect(charts.locator(".plot-beyond title")).to_have_count(
        len(its.filter(pl.col("value") > end))
    )


def test_the_finding_is_what_the_table_says(tab, values):
    tab.goto("#/evaluation")
    whole = values.filter(pl.col("q").is_null(), pl.col("links").ne_missing("matched"))
    carry = values.filter(pl.col("links").is_not_null())["carry"].mode()[0]
    loss = whole.filter(metric="delta-loss")
    keys = ["a", "b", "texts"]
    match = loss.filter(estimate="match", carry=carry).select(*keys, match="value")
    both = match.join(loss.filter(estimate="drop").select(*keys, drop="value"), on=keys)
    both = both.join(loss.filter(estimate="mean").select(*keys, mean="value"), on=keys)
    apart = whole.filter(metric="delta-loss less drop's", estimate="match", carry=carry)
    assert len(both) == len(apart) == len(match) >= 6
    sentence = tab.get_by_test_id("finding")
    for name in ("match", "drop", "mean"):
        low, high = figure(both[name].min()), figure(both[name].max())
        expect(sentence).to_contain_text(f"{low} to {high}")
    middles = [figure(float(np.median(both[name].to_numpy()))) for name in ("match", "drop")]
    expect(sentence).to_contain_text(f"the medians are {middles[0]} and {middles[1]}")
    more = (both["match"] > both["drop"]).sum()
    surely = [(apart["low"] > 0).sum(), (apart["high"] < 0).sum()]
    if more == len(both):
        expect(sentence).to_contain_text(f"Matches cost more in all {more} comparisons")
        expect(sentence).to_contain_text(f"interval in {surely[0]})")
    else:
        expect(sentence).to_contain_text(
            f"Matches cost more in {more} of {len(both)} comparisons, less in {len(both) - more}"
        )
        expect(sentence).to_contain_text(f"interval in {surely[0]} and {surely[1]})")
    less = (both["match"] < both["mean"]).sum()
    of = f"all {less}" if less == len(both) else f"{less} of {len(both)}"
    expect(sentence).to_contain_text(f"more than matches in {of} comparisons")


def test_all_pairs_at_a_glance_with_their_medians(tab, values):
    tab.goto("#/evaluation")
    charts = tab.get_by_test_id("eval-summary")
    expect(charts).to_have_count(2)
    its = values.filter(pl.col("q").is_null(), metric="delta-loss")
    for i, texts in enumerate(its["texts"].unique(maintain_order=True)):
        drop = its.filter(texts=texts, estimate="drop")
        chart = charts.nth(i)
        label = f"{texts.split(':')[1]}: Layers dropped, median {figure(drop['value'].median())}"
        expect(chart.get_by_role("img")).to_have_accessible_name(re.compile(re.escape(label)))
        expect(chart.locator(".plot-figure text").first).to_have_text(
            figure(drop["value"].median())
        )
        far = chart.locator(".plot-beyond title").all_text_contents()
        drawn = chart.locator(".plot-value title").count()
        beyond = [line for text in far for line in text.split("\n")]
        assert drawn + len(beyond) == len(its.filter(texts=texts))


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_and_nothing_is_too_wide(tab, width, theme):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"#/evaluation?theme={theme}")
    expect(tab.get_by_test_id("eval-summary").first.get_by_role("img")).to_be_visible()
    sound(tab)


def test_on_a_phone_a_row_says_what_it_is_of(tab, values):
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.goto("#/evaluation")
    row = tab.get_by_test_id("evaluation-table").get_by_test_id("result-row").first
    cells = row.locator("td")
    expect(cells.nth(2)).not_to_be_empty()
    sizes = [cell.bounding_box() for cell in cells.all()[:3]]
    assert all(box is not None and box["width"] > 60 for box in sizes)
    tab.get_by_test_id("evaluation-table").evaluate("box => { box.scrollLeft = 400 }")
    box = cells.first.bounding_box()
    assert box is not None
    assert 0 <= box["x"] < 40  # the pair stays


def test_a_run_without_evaluation_says_how_to_make_one(tab):
    without(tab, "run/run.json", "evaluation")
    tab.goto("#/evaluation")
    expect(tab.get_by_test_id("view-evaluation")).to_contain_text("has not been evaluated")
    expect(tab.get_by_test_id("view-evaluation")).to_contain_text("saematch evaluate RUN")
    expect(tab.get_by_test_id("nav-evaluation")).to_have_count(0)
    assert re.search("#/evaluation", tab.url)
