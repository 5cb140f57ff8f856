# pyright: strict
"""Short names for the SAEs of one run: unique, readable, and safe in file names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from saematch.sae.sae import Conventions

_FILES = ("params.npz", "params.safetensors", "sae_weights.safetensors", "sae.safetensors", "ae.pt")
LONGEST = 60  # two of them and an ending stay below the 255 bytes of a file name


class Named(Protocol):
    """An SAE, or what is left of one."""

    @property
    def name(self) -> str: ...

    @property
    def conventions(self) -> Conventions: ...


def names_of(saes: Sequence[Named]) -> list[str]:
    """One name per SAE, in order.

    The site (`resid_post_3`) where the checkpoint tells it, with what the end of the source adds to
    it (`resid_post_3_wide`), else the end of the source. SAEs of one
    site get the parts of their sources that differ: `resid_post_12_width_16k`. What is still alike
    is numbered. No name holds a path separator, or `--`, which stands between the names of a pair.
    """
    names = [_alone(sae) for sae in saes]
    for name in set(names):
        same = [i for i, other in enumerate(names) if other == name]
        if len(same) > 1:
            for i, apart in zip(same, _apart([saes[i] for i in same]), strict=True):
                # a source that says the site itself needs it only once
                names[i] = apart if apart.startswith(name) else _safe(f"{name}_{apart}")
    return _numbered(names)


def _alone(sae: Named) -> str:
    site, end = _site(sae), _safe(_words(sae)[-1])
    # resid_post_3_wide tells more than resid_post_3
    if site and end.startswith(site):
        return end
    folder, _, file = sae.name.rpartition("/")
    return site or _safe(folder if folder and file in _FILES else sae.name)


def _site(sae: Named) -> str | None:
    site = sae.conventions.site
    if site is None or site.layer is None:
        return None
    if site.kind == "other":
        return site.hook if site.layer_alone else None
    return f"{site.kind}_{site.layer}"


def _words(sae: Named) -> list[str]:
    """The parts of a source, without the file where all files of its format are called so."""
    parts = re.split(r"[/\\:]", sae.conventions.source)
    return parts[:-1] if len(parts) > 1 and parts[-1] in _FILES else parts


def _apart(saes: list[Named]) -> list[str]:
    """The parts of each SAE's source that the others do not have at the same place."""
    parts = [_words(sae) for sae in saes]
    width = max(map(len, parts))
    padded = [[""] * (width - len(p)) + p for p in parts]
    differs = [len({p[place] for p in padded}) > 1 for place in range(width)]
    kept = [[p for p, keep in zip(row, differs, strict=True) if keep and p] for row in padded]
    return [_safe("_".join(row[-3:])) if row else "" for row in kept]


def _safe(text: str) -> str:
    text = re.sub(r"[^A-Za-z0-9_.+=-]+", "_", text)
    text = re.sub(r"-{2,}", "-", text)
    # the end of a name tells more than its beginning
    return text.strip("._-")[-LONGEST:].strip("._-") or "sae"


def _numbered(names: list[str]) -> list[str]:
    taken: set[str] = set()
    out: list[str] = []
    for name in names:
        unique, number = name.rstrip("_"), 1
        # some file systems do not tell upper from lower case
        while unique.casefold() in taken:
            number += 1
            unique = f"{name.rstrip('_')}_{number}"
        taken.add(unique.casefold())
        out.append(unique)
    return out
