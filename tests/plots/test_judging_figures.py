"""Figures of judgements: every share and mean drawn is one of the verdicts."""

from pathlib import Path

import numpy as np
import pytest

from saematch import Run, match
from saematch.judging import Draws, Verdict, judged
from saematch.judging.cases import cases_frame
from saematch.judging.experiment import Experiment
from saematch.layers.layers import Layers
from saematch.matching.nulls import Null
from saematch.plots import figures
from saematch.runs.records import JudgeFigures
from support.saes import make_sae, permuted
from support.small_model import CYCLE, at

LIKELY = {1: 0.1, 2: 0.5, 3: 0.9}


def draw(folder: Path, judges: dict[str, list[int | None]], null: Null = "covariance") -> Run:
    """A run of three layers of which each judge gives these grades, over and over."""
    saes = [at(make_sae(), 0)]
    for layer in (1, 2):
        saes.append(at(permuted(saes[-1], CYCLE, noise=0.3, seed=layer), layer))
    run = Run.create(folder, "flow", {}, saes)
    for a, b in ((0, 1), (1, 2)):
        run.add_pair(run.names[a], run.names[b], match(saes[a], saes[b], null=null))
    layers = Layers.of(run)
    draws = Draws(
        layers,
        lambda name: np.ones(layers.features[name], bool),
        lambda name: np.full(layers.features[name], np.nan),
    )
    cases = draws.paths(20)
    cases += draws.controls(cases)
    experiment = Experiment(run, {"options": {}, "texts": {}})
    for name, grades in judges.items():
        given = [grades[k % len(grades)] for k in range(len(cases))]
        verdicts = [
            Verdict(None, None, problem="no") if grade is None else Verdict(grade, LIKELY[grade])
            for grade in given
        ]
        experiment.add(cases_frame(cases, layers), JudgeFigures(name=name), verdicts)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    judges = {"kind": [3, 3, 2, 3, 1], "stern": [1, 1, 3, None], "mute": [None]}
    return draw(tmp_path_factory.mktemp("run"), judges)


@pytest.fixture(scope="module")
def made(run):
    found, missing = figures(run, ["judging", "coverage"])
    assert not missing
    return found


def test_bars_are_the_shares_of_grades_by_pair_and_kind(run, made):
    table = judged(run).drop_nulls("grade")
    bars = [trace for trace in made["judging"].data if trace.type == "bar"]
    assert len(bars) == 2 * 2 * 3  # a judge that graded nothing has no panels
    pairs = [*zip(run.names, run.names[1:], strict=False)]
    kinds = [kind for kind in ("self", "near", "identity", "random") if kind in {*table["kind"]}]
    wanted = []
    for judge in ("kind", "stern"):
        here = table.filter(judge=judge)
        near = [here.filter(kind="match", a=a, b=b)["grade"] for a, b in pairs]
        beside = [here.filter(kind=kind)["grade"] for kind in kinds]
        for some in (near, beside):
            wanted += [[(g == grade).mean() for g in some] for grade in (3, 2, 1)]
    for bar, shares in zip(bars, wanted, strict=True):
        assert list(bar.y) == pytest.approx(shares)
    assert list(bars[0].x) == ["0→1", "1→2"]
    assert [bar.name for bar in bars if bar.showlegend] == ["SAME", "MAYBE", "DIFFERENT"]


def test_intervals_lie_around_the_shares_of_same(made):
    spreads = [trace for trace in made["judging"].data if trace.error_y.array]
    bars = [trace for trace in made["judging"].data if trace.name == "SAME"]
    for spread, bar in zip(spreads, bars, strict=True):
        assert spread.y == bar.y
        ends = zip(spread.error_y.array, spread.error_y.arrayminus, bar.y, strict=True)
        assert all(
            0 <= more <= 1 - share and 0 <= less <= share
            for more, less, share in ends
            if share is not None
        )
    assert max(spreads[0].error_y.array) > 0.01


def test_the_title_tells_matches_and_random_partners(run, made):
    table = judged(run).drop_nulls("grade")
    for kind in ("match", "random"):
        grades = [table.filter(kind=kind, judge=judge)["grade"] for judge in ("kind", "stern")]
        shares = [float((some == 3).to_numpy().mean()) for some in grades]
        assert f"{min(shares):.0%} to {max(shares):.0%} of" in made["judging"].layout.title.text


def test_curves_are_means_of_the_first_by_p_value(run, made):
    titled = made["coverage"].layout.title.text
    halves = []
    for place, judge in enumerate(("kind", "stern")):
        some = judged(run).filter(judge=judge, kind="match").drop_nulls("grade").sort("p_value")
        assert some["p_value"].n_unique() == len(some)  # so that there is but one order
        curve = some["probability"].cum_sum() / np.arange(1, len(some) + 1)
        line, mean = made["coverage"].data[2 * place : 2 * place + 2]
        assert line.name == f"{judge} ({len(some)})"
        assert list(line.y) == pytest.approx(curve[9:].to_list())
        assert list(line.customdata) == [*range(10, len(some) + 1)]
        assert line.x[-1] == 1
        assert list(mean.y) == pytest.approx([curve[-1]] * 2)
        halves.append(curve[(len(some) + 1) // 2 - 1])
    assert f"p-values {min(halves):.2f} to {max(halves):.2f}" in titled


def test_without_p_values_or_grades_the_reason_is_said(tmp_path):
    found, missing = figures(draw(tmp_path / "a", {"kind": [3]}, "none"), ["judging", "coverage"])
    assert set(found) == {"judging"}
    assert found["judging"].layout.title.text.startswith("<b>100% of matches are judged SAME, 100%")
    assert "--null none" in missing["coverage"]
    _, missing = figures(draw(tmp_path / "b", {"mute": [None]}), ["judging", "coverage"])
    assert missing == dict.fromkeys(
        ("judging", "coverage"), "no judge gave a grade to a match of this run"
    )
