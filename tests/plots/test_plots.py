"""Figures: they draw what the tables hold, say what is missing, and are saved whole."""

import sys
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import saematch
from saematch import RunError, SaematchError
from saematch.cli import app
from saematch.layers.analysis import analyse
from saematch.plots import FIGURES, figures, save
from saematch.plots.style import log_ticks, shades, short
from saematch.runs.run import Run
from support.stand_in import write_shipped


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    folder = write_shipped(tmp_path_factory.mktemp("data"), d_in=32) / "saes"
    return [saematch.load(folder / f"resid_post_{layer}") for layer in range(1, 5)]


@pytest.fixture(scope="module")
def run(tmp_path_factory, saes):
    made = Run.create(tmp_path_factory.mktemp("run"), "flow", {}, saes)
    for i, j in combinations(range(4), 2):
        made.add_pair(made.names[i], made.names[j], saematch.match(saes[i], saes[j]))
    analyse(made)
    return made


@pytest.fixture(scope="module")
def made(run):
    found, missing = figures(run)
    # it is neither evaluated nor judged, and no model was steered
    later = {"carried", "quantiles", "distance", "judging", "coverage", "causes", "steering"}
    assert set(missing) == later
    assert "`saematch evaluate` does it" in missing["carried"]
    assert "`saematch judge` does it" in missing["judging"]
    return found


def test_every_figure_is_made_of_a_flow(made):
    modes = ("chained", "flow", "gaps")
    names = {f"{kind}_{mode}" for kind in ("survivors", "lifespans") for mode in modes}
    assert set(made) == names | {"p_values", "quality", "composition"}
    for figure in made.values():
        assert figure.layout.title.text
        axes = [a for a in figure.select_yaxes() if a.title.text]
        assert axes


def test_p_values_are_those_of_the_pairs(run, made):
    traces = made["p_values"].data
    assert len(traces) == 6  # two for each of three pairs of neighbours
    shares = []
    for place, pair in enumerate(zip(run.names, run.names[1:], strict=False)):
        p = run.candidates(*pair).filter(rank=1)["p_value"]
        found, chance = traces[2 * place : 2 * place + 2]
        assert sum(found.y) == len(p)
        assert found.y[0] == (p <= 0.05).sum()
        assert list(chance.y) == [len(p) / 20] * 2
        shares.append((p <= 0.05).mean())
    title = made["p_values"].layout.title.text
    assert f"{min(shares):.0%}" in title
    assert "chance alone gives 5%" in title


def test_quality_is_the_summaries(run, made):
    bars, *lines = made["quality"].data
    summaries = [run.summaries[pair] for pair in zip(run.names, run.names[1:], strict=False)]
    assert list(bars.y) == [s["matched"] / 48 for s in summaries]
    assert list(bars.x) == ["1→2", "2→3", "3→4"]
    assert list(lines[0].y) == [s["median_decoder_mse_folded"] for s in summaries]
    assert list(lines[1].y) == [s["identity_decoder_mse_folded"] for s in summaries]


def area(trace) -> float:
    """Of the closed outlines of a trace."""
    x, y = np.array(trace.x, dtype=float), np.array(trace.y, dtype=float)
    breaks = np.flatnonzero(np.isnan(x))
    total, start = 0.0, 0
    for end in breaks:
        a, b = x[start:end], y[start:end]
        total += abs(np.sum(a[:-1] * b[1:] - a[1:] * b[:-1])) / 2
        start = end + 1
    return total


def test_survivors_add_up(run, made):
    table = run.table("flow", "lifespans").filter(mode="chained")
    columns = [t for t in made["survivors_chained"].data if t.showlegend and t.name != "end here"]
    for trace, start in zip(columns, run.names, strict=True):
        alive = table.filter(start=start)["alive"].sum()
        assert area(trace) == pytest.approx(0.1 * alive)  # columns are 0.1 wide
    turnover = run.table("flow", "turnover").filter(mode="chained")
    title = made["survivors_chained"].layout.title.text
    assert f"{turnover['births'].sum():,} features are born" in title
    assert f"{turnover['deaths'].sum():,} end before" in title
    texts = made["survivors_chained"].layout.xaxis.ticktext
    assert texts[1] == f"2<br>{turnover['births'][1]:,} born<br>{turnover['deaths'][1]:,} end"


def test_columns_of_tracks_are_not_called_features(made):
    for mode, why in (("flow", "once for each track"), ("gaps", "layers they skip")):
        layout = made[f"survivors_{mode}"].layout
        assert "tracks start after the first layer" in layout.title.text
        assert why in layout.title.text
        assert layout.yaxis.title.text == "tracks"
        assert "born" not in "".join(layout.xaxis.ticktext)


def test_lifespans_tell_the_share_of_tracks_in_one_layer(run, made):
    spans = run.table("flow", "spans").filter(pl.col("start") != run.names[-1], mode="chained")
    share = (spans["length"] == 1).mean()
    assert f"{share:.0%} of tracks are in one layer" in made["lifespans_chained"].layout.title.text


def test_lifespans_are_the_shares(run, made):
    table = run.table("flow", "lifespans").filter(mode="gaps", start="resid_post_2")
    lines = {t.legendgroup: t for t in made["lifespans_gaps"].data if t.showlegend is not False}
    assert list(lines["resid_post_2"].y) == table["share"].to_list()
    assert list(lines["resid_post_2"].x) == ["2", "3", "4"]


