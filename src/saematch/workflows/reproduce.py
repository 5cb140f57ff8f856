"""`saematch.reproduce`: the experiments of a paper on any model and SAEs, as one report."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from saematch.activations.massive import TIMES, checked_times
from saematch.errors import MatchError, SaematchError, names_there
from saematch.files.records import outside
from saematch.plots.style import plotly_objects
from saematch.progress import Progress, Step, log, silent
from saematch.reproduction.reproduction import Reproduction
from saematch.reproduction.sae_match import write_report
from saematch.sae.sae import Site
from saematch.workflows.folders import written
from saematch.workflows.models import GivenModel, opened
from saematch.workflows.options import DtypeChoice
from saematch.workflows.reproduction_parts import SaeMatchParts
from saematch.workflows.saes import Given, Saes

PAPERS = ("sae-match",)
TEXTS = ("openwebtext", "github", "wikitext")  # of SAE Match


def reproduce(
    paper: str,
    saes: Given | Sequence[Given],
    model: GivenModel,
    text: str | Path | Sequence[str | Path] | Mapping[str, str | Path] = TEXTS,
    *,
    controls: Given | Sequence[Given] = (),
    examples: int = 100,
    fit_examples: int = 100,
    length: int = 1024,
    tokens: int = 20_000,
    reach: int = 5,
    paths: int = 100,
    massive: float | None = TIMES,
    site: str | Site | None = None,
    seed: int = 0,
    batch_tokens: int = 4096,
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Reproduction:
    """Make every figure of a paper that needs no language model as a judge, on SAEs of your own.

    `sae-match` (arXiv 2410.07656): features of neighbouring layers matched with and without
    folding, by cosine, and many to one; their folded errors beside those of i -> i; hidden states
    mapped across a layer, beside every baseline; the partial variant; chained and direct matches by
    distance; lifespans, births and deaths; what judges that need no language model say of the
    matches (as `saematch.judge`); and the same for matches by weights and activations
    together (`fused`), on given text and on text that the model generates. The result is one
    directory with a page, `report.html`. Calling it again continues where it stopped.

    Args:
        paper: `sae-match`.
        saes: at least three SAEs of the residual stream in any order, as of `saematch.flow`.
        model: the model that they are of, as of `saematch.capture`.
        text: text sets to report on, as of `saematch.capture`, by name if a mapping is given. Each
            text is one example, cut at `length`, as in the paper.
        controls: further SAEs of the same sites, such as others with another L0 or seed: matched
            with those of `saes` at the same site, and at the site before. They may be added by a
            later call.
        examples: texts of each set to report on, drawn at random.
        fit_examples: texts of each set, others than those, that baselines are fitted on and that
            `fused` is given; also the number of texts that the model generates.
        length: maximum number of tokens of an example, BOS included.
        tokens: number of tokens that `fused` is given.
        reach: match any two SAEs up to this many apart; besides, the first and the middle one with
            some that are further apart.
        paths: how many paths of matches of each way of matching are judged, as of `saematch.judge`.
        massive: as of `saematch.evaluate`.
        site: where SAEs given by name read, as of `saematch.load`.
        seed: of all that is random.
        batch_tokens: number of tokens that the model reads at once.
        device: where to compute, as of `saematch.flow`.
        dtype: of the model's weights; as stored unless given.
        out: the directory; None for a temporary one, which is removed when the reproduction is no
            longer used, at the latest when the process ends.
        overwrite: discard another reproduction in the directory.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Raises:
        SaematchError: an SAE, model, text or option that cannot be used.
        RunError: the directory holds something else, or another program is writing to it.
    """
    if paper not in PAPERS:
        raise SaematchError(f"no paper {paper!r}; {names_there(paper, PAPERS)}")
    plotly_objects()  # for the report: that it is missing should not be found hours later
    given, others = Saes(saes, device, site), Saes(controls, device, site)
    given.check_once(MatchError)
    others.check_once(MatchError)
    if len(given) < 3:
        raise MatchError(f"{len(given)} SAEs were given; a path through layers takes 3 at least")
    language = opened(model, given.device, dtype)
    named = _named(text)
    asked = {
        "model": language.name,
        "dtype": dtype,
        "saes": given.labels,
        "texts": named,
        "examples": examples,
        "fit_examples": fit_examples,
        "length": length,
        "tokens": tokens,
        "reach": reach,
        "paths": paths,
        "massive": checked_times(massive),
        "seed": seed,
    }
    made = written(out, lambda path: Reproduction.create(path, paper, asked, overwrite))
    tell = progress or silent
    reading: dict[str, Any] = {
        "batch_tokens": batch_tokens,
        "dtype": dtype,
        "massive": massive,
    }
    work = SaeMatchParts(made, given, others, language, site, seed, reading, tell)
    with _each_once():
        work.check_controls()
        work.read_texts(named, examples, fit_examples)
        work.match(reach)
        work.look(examples, fit_examples, length, tokens)
        work.judge(paths)
        work.evaluate(examples, fit_examples, length)
        work.measure()
    tell(Step("writing the report", 0, None))
    made.finish(write_report(made))
    return made


@contextmanager
def _each_once() -> Iterator[None]:
    """The same note, of the same texts read again, is told once."""
    told: set[str] = set()

    def new(record: logging.LogRecord) -> bool:
        # texts are cut as in the paper, and there is no such option here
        message = record.getMessage().replace(" (--long split reads all)", "")
        record.msg, record.args = message, ()
        return not (message in told or told.add(message))

    log.addFilter(new)
    try:
        yield
    finally:
        log.removeFilter(new)


def _named(text: str | Path | Sequence[str | Path] | Mapping[str, str | Path]) -> dict[str, str]:
    """Text sets by name: the end of each specification, unless names are given."""
    if isinstance(text, Mapping):
        found = {name: str(spec) for name, spec in text.items()}
    else:
        specs = [str(text)] if isinstance(text, (str, Path)) else [str(some) for some in text]
        found = {Path(spec.rpartition(":")[2]).stem: spec for spec in specs}
        if len(found) < len(specs):
            raise SaematchError(
                f"two of the text sets {', '.join(specs)} would have one name: give them by name "
                "from Python, or rename a file"
            )
    wrong = [name for name in found if name == "fit" or outside(name)]
    if wrong or not found:
        raise SaematchError(
            f"a text set cannot be called {wrong[0]!r}: it becomes a file beside fit.jsonl"
            if wrong
            else "text (--text) takes one text set at least"
        )
    return found
