"""A language model, read and changed where SAEs are attached, and the texts it reads."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