def test_composition_is_the_agreement(run, made):
    table = run.table("flow", "composition").filter(links="matched")
    heat = made["composition"].data[0]
    cells = {(a, b): heat.z[i][j] for i, a in enumerate(heat.y) for j, b in enumerate(heat.x)}
    for row in table.filter(pl.col("a").is_not_null(), pl.col("both") > 0).iter_rows(named=True):
        assert cells[row["a"][-1], row["b"][-1]] == row["agreement"]
    assert sum(value is not None for value in cells.values()) <= 3


def test_one_distance_is_told_once(tmp_path, saes):
    run = Run.create(tmp_path, "flow", {}, saes[:3])
    for i, j in combinations(range(3), 2):
        run.add_pair(run.names[i], run.names[j], saematch.match(saes[i], saes[j]))
    analyse(run)
    figure: Any = figures(run, ["composition"])[0]["composition"]
    assert figure.layout.title.text.count("2 layers") == 1
    _, *bars = figure.data
    pooled = run.table("flow", "composition").filter(pl.col("a").is_null())
    row = pooled.filter(links="matched").row(0, named=True)
    assert [bar.type for bar in bars] == ["bar"] * 3
    assert [*bars[0].y, *bars[1].y] == [row["agreement"], row["kept"]]


def test_quality_is_of_features_in_use_and_claims_no_test_without_a_null(tmp_path, saes):
    W_dec = saes[0].W_dec.clone()
    W_dec[:8] = 0
    dead = replace(saes[0], W_dec=W_dec)
    run = Run.create(tmp_path, "match", {}, [dead, saes[1]])
    a, b = run.names
    run.add_pair(a, b, saematch.match(dead, saes[1], null="none"))
    figure: Any = figures(run, ["quality"])[0]["quality"]
    summary = run.summaries[a, b]
    assert summary["excluded_a"] == 8
    assert figure.data[0].y[0] == summary["matched"] / 40
    assert "chance" not in str(figure.to_json())


def test_what_is_missing_is_left_out_and_said(tmp_path, saes):
    run = Run.create(tmp_path, "match", {}, saes[:2])
    assert set(figures(run)[1]) == {*FIGURES}
    run.add_pair("resid_post_1", "resid_post_2", saematch.match(saes[0], saes[1], null="none"))
    found, missing = figures(run)
    assert set(found) == {"quality"}
    assert "--null none" in missing["p_values"]
    assert "`saematch flow` makes it" in missing["lifespans"]
    with pytest.raises(RunError, match="no figure is called 'score'; there are p_values, quality"):
        figures(run, ["score"])


def test_html_needs_nothing_else(made, tmp_path):
    text = save(made["quality"], tmp_path / "q.html").read_text(encoding="utf-8")
    assert len(text) > 3_000_000  # with all of plotly
    assert "cdn.plot.ly" not in text.split("<body>")[0]
    with pytest.raises(SaematchError, match=r"\.html or \.png"):
        save(made["quality"], tmp_path / "q.pdf")
    assert [p.name for p in tmp_path.iterdir()] == ["q.html"]


def test_png_is_drawn_at_twice_its_size_or_refused(made, tmp_path, monkeypatch):
    figure = made["quality"]
    asked = {}
    monkeypatch.setattr(type(figure), "to_image", lambda f, **k: asked.update(k) or b"\x89PNG")
    assert save(figure, tmp_path / "q.png").read_bytes() == b"\x89PNG"
    assert asked == {"format": "png", "scale": 2}

    def refuse(*_, **__):
        raise RuntimeError("\nKaleido requires Google Chrome.\nmore")

    monkeypatch.setattr(type(figure), "to_image", refuse)
    with pytest.raises(SaematchError, match=r"kaleido plotly.*requires Google Chrome.$"):
        save(figure, tmp_path / "p.png")
    assert not (tmp_path / "p.png").exists()


def test_without_plotly_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(SaematchError, match="pip install kaleido plotly"):
        figures(run)


def test_the_command(run, tmp_path):
    asked = ["plot", str(run.path), "-o", str(tmp_path), "--only", "quality"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0
    assert done.output.strip() == str(tmp_path / "quality.html")
    assert [p.name for p in tmp_path.iterdir()] == ["quality.html"]


def test_short_names():
    assert short(["resid_post_3", "resid_post_12"]) == ["3", "12"]
    assert short(["resid_post_3", "resid_post_3_wide"]) == ["3", "3_wide"]
    assert short(["resid_pre_0", "resid_post_0"]) == ["pre_0", "post_0"]
    assert short(["a", "b"]) == ["a", "b"]
    assert short(["resid_post_3"]) == ["resid_post_3"]


def test_ticks_of_a_log_axis_hold_all_values():
    assert log_ticks([0.003, None, 0.04]) == pytest.approx([0.002, 0.005, 0.01, 0.02, 0.05])
    assert log_ticks([1.0]) == [1.0]
    assert log_ticks([7, 900]) == [5, 10, 20, 50, 100, 200, 500, 1000]
    assert log_ticks([None, 0.0]) == []


def test_shades_are_told_apart():
    assert len(set(shades(26))) == 26
