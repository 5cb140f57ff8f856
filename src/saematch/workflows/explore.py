"""`saematch.explore`: a page on which a run is explored."""

from __future__ import annotations

from saematch import explorer
from saematch.explorer import HEIGHT, Explorer
from saematch.progress import Progress, Step
from saematch.workflows.runs import GivenRun, opened_run


def explore(
    run: GivenRun,
    port: int | None = None,
    *,
    against: GivenRun | None = None,
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
        against: another run of the same SAEs, or its directory, shown beside this one: where the
            two agree, and where only one sees a feature matched.
        open_browser: unless given, outside of a notebook, where the page is shown inline.
        height: of the page in a notebook, in pixels.
        progress: called with a `Step` of `saematch.progress` as tables are made; `print`
            will do.

    Raises:
        RunError: there is no such run, or its tables cannot be read; `against` has no pair in
            common with it, or other SAEs under the same names.
        SaematchError: the port is taken, or this copy of saematch has no built page.
    """
    other = None if against is None else opened_run(against)
    steps = page_steps(progress)
    return explorer.explore(opened_run(run), port, open_browser, height, steps, other)


def page_steps(progress: Progress | None) -> explorer.Progress | None:
    """What the explorer tells, as steps."""
    if progress is None:
        return None
    return lambda what, done, total: progress(Step("making the page's tables", done, total, what))
