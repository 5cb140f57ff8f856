"""Figures of an evaluation: every number drawn is one of the table."""

import numpy as np
import polars as pl
import pytest

from saematch import Run, match
from saematch.evaluation import EvaluationOptions, evaluate_run
from saematch.evaluation.tables import main_carry
from saematch.plots import figures
from support.saes import make_sae, permuted
from support.small_model import CYCLE, SmallModel, at, examples


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    saes = [at(make_sae(), 0)]
    for layer in (1, 2):
        saes.append(at(permuted(saes[-1], CYCLE, noise=0.3, seed=layer), layer))
    made = Run.create(tmp_path_factory.mktemp("run"), "flow", {}, saes)
    for i, j in ((0, 1), (1, 2), (0, 2)):
        made.add_pair(made.names[i], made.names[j], match(saes[i], saes[j]))
    known = {sae.conventions.source: sae for sae in saes}
    texts = {"one": examples(6, seed=1), "other": examples(6, seed=2)}
    options = EvaluationOptions(quantiles=(0.25, 0.75), resamples=20)
    evaluate_run(made, SmallModel(), texts, None, options, load=known.__getitem__)
    return made


@pytest.fixture(scope="module")
def made(run):
    found, missing = figures(run, ["carried", "quantiles", "distance"])
    assert not missing
    return found


def main(run) -> pl.DataFrame:
    return main_carry(run.table("evaluation", "values")).filter("main")


def test_carried_draws_delta_loss_and_explained_variance_per_text_set(run, made):
    traces = [t for t in made["carried"].data if t.name == "SAE Match"]
    assert len(traces) == 4  # two text sets, two figures of merit
    for trace, (metric, texts) in zip(
        sorted(traces, key=lambda t: t.yaxis or "y"),
        [(m, t) for m in ("delta-loss", "explained variance") for t in ("one", "other")],
        strict=True,
    ):
        rows = main(run).filter(
            pl.col("skipped") == 1, estimate="match", links="assigned", texts=texts, metric=metric
        )
        assert list(trace.y) == rows["value"].to_list()
        spread = (rows["high"] - rows["value"]).to_list()
        assert list(trace.error_y.array) == pytest.approx(spread)
        assert list(trace.x) == ["0→<br>1", "1→<br>2"]


def test_saes_of_one_site_are_not_what_the_figures_are_of(run, monkeypatch):
    table = run.table("evaluation", "values")
    same = table.filter(a=run.names[0], b=run.names[1]).with_columns(
        skipped=pl.lit(0.0), b=pl.lit("wide")
    )
    monkeypatch.setattr(Run, "table", lambda self, section, name: pl.concat([same, table]))
    found, _ = figures(run, ["carried", "quantiles"])
    assert list(found["carried"].to_dict()["data"][0]["x"]) == ["0→<br>1", "1→<br>2"]
    assert "one block left out" in found["carried"].layout.title.text
    traces = found["quantiles"].to_dict()["data"]
    assert "wide" not in {t["name"].split("→")[1] for t in traces if t.get("name")}


def test_the_title_counts_where_the_estimate_loses(run, made):
    rows = main(run).filter(
        pl.col("skipped") == 1,
        estimate="match",
        links="assigned",
        metric="delta-loss less drop's",
    )
    worse = rows.filter(pl.col("low") > 0).height
    assert worse > 0
    assert (
        f"more than dropping the layer in {worse} of 4 cases" in made["carried"].layout.title.text
    )


def test_quantile_curves_end_in_the_whole_match(run, made):
    trace = next(t for t in made["quantiles"].data if t.mode == "lines+markers")
    assert list(trace.x) == [0.25, 0.75, 1]
    whole = main(run).filter(
        a=run.names[0],
        b=run.names[1],
        texts="one",
        estimate="match",
        links="assigned",
        metric="delta-loss",
    )
    assert trace.y[-1] == whole["value"][0]


def test_distance_takes_the_median_over_pairs(run, made):
    trace = next(t for t in made["distance"].data if t.name == "layers dropped")
    rows = main(run).filter(texts="one", estimate="drop", metric="delta-loss")
    near = rows.filter(skipped=1)["value"].to_numpy()
    assert list(trace.x) == [1, 2]
    assert trace.y[0] == pytest.approx(np.median(near))
    assert trace.error_y.array[0] == pytest.approx(near.max() - np.median(near))
    assert trace.y[1] == rows.filter(skipped=2)["value"][0]
    assert "over one block" in made["distance"].layout.title.text
