"""`saematch.plan` and what commands say ahead: from a registry by hand, files, and nothing read."""

import logging

import pytest

import saematch
from saematch.checkpoints import tensors
from saematch.errors import SaematchError
from saematch.forecast import Machine
from saematch.workflows import ahead
from saematch.workflows import plan as planning
from support.registry import SUITE, hand_made_registry
from support.stand_in import write_shipped

MACHINE = Machine("stated", 1e11, 4e11, 5e8, 2, int(16e9), int(16e9), int(1e12), "by hand")


@pytest.fixture
def registry(tmp_path, monkeypatch):
    hand_made_registry(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def _stated(monkeypatch):
    for module in (ahead, planning):
        monkeypatch.setattr(module, "this_machine", lambda *given, **options: MACHINE)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return write_shipped(tmp_path_factory.mktemp("data")) / "saes"


def test_a_suite_by_name(registry):
    found = saematch.plan(SUITE)
    assert [chain.name for chain in found.chains] == [
        "layer_*_width_16k_l0_big",
        "layer_*_width_262k_l0_big",
    ]
    wide = found.chains[1]
    assert [sae.layer for sae in wide.saes] == list(range(62))
    assert wide.forecast.pairs == 61
    assert wide.weights == pytest.approx(699e9, rel=0.01)
    assert wide.alike == 1
    assert wide.forecast.operations == pytest.approx(61 * wide.pair.operations)
    every = saematch.plan(SUITE, pairs="all", width="262k", l0="small")
    assert [chain.name for chain in every.chains] == ["layer_*_width_262k_l0_small"]
    assert every.chains[0].forecast.pairs == 62 * 61 // 2
    assert every.chains[0].alike == 0


def test_shards_stay_within_the_hours(registry):
    chain = saematch.plan(SUITE, width="16k").chains[0]
    hours = 7.5 * chain.pair.seconds / 3600
    assert saematch.plan(SUITE, width="16k", hours=hours).chains[0].shards == 9  # of 7 pairs
    with pytest.raises(SaematchError, match="no number of shards helps"):
        saematch.plan(SUITE, width="16k", hours=hours / 10)


def test_other_machines_and_rates(registry):
    here = saematch.plan(SUITE, width="16k").chains[0].forecast
    there = saematch.plan(SUITE, width="16k", on="h100").chains[0].forecast
    assert there.seconds < here.seconds / 10
    assert saematch.plan(SUITE, width="16k", rate=1.0).machine.float32 == 1e12
    two = saematch.plan(SUITE, width="262k", workers=2).chains[0].forecast
    one = saematch.plan(SUITE, width="262k").chains[0].forecast
    assert two.memory == 2 * one.memory


def test_local_saes_without_reading_weights(shipped, monkeypatch):
    def read(*given):
        raise AssertionError("weights are read")

    monkeypatch.setattr(tensors.Tensors, "_value", read)
    found = saematch.plan(f"{shipped}/resid_post_{{0-5}}", "cosine")
    (chain,) = found.chains
    paths = [shipped / f"resid_post_{layer}" for layer in range(6)]
    assert saematch.plan(paths, "cosine").chains[0].saes == chain.saes
    assert [sae.layer for sae in chain.saes] == list(range(6))
    assert chain.forecast.pairs == 5
    assert chain.inferred == []


def test_widths_as_they_are_typed(registry):
    for width in ("262k", "262K", 262144, "262,144"):
        (chain,) = saematch.plan(SUITE, width=width).chains
        assert chain.saes[0].d_sae == 262144
    with pytest.raises(SaematchError, match="expected 16k, 262k, 1m or a number"):
        saematch.plan(SUITE, width="wide")


def test_missing_layers_are_told(registry, monkeypatch):
    assert saematch.plan(SUITE, width="16k").chains[0].remarks == ()
    (said,) = saematch.plan(f"{SUITE.removesuffix('-all')}", width="16k").chains[0].remarks
    assert "no SAE of layer 1 to 15, 17 to 60: " in said
    assert said.endswith(f"; {SUITE} has more layers")
    (said,) = saematch.plan("saematch:resid_post_{0,3,4}").chains[0].remarks
    assert said == "resid_post_0 and resid_post_3 are 3 layers apart, and neighbours here"


def test_mixed_saes_are_paired_as_a_flow_does(tmp_path):
    names = ["saematch:resid_post_{0-5}", "saematch:{mlp,attn}_out_{2,3}"]
    (chain,) = saematch.plan(names, "cosine").chains
    run = saematch.flow(names, "cosine", null="none", out=tmp_path / "run")
    assert chain.forecast.pairs == len(run.pairs)
    with pytest.raises(SaematchError, match="a flow takes one SAE for each place"):
        saematch.plan(["saematch:resid_post_3", "saematch:resid_post_3_seed2"])
    with pytest.raises(SaematchError, match="both of layer 3"):
        saematch.plan([f"google/gemma-scope-2b-pt-res/layer_3/width_{w}k/x" for w in (16, 65)])


def test_nothing_is_measured_for_what_cannot_be_planned(registry, monkeypatch):
    def measured(*given, **options):
        raise AssertionError("the machine is measured")

    monkeypatch.setattr(planning, "this_machine", measured)
    for wrong in ({"width": "65k"}, {"width": "x"}, {"pairs": "some"}):
        with pytest.raises(SaematchError):
            saematch.plan(SUITE, **wrong)


def test_what_cannot_be_planned(registry, shipped):
    with pytest.raises(SaematchError, match=r"width 65k .* 16k \(16,384\), 262k \(262,144\)"):
        saematch.plan(SUITE, width="65k")
    with pytest.raises(SaematchError, match="--width"):
        saematch.plan(str(shipped / "resid_post_0"), width="16k")
    with pytest.raises(SaematchError, match="one SAE alone"):
        saematch.plan(str(shipped / "resid_post_0"))
    with pytest.raises(SaematchError, match=r"nothing here tells .*--d-in"):
        saematch.plan("nobody/saes/layer_{0-1}/width_16k")
    assert saematch.plan("nobody/saes/layer_{0-1}/width_16k", d_in=64).chains[0].forecast.pairs == 1
    with pytest.raises(SaematchError, match="hours is 0"):
        saematch.plan(SUITE, hours=0)


def test_a_long_command_says_so_and_what_cannot_fit_is_refused(
    shipped, monkeypatch, tmp_path, caplog
):
    names = [str(shipped / f"resid_post_{layer}") for layer in range(3)]
    caplog.set_level(logging.INFO, "saematch")
    saematch.flow(names, "feature-flow", null="none", out=tmp_path / "quick")
    assert caplog.messages == []
    slow = Machine("slow", 1e3, 0.0, 5e8, 2, int(16e9), int(16e9), int(1e12), "by hand")
    monkeypatch.setattr(ahead, "this_machine", lambda *given, **options: slow)
    saematch.flow(names, "feature-flow", null="none", out=tmp_path / "slow")
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("2 pairs of ")
    # nothing is left to do
    saematch.flow(names, "feature-flow", null="none", out=tmp_path / "slow")
    assert len(caplog.messages) == 1
    small = Machine("small", 1e11, 0.0, 5e8, 2, int(1e4), int(16e9), int(1e12), "by hand")
    monkeypatch.setattr(ahead, "this_machine", lambda *given, **options: small)
    for command in (saematch.flow, saematch.compare):
        with pytest.raises(SaematchError, match=r"of memory are needed, and 1 MB are free"):
            command(names, out=tmp_path / "none")
    with pytest.raises(SaematchError, match="of memory are needed"):
        saematch.match(names[0], names[1], out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
