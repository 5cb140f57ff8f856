"""Products, candidates, nulls and whole matches on a GPU, beside the same on the processor."""

import numpy as np
import pytest
import torch

import saematch
from saematch import assign
from saematch.activations import FeatureActivations
from saematch.assignment import neighbours
from saematch.assignment.auction.state import new_state
from saematch.assignment.filtering import make_filter, norms
from saematch.assignment.scoring import best_on_device
from saematch.matching import match
from saematch.matching.nulls import draw, split
from saematch.matching.significance import chance
from support.sparse_case import activations, dense_of


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def saes() -> tuple[saematch.SAE, saematch.SAE]:
    return saematch.load("saematch:resid_post_1"), saematch.load("saematch:resid_post_2")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_are_within_their_bound(precision, gpu):
    x, y = gaussian(300, 64) * 3, gaussian(200, 64, seed=1)
    there = x.to(gpu), y.to(gpu)
    found = make_filter(*there, (norms(there[0]), norms(there[1])), precision)
    raw, b = found.product(slice(None)), found.bound
    assert raw.is_cuda
    scale = b.row_scale[:, None] * b.column_scale
    middle = scale * raw.double().cpu().numpy()
    off = np.abs((x.double() @ y.double().T).numpy() - middle)
    assert (off <= b.relative * np.abs(middle) + b.row_slack[:, None] * b.column_reach).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_candidates_are_those_of_the_highest_bounds(precision, gpu):
    x, y = gaussian(50, 16), gaussian(400, 16, seed=1)
    price = np.random.default_rng(0).random(400)
    zeros = torch.zeros(50, dtype=torch.float64), torch.zeros(400, dtype=torch.float64)
    there = x.to(gpu), y.to(gpu)
    state = new_state(*there, *zeros, 10, price)
    chosen = make_filter(*there, (norms(there[0]), norms(there[1])), precision)
    rows = np.arange(50)
    columns, values, outside = best_on_device(
        chosen.product(slice(None)), rows, state, chosen.bound
    )
    worth = (x.double() @ y.double().T).numpy() - price
    left = np.ones_like(worth, dtype=bool)
    left[rows[:, None], columns] = False
    # no column outside a list is worth more than is said of them
    assert (np.where(left, worth, -np.inf).max(1) <= outside).all()
    assert (worth.argmax(1)[:, None] == columns).any(1).all()
    np.testing.assert_allclose(values, (worth + price)[rows[:, None], columns], atol=0.1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["one-to-one", "many-to-one"])
def test_assignments_are_the_same(kind, precision, gpu):
    x, y = gaussian(250, 24), gaussian(300, 24, seed=1)
    here = assign(x, y, kind=kind, precision=precision)
    there = assign(x.to(gpu), y.to(gpu), kind=kind, precision=precision)
    assert (there.target == here.target).all()
    assert there.optimal


def test_ranks_are_the_same(gpu):
    x, y = gaussian(250, 24), gaussian(300, 24, seed=1)
    target = assign(x, y).target
    here = neighbours(x, y, None, None, target, 4)
    there = neighbours(x.to(gpu), y.to(gpu), None, None, target.to(gpu), 4)
    for name in ("rank_in_row", "rank_in_column", "candidates", "sources"):
        assert (getattr(there, name) == getattr(here, name)).all(), name


@pytest.mark.parametrize("null", ["covariance", "rotation"])
def test_nulls_are_the_same(null, gpu):
    y = gaussian(200, 48)

    def drawn(device):
        u, _ = split(y.to(device), [32, 16])
        return next(draw(null, u, [32, 16], torch.Generator().manual_seed(3)))

    torch.testing.assert_close(drawn(gpu).cpu(), drawn("cpu"), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("null", ["covariance", "rotation"])
def test_chances_are_the_same(null, gpu):
    x, y, offset = gaussian(150, 48), gaussian(200, 48, seed=1), torch.zeros(200).double()
    scores = (x @ y.T).double()[:, :5]

    def chances(device):
        offsets = offset[:150].to(device), offset.to(device)
        of = chance(x.to(device), y.to(device), *offsets, [32, 16], null)
        return of.p_value(scores.to(device)).cpu(), of.score_at(0.05).cpu()

    for there, here in zip(chances(gpu), chances("cpu"), strict=True):
        torch.testing.assert_close(there, here, atol=1e-4, rtol=1e-3)


def same(saes, gpu, method, activations=None, **options) -> None:
    """A match there and here: targets, ranks and what is matched, p-values nearly."""
    a, b = saes
    here = match(a, b, method, activations=activations, **options)
    there = match(a.to(gpu), b.to(gpu), method, activations=activations, **options)
    assert there.target.is_cuda
    differ = float((there.target.cpu() != here.target).float().mean())
    assert differ <= 0.002  # different features may tie by chance
    alike = there.target.cpu() == here.target
    one, other = there.to_polars().filter(alike.numpy()), here.to_polars().filter(alike.numpy())
    for name in ("rank_in_row", "rank_in_column"):
        assert (one[name] == other[name]).mean() > 0.99, name
    matched = [np.array(each["matched"].to_list(), dtype=bool) for each in (one, other)]
    assert (matched[0] == matched[1]).mean() > 0.99
    p = [each["p_value"].fill_null(1.0).to_numpy() for each in (one, other)]
    np.testing.assert_allclose(np.log10(p[0]), np.log10(p[1]), atol=0.05)


@pytest.mark.parametrize("method", ["sae-match", "cosine", "feature-flow", "paulo-belrose"])
def test_matches_are_the_same(method, saes, gpu):
    same(saes, gpu, method)


@pytest.mark.parametrize("options", [{"partial": True}, {"null": "rotation"}, {"null": "none"}])
def test_matches_with_options_are_the_same(options, saes, gpu):
    same(saes, gpu, "cosine", **options)


@pytest.mark.parametrize("null", ["covariance", "none"])
def test_matches_by_activations_are_the_same(null, saes, gpu):
    dense = [dense_of(300, sae.d_sae, seed, density=0.05) for seed, sae in enumerate(saes)]
    some: tuple[FeatureActivations, FeatureActivations] = (
        activations(dense[0]),
        activations(dense[0] + dense[1]),
    )
    same(saes, gpu, "pearson", some, null=null)
