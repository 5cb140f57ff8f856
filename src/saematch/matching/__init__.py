"""Two SAEs and a method -> a `Matching`: which feature goes to which, and how sure that is."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
