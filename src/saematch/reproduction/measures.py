"""What the runs of a reproduction say: errors of matched features, and whether they fire together.

Each function gives one table, with a row per pair and way of matching.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy import ndarray

from saematch.activations.store import ActivationStore
from saematch.activations.table import FeatureActivations
from saematch.layers.layers import Layers
from saematch.matching.feature_map import FeatureMap
from saematch.matching.measures import TERMS, measure_pairs
from saematch.matching.methods import resolve_fold
from saematch.numerics.held import Held
from saematch.runs.run import Run
from saematch.sae.sae import SAE

Names = tuple[str, str]
LEAST = 10  # tokens on which a feature must fire for a correlation to be counted
BLOCK = 1 << 26  # correlations held at a time

ERRORS: dict[str, pl.DataType | type[pl.DataType]] = {
    "a": pl.String,
    "b": pl.String,
    "method": pl.String,
    "term": pl.String,
    "features": pl.Int64,
    "mean": pl.Float64,
    "low": pl.Float64,
    "median": pl.Float64,
    "high": pl.Float64,
}
CORRELATIONS: dict[str, pl.DataType | type[pl.DataType]] = {
    "a": pl.String,
    "b": pl.String,
    "skipped": pl.Int64,
    "method": pl.String,
    "features": pl.Int64,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "gain": pl.Float64,
    "gain_low": pl.Float64,
    "gain_high": pl.Float64,
    "half": pl.Float64,
    "together": pl.Float64,
}


def folded_errors(
    pairs: Iterable[Names], runs: Mapping[str, Run], saes: Callable[[str], SAE]
) -> pl.DataFrame:
    """Mean squared errors of assigned features, all in the same folded coordinates.

    Both SAEs are folded by threshold where both have one per feature, else by decoder norm,
    however they were matched. Columns: `a`, `b`, `method` (a run's name, or `identity`, feature i
    to feature i, where widths are equal), `term`, `features`, and the `mean`, quartiles (`low`,
    `high`) and `median` over features.
    """
    rows = []
    for a, b in pairs:
        one, other = saes(a), saes(b)
        how = resolve_fold("auto", one, other)
        targets = {name: _target(run, (a, b)) for name, run in runs.items() if run.has_pair(a, b)}
        if one.d_sae == other.d_sae:
            alike = torch.arange(one.d_sae).masked_fill((one.excluded | other.excluded).cpu(), -1)
            targets["identity"] = alike
        for name, target in targets.items():
            found = measure_pairs(one, other, target.to(one.device), how)
            for term in TERMS:
                values = found[f"{term.replace('-', '_')}_mse_folded"]
                values = values[~values.isnan()].double().cpu().numpy()
                quartiles = np.quantile(values, (0.25, 0.5, 0.75)) if len(values) else [None] * 3
                mean = float(values.mean()) if len(values) else None
                rows.append((a, b, name, term, len(values), mean, *quartiles))
    return pl.DataFrame(rows, schema=ERRORS, orient="row")


def correlations(
    pairs: Iterable[Names],
    runs: Mapping[str, Run],
    store: ActivationStore,
    *,
    against: str = "folded",
    chained: Run | None = None,
) -> pl.DataFrame:
    """Whether a feature and its target fire together, on text that no method was given.

    Pearson correlation over tokens, zeros included, of features of A that fire on at least ten of
    them; a target that never fires counts as 0, and so does a feature without a target, so that
    methods are compared on the same features.

    Args:
        pairs: names of A and B.
        runs: by what to call the way of matching; each where it has the pair.
        store: activations of all SAEs.
        against: which of the runs the others' gains are measured against.
        chained: a run whose neighbours' matchings are chained from A to B, as `chained`.

    Returns:
        Columns `a`, `b`, `skipped` (steps along the chain of SAEs), `method` (a run's name,
        `chained`, `best possible`, the largest correlation of any feature of B, or `random`, a
        random permutation), `features`, the `mean` with its 95 % interval over features (`low`,
        `high`), the same of the difference from `against`, feature by feature (`gain`, ...; null
        where that has not matched the pair), the share of features at 0.5 or more (`half`), and
        `together`: the mean share of the tokens of feature i on which its target is active too.
    """
    held = Held[str, FeatureActivations](store.activations)
    rows = []
    layers = None if chained is None else Layers.of(chained)
    for a, b in pairs:
        there = {name: run for name, run in runs.items() if run.has_pair(a, b)}
        targets = {name: _target(run, (a, b)).numpy() for name, run in there.items()}
        apart = 1
        if layers is not None:
            path = layers.chain[layers.chain.index(a) : layers.chain.index(b) + 1]
            apart = len(path) - 1
            if apart > 1:
                steps = [layers.map(*step) for step in itertools.pairwise(path)]
                targets["chained"] = reduce(FeatureMap.then, steps).targets.numpy()
        width = store.sae(_stored(store, runs, b)).d_sae
        height = store.sae(_stored(store, runs, a)).d_sae
        order = np.random.default_rng(0).permutation(max(width, height))
        targets["random"] = np.where(order[:height] < width, order[:height], -1)
        one, other = (held[_stored(store, runs, name)] for name in (a, b))
        found = _along(one, other, targets)
        base = found.get(against)
        for name, along in found.items():
            values = along.r[along.counted]
            gain = values[:0] if base is None else values - base.r[along.counted]
            half = float((values >= 0.5).mean()) if len(values) else None
            shares = *_interval(values), *_interval(gain), half, along.together
            rows.append((a, b, apart, name, len(values), *shares))
    return pl.DataFrame(rows, schema=CORRELATIONS, orient="row")


def _stored(store: ActivationStore, runs: Mapping[str, Run], name: str) -> str:
    """What a store calls an SAE that the runs call `name`."""
    run = next(run for run in runs.values() if name in run.names)
    sae = run.sae(name)
    return store.named(sae.checksum, None if sae.site is None else sae.site.hook)


def _target(run: Run, pair: Names) -> torch.Tensor:
    return run.pair(*pair)["target"].fill_null(-1).to_torch()


class _Along(NamedTuple):
    r: ndarray  # (d_sae_a,) correlation of each feature with its target
    counted: ndarray  # (d_sae_a,) fires often enough
    together: float | None  # mean share of its tokens on which its target is active too


def _along(
    a: FeatureActivations, b: FeatureActivations, targets: Mapping[str, ndarray]
) -> dict[str, _Along]:
    """Correlations along each way of matching, and the best possible."""
    n = a.n_tokens
    fired = a.counts()
    counted = fired >= LEAST
    found = {name: np.zeros(a.d_sae) for name in targets}
    shared = {name: np.zeros(a.d_sae) for name in targets}
    best = np.zeros(a.d_sae)
    (mean_a, spread_a), (mean_b, spread_b) = a.moments(), b.moments()
    columns, right = a.matrix.tocsc(), b.matrix
    active = _active(right)
    for rows in _blocks(a.d_sae, b.d_sae):
        left = columns[:, rows].astype(np.float64)
        product = (left.T @ right).toarray()
        together = (_active(left).T @ active).toarray()
        scale = spread_a[rows, None] * spread_b
        r = product / n - mean_a[rows, None] * mean_b
        r = np.divide(r, scale, out=np.zeros_like(r), where=scale > 0)
        best[rows] = r.max(1)
        here = np.arange(rows.stop - rows.start)
        for name, target in targets.items():
            to = target[rows]
            found[name][rows] = np.where(to >= 0, r[here, to], 0.0)
            shared[name][rows] = np.where(to >= 0, together[here, to], 0.0)
    along = {"best possible": _Along(best, counted, None)}
    for name, r in found.items():
        shares = shared[name][counted] / fired[counted]
        along[name] = _Along(r, counted, float(shares.mean()) if counted.any() else None)
    return along


def _active(matrix: Any) -> Any:
    """A sparse matrix with 1 where there is an activation."""
    found = matrix.astype(np.float64)
    found.data = (found.data != 0).astype(np.float64)
    return found


def _blocks(height: int, width: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, width))
    for start in range(0, height, step):
        yield slice(start, min(height, start + step))


def _interval(values: ndarray) -> tuple[float | None, float | None, float | None]:
    """Mean, and its 95 % interval if features were drawn independently."""
    if not len(values):
        return None, None, None
    mean, error = float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5
    return mean, mean - error, mean + error


def sae_table(run: Run, store: ActivationStore) -> pl.DataFrame:
    """The SAEs of a run and what they do on the store's text.

    Columns: `name`, `hook`, `features`, `l0` (active features per token), `silent` (share of
    features that never fire there), `threshold` (median).
    """
    rows = []
    for name in run.names:
        sae = run.sae(name)
        counts = store.activations(_stored(store, {"": run}, name)).counts()
        threshold = run.features(name)["threshold"].median()
        l0, silent = counts.sum() / max(1, store.n_tokens), (counts == 0).mean()
        hook = None if sae.site is None else sae.site.hook
        rows.append((name, hook, sae.d_sae, float(l0), float(silent), threshold))
    schema = ["name", "hook", "features", "l0", "silent", "threshold"]
    return pl.DataFrame(rows, schema=schema, orient="row")
