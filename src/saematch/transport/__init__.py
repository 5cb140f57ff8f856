"""Activations of one SAE's features from those of another, with at most k edges a feature."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
