"""The page of votes, in headless Chromium: keys, back, resumed; a vote that is not kept."""

import json
import shutil

import pytest

import saematch
from saematch import Run
from support.browsing import watched

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]


@pytest.fixture
def voting(nouns, tmp_path):
    shutil.copytree(nouns.run.path, tmp_path / "run")
    run = saematch.judge(Run.open(tmp_path / "run"), nouns.store, judges=["firing"], paths=4)
    with saematch.vote(run, nouns.store, "ANNA", cases=4, open_browser=False) as served:
        yield served


@pytest.fixture
def page(voting, browser):
    yield from watched(browser, voting.url)


def test_keys_vote_and_go_back_and_a_reload_goes_on(page, voting):
    page.goto(voting.url)
    progress = page.locator("#progress")
    expect(progress).to_have_text("1 of 4")
    left = [context["token"].strip() for context in voting._content()["cases"][0]["left"]]
    expect(page.locator("#left mark")).to_have_text(left)
    page.keyboard.press("1")
    expect(progress).to_have_text("2 of 4")
    page.keyboard.press("Backspace")
    expect(page.locator("[aria-pressed=true]")).to_contain_text("different")
    page.keyboard.press("3")
    expect(progress).to_have_text("2 of 4")
    page.get_by_role("button", name="maybe").click()
    expect(progress).to_have_text("3 of 4")
    page.reload()
    expect(progress).to_have_text("3 of 4")
    page.keyboard.press("1")
    expect(progress).to_have_text("4 of 4")
    page.keyboard.press("2")
    expect(page.locator("#end")).to_contain_text("every pair has a vote")
    votes = [json.loads(line) for line in voting.path.read_text().splitlines()]
    assert [vote["grade"] for vote in votes] == [1, 3, 2, 1, 2]
    assert [vote["feature_a"] for vote in votes] == [
        voting.ballot.pairs[place].a.number for place in (0, 0, 1, 2, 3)
    ]


def test_a_vote_that_is_not_kept_is_said_and_can_be_given_again(page, voting):
    page.goto(voting.url)
    expect(page.locator("#progress")).to_have_text("1 of 4")
    voting.path.parent.write_text("in the way")
    page.keyboard.press("2")
    expect(page.get_by_role("alert")).to_contain_text("not kept")
    expect(page.locator("#progress")).to_have_text("1 of 4")
    voting.path.parent.unlink()
    page.keyboard.press("2")
    expect(page.locator("#progress")).to_have_text("2 of 4")
    expect(page.get_by_role("alert")).to_have_count(0)
    assert voting.done == 1
