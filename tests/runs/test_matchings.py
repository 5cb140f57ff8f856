"""What a run gives back as a matching is the matching that was written to it."""

import dataclasses

import pytest
import torch
from polars.testing import assert_frame_equal

import saematch
from saematch import METHODS, RunError
from saematch.matching.methods import Method, resolve
from saematch.runs.run import Run
from saematch.workflows.matcher import Matcher
from support.saes import make_sae, permuted


@pytest.fixture
def pair():
    a = make_sae(seed=1, name="x/a")
    order = torch.randperm(96, generator=torch.Generator().manual_seed(2))
    b = permuted(make_sae(seed=1, name="x/b"), order, noise=0.4)
    W_dec, threshold = b.W_dec.clone(), a.threshold.clone()
    W_dec[5] = 0
    threshold[7] = 0  # excluded by folding alone
    return dataclasses.replace(a, threshold=threshold), dataclasses.replace(b, W_dec=W_dec)


def written(path, a, b, method, **options):
    """A matching, and the run that it was written to."""
    matcher = Matcher.of(method, **options)
    found = matcher.match(a, b)
    run = Run.create(path, "match", matcher.options, [a, b])
    run.add_pair(*run.names, matching=found)
    return found, Run.open(path)


@pytest.mark.parametrize(
    "method", ["sae-match", "cosine", "feature-flow", "paulo-belrose", "weighted"]
)
@pytest.mark.parametrize("null", ["covariance", "none"])
def test_a_run_gives_its_matching_back(tmp_path, pair, method, null):
    own = {"views": "unit-decoder:1,unit-encoder:0.3"} if method == "weighted" else {}
    there, run = written(tmp_path / "run", *pair, method, null=null, candidates=3, **own)
    again = run.matching(*run.names, saes=pair)
    assert_frame_equal(again.to_polars(), there.to_polars(), check_dtypes=False)
    targets, expected = (m.candidates.to_polars("target") for m in (again, there))
    assert_frame_equal(targets, expected)
    sources, expected = (m.sources.to_polars("source") for m in (again, there))
    assert_frame_equal(sources, expected, check_dtypes=False)
    assert {**again.summary(), "null_statistic": None} == {
        **there.summary(), "null_statistic": None
    }  # fmt: skip
    assert (again.notes, again.method, repr(again)) == (there.notes, there.method, repr(there))
    assert again.verdict.significance == there.verdict.significance
    f = torch.rand(4, 96)
    assert torch.equal(again.map().apply(f), there.map().apply(f))
    assert again.gap == there.gap


def test_what_is_excluded_of_one_pair_alone_is_told(tmp_path, pair):
    _, run = written(tmp_path / "run", *pair, "sae-match")
    again = run.matching(*run.names, saes=pair)
    (reasons, back) = again.excluded[0], run.matching(*run.names, saes=pair).excluded[1]
    assert {name: mask.nonzero().flatten().tolist() for name, mask in reasons.items()} == {
        "threshold <= 0": [7]
    }
    assert back["zero decoder"].nonzero().flatten().tolist() == [5]


def test_a_matching_of_a_run_can_be_inverted_composed_and_saved(tmp_path, pair):
    there, run = written(tmp_path / "run", *pair, "sae-match")
    again = run.matching(*run.names, saes=pair)
    assert again.inverse().target.tolist() == there.inverse().target.tolist()
    assert again.inverse().gap == there.gap
    both, expected = again.compose(again.inverse()), there.compose(there.inverse())
    assert both.target.tolist() == expected.target.tolist()
    again.save(tmp_path / "m")
    assert saematch.Matching.load(tmp_path / "m", *pair).gap == there.gap


def test_saes_are_loaded_again_and_must_be_the_same(tmp_path, pair):
    a, b = (saematch.load(f"saematch:resid_post_{i}") for i in (4, 5))
    there, run = written(tmp_path / "run", a, b, "cosine", null="none")
    again = run.matching(*run.names)
    assert torch.equal(again.b.W_dec, b.W_dec)
    assert again.target.tolist() == there.target.tolist()
    with pytest.raises(
        RunError, match=r"other weights than when .* give that SAE, or make the run"
    ):
        run.matching(*run.names, saes=(a, pair[1]))
    with pytest.raises(RunError, match="has no pair"):
        run.matching(*reversed(run.names))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_made_again_of_its_options(name):
    own = {"views": "unit-decoder:0.1,encoder~10:0.7"} if name == "weighted" else {}
    method = resolve(name, **own)
    assert Method.of_options(method.options(fdr=0.01)) == method
