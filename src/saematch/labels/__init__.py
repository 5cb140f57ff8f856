"""What each feature is said to mean: labels of others, else the tokens that it fires on."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
