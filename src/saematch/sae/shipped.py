# pyright: strict
"""The SAEs that come with saematch: of a real model, and of a small one that comes with them.

`saematch:smollm2/resid_post_12` reads block 12 of SmolLM2-135M-Instruct, which does not ship;
`saematch:resid_post_3` reads block 3 of `saematch:model`, which does. Functions take another `root`
to read from, for SAEs made anew by the scripts in `demo/`.
"""

from __future__ import annotations

from pathlib import Path

from saematch.errors import CheckpointError, names_there

PREFIX = "saematch:"
RESIDUAL = ("resid_pre_0", *(f"resid_post_{layer}" for layer in range(6)))
SMOLLM2 = tuple(f"smollm2/resid_post_{layer}" for layer in range(10, 17))


def folder() -> Path:
    """The folder of the shipped files: `model/`, `saes/<name>/`, `texts/`, `smollm2/`, a card."""
    return Path(__file__).parents[1] / "data"


def names(root: Path | None = None) -> list[str]:
    """The names of the shipped SAEs: of the small model, residual stream first, then of SmolLM2."""
    root = root or folder()
    ordered: list[str] = []
    for model, first in (("", RESIDUAL), ("smollm2/", SMOLLM2)):
        found = {model + file.parent.name for file in (root / model / "saes").glob("*/cfg.json")}
        ordered += [name for name in first if name in found]
        ordered += sorted(found - set(first))
    return ordered


def path(name: str, root: Path | None = None) -> Path:
    """The folder of one shipped SAE.

    Raises:
        CheckpointError: there is none of that name; the message lists the names.
    """
    known, root = names(root), root or folder()
    if not known:
        raise CheckpointError(
            f"this copy of saematch has no SAEs in {root}: install it again from a "
            "wheel or from the whole repository"
        )
    if name not in known:
        meant = [one for one in known if one.rpartition("/")[2] == name.rpartition("/")[2]]
        there = names_there(meant[0] if meant else name, known, "ships")
        raise CheckpointError(f"saematch ships no SAE {name!r}; {there}")
    model, _, own = name.rpartition("/")
    return root / model / "saes" / own


def residual_path(root: Path | None = None) -> list[str]:
    """The names of the SAEs along the small model's residual stream, first site to last.

    Raises:
        CheckpointError: one of them is missing.
    """
    return _there(RESIDUAL, root)


def smollm2_path(root: Path | None = None) -> list[str]:
    """The names of the SAEs of consecutive blocks of SmolLM2, first to last.

    Raises:
        CheckpointError: one of them is missing.
    """
    return _there(SMOLLM2, root)


def _there(wanted: tuple[str, ...], root: Path | None) -> list[str]:
    for name in wanted:
        path(name, root)
    return list(wanted)
