"""From what is asked to what is done: tracks, flows, schedules, units, and what is refused."""

import math
from dataclasses import replace

import polars as pl
import pytest
import torch

import saematch
from saematch import RunError, SaematchError, Site
from saematch.layers import Layers
from saematch.steering.features import flow_of, named, track_of
from saematch.steering.schedules import by_layer
from support.by_hand import layers as by_hand
from support.by_hand import pair
from support.saes import make_sae
from support.steered_world import FEATURES, after, saes, write_run


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    given = saes()
    return given, write_run(tmp_path_factory.mktemp("world") / "run", given)


@pytest.fixture(scope="module")
def model():
    return saematch.models.open_model("saematch:model")


@pytest.fixture
def steer(world, model):
    def steered(*arguments, **options):
        return saematch.steer(model, world[1], *arguments, saes=world[0], **options)

    return steered


def whole_track(run):
    """A feature of the first layer whose track goes through all three as planted."""
    tracks = run.table("flow", "tracks").filter(mode="chained")
    for track in tracks.partition_by("track"):
        features = track["feature"].to_list()
        if len(features) == 3:
            assert features == [features[0], after(features[0]), after(features[0], 2)]
            return features
    raise AssertionError("no whole track")


def test_schedules_by_layer():
    assert by_layer("constant", [10, 11, 16]) == [1, 1, 1]
    assert by_layer("linear", [10, 11, 13]) == [1, 0.75, 0.25]
    assert by_layer("exponential", [13, 10]) == pytest.approx([math.exp(-0.15), 1])
    assert by_layer("exponential", [0, 2], alpha=0.5) == pytest.approx([1, math.e])


def test_a_feature_alone_is_added_in_units_of_its_largest_activation(steer, world):
    site = world[1].names[1]
    (one,) = steer(f"{site}/20", 0.5).changes
    assert (one.site, one.feature, one.layer, one.how) == (site, 20, 2, "add")
    assert one.hook == "blocks.2.hook_resid_post"
    assert one.amount == pytest.approx(0.5 * 4.2)
    amounts = {
        unit: steer((site, 20), 0.5, unit=unit).changes[0].amount
        for unit in ("max", "mean", "norm", "raw")
    }
    assert amounts == pytest.approx({"max": 2.1, "mean": 0.6, "norm": 0.5, "raw": 0.5})
    assert steer("2_20").changes[0].amount == pytest.approx(4.2)


def test_along_its_track_and_at_a_layer_of_it(steer, world):
    run = world[1]
    first, second, third = whole_track(run)
    found = steer(f"2_{second}", 1.0, along="track").changes
    assert [(c.layer, c.feature) for c in found] == [(1, first), (2, second), (3, third)]
    assert [c.amount for c in found] == pytest.approx([4 + k / 100 for k in (first, second, third)])
    (one,) = steer(f"2_{second}", layer=3).changes
    assert (one.layer, one.feature) == (3, third)
    with pytest.raises(RunError, match="no feature at layer 5; it is at layers 1, 2, 3"):
        steer(f"2_{second}", layer=5)


def test_schedules_of_a_track(steer, world):
    given, run = world
    numbers = whole_track(run)
    first, second, _ = numbers
    top = [4 + k / 100 for k in numbers]

    def amounts(schedule, root=f"2_{second}", **more):
        return [c.amount for c in steer(root, 2.0, schedule, along="track", **more).changes]

    assert amounts("linear") == pytest.approx([2 * top[0], 2 * top[1] * 2 / 3, 2 * top[2] / 3])
    assert amounts("exponential") == pytest.approx(
        [2 * one * math.exp(-0.05 * k) for k, one in enumerate(top)]
    )
    # by feature: the strength of the one that is named, spread in proportion
    theta = [float(sae.threshold[k]) for sae, k in zip(given, numbers, strict=True)]
    spread = [2 * top[1] * one / theta[1] for one in theta]
    assert amounts("threshold") == pytest.approx(spread)
    # as a coefficient c of folded features is worth c times the threshold of each
    raw = amounts("threshold", unit="raw")
    assert [a / t for a, t in zip(raw, theta, strict=True)] == pytest.approx([2 / theta[1]] * 3)
    mean = [1 + k / 100 for k in numbers]
    assert amounts("activation", root=f"1_{first}") == pytest.approx(
        [2 * top[0] * one / mean[0] for one in mean]
    )
    scaled = steer(f"2_{second}", 3.0, "linear", how="scale", along="track").changes
    assert [c.amount for c in scaled] == pytest.approx([3, 1 + 2 * 2 / 3, 1 + 2 / 3])


def test_several_features_are_each_there_once(steer, world):
    first, second, _ = whole_track(world[1])
    both = steer([f"1_{first}", f"2_{second}"], along="track").changes
    assert len(both) == 3
    assert len(steer([f"1_{first}", f"2_{second}"]).changes) == 2


