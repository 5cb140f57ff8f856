"""A language model over text -> activations of SAE features, and their statistics."""

from typing import TYPE_CHECKING

from saematch import lazy as _lazy

if TYPE_CHECKING:
    from saematch.activations.capturing import capture as capture
    from saematch.activations.feature_activations import FeatureActivations as FeatureActivations
    from saematch.activations.features import describe_features as describe_features
    from saematch.activations.model import LanguageModel as LanguageModel
    from saematch.activations.model import open_model as open_model
    from saematch.activations.store import ActivationStore as ActivationStore
    from saematch.activations.texts import open_texts as open_texts
    from saematch.activations.texts import tokenise as tokenise
    from saematch.activations.writing import write as write

# resolved on first use: views, which everything rests on, need the first alone
_PUBLIC = {
    "FeatureActivations": "feature_activations",
    "ActivationStore": "store",
    "LanguageModel": "model",
    "capture": "capturing",
    "describe_features": "features",
    "open_model": "model",
    "open_texts": "texts",
    "tokenise": "texts",
    "write": "writing",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    return _lazy.attribute(__name__, __path__, _PUBLIC, name)


def __dir__() -> list[str]:
    return list(__all__)
