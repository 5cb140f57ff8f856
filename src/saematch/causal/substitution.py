"""Substitution: can a feature's partner do what the feature does?

Where feature i of A fires, its contribution is taken out of the hidden state, and at B's hook point
its partner j is given the activation that i's would be there, `a_i` times the ratio of what the two
typically have. The measure is how far each prediction is from the model's own, KL divergence in
nats, over the window that begins where i fires.

    causal equivalence = (R - S) / max(R, S)

with R the divergence when i is only removed, S when its partner takes its place: 1 where
predictions come out as they were, 0 where putting the partner in is as good as nothing, -1 where it
is pure harm. A feature without a partner has 0. Beside the partners that methods name stand

    random partner    a feature of B that fires about as often, with contributions of about the size
    nearest other     the largest decoder cosine but for the partners
    most affected     the feature of B that loses most when i is removed, given back what it had:
                      how much a single feature can do that is known by trying

And whether removing j changes the same predictions as removing i does: the rank correlation of the
two divergences over the tokens of the windows. Beside it stand two that share nothing with i but
where they are removed: another feature of B that fires where the window begins, and as much as i's
contribution along a random active feature of A, wherever i fires.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.stats import rankdata
from torch import Tensor

from saematch.causal.bench import Bench, Predictions, spread
from saematch.causal.edits import Put, Remove, Several, Shift, along, drawn
from saematch.causal.reading import Reading, Window, batched
from saematch.models.language_model import Replacement

RANDOM, NEAREST, AFFECTED = "random partner", "nearest other", "most affected"
ALIKE = 20  # features that are most alike in frequency and size, of which a partner is drawn

FRAME: dict[str, Any] = {
    "a": pl.String,
    "b": pl.String,
    "source": pl.Int64,
    "method": pl.String,
    "target": pl.Int64,  # null where there is no partner, or one for each window
    "cosine": pl.Float64,  # of the decoder rows
    "frequency": pl.Float64,  # of the source, on text that it is not tried on
    "windows": pl.Int64,
    "tokens": pl.Int64,
    "removed": pl.Float64,  # nats over those tokens: i removed
    "control": pl.Float64,  # as much removed along a random active feature
    "substituted": pl.Float64,
    "target_removed": pl.Float64,  # j removed
    "trajectory": pl.Float64,
    "trajectory_other": pl.Float64,  # of another feature of B
    "trajectory_size": pl.Float64,  # of as much removed along another of A
}


def equivalence() -> pl.Expr:
    """Causal equivalence, of the columns of `FRAME`; 0 where there is no partner."""
    most = pl.max_horizontal("removed", "substituted")
    gained = pl.col("removed") - pl.col("substituted")
    return pl.when(most > 0).then(gained / most).otherwise(0.0).fill_null(0.0)


def substitution(
    bench: Bench,
    a: str,
    b: str,
    partners: Mapping[str, Int[ndarray, " d_sae_a"]],
    typical: Reading,
    features: int,
    windows: int = 3,
    after: int = 12,
    done: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Put partners in the place of features of A, in windows that begin where those fire.

    Args:
        bench: the model, the SAEs and a text.
        a: the SAE of the features.
        b: that of the partners, at the same hook point or a later one.
        partners: by method the partner of each feature, -1 for none.
        typical: of another text: how often features fire, and how strongly.
        features: how many of A's to draw at random among those that fire on the text.
        windows: of each feature, at most, in different examples.
        after: tokens of a window, at most.
        done: called with the number of windows that are done.

    Returns:
        One row per feature and method: see `FRAME`.
    """
    known = _Partners(bench, a, b, partners, typical)
    chosen = bench.chosen(a, features)
    listed: list[Window] = []
    owner: list[int] = []
    for feature in chosen.tolist():
        found = bench.windows(a, feature, windows, after)
        listed += found
        owner += [feature] * len(found)
    sums: dict[int, _Sums] = {feature: _Sums() for feature in chosen.tolist()}
    random = torch.Generator().manual_seed(bench.seed)
    device, finished = bench.model.device, 0
    for at in batched(bench.reading.examples, listed, device, bench.batch_tokens):
        source = np.array(owner)[at.places]
        predictions = Predictions(bench, at)
        with bench.model.resuming(bench.hook(a)):
            found = _batch(bench, a, b, predictions, source, known, random)
        counted = at.counted.cpu().numpy()
        for row, feature in enumerate(source.tolist()):
            one = {name: values[row][counted[row]] for name, values in found.items()}
            sums[feature].add(one)
        finished += len(at.places)
        if done is not None:
            done(finished)
    rows = [
        (a, b, feature, *row)
        for feature in chosen.tolist()
        for row in sums[feature].rows(feature, known)
    ]
    return pl.DataFrame(rows, FRAME, orient="row")


