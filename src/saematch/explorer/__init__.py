"""The explorer: a run as a page in the browser, served on this machine or as static files."""

from __future__ import annotations

import html
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from saematch.explorer.against import opened_against, prepare_against
from saematch.explorer.export import Exported, export
from saematch.explorer.judgements import keep_judgements
from saematch.explorer.live import Live
from saematch.explorer.local import HOST
from saematch.explorer.places import PAGE, Places
from saematch.explorer.sentence import Sentence, SentenceReader, recorded
from saematch.explorer.server import Server
from saematch.explorer.tables import PageTables, Progress, prepare
from saematch.runs.run import Run

__all__ = [
    "HEIGHT",
    "Explorer",
    "Exported",
    "Live",
    "Progress",
    "SentenceReader",
    "explore",
    "export",
    "show",
]

HEIGHT = 800  # pixels, in a notebook


class Explorer:
    """A run that is being served; as a context manager, it stops at the end of the block."""

    def __init__(
        self,
        run: Run,
        made: PageTables,
        port: int | None = None,
        height: int = HEIGHT,
        against: PageTables | None = None,
        live: Live | None = None,
        sentences: Sequence[Sentence] = (),
    ) -> None:
        """Start serving; see `explore`."""
        self.run = run
        self.height = height
        self._made = [made] if against is None else [made, against]
        self._live = live
        with ExitStack() as held:
            beside = None if against is None else against.folder
            added = held.enter_context(recorded(sentences, beside or made.folder))
            places = Places(PAGE, run.path, made.folder, beside, added)
            self._server = Server(places, port, live)
            self._held = held.pop_all()
        self._stopped = threading.Event()

    @property
    def url(self) -> str:
        """The address of the page; where a model reads sentences, with the token that it needs."""
        page = f"http://{HOST}:{self._server.port}/"
        return f"{page}?live={self._live.token}#/sentence" if self._live else page

    def stop(self) -> None:
        """Free the port; a second call does nothing."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._server.stop()
            self._held.close()
            for tables in self._made:
                tables.close()

    def wait(self) -> None:
        """Return when another thread calls `stop`."""
        # on Windows, Ctrl-C does not interrupt a wait without a time limit
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
    against: Run | str | Path | None = None,
    live: Live | None = None,
    sentences: Sequence[Sentence] = (),
) -> Explorer:
    """Serve the run as a page on 127.0.0.1 until `stop` is called or the program ends.

    The run is only read. Further tables that the page needs are made first and kept in the user's
    cache: see `saematch.explorer.tables`.

    Args:
        run: a run or its directory.
        port: the port to listen on; a free one by default.
        open_browser: whether to open a browser; by default only outside a notebook, which shows the
            page inline.
        height: height of the page in a notebook, in pixels.
        progress: called with the current step, the number of steps done and their total while
            tables are made.
        against: another run of the same SAEs, or its directory, that is shown beside this one.
        live: what reads sentences that are typed in the page.
        sentences: that were read before, which the page shows whether or not there is a model.

    Raises:
        RunError: there is no such run, or its tables cannot be read; `against` has no pair in
            common with it, or other SAEs under the same names.
        SaematchError: the port is taken, or this copy of saematch has no built page.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    places = Places(PAGE, run.path, run.path)
    places.check()
    other = opened_against(run, against)
    made = prepare(run, progress)
    keep_judgements(run, made.folder)
    beside = None if other is None else prepare_against(run, other, made, progress)
    explorer = Explorer(run, made, port, height, beside, live, sentences)
    if open_browser or (open_browser is None and not _in_notebook()):
        show(explorer.url)
    return explorer


def show(url: str) -> bool:
    """Open a browser window; False if there is no screen."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not screen and "BROWSER" not in os.environ:
        return False  # a text browser would take the terminal
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")
