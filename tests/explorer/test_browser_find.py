"""Search and filters, in headless Chromium, against the run's own tables."""

import re

import polars as pl
import pytest

from support.browsing import cells, figure, numbers, p_value, percent, settled

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
SITE = "resid_post_3"


@pytest.fixture(scope="module")
def features(shipped_run) -> pl.DataFrame:
    """What is known of the features of one SAE: `frequency`, `score`, `p_value`, `lifespan`."""
    pair = shipped_run.pair(SITE, "resid_post_4").select("feature", "score", "p_value")
    tracks = shipped_run.table("flow", "tracks").filter(mode="gaps")
    chain = [name for name in shipped_run.names if name.startswith("resid")]
    place = pl.col("site").replace_strict({name: i for i, name in enumerate(chain)})
    span = (place.max() - place.min() + 1).over("track")
    spans = tracks.with_columns(pl.col("site").cast(pl.String)).with_columns(lifespan=span)
    spans = spans.filter(site=SITE)
    origins = shipped_run.table("flow", "origins").filter(site=SITE).select("feature", "origin")
    communities = (
        shipped_run.table("flow", "communities")
        .select("community", "members")
        .explode("members")
        .unnest("members")
        .filter(pl.col("site").cast(pl.String) == SITE)
        .select("feature", "community")
    )
    frame = shipped_run.features(SITE).select("feature", "frequency")
    for other in (pair, spans.select("feature", "lifespan"), origins, communities):
        other = other.with_columns(pl.col("feature").cast(pl.Int64))
        frame = frame.with_columns(pl.col("feature").cast(pl.Int64))
        frame = frame.join(other, on="feature", how="left")
    return frame


def shown(page) -> int:
    settled(page)
    return numbers(page.get_by_test_id("found").inner_text())[0]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"p": "1e-9"}, pl.col("p_value") <= 1e-9),
        ({"life": "3"}, pl.col("lifespan") >= 3),
        ({"score": "0.7"}, pl.col("score") >= 0.7),
        ({"from": "0.001", "to": "0.01"}, pl.col("frequency").is_between(0.001, 0.01)),
        ({"p": "0.001", "life": "2", "from": "0.002"},
         (pl.col("p_value") <= 0.001) & (pl.col("lifespan") >= 2) & (pl.col("frequency") >= 0.002)),
    ],
)  # fmt: skip
def test_filters_keep_what_fulfils_them(tab, features, filters, kept):
    tab.goto(f"#/find?list=features&site={SITE}")
    expect(tab.get_by_test_id("found")).to_contain_text(f"{len(features):,} of ")
    for name, value in filters.items():
        tab.get_by_test_id(f"filter-{name}").fill(value)
    wanted = features.filter(kept)
    assert 0 < len(wanted) < len(features)
    expect(tab.get_by_test_id("found")).to_contain_text(f"{len(wanted):,} of ")
    rows = cells(tab, min(8, len(wanted)))
    by = {row["feature"]: row for row in wanted.iter_rows(named=True)}
    for row in rows:
        site, feature = row[0].split()
        its = by[int(feature)]
        assert site == SITE
        assert row[2:] == [
            str(its["lifespan"]),
            percent(its["frequency"]),
            figure(its["score"]),
            p_value(its["p_value"]),
        ]
    tab.reload()
    expect(tab.get_by_test_id("found")).to_contain_text(f"{len(wanted):,} of ")
    tab.get_by_role("button", name="Clear filters").click()
    expect(tab.get_by_test_id("found")).not_to_contain_text(f"{len(wanted):,} of ")
    expect(tab).not_to_have_url(re.compile("site="))


def test_origin_and_community(tab, features, shipped_run):
    origin = features["origin"].drop_nulls().mode().sort()[0]
    tab.goto(f"#/find?list=features&site={SITE}")
    tab.get_by_test_id("filter-origin").select_option(origin)
    wanted = features.filter(origin=origin)
    assert 0 < len(wanted) < len(features)
    expect(tab.get_by_test_id("found")).to_contain_text(f"{len(wanted):,} of ")
    largest = shipped_run.table("flow", "communities").sort("size", descending=True)["community"][0]
    tab.goto(f"#/find?list=features&community={largest}")
    size = shipped_run.table("flow", "communities").filter(community=largest)["size"][0]
    expect(tab.get_by_test_id("found")).to_contain_text(f"{size:,} of ")


def test_headings_sort(tab, features):
    tab.goto(f"#/find?list=features&site={SITE}")
    expect(tab.get_by_test_id("result-row").first).to_be_visible()
    for title, column, digits in (("p-value", "p_value", p_value), ("score", "score", figure)):
        place = 5 if title == "p-value" else 4
        tab.get_by_role("button", name=title).click()
        descending = column == "score"
        best = features.drop_nulls(column).sort(column, descending=descending)
        expect(tab.get_by_test_id("result-row").first.locator("td").nth(place)).to_have_text(
            digits(best[column][0])
        )
        tab.get_by_role("button", name=title).click()
        expect(tab.get_by_test_id("result-row").first.locator("td").nth(place)).to_have_text(
            digits(best[column][-1])
        )


def test_search_by_token_finds_what_fires_on_it(tab, shipped_run):
    tab.goto("")
    tab.get_by_test_id("search").fill("import")
    tab.keyboard.press("Enter")
    tab.get_by_role("radio", name="Features").check(force=True)
    expect(tab.get_by_test_id("found")).to_have_text(re.compile("^[0-9]+ of "))
    all_found = shown(tab)
    tab.get_by_test_id("filter-site").select_option(SITE)
    expect(tab).to_have_url(re.compile(f"site={SITE}"))
    expect(tab.get_by_test_id("found")).not_to_contain_text(f"{all_found} of")
    wanted = shown(tab)
    rows = cells(tab, wanted)
    assert len(rows) == wanted > 0
    contexts = shipped_run.contexts(SITE)
    for row in rows:
        tokens = contexts.filter(feature=int(row[0].split()[1]))["contexts"][0]
        assert any("import" in context["token"].lower() for context in tokens), row


def test_a_list_is_walked_by_keys(tab):
    tab.goto(f"#/find?list=features&site={SITE}")
    expect(tab.get_by_test_id("result-row").first).to_be_visible()
    second = cells(tab, 2)[1]
    tab.get_by_role("region", name=re.compile("arrow keys move")).focus()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    site, feature = second[0].split()
    expect(tab).to_have_url(re.compile(rf"#/life/{site}/{feature}"))


def test_labels_are_there_however_often_a_list_is_read(tab, shipped_run):
    """A browser's cache once gave parts of a table without their bytes, which read as nulls."""
    for _ in range(4):
        tab.goto("about:blank")
        tab.goto("#/find?list=features&q=import")
        expect(tab.get_by_test_id("found")).to_contain_text("features")
        tab.wait_for_load_state("networkidle")
        rows = cells(tab, min(12, shown(tab)))
        assert all("import" in row[1] for row in rows[:6]), rows


def test_nothing_found_says_what_to_do(tab):
    tab.goto("#/find?q=zzzzqqqq")
    expect(tab.get_by_test_id("found")).to_have_text(re.compile("^0 tracks with 0 of"))
    expect(tab.locator("main")).to_contain_text("Try a shorter part of a word")
