"""The explorer as a person uses it, in headless Chromium: what it shows is what the Parquet says.

Over a served run of the shipped SAEs, and over its export as a static site.
"""

import http.server
import os
import re
import shutil
import threading
from functools import partial

import polars as pl
import pytest
from typer.testing import CliRunner

from saematch.cli import app
from saematch.explorer import explore
from saematch.explorer.export import export
from saematch.runs import Run

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
MISSING = "no Chromium on this machine (Debian: apt-get install chromium)"
if CHROMIUM is None and os.environ.get("CI"):
    raise RuntimeError(MISSING)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
SAES = [f"saematch:resid_post_{layer}" for layer in range(2, 6)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("explored") / "run"
    given = ["flow", *SAES, "--method", "feature-flow", "--reach", "2", "-q", "-o", str(path)]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    return Run.open(path)


@pytest.fixture(scope="module")
def served(run):
    with explore(run, open_browser=False) as explorer:
        yield explorer.url


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    export(run, folder)
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(params=["served", "exported"])
def page(request, browser):
    url = request.getfixturevalue(request.param)
    context = browser.new_context(base_url=url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    outside: list[str] = []
    page.on(
        "request",
        lambda sent: (
            None if sent.url.startswith((url, "data:", "blob:")) else outside.append(sent.url)
        ),
    )
    yield page
    context.close()
    assert faults == []
    assert outside == []


def longest(run: Run) -> pl.DataFrame:
    """The longest track, layer by layer."""
    tracks = run.flow_table("tracks").filter(mode="gaps")
    sizes = tracks.group_by("track").len().sort("len", "track", descending=[True, False])
    return tracks.filter(track=sizes["track"][0])


def test_overview_counts_are_those_of_the_tables(page, run):
    page.goto("")
    columns = page.get_by_test_id("overview-column")
    expect(columns).to_have_count(4)
    turnover = run.flow_table("turnover").filter(mode="gaps")
    for place, name in enumerate(run.flow["chain"]):
        said = columns.nth(place).locator("a").first.get_attribute("aria-label")
        assert said.startswith(name)
        (births,) = turnover.filter(site=name)["births"]
        if births is not None:
            assert f"{births:,} born" in said


def test_a_feature_is_found_and_its_track_followed(page, run):
    track = longest(run)
    first = track.row(0, named=True)
    layer = first["site"].rsplit("_", 1)[1]
    page.goto("")
    expect(page.get_by_test_id("overview-column").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type(f"{layer}_{first['feature']}")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(rf"#/life/{first['layer']}/{first['feature']}"))
    nodes = page.get_by_test_id("track-node")
    expect(nodes).to_have_count(len(track))
    shown = [
        re.match(r"(\S+) (\d+)", nodes.nth(i).get_attribute("aria-label"))
        for i in range(len(track))
    ]
    found = [(m[1], int(m[2])) for m in shown]
    assert sorted(found) == sorted(zip(track["site"], track["feature"], strict=True))
    page.get_by_test_id("track-node").first.focus()
    page.keyboard.press("ArrowRight")
    second = track.row(1, named=True)
    expect(page).to_have_url(re.compile(rf"#/life/{second['layer']}/{second['feature']}"))
    page.reload()
    expect(page.get_by_test_id("track-node")).to_have_count(len(track))
    page.go_back()
    expect(page).to_have_url(re.compile(rf"#/life/{first['layer']}/{first['feature']}"))


def test_contexts_are_those_of_the_run(page, run):
    first = longest(run).row(0, named=True)
    contexts = run.contexts(first["site"]).filter(feature=first["feature"])["contexts"][0]
    page.goto(f"#/life/{first['layer']}/{first['feature']}")
    panel = page.get_by_test_id("context-panel").first
    expect(panel).to_contain_text(contexts[0]["token"].strip() or contexts[0]["after"].split()[0])


def test_search_by_token_and_filter(page, run):
    page.goto("")
    page.get_by_test_id("search").fill("import")
    page.keyboard.press("Enter")
    found = page.get_by_test_id("found")
    expect(found).to_contain_text("features")
    before = int(found.inner_text().split(" of ")[0].replace(",", ""))
    assert before > 0
    page.get_by_test_id("filter-site").select_option("resid_post_3")
    expect(page).to_have_url(re.compile("site=resid_post_3"))
    expect(found).not_to_contain_text(f"{before} of")
    rows = page.get_by_test_id("result-row")
    assert all("resid_post_3" in text for text in rows.all_inner_texts())


def test_a_shared_url_shows_the_same(page, browser, run):
    page.goto("#/find?q=import&site=resid_post_3")
    here = page.get_by_test_id("found")
    expect(here).to_contain_text("features")
    said = here.inner_text()
    other = browser.new_context().new_page()
    other.goto(page.url)
    expect(other.get_by_test_id("found")).to_have_text(said)
    other.context.close()


def test_dark_and_light(page):
    page.goto("")
    ink = "getComputedStyle(document.documentElement).backgroundColor"
    expect(page.get_by_test_id("theme")).to_be_visible()
    seen = {page.evaluate(ink)}
    for _ in range(2):
        page.get_by_test_id("theme").click()
        seen.add(page.evaluate(ink))
    assert len(seen) == 2


def test_a_feature_that_is_not_there_is_said(page):
    page.goto("#/life/resid_post_3/999999")
    expect(page.locator("main")).to_contain_text(re.compile("no|not", re.IGNORECASE))
