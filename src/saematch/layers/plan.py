"""Which SAEs make a flow, and which of their pairs are to be matched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from saematch.errors import MatchError
from saematch.layers.layers import STREAM, Layers, depth
from saematch.layers.origins import MODULES, modules_of
from saematch.sae.sae import Described, Site

F = TypeVar("F", bound=Described)


class _Seen(NamedTuple):
    name: str
    site: Site | None
    sizes: tuple[int, int]


def checked(saes: Iterable[F]) -> Iterator[F]:
    """The same SAEs one by one, as long as together they make one flow.

    That is SAEs of one stream, at most one for each place; with those of the residual stream, also
    those of what the MLP and attention write to it.

    Raises:
        MatchError: two sit at the same place, read or write other dimensions, or are of streams
            that do not go together; or there are fewer than two of the stream that is followed.
    """
    seen: list[_Seen] = []
    for sae in saes:
        here = _Seen(sae.name, sae.conventions.site, (sae.d_in, sae.d_out))
        for other in seen:
            _check_two(other, here)
        seen.append(here)
        yield sae
    streams: dict[str, list[_Seen]] = {}
    for each in seen:
        streams.setdefault(STREAM if each.site is None else each.site.stream, []).append(each)
    known = {STREAM, *MODULES.values()} if STREAM in streams else set(list(streams)[:1])
    for stream, of in streams.items():
        if stream not in known:
            raise MatchError(
                f"{of[0].name} sits on {stream} ({of[0].site}), {seen[0].name} on the "
                f"{next(iter(streams))}: a flow follows one stream, and with the residual stream "
                "what MLP and attention write to it"
            )
    followed = streams[STREAM if STREAM in streams else next(iter(streams))] if streams else []
    if len(followed) < 2:
        raise MatchError(
            f"a flow needs two SAEs of one stream at least; of the {STREAM} there is "
            f"{followed[0].name if followed else 'none'}"
        )


def planned(layers: Layers, reach: int | None = 1) -> list[tuple[str, str]]:
    """The pairs of the chain to match: those up to `reach` apart, all where it is None.

    In the order of targets, and of sources within, so that few SAEs need be loaded anew with two in
    memory.

    Raises:
        MatchError: `reach` is less than 1.
    """
    if reach is not None and reach < 1:
        raise MatchError(f"reach is {reach}; 1 is the neighbour alone")
    chain = layers.chain
    first = [0 if reach is None else max(0, j - reach) for j in range(len(chain))]
    return [(chain[i], b) for j, b in enumerate(chain) for i in range(first[j], j)]


def planned_modules(layers: Layers) -> list[tuple[str, str]]:
    """Each MLP and attention SAE with the SAE of the residual stream that follows it."""
    modules = modules_of(layers)
    return [(a, b) for b in layers.chain for of in modules.get(b, {}).values() for a in of]


def remarks(layers: Layers) -> list[str]:
    """What a user should know of the SAEs together: layers not there, modules left out."""
    found = []
    for a, b in layers.adjacent():
        here, there = depth(layers.sites[a]), depth(layers.sites[b])
        if here and there and there[0] - here[0] > 1:
            found.append(f"{a} and {b} are {there[0] - here[0]} layers apart, and neighbours here")
    if any(layers.sites[name] is None for name in layers.names):
        found.append("not every SAE says where it sits: they stand in the order they were given")
    used = {name for of in modules_of(layers).values() for names in of.values() for name in names}
    alone = [name for name in layers.names if name not in layers.chain and name not in used]
    if alone:
        found.append(f"no SAE of the {STREAM} on both sides of {', '.join(alone)}: left out")
    return found


def _check_two(one: _Seen, other: _Seen) -> None:
    if one.sizes != other.sizes:
        raise MatchError(
            f"{one.name} reads {one.sizes[0]} and writes {one.sizes[1]} dimensions, {other.name} "
            f"reads {other.sizes[0]} and writes {other.sizes[1]}: their features are not vectors "
            "of one space"
        )
    place = _place(one.site)
    if place is not None and place == _place(other.site):
        raise MatchError(
            f"{one.name} and {other.name} both read {other.site}: a flow takes one SAE for each "
            "place; saematch match compares two of one place"
        )


def _place(site: Site | None) -> tuple[int, str] | None:
    if site is None or site.layer is None or site.kind == "other":
        return None
    # what one block gives, the next one takes
    if site.kind == "resid_post":
        return site.layer + 1, "resid_pre"
    return site.layer, site.kind