class _Partners:
    """Who may take a feature's place, and with which activation."""

    def __init__(
        self,
        bench: Bench,
        a: str,
        b: str,
        partners: Mapping[str, Int[ndarray, " d_sae_a"]],
        typical: Reading,
    ) -> None:
        one, other = bench.saes[a], bench.saes[b]
        rows = [torch.nn.functional.normalize(sae.W_dec.float(), dim=-1) for sae in (one, other)]
        self.cosine = (rows[0] @ rows[1].T).cpu().numpy()
        self.frequency = typical.frequency(a)
        levels = [_filled(typical.typical(name)) for name in (a, b)]
        self.ratio = levels[1][None, :] / levels[0][:, None]
        often = np.log(typical.frequency(b) + 1 / (1 + typical.n_tokens))
        size = np.log(levels[1] * other.W_dec.norm(dim=-1).cpu().numpy() + 1e-9)
        self._like = np.stack([often, size], 1)
        self._usable = ~other.excluded.cpu().numpy()
        self._seed = bench.seed
        self.by_method = {**partners, **self._controls(partners)}
        self.names = [*self.by_method, AFFECTED]

    def _controls(self, partners: Mapping[str, ndarray]) -> dict[str, ndarray]:
        """A random partner and the nearest feature that is none, for each feature of A."""
        named = np.stack([*partners.values()], 1)  # (d_sae_a, methods)
        best = named.max(1)
        first = named[np.arange(len(named)), (named >= 0).argmax(1)]
        near = self.cosine.copy()
        near[:, ~self._usable] = -np.inf
        for targets in named.T:
            some = np.flatnonzero(targets >= 0)
            near[some, targets[some]] = -np.inf
        nearest = near.argmax(1)
        like = np.where(best >= 0, first, nearest)
        found = np.full(len(named), -1)
        for feature, partner in enumerate(like.tolist()):
            apart = np.abs(self._like - self._like[partner]).sum(1)
            apart[~self._usable] = np.inf
            apart[[*named[feature][named[feature] >= 0], partner, nearest[feature]]] = np.inf
            some = np.argsort(apart, kind="stable")[:ALIKE]
            found[feature] = np.random.default_rng([self._seed, feature]).choice(some)
        return {RANDOM: found, NEAREST: nearest}


class _Sums:
    """Divergences of one feature, token by token over its windows."""

    def __init__(self) -> None:
        self._found: dict[str, list[ndarray]] = {}

    def add(self, window: Mapping[str, ndarray]) -> None:
        for name, values in window.items():
            self._found.setdefault(name, []).append(values)

    def rows(self, feature: int, known: _Partners) -> list[tuple[Any, ...]]:
        """The columns of `FRAME` from `method` on, for each method."""
        if not self._found:
            return []
        whole = {name: np.concatenate(parts) for name, parts in self._found.items()}
        total = {name: float(values.sum()) for name, values in whole.items()}
        count = len(self._found["removed"]), len(whole["removed"])
        others = [_correlation(whole["removed"], whole[name]) for name in ("other", "control")]
        frequency = float(known.frequency[feature])
        rows: list[tuple[Any, ...]] = []
        for method in known.names:
            target: int | None = None
            if method != AFFECTED:
                target = int(known.by_method[method][feature])
                target = None if target < 0 else target
            there = method == AFFECTED or target is not None
            cosine = None if target is None else float(known.cosine[feature, target])
            alone = whole.get(f"without {method}")
            rows.append(
                (
                    method,
                    target,
                    cosine,
                    frequency,
                    *count,
                    total["removed"],
                    total["control"],
                    total[method] if there else None,
                    None if alone is None or target is None else float(alone.sum()),
                    None
                    if alone is None or target is None
                    else _correlation(whole["removed"], alone),
                    *others,
                )
            )
        return rows


