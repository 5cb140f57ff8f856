"""What the page says where something cannot be read, and offers only what can help."""

import re

import pytest

from saematch.explorer.export import export
from support.explored import write_run
from support.opened import exporting, serving

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("notices"))


@pytest.fixture(scope="module")
def served_url(run):
    yield from serving(run)


@pytest.fixture(scope="module")
def exported_url(run, tmp_path_factory):
    yield from exporting(run, tmp_path_factory.mktemp("site"))


def test_a_server_that_is_gone_is_asked_again(tab):
    tab.route("**/run/run.json", lambda route: route.abort())
    tab.goto("")
    notice = tab.get_by_role("alert")
    expect(notice).to_contain_text("cannot be reached")
    tab.unroute("**/run/run.json")
    notice.get_by_role("button", name="Reload the page").click()
    expect(tab.get_by_test_id("view-overview")).to_be_visible()


def test_what_is_not_there_is_not_asked_for_again(tab):
    tab.route("**/run/run.json", lambda route: route.fulfill(status=404))
    tab.goto("")
    notice = tab.get_by_role("alert")
    expect(notice).to_contain_text("run.json is not there")
    expect(notice).to_contain_text("saematch explore RUN")
    expect(notice.get_by_role("button")).to_have_count(0)


def test_what_is_no_run_is_not_asked_for_again(tab):
    tab.route("**/run/run.json", lambda route: route.fulfill(status=200, body="{}"))
    tab.goto("")
    notice = tab.get_by_role("alert")
    expect(notice).to_contain_text("not the run.json of a saematch run")
    expect(notice.get_by_role("button")).to_have_count(0)


def test_a_page_opened_as_a_file_says_why_it_is_blank(browser, run, tmp_path):
    export(run, tmp_path / "site")
    page = browser.new_page()
    page.goto((tmp_path / "site" / "index.html").as_uri())
    expect(page.get_by_role("heading")).to_have_text("This page has not started")
    expect(page.locator("main")).to_contain_text("If you opened it as a file, that is why")
    expect(page.locator("main")).to_contain_text("python -m http.server")
    page.close()


def test_a_page_that_starts_says_nothing_of_that(tab):
    tab.goto("")
    expect(tab.get_by_test_id("view-overview")).to_be_visible()
    expect(tab.locator(".unopened")).to_have_count(0)
    expect(tab).to_have_title(re.compile("saematch"))
    expect(tab.locator("main")).to_have_count(1)
