"""`saematch.intervene` on the shipped model: tables, controls, going on, and bad input."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from msgspec import UNSET
from typer.testing import CliRunner

import saematch
from saematch import Run, RunError, SaematchError
from saematch.causal import deactivations, foretelling, substitutions, together
from saematch.causal.deactivation import CEILING, RANDOM, Step
from saematch.causal.substitution import RANDOM as RANDOM_PARTNER
from saematch.cli import app
from saematch.layers.graph import KINDS, FlowGraph
from saematch.layers.layers import Layers
from saematch.workflows.intervene import steps_of
from saematch.workflows.trace import export_trace
from support.merged import same, told

pytest.importorskip("transformers")
NAMES = [f"saematch:resid_post_{layer}" for layer in (1, 2, 3)]
FEW = {
    "features": 12,
    "substituted": 5,
    "whole_tracks": 4,
    "windows": 2,
    "after": 4,
    "examples": 12,
    "fit_examples": 12,
    "length": 48,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("intervene")
    saematch.flow([*NAMES, "saematch:mlp_out_3"], out=folder / "run", method="cosine")
    other = saematch.flow([*NAMES, "saematch:mlp_out_3"], out=folder / "other", method="sae-match")
    return saematch.intervene(
        folder / "run", "saematch:model", "saematch:texts", against=[other], **FEW
    )


def test_steps_join_neighbours_and_modules_with_the_stream_after_them(made):
    assert steps_of(Layers.of(made)) == [
        Step(("resid_post_1",), "resid_post_2"),
        Step(("resid_post_2",), "resid_post_3"),
        Step(("mlp_out_3",), "resid_post_3"),
        Step(("resid_post_2", "mlp_out_3"), "resid_post_3"),
    ]


def test_every_method_is_tried_on_the_same_features_and_beside_its_control(made):
    table = made.table("causes", "deactivation")
    for _, some in table.group_by("a", "b"):
        features = {
            name: sorted(rows["feature"])
            for (name,), rows in some.filter(~pl.col("control")).group_by("method")
        }
        assert {"cosine", "sae-match", CEILING, RANDOM, "nearest by cosine"} <= set(features)
        assert len({tuple(found) for found in features.values()}) == 1
        controls = some.filter("control")["method"].unique()
        assert set(controls) == set(features) - {RANDOM}
    shares = {
        row["method"]: row["success"]
        for row in deactivations(table).filter(~pl.col("control")).to_dicts()
    }
    assert max(shares.values()) == shares[CEILING]
    joint = table.filter(pl.col("a").str.contains("+", literal=True))
    assert joint["foretold"].null_count() == len(joint)
    assert foretelling(table)["effect"].drop_nulls().max() > 0.5


def test_partners_are_beside_controls_and_tracks_beside_their_members(made):
    replaced = made.table("causes", "substitution")
    found = {row["method"]: row for row in substitutions(replaced).to_dicts()}
    assert found["cosine"]["equivalence"] > found[RANDOM_PARTNER]["equivalence"]
    assert replaced.filter(method="cosine")["p_value"].null_count() == 0
    assert replaced.filter(pl.col("correlation") > 0.5)["cosine"].mean() > 0.5
    assert set(replaced["a"]) == {"resid_post_1", "resid_post_2"}  # of the stream alone
    tracks = made.table("causes", "tracks")
    assert (tracks["length"] >= 3).all()
    assert (tracks["largest"] <= tracks["alone"] + 1e-9).all()
    assert len(together(tracks)) == 5
    edges = made.table("causes", "effects")
    assert {*edges.select("a", "b").unique().iter_rows()} == {
        (step.sources[0], step.target)
        for step in steps_of(Layers.of(made))
        if len(step.sources) == 1
    }


def test_the_same_call_again_does_nothing_and_another_is_refused(made):
    before = (made.path / "run.json").read_bytes()
    other = made.path.parent / "other"
    call = (made.path, "saematch:model", "saematch:texts")
    again = saematch.intervene(*call, against=[other], **FEW)
    assert (again.path / "run.json").read_bytes() == before
    with pytest.raises(RunError, match=r"features is 12 there, 13 here.*--overwrite"):
        saematch.intervene(*call, against=[other], **{**FEW, "features": 13})
    with pytest.raises(RunError, match="methods"):
        saematch.intervene(*call, **FEW)


def test_what_was_stopped_goes_on_and_comes_to_the_same(made, tmp_path):
    folder = tmp_path / "run"
    saematch.flow(NAMES[:2], out=folder, method="cosine")

    class Stop(Exception):  # noqa: N818
        pass

    def stopped(step):
        if step.stage == "trying substitution":
            raise Stop

    call = (folder, "saematch:model", "saematch:texts")
    with pytest.raises(Stop):
        saematch.intervene(*call, **FEW, progress=stopped)
    section = Run.open(folder).section("causes")
    assert section.done == ["deactivation resid_post_1 resid_post_2"]
    run = saematch.intervene(*call, **FEW)
    whole = made.table("causes", "substitution").filter(b="resid_post_2", method="cosine")
    mine = run.table("causes", "substitution").filter(method="cosine")
    columns = ["source", "target", "removed", "substituted"]
    for name in columns:
        assert mine[name].to_list() == pytest.approx(whole[name].to_list(), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"experiments": ["surgery"]}, "surgery.*deactivation"),
        ({"mode": "sideways"}, "sideways.*gaps"),
        ({"features": 0}, "1 at least"),
        ({"against": ["nowhere"]}, "nowhere"),
    ],
)
def test_bad_options_are_told(made, options, said):
    with pytest.raises(SaematchError, match=said):
        saematch.intervene(made.path, "saematch:model", "saematch:texts", **{**FEW, **options})


def test_runs_of_other_saes_and_without_neighbours_are_refused(made, tmp_path):
    other = saematch.flow(NAMES[1:], out=tmp_path / "other", method="cosine")
    with pytest.raises(RunError, match="other SAEs"):
        saematch.intervene(
            made.path, "saematch:model", "saematch:texts", against=[other], overwrite=True, **FEW
        )
    apart = tmp_path / "apart"
    saematch.match("saematch:mlp_out_2", "saematch:attn_out_3", out=apart, any_site=True)
    with pytest.raises(RunError, match="no neighbouring"):
        saematch.intervene(apart, "saematch:model", "saematch:texts", **FEW)


def test_partners_of_another_seed_are_exchanged_at_one_hook_point(tmp_path):
    seeds = ["saematch:resid_post_3", "saematch:resid_post_3_seed2"]
    saematch.match(*seeds, out=tmp_path / "run", method="cosine")
    few = {**FEW, "substituted": 20}
    run = saematch.intervene(tmp_path / "run", "saematch:model", "saematch:texts", **few)
    assert run.tables("causes") == ["substitution"]
    found = {r["method"]: r for r in substitutions(run.table("causes", "substitution")).to_dicts()}
    assert found["cosine"]["equivalence"] > 0 > found[RANDOM_PARTNER]["equivalence"]


def test_the_command_tells_what_was_found(made):
    other = made.path.parent / "other"
    given = [
        "intervene",
        str(made.path),
        *("--model", "saematch:model"),
        *("--text", "saematch:texts"),
        *("--against", str(other)),
    ]
    for name, value in FEW.items():
        given += [f"--{name.replace('_', '-')}", str(value)]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    for words in ("best active", "equivalence", "as the sum of its members", "at all these places"):
        assert words in result.output
    quiet = CliRunner().invoke(app, [*given, "-q"])
    assert Path(quiet.output.strip()) == made.path


def test_effects_are_edges_of_the_graph_beside_cosine(made, tmp_path):
    graph = FlowGraph.of_effects(made)
    plain = FlowGraph.of(made)
    edges, effects = graph.edges(), made.table("causes", "effects")
    row = effects.row(len(effects) // 2, named=True)
    (edge,) = edges.filter(
        source_site=row["a"], source=row["source"], target_site=row["b"], target=row["target"]
    ).to_dicts()
    assert edge["effect"] == row["effect"]
    known = graph.keep(kinds=[kind for kind in KINDS if kind != "effect"])
    # the decoder cosines of all of them are known with the effects
    order, more = ["source", "target"], ["effect", "cosine"]
    kept = known.table.drop(more).sort(order)
    assert kept.equals(plain.table.drop("cosine").sort(order))
    assert len(graph.table) > len(plain.table)
    found = saematch.trace(made, "resid_post_2", row["target"] % 10)
    place = tmp_path / "graph.json"
    around = export_trace(made, found, place, effects=True)
    weights = {link["weight"] for link in json.loads(place.read_text())["links"]}
    assert weights == set(around.table["effect"])
    with pytest.raises(RunError, match="no average effects"):
        export_trace(made.path.parent / "other", found, place, effects=True)


def test_interventions_in_shards_are_those_of_one_command(made, tmp_path):
    out = shutil.copytree(made.path, tmp_path / "run")
    run = Run.open(out)
    with run.writing():
        run.update(causes=UNSET)
    shutil.rmtree(out / "causes")
    other = made.path.parent / "other"
    given = "saematch:model", "saematch:texts"
    before = told(out)
    for k in (3, 1, 2):
        part = saematch.intervene(out, *given, against=[other], shard=f"{k}/3", **FEW)
        assert 2 <= len(part.section("causes").done) <= 4
    assert told(out) == before
    saematch.merge(out)
    same(made.path, out)
    # what is asked for must be alike in all
    more = {**FEW, "windows": 1}
    saematch.intervene(out, *given, against=[other], shard="2/3", overwrite=True, **more)
    with pytest.raises(RunError, match=r"intervene-2-of-3 was made otherwise .*windows is 2"):
        saematch.merge(out, overwrite=True)
