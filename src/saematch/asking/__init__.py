"""A language model behind an OpenAI-compatible endpoint, asked many questions."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
