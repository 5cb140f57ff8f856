"""What a matching is worth: hidden states carried across layers, and what they cost the model."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
