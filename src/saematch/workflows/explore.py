"""`saematch.explore`: a page on which a run is explored."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from saematch import explorer
from saematch.errors import SaematchError
from saematch.explorer import HEIGHT, Explorer, Live, SentenceReader
from saematch.progress import Progress, Step, silent
from saematch.runs.run import Run
from saematch.workflows.models import GivenModel, opened
from saematch.workflows.options import DtypeChoice
from saematch.workflows.runs import GivenRun, loading, opened_run
from saematch.workflows.saes import Given, Saes

MAKING = "making the page's tables"  # the stage


def explore(
    run: GivenRun,
    port: int | None = None,
    *,
    against: GivenRun | None = None,
    open_browser: bool | None = None,
    height: int = HEIGHT,
    model: GivenModel | None = None,
    sentences: Sequence[str] = (),
    saes: Given | Sequence[Given] = (),
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
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
        model: of the run's SAEs, as of `saematch.capture`: it reads sentences that are typed in the
            page, and continues them, steered or not. The address then has a token.
        sentences: that the model reads before the page is served, for its list of sentences.
        saes: those SAEs of the run that were given in memory when it was made.
        device: where the model and the SAEs are; unless given a GPU if there is one.
        dtype: of the model's weights; as stored unless given.
        progress: called with a `Step` of `saematch.progress` as tables are made; `print`
            will do.

    Raises:
        RunError: there is no such run, its tables cannot be read, or an SAE is no longer where it
            was; `against` has no pair in common with it, or other SAEs under the same names.
        SaematchError: the port is taken, or this copy of saematch has no built page; the model
            cannot be opened, or is not the one of the SAEs; a sentence that cannot be read.
    """
    run, reader = opened_run(run), None
    if model is not None:
        reader = sentence_reader(run, model, saes=saes, device=device, dtype=dtype, tell=progress)
    elif sentences:
        raise SaematchError("sentences are read by a model: give it too (--model)")
    return explorer.explore(
        run,
        port,
        open_browser,
        height,
        page_steps(progress),
        None if against is None else opened_run(against),
        live=Live(reader) if reader else None,
        sentences=[reader.read(text) for text in sentences] if reader else (),
    )


def sentence_reader(
    run: Run,
    model: GivenModel,
    *,
    saes: Given | Sequence[Given] = (),
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
    tell: Progress | None = None,
) -> SentenceReader:
    """A model that is open, with the SAEs of a run; see `SentenceReader`."""
    tell, given = tell or silent, Saes(saes, device)
    tell(Step("opening the model", 0, None))
    language, load = opened(model, given.device, dtype), loading(run, given)
    return SentenceReader(
        run,
        language,
        lambda name: load(name).to(given.device),
        lambda name, done, total: tell(Step("reading the SAEs", done, total, name)),
    )


def page_steps(progress: Progress | None) -> explorer.Progress | None:
    """What the explorer tells, as steps."""
    if progress is None:
        return None
    return lambda what, done, total: progress(Step(MAKING, done, total, what))
