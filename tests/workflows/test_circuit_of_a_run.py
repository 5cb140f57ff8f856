"""`saematch.circuit` on the shipped model: what a run gets, and what is refused."""

import json
import logging
from dataclasses import replace

import polars as pl
import pytest
import torch

import saematch
from saematch import RunError, SaematchError
from saematch.circuits.effects import effects
from saematch.circuits.kept import circuits, read_circuit
from saematch.circuits.making import hooks_of_run, prompt_tokens
from saematch.models.opening import open_model
from saematch.workflows.circuit import slug_of

pytest.importorskip("transformers")
PROMPT = "import numpy as np"
SITES = [f"resid_post_{layer}" for layer in (2, 3, 4)]


@pytest.fixture(scope="module")
def model():
    return open_model("saematch:model")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    names = [f"saematch:{site}" for site in SITES]
    folder = tmp_path_factory.mktemp("runs") / "run"
    return saematch.flow(names, method="cosine", null="none", out=folder)


@pytest.fixture(scope="module")
def made(run, model):
    told = []
    saematch.circuit(run, model, PROMPT, progress=told.append)
    assert {"finding effects", "pruning"} <= {step.stage for step in told}
    return read_circuit(run)


def test_the_run_has_nodes_and_edges_of_the_prompt(run, made):
    figures = made.figures
    assert figures.slug == "import-numpy-as-np"
    assert figures.tokens == ["<|endoftext|>", "import", " numpy", " as", " np"]
    assert figures.sites == SITES
    assert figures.unread == [0]
    assert (figures.nodes, figures.edges) == (len(made.nodes), len(made.edges))
    assert figures.nodes < figures.nodes_before
    kinds = dict(made.nodes["kind"].value_counts().iter_rows())
    assert kinds["token"] == 4
    assert 1 <= kinds["logit"] <= 10
    assert made.nodes.filter(kind="token")["token"].to_list() == figures.tokens[1:]
    # everything kept is joined: sources before targets, and each feature has both
    ends = made.edges.select("source", "target")
    assert (ends["source"] < ends["target"]).all()
    features = made.nodes.filter(kind="feature")["node"]
    assert features.is_in(ends["source"].implode()).all()
    assert features.is_in(ends["target"].implode()).all()
    assert made.nodes.filter(kind="error")["node"].is_in(ends["source"].implode()).all()
    assert made.nodes["influence"].is_between(0, 1).all()
    assert made.edges["share"].is_between(0, 1).all()


def test_supernodes_are_tracks_of_the_run_at_one_token(run, made):
    tracks = run.tracks("chained").select("site", "feature", pl.col("track").cast(pl.Int64))
    features = made.nodes.filter(kind="feature")
    of = features.join(tracks, on=["site", "feature"], how="left", suffix="_known")
    assert of["track"].equals(of["track_known"])
    grouped = features.filter(pl.col("group").is_not_null())
    assert len(grouped) > 10
    for (_,), some in grouped.group_by(["group"]):
        assert some.select("track", "position").n_unique() == 1
        assert len(some) > 1
        assert some["group_name"].n_unique() == 1
        assert some["group_name"][0]
    assert made.figures.supernodes == grouped["group"].n_unique()


def test_the_figures_are_the_effects_of_the_models_own(run, made, model):
    """Nodes and edges again, from `effects`; an activation again, from the SAE."""
    ids = prompt_tokens(PROMPT, model)
    fixed = torch.arange(len(ids)) == 0
    hooks = hooks_of_run(run)
    saes = {name: saematch.load(f"saematch:{name}") for name in SITES}
    found = effects(model, ids, saes, hooks, read=~fixed, fixed=fixed)
    assert len(found.nodes) == made.figures.nodes_before
    key = ["kind", "site", "feature", "position"]
    nodes = made.nodes.filter(pl.col("kind") != "logit")
    again = nodes.join(found.nodes, on=key, suffix="_there", nulls_equal=True)
    assert len(again) == len(nodes)
    place = dict(again.select("node", "node_there").iter_rows())
    edges = made.edges.filter(pl.col("target").is_in(nodes["node"].implode()))
    source = [place[n] for n in edges["source"]]
    target = [place[n] for n in edges["target"]]
    effect = found.matrix[target, source]
    torch.testing.assert_close(effect.double(), edges["effect"].to_torch(), rtol=1e-4, atol=1e-5)
    share = (effect.abs() / found.matrix.abs().sum(1)[target]).double()
    torch.testing.assert_close(share, edges["share"].to_torch(), rtol=1e-4, atol=1e-6)
    row = made.nodes.filter(kind="feature", site="resid_post_3").row(0, named=True)
    hidden = model.run(ids[None], [hooks["resid_post_3"]])[hooks["resid_post_3"]]
    active = saes["resid_post_3"].encode(hidden[0, row["position"]])[row["feature"]]
    assert row["activation"] == pytest.approx(float(active), rel=1e-4)


def test_asked_again_it_is_there_and_others_stay(run, model, made, monkeypatch):
    def never(*_, **__):
        raise AssertionError("made again")

    with monkeypatch.context() as patch:
        patch.setattr("saematch.workflows.circuit.make_circuit", never)
        saematch.circuit(run.path, model, PROMPT)
    saematch.circuit(run, model, PROMPT, slug="fewer", nodes=0.4, attention="live", mode="flow")
    assert [one.slug for one in circuits(run)] == ["import-numpy-as-np", "fewer"]
    fewer = read_circuit(run, "fewer")
    assert fewer.figures.attention == "live"
    assert len(fewer.nodes) < len(made.nodes)
    assert read_circuit(run, made.name).nodes.equals(made.nodes)
    with pytest.raises(RunError, match=r"another circuit 'fewer': attention is live there, frozen"):
        saematch.circuit(run, model, PROMPT, slug="fewer", nodes=0.4, mode="flow")
    saematch.circuit(run, model, PROMPT, slug="fewer", nodes=0.4, mode="flow", overwrite=True)
    assert read_circuit(run, "fewer").figures.attention == "frozen"


