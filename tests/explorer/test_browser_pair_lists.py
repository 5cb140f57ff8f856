"""Lists of a pair besides its matches, in headless Chromium, against the tables of the run."""

import json
import re
import shutil

import polars as pl
import pytest

from saematch.explorer import explore
from saematch.labels.top_tokens import folded, top_tokens
from saematch.runs.run import Run
from support.browsing import becomes, cells, figure, numbers, p_value, percent, settled, watched
from support.screens import AXE, needs_axe

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.browser
pytest_plugins = ["support.browser_world"]
A, B = "resid_post_3", "resid_post_4"
BEFORE = "resid_post_2"  # before attn_out_3, mlp_out_3 and resid_post_3


@pytest.fixture(scope="module")
def tokens(shipped_run) -> pl.DataFrame:
    """What features fire on, whatever the case of it."""
    return top_tokens(shipped_run).with_columns(folded("token").alias("token"))


@pytest.fixture(scope="module")
def clear(shipped_run, tokens):
    """Which features of an SAE are rare and fire mostly on one token."""

    def of(name: str) -> dict[int, bool]:
        most = dict(
            tokens.filter(site=name).group_by("feature").agg(pl.col("weight").max()).iter_rows()
        )
        often = shipped_run.features(name).select("feature", "frequency").iter_rows()
        return {
            feature: most.get(feature, 0) >= 0.5 and frequency is not None and frequency <= 0.05
            for feature, frequency in often
        }

    return of


def opened(tab, a: str, b: str, list_: str) -> None:
    tab.goto(f"#/pair/{a}/{b}?list={list_}")
    expect(tab.get_by_test_id("result-row").first).to_be_visible()
    settled(tab)


def choose(page, group: str, title: str) -> None:
    group = page.get_by_role("radiogroup", name=group, exact=True)
    group.get_by_role("radio", name=title).check(force=True)


@pytest.mark.parametrize("kind", ["split", "merge"])
def test_splits_and_merges_with_their_parts(tab, shipped_run, clear, kind):
    opened(tab, A, B, f"{kind}s")
    table = shipped_run.table("flow", "splits").filter(kind=kind, a=A, b=B)
    site, others = (A, B) if kind == "split" else (B, A)
    groups = [
        (feature, part.sort("score", "part", descending=[True, False]))
        for (feature,), part in table.group_by("feature")
    ]
    rare = clear(site)
    groups.sort(key=lambda one: (not rare[one[0]], -one[1]["score"].min(), one[0]))
    assert len(groups) > 5
    said = tab.get_by_test_id("list-says")
    expect(said).to_contain_text(f"{len(groups):,}")
    expect(said).to_contain_text(f"{len(table):,}")
    becomes(tab, lambda: [numbers(r[0])[0] for r in cells(tab, 5)], [f for f, _ in groups[:5]])
    for row, (_, part) in zip(cells(tab, 5), groups, strict=False):
        assert row[2:] == [
            str(len(part)),
            figure(part["score"].min()),
            p_value(part["p_value"].max()),
        ]
        for number in part["part"].to_list()[:6]:
            assert number in numbers(row[1])
    tab.get_by_test_id("result-row").nth(1).click()
    feature, part = groups[1]
    panel = tab.get_by_test_id("pair-contexts")
    expect(panel.locator("section")).to_have_count(min(8, 1 + len(part)))
    settled(tab)
    for row in part.head(7).iter_rows(named=True):
        its = panel.get_by_label(f"{others} {row['part']}", exact=True)
        expect(its).to_contain_text(f"score {figure(row['score'])} · p {p_value(row['p_value'])}")
    panel.get_by_label(f"{site} {feature}", exact=True).locator("a.chip").click()
    expect(tab).to_have_url(re.compile(rf"#/life/{site}/{feature}\b"))


def test_gates_by_either_rule(tab, shipped_run):
    found = shipped_run.table("relations", "gates")
    pairs = found.group_by("a", "b").len().sort("len", descending=True)
    a, b = pairs.row(0)[:2]
    opened(tab, a, b, "gates")
    gates = found.filter(a=a, b=b)
    rules = {
        "Certain": pl.col("certain"),
        "By the paper": pl.col("paper"),
        "By both": pl.col("certain") & pl.col("paper"),
    }
    checked = 0
    for title, rule in rules.items():
        wanted = gates.filter(rule).sort(
            "certain", "joint_low", "feature", descending=[True, True, False]
        )
        if not len(wanted):
            continue
        choose(tab, "By which rule", re.compile(f"^{title}.* {len(wanted)}$"))
        expect(tab.get_by_test_id("list-says")).to_contain_text(f"{len(wanted)} features of {b}")
        few = min(4, len(wanted))
        becomes(
            tab,
            lambda few=few: [(numbers(r[0])[0], r[1]) for r in cells(tab, few)],
            [(f, k.upper()) for f, k in wanted.head(few).select("feature", "kind").iter_rows()],
        )
        for row, its in zip(cells(tab, few), wanted.iter_rows(named=True), strict=False):
            assert {its["first"], its["second"]} <= set(numbers(row[2]))
            assert row[3:] == [percent(its["joint"]), percent(its["alone"]), str(its["examples"])]
            checked += 1
    assert checked


