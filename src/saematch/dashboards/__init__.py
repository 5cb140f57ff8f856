"""Dashboards of features: how strongly each fires where, and what it makes the model say."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
