"""Deactivation: does a feature stop firing when the feature that it comes from is removed?

Feature Flow's experiment (Laptev et al., 2025, section 5): where a feature of B fires, the
contribution of its predecessor in A is taken out of the hidden state at that token, and B's feature
is read again. It is a success if it no longer fires.

    activation change = 1 - after / before

Beside the methods that name predecessors stand

    random active       one of A's features that fire there, at random
    best active         of all A's features that fire there the one whose removal tells most: the
                        ceiling, found by trying each
    a control for each  as much taken out along the decoder row of a random active feature, so that
                        the size of what a method removes counts for nothing
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from saematch.causal.bench import Bench
from saematch.causal.edits import Remove, Shift, along, drawn
from saematch.causal.predecessors import Predecessors
from saematch.causal.reading import Windows, batched
from saematch.models.continued import continued
from saematch.models.language_model import Replacement
from saematch.sae.sae import SAE

RANDOM, CEILING = "random active", "best active"

FRAME: dict[str, Any] = {
    "a": pl.String,  # one SAE, or several with + between them
    "b": pl.String,
    "feature": pl.Int64,  # of B
    "example": pl.Int64,
    "position": pl.Int64,
    "method": pl.String,
    "control": pl.Boolean,  # as much removed along a random active feature
    "sources": pl.List(pl.Int64),  # features of A that were removed
    "active": pl.Int64,  # how many of them fired there
    "size": pl.Float64,  # norm of what was removed
    "before": pl.Float64,  # activation of B's feature
    "after": pl.Float64,
    "pre_before": pl.Float64,  # and its pre-activation
    "pre_after": pl.Float64,
}


@dataclass(frozen=True)
class Step:
    """From which SAEs to which: several are changed together."""

    sources: tuple[str, ...]  # in order of depth
    target: str

    @property
    def name(self) -> str:
        return "+".join(self.sources)


def deactivation(
    bench: Bench,
    step: Step,
    methods: Mapping[str, Mapping[str, Int[ndarray, "d_sae_b k"]]],
    features: int,
    done: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Remove what methods say that features of B come from, one firing of each feature.

    Args:
        bench: the model, the SAEs and a text.
        step: from which SAEs to which.
        methods: for each of the step's sources by name, predecessors by method. A method that
            stands under some of the sources is applied to those.
        features: how many of B's to draw at random among those that fire on the text.
        done: called with the number of features that are done.

    Returns:
        One row per feature, method and its control: see `FRAME`.
    """
    saes = [bench.saes[name] for name in step.sources]
    known = {name: _of_sources(methods, step, name) for name in _names(methods, step)}
    chosen = bench.chosen(step.target, features)
    windows = [bench.windows(step.target, int(feature), 1, 1)[0] for feature in chosen]
    random = torch.Generator().manual_seed(bench.seed)
    rows: list[tuple[Any, ...]] = []
    finished = 0
    device = bench.model.device
    for at in batched(bench.reading.examples, windows, device, bench.batch_tokens):
        case = _Cases(bench, step, saes, at, torch.from_numpy(chosen[at.places]).to(device))
        with bench.model.resuming(bench.hook(step.sources[0])):
            case.begin()
            results = [*case.tried(known, random)]
        for place, number in enumerate(at.places.tolist()):
            if not case.before[1][place] > 0:
                continue  # at the edge of its threshold: read in another batch it does not fire
            window = windows[number]
            where = (step.name, step.target, int(chosen[number]), window.example, window.start)
            rows += [(*where, *result.row(place, case.before)) for result in results]
        finished += len(at.places)
        if done is not None:
            done(finished)
    return pl.DataFrame(rows, FRAME, orient="row")


@dataclass(frozen=True, eq=False)
class _Result:
    """What one removal did in each case of a batch."""

    method: str
    control: bool
    features: Int[Tensor, "cases k"]
    active: Int[Tensor, " cases"]
    size: Float[Tensor, " cases"]
    pre: Float[Tensor, " cases"]
    activation: Float[Tensor, " cases"]

    def row(self, place: int, before: tuple[Tensor, Tensor]) -> tuple[Any, ...]:
        features = [f for f in self.features[place].tolist() if f >= 0]
        return (
            self.method,
            self.control,
            features,
            int(self.active[place]),
            float(self.size[place]),
            float(before[1][place]),
            float(self.activation[place]),
            float(before[0][place]),
            float(self.pre[place]),
        )


