"""The view of a pair, in headless Chromium, against the pair's own table."""

import re
from functools import partial

import polars as pl
import pytest

from saematch.labels.top_tokens import top_tokens
from support.browsing import (
    becomes,
    cells,
    figure,
    numbers,
    p_value,
    percent,
    settled,
)

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
A, B, C = "resid_post_3", "resid_post_4", "resid_post_5"
TOGETHER = pl.col("statistic") == "pearson"


@pytest.fixture(scope="module")
def pair(shipped_run) -> pl.DataFrame:
    return shipped_run.pair(A, B)


@pytest.fixture(scope="module")
def heard(shipped_run, pair) -> pl.DataFrame:
    """The pair with the correlation of each feature and its target, where the run keeps it."""
    known = [
        shipped_run.table("relations", table)
        .filter(TOGETHER, a=A, b=B)
        .select(pl.col(source).alias("feature"), pl.col(target).alias("target"), "value")
        for table, source, target in (
            ("targets", "feature", "target"),
            ("sources", "source", "feature"),
        )
    ]
    every = pl.concat(known).unique(["feature", "target"])
    # the page has correlations in single precision
    every = every.with_columns(
        pl.col("feature", "target").cast(pl.Int64), pl.col("value").cast(pl.Float32)
    )
    frame = pair.with_columns(pl.col("feature", "target").cast(pl.Int64))
    return frame.join(every, on=["feature", "target"], how="left", maintain_order="left")


@pytest.fixture(scope="module")
def clear(shipped_run):
    """Which features of an SAE are rare and fire mostly on one token."""
    tokens = top_tokens(shipped_run)

    def of(name: str) -> pl.Series:
        most = tokens.filter(site=name).group_by("feature").agg(pl.col("weight").max() >= 0.5)
        frame = shipped_run.features(name).select("feature", rare=pl.col("frequency") <= 0.05)
        frame = frame.join(most, on="feature", how="left", maintain_order="left")
        found = frame.select(clear=pl.col("rare") & pl.col("weight").fill_null(False))["clear"]
        assert 0 < found.sum() < len(found)
        return found

    return of


def choose(page, title: str) -> None:
    page.get_by_role("radio", name=title, exact=True).check(force=True)


def first_rows(page, count: int = 6) -> list[tuple[int, int]]:
    return [(numbers(row[0])[0], numbers(row[1])[0]) for row in cells(page, count)]


def wanted_rows(frame: pl.DataFrame, count: int = 6) -> list[tuple[int, int]]:
    return frame.select("feature", "target").rows()[:count]


def test_the_finding_is_that_of_the_pair(tab, shipped_run, heard):
    tab.goto(f"#/pair/{A}/{B}")
    summary = shipped_run.summaries[A, B]
    used = summary["features_a"] - summary["excluded_a"]
    together = len(heard.filter(pl.col("matched") & (pl.col("value") >= 0.5)))
    assert 0 < together < summary["matched"]
    finding = tab.get_by_test_id("pair-finding")
    for wanted in (
        f"{percent(summary['matched'] / used)} of the features have a match",
        f"{summary['matched']:,} of {used:,}.",
        f"is {figure(summary['median_score'])}, by chance {figure(summary['null_statistic'])}.",
        f"{together:,} of them fire together",
        f"{percent(summary['mutual_share'])} are each other\u2019s best",
    ):
        expect(finding).to_contain_text(wanted)


@pytest.mark.parametrize(
    ("title", "kept", "by", "descending"),
    [
        ("Best", pl.col("matched"), ["clear", "score", "feature"], [True, True, False]),
        ("Weakest", pl.col("matched"), ["score", "feature"], [False, False]),
        (
            "Just missed",
            ~pl.col("matched") & pl.col("target").is_not_null(),
            ["p_value", "score", "feature"],
            [False, True, False],
        ),
    ],
)
def test_lists_are_in_the_order_that_they_say(tab, pair, clear, title, kept, by, descending):
    tab.goto(f"#/pair/{A}/{B}")
    choose(tab, title)
    wanted = pair.with_columns(clear(A)).filter(kept).sort(by, descending=descending)
    expect(tab.get_by_test_id("list-says")).to_contain_text(f"{len(wanted):,} of {len(pair):,}")
    becomes(tab, lambda: first_rows(tab), wanted_rows(wanted))
    for row, its in zip(cells(tab, 3), wanted.iter_rows(named=True), strict=False):
        assert row[2:5] == [
            figure(its["score"]),
            p_value(its["p_value"]),
            figure(its["decoder_cosine"]),
        ]


def test_surprising_matches_fire_more_alike_than_they_point(tab, heard):
    tab.goto(f"#/pair/{A}/{B}")
    known = heard.filter(pl.col("matched") & pl.col("value").is_not_null())
    ranks = pl.col("value").rank() - pl.col("decoder_cosine").rank()
    scored = known.with_columns(ranks.alias("surprise"))
    for title, sign in (("Fire alike, point apart", 1), ("Point alike, fire apart", -1)):
        choose(tab, title)
        wanted = scored.filter(sign * pl.col("surprise") > 0)
        wanted = wanted.sort(sign * pl.col("surprise"), "feature", descending=[True, False])
        expect(tab.get_by_test_id("list-says")).to_contain_text(f"{len(wanted):,} of ")
        becomes(tab, partial(first_rows, tab, 4), wanted_rows(wanted, 4))


