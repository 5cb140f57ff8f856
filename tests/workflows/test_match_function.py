"""`saematch.match`: SAEs however they are given, and the run that it writes on the way."""

import dataclasses

import pytest
import torch
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import saematch
from saematch.cli import app
from saematch.errors import MatchError, RunError, SaematchError
from saematch.progress import Step
from support.saes import make_sae, permuted
from support.stand_in import write_shipped


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    return write_shipped(tmp_path_factory.mktemp("data")) / "saes"


@pytest.fixture
def names(saes):
    return str(saes / "resid_post_1"), str(saes / "resid_post_2")


def test_names_and_saes_give_the_same(names):
    a, b = map(saematch.load, names)
    by_name = saematch.match(*names, fold="none")
    assert_frame_equal(by_name.to_polars(), saematch.match(a, b, fold="none").to_polars())
    assert_frame_equal(by_name.to_polars(), saematch.match(a, names[1], fold="none").to_polars())
    options = saematch.MatchOptions(fold="none")
    assert_frame_equal(by_name.to_polars(), saematch.match(*names, options).to_polars())


def test_with_out_it_writes_the_run_of_the_command(names, tmp_path):
    found = saematch.match(*names, "cosine", fdr=0.05, out=tmp_path / "ours")
    given = ["--method", "cosine", "--fdr", "0.05", "-o", str(tmp_path / "theirs"), "-q"]
    assert CliRunner().invoke(app, ["match", *names, *given]).exit_code == 0
    ours, theirs = (saematch.Run.open(tmp_path / name) for name in ("ours", "theirs"))
    assert ours.finished
    assert ours.pairs == theirs.pairs == [("resid_post_1", "resid_post_2")]
    assert ours.record.options == theirs.record.options
    assert ours.record.command == theirs.record.command == "match"
    for table in ("pair", "candidates", "sources", "null"):
        assert_frame_equal(getattr(ours, table)(*ours.names), getattr(theirs, table)(*ours.names))
    assert_frame_equal(found.to_polars(), ours.pair(*ours.names))
    # once more: the same matching, and nothing is written
    before = (tmp_path / "ours" / "run.json").read_bytes()
    again = saematch.match(*names, "cosine", fdr=0.05, out=tmp_path / "ours")
    assert_frame_equal(again.to_polars(), found.to_polars())
    assert (tmp_path / "ours" / "run.json").read_bytes() == before
    with pytest.raises(RunError, match=r"fdr is 0\.05 there, 0\.01 here"):
        saematch.match(*names, "cosine", out=tmp_path / "ours")


def test_progress_is_told_as_steps(names, tmp_path):
    told: list[Step] = []
    saematch.match(*names, out=tmp_path / "run", progress=told.append)
    assert [str(step) for step in told if step.stage == "matching"] == [
        "matching 0 of 1: resid_post_1 → resid_post_2",
        "matching 1 of 1",
    ]
    assert [(step.done, step.total) for step in told if step.stage == "reading"] == [
        (0, 2),
        (1, 2),
        (2, 2),
    ]


def test_activations_in_memory_are_told_apart_in_a_run(tmp_path):
    import numpy as np
    import scipy.sparse as sp

    from saematch.activations import FeatureActivations

    a = make_sae(d_in=16, d_sae=48)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(0))
    b = permuted(a, order)
    rng = np.random.default_rng(0)
    values = (rng.random((400, 48)) * (rng.random((400, 48)) < 0.3)).astype(np.float32)
    example = np.arange(400, dtype=np.int32) // 20
    first = FeatureActivations(sp.csr_array(values), example)
    second = FeatureActivations(sp.csr_array(values[:, order.argsort().numpy()]), example)
    found = saematch.match(a, b, activations=(first, second), out=tmp_path / "run")
    assert found.method.name == "fused"
    known = saematch.Run.open(tmp_path / "run").record.options["activations"]
    assert known["tokens"] == 400
    other = FeatureActivations(sp.csr_array(values[::-1].copy()), example)
    with pytest.raises(RunError, match="activations: digest is"):
        saematch.match(a, b, activations=(first, other), out=tmp_path / "run")
    with pytest.raises(MatchError, match="tokens goes with a store"):
        saematch.match(a, b, activations=(first, second), tokens=5)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        (("./nowhere", "./nowhere"), {}, SaematchError, r"\./nowhere: no such file"),
        (("a_{1-2}", "b"), {}, SaematchError, "takes one SAE on either side, not a pattern"),
        ((3, 4), {}, SaematchError, "an SAE is given as int"),
        ((make_sae(), make_sae(), "best"), {}, MatchError, "no method is called 'best'"),
        ((make_sae(), make_sae()), {"top_k": 3}, MatchError, "has no option 'top_k'"),
        (
            (make_sae(), make_sae(), saematch.MatchOptions()),
            {"top_k": 3},
            MatchError,
            "options top_k go with a method's name",
        ),
        ((make_sae(), make_sae()), {"device": "tpu9"}, SaematchError, "no device 'tpu9'"),
    ],
)
def test_errors_are_one_line(arguments, options, error, said):
    with pytest.raises(error, match=said) as raised:
        saematch.match(*arguments, **options)
    assert "\n" not in str(raised.value)


def test_options_have_the_choices_of_what_they_set():
    from typing import get_args

    from saematch.matching.methods import Kind
    from saematch.matching.nulls import Null
    from saematch.matching.significance import Test
    from saematch.models.texts import Long
    from saematch.sae.folding import FOLDS
    from saematch.workflows import options
    from saematch.workflows.models import DTYPES

    assert get_args(options.FoldChoice) == ("auto", *FOLDS)
    assert get_args(options.KindChoice) == get_args(Kind)
    assert get_args(options.NullChoice) == get_args(Null)
    assert get_args(options.TestChoice) == get_args(Test)
    assert get_args(options.LongChoice) == get_args(Long)
    assert get_args(options.DtypeChoice) == tuple(DTYPES)


def test_every_option_of_a_method_can_be_given():
    import inspect

    fields = {field.name for field in dataclasses.fields(saematch.MatchOptions)}
    for name, method in saematch.METHODS.items():
        assert set(inspect.signature(method).parameters) <= fields, name
    given = saematch.MatchOptions(top_k=3, kind="many-to-one", bias=False)
    assert given.own == {"top_k": 3, "kind": "many-to-one", "bias": False}
