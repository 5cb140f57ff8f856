"""The Jacobians between the hook points of SAEs, block by block, kept in a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from saematch.errors import SaematchError
from saematch.layers.layers import depth
from saematch.models.generate import random_tokens
from saematch.models.hook_points import site_of
from saematch.models.jacobian import Jacobian, mean_jacobians
from saematch.models.language_model import LanguageModel
from saematch.progress import Progress, Step
from saematch.sae.sae import SAE, Site

SEQUENCES, LENGTH = 2, 200  # of random tokens, and the tokens of each
OF = {"of": "random tokens", "sequences": SEQUENCES, "length": LENGTH}


class Jacobians:
    """Mean Jacobians of a model, over random tokens, from one SAE's hook point to another's.

    Along the residual stream a Jacobian over several blocks is the product of those of each block.
    It finds matches as good as a mean taken over all of them at once, and every pair of a run is
    made of the same few.
    """

    def __init__(
        self, name: str, opened: Callable[[], LanguageModel], device: torch.device
    ) -> None:
        self._opened, self._device = opened, device
        self._made_of: dict[str, Any] = {"model": name, **OF}
        self._steps: dict[tuple[str, str], Jacobian] = {}

    def prepare(self, pairs: Iterable[tuple[Site, Site]], folder: Path, progress: Progress) -> None:
        """Read from the folder what pairs of hook points need, or compute it and keep it there.

        Raises:
            SaematchError: the model lacks a hook point, or it is not known which comes first.
        """
        wanted = {step for pair in pairs for step in steps(*pair)}
        missing = []
        for step in sorted(wanted - self._steps.keys()):
            kept = self._read(folder / _file(step))
            if kept is None:
                missing.append(step)
            else:
                self._steps[step] = kept
        if not missing:
            return
        model = self._opened()
        examples = random_tokens(model, SEQUENCES, LENGTH)
        stage = "taking Jacobians"
        for done, (source, target) in enumerate(missing):
            progress(Step(stage, done, len(missing), f"{source} → {target}"))
            found = mean_jacobians(model, source, [target], examples)[target]
            found = dataclasses.replace(found, made_of=self._made_of)
            found.save(folder / _file((source, target)))
            self._steps[source, target] = found
        progress(Step(stage, len(missing), len(missing)))

    def between(self, a: SAE, b: SAE) -> Jacobian | None:
        """From the earlier of two hook points to the later; None where both are the same."""
        return self.between_sites(site_of(a), site_of(b))

    def between_sites(self, one: Site, other: Site) -> Jacobian | None:
        """The same of two hook points."""
        found = [self._steps[step] for step in steps(one, other)]
        return reduce(Jacobian.then, found) if found else None

    def _read(self, path: Path) -> Jacobian | None:
        if not path.is_file():
            return None
        found = Jacobian.load(path, self._device)
        return found if dict(found.made_of) == self._made_of else None


def steps(one: Site, other: Site) -> list[tuple[str, str]]:
    """The way from the earlier of two hook points to the later, each step within a block.

    Raises:
        SaematchError: which comes first is not known.
    """
    if one.hook == other.hook:
        return []
    places = {_place(one): one, _place(other): other}
    if None in places or len(places) == 1:
        raise SaematchError(
            f"which of {one} and {other} comes first in the model is not known, so no Jacobian "
            "between them can be taken"
        )
    first, last = (places[place] for place in sorted(filter(None, places)))
    stops = [first.hook, last.hook]
    if first.stream == last.stream == "residual stream":
        assert first.layer is not None
        assert last.layer is not None
        begin = first.layer + (first.kind == "resid_post")
        end = last.layer - (last.kind == "resid_pre")
        stops[1:1] = [f"blocks.{layer}.hook_resid_post" for layer in range(begin, end)]
    return list(pairwise(stops))


def _place(site: Site) -> tuple[int, int] | None:
    return (-1, 0) if site.hook == "hook_embed" else depth(site)


def _file(step: tuple[str, str]) -> str:
    return f"{'--'.join(step)}.safetensors"
