"""Follow the features of sparse autoencoders through a language model."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saematch.assignment import Assignment as Assignment
    from saematch.assignment import assign as assign
    from saematch.checkpoints import expand as expand
    from saematch.checkpoints import load as load
    from saematch.errors import CheckpointError as CheckpointError
    from saematch.errors import MatchError as MatchError
    from saematch.errors import RunError as RunError
    from saematch.errors import SaematchError as SaematchError
    from saematch.explorer import explore as explore
    from saematch.folding import fold as fold
    from saematch.folding import rescale as rescale
    from saematch.matching import Matching as Matching
    from saematch.matching import match as match
    from saematch.methods import METHODS as METHODS
    from saematch.methods import Method as Method
    from saematch.runs import Run as Run
    from saematch.sae import SAE as SAE
    from saematch.sae import Conventions as Conventions
    from saematch.sae import Site as Site
    from saematch.views import View as View

    from . import shipped as shipped

# resolved on first use, so that `saematch --help` does not wait for torch
_PUBLIC = {
    "Assignment": "saematch.assignment",
    "METHODS": "saematch.methods",
    "Matching": "saematch.matching",
    "Method": "saematch.methods",
    "SAE": "saematch.sae",
    "CheckpointError": "saematch.errors",
    "Conventions": "saematch.sae",
    "MatchError": "saematch.errors",
    "Run": "saematch.runs",
    "RunError": "saematch.errors",
    "SaematchError": "saematch.errors",
    "Site": "saematch.sae",
    "View": "saematch.views",
    "assign": "saematch.assignment",
    "expand": "saematch.checkpoints",
    "explore": "saematch.explorer",
    "fold": "saematch.folding",
    "load": "saematch.checkpoints",
    "match": "saematch.matching",
    "rescale": "saematch.folding",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str):
    if name == "shipped":
        return importlib.import_module("saematch.shipped")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'saematch' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "shipped", "__version__"})
