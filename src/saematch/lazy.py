"""Names of a package that are imported when they are first asked for.

So `import saematch; saematch.flow.Layers` works, and `saematch --help` waits for no torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any


def attribute(package: str, path: Iterable[str], public: Mapping[str, str], name: str) -> Any:
    """What a package's `__getattr__` gives for `name`.

    Args:
        package: its full name.
        path: its `__path__`.
        public: the module inside it that each of its public names comes from.
        name: a public name, or that of one of its modules.

    Raises:
        AttributeError: it is neither.
    """
    if name in public:
        return getattr(importlib.import_module(f"{package}.{public[name]}"), name)
    if not name.startswith("_") and any(found.name == name for found in pkgutil.iter_modules(path)):
        return importlib.import_module(f"{package}.{name}")
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