def test_some_sites_of_a_run(run, model):
    saematch.circuit(run, model, PROMPT, slug="some", sites=("resid_post_4", "resid_post_2"))
    some = read_circuit(run, "some")
    assert some.figures.sites == ["resid_post_2", "resid_post_4"]
    sites = some.nodes["site"]
    # with nothing between, effects go straight from one to the other
    ends = some.edges.select(
        sites.gather(some.edges["source"]).alias("from"),
        sites.gather(some.edges["target"]).alias("to"),
    )
    assert ends.filter(pl.col("from") == "resid_post_2")["to"].eq_missing("resid_post_4").any()


def test_one_feature_over_several_layers_stays_one_word(run, made, model):
    # labels that somebody gave name nodes and supernodes, once the circuit is made anew
    (group, *_) = made.nodes["group"].drop_nulls()
    first = made.nodes.filter(group=group).row(0, named=True)
    folder = run.path.parent
    given = pl.DataFrame(
        {"site": [first["site"]], "feature": [first["feature"]], "label": ["snakes"]}
    )
    given.write_csv(folder / "labels.csv")
    saematch.label(run, folder / "labels.csv")
    saematch.circuit(run, model, PROMPT, overwrite=True)
    again = read_circuit(run, made.name).nodes
    assert again.filter(group=group)["group_name"].unique().to_list() == ["snakes"]
    assert again.row(first["node"], named=True)["label"] == "snakes"


def test_the_file_is_written_also_when_the_circuit_is_there(run, model, tmp_path):
    saematch.circuit(run, model, PROMPT, slug="exported", nodes=0.3)
    place = tmp_path / "graph.json"
    saematch.circuit(run, model, PROMPT, slug="exported", nodes=0.3, export=place)
    graph = json.loads(place.read_text())
    assert len(graph["nodes"]) == len(read_circuit(run, "exported").nodes)
    assert graph["metadata"]["prompt"] == PROMPT


def test_massive_tokens_are_error_alone(run, model, caplog):
    with caplog.at_level(logging.WARNING, "saematch"):
        saematch.circuit(run, model, PROMPT, slug="massive", massive=1.01)
    found = read_circuit(run, "massive")
    beyond = [t for t in found.figures.unread if t > 0]
    assert beyond
    assert "massive activations" in caplog.text
    assert found.nodes.filter(pl.col("position").is_in(beyond), kind="feature").is_empty()


def test_runs_without_tracks_have_no_supernodes(model, tmp_path, caplog):
    names = ("saematch:resid_post_2", "saematch:resid_post_3")
    run = saematch.match(*names, method="cosine", null="none", out=tmp_path / "matched")
    with caplog.at_level(logging.WARNING, "saematch"):
        saematch.circuit(tmp_path / "matched", model, PROMPT)
    assert "has no tracks" in caplog.text
    found = read_circuit(saematch.Run.open(tmp_path / "matched"))
    assert run is not None
    assert found.nodes["group"].null_count() == len(found.nodes)
    assert found.figures.supernodes == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attention": "warm"}, "attention is 'warm', one of frozen, live"),
        ({"mode": "all"}, "mode is 'all', one of chained, flow, gaps"),
        ({"nodes": 1.5}, r"nodes \(--nodes\) is 1.5"),
        ({"logits": 0}, "0 logits"),
        ({"massive": 0.5}, r"massive \(--massive\) is 0.5"),
        ({"sites": ("resid_post_9",)}, "has no SAE 'resid_post_9'"),
        ({"export": "graph.png"}, r"must end in \.json"),
    ],
)
def test_options_that_cannot_be_used_are_refused(run, model, options, said):
    with pytest.raises(SaematchError, match=said):
        saematch.circuit(run, model, PROMPT, slug="refused", **options)


def test_prompts_that_cannot_be_read_are_refused(run, model):
    with pytest.raises(SaematchError, match="has no tokens"):
        saematch.circuit(run, model, "", slug="empty")
    with pytest.raises(SaematchError, match=r"more tokens than .* has positions \(256\)"):
        saematch.circuit(run, model, "word " * 400, slug="long")


def test_two_saes_of_one_place_and_transcoders_are_refused(tmp_path, model):
    saes = [saematch.load(f"saematch:resid_post_3{end}") for end in ("", "_wide")]
    run = saematch.Run.create(tmp_path / "wide", "compare", {}, saes)
    run.finish()
    with pytest.raises(RunError, match=r"are both of blocks\.3\.hook_resid_post.*--sites"):
        saematch.circuit(run, model, PROMPT)
    saematch.circuit(run, model, PROMPT, sites=("resid_post_3",))
    assert read_circuit(run).figures.sites == ["resid_post_3"]
    assert saes[0].conventions.site is not None
    site = replace(saes[0].conventions.site, hook_out="blocks.3.hook_mlp_out")
    coder = replace(saes[0], conventions=replace(saes[0].conventions, site=site, source=""))
    run = saematch.Run.create(tmp_path / "coder", "compare", {}, [coder])
    run.finish()
    with pytest.raises(SaematchError, match="is a transcoder"):
        saematch.circuit(run, model, PROMPT, saes=coder)
    with pytest.raises(SaematchError, match="given in memory"):
        saematch.circuit(run, model, PROMPT)


def test_names_of_prompts():
    assert slug_of("The Eiffel Tower is in the city of") == "the-eiffel-tower-is-in-the-city-of"
    assert slug_of("«»") == "circuit"
    assert len(slug_of("many words " * 40)) <= 48
