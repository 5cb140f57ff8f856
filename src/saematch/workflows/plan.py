"""`saematch.plan`: what following features through a suite takes, from sizes alone."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from saematch.checkpoints import saelens_registry
from saematch.checkpoints.locate import is_local
from saematch.checkpoints.outline import Outline, outline
from saematch.checkpoints.sizes import Sizes, sizes, suite
from saematch.checkpoints.widths import features_in, in_short
from saematch.errors import SaematchError
from saematch.forecast.forecast import Forecast
from saematch.forecast.machine import Machine, named_machine, this_machine
from saematch.layers.layers import Layers
from saematch.layers.plan import checked, planned, planned_modules, remarks
from saematch.matching.methods import Method
from saematch.runs.names import names_of
from saematch.sae.sae import SAE
from saematch.workflows.ahead import chain, forecast, in_layers
from saematch.workflows.matcher import Matcher
from saematch.workflows.options import MatchOptions
from saematch.workflows.saes import Given, Saes, pick_device

NAMED = 6  # gaps between layers that a remark names


@dataclass(frozen=True)
class Chain:
    """SAEs of one width after the other, and what it takes to match them."""

    name: str  # what their names have in common
    saes: tuple[Sizes, ...]
    forecast: Forecast
    pair: Forecast  # of the largest pair alone
    shards: int | None  # `--shard`s, each of a machine, that stay within the hours given
    alike: int  # other chains of the same sizes, such as those of another L0
    remarks: tuple[str, ...] = ()  # what a user should know: layers that are not there

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
        MatchError: an option that is not allowed; or SAEs that form no flow.
    """
    for word, value in (("workers", workers), ("rate", rate), ("hours", hours), ("d_in", d_in)):
        if value is not None and not value > 0:
            raise SaematchError(f"{word} is {value}; expected more than 0")
    if pairs not in ("adjacent", "all"):
        raise SaematchError(f"pairs is {pairs!r}; it must be adjacent or all")
    matcher = Matcher.of(method, **options)
    machine = None if on is None else named_machine(on)
    reach = None if pairs == "all" else 1
    name = str(saes) if isinstance(saes, str) else "SAEs"
    if isinstance(saes, str) and saelens_registry.is_release(saes):
        chosen = _chosen(saes, list(suite(saes, d_in)), width, l0)
        asked = [
            _Asked(called, members, chain(len(members), reach), [], _apart(saes, members), alike)
            for called, (members, alike) in chosen.items()
        ]
    elif width is not None or l0 is not None:
        raise SaematchError(
            f"{name}: width and l0 (--width, --l0) choose from a release of SAELens' registry; "
            "give the names that are meant"
        )
    else:
        asked = [_given(name, saes, d_in, reach)]
    for one in asked:
        if len(one.saes) < 2:
            raise SaematchError(f"{one.name}: one SAE alone; a pair takes two")
    # last, as it takes a moment
    machine = machine or this_machine(pick_device("auto"))
    machine = machine if rate is None else machine.at(rate * 1e12)
    chains = []
    for one in asked:
        members = one.saes
        whole = forecast(members, matcher, one.pairs, machine, workers, True, one.modules)
        largest = max(one.pairs, key=lambda p: members[p[0]].d_sae * members[p[1]].d_sae)
        pair = forecast([members[k] for k in largest], matcher, [(0, 1)], machine, workers)
        shards = None if hours is None else _shards(pair, whole.pairs, hours, one.name)
        chains.append(
            Chain(one.name, tuple(members), whole, pair, shards, one.alike, tuple(one.remarks))
        )
    return Plan(name, matcher.method, machine, workers, hours, tuple(chains))


class _Asked(NamedTuple):
    """SAEs of one chain, and which of them are matched, by places."""

    name: str
    saes: list[Sizes]
    pairs: list[tuple[int, int]]
    modules: list[tuple[int, int]]  # by their decoders alone
    remarks: list[str]
    alike: int = 0


def _given(name: str, saes: Given | Sequence[Given], d_in: int | None, reach: int | None) -> _Asked:
    """SAEs that were named one by one, paired as `saematch.flow` would."""
    every = list(Saes(saes).given)
    known = [_size(one, d_in) for one in every]
    if len(every) < 2 or not all(isinstance(one, SAE) or is_local(one) for one in every):
        known = in_layers(known)
        for one, other in pairwise(known):
            if one.layer is not None and one.layer == other.layer:
                raise SaematchError(
                    f"{one.name} and {other.name} are both of layer {one.layer}: a flow takes one "
                    "SAE for each place"
                )
        return _Asked(name, known, chain(len(known), reach), [], _apart(name, known))
    outlines = [
        Outline(outline(one).conventions, size.d_in, size.d_out)
        for one, size in zip(every, known, strict=True)
    ]
    deque(checked(outlines), maxlen=0)
    names = names_of(outlines)
    sites = {called: its.conventions.site for called, its in zip(names, outlines, strict=True)}
    layers = Layers.planned(sites)
    place = {called: k for k, called in enumerate(layers.names)}
    by_name = dict(zip(names, known, strict=True))
    return _Asked(
        name,
        [by_name[called] for called in layers.names],
        [(place[a], place[b]) for a, b in planned(layers, reach)],
        [(place[a], place[b]) for a, b in planned_modules(layers)],
        remarks(layers),
    )


def _size(given: str | SAE, d_in: int | None) -> Sizes:
    found = Sizes.of(given) if isinstance(given, SAE) else sizes(given, d_in)
    if found is None:
        raise SaematchError(
            f"{given}: nothing here tells how large it is: neither a file, nor SAELens' registry, "
            "nor its name and d_in (--d-in)"
        )
    return found


def _apart(name: str, saes: Sequence[Sizes]) -> list[str]:
    """Which layers are missing between those of a chain."""
    layers = [sae.layer for sae in saes if sae.layer is not None]
    gaps = [(a + 1, b - 1) for a, b in pairwise(sorted(layers)) if b - a > 1]
    if not gaps:
        return []
    full = f"{name}-all"
    whole = f"; {full} has more layers" if saelens_registry.is_release(full) else ""
    shown = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in gaps[:NAMED])
    more = ", ..." * (len(gaps) > NAMED)
    return [f"no SAE of layer {shown}{more}: those on both sides are neighbours here{whole}"]


def _chosen(
    release: str, every: list[Sizes], width: str | int | None, l0: str | int | None
) -> dict[str, tuple[list[Sizes], int]]:
    """One chain of each width, and how many others are as large."""
    wanted = None if width is None else _width(width)
    kept = [sae for sae in every if wanted in (None, sae.d_sae) and _has_l0(sae.name, l0)]
    if not kept:
        there = ", ".join(in_short(one) for one in sorted({sae.d_sae for sae in every}))
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
    text = str(given).strip().replace(",", "").replace("_", "")
    found = int(text) if text.isdigit() else features_in(f"width_{text}", 1)
    if found is None:
        raise SaematchError(f"width is {given!r}; expected 16k, 262k, 1m or a number such as 16384")
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
