"""A page on which a run is explored: served on this machine, or written as static files."""

from __future__ import annotations

import html
import os
import sys
import threading
import webbrowser
from pathlib import Path

from saematch.explorer.export import Exported, export
from saematch.explorer.places import PAGE, Places
from saematch.explorer.server import HOST, Server
from saematch.explorer.tables import Made, Progress, prepare
from saematch.runs.run import Run

__all__ = ["HEIGHT", "Explorer", "Exported", "Progress", "explore", "export", "show"]

HEIGHT = 800  # pixels, in a notebook


class Explorer:
    """A run being served; also a context manager, which stops it at its end."""

    def __init__(self, run: Run, made: Made, port: int | None = None, height: int = HEIGHT) -> None:
        """Begin: see `explore`."""
        self.run = run
        self.height = height
        self._made = made
        self._server = Server(_places(run, made), port)
        self._stopped = threading.Event()

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self._server.port}/"

    def stop(self) -> None:
        """Free the port; a second call does nothing."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._server.stop()
            self._made.close()

    def wait(self) -> None:
        """Return when another thread calls `stop`."""
        # a wait without limit would not hear Ctrl-C on Windows
        while not self._stopped.wait(0.5):
            pass

    def __enter__(self) -> Explorer:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "stopped" if self._stopped.is_set() else self.url
        return f"Explorer({str(self.run.path)!r}: {state})"

    def _repr_html_(self) -> str:
        name = html.escape(str(self.run.path))
        if self._stopped.is_set():
            return f"<p>The explorer of {name} was stopped.</p>"
        url = html.escape(self.url)
        return (
            f'<iframe src="{url}" title="Explorer of {name}" width="100%" height="{self.height}" '
            'style="border: 1px solid #d0d7de" allow="fullscreen"></iframe>'
            f'<p><a href="{url}" target="_blank" rel="noopener">{url}</a></p>'
        )


def explore(
    run: Run | str | Path,
    port: int | None = None,
    open_browser: bool | None = None,
    height: int = HEIGHT,
    progress: Progress | None = None,
) -> Explorer:
    """Serve a page on which the run is explored, on 127.0.0.1, until `stop` or the program's end.

    The run is only read. Tables that the page needs besides are made first and kept in the user's
    cache: see `saematch.explorer.tables`.

    Args:
        run: a run or its directory.
        port: unless given, a free one.
        open_browser: unless given, outside of a notebook, where the page is shown inline.
        height: of the page in a notebook, in pixels.
        progress: called with what is being made, steps done, and of how many, while tables are.

    Raises:
        RunError: there is no such run, or its tables cannot be read.
        SaematchError: the port is taken, or this copy of saematch has no built page.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    places = Places(PAGE, run.path, run.path)
    places.check()
    made = prepare(run, progress)
    explorer = Explorer(run, made, port, height)
    if open_browser or (open_browser is None and not _in_notebook()):
        show(explorer.url)
    return explorer


def show(url: str) -> bool:
    """Open a browser window; False where there is no screen for one."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not screen and "BROWSER" not in os.environ:
        return False  # a text browser would take the terminal
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False


def _places(run: Run, made: Made) -> Places:
    return Places(PAGE, run.path, made.folder)


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")
