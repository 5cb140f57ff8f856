"""One pair on one text set: sums per example for each estimate, then scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from numpy import ndarray
from torch import Tensor

from saematch.errors import SaematchError
from saematch.evaluation.estimates import Estimate, HiddenStates
from saematch.evaluation.feature_pairs import FeaturePairs
from saematch.evaluation.fits import Fit, FitSums
from saematch.evaluation.scores import (
    Moments,
    Resamples,
    Statistic,
    explained_variance,
    matching_scores,
    ratio,
)
from saematch.evaluation.splice import Model, PaddedBatch, batches, losses
from saematch.sae.sae import SAE

SCHEMA: dict[str, Any] = {
    "estimate": pl.String,
    "links": pl.String,
    "q": pl.Float64,
    "carry": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "examples": pl.Int64,
    "tokens": pl.Int64,
}

Known = MutableMapping[str, Tensor]  # losses per example by what was spliced, to be used again


@dataclass(frozen=True, eq=False)
class SplicedPair:
    """The two SAEs of a pair and the model into which estimates are spliced."""

    model: Model
    a: SAE
    b: SAE
    batch_tokens: int = 4096

    def __post_init__(self) -> None:
        for sae in (self.a, self.b):
            site = sae.conventions.site
            if site is None:
                raise SaematchError(f"{sae.name} does not say where it sits: nowhere to splice")
            if sae.W_skip is not None or sae.d_in != sae.d_out or site.hook_out is not None:
                raise SaematchError(
                    f"{sae.name} is a transcoder: it writes elsewhere than it reads, and an "
                    "estimate of a hidden state needs an SAE"
                )

        kinds = [sae.conventions.normalisation for sae in (self.a, self.b)]
        if kinds[0] != kinds[1]:
            raise SaematchError(
                f"{self.a.name} normalises its inputs by {kinds[0]}, {self.b.name} by {kinds[1]}: "
                "what one writes is not in the other's scale"
            )

    @property
    def sites(self) -> tuple[str, str]:
        return str(self.a.conventions.site), str(self.b.conventions.site)

    def hidden_states(self, batch: PaddedBatch) -> HiddenStates:
        """The hidden states at both hook points, of the tokens that count."""
        sites = self.sites
        found = self.model.run(batch.ids, list(dict.fromkeys(sites)), batch.mask)
        for sae, site in zip((self.a, self.b), sites, strict=True):
            if found[site].shape[-1] != sae.d_in:
                raise SaematchError(
                    f"{sae.name} reads {sae.d_in} dimensions, but {site} of this model has "
                    f"{found[site].shape[-1]}: it is an SAE of another model"
                )
        # as the model has them: what an SAE is stored in must not round the true values
        x_a, x_b = (batch.values(found[site]) for site in sites)
        return HiddenStates(self.a, self.b, x_a, x_b, batch.token_example)

    @torch.no_grad()
    def fit(self, examples: Sequence[ndarray]) -> Fit:
        """Fit the baselines on a text set."""
        moments = FitSums(self.a, self.b)
        for batch in batches(examples, self.a.device, self.batch_tokens):
            states = self.hidden_states(batch)
            moments.add(states.x_a, states.x_b, states.f_a, states.f_b, batch.token_example)
        return moments.fit()


class Tally:
    """Sums per example, of the model as it is and of every estimate."""

    def __init__(
        self,
        spliced: SplicedPair,
        estimates: Sequence[Estimate],
        pairs: Mapping[str, FeaturePairs],
        n: int,
    ) -> None:
        self.spliced, self.estimates, self.pairs, self.examples = spliced, estimates, pairs, n
        device, d = spliced.a.device, spliced.b.d_in

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(n, *shape, dtype=torch.float64, device=device)

        self._tokens, self._predictions, self._loss = zeros(), zeros(), zeros()
        self._x = zeros(d), zeros(d)  # sum, sum of squares
        self._error = [(zeros(d), zeros(d)) for _ in estimates]
        self._spliced = [zeros() for _ in estimates]
        self._fired = {
            name: tuple(zeros(len(p.map.source)) for _ in range(3)) for name, p in pairs.items()
        }

    @torch.no_grad()
    def count(
        self, examples: Sequence[ndarray], known: Known | None = None, target: str = ""
    ) -> Tally:
        """Run the model over all examples, plain and with each estimate spliced in.

        Args:
            examples: token ids of each, BOS first.
            known: losses of other pairs on the same examples, used and added to where an estimate
                does not depend on A.
            target: what B is called, as no other SAE is whose losses are in `known`.
        """
        known = {} if known is None else known
        done = set(known)
        for batch in batches(examples, self.spliced.a.device, self.spliced.batch_tokens):
            with self.spliced.model.resuming(self.spliced.sites[1]):
                self._count(batch, known, done, target)
        return self

    def _count(self, batch: PaddedBatch, known: Known, done: set[str], target: str) -> None:
        model, site = self.spliced.model, self.spliced.sites[1]
        states = self.spliced.hidden_states(batch)
        self._tokens[batch.example] = batch.counted.double().sum(1)
        self._predictions[batch.example] = batch.predicted.double().sum(1)
        _add(self._x, batch, states.x_b)
        self._loss[batch.example] = self._known(
            "model", known, done, batch, lambda: losses(model, batch)
        )
        for place, estimate in enumerate(self.estimates):
            x_hat = estimate.make(states)
            _add(self._error[place], batch, x_hat - states.x_b)
            key = f"{estimate.label} at {site} by {target}" if estimate.shared else None
            self._spliced[place][batch.example] = self._known(
                key, known, done, batch, lambda x_hat=x_hat: losses(model, batch, site, x_hat)
            )
        at_a, at_b = states.f_a != 0, states.f_b != 0
        lengths = batch.counted.sum(1).tolist()
        for name, pairs in self.pairs.items():
            i, j = at_a[:, pairs.map.source], at_b[:, pairs.map.target]
            for sums, active in zip(self._fired[name], (i, j, i & j), strict=True):
                for example, tokens in zip(batch.example, active.split(lengths), strict=True):
                    sums[example] += tokens.sum(0, dtype=torch.float64)

    def _known(
        self,
        key: str | None,
        known: Known,
        done: set[str],
        batch: PaddedBatch,
        make: Callable[[], Tensor],
    ) -> Tensor:
        """Losses per example of the batch, computed once for each key."""
        if key is None:
            return make()
        if key not in done:
            kept = known.setdefault(key, torch.zeros_like(self._loss))
            kept[batch.example] = make()
        return known[key][batch.example]

    def frame(self, resamples: Resamples) -> pl.DataFrame:
        """Every figure in the columns of `SCHEMA`."""
        predictions, tokens = _numpy(self._predictions), _numpy(self._tokens)
        rows: list[dict[str, Any]] = []

        def put(what: dict[str, Any], metric: str, statistic: Statistic, n: ndarray) -> None:
            of = resamples.interval(statistic)
            figures = {"value": of.value, "low": of.low, "high": of.high}
            count = {"examples": self.examples, "tokens": int(n.sum())}
            rows.append({**what, "metric": metric, **figures, **count})

        x = Moments(tokens, *map(_numpy, self._x))
        put({"estimate": "model"}, "loss", ratio(_numpy(self._loss), predictions), predictions)
        dropped = next((i for i, e in enumerate(self.estimates) if e.name == "drop"), None)
        for place, estimate in enumerate(self.estimates):
            what = _settings(estimate)
            more = _numpy(self._spliced[place] - self._loss)
            put(what, "delta-loss", ratio(more, predictions), predictions)
            if dropped not in (None, place):
                beyond = _numpy(self._spliced[place] - self._spliced[dropped])
                put(what, "delta-loss less drop's", ratio(beyond, predictions), predictions)
            error = Moments(tokens, *map(_numpy, self._error[place]))
            for metric, statistic in explained_variance(x, error).items():
                put(what, metric, statistic, tokens)
        for name, pairs in self.pairs.items():
            for links in ("assigned", "matched") if name != "identity" else (None,):
                matched = pairs.map.matched.cpu().numpy()
                some = matched if links == "matched" else slice(None)
                fired = [_numpy(sums)[:, some] for sums in self._fired[name]]
                for metric, statistic in matching_scores(*fired).items():
                    put({"estimate": name, "links": links}, metric, statistic, tokens)
        return pl.DataFrame(rows, schema=SCHEMA).fill_nan(None)


def _settings(estimate: Estimate) -> dict[str, Any]:
    return {
        "estimate": estimate.name,
        "links": estimate.links,
        "q": estimate.quantile,
        "carry": estimate.carry,
    }


def _add(sums: tuple[Tensor, Tensor], batch: PaddedBatch, values: Tensor) -> None:
    values = values.double()
    sums[0].index_add_(0, batch.token_example, values)
    sums[1].index_add_(0, batch.token_example, values.pow(2))


def _numpy(values: Tensor) -> ndarray:
    return values.cpu().numpy()
