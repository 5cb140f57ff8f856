# pyright: strict
"""What other packages can add: methods, views, checkpoint families, estimates, judges,
figures.

A package adds one by an entry point in its pyproject.toml, found wherever the package is installed:

    [project.entry-points."saematch.methods"]
    nearest-bias = "my_package:nearest_bias"

A script or notebook adds one by `saematch.METHODS.register("nearest-bias", nearest_bias)`. The
other registries are `saematch.VIEWS`, `saematch.checkpoints.FAMILIES`,
`saematch.evaluation.ESTIMATES`, `saematch.judging.JUDGES` and `saematch.plots.FIGURES`, their
groups of entry points `saematch.views`, `saematch.families`, `saematch.estimates`,
`saematch.judges` and `saematch.figures`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from saematch.errors import SaematchError

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9_][\w .+-]*")  # the command line parts lists at other characters


class Registry(Generic[T]):
    """Things of one kind by name: ours first, then those of other packages and of the session.

    Args:
        kind: what each is, for errors: "method".
        own: those of saematch.
        error: what is raised where a name is wrong.
        reserved: further names that nobody may take.
    """

    def __init__(
        self,
        kind: str,
        own: Mapping[str, T],
        error: type[SaematchError] = SaematchError,
        reserved: tuple[str, ...] = (),
    ) -> None:
        self.kind, self.error = kind, error
        self._own, self._reserved = dict(own), reserved
        self._added: dict[str, T] = {}
        self._found: dict[str, EntryPoint] | None = None

    def __repr__(self) -> str:
        return f"Registry({self.kind}: {', '.join(self)})"

    @property
    def group(self) -> str:
        """The group of entry points that packages add to: `saematch.methods`."""
        return f"saematch.{re.sub('y$', 'ie', self.kind)}s"

    def register(self, name: str, thing: T) -> T:
        """Add one until Python ends, and give it back.

        Raises:
            SaematchError: the name is taken already, or cannot be one.
        """
        self._check(name, "register()")
        self._added[name] = thing
        return thing

    @property
    def added(self) -> list[str]:
        """The names of those that are not saematch's own."""
        return [*self._entry_points(), *self._added]

    def __getitem__(self, name: str) -> T:
        if name in self._own:
            return self._own[name]
        if name in self._added:
            return self._added[name]
        if name not in self._entry_points():
            raise self.error(f"no {self.kind} is called {name!r}; there are {', '.join(self)}")
        entry = self._entry_points()[name]
        try:
            return entry.load()
        except Exception as reason:
            raise self.error(
                f"{self.kind} {name!r} of {_owner(entry)} cannot be loaded: {reason!r}; "
                "mend that package or uninstall it"
            ) from reason

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._added or name in self._entry_points()

    def __iter__(self) -> Iterator[str]:
        return iter([*self._own, *self.added])

    def __len__(self) -> int:
        return len(self._own) + len(self.added)

    def items(self) -> Iterator[tuple[str, T]]:
        """Each name and its thing."""
        return ((name, self[name]) for name in self)

    def _entry_points(self) -> Mapping[str, EntryPoint]:
        """Those of installed packages by name, looked for once; none is imported before it is used.

        Raises:
            SaematchError: two packages give one name, or one gives a name of saematch's own.
        """
        if self._found is None:
            self._found = {}
            try:
                for entry in entry_points(group=self.group):
                    self._check(entry.name, _owner(entry))
                    self._found[entry.name] = entry
            except SaematchError:
                self._found = None  # refused again next time
                raise
        return self._found

    def _check(self, name: str, by: str) -> None:
        if not NAME.fullmatch(name):
            raise self.error(
                f"{self.kind} {name!r} of {by} has a name that cannot be: letters, digits, spaces "
                "and any of _ . + - make one"
            )
        if name in self._own or name in self._reserved:
            raise self.error(f"{self.kind} {name!r} of {by} has the name of one of saematch's own")
        if name in self._added or name in self._entry_points():
            raise self.error(f"{self.kind} {name!r} of {by} has a name that is taken already")


def _owner(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