class _Cases:
    """The cases of one batch: each a row, changed and read at its last token."""

    before: tuple[Tensor, Tensor]  # pre-activations and activations of B's features

    def __init__(
        self, bench: Bench, step: Step, saes: Sequence[SAE], at: Windows, feature: Tensor
    ) -> None:
        self._saes, self._at, self._feature = saes, at, feature
        self._b = bench.saes[step.target]
        self._hooks = [bench.hook(name) for name in step.sources]
        self._target = bench.hook(step.target)
        self._model = continued(bench.model, at.before, at.before_mask, self._target)

    def begin(self) -> None:
        """The model as it is: what fires at the sources, and what B's features read."""
        at = self._at
        hooks = [*dict.fromkeys((*self._hooks, self._target))]
        values = self._model.run(at.ids, hooks, at.mask)
        self._active = [
            sae.encode(values[hook][:, 0])
            for sae, hook in zip(self._saes, self._hooks, strict=True)
        ]
        self.before = self._read(values[self._target])

    def tried(
        self, methods: Mapping[str, Sequence[ndarray | None]], random: torch.Generator
    ) -> Iterator[_Result]:
        """What every method does, its control, and the two that need none."""
        cases = self._feature.cpu().numpy()
        for name, of_sources in methods.items():
            features = [
                torch.full((len(cases), 1), -1, device=self._feature.device)
                if found is None
                else torch.from_numpy(found[cases]).to(self._feature.device)
                for found in of_sources
            ]
            yield from self._with_control(name, features, random)
        firing = [f > 0 for f in self._active]
        none = self._feature.new_full((len(cases), 1), -1)
        one = [drawn(active, none, random)[:, None] for active in firing]
        yield self._removed(RANDOM, one)
        best = [self._best(place) for place in range(len(self._saes))]
        yield from self._with_control(CEILING, best, random)

    def _with_control(
        self, name: str, features: Sequence[Tensor], random: torch.Generator
    ) -> Iterator[_Result]:
        removed, edits = self._removed(name, features), self._edits
        yield removed
        shifts: dict[str, Replacement] = {}
        for hook, sae, active, edit, feature in zip(
            self._hooks, self._saes, self._active, edits, features, strict=True
        ):
            other = drawn(active > 0, feature, random)
            shifts[hook] = Shift(-along(sae, other, edit.sizes[:, 0])[:, None])
        pre, activation = self._passed(shifts)
        yield _Result(name, True, removed.features, removed.active, removed.size, pre, activation)

    def _removed(self, name: str, features: Sequence[Tensor]) -> _Result:
        self._edits = [
            Remove(sae, feature, self._at.counted)
            for sae, feature in zip(self._saes, features, strict=True)
        ]
        pre, activation = self._passed(dict(zip(self._hooks, self._edits, strict=True)))
        sizes = torch.stack([edit.sizes[:, 0] for edit in self._edits])
        active = sum(
            ((f.gather(1, one.clamp(min=0)) > 0) & (one >= 0)).sum(1)
            for f, one in zip(self._active, features, strict=True)
        )
        assert isinstance(active, Tensor)
        size = sizes.norm(dim=0)
        return _Result(name, False, torch.cat([*features], 1), active, size, pre, activation)

    def _best(self, place: int) -> Tensor:
        """By trying each: the feature of one source whose removal lowers B's most."""
        active = self._active[place] > 0
        # the active features of each case one after another, -1 where there are no more
        order = torch.where(active, active.cumsum(1) - 1, active.shape[1])
        most = int(active.sum(1).max())
        listed = torch.full((len(active), active.shape[1] + 1), -1, device=active.device)
        numbers = torch.arange(active.shape[1], device=active.device).expand_as(order)
        listed.scatter_(1, order, numbers)
        least = torch.full_like(self.before[0], torch.inf)
        best = torch.full_like(self._feature, -1)
        for tried in listed[:, :most].T:
            edit = Remove(self._saes[place], tried[:, None], self._at.counted)
            pre, activation = self._passed({self._hooks[place]: edit})
            # those that no longer fire are told apart by their pre-activations
            found = torch.where(activation > 0, activation, pre.clamp(max=0))
            better = (tried >= 0) & (found < least)
            least, best = torch.where(better, found, least), torch.where(better, tried, best)
        return best[:, None]

    def _passed(self, edits: Mapping[str, Replacement]) -> tuple[Tensor, Tensor]:
        at = self._at
        values = self._model.run(at.ids, [self._target], at.mask, replace=edits)
        return self._read(values[self._target])

    def _read(self, value: Tensor) -> tuple[Tensor, Tensor]:
        pre = self._b.pre_activations(value[:, 0])
        here = self._feature[:, None]
        return pre.gather(1, here)[:, 0], self._b.activate(pre).gather(1, here)[:, 0]


def _names(methods: Mapping[str, Predecessors], step: Step) -> list[str]:
    """The methods that know predecessors at one of the sources at least."""
    return [*dict.fromkeys(name for source in step.sources for name in methods[source])]


def _of_sources(methods: Mapping[str, Predecessors], step: Step, name: str) -> list[ndarray | None]:
    return [methods[source].get(name) for source in step.sources]
