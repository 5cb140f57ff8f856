"""The engine under every choice that must not change its answer, against scipy."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from saematch import SaematchError
from saematch.assignment import assign, scoring
from saematch.assignment.auction import engine
from saematch.assignment.filtering import make_filter, norms

KINDS = ["planted", "near ties", "hubs", "duplicates", "constant", "zero rows", "rank one", "grid"]


def vectors(kind: str, n: int = 150, m: int = 150, width: int = 12):
    g = torch.manual_seed(4)

    def gaussian(*shape):
        return torch.randn(*shape, generator=g)

    x, y = gaussian(n, width), gaussian(m, width)
    if kind == "planted":
        y = x[torch.randperm(n, generator=g)] + 0.3 * y if n == m else y
    elif kind == "near ties":
        centres = gaussian(3, width)
        x, y = (centres[torch.randint(3, (len(v),), generator=g)] + 1e-3 * v for v in (x, y))
    elif kind == "hubs":
        x, y = (v * 10 ** (3 * torch.rand(len(v), 1, generator=g)) for v in (x, y))
    elif kind == "duplicates":
        x, y = (v[torch.randint(len(v) // 4, (len(v),), generator=g)] for v in (x, y))
    elif kind == "constant":
        x, y = torch.ones_like(x), -torch.ones_like(y)
    elif kind == "zero rows":
        x[::2], y[::3] = 0, 0
    elif kind == "rank one":
        x, y = x[:, :1].abs(), y[:, :1].abs()
    elif kind == "grid":
        x, y = x[:, :3].round(), y[:, :3].round()
    return x.contiguous(), y.contiguous()


def dense(x, y) -> np.ndarray:
    return (x.double() @ y.double().T).numpy()


def with_costs(scores: np.ndarray, row_cost: float, column_cost: float) -> float:
    """The best total less costs, as a square problem with a stand-in for each row and column."""
    n, m = scores.shape
    square = np.zeros((n + m, n + m))
    square[:n, :m] = scores + row_cost + column_cost
    best = square[linear_sum_assignment(square, maximize=True)].sum()
    return best - n * row_cost - m * column_cost


def check(result, scores: np.ndarray, best: float) -> None:
    rows = np.flatnonzero(result.target >= 0)
    columns = result.target.numpy()[rows]
    assert len(set(columns)) == len(columns)
    size = np.abs(scores).max() * len(scores)
    assert result.total == pytest.approx(scores[rows, columns].sum(), abs=1e-12 * size)
    assert result.total - result.cost == pytest.approx(best, rel=1e-12, abs=1e-12 * size)
    assert result.gap <= 1e-12 * size
    # the duals are a proof on their own
    u, p = result.row_dual.numpy(), result.column_dual.numpy()
    assert (u[:, None] + p - scores >= -1e-12 * size).all()
    assert u.sum() + p.sum() == pytest.approx(best, rel=1e-12, abs=1e-12 * size)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_optimal_with_lists_that_are_too_short(kind, precision):
    x, y = vectors(kind)
    scores = dense(x, y)
    best = scores[linear_sum_assignment(scores, maximize=True)].sum()
    check(assign(x, y, precision=precision, list_length=8), scores, best)


@pytest.fixture(params=["lists", "all scores"])
def paths(request, monkeypatch):
    """No patience in bidding, and paths through lists alone or with all scores at hand."""
    monkeypatch.setattr(engine, "PATIENCE", 1)
    if request.param == "lists":
        monkeypatch.setattr(engine.Engine, "_whole_fits", lambda self, rows: False)


@pytest.mark.parametrize("shape", [(150, 150), (80, 150)])
@pytest.mark.parametrize("kind", KINDS)
def test_paths_alone_find_the_optimum(kind, shape, paths):
    x, y = vectors(kind, *shape)
    scores = dense(x, y)
    result = assign(x, y, list_length=16)
    check(result, scores, scores[linear_sum_assignment(scores, maximize=True)].sum())
    if shape == (150, 150) and kind not in ("planted", "constant", "zero rows"):
        assert result.work.paths > 50


@pytest.mark.parametrize("shape", [(150, 150), (150, 160), (160, 150)])
@pytest.mark.parametrize("kind", KINDS)
def test_prices_of_scaled_auctions_lead_to_the_optimum(kind, shape, monkeypatch):
    monkeypatch.setattr(engine, "STALLED", -1)
    x, y = vectors(kind, *shape)
    scores = dense(x, y)
    phases = []
    result = assign(x, y, precision="bfloat16", list_length=3, progress=lambda *p: phases.append(p))
    check(result, scores, scores[linear_sum_assignment(scores, maximize=True)].sum())
    if kind == "planted":
        assert "scaling" in {phase for phase, *_ in phases}


def folded(n: int, m: int, width: int = 32):
    """Features of unequal lengths, most of which persist, and offsets for squared distances."""
    g = torch.manual_seed(8)

    def gaussian(*shape):
        return torch.randn(*shape, generator=g)

    size = max(n, m)
    x, lengths = gaussian(size, width), torch.exp(0.5 * gaussian(size, 1))
    order = torch.randperm(size, generator=g)
    new = torch.rand(size, 1, generator=g) < 0.1
    y = torch.where(new, gaussian(size, width), x + 0.5 * gaussian(size, width))[order]
    x, y = (x * lengths)[:n], (y * lengths[order])[:m]
    return 2 * x, y, *(-v.double().square().sum(1) for v in (x, y))


def distances(x, y, row_offset, column_offset) -> np.ndarray:
    return dense(x, y) + row_offset.numpy()[:, None] + column_offset.numpy()


@pytest.mark.parametrize("shape", [(700, 700), (700, 705), (705, 700)])
def test_squared_distances_need_few_lists(shape, monkeypatch):
    problem = folded(*shape)
    scores = distances(*problem)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    best = scores[rows, columns].sum()
    # too little memory to keep approximate scores, or all of them
    lean = assign(*problem, memory_limit=1_000_000, list_length=16)
    check(lean, scores, best)
    assert not lean.work.kept
    monkeypatch.setattr(engine, "means", lambda s: np.zeros(len(s.price)))
    equal = assign(*problem, memory_limit=1_000_000, list_length=16)
    check(equal, scores, best)
    assert lean.target.tolist() == equal.target.tolist()
    assert lean.work.scored < 0.75 * equal.work.scored
    if shape == (700, 700):
        assert lean.work.scored < 1100


@pytest.mark.parametrize("shape", [(150, 155), (165, 150)])
@pytest.mark.parametrize("kind", KINDS)
def test_mean_scores_for_first_prices_lead_to_the_optimum(kind, shape, monkeypatch):
    monkeypatch.setattr(engine, "STALLED", -1)
    monkeypatch.setattr(engine.Engine, "_whole_fits", lambda self, rows: False)
    levelled, lower = [], engine.lower
    monkeypatch.setattr(engine, "lower", lambda s: levelled.append(lower(s)))
    x, y = vectors(kind, *shape)
    scores = dense(x, y)
    result = assign(x, y, precision="bfloat16", list_length=3)
    check(result, scores, scores[linear_sum_assignment(scores, maximize=True)].sum())
    assert levelled or kind not in ("planted", "constant")


@pytest.mark.parametrize("kind", ["planted", "hubs", "duplicates", "zero rows", "grid"])
def test_paths_end_where_a_row_stays_alone(kind, paths):
    x, y = vectors(kind, 60, 80)
    scores = dense(x, y)
    for quantile in (0.5, 0.9, 0.99):
        cost = -float(np.quantile(scores, quantile))
        result = assign(x, y, row_cost=cost, list_length=8)
        check(result, scores, with_costs(scores, cost, 0))


@pytest.mark.parametrize("shape", [(60, 60), (40, 80), (80, 40)])
@pytest.mark.parametrize("kind", ["planted", "hubs", "duplicates", "zero rows", "grid"])
def test_unmatched_at_a_cost(kind, shape):
    x, y = vectors(kind, *shape)
    scores = dense(x, y)
    counts = []
    for quantile in (0.0, 0.5, 0.9, 1.0):
        cost = -float(np.quantile(scores, quantile)) - 0.1
        result = assign(x, y, row_cost=cost * 0.7, column_cost=cost * 0.3, list_length=8)
        check(result, scores, with_costs(scores, cost * 0.7, cost * 0.3))
        counts.append(int((result.target >= 0).sum()))
    assert counts[0] == min(shape)
    assert counts[-1] == 0


def test_memory_blocks_threads_and_lists_do_not_matter():
    x, y = vectors("planted", 300, 300)
    first = assign(x, y)
    assert first.work.kept
    lean = assign(x, y, memory_limit=300_000, list_length=16)
    assert not lean.work.kept
    others = [lean, assign(x, y, block=7), assign(x, y, list_length=3)]
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    others.append(assign(x, y))
    torch.set_num_threads(threads)
    for other in others:
        assert torch.equal(other.target, first.target)
        assert torch.equal(other.score, first.score)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(k, s) for k in ("duplicates", "constant") for s in ((120, 120), (90, 120), (120, 90))]
    + [("zero rows", (120, 120))],
)
def test_features_that_are_the_same_are_paired_in_order(kind, shape, request):
    x, y = vectors(kind, *shape)
    others = [{"precision": "bfloat16"}, {"block": 7}, {"list_length": 3}, {"memory_limit": 10**6}]
    first = assign(x, y)
    for options in others:
        assert torch.equal(assign(x, y, **options).target, first.target)
    request.getfixturevalue("whole_matrix")
    assert torch.equal(assign(x, y).target, first.target)
    # the rule: exchanging two rows, or moving to a free column, never gives an earlier row an
    # earlier column that is the same
    taken = first.target.tolist()
    for i in range(len(x)):
        for j in range(len(y)):
            if taken[i] > j and torch.equal(y[j], y[taken[i]]):
                assert j in taken[:i]
        twins = [k for k in range(i) if torch.equal(x[i], x[k])]
        assert taken[i] < 0 or all(taken[k] >= 0 for k in twins)


@pytest.mark.parametrize("shape", [(120, 120), (60, 120), (120, 60)])
@pytest.mark.parametrize("cost", [None, 0.5])
def test_duals_start_the_next_solve(shape, cost):
    x, y = vectors("planted", *shape)
    costs = {} if cost is None else {"row_cost": cost, "column_cost": cost}
    before = assign(x, y, **costs)
    moved = y + 0.02 * torch.randn(y.shape, generator=torch.manual_seed(5))
    cold, warm = assign(x, moved, **costs), assign(x, moved, start=before, **costs)
    assert torch.equal(cold.target, warm.target)
    assert warm.optimal
    with pytest.raises(SaematchError, match="start has"):
        assign(x[1:], y, start=before)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_candidates_chosen_where_the_scores_lie(kind, precision, monkeypatch):
    """As on a GPU, whose steps are the same on a processor's tensors."""
    monkeypatch.setattr(scoring, "WIDE_ENTRIES", 2000)
    made = scoring.Scorer.__init__

    def on_device(self, *arguments):
        made(self, *arguments)
        self.on_device = True

    monkeypatch.setattr(scoring.Scorer, "__init__", on_device)
    x, y = vectors(kind)
    scores = dense(x, y)
    result = assign(x, y, precision=precision, list_length=8)
    check(result, scores, scores[linear_sum_assignment(scores, maximize=True)].sum())
    cost = -float(np.quantile(scores, 0.9))
    check(assign(x, y, row_cost=cost, list_length=8), scores, with_costs(scores, cost, 0))