def test_what_passes_at_any_cut_off(tab, shipped_run):
    opened(tab, A, B, "passing")
    curve = shipped_run.table("relations", "passing").filter(a=A, b=B, statistic="pearson")
    at = curve.filter((pl.col("cutoff") - 0.5).abs() < 1e-9).row(0, named=True)
    expect(tab.get_by_test_id("passing-says")).to_contain_text(
        f"{percent(at['passing_forward'])} of {at['features_a']:,} features of {A} pass on"
    )
    expect(tab.get_by_test_id("passing-says")).to_contain_text(
        f"{percent(at['passing_backward'])} of {at['features_b']:,} of {B} come from there"
    )
    expect(tab.get_by_test_id("passing").locator("svg path").first).to_be_attached()
    best = shipped_run.table("relations", "targets").filter(a=A, b=B, statistic="pearson", rank=1)
    best = best.sort("value", "feature", descending=[True, False])
    for turned in (False, True):
        wanted = best.reverse() if turned else best
        becomes(
            tab,
            lambda: [(numbers(r[0])[0], numbers(r[1])[0]) for r in cells(tab, 4)],
            wanted.select("feature", "target").rows()[:4],
        )
        assert [r[2] for r in cells(tab, 4)] == [figure(v) for v in wanted["value"][:4]]
        tab.get_by_role("button", name="Similarity").click()
    choose(tab, "Similarity", "jaccard")
    choose(tab, "Which way", f"Features of {B}")
    best = shipped_run.table("relations", "sources").filter(a=A, b=B, statistic="jaccard", rank=1)
    best = best.sort("value", "feature", descending=[True, False])
    becomes(
        tab,
        lambda: [(numbers(r[0])[0], numbers(r[1])[0]) for r in cells(tab, 4)],
        best.select("feature", "source").rows()[:4],
    )


def test_origins_by_class(tab, shipped_run, clear):
    opened(tab, BEFORE, A, "origins")
    table = shipped_run.table("flow", "origins").filter(site=A)
    rare = clear(A)
    sure = pl.min_horizontal("p_R", "p_M", "p_A")
    table = table.with_columns(
        sure.alias("sure"), pl.Series("unclear", [not rare[f] for f in table["feature"]])
    )
    for (origin,), part in table.group_by("origin"):
        choose(tab, "Of which origin", f"{origin} {len(part):,}")
        expect(tab.get_by_test_id("list-says")).to_contain_text(
            f"{percent(len(part) / len(table))} of the {len(table):,} features of {A} are {origin}"
        )
        wanted = part.sort("unclear", "sure", "feature")
        few = min(4, len(wanted))
        becomes(
            tab,
            lambda few=few: [numbers(r[0])[0] for r in cells(tab, few)],
            wanted["feature"].to_list()[:few],
        )
        for row, its in zip(cells(tab, few), wanted.iter_rows(named=True), strict=False):
            for cell, letter in zip(row[1:], "RMA", strict=True):
                assert numbers(cell)[0] == its[f"source_{letter}"]
                assert cell.endswith(f"p {p_value(its[f'p_{letter}'])}")


def test_matches_whose_contexts_disagree(tab, shipped_run, tokens):
    opened(tab, A, B, "contrary")
    weights = {
        name: {
            feature: dict(part.select("token", "weight").iter_rows())
            for (feature,), part in tokens.filter(site=name).group_by("feature")
        }
        for name in (A, B)
    }
    known: dict[tuple[int, int], float] = {}
    for table, source, target in (
        ("targets", "feature", "target"),
        ("sources", "source", "feature"),
    ):
        rows = shipped_run.table("relations", table).filter(a=A, b=B, statistic="pearson")
        known |= {(i, j): value for i, j, value in rows.select(source, target, "value").iter_rows()}
    wanted, shared = [], {}
    for row in shipped_run.pair(A, B).filter("matched").iter_rows(named=True):
        ends = row["feature"], row["target"]
        of_a, of_b = weights[A].get(ends[0]), weights[B].get(ends[1])
        if of_a is None or of_b is None:
            continue
        shared[ends] = sum(min(weight, of_b.get(token, 0)) for token, weight in of_a.items())
        if shared[ends] == 0 and known.get(ends, 0) < 0.2:
            wanted.append((row["p_value"], -row["score"], *ends))
    wanted.sort()
    assert 0 < len(wanted) < len(shared) / 4
    expect(tab.get_by_test_id("list-says")).to_contain_text(f"{len(wanted):,} of ")
    few = min(4, len(wanted))
    becomes(
        tab,
        lambda: [(numbers(r[0])[0], numbers(r[1])[0]) for r in cells(tab, few)],
        [row[2:] for row in wanted[:few]],
    )
    for row in cells(tab, few):
        assert row[6].replace(" ", "") == "≠0%"
    expect(tab.get_by_test_id("pair-contexts")).to_contain_text("weights agree, contexts do not")
    choose(tab, "Which matches", "Weakest")
    for row in cells(tab, 6):
        ends = numbers(row[0])[0], numbers(row[1])[0]
        marked = any(ends == found[2:] for found in wanted)
        assert row[6].removeprefix("≠").strip() == percent(shared[ends])
        assert row[6].startswith("≠") == marked


