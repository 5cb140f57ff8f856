"""Matchings evaluated on texts: pair by pair, text set by text set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy import ndarray

from saematch.errors import SaematchError
from saematch.evaluation.estimates import (
    ESTIMATES,
    Estimate,
    baselines,
    of_chain,
    of_pairs,
    registered,
)
from saematch.evaluation.feature_pairs import FeaturePairs
from saematch.evaluation.fits import Fit
from saematch.evaluation.per_example import SCHEMA, Known, SplicedPair, Tally
from saematch.evaluation.scores import Resamples
from saematch.evaluation.splice import Model
from saematch.layers.layers import depth
from saematch.matching.feature_map import FeatureMap
from saematch.matching.matching import Matching
from saematch.sae.folding import FOLDS
from saematch.sae.sae import SAE, Site

Texts = Mapping[str, Sequence[ndarray]]  # token ids of each example, BOS first, by text set
Names = tuple[str, str]
# a text set by name, or examples of its own with a name; none: the first text set
FitOn = str | tuple[str, Sequence[ndarray]] | None
More = Callable[[SAE, SAE, Fit], Iterable[Estimate]]

PAIR_SCHEMA: dict[str, Any] = {
    "a": pl.String,
    "b": pl.String,
    "skipped": pl.Float64,  # blocks of the model between the two sites
    "method": pl.String,
    "find": pl.String,  # what vectors were folded by when matches were found
    "texts": pl.String,
    "fit": pl.String,  # the text set that baselines were fitted on
    **SCHEMA,
}


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and the number of bootstrap resamples for intervals."""

    carry: tuple[str, ...] = ("auto", "none")  # ways of rescaling; variants use the first
    quantiles: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)  # of the partial variant
    resamples: int = 1000
    seed: int = 0
    transports: tuple[int, ...] = ()  # edges per feature of sparse transports, fitted if any
    estimates: tuple[str, ...] = ()  # of other packages, by their names in `ESTIMATES`
    massive: float | None = None  # times the median norm, beyond which a token was left out
    jacobian: bool = False  # estimates by the model's mean Jacobian

    def __post_init__(self) -> None:
        if least := [k for k in self.transports if k < 1]:
            raise SaematchError(f"transports has {least[0]}; they are edges per feature, from 1")
        allowed = ("auto", *FOLDS)
        unknown = [way for way in self.carry if way not in allowed]
        if unknown or not self.carry:
            found = repr(unknown[0]) if unknown else "empty"
            raise SaematchError(f"carry is {found}; it takes any of {', '.join(allowed)}")
        if wrong := [q for q in self.quantiles if not 0 <= q <= 1]:
            raise SaematchError(f"quantiles has {wrong[0]}; they are shares, from 0 to 1")
        for name in self.estimates:
            ESTIMATES[name]


@dataclass(frozen=True, eq=False)
class Case:
    """A pair to evaluate: its SAEs, and its features paired directly, by a chain, or both."""

    names: Names
    a: SAE
    b: SAE
    direct: FeaturePairs | None
    chain: FeaturePairs | None
    method: str
    find: str

    def pairs(self) -> dict[str, FeaturePairs]:
        """The maps that get matching scores, by name; `identity` maps feature i to feature i."""
        found = {"match": self.direct, "composed": self.chain}
        if self.a.d_sae == self.b.d_sae:
            identity = FeatureMap.identity(self.a.d_sae, self.a.device)
            none = torch.zeros(self.a.d_sae, device=self.a.device)
            found["identity"] = FeaturePairs(self.a, self.b, identity, none, "none")
        return {name: pairs for name, pairs in found.items() if pairs is not None}

    def estimates(self, fit: Fit, options: EvaluationOptions, more: More | None) -> list[Estimate]:
        """Baselines, all estimates that the pairs give, and those that were added."""
        ways = [None if way == "auto" else way for way in options.carry]
        typical = fit.activation
        found = baselines(fit)
        if self.direct is not None:
            found += of_pairs(self.direct, ways, options.quantiles, typical)  # pyright: ignore[reportArgumentType]
        if self.chain is not None:
            found += of_chain(self.chain, ways[0], typical)  # pyright: ignore[reportArgumentType]
        found += registered(options.estimates, self.a, self.b, fit, self.direct)
        return [*found, *(more(self.a, self.b, fit) if more else ())]


