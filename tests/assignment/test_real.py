"""The engine on real features and on folded distances, against scipy and lapx."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import saematch
from saematch.assignment import assign
from saematch.matching.methods import resolve
from saematch.matching.problem import pose
from support.oracle import solve

PAIRS = [
    ("resid_pre_0", "resid_post_0"),  # nothing in common: a price war
    ("resid_post_2", "resid_post_3"),
    ("resid_post_3", "resid_post_3_seed2"),
    ("resid_post_3", "resid_post_3_wide"),
    ("resid_post_3_wide", "resid_post_4"),
    ("mlp_out_2", "mlp_out_3"),
]
METHODS = [
    ("sae-match", {}),
    ("sae-match", {"fold": "none", "bias": True}),
    ("cosine", {}),
    ("weighted", {"views": "unit-decoder:1,unit-encoder:0.5"}),
]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(("method", "options"), METHODS)
def test_shipped_features(method, options, pair):
    a, b = (saematch.load(f"saematch:{name}") for name in pair)
    p = pose(a, b, resolve(method, **options))
    x, y = p.x[:400].double(), p.y[: 800 if "wide" in pair[1] else 400].double()
    row, column = p.row_offset[: len(x)].double(), p.column_offset[: len(y)].double()
    scores = x @ y.T + row[:, None] + column
    best = scores.numpy()[linear_sum_assignment(scores, maximize=True)].sum()
    for precision in ("float32", "bfloat16"):
        result = assign(x, y, row, column, precision=precision)
        assert result.total == pytest.approx(best, rel=1e-12)
        assert result.optimal


@pytest.mark.parametrize("shape", [(300, 300), (200, 400), (400, 200)])
def test_thresholds_over_three_orders_of_magnitude(shape):
    g = torch.manual_seed(0)
    base = torch.randn(max(shape), 16, generator=g)
    x, y = (base[torch.randperm(len(base), generator=g)[:n]] for n in shape)
    x, y = (v + 0.3 * torch.randn(v.shape, generator=g) for v in (x, y))
    thresholds = [10 ** (3 * torch.rand(n, 1, generator=g) - 1) for n in shape]
    x, y = (torch.cat([v * t, v / t], 1) for v, t in zip((x, y), thresholds, strict=True))
    scores = -(
        torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist") ** 2
    )
    result = assign(2 * x, y, -x.double().pow(2).sum(1), -y.double().pow(2).sum(1))
    if shape[0] <= shape[1]:
        target = solve(scores)
        best = scores.gather(1, target[:, None]).sum()
    else:
        best = scores.T.gather(1, solve(scores.T)[:, None]).sum()
    assert result.total == pytest.approx(float(best), rel=1e-9)
    assert result.optimal


def test_a_spoiled_assignment_falls_short_of_the_dual_bound():
    a, b = saematch.load("saematch:resid_post_2"), saematch.load("saematch:resid_post_3")
    p = pose(a, b, resolve("cosine"))
    result = assign(p.x, p.y)
    scores = (p.x.double() @ p.y.double().T).numpy()
    price = result.column_dual.numpy()
    bound = (scores - price).max(1).sum() + price.sum()
    assert bound == pytest.approx(result.total, rel=1e-12)
    target = result.target.numpy().copy()
    target[[10, 11]] = target[[11, 10]]
    assert bound - scores[np.arange(len(target)), target].sum() > 1e-3
