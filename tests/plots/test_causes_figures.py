"""Figures of interventions: every dot and line drawn is a share or mean of the run's tables."""

from typing import Any

import numpy as np
import pytest

from saematch import Run, match
from saematch.causal.findings import deactivations, quality_curve, substitutions
from saematch.plots import figures
from saematch.plots.causes import causes
from saematch.plots.tables import Missing
from support.cause_world import add_causes
from support.saes import make_sae, permuted
from support.small_model import CYCLE, at


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    saes = [at(make_sae(), 0)]
    for layer in (1, 2):
        saes.append(at(permuted(saes[-1], CYCLE, noise=0.3, seed=layer), layer))
    run = Run.create(tmp_path_factory.mktemp("causes"), "flow", {}, saes)
    for a, b in ((0, 1), (1, 2)):
        run.add_pair(run.names[a], run.names[b], match(saes[a], saes[b], null="none"))
    with pytest.raises(Missing, match="saematch intervene"):
        causes(run)
    add_causes(run)
    return run


def test_dots_are_shares_of_the_stream_with_their_intervals(run):
    made, missing = figures(run, ["causes"])
    assert not missing
    figure: Any = made["deactivation"]
    table = run.table("causes", "deactivation")
    single = table.filter(~table["a"].str.contains("+", literal=True))
    rows = {(row["method"], row["control"]): row for row in deactivations(single).to_dicts()}
    drawn = {
        (method, control): (x, up, down)
        for trace, control in zip(figure.data, (False, True), strict=True)
        for method, x, up, down in zip(
            trace.y, trace.x, trace.error_x.array, trace.error_x.arrayminus, strict=True
        )
    }
    assert set(drawn) == set(rows)
    for key, (x, up, down) in drawn.items():
        row = rows[key]
        assert x == row["success"]
        assert x + up == pytest.approx(row["success_high"])
        assert x - down == pytest.approx(row["success_low"])
    assert f"at best {rows['best active', False]['success']:.0%}" in figure.layout.title.text


def test_lines_are_means_by_coverage_and_named_by_their_area(run):
    figure: Any = figures(run, ["causes"])[0]["substitution"]
    table = run.table("causes", "substitution")
    areas = {row["method"]: row["ausqc"] for row in substitutions(table).to_dicts()}
    named = {name: area for name, area in areas.items() if area is not None}
    assert [line.name for line in figure.data] == [
        f"{name} ({area:.2f})" for name, area in sorted(named.items(), key=lambda of: -of[1])
    ]
    for line in figure.data:
        curve = quality_curve(table.filter(method=line.name.rpartition(" (")[0]))
        assert np.array_equal(np.stack([line.x, line.y], 1), curve[-len(line.x) :])
