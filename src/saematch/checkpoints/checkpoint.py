"""One SAE as files: its tensors, the JSON beside them, and the name it was asked for by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saematch.checkpoints.given_site import filled, one_place
from saematch.checkpoints.sites import guess_site, hook_name, parse_hook
from saematch.checkpoints.tensors import Tensors
from saematch.errors import CheckpointError
from saematch.files.foreign import one_line, plain_text
from saematch.sae.sae import Conventions, Site


@dataclass(frozen=True)
class Facts:
    """What a public registry knows of an SAE besides its files."""

    model: str | None = None
    neuronpedia_id: str | None = None
    norm_factor: float | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Checkpoint:
    """What a family's reader works on, with the checks that every reader needs."""

    tensors: Tensors
    configs: Mapping[str, dict]  # JSON files beside the weights, by file name
    path: str  # where it lies, as words: guesses are made from it
    source: str  # a name that loads it again
    dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"
    commit: str | None = None
    facts: Facts = field(default_factory=Facts)
    beside: Mapping[str, Path] = field(default_factory=dict)  # optional files that were found
    asked: str | Site | None = None  # the site that the user gave, before what files say
    family: str = ""  # whose format it was taken for
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # tensors that were read

    def has(self, *names: str) -> bool:
        return all(name in self.tensors for name in names)

    @property
    def file(self) -> str:
        return self.tensors.path.name

    def error(self, found: str, expected: str) -> CheckpointError:
        taken = f" (read as {self.family})" if self.family else ""
        return CheckpointError(
            one_line(f"{self.tensors.label}{taken}: {found}; expected {expected}")
        )

    def note(self, text: str) -> None:
        """Records a guess or a warning, to be shown with the SAE."""
        self.notes.append(text)

    def size(self, *names: str) -> int:
        """The length of the first of `names` that is there; they are vectors."""
        for name in names:
            if name in self.tensors:
                shape = self.tensors.shape(name)
                if len(shape) != 1:
                    raise self.error(f"{name} has shape {shape}", "a vector")
                return shape[0]
        raise self.error(f"it holds {self.tensors.describe()}", f"a tensor {' or '.join(names)}")

    def read(self, name: str, *shape: int) -> Tensor:
        """Tensor `name`, which must have `shape`, in the wanted dtype on the wanted device."""
        if name not in self.tensors:
            raise self.error(f"it holds {self.tensors.describe()}", f"a tensor {name}")
        found = self.tensors.shape(name)
        if found != shape:
            raise self.error(f"{name} has shape {found}", f"{shape}")
        self.used.add(name)
        return self.tensors.read(name, self.dtype, self.device)

    def scalar(self, name: str) -> float:
        """The one number that tensor `name` holds."""
        self.used.add(name)
        return self.tensors.number(name)

    def whole(self, what: str, value: Any) -> int:
        """A count that a tensor or config holds as `value`: whole, and 1 at least."""
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if not whole or isinstance(value, bool) or value < 1:
            raise self.error(f"{what} is {value!r:.40}", "a whole number, 1 or more")
        return int(value)

    def zeros(self, size: int) -> Tensor:
        return torch.zeros(size, dtype=self.dtype, device=self.device)

    def number(self, config: Mapping[str, Any], *keys: str) -> float | None:
        """The first of `keys` that `config` holds as a number."""
        for key in keys:
            value = config.get(key)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return value
        return None

    def left_out(self, *harmless: str) -> None:
        """Notes the tensors that were not read, but for those that change no feature."""
        rest = sorted(set(self.tensors.names) - self.used - set(harmless))
        if rest:
            self.note(f"tensors left out: {', '.join(rest)}")

    def site(self, hook: object = None, hook_out: object = None) -> Site | None:
        """The site that the config or the registry names, or the path hints at, which is noted."""
        reads, writes = self._word("hook", hook), self._word("output hook", hook_out)
        if not reads:
            reads = self.facts.overrides.get("hook_name")
            writes = self.facts.overrides.get("hook_name_out")
        if reads:
            return parse_hook(reads, writes)
        site = guess_site(self.path)
        if self.asked is not None:
            return site
        if site is None:
            self.note("site unknown: neither the config nor the path names a layer; --site says it")
        elif site.kind == "other" and site.layer is not None:
            self.note(
                f"guessed from the path: layer {site.layer}; its kind of site is unknown; "
                "--site says it"
            )
        else:
            self.note(f"guessed from the path: site {site.hook}")
        return site

    def stream_site(self) -> Site | None:
        """As `site`, of a family whose SAEs read the residual stream if the path states no kind."""
        site = guess_site(self.path)
        if site is None or site.kind != "other" or site.layer is None:
            return self.site()
        if self.asked is None:
            self.note(f"guessed from the file's name: site {hook_name('resid_post', site.layer)}")
        return parse_hook(hook_name("resid_post", site.layer))

    def conventions(self, family: str, stored: str, **values: Any) -> Conventions:
        """Conventions with what is the same for every family filled in.

        Args:
            family: the reader's name.
            stored: the tensor whose stored dtype stands for the file's.
            values: what the reader knows.
        """
        known = {"model": self.facts.model, "neuronpedia_id": self.facts.neuronpedia_id}
        for name, fact in known.items():
            values[name] = fact or self._word(name, values.get(name))
        values["architecture"] = self._word("architecture", values.get("architecture")) or ""
        if values.get("k") is not None:
            values["k"] = self.whole("k", values["k"])
        values["site"] = self._placed(values.get("site"))
        return Conventions(
            family=family,
            source=self.source,
            commit=self.commit,
            dtype=self.tensors.dtype(stored),
            notes=tuple(map(plain_text, self.notes)),
            **values,
        )

    def _word(self, what: str, value: object) -> str | None:
        """A name that a config holds; what is no text is noted, and left out."""
        if value is None or isinstance(value, str):
            return value and plain_text(value)
        self.note(f"the {what} that its config names is {str(value)[:40]}, no text: left out")
        return None

    def _placed(self, own: Site | None) -> Site | None:
        """The site that the user gave, or else the file's own."""
        if self.asked is None:
            return own
        given = filled(self.asked, own, self.path, self.tensors.label)
        if own is None:
            return given
        if one_place(given, own):
            return given if given.hook_out else dataclasses.replace(given, hook_out=own.hook_out)
        self.note(f"read at {given}, as it was given; its file or path says {own}")
        return given
