"""Checks arrays wherever tests call saematch: that they are arrays, of that shape and dtype.

Other annotations are left to pyright: tests pass wrong values on purpose, to read the error.
"""

import inspect
from typing import Any, get_args

import jaxtyping
import numba
from beartype import beartype

from saematch.numerics import compiled


def install() -> None:
    """Check what is imported from now on."""
    jaxtyping.install_import_hook("saematch", f"{__name__}.checked")
    compiled.njit = _unchecked_njit  # pyright: ignore[reportPrivateImportUsage]


def _unchecked_njit(**options):
    """Compiles what was decorated, not the checks around it."""
    return lambda function: numba.njit(**options)(inspect.unwrap(function))


def checked(function):
    """The function, with those of its annotations checked that speak of arrays."""
    hints = function.__annotations__
    function.__annotations__ = {
        name: hint if _of_arrays(hint) else Any for name, hint in hints.items()
    }
    return beartype(function)


def _of_arrays(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(_of_arrays, get_args(hint)))
