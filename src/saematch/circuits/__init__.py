"""Effects between the features that are active on a prompt, and what is left of them: a circuit."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
