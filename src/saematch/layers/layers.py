"""A run read as layers: its SAEs in order of depth, its pairs as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy import ndarray

from saematch.matching.fdr import cut
from saematch.matching.feature_map import FeatureMap
from saematch.numerics.ranked import Ranked
from saematch.runs.run import Run
from saematch.sae.sae import Site

# in the order of one block
_WITHIN = (
    "resid_pre",
    "attn_z",
    "attn_out",
    "resid_mid",
    "mlp_in",
    "mlp_out",
    "resid_post",
)
STREAM = "residual stream"


@dataclass(frozen=True, eq=False)
class Pair:
    """What a run holds on SAEs A and B, with n and m features; -1 and NaN stand for none."""

    target: ndarray  # int64 (n,)
    matched: ndarray  # bool (n,): has a significant target
    score: ndarray  # float64 (n,), as all that follow; of the target
    cosine: ndarray  # (n,) of the decoder rows
    p_value: ndarray  # (n,)
    candidates: Ranked[ndarray]  # the best targets of A's features
    sources: Ranked[ndarray]  # the best features of A for each of B, with `decoder_cosine`

    @property
    def partner(self) -> ndarray:
        """`target` where it is matched, else -1."""
        return np.where(self.matched, self.target, -1)


@dataclass(frozen=True, eq=False)
class Layers:
    """The SAEs of a run in order of depth; those of one depth in the order they were given.

    Where any hook point is not known, all stay in the order they were given.
    """

    names: tuple[str, ...]
    sites: Mapping[str, Site | None]
    features: Mapping[str, int]  # how many
    excluded: Mapping[str, ndarray]  # bool (features,): takes no part in one of the matchings
    pairs: Mapping[tuple[str, str], Pair]
    fdr: float = 0.01  # false discovery rate of its matches

    @classmethod
    def of(cls, run: Run | str | Path) -> Layers:
        """The layers of a run; each pair is read when it is first used.

        Raises:
            RunError: there is no such run, or its tables cannot be read.
        """
        run = run if isinstance(run, Run) else Run.open(run)
        sites = {name: run.sae(name).site for name in run.names}
        names = _ordered(sites)
        return cls(
            names=names,
            sites=sites,
            features={name: run.sae(name).d_sae for name in names},
            excluded=_excluded(run),
            pairs=_Pairs(run),
            fdr=run.record.options.get("fdr") or cls.fdr,
        )

    @classmethod
    def planned(cls, sites: Mapping[str, Site | None]) -> Layers:
        """The layers of SAEs of which no more than their hook points is known, by name."""
        return cls(_ordered(sites), sites, features={}, excluded={}, pairs={})

    @property
    def streams(self) -> dict[str, tuple[str, ...]]:
        """The SAEs by the stream they read, in order of depth; the residual stream if not known."""
        found: dict[str, list[str]] = {}
        for name in self.names:
            site = self.sites[name]
            found.setdefault(STREAM if site is None else site.stream, []).append(name)
        return {stream: tuple(names) for stream, names in found.items()}

    @cached_property
    def chain(self) -> tuple[str, ...]:
        """The SAEs that tracks run along: of the residual stream, else of the first stream."""
        streams = self.streams
        return streams.get(STREAM) or next(iter(streams.values()), ())

    def cut(self, name: str, p_values: ndarray) -> float:
        """The p-value up to which an SAE's features are significant; excluded ones are not tested.

        Args:
            name: of the SAE.
            p_values: float64 (features,).
        """
        return cut(p_values[~self.excluded[name]], self.fdr)

    def map(self, a: str, b: str) -> FeatureMap:
        """The map along all assigned pairs of two SAEs that the run has matched."""
        pair = self.pairs[a, b]
        target, matched = torch.tensor(pair.target), torch.tensor(pair.matched)
        return FeatureMap.of(target, self.features[b], matched)

    def adjacent(self) -> list[tuple[str, str]]:
        """Neighbours along `chain`, whether or not the run has matched them."""
        return list(zip(self.chain, self.chain[1:], strict=False))


class _Pairs(Mapping[tuple[str, str], Pair]):
    """The pairs of a run, read when they are asked for."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._done = dict.fromkeys(run.pairs)
        self._read: dict[tuple[str, str], Pair] = {}

    def __getitem__(self, pair: tuple[str, str]) -> Pair:
        if pair not in self._read:
            if pair not in self._done:
                raise KeyError(pair)
            self._read[pair] = read_pair(self._run, *pair)
        return self._read[pair]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._done)

    def __contains__(self, pair: object) -> bool:
        return pair in self._done

    def __len__(self) -> int:
        return len(self._done)


def _ordered(sites: Mapping[str, Site | None]) -> tuple[str, ...]:
    depths = {name: key for name, site in sites.items() if (key := depth(site)) is not None}
    known = len(depths) == len(sites)
    return tuple(sorted(sites, key=depths.__getitem__) if known else sites)


def read_pair(run: Run, a: str, b: str) -> Pair:
    """A pair's tables as arrays.

    Raises:
        RunError: the run has no such pair, or its tables cannot be read.
    """
    table = run.pair(a, b)
    # cosines are kept of sources only
    more = "p_value", "decoder_cosine"
    return Pair(
        target=table["target"].fill_null(-1).to_numpy(),
        matched=table["matched"].to_numpy(),
        score=_numbers(table, "score"),
        cosine=_numbers(table, "decoder_cosine"),
        p_value=_numbers(table, "p_value"),
        candidates=Ranked.from_polars(run.candidates(a, b), "target", run.sae(a).d_sae, more),
        sources=Ranked.from_polars(run.sources(a, b), "source", run.sae(b).d_sae, more),
    )


def depth(site: Site | None) -> tuple[int, int] | None:
    """A key that orders hook points by their place in the model; None where it is not known."""
    if site is None or site.layer is None or site.kind not in _WITHIN:
        return None
    return site.layer, _WITHIN.index(site.kind)


def _excluded(run: Run) -> dict[str, ndarray]:
    """Features that are unusable, or that folding left out of any of the run's pairs."""
    unusable = {name: run.features(name)["excluded"].is_not_null().to_numpy() for name in run.names}
    excluded = {name: some.copy() for name, some in unusable.items()}
    for (a, b), figures in run.summaries.items():
        # tables are read only of pairs that left out more
        if figures["excluded_a"] > unusable[a].sum():
            excluded[a] |= run.pair(a, b)["excluded"].is_not_null().to_numpy()
        if figures["excluded_b"] > unusable[b].sum():
            matched = run.sources(a, b)["feature"].to_numpy()
            if len(matched):  # else nothing of A was left to be a source
                excluded[b] |= ~np.isin(np.arange(len(excluded[b])), matched)
    return excluded


def _numbers(table: pl.DataFrame, column: str) -> ndarray:
    return table[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