def _batch(
    bench: Bench,
    a: str,
    b: str,
    predictions: Predictions,
    source: ndarray,
    known: _Partners,
    random: torch.Generator,
) -> dict[str, Float[ndarray, "batch seq"]]:
    """Divergences in a batch: `removed`, `control`, each method, and `without` its partner."""
    one, other = bench.saes[a], bench.saes[b]
    hook_a, hook_b = bench.hook(a), bench.hook(b)
    at, device = predictions.at, bench.model.device
    values = predictions.read([hook_a, hook_b])
    i = torch.from_numpy(source).to(device)
    active = spread(one.encode(values[hook_a][at.counted]), at.counted)
    level = active.gather(2, i[:, None, None].expand(-1, active.shape[1], 1))[:, :, 0]
    fires = level > 0
    remove = Remove(one, i[:, None], fires)
    found = {"removed": predictions.divergence({hook_a: remove})}
    rows = fires.nonzero()[:, 0]
    others = drawn(active[fires] > 0, i[rows][:, None], random)
    shift = -along(one, others, remove.sizes[fires])
    found["control"] = predictions.divergence({hook_a: Shift(spread(shift, fires))})

    there = spread(other.encode(values[hook_b][at.counted]), at.counted)
    named = torch.from_numpy(np.stack([t[source] for t in known.by_method.values()], 1))
    another = drawn(there[:, 0] > 0, named.to(device), random)
    found["other"] = predictions.divergence({hook_b: Remove(other, another[:, None], at.counted)})

    def replaced(put: Put) -> Tensor:
        if hook_a == hook_b:
            return predictions.divergence({hook_a: Several((remove, put))})
        return predictions.divergence({hook_a: remove, hook_b: put})

    def carried(target: Tensor) -> Put:
        ratio = torch.from_numpy(known.ratio[source, target.clamp(min=0).cpu().numpy()])
        return Put(other, target, fires, level * ratio.to(level)[:, None])

    done: dict[tuple[int, ...], Tensor] = {}
    without: dict[tuple[int, ...], Tensor] = {}
    for method, targets in known.by_method.items():
        target = torch.from_numpy(targets[source]).to(device)
        key = tuple(target.tolist())
        if key not in done:
            done[key] = replaced(carried(target))
        found[method] = done[key]
        if method in (RANDOM, NEAREST):
            continue
        if key not in without:
            alone = Remove(other, target[:, None], at.counted)
            without[key] = predictions.divergence({hook_b: alone})
        found[f"without {method}"] = without[key]
    most = _most_affected(bench, b, predictions, {hook_a: remove}, values, there)
    had = there.gather(2, most[:, None, None].expand(-1, there.shape[1], 1))[:, :, 0]
    found[AFFECTED] = replaced(Put(other, most, at.counted, had))
    return {name: kl.double().cpu().numpy() for name, kl in found.items()}


def _most_affected(
    bench: Bench,
    b: str,
    predictions: Predictions,
    edits: Mapping[str, Replacement],
    values: Mapping[str, Tensor],
    there: Float[Tensor, "batch seq d_sae_b"],
) -> Int[Tensor, " batch"]:
    """The feature of B whose contribution falls most over each window."""
    sae, hook, at = bench.saes[b], bench.hook(b), predictions.at
    if hook in edits:
        changed = edits[hook](values[hook], {})
    else:
        changed = predictions.model.run(at.ids, [hook], at.mask, replace=edits)[hook]
    left = spread(sae.encode(changed[at.counted]), at.counted)
    return ((there - left).sum(1) * sae.W_dec.norm(dim=-1)).argmax(1)


def _filled(typical: ndarray) -> ndarray:
    """Typical activations; the median where a feature never fired."""
    fired = typical > 0
    return np.where(fired, typical, np.median(typical[fired]) if fired.any() else 1.0)


def _correlation(one: ndarray, other: ndarray) -> float | None:
    """Spearman's rank correlation; none of fewer than three tokens or a constant."""
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