@pytest.fixture(scope="module")
def silent_url(shipped_run, tmp_path_factory):
    """The run as it was before `saematch relate`."""
    folder = tmp_path_factory.mktemp("silent") / "run"
    shutil.copytree(shipped_run.path, folder, ignore=shutil.ignore_patterns(".*"))
    record = json.loads((folder / "run.json").read_text())
    del record["relations"]
    (folder / "run.json").write_text(json.dumps(record))
    with explore(Run.open(folder), open_browser=False) as explorer:
        yield explorer.url


@pytest.fixture
def silent(browser, silent_url):
    yield from watched(browser, silent_url)


def test_a_run_without_activations_says_what_would_add_them(silent, shipped_run):
    opened(silent, A, B, "best")
    expect(silent.get_by_role("heading", name="Pointing and p-value")).to_be_visible()
    expect(silent.get_by_test_id("pair-finding")).not_to_contain_text("fire together")
    silent.get_by_text("Drag to list a part").click()
    expect(silent.locator(".scatter-part")).to_contain_text("saematch relate")
    lists = silent.get_by_role("radiogroup", name="Which matches")
    expect(lists.get_by_role("radio", name="Contexts disagree")).to_be_attached()
    expect(lists.get_by_role("radio", name="Fire alike, point apart")).not_to_be_attached()
    every = silent.get_by_role("radiogroup", name="What is listed")
    expect(every.get_by_role("radio", name=re.compile("^Splits"))).to_be_attached()
    for name in ("Gates", "Passing"):
        expect(every.get_by_role("radio", name=name)).not_to_be_attached()
    # no p-value pushes the others to the foot of the scatter
    matched = shipped_run.pair(A, B).filter("matched")
    silent.get_by_label("largest \u2212log₁₀ p").fill("1.3")
    silent.keyboard.press("Enter")
    frame = shipped_run.pair(A, B).filter(pl.col("target").is_not_null())
    low = frame.filter(pl.col("p_value") >= 10**-1.3)
    assert 0 < len(low) < len(frame) - len(matched) // 2
    expect(silent.get_by_test_id("list-says")).to_contain_text(f"{len(low):,} of ")
    brush = silent.locator(".brush").bounding_box()
    plot = silent.locator(".scatter").bounding_box()
    assert brush["height"] > 0.1 * plot["height"]


def test_a_phone_shows_both_features_of_each_match(tab):
    tab.set_viewport_size({"width": 390, "height": 844})
    opened(tab, A, B, "best")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    first = tab.get_by_test_id("result-row").first.locator("td").first
    expect(first.locator(".named")).to_have_count(2)
    box = tab.locator(".table-box")
    for scrolled in (0, 400):  # the first column stays where it is
        box.evaluate(f"box => {{ box.scrollLeft = {scrolled} }}")
        for named in first.locator(".named").all():
            at = named.bounding_box()
            assert 0 <= at["x"] < at["x"] + at["width"] <= 390
    for list_ in ("splits", "gates", "passing"):
        opened(tab, A, B, list_)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), list_


def test_the_first_matches_are_on_a_small_screen(tab):
    tab.set_viewport_size({"width": 1280, "height": 800})
    opened(tab, A, B, "best")
    third = tab.get_by_test_id("result-row").nth(2).bounding_box()
    assert third["y"] + third["height"] <= 800


def test_keys_walk_a_list(tab, shipped_run, clear):
    opened(tab, A, B, "splits")
    third = numbers(cells(tab, 3)[2][0])[0]
    tab.locator(".table-box").focus()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile(rf"pick={third}\b"))


@needs_axe
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing(tab, width, theme):
    tab.set_viewport_size({"width": width, "height": 900})
    for a, list_ in ((A, "best"), (A, "splits"), (A, "passing"), (A, "gates")):
        tab.goto(f"#/pair/{a}/{B}?list={list_}&theme={theme}")
        expect(tab.get_by_test_id("result-row").first).to_be_visible()
        settled(tab)
        tab.evaluate(AXE.read_text())
        found = tab.evaluate(
            "axe.run({ rules: { 'label-content-name-mismatch': { enabled: true } } })"
            ".then((found) => found.violations.map((each) => [each.id, each.nodes[0].html]))"
        )
        assert found == [], list_
