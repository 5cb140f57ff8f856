"""The user's cache folder: what can be made or fetched again, and need not be."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache() -> Path:
    """`saematch` in the user's cache folder; `XDG_CACHE_HOME` says where that is."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        root = Path(given)
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home())
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path.home() / ".cache"
    return root / "saematch"
