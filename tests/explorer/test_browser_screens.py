"""Every view on a phone, a laptop, a large screen and at 200 % zoom: nothing is cut off, axe finds
nothing, and it looks as it did when somebody last looked at it.
"""

from itertools import combinations

import pytest

from support.browsing import watched
from support.screens import MANY, ailments, differs, kept_cells, other_cells

pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
# width, height in CSS pixels, pixels of the screen to one of them
SCREENS = {
    "phone": (390, 844, 1),
    "laptop": (1280, 800, 1),
    "large": (1920, 1080, 1),
    "zoomed": (640, 400, 2),
}
VIEWS = {
    "overview": "",
    "sentence": "#/sentence",
    "find": "#/find?q=the",
    "life": "#/life/resid_post_3/{feature}",
    "pair": "#/pair/resid_post_2/resid_post_3",
    "graph": "#/graph/resid_post_3/{feature}",
    "communities": "#/graph",
    "evaluation": "#/evaluation",
}


@pytest.fixture
def feature(shipped_run):
    """One on a long track, whose track begins before it."""
    tracks = shipped_run.table("flow", "tracks").filter(mode="gaps")
    longest = tracks.group_by("track").len().sort("len", "track", descending=[True, False])
    track = tracks.filter(track=longest["track"][0], site="resid_post_3")
    return track["feature"][0]


@pytest.mark.parametrize("size", SCREENS)
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_the_screen(browser, served_url, feature, view, size):
    width, height, scale = SCREENS[size]
    screen = {"viewport": {"width": width, "height": height}, "device_scale_factor": scale}
    for page in watched(browser, served_url, **screen):
        page.goto(VIEWS[view].format(feature=feature))
        page.get_by_test_id(f"view-{'graph' if view == 'communities' else view}").wait_for()
        found = ailments(page)
        if size != "zoomed":  # the same page at a width between others
            found.append(differs(page, f"{view}-{size}"))
        assert [ailment for ailment in found if ailment] == []


@pytest.mark.parametrize("size", [size for size in SCREENS if size != "zoomed"])
def test_a_screen_is_not_taken_for_another(browser, served_url, size):
    """The comparison would fail: no view would pass for another one."""
    width, height, _ = SCREENS[size]
    for page in watched(browser, served_url):
        page.goto("")
        kept = {view: kept_cells(page, f"{view}-{size}", width, height) for view in VIEWS}
        for one, other in combinations(kept, 2):
            share = len(other_cells(kept[one], kept[other])) / len(kept[one])
            assert share > MANY, (one, other, share)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_in_the_dark(browser, served_url, feature, view):
    for page in watched(browser, served_url, color_scheme="dark"):
        page.goto(VIEWS[view].format(feature=feature))
        page.get_by_test_id(f"view-{'graph' if view == 'communities' else view}").wait_for()
        assert ailments(page) == []


def test_a_view_in_another_page_has_no_bar(tab):
    tab.goto("?embed=1#/pair/resid_post_2/resid_post_3?embed=1")
    tab.get_by_test_id("view-pair").wait_for()
    assert tab.locator("header.bar").count() == 0
    link = tab.get_by_role("link", name="Pair · ")
    assert "embed" not in link.get_attribute("href")
