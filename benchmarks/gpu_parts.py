"""The parts of `benchmarks/gpu.py`: pieces of work, and what it means that their results agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import saematch
from benchmarks.assignment import structured
from benchmarks.gpu_bench import Bench, Compared
from benchmarks.significance import planted
from saematch import SAE, Matching, assign
from saematch.activations.capturing import capture
from saematch.assignment import Assignment, neighbours
from saematch.assignment.auction.state import new_state
from saematch.assignment.filtering import Filter, make_filter, norms
from saematch.assignment.scoring import best_on_device, usual_block
from saematch.evaluation.downstream import Predictions
from saematch.evaluation.per_example import SplicedPair
from saematch.evaluation.transports import fit_states
from saematch.matching import match
from saematch.matching.methods import resolve
from saematch.matching.nulls import draw, split
from saematch.matching.problem import pose
from saematch.matching.significance import chance
from saematch.models import mean_jacobians, open_model, random_tokens
from saematch.numerics.hardware import Precision
from saematch.transport import Schedule, fit_transports

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
METHODS = ("sae-match", "cosine")
CHECKED = 64  # rows whose scores are worked out again
LISTED = 32
SITES = ("saematch:resid_post_1", "saematch:resid_post_2")


def _size(bench: Bench, full: int, small: int = 1024) -> tuple[int, int]:
    """Features, and dimensions of the model."""
    return (full, 2304) if bench.full else (small, 128)


def _warm(bench: Bench) -> None:
    """Compile what is compiled once, and wake the device."""
    a, b, _ = planted("clusters", 600, 32, 0.6, 1)
    for device in (bench.device, torch.device("cpu")):
        for method in METHODS:
            match(a.to(device), b.to(device), method)


def products(bench: Bench) -> None:
    """Products in both precisions, and whether they are as near as is proved."""
    n, width = _size(bench, 16_384)
    x, y = structured(n, 2 * width)
    for precision in PRECISIONS:

        def work(device: torch.device, precision: Precision = precision) -> tuple[Filter, Tensor]:
            there = x.to(device), y.to(device)
            made = make_filter(*there, (norms(there[0]), norms(there[1])), precision)
            step = usual_block(n)
            for start in range(0, n, step):
                made.product(slice(start, start + step))
            return made, made.product(slice(0, CHECKED)).cpu()

        def near(found: tuple[Filter, Tensor]) -> Compared:
            bound, raw = found[0].bound, found[1].double().numpy()
            scale = bound.row_scale[:CHECKED, None] * bound.column_scale
            off = np.abs((x[:CHECKED].double() @ y.double().T).numpy() - scale * raw)
            room = bound.relative * np.abs(scale * raw)
            room += bound.row_slack[:CHECKED, None] * bound.column_reach
            return bool((off <= room).all()), f"at most {(off / room).max():.2g} of the bound"

        bench.measure(
            f"{precision}, with the copies there, {n:,} x {2 * width:,}",
            work,
            lambda found, _, near=near: near(found),
            (n, n, 2 * width),
            near,
            cost=3,
        )


def candidates(bench: Bench) -> None:
    """The choice of candidates from blocks of scores, where the scores lie."""
    n, width = _size(bench, 16_384)
    x, y = structured(n, 2 * width)
    zeros = torch.zeros(n, dtype=torch.float64)
    price = np.random.default_rng(0).random(n)
    rows = np.arange(usual_block(n))[:n]

    for precision in PRECISIONS:
        there = x.to(bench.device), y.to(bench.device)
        made = make_filter(*there, (norms(there[0]), norms(there[1])), precision)
        raw = made.product(slice(0, len(rows)))
        state = new_state(x, y, zeros, zeros, LISTED, price)

        def work(device: torch.device, raw=raw, state=state, made=made) -> np.ndarray:
            return best_on_device(raw.to(device), rows, state, made.bound)[0]

        bench.measure(
            f"{precision}, {LISTED} of each of {len(rows):,} rows of {n:,}",
            work,
            lambda found, other: _share(np.sort(found, 1) == np.sort(other, 1), "places"),
            (len(rows), n, 2 * width),
            cost=20,
        )


def assignments(bench: Bench) -> None:
    """One-to-one assignment by the engine, in both precisions, and ranks."""
    n, width = _size(bench, 16_384)
    x, y = structured(n, 2 * width)
    _warm(bench)
    shape = n, n, 2 * width

    def proved(found: Assignment) -> Compared:
        return found.optimal, f"proved: a relative gap of {found.relative_gap:.1g}"

    found = None
    for precision in PRECISIONS:
        found = bench.measure(
            f"assign, {precision}, {n:,} x {2 * width:,}",
            lambda device, p=precision: assign(x.to(device), y.to(device), precision=p),
            lambda found, other: _both(proved(found), _share(found.target == other.target, "rows")),
            shape,
            proved,
            cost=3,
        )
    target = found.target if found is not None else torch.full((n,), -1)

    def ranks(device: torch.device) -> list[Tensor]:
        near = neighbours(x.to(device), y.to(device), None, None, target, 5)
        return [near.rank_in_row, near.rank_in_column, near.candidates, near.sources]

    def same(found: list[Tensor], other: list[Tensor]) -> Compared:
        each = [(u == v).flatten() for u, v in zip(found, other, strict=True)]
        return _share(torch.cat(each), "numbers")

    bench.measure(f"ranks, {n:,} x {2 * width:,}", ranks, same, shape, cost=3)


def matches(bench: Bench) -> None:
    """Whole matches at 16,384 features: tables, p-values and all."""
    _matches(bench, *_size(bench, 16_384))


def large_matches(bench: Bench) -> None:
    """The same at 65,536 features; the processor seldom has the time."""
    _matches(bench, *_size(bench, 65_536, 2048))


def _matches(bench: Bench, n: int, width: int) -> None:
    a, b, _ = planted("clusters", n, width, 0.6, 0)
    _warm(bench)
    for method in METHODS:
        bench.measure(
            f"{method}, {n:,} x {width:,}",
            lambda device, method=method: match(a.to(device), b.to(device), method),
            same_match,
            (n, n, 2 * width),
            lambda found, method=method: _proved(found, a, b, method),
        )


def same_match(found: Matching, other: Matching) -> Compared:
    """Targets, ranks, p-values and what is matched, of one match and another."""
    same = found.target.cpu() == other.target
    ranks = [
        (getattr(found.pairs, name).cpu() == getattr(other.pairs, name))[same]
        for name in ("rank_in_row", "rank_in_column")
    ]
    p, q = (one.p_value.cpu()[same].nan_to_num(1.0).log10() for one in (found, other))
    apart = float((p - q).abs().max())
    matched = found.pairs.matched.cpu() == other.pairs.matched
    shares = [float(v.double().mean()) for v in (same, torch.cat(ranks), matched)]
    text = "targets {:.4%}, ranks {:.4%}, matched {:.4%}".format(*shares)
    return min(shares) > 0.998 and apart < 0.1, f"{text}; log10 p at most {apart:.1g} apart"


def _proved(found: Matching, a: SAE, b: SAE, method: str) -> Compared:
    """Without another match: the proof, and the scores of some pairs in float64."""
    assert found.assignment is not None
    posed = pose(a, b, resolve(method))
    rows = posed.rows[:: max(1, len(posed.rows) // CHECKED)]
    few = torch.isin(posed.rows, rows)
    target = posed.inner_target(found.target.cpu())
    column = target[few]
    exact = (posed.x[few].double() * posed.y[column].double()).sum(1)
    exact += posed.row_offset[few] + posed.column_offset[column]
    off = float((found.score.cpu()[rows] - exact)[column >= 0].abs().max() / exact.abs().max())
    text = f"proved: a relative gap of {found.assignment.relative_gap:.1g}; scores {off:.1g} off"
    return found.assignment.optimal and off < 1e-6, text


def nulls(bench: Bench) -> None:
    """A null dictionary of each kind, and what chance gives each row."""
    n, width = _size(bench, 16_384)
    x, y = structured(n, 2 * width)
    widths, zeros = [width, width], torch.zeros(n, dtype=torch.float64)
    shape = n, n, 2 * width
    for null in ("covariance", "rotation"):

        def dictionary(device: torch.device, null=null) -> Tensor:
            u, _ = split(y.to(device), widths)
            return next(draw(null, u, widths, torch.Generator().manual_seed(0)))

        def by_chance(device: torch.device, null=null) -> Tensor:
            offsets = zeros.to(device), zeros.to(device)
            return chance(x.to(device), y.to(device), *offsets, widths, null).score_at(0.01)

        bench.measure(f"{null}, one dictionary", dictionary, _near(1e-4), shape, cost=1)
        bench.measure(f"{null}, chance of all rows", by_chance, _near(1e-3), shape, cost=4)


def captures(bench: Bench) -> None:
    """The shipped model read, and two SAEs' features of every token."""
    examples = 400 if bench.full else 40
    saes = {name: saematch.load(name) for name in SITES}
    models = {str(device): open_model("saematch:model", device) for device in _both_devices(bench)}
    tokens = random_tokens(open_model("saematch:model"), examples, 256)

    def work(device: torch.device) -> list[np.ndarray]:
        each = capture(models[str(device)], saes, tokens)
        return [some.matrix.data for batch in each for some in batch.saes.values()]

    def same(found: list[np.ndarray], other: list[np.ndarray]) -> Compared:
        counts = [sum(map(len, some)) for some in (found, other)]
        sums = [float(sum(v.sum(dtype=np.float64) for v in some)) for some in (found, other)]
        off = max(abs(u / v - 1) for u, v in (counts, sums))
        return off < 1e-3, f"{counts[0]:,} activations, {off:.1g} off in number or sum"

    bench.measure(f"{examples * 255:,} tokens, two SAEs", work, same)