def test_the_gap_grows_when_the_assignment_is_spoiled():
    x, y = vectors("planted")
    scores, result = dense(x, y), assign(x, y)
    target, price = result.target.numpy().copy(), result.column_dual.numpy()
    bound = (scores - price).max(1).sum() + price.sum()  # from all scores, not from lists
    assert bound == pytest.approx(result.total + result.gap)
    target[[3, 70]] = target[[70, 3]]
    spoiled = scores[np.arange(150), target].sum()
    assert bound - spoiled > 1


@pytest.mark.parametrize("top", [1, 5])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_nearest_columns(kind, top, precision):
    x, y = vectors(kind)
    result = assign(x, y, kind="many-to-one", top_k=top, precision=precision)
    assert result.candidates is not None
    assert result.candidate_scores is not None
    scores = dense(x, y)
    # the order is that of the values; equal ones stand in the order of their indices
    values = np.sort(scores, axis=1)[:, ::-1][:, :top]
    np.testing.assert_allclose(result.candidate_scores, values, rtol=1e-12, atol=1e-12)
    found = result.candidates.numpy()
    same = np.diff(result.candidate_scores.numpy(), axis=1) == 0
    assert (np.diff(found, axis=1)[same] > 0).all()
    assert torch.equal(result.target, result.candidates[:, 0])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [1.0, 1e-20, 1e20, 1e100])
