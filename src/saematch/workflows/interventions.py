"""The experiments of `saematch intervene` on one run: its SAEs, texts, and what methods say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy import ndarray
from torch import Tensor

from saematch.activations.correlations import correlations
from saematch.activations.massive import checked_times, norm_limits, without_massive
from saematch.causal.average import average_effects, effect_edges, foretold
from saematch.causal.bench import Bench
from saematch.causal.deactivation import Step, deactivation
from saematch.causal.joint import joint
from saematch.causal.predecessors import TOP, assigned, by_correlation, by_cosine, by_effect
from saematch.causal.reading import Reading
from saematch.causal.substitution import substitution
from saematch.errors import RunError
from saematch.layers.layers import Layers
from saematch.layers.tracks import MODES, Mode, tracks
from saematch.models.language_model import LanguageModel
from saematch.progress import Progress
from saematch.progress import Step as Told
from saematch.runs.run import Run
from saematch.sae.sae import SAE
from saematch.workflows.from_model import FOLDER
from saematch.workflows.jacobians import Jacobians

LEAST = 3  # members of a track that is removed as a whole
COSINE, CORRELATION, EFFECT = (
    "nearest by cosine",
    "nearest by correlation",
    "largest average effect",
)


class Subject:
    """All that experiments are made of.

    Args:
        bench: the model, the SAEs, and the text that features are tried on.
        fit: another text, from which it is learnt how often, how strongly and with what they fire.
        layers: the run.
        matched: what runs of the same SAEs found, by method.
    """

    def __init__(
        self, bench: Bench, fit: Reading, layers: Layers, matched: Mapping[str, Layers]
    ) -> None:
        self._bench, self._fit, self._layers, self._matched = bench, fit, layers, matched
        self._effects: dict[tuple[str, str], Tensor] = {}

    def jacobians(self, run: Run, steps: Sequence[Step], tell: Progress) -> None:
        """Average effects of every pair of SAEs that a step joins."""
        model, saes = self._bench.model, self._bench.saes
        known = Jacobians(model.name, lambda: model, model.device)
        pairs = [(step.sources[0], step.target) for step in steps if len(step.sources) == 1]
        sites = [tuple(_site(saes[name]) for name in pair) for pair in pairs]
        known.prepare(sites, run.path / FOLDER / "jacobians", tell)
        for a, b in pairs:
            found = known.between(saes[a], saes[b])
            self._effects[a, b] = average_effects(saes[a], saes[b], found)

    def deactivated(self, step: Step | None, features: int) -> pl.DataFrame:
        assert step is not None
        methods = {source: self._predecessors(source, step.target) for source in step.sources}
        found = deactivation(self._bench, step, methods, features)
        if len(step.sources) > 1:
            nothing = pl.lit(None, pl.Float64)
            return found.with_columns(foretold=nothing, cosine=nothing)
        single = foretold(found, self._bench.saes, lambda a, b: self._effects[a, b]).select(
            "a", "b", "feature", "method", "foretold", "cosine"
        )
        keys = ["a", "b", "feature", "method"]
        of_removal = found.join(single, on=keys, how="left", maintain_order="left")
        return of_removal.with_columns(
            pl.when(~pl.col("control")).then(name).alias(name) for name in ("foretold", "cosine")
        )

    def substituted(
        self, step: Step | None, features: int, windows: int, after: int
    ) -> pl.DataFrame:
        assert step is not None
        a, b = step.sources[0], step.target
        partners, scores = self._partners(a, b)
        found = substitution(self._bench, a, b, partners, self._fit, features, windows, after)
        rows = [
            (method, feature, *(float(values[feature]) for values in of))
            for method, of in scores.items()
            for feature in found["source"].unique()
        ]
        columns = {
            "method": pl.String,
            "source": pl.Int64,
            "p_value": pl.Float64,
            "score": pl.Float64,
        }
        more = pl.DataFrame(rows, columns, orient="row").fill_nan(None)
        joined = found.join(more, on=["method", "source"], how="left", maintain_order="left")
        source, target = joined["source"].to_numpy(), joined["target"].fill_null(0).to_numpy()
        together = correlations(self._fit.active[a], self._fit.active[b], source, target)
        firing = pl.when(pl.col("target").is_not_null()).then(pl.lit(pl.Series(together)))
        return joined.with_columns(firing.alias("correlation"))

    def effects(self, step: Step | None) -> pl.DataFrame:
        assert step is not None
        a, b = step.sources[0], step.target
        saes, pair = self._bench.saes, self._layers.pairs[a, b]
        return effect_edges((a, b), saes[a], saes[b], self._effects[a, b], pair)

    def whole(self, most: int, mode: Mode, windows: int, after: int) -> pl.DataFrame:
        bench = self._bench
        frame = tracks(MODES[mode](self._layers))
        members = frame.group_by("track", maintain_order=True).agg("site", "feature")
        long = members.filter(pl.col("site").list.len() >= LEAST)
        order = np.random.default_rng(bench.seed).permutation(len(long))
        chosen: list[tuple[int, list[tuple[str, int]]]] = []
        for track, sites, features in long[order].iter_rows():
            one = [*zip(sites, features, strict=True)]
            if len(chosen) < most and len(bench.reading.firings(*one[0])):
                chosen.append((track, one))
        return joint(bench, chosen, windows, after)

    def _predecessors(self, a: str, b: str) -> dict[str, ndarray]:
        one, other = self._bench.saes[a], self._bench.saes[b]
        found: dict[str, ndarray] = {}
        for name, method in self._matched.items():
            pair = method.pairs.get((a, b))
            if pair is not None:
                found[name] = assigned(pair)
        cosine, correlation = by_cosine(one, other), by_correlation(self._fit, a, b)
        effect = by_effect(self._effects[a, b], self._fit.active[a].moments()[1])
        for name, every in ((COSINE, cosine), (CORRELATION, correlation), (EFFECT, effect)):
            found[name] = every[:, :1]
            found[f"{TOP} {name}"] = every
        return found

    def _partners(
        self, a: str, b: str
    ) -> tuple[dict[str, ndarray], dict[str, tuple[ndarray, ndarray]]]:
        """By method the partners of A's features, and the p-value and score of each."""
        one, other = self._bench.saes[a], self._bench.saes[b]
        partners: dict[str, ndarray] = {}
        scores: dict[str, tuple[ndarray, ndarray]] = {}
        for name, method in self._matched.items():
            pair = method.pairs.get((a, b))
            if pair is not None:
                partners[name], scores[name] = pair.target, (pair.p_value, pair.score)
        none = np.full(one.d_sae, np.nan)
        nearest = by_cosine(other, one, 1)[:, 0]
        partners[COSINE], scores[COSINE] = nearest, (none, _cosines(one, other, nearest))
        alike = by_correlation(self._fit, b, a, 1)[:, 0]
        every, active = np.arange(one.d_sae), self._fit.active
        firing = correlations(active[a], active[b], every, np.maximum(alike, 0))
        partners[CORRELATION], scores[CORRELATION] = alike, (none, firing)
        spread = self._fit.active[b].moments()[1]
        weight = 1 / np.maximum(spread, spread[spread > 0].min() if (spread > 0).any() else 1.0)
        effects = self._effects[a, b]
        caused = by_effect(effects.T, weight * (spread > 0), 1)[:, 0]
        strength = effects[every, np.maximum(caused, 0)].cpu().double().numpy()
        partners[EFFECT] = caused
        scores[EFFECT] = none, strength * weight[np.maximum(caused, 0)]
        return partners, scores