def jacobians(bench: Bench) -> None:
    """Mean Jacobians of the shipped model."""
    examples = 8 if bench.full else 2
    models = {str(device): open_model("saematch:model", device) for device in _both_devices(bench)}
    tokens = random_tokens(models["cpu"], examples, 200)
    source, *targets = (f"blocks.{layer}.hook_resid_post" for layer in (0, 1, 4))

    def work(device: torch.device) -> Tensor:
        found = mean_jacobians(models[str(device)], source, targets, tokens)
        return torch.stack([found[hook].matrix for hook in targets])

    bench.measure(f"{examples} examples, to two hook points", work, _near(1e-3))


def transports(bench: Bench) -> None:
    """Sparse transports between two shipped SAEs; products along edges are the processor's."""
    examples, epochs = (40, 2) if bench.full else (4, 1)
    models = {str(device): open_model("saematch:model", device) for device in _both_devices(bench)}
    tokens = random_tokens(models["cpu"], examples, 256)
    schedule = Schedule(widest=64, between=epochs, exchanges=1, final=epochs)

    def work(device: torch.device) -> float:
        a, b = (saematch.load(name).to(device) for name in SITES)
        spliced = SplicedPair(models[str(device)], a, b)
        downstream = Predictions(models[str(device)], spliced.sites[1], tokens)
        error, x_b, some = fit_states(spliced, downstream.read)
        how: dict[str, Any] = {
            "downstream": downstream,
            "schedule": schedule,
            "reaches": ("here", "previous"),
        }
        return fit_transports(a, b, some, x_b, ks=(32,), error=error, **how)[32].loss

    bench.measure(
        f"{examples * 255:,} tokens, 32 edges",
        work,
        lambda u, v: (abs(u / v - 1) < 0.02, f"losses {u:.4g} and {v:.4g} a token"),
    )


def _both_devices(bench: Bench) -> tuple[torch.device, ...]:
    return bench.device, torch.device("cpu")


def _near(room: float) -> Callable[[Tensor, Tensor], Compared]:
    """Whether two tensors differ by less than a share of their size."""

    def compared(found: Tensor, other: Tensor) -> Compared:
        off = float((found.cpu() - other).abs().max() / other.abs().max())
        return off < room, f"at most {off:.1g} of the largest off"

    return compared


def _share(same, of: str) -> Compared:
    share = float(np.asarray(same).mean())
    return share > 0.999, f"{share:.4%} of {of} the same"


def _both(one: Compared, other: Compared) -> Compared:
    return one[0] and other[0], f"{one[1]}; {other[1]}"


PARTS: dict[str, Callable[[Bench], None]] = {
    "products": products,
    "candidates": candidates,
    "assign": assignments,
    "match": matches,
    "nulls": nulls,
    "capture": captures,
    "jacobian": jacobians,
    "transport": transports,
    "match-large": large_matches,
}
