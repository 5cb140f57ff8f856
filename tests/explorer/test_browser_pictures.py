"""What can be kept of a view: pictures that say what they are of, tables, links, frames."""

import csv
import io
import re
from pathlib import Path

import pytest

from support.browsing import settled

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
PICTURES = ["", "#/life/resid_post_3/100", "#/pair/resid_post_2/resid_post_3", "#/evaluation"]


def kept(page, figure, choice: str) -> Path:
    figure.locator(".keep summary").click()
    with page.expect_download() as download:
        figure.get_by_role("button", name=choice).click()
    return download.value.path()


@pytest.mark.parametrize("place", PICTURES)
def test_every_drawing_is_a_picture_that_says_what_it_is_of(tab, shipped_run, place):
    tab.goto(place)
    figures = tab.locator("figure.figure:visible")
    figures.first.wait_for()
    settled(tab)
    assert figures.count()
    for i in range(figures.count()):
        figure = figures.nth(i)
        name = figure.locator(".keep summary").get_attribute("aria-label")
        title = name.removeprefix("Keep or share: ")
        text = kept(tab, figure, "Picture, SVG").read_text(encoding="utf-8")
        assert text.startswith("<svg"), title
        assert f">{title}</text>" in text.replace("&amp;", "&")
        assert "demo-gpt2-6l" in text
        assert shipped_run.record.options["method"] in text
        for entry in figure.locator(".legend li").all_inner_texts():
            assert f">{entry}</text>" in text
        # it stands by itself: no variable of the page's style, nothing from elsewhere
        assert "var(--" not in text
        assert not re.search(r'href="(?!data:|#)', re.sub(r"<a [^>]*>", "", text))


def test_a_picture_in_pixels_is_as_large_as_the_drawing(tab):
    tab.goto("")
    figure = tab.get_by_test_id("figure-river")
    png = kept(tab, figure, "Picture, PNG").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    wide = int.from_bytes(png[16:20], "big")
    assert wide >= 2 * figure.locator("svg").last.bounding_box()["width"]


def test_a_table_is_kept_whole(tab, shipped_run):
    tab.goto("#/evaluation")
    settled(tab)
    with tab.expect_download() as download:
        tab.get_by_test_id("csv-evaluation-delta-loss").click()
    text = download.value.path().read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    values = shipped_run.table("evaluation", "values").filter(metric="delta-loss")
    assert len(rows) == len(values)
    assert sum(float(row["Value"]) for row in rows) == pytest.approx(values["value"].sum())


def test_a_frame_shows_the_view_without_the_bar(tab, browser):
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.goto("#/pair/resid_post_2/resid_post_3")
    figure = tab.locator("figure.figure").first
    figure.locator(".keep summary").click()
    figure.get_by_role("button", name="Copy frame").click()
    expect(figure.locator(".keep-said")).to_have_text("Frame copied")
    frame = tab.evaluate("navigator.clipboard.readText()")
    address = re.search(r'src="([^"]+)"', frame)[1]
    assert "embed=1" in address
    tab.goto(address.replace("&amp;", "&"))
    tab.get_by_test_id("view-pair").wait_for()
    expect(tab.locator("header.bar")).to_have_count(0)