def test_no_score_is_further_off_than_the_bound(precision, size):
    x, y = (v.double() * size for v in vectors("hubs", 80, 90, 700))
    filtering = make_filter(x, y, (norms(x), norms(y)), precision)
    raw, b = filtering.product(slice(None)).double().numpy(), filtering.bound
    scale = b.row_scale[:, None] * b.column_scale
    room = b.row_slack[:, None] * b.column_reach + scale * b.relative * np.abs(raw)
    error = np.abs(scale * raw - (x @ y.T).numpy())
    assert (error <= room).all()
    # and the bound is of the order of the rounding, not of the scores
    assert (room <= (0.03 if precision == "bfloat16" else 1e-3) * b.column_reach * norms(x).numpy()[:, None]).all()  # fmt: skip  # noqa: E501


def test_progress_and_interrupt():
    x, y = vectors("hubs")
    seen = []
    assign(x, y, list_length=4, progress=lambda *what: seen.append(what))
    assert seen[-1][1:] == (150, 150)
    assert {phase for phase, *_ in seen} >= {"candidates", "bidding"}

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assign(x, y, progress=stop)
    assert assign(x, y).optimal


def test_bids_are_bounded():
    x, y = vectors("rank one")
    few = assign(x, y, max_bids=10)
    assert few.work.bids <= 10
    assert few.total == pytest.approx(assign(x, y).total, rel=1e-12)


@pytest.mark.wrong_arrays
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, "precision is 'int8'"),
        ({"list_length": 0}, "list_length is 0"),
        ({"top_k": 3}, "only many-to-one"),
        ({"kind": "many-to-one", "row_cost": 1.0}, "drop row_cost"),
        ({"row_cost": torch.ones(3)}, "row_cost has shape"),
        ({"column_cost": float("nan")}, "column_cost has entries"),
        ({"memory_limit": 1000}, "memory_limit leaves 1,000 bytes"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(SaematchError, match=message):
        assign(torch.eye(20), torch.eye(20), **options)


def test_layout_of_the_input_does_not_matter():
    x, y = vectors("planted")
    other = assign(x.T.contiguous().T, y.flip(0).flip(0).numpy()[:, ::1])
    assert torch.equal(other.target, assign(x, y).target)
