"""Follow the features of sparse autoencoders through a language model."""

import lazy_loader as _lazy

# each name is imported when it is first used, so that `saematch --help` does not wait for torch;
# __init__.pyi lists them
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__version__ = "0.1.0"