def evaluate_matchings(
    matchings: Matching | Iterable[Matching],
    model: Model,
    texts: Texts,
    fit: FitOn = None,
    options: EvaluationOptions | None = None,
    more: More | None = None,
) -> pl.DataFrame:
    """What matchings are worth when hidden states are carried along them.

    Args:
        matchings: one or several; A's site must come before B's, or be the same.
        model: the language model that their SAEs are of (`saematch.activations.open_model`).
        texts: token ids of each example, BOS first, by the name of the text set. Tokens that masked
            arrays mask do not count (`saematch.activations.without_massive`).
        fit: what least squares and the mean are fitted on: one of `texts`, whose own figures are
            then those of a map that has seen them, or a name and examples apart from `texts`. The
            first of `texts` unless given.
        options: ways of rescaling, quantiles, bootstrap.
        more: further estimates of a pair, such as a transport fitted between its features.

    Returns:
        One row per figure: `a`, `b`, `skipped`, `method`, `find`, `texts`, `fit`, `estimate` (see
        `saematch.evaluation.estimates.ABOUT`), `links`, `q`, `carry`, `metric`, `value`, and its
        95 % interval `low`, `high`; `examples`, `tokens`.
    """
    every = [matchings] if isinstance(matchings, Matching) else list(matchings)
    chosen, fitted = options or EvaluationOptions(), fit_texts(texts, fit)
    frames = []
    for m in every:
        a, b = single(m.a), single(m.b)
        pairs = replace(FeaturePairs.of(m), a=a, b=b)
        case = Case((a.name, b.name), a, b, pairs, None, m.method.name, m.fold)
        for _, frame in evaluated(case, model, texts, list(texts), fitted, chosen, {}, more):
            frames.append(frame)
    return pl.concat(frames) if frames else pl.DataFrame(schema=PAIR_SCHEMA)


def single(sae: SAE) -> SAE:
    """The SAE in float32, which hidden states are read in whatever weights are stored in."""
    return sae if sae.dtype == torch.float32 else sae.to(dtype=torch.float32)


def skipped(a: Site | None, b: Site | None) -> float:
    """Blocks of the model between two sites; half of one between a block's middle and its end."""
    return _position(b) - _position(a)


def digest(examples: Sequence[ndarray]) -> str:
    """A checksum of a text set: of the token ids of every example."""
    found = hashlib.sha256()
    for ids in examples:
        found.update(f"{len(ids)}\n".encode())
        found.update(np.asarray(ids, dtype="<i8").tobytes())
    return f"sha256:{found.hexdigest()}"


def evaluated(
    case: Case,
    model: Model,
    texts: Texts,
    wanted: Sequence[str],
    fitted: tuple[str, Sequence[ndarray]],
    options: EvaluationOptions,
    known: Mapping[str, Known],
    more: More | None,
    batch_tokens: int = 4096,
    begun: Callable[[Names, str | None], None] = lambda names, texts: None,
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The table of a pair for each of the wanted text sets."""
    spliced = SplicedPair(model, case.a, case.b, batch_tokens)
    if not ahead(case.a.conventions.site, case.b.conventions.site):
        raise SaematchError(
            f"{case.names[0]} does not come before {case.names[1]} in the model: a hidden state "
            "can be carried forward only"
        )
    begun(case.names, None)
    fit = spliced.fit(fitted[1])
    estimates = case.estimates(fit, options, more)
    apart = skipped(case.a.conventions.site, case.b.conventions.site)
    for name in wanted:
        begun(case.names, name)
        examples = texts[name]
        tally = Tally(spliced, estimates, case.pairs(), len(examples))
        tally.count(examples, known.get(name), case.names[1])
        frame = tally.frame(Resamples(len(examples), options.resamples, options.seed))
        about = {
            "a": case.names[0],
            "b": case.names[1],
            "skipped": apart,
            "method": case.method,
            "find": case.find,
            "texts": name,
            "fit": fitted[0],
        }
        yield (
            name,
            frame.with_columns(**{k: pl.lit(v) for k, v in about.items()}).select(
                pl.col(column).cast(kind) for column, kind in PAIR_SCHEMA.items()
            ),
        )


def fit_texts(texts: Texts, fit: FitOn) -> tuple[str, Sequence[ndarray]]:
    """The name and the examples of the text set that baselines are fitted on."""
    if not texts:
        raise SaematchError("evaluate needs a text set at least")
    if fit is None or isinstance(fit, str):
        name = next(iter(texts)) if fit is None else fit
        if name not in texts:
            raise SaematchError(f"fit is {fit!r}; there are the text sets {', '.join(texts)}")
        return name, texts[name]
    return fit


def ahead(a: Site | None, b: Site | None) -> bool:
    """Whether A reads the same stream as B and not after it."""
    first, second = depth(a), depth(b)
    if a is None or b is None or first is None or second is None:
        return True
    return a.stream == b.stream and first <= second


def _position(site: Site | None) -> float:
    if site is None or site.layer is None:
        return float("nan")
    return site.layer + {"resid_mid": 0.5, "resid_post": 1.0}.get(site.kind, 0.0)