def test_a_part_of_the_scatter_is_listed(tab, heard):
    tab.goto(f"#/pair/{A}/{B}")
    tab.get_by_text("Drag to list a part").click()
    tab.get_by_label("least cosine").fill("0.6")
    tab.keyboard.press("Enter")
    tab.get_by_label("largest cosine").fill("0.8")
    tab.keyboard.press("Enter")
    tab.get_by_label("largest correlation").fill("0.5")
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile("brush=0.6_0.8_"))
    wanted = heard.filter(
        pl.col("decoder_cosine").is_between(0.6, 0.8) & (pl.col("value") <= 0.5)
    ).sort("score", "feature", descending=[True, False])
    assert len(wanted) > 5
    expect(tab.get_by_test_id("list-says")).to_contain_text(f"{len(wanted):,} of ")
    becomes(tab, lambda: first_rows(tab, 5), wanted_rows(wanted, 5))
    tab.reload()
    expect(tab.get_by_test_id("list-says")).to_contain_text(f"{len(wanted):,} of ")
    tab.get_by_role("button", name="Clear").click()
    expect(tab).not_to_have_url(re.compile("brush="))


def test_dragging_over_the_scatter_lists_what_lies_there(tab, heard):
    tab.goto(f"#/pair/{A}/{B}")
    box = tab.locator(".scatter canvas")
    expect(tab.locator(".scatter svg")).to_be_visible()  # its width is known
    settled(tab)
    box.scroll_into_view_if_needed()
    at = box.bounding_box()
    tab.mouse.move(at["x"] + 0.5 * at["width"], at["y"] + 0.2 * at["height"])
    tab.mouse.down()
    tab.mouse.move(at["x"] + 0.7 * at["width"], at["y"] + 0.4 * at["height"], steps=4)
    tab.mouse.up()
    expect(tab).to_have_url(re.compile("list=brush"))
    found = re.search(r"brush=([-\d._e]+)", tab.evaluate("location.hash"))
    assert found
    x0, x1, y0, y1 = map(float, found[1].split("_"))
    wanted = heard.filter(
        pl.col("decoder_cosine").is_between(x0, x1) & pl.col("value").is_between(y0, y1)
    )
    assert 0 < len(wanted) < len(heard)
    expect(tab.get_by_test_id("list-says")).to_contain_text(f"{len(wanted):,} of ")


def test_what_both_features_of_a_match_fire_on(tab, shipped_run, pair, clear):
    tab.goto(f"#/pair/{A}/{B}")
    best = pair.with_columns(clear(A)).filter("matched")
    best = best.sort("clear", "score", "feature", descending=[True, True, False])
    third = best.row(2, named=True)
    tab.get_by_test_id("result-row").nth(2).click()
    expect(tab).to_have_url(re.compile(rf"pick={third['feature']}\b"))
    panel = tab.get_by_test_id("pair-contexts")
    expect(panel).to_contain_text(f"score {figure(third['score'])} · p {p_value(third['p_value'])}")
    for site, feature in ((A, third["feature"]), (B, third["target"])):
        its = panel.get_by_label(f"{site} {feature}", exact=True)
        contexts = shipped_run.contexts(site).filter(feature=feature)["contexts"][0]
        tokens = [context["token"].strip() for context in contexts][:7]
        if all(tokens):
            expect(its.locator("mark")).to_have_text(tokens)


def test_headings_sort_the_list(tab, pair):
    tab.goto(f"#/pair/{A}/{B}")
    tab.get_by_role("button", name="p", exact=True).click()
    most = pair.filter("matched")["p_value"].max()
    expect(tab.get_by_test_id("result-row").first.locator("td").nth(3)).to_have_text(p_value(most))
    tab.get_by_role("button", name="p", exact=True).click()
    least = pair.filter("matched")["p_value"].min()
    expect(tab.get_by_test_id("result-row").first.locator("td").nth(3)).to_have_text(p_value(least))


def test_composed_against_direct(tab, shipped_run):
    tab.goto(f"#/pair/{A}/{C}")
    choose(tab, "Step by step")
    table = shipped_run.table("flow", "composition").filter(a=A, b=C)
    assert len(table)
    ways = tab.locator(".ways figure")
    expect(ways).to_have_count(len(table))
    for row in table.iter_rows(named=True):
        what = "match" if row["links"] == "matched" else "target"
        its = ways.filter(has_text=f"with a {what} both ways")
        expect(its).to_contain_text(f"Of {row['both']:,} features")
        expect(its.locator("figcaption b")).to_have_text(percent(row["agreement"]))
    steps = shipped_run.pair(A, B).join(
        shipped_run.pair(B, C).filter("matched").select("feature", over="target"),
        left_on="target",
        right_on="feature",
    )
    by_steps = steps.filter("matched").select("feature", "over")
    direct = shipped_run.pair(A, C).filter("matched").join(by_steps, on="feature")
    differing = direct.filter(pl.col("target") != pl.col("over"))
    expect(tab.get_by_test_id("list-says")).to_contain_text(f"{len(differing):,} of ")
    over = dict(differing.select("feature", "over").iter_rows())
    for row in cells(tab, min(4, len(differing))):
        assert numbers(row[2])[0] == over[numbers(row[0])[0]]


def test_layers_are_changed_by_keys(tab, shipped_run):
    tab.goto(f"#/pair/{A}/{B}")
    chosen = tab.get_by_test_id("pair-list").locator("[aria-current=true]")
    expect(chosen).to_have_attribute("aria-label", re.compile(f"^{A} to {B}: "))
    chosen.focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile(f"#/pair/{A}/{C}$"))
    summary = shipped_run.summaries[A, C]
    used = summary["features_a"] - summary["excluded_a"]
    said = f"{A} to {C}: {percent(summary['matched'] / used)} matched"
    expect(chosen).to_have_attribute("aria-label", re.compile("^" + re.escape(said)))
