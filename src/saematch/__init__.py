"""Follow the features of sparse autoencoders through a language model."""

from typing import TYPE_CHECKING

from saematch import lazy as _lazy

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

    from . import activations as activations
    from . import assignment as assignment
    from . import checkpoints as checkpoints
    from . import evaluation as evaluation
    from . import flow as flow
    from . import plots as plots
    from . import shipped as shipped
    from . import transport as transport

# resolved on first use, so that `saematch --help` does not wait for torch
_PUBLIC = {
    "Assignment": "assignment",
    "METHODS": "methods",
    "Matching": "matching",
    "Method": "methods",
    "SAE": "sae",
    "CheckpointError": "errors",
    "Conventions": "sae",
    "MatchError": "errors",
    "Run": "runs",
    "RunError": "errors",
    "SaematchError": "errors",
    "Site": "sae",
    "View": "views",
    "assign": "assignment",
    "expand": "checkpoints",
    "explore": "explorer",
    "fold": "folding",
    "load": "checkpoints",
    "match": "matching",
    "rescale": "folding",
}
# what docs speak of as `saematch.flow.Layers` and the like
_PACKAGES = (
    "activations",
    "assignment",
    "checkpoints",
    "evaluation",
    "flow",
    "plots",
    "shipped",
    "transport",
)

__all__ = sorted(_PUBLIC)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str):
    value = _lazy.attribute(__name__, __path__, _PUBLIC, name)
    if name in _PUBLIC:
        globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_PACKAGES, "__version__"})