def matched(run: Run, others: Sequence[Run]) -> dict[str, Layers]:
    """The runs by their methods' names, or where two have one by that and their folders'."""
    every = [run, *others]
    sums = {name: run.sae(name).checksum for name in run.names}
    for other in others:
        if {name: other.sae(name).checksum for name in other.names} != sums:
            raise RunError(f"{other.path} is a run of other SAEs than {run.path}")
    methods = [next(iter(one.summaries.values())).method for one in every]
    names = [
        f"{method} ({one.path.name})" if methods.count(method) > 1 else method
        for one, method in zip(every, methods, strict=True)
    ]
    if len(set(names)) < len(names):
        raise RunError("a run is given twice, or two of one method in folders of one name")
    return {name: Layers.of(one) for name, one in zip(names, every, strict=True)}


def _site(sae: SAE) -> Any:
    return sae.conventions.site


def _cosines(a: SAE, b: SAE, target: ndarray) -> ndarray:
    rows = [torch.nn.functional.normalize(sae.W_dec, dim=-1) for sae in (a, b)]
    at = torch.from_numpy(target).to(rows[1].device)
    return (rows[0] * rows[1][at]).sum(-1).cpu().double().numpy()


def read(
    language: LanguageModel,
    saes: Mapping[str, SAE],
    hooks: Sequence[str],
    tried: Sequence[ndarray],
    fitted: Sequence[ndarray],
    massive: float | None,
    tell: Progress,
) -> tuple[Reading, Reading]:
    """What the SAEs do on the text that is tried, and on the one that is learnt from."""
    times = checked_times(massive)
    limits = {} if times is None else norm_limits(language, hooks, fitted, times)
    found: list[Reading] = []
    for number, examples in enumerate((tried, fitted)):
        tell(Told("reading text", number, 2))
        masked = [*without_massive(language, limits, examples)] if limits else [*examples]
        found.append(Reading.of(language, saes, masked, limits))
    tell(Told("reading text", 2, 2))
    return found[0], found[1]
