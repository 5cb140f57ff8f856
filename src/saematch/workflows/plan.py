"""`saematch.plan`: what following features through a suite takes, from sizes alone."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from saematch.checkpoints import expand, saelens_registry
from saematch.checkpoints.sizes import Sizes, sizes, suite
from saematch.checkpoints.widths import features_in
from saematch.errors import SaematchError
from saematch.forecast.forecast import Forecast
from saematch.forecast.machine import Machine, named_machine, this_machine
from saematch.matching.methods import Method
from saematch.sae.sae import SAE
from saematch.workflows.ahead import chain, forecast, in_layers
from saematch.workflows.matcher import Matcher
from saematch.workflows.options import MatchOptions
from saematch.workflows.saes import Given, Saes, pick_device


@dataclass(frozen=True)
class Chain:
    """SAEs of one width after the other, and what it takes to match them."""

    name: str  # what their names have in common
    saes: tuple[Sizes, ...]
    forecast: Forecast
    pair: Forecast  # of the largest pair alone
    shards: int | None  # `--shard`s, each of a machine, that stay within the hours given
    alike: int  # other chains of the same sizes, such as those of another L0

    @property
    def weights(self) -> int:
        """Bytes of all weights."""
        return sum(sae.bytes for sae in self.saes)

    @property
    def inferred(self) -> list[str]:
        """What is not known but concluded, in words."""
        return list(dict.fromkeys(word for sae in self.saes for word in sae.inferred))


@dataclass(frozen=True)
class Plan:
    """What a suite takes on a machine."""

    suite: str
    method: Method
    machine: Machine
    workers: int
    hours: float | None
    chains: tuple[Chain, ...]  # by width


def plan(
    saes: Given | Sequence[Given],
    method: str | Method | MatchOptions | None = None,
    *,
    pairs: Literal["adjacent", "all"] = "adjacent",
    width: str | int | None = None,
    l0: str | int | None = None,
    d_in: int | None = None,
    workers: int = 1,
    on: str | None = None,
    rate: float | None = None,
    hours: float | None = None,
    **options: Any,
) -> Plan:
    """Time, memory and disk of a flow before anything is read: from sizes alone.

    Sizes of files on this machine are read from their headers. Those of others come from SAELens'
    registry and from names: no weights are read, and no network is asked.

    Args:
        saes: a release of SAELens' registry, such as `gemma-scope-2-27b-pt-res-all`, or SAEs as of
            `saematch.flow`. Of a release, each width is a chain of its own.
        method: as of `saematch.match`.
        pairs: neighbours only, or any two.
        width: SAEs of a release with so many features alone: `262k`, or 262144.
        l0: SAEs of a release whose names have this L0 alone: `small`, or 82.
        d_in: what they read, where neither a file nor the registry's model tells it.
        workers: processes that share one machine, each with a pair at a time.
        on: a machine of `saematch.forecast.MACHINES`, such as `h100`; this one unless given, whose
            rates are then measured for about a second.
        rate: operations a second of a product, in units of 1e12, instead of the machine's.
        hours: the longest that one part may take; the plan says into how many to divide the run.
        **options: other options of `saematch.match`.

    Raises:
        SaematchError: no such machine, no SAE of that width or L0, or sizes that nothing tells.
        CheckpointError: no such release or file.
        MatchError: an option that is not allowed.
    """
    for word, value in (("workers", workers), ("rate", rate), ("hours", hours), ("d_in", d_in)):
        if value is not None and not value > 0:
            raise SaematchError(f"{word} is {value}; expected more than 0")
    if pairs not in ("adjacent", "all"):
        raise SaematchError(f"pairs is {pairs!r}; it must be adjacent or all")
    matcher = Matcher.of(method, **options)
    machine = this_machine(pick_device("auto")) if on is None else named_machine(on)
    machine = machine if rate is None else machine.at(rate * 1e12)
    name = str(saes) if isinstance(saes, str) else "SAEs"
    if isinstance(saes, str) and saelens_registry.is_release(saes):
        chosen = _chosen(saes, list(suite(saes, d_in)), width, l0)
    elif width is not None or l0 is not None:
        raise SaematchError(
            f"{name}: width and l0 (--width, --l0) choose from a release of SAELens' registry; "
            "give the names that are meant"
        )
    else:
        chosen = {name: (in_layers(_known(saes, d_in)), 0)}
    reach = None if pairs == "all" else 1
    chains = []
    for called, (members, alike) in chosen.items():
        if len(members) < 2:
            raise SaematchError(f"{called}: one SAE alone; a pair takes two")
        wanted = chain(len(members), reach)
        whole = forecast(members, matcher, wanted, machine, workers, flow=True)
        largest = max(wanted, key=lambda p: members[p[0]].d_sae * members[p[1]].d_sae)
        two = [members[k] for k in largest]
        pair = forecast(two, matcher, [(0, 1)], machine, workers)
        shards = None if hours is None else _shards(pair, len(wanted), hours, called)
        chains.append(Chain(called, tuple(members), whole, pair, shards, alike))
    return Plan(name, matcher.method, machine, workers, hours, tuple(chains))


def _known(saes: Given | Sequence[Given], d_in: int | None) -> list[Sizes]:
    every = saes if isinstance(saes, (list, tuple)) else [saes]
    found: list[Sizes] = []
    for given in every:
        if not isinstance(given, (str, Path)):
            found += [Sizes.of(one) for one in Saes(given).given if isinstance(one, SAE)]
            continue
        for name in expand(given):
            one = sizes(name, d_in)
            if one is None:
                raise SaematchError(
                    f"{name}: nothing here tells how large it is: neither a file, nor SAELens' "
                    "registry, nor its name and d_in (--d-in)"
                )
            found.append(one)
    return found


def _chosen(
    release: str, every: list[Sizes], width: str | int | None, l0: str | int | None
) -> dict[str, tuple[list[Sizes], int]]:
    """One chain of each width, and how many others are as large."""
    wanted = None if width is None else _width(width)
    kept = [sae for sae in every if wanted in (None, sae.d_sae) and _has_l0(sae.name, l0)]
    if not kept:
        there = ", ".join(f"{one:,}" for one in sorted({sae.d_sae for sae in every}))
        raise SaematchError(
            f"{release}: no SAE of width {width or 'any'} and L0 {l0 or 'any'}; it has the widths "
            f"{there}"
        )
    alike: dict[int, dict[str, dict[int | None, Sizes]]] = {}
    for sae in kept:
        layers = alike.setdefault(sae.d_sae, {}).setdefault(_template(sae), {})
        layers.setdefault(sae.layer, sae)
    found = {}
    for d_sae in sorted(alike):
        name, layers = max(alike[d_sae].items(), key=lambda item: len(item[1]))
        found[name] = in_layers(list(layers.values())), len(alike[d_sae]) - 1
    # a width of which there is one SAE is no chain
    chains = {name: one for name, one in found.items() if len(one[0]) > 1}
    return chains or found


def _template(sae: Sizes) -> str:
    """The name without its layer and without a numeric L0."""
    inner = sae.name.partition(":")[2]
    inner = re.sub(r"l0_\d+", "l0_*", inner)
    return re.sub(rf"(?<!\d){sae.layer}(?!\d)", "*", inner, count=1)


def _width(given: str | int) -> int:
    found = int(given) if str(given).isdigit() else features_in(f"width_{given}", 1)
    if found is None:
        raise SaematchError(f"width is {given!r}; expected a number such as 262k or 16384")
    return found


def _has_l0(name: str, l0: str | int | None) -> bool:
    return l0 is None or re.search(rf"l0_{re.escape(str(l0))}(?![a-z\d])", name) is not None


def _shards(pair: Forecast, pairs: int, hours: float, name: str) -> int:
    """Into how many parts to divide pairs, so that none takes longer; each reads its SAEs."""
    at_once = math.floor(hours * 3600 / pair.seconds)
    if at_once < 1:
        raise SaematchError(
            f"{name}: one pair takes {pair.seconds / 3600:.2g} h, more than {hours:g}: no number "
            "of shards helps"
        )
    return math.ceil(pairs / at_once)
