# pyright: strict
"""The small language model and the SAEs that come with saematch.

Their names are `saematch:resid_post_3` and so on. Every function takes another `root` to read from,
for a model and SAEs made anew by the scripts in `demo/`.
"""

from __future__ import annotations

from pathlib import Path

from saematch.errors import CheckpointError, names_there

PREFIX = "saematch:"
RESIDUAL = ("resid_pre_0", *(f"resid_post_{layer}" for layer in range(6)))


def folder() -> Path:
    """The folder of the shipped files: `model/`, `saes/<name>/`, `texts/` and their model card."""
    return Path(__file__).parents[1] / "data"


def names(root: Path | None = None) -> list[str]:
    """The names of the shipped SAEs, along the residual stream first."""
    saes = (root or folder()) / "saes"
    found = sorted(p.parent.name for p in saes.glob("*/cfg.json"))
    return [n for n in RESIDUAL if n in found] + [n for n in found if n not in RESIDUAL]


def path(name: str, root: Path | None = None) -> Path:
    """The folder of one shipped SAE.

    Raises:
        CheckpointError: there is none of that name; the message lists the names.
    """
    known = names(root)
    if not known:
        raise CheckpointError(
            f"this copy of saematch has no SAEs in {root or folder()}: install it again from a "
            "wheel or from the whole repository"
        )
    if name not in known:
        raise CheckpointError(
            f"saematch ships no SAE {name!r}; {names_there(name, known, 'ships')}"
        )
    return (root or folder()) / "saes" / name


def residual_path(root: Path | None = None) -> list[str]:
    """The names of the SAEs along the residual stream, from the first site to the last.

    Raises:
        CheckpointError: one of them is missing.
    """
    return [path(name, root).name for name in RESIDUAL]
