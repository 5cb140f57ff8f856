"""Figures as files: self-contained HTML, and PNG."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from saematch.errors import SaematchError, install
from saematch.files.atomic import whole

if TYPE_CHECKING:
    import plotly.graph_objects as go


def save(figure: go.Figure, path: str | Path) -> Path:
    """Write a figure as self-contained .html, or as .png at twice its size in pixels.

    Raises:
        SaematchError: the name has another ending, the file cannot be written, or, for PNG, kaleido
            is not installed or finds no Chrome or Chromium.
    """
    path = Path(path)
    if path.suffix not in (".html", ".png"):
        raise SaematchError(f"{path}: a figure is saved as .html or .png")
    data = _png(figure) if path.suffix == ".png" else figure.to_html(include_plotlyjs=True).encode()
    try:
        with whole(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise SaematchError(f"{path} cannot be written: {error}") from error
    return path


def _png(figure: go.Figure) -> bytes:
    # kaleido logs everything else that the browser prints as an error, with a traceback
    logger = logging.getLogger("choreographer")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        return figure.to_image(format="png", scale=2)
    except Exception as error:  # kaleido's own errors, and those of the browser that it starts
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise SaematchError(
            f"PNG needs kaleido ({install('plots')}) and a Chrome or Chromium on this "
            f"machine, whose place BROWSER_PATH may give: {reason}"
        ) from error
    finally:
        logger.setLevel(level)
