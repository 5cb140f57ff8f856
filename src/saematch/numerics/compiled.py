"""How the inner loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

# sums may be reordered, so that they use vector instructions; NaN and infinity keep their meaning
FAST = {"reassoc", "contract", "nsz"}


def compiled(function: Callable) -> Any:
    """Compile to machine code that releases the interpreter lock; cached on disk if possible."""
    options: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither beside the source nor in the user's cache can files be written
        return njit(**options)(function)
