"""Where a workflow writes: a directory that the caller names, or a temporary one."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def written(out: str | Path | None, create: Callable[[Path], T]) -> T:
    """What `create` makes in the directory `out`.

    Where `out` is None that is a temporary directory, which is removed when the value is no longer
    used, at the latest when the process ends.
    """
    if out is not None:
        return create(Path(out))
    folder = Path(tempfile.mkdtemp(prefix="saematch-"))
    try:
        made = create(folder / "run")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
    return made