def test_removing_takes_no_strength(steer):
    (one,) = steer("2_20", how="remove").changes
    assert (one.how, one.amount) == ("remove", 0.0)
    assert not one.does_nothing


def test_by_output_score_the_best_of_the_track(steer, world, model):
    given, run = world
    first, second, third = whole_track(run)
    track = list(zip(run.names, (first, second, third), strict=True))
    scores = saematch.steering.output_scores(model, dict(zip(run.names, given, strict=True)), track)
    best = max(scores, key=lambda one: one.score)
    (one,) = steer(f"2_{second}", layer="output-score").changes
    assert (one.site, one.feature) == (best.site, best.feature)
    assert len({round(score.score, 6) for score in scores}) == 3


def test_the_flow_of_a_feature_by_hand():
    # 0, 1 -> 1 -> 2; 2 -> 0, apart; 3 has no significant target
    found = by_hand(
        {"a": 4, "b": 3, "c": 3},
        {
            ("a", "b"): pair(4, 3, {0: (1, 1e-9), 1: (1, 1e-8), 2: (0, 1e-9), 3: (1, 0.9)}),
            ("b", "c"): pair(3, 3, {0: (0, 1e-9), 1: (2, 1e-9)}),
        },
    )
    whole = [("a", 0), ("a", 1), ("b", 1), ("c", 2)]
    assert flow_of(found, ("b", 1)) == whole
    assert flow_of(found, ("c", 2)) == whole
    assert flow_of(found, ("a", 0)) == [("a", 0), ("b", 1), ("c", 2)]
    with pytest.raises(RunError, match="in no flow"):
        flow_of(found, ("a", 3))


def test_a_flow_takes_in_what_mlp_and_attention_write():
    found = by_hand(
        {"a": 2, "m": 2, "b": 2},
        {
            ("a", "b"): pair(2, 2, {0: (1, 1e-9), 1: (0, 0.9)}),
            ("m", "b"): pair(2, 2, {0: (1, 1e-9), 1: (0, 1e-9)}),
        },
        {"m": Site("m", "mlp_out", 1)},
    )
    assert flow_of(found, ("b", 1)) == [("a", 0), ("m", 0), ("b", 1)]


def test_the_flow_is_all_tracks_of_mode_flow_through_the_feature(world):
    run = world[1]
    layers = Layers.of(run)
    tracks = run.table("flow", "tracks").filter(mode="flow")
    for site, feature in [(run.names[1], k) for k in range(0, FEATURES, 9)]:
        its = tracks.filter(site=site, feature=feature)["track"]
        through = tracks.filter(pl.col("track").is_in(its.implode()))
        expected = {(str(s), f) for s, f in through.select("site", "feature").rows()}
        try:
            assert {*flow_of(layers, (site, feature))} == expected
        except RunError:
            assert expected == {(site, feature)}


def test_features_by_name():
    found = by_hand({"r_1": 4, "r_2": 4}, {})
    assert named(found, "r_1/3") == [("r_1", 3)]
    assert named(found, ("r_2", 0)) == [("r_2", 0)]
    assert named(found, ["r_1#3", ("r_2", 0), "r_1/3"]) == [("r_1", 3), ("r_2", 0)]
    with pytest.raises(RunError, match="no feature 9"):
        named(found, "r_1/9")
    with pytest.raises(SaematchError, match="no feature is named"):
        named(found, [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"schedule": "steep"}, "schedule is 'steep'; it is one of constant"),
        ({"how": "double"}, "how is 'double'"),
        ({"along": "road"}, "along is 'road'"),
        ({"unit": "volts"}, "unit is 'volts'"),
        ({"strength": math.nan}, "expected a finite number"),
        ({"strength": 2.0, "how": "remove"}, "removed whole"),
        ({"how": "scale"}, "scale by how much"),
        ({"how": "scale", "strength": 2.0, "unit": "max"}, "only what is added"),
        ({"how": "scale", "strength": 2.0, "schedule": "threshold"}, "to scale takes constant"),
        ({"how": "remove", "schedule": "linear"}, "to remove takes constant"),
        ({"along": "track", "layer": 2}, "along the track all layers are steered"),
        ({"layer": "last"}, "give a number, or output-score"),
        ({"along": "track", "mode": "winding"}, "mode is 'winding'"),
    ],
)
def test_values_that_cannot_be(steer, options, said):
    with pytest.raises(SaematchError, match=said):
        steer("2_20", **options)


def test_features_that_cannot_be(steer, world):
    run = world[1]
    with pytest.raises(RunError, match="no SAE"):
        steer("resid_post_9/1")
    with pytest.raises(RunError, match="has no feature 96"):
        steer("2_96")
    tracks = run.table("flow", "tracks").filter(mode="chained")
    lengths = tracks.group_by("track").len().filter(len=1)
    site, feature = tracks.join(lengths, on="track").select("site", "feature").row(0)
    with pytest.raises(RunError, match="alone in its track"):
        steer((site, feature), along="track")


