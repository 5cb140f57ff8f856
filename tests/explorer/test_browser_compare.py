"""A run that compares SAEs, in headless Chromium: figures as Polars finds them, no false words."""

import re

import polars as pl
import pytest

from saematch.explorer import explore
from saematch.explorer.export import export
from saematch.layers.shared import Comparison
from support.browsing import becomes, cells, downloaded, figure, hosted, numbers, percent, settled
from support.compared import write_compared
from support.screens import AXE, needs_axe

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
# what is only true of features that go from layer to layer
FALSE = re.compile(r"\b(born|dies?|births?|deaths?|lifespan|lives?|layers?|goe?s? on)\b", re.I)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_compared(tmp_path_factory.mktemp("compared"))


@pytest.fixture(scope="module")
def served_url(run):
    with explore(run, open_browser=False) as explorer:
        yield explorer.url


@pytest.fixture(scope="module")
def exported_url(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    export(run, folder)
    yield from hosted(folder)


@pytest.fixture(scope="module")
def comparison(run):
    return Comparison.of(run)


@pytest.fixture(scope="module")
def told(run):
    """Of every feature that takes part: with how many others it is shared, its cluster."""
    table = run.table("compare", "features")
    return {(row["sae"], row["feature"]): row for row in table.iter_rows(named=True)}


def share(number: int, total: int) -> str:
    # a half is rounded up, as the page does
    return percent(number / total + 1e-9)


def test_the_first_view_says_what_is_shared(tab, run, comparison):
    tab.goto("#/")
    expect(tab.get_by_test_id("view-compare")).to_be_visible()
    expect(tab.get_by_test_id("nav-compare")).to_have_attribute("aria-current", "page")
    expect(tab.get_by_test_id("nav-overview")).to_have_count(0)
    exactly = {row["n"]: row for row in comparison.exactly().to_dicts()}
    first, total = run.names[0], len(run.names)
    features = comparison.taking_part[first]
    of = {n: exactly[n][f"features_{first}"] for n in exactly}
    expect(tab.get_by_test_id("finding")).to_have_text(
        f"Of the {features} features of {first}, {of[total]} ({share(of[total], features)}) are "
        f"shared with all 3 others, and {of[1]} ({share(of[1], features)}) are found only here."
    )
    stacks = tab.get_by_test_id("shared-stacks")
    for n in range(1, total + 1):
        wanted = [
            f"{exactly[n][f'features_{name}']} · "
            f"{share(exactly[n][f'features_{name}'], comparison.taking_part[name])} of {name}: "
            for name in run.names
            if exactly[n][f"features_{name}"]
        ]
        pieces = stacks.get_by_test_id(f"piece-{n}")
        expect(pieces).to_have_count(len(wanted))
        for place, text in enumerate(wanted):
            assert (pieces.nth(place).get_attribute("aria-label") or "").startswith(text)


def test_pairs_and_clusters_are_counted(tab, run, comparison):
    tab.goto("#/compare")
    rows = tab.get_by_test_id("shared-matrix").locator("tbody tr")
    expect(rows).to_have_count(len(run.names))
    for i, a in enumerate(run.names):
        found = rows.nth(i).locator("td").all_inner_texts()
        for j, b in enumerate(run.names):
            row = comparison.pairs.filter(pl.col("a").is_in([a, b]), pl.col("b").is_in([a, b]))
            shared = "" if a == b else f"{row['shared'][0]} {percent(comparison.share(a, b))}"
            assert " ".join(found[j].split()) == shared
    exactly = comparison.exactly().filter(pl.col("n") > 1).sort("n", descending=True)
    table = tab.get_by_test_id("exactly").locator("tbody tr")
    for i, row in enumerate(exactly.to_dicts()):
        said = numbers(" ".join(table.nth(i).locator("td.numeric").all_inner_texts()))
        assert said == [row["clusters"], row["complete"], row["tangled"]]
    rows.nth(0).locator("td a").first.click()
    expect(tab.get_by_test_id("view-pair")).to_contain_text(f"{run.names[0]} → {run.names[1]}")


def nearest(run, site: str) -> dict[int, float]:
    """Of each feature, its largest cosine with what it is assigned to."""
    found: dict[int, float] = {}
    for a, b in run.pairs:
        if site not in (a, b):
            continue
        for row in run.pair(a, b).drop_nulls("target").iter_rows(named=True):
            feature = row["feature" if site == a else "target"]
            found[feature] = max(found.get(feature, -1), row["decoder_cosine"])
    return found


@pytest.mark.parametrize("n", [1, 4])
def test_lists_have_the_features_that_the_tables_have(tab, run, told, n):
    tab.goto("#/")
    site = run.names[1]
    tab.get_by_test_id("list-of").select_option(site)
    tab.get_by_test_id("list-n").select_option(str(n))
    close = nearest(run, site)
    wanted = [f for (sae, f), row in told.items() if sae == site and row["shared_with"] == n - 1]
    wanted.sort(key=lambda f: ((1 if n == 1 else -1) * close.get(f, 9), f))
    expect(tab.get_by_test_id("list-says")).to_contain_text(f"{len(wanted)} of ")
    shown = min(6, len(wanted))
    assert shown
    becomes(
        tab,
        lambda: [(row[0], row[2], row[3]) for row in cells(tab, shown)],
        [(f"{site} {f}", f"{n - 1} of 3", figure(close.get(f))) for f in wanted[:shown]],
    )
    saved = pl.read_csv(downloaded(tab, tab.get_by_test_id(f"csv-shared-{site}-{n}").click))
    assert saved["feature"].to_list() == [f"{site}/{f}" for f in wanted]
    tab.get_by_test_id("result-row").first.click()
    expect(tab).to_have_url(re.compile(f"#/life/{site}/{wanted[0]}"))


def test_clusters_are_listed_with_their_members(tab, run, comparison, told):
    tab.goto("#/")
    tab.get_by_test_id("exactly").get_by_role("button", name="3 of 4").click()
    wanted = comparison.clusters.filter(saes=3)
    expect(tab.get_by_test_id("list-says")).to_contain_text(
        f"{len(wanted)} of {len(comparison.clusters)} clusters"
    )
    tab.get_by_test_id("list-kind").select_option("complete")
    complete = set(wanted.filter("complete")["cluster"])
    expect(tab.get_by_test_id("list-says")).to_contain_text(f"{len(complete)} of ")
    for row in cells(tab, min(4, len(complete))):
        cluster = numbers(row[0])[0]
        assert cluster in complete
        for name, cell in zip(run.names, row[1:], strict=True):
            its = [f for (sae, f), one in told.items() if sae == name and one["cluster"] == cluster]
            assert numbers(cell)[:1] == its[:1]


def test_a_feature_stands_beside_its_counterparts(tab, run, told):
    (site, feature), row = max(told.items(), key=lambda item: item[1]["shared_with"])
    tab.goto(f"#/life/{site}/{feature}")
    expect(tab.get_by_test_id("shared-with")).to_have_text(f"{row['shared_with']} of 3 others")
    table = tab.get_by_test_id("counterparts").locator("tbody tr")
    settled(tab)
    for i, other in enumerate(name for name in run.names if name != site):
        forward = (site, other) in run.pairs
        a, b = (site, other) if forward else (other, site)
        own, its = ("feature", "target") if forward else ("target", "feature")
        found = run.pair(a, b).filter(pl.col(own) == feature).to_dicts()[0]
        texts = [" ".join(text.split()) for text in table.nth(i).locator("td").all_inner_texts()]
        assert texts[0] == f"{other} {found[its]}"
        assert texts[2] == ("shared" if found["matched"] else "not shared")
        assert texts[3] == figure(found["decoder_cosine"])
        assert texts[4] == figure(found["encoder_cosine"])
    members = {key for key, one in told.items() if one["cluster"] == row["cluster"]}
    expect(tab.get_by_test_id("member")).to_have_count(len(members))
    expect(tab.get_by_test_id("context-panel")).to_have_count(len(members))
    ties = [
        (a, b, one["feature"])
        for a, b in run.pairs
        for one in run.pair(a, b).filter("matched").iter_rows(named=True)
        if {(a, one["feature"]), (b, one["target"])} <= members
    ]
    expect(tab.get_by_test_id("tie")).to_have_count(len(ties))


def test_parts_and_members_by_keyboard(tab, run):
    tab.goto("#/")
    stacks = tab.get_by_test_id("shared-stacks")
    expect(stacks.locator("[tabindex='0']")).to_have_count(1)
    stacks.locator("[tabindex='0']").focus()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowLeft")
    where = tab.evaluate("document.activeElement.getAttribute('aria-label')")
    tab.keyboard.press("Enter")
    expect(tab.get_by_test_id("list-of")).to_have_value(run.names[1])
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == where
    expect(stacks.locator("[aria-pressed=true]")).to_have_attribute("aria-label", where)
    expect(tab.get_by_test_id("finding")).to_contain_text(run.names[1])


@pytest.mark.parametrize("where", ["#/", "#/life", "#/life/resid_post_0/3", "#/find", "#/pair"])
def test_nothing_is_said_of_features_that_go_from_layer_to_layer(tab, where):
    tab.goto(where)
    tab.locator("main h1").first.wait_for(state="attached")
    settled(tab)
    # what can be read, and what is read out, but for the texts that features fire on
    said = tab.evaluate(
        """() => (document.querySelectorAll(".contexts").forEach((list) => list.remove()), 0) ||
            [...document.querySelectorAll("body, body *")].map((element) =>
            ["aria-label", "title", "placeholder"].map((name) => element.getAttribute(name) ?? "")
            .join(" ")).join(" ") + document.body.textContent"""
    )
    assert "resid_post_0" in said or where == "#/life"
    assert FALSE.findall(said) == []


def test_find_says_with_how_many_others_a_feature_is_shared(tab, run, told):
    tab.goto("#/find?sort=shared")
    shared = sorted((row["shared_with"] for row in told.values()), reverse=True)
    becomes(tab, lambda: [row[2] for row in cells(tab, 5)], [f"{its} of 3" for its in shared[:5]])
    for row in cells(tab, 5):
        site, feature = row[0].split()
        assert row[2] == f"{told[site, int(feature)]['shared_with']} of 3"


@needs_axe
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("where", ["#/compare", "#/compare?list=clusters", "#/life/resid_post_0/3"])
def test_axe_finds_nothing_and_nothing_is_too_wide(tab, where, width, theme):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"{where}{'&' if '?' in where else '?'}theme={theme}")
    tab.locator("main figure svg").first.wait_for()
    settled(tab)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.evaluate(AXE.read_text())
    found = tab.evaluate(
        """axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"],
            rules: {"label-content-name-mismatch": {enabled: true}}})
            .then((found) => found.violations)"""
    )
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
