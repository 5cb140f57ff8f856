"""Does a match do the same? Features removed, exchanged and added in the running model."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