def test_a_feature_outside_of_the_chain_is_in_no_track(tmp_path):
    stream = [make_sae(layer=1), make_sae(layer=2, seed=1)]
    given = [*stream, make_sae(layer=2, kind="mlp_out", seed=2)]
    run = saematch.flow(given, out=tmp_path / "run", method="cosine")
    with pytest.raises(RunError, match="is in no track: tracks run along"):
        track_of(run, ("mlp_out_2", 3))
    saematch.match(*stream, "cosine", out=tmp_path / "bare")
    with pytest.raises(RunError, match="no flow table 'tracks'"):
        track_of(saematch.Run.open(tmp_path / "bare"), ("resid_post_1", 3))


def test_activations_that_are_not_known(tmp_path, model):
    given = [replace(sae, conventions=replace(sae.conventions, source="")) for sae in saes()]
    run = saematch.flow(given, out=tmp_path / "run", method="cosine")
    with pytest.raises(RunError, match=r"max activation of resid_post_2 #20 is not known.*--unit"):
        saematch.steer(model, run, "2_20", saes=given)
    assert saematch.steer(model, run, "2_20", 0.1, unit="norm", saes=given).changes
    first = whole_track(run)[0]
    with pytest.raises(RunError, match=r"mean activation.*--schedule constant"):
        saematch.steer(
            model, run, f"1_{first}", 1.0, "activation", along="track", unit="raw", saes=given
        )
    with pytest.raises(RunError, match="given in memory"):
        saematch.steer(model, run, "2_20", unit="raw")


def test_saes_without_a_threshold_of_each_feature(tmp_path, model):
    given = [
        replace(sae, threshold=None, conventions=replace(sae.conventions, activation="relu"))
        for sae in saes()
    ]
    run = write_run(tmp_path / "run", given)
    first = whole_track(run)[0]
    with pytest.raises(RunError, match=r"no threshold of each feature.*--schedule activation"):
        saematch.steer(model, run, f"1_{first}", 1.0, "threshold", along="track", saes=given)
    found = saematch.steer(model, run, f"1_{first}", 1.0, "activation", along="track", saes=given)
    assert len(found.changes) == 3


def test_transcoders_and_saes_of_other_models(tmp_path, model):
    narrow = saes(64)
    run = saematch.flow(narrow, out=tmp_path / "narrow", method="cosine")
    with pytest.raises(SaematchError, match="an SAE of another model"):
        saematch.steer(model, run, "2_20", unit="raw", saes=narrow)
    given = saes()[:2]
    across = []
    for layer, sae in enumerate(given, start=1):
        site = Site(
            f"blocks.{layer}.ln2.hook_normalized", "mlp_in", layer, f"blocks.{layer}.hook_mlp_out"
        )
        across.append(replace(sae, conventions=replace(sae.conventions, site=site)))
    run = saematch.flow(across, out=tmp_path / "across", method="cosine")
    with pytest.raises(SaematchError, match="is a transcoder"):
        saematch.steer(model, run, (run.names[0], 3), unit="raw", saes=across)


def test_a_model_of_transformers_is_taken_as_it_is(world, model):
    given, run = world
    plain = model.model
    with saematch.steer(plain, run, "2_20", 3.0, saes=given) as steering:
        assert steering.model.model is plain
        ids = torch.tensor([[1, 5, 9, 4]])
        steered = plain(ids).logits
    assert not torch.equal(steered, plain(ids).logits)
    with pytest.raises(SaematchError, match="has no config"):
        saematch.steer(torch.nn.Linear(2, 2), run, "2_20", saes=given)
    first = whole_track(run)[0]
    with pytest.raises(SaematchError, match="tokenizer"):
        saematch.steer(plain, run, f"1_{first}", layer="output-score", saes=given)


def test_what_is_steered_as_a_table(steer):
    frame = steer("2_20", 0.5).to_polars()
    assert frame.columns == ["site", "feature", "layer", "how", "unit", "weight", "amount"]
    assert frame["amount"][0] == pytest.approx(2.1)
    assert "add resid_post_2 #20" in repr(steer("2_20"))


def test_a_number_and_a_model_in_the_wrong_place_are_told(tmp_path):
    run = write_run(tmp_path, saes())
    with pytest.raises(SaematchError, match="features is 1503; it is a feature"):
        named(Layers.of(run), 1503)  # pyright: ignore[reportArgumentType]
    with pytest.raises(RunError, match="run is a float"):
        saematch.steer("saematch:model", 0.5, "3_1503")  # pyright: ignore[reportArgumentType]
