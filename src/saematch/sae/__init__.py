"""The sparse autoencoder (SAE): its canonical form, folding, and contexts of its features."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
