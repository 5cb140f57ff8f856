"""What is tried: surfaces, mutations, and which of them meet."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SEPARATOR = "::"


class NotApplicableError(Exception):
    """A mutation that this file cannot have."""


@dataclass(frozen=True)
class Target:
    """A file of a surface's input, and what a mutation needs to know of it.

    Kinds are `json`, `jsonl`, `parquet`, `safetensors`, `npz`, `torch`, `text`, `name` (a string
    that is no file) and `any`; mutations are of one or more of them.
    """

    place: str  # below the folder of the input
    kind: str
    features: int = 40  # that the SAE has whose file it is
    weights: bool = False  # whether its tensors are an SAE's weights
    path: Path = field(default=Path(), compare=False)

    def at(self, folder: Path) -> Target:
        return Target(self.place, self.kind, self.features, self.weights, folder / self.place)


@dataclass(frozen=True)
class Surface:
    """A reader or command.

    `call` gets the folder of an input and reads it as a user would. It returns what is wrong with
    the result, or none; the project's own errors and exit statuses are told apart by the engine.
    """

    name: str
    seed: str  # which valid input; see `seeds`
    targets: tuple[Target, ...]
    call: Callable[[Path], str | None]


@dataclass(frozen=True)
class Change:
    """What a mutation did, in words; and, where no result can be right, why not."""

    what: str
    refuse: str | None = None


@dataclass(frozen=True)
class Mutation:
    """Damage: `apply` rewrites the target's file with the random numbers it is given."""

    name: str
    kinds: frozenset[str]
    apply: Callable[[Target, random.Random], Change | str]
    draws: int  # how many of it differ


SURFACES: dict[str, Surface] = {}
MUTATIONS: dict[str, Mutation] = {}
FILES = frozenset({"json", "jsonl", "parquet", "safetensors", "npz", "torch", "text", "any"})
TENSORS = frozenset({"safetensors", "npz", "torch"})


def surface(name: str, seed: str, *targets: Target):
    """Decorator: a function of the folder of an input, which reads it."""

    def keep(call: Callable[[Path], str | None]):
        if name in SURFACES:
            raise ValueError(f"two surfaces are called {name}")
        SURFACES[name] = Surface(name, seed, targets, call)
        return call

    return keep


def mutation(name: str, kinds: frozenset[str] | set[str], draws: int = 1000):
    """Decorator: a function of a target and random numbers, which damages the target's file."""

    def keep(apply: Callable[[Target, random.Random], Change | str]):
        if name in MUTATIONS:
            raise ValueError(f"two mutations are called {name}")
        MUTATIONS[name] = Mutation(name, frozenset(kinds), apply, draws)
        return apply

    return keep


@dataclass(frozen=True)
class Input:
    """One try; its id tells all of it, so that it can be made again alone."""

    surface: str
    target: str
    mutation: str
    seed: int
    number: int

    @property
    def id(self) -> str:
        parts = (self.surface, self.target, self.mutation, f"{self.seed}-{self.number}")
        return SEPARATOR.join(parts)

    @classmethod
    def of(cls, identity: str) -> Input:
        """Raises ValueError where there is no such input."""
        name, target, kind, numbers = identity.split(SEPARATOR)
        seed, number = numbers.split("-")
        if name not in SURFACES or kind not in MUTATIONS:
            raise ValueError(f"{identity}: no such surface or mutation")
        return cls(name, target, kind, int(seed), int(number))

    def aim(self, folder: Path) -> Target:
        found = next(t for t in SURFACES[self.surface].targets if t.place == self.target)
        return found.at(folder)


def meetings() -> Iterator[tuple[Surface, Target, Mutation]]:
    """Every surface's every file with every mutation of its kind."""
    for one in SURFACES.values():
        for target in one.targets:
            for kind in MUTATIONS.values():
                if target.kind in kind.kinds:
                    yield one, target, kind


def plan(n: int, seed: int, only: str = "") -> list[Input]:
    """`n` inputs, spread evenly: no meeting has its second before every other has its first.

    Args:
        n: how many; fewer where there are not as many that differ.
        seed: of the order, and of the random numbers of each.
        only: inputs whose id holds this.
    """
    rng = random.Random(seed)
    waiting = [(s.name, t.place, m.name, m.draws) for s, t, m in meetings()]
    waiting = [w for w in waiting if only in SEPARATOR.join(w[:3])]
    rng.shuffle(waiting)
    found: list[Input] = []
    turn = 0
    while len(found) < n and waiting:
        waiting = [w for w in waiting if w[3] > turn]
        found += [Input(s, t, m, seed, turn) for s, t, m, _ in waiting[: n - len(found)]]
        turn += 1
    return found
