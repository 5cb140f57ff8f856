"""`saematch evaluate RUN`: what matches are worth when hidden states are carried along them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import ndarray

    from saematch.models.language_model import LanguageModel
    from saematch.runs.run import Run

TEXTS = (
    "Where texts come from: saematch:prose, saematch:code, saematch:reference, all of these "
    "by saematch:texts, openwebtext, "
    "wikitext, github, hub:NAME, a file or a folder, or written, by the model itself; give several."
)


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run directory of the matches.")],
    model: Annotated[
        str,
        typer.Option(help="The model that its SAEs are of: saematch:model, on the hub, a folder."),
    ],
    text: Annotated[list[str], typer.Option(help=TEXTS)],
    fit: Annotated[
        str | None,
        typer.Option(
            help="What least squares, the mean and transports are fitted on, apart from the "
            "examples that are reported on; the first --text unless given. written is what the "
            "model writes itself."
        ),
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="Of each text set, drawn at random.")] = 50,
    fit_examples: Annotated[int, typer.Option(min=1, help="To fit on, at most.")] = 200,
    length: Annotated[
        int, typer.Option(help="Tokens of an example, BOS included, at most; 3 at least.")
    ] = 1024,
    long: Annotated[
        str | None,
        typer.Option(
            help="Of texts longer than an example: split makes several, truncate keeps the first. "
            "Unless given, truncate for what ships and the data sets of SAE Match, else split."
        ),
    ] = None,
    quantiles: Annotated[
        str, typer.Option(help="Shares of features that the partial variant sends ahead.")
    ] = "0,0.1,0.25,0.5,0.75,0.9",
    carry: Annotated[
        str,
        typer.Option(
            help="What carried activations are rescaled by: auto (as features were matched), "
            "threshold, decoder-norm, activation (means on the fit set), none. The first for all "
            "variants."
        ),
    ] = "auto,none",
    transport: Annotated[
        str | None,
        typer.Option(
            help="Fit sparse transports too, with at most so many edges per feature, such as 8,32. "
            "Takes many minutes a pair on a CPU."
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(help="Only this pair, A--B by the run's names; may be given several times."),
    ] = None,
    reach: Annotated[
        float | None,
        typer.Option(
            help="Only pairs up to so many blocks apart, and chains of matches of that length too."
        ),
    ] = None,
    resamples: Annotated[int, typer.Option(min=0, help="Of the bootstrap over examples.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the choice of examples and the bootstrap.")] = 0,
    batch_tokens: Annotated[
        int,
        typer.Option(
            min=1,
            help="Tokens that the model reads at a time; changes figures only of batchtopk SAEs "
            "without a threshold.",
        ),
    ] = 4096,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    dtype: Annotated[
        str | None, typer.Option(help="Of the model's weights: float32, bfloat16; as stored.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard an evaluation made otherwise.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but the run directory.")
    ] = False,
) -> None:
    """Carry hidden states across layers along a run's matches, and see what that costs the model.

    SAE Match's estimate of a later hidden state (encode, permute, rescale, decode) takes the place
    of the true one, beside leaving the layers out, encoding and decoding, and a least-squares map.
    Delta-loss, explained variance and matching scores, with 95 % intervals over examples. The same
    call again takes up where it stopped; with more texts, more pairs or a first --transport it adds
    those.
    """
    from saematch.checkpoints import load
    from saematch.cli.work import open_quietly, pick_device, warn_unfinished
    from saematch.errors import RunError
    from saematch.evaluation import EvaluationOptions, evaluable, evaluate_run
    from saematch.runs.run import Run

    opened, on = Run.open(run), pick_device(device)
    warn_unfinished(opened, quiet)
    edges = _edges(transport)
    options = EvaluationOptions(
        tuple(carry.split(",")), _numbers(quantiles), resamples, seed, edges
    )
    chosen = [_pair(opened, name) for name in pairs] if pairs else evaluable(opened, reach)
    if not chosen:
        raise RunError(
            f"{opened.path} has no pair to evaluate: two SAEs of one stream whose layers are "
            "known; where files do not say it, match them again with --site"
        )
    language = open_quietly(model, on, dtype)
    texts, fitted = _texts(
        language, text, fit or text[0], examples, fit_examples, length, seed, quiet, long
    )
    if edges and not quiet:
        _warn_few(sum(len(ids) - 1 for ids in fitted[1]))
    try:
        with _Progress(chosen, list(texts), quiet) as progress:
            evaluate_run(
                opened,
                language,
                texts,
                fitted,
                options,
                pairs=chosen,
                model_name=model,
                dtype=dtype,
                load=lambda name: load(name, device=on),
                batch_tokens=batch_tokens,
                overwrite=overwrite,
                begun=progress.begun,
            )
            progress.done()
    except KeyboardInterrupt:
        _stopped(opened, chosen, list(texts))
        raise
    _report(opened, list(texts), sum(len(ids) - 1 for ids in fitted[1]), quiet)


def _texts(
    language: LanguageModel,
    specs: Sequence[str],
    fit: str,
    examples: int,
    fit_examples: int,
    length: int,
    seed: int,
    quiet: bool = False,
    long: str | None = None,
) -> tuple[dict[str, list[ndarray]], tuple[str, list[ndarray]]]:
    """Token ids of each text set, and of the examples to fit on, which are none of those.

    Examples are told apart by their tokens, so that the same text from another file counts as seen.
    """
    from saematch.cli.work import known_long, written
    from saematch.errors import SaematchError
    from saematch.models.texts import WRITTEN, examples_of, open_texts

    if len(set(specs)) < len(specs):
        raise SaematchError("a --text is given twice")
    if length < 3:
        raise SaematchError(
            f"--length is {length}; an example takes 3 tokens at least: BOS, one whose hidden "
            "state is replaced, and one that is predicted from it"
        )

    def ids(spec: str, n: int) -> list[ndarray]:
        if spec == WRITTEN:
            return written(language, n, length, seed, quiet)
        found = examples_of(
            open_texts(spec, n, seed),
            language.tokenizer,
            length,
            language.max_tokens,
            n=n,
            seed=seed,
            long=known_long(long),
            least=3,
        )
        if not found.ids:
            raise SaematchError(f"{spec} has no text of 3 tokens or more, BOS included")
        for note in () if quiet else found.notes:
            typer.echo(f"Note: {note}", err=True)
        return found.ids

    texts = {spec: ids(spec, examples) for spec in specs}
    seen = {example.tobytes() for some in texts.values() for example in some}
    apart = []
    for example in ids(fit, examples + fit_examples):
        if example.tobytes() not in seen and len(apart) < fit_examples:
            seen.add(example.tobytes())
            apart.append(example)
    if not apart:
        raise SaematchError(
            f"{fit} has no examples left to fit on: all of them are reported on; take fewer "
            "--examples, or another text set with --fit"
        )
    return texts, (fit, apart)


def _edges(text: str | None) -> tuple[int, ...]:
    from saematch.errors import SaematchError

    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise SaematchError(
            f"--transport is {text!r}; give numbers of edges per feature, such as 8,32"
        ) from error


def _warn_few(tokens: int) -> None:
    from saematch.transport.fitting import ENOUGH

    if tokens < ENOUGH:
        typer.echo(
            f"Note: transports are fitted on {tokens:,} tokens, which are few; give {ENOUGH:,} or "
            "more by --fit-examples, --length, or another --fit",
            err=True,
        )


class _Progress:
    """A bar over pairs and text sets."""

    def __init__(self, pairs: Sequence[tuple[str, str]], texts: Sequence[str], quiet: bool) -> None:
        from saematch.cli.console import progress

        self._bar, self._task = progress(quiet), None
        self._steps = [(*pair, name) for pair in pairs for name in texts]

    def begun(self, pair: tuple[str, str], texts: str | None) -> None:
        step = f"{pair[0]} → {pair[1]}"
        if texts is None:
            step += ": fitting"
            done = next(k for k, (*names, _) in enumerate(self._steps) if tuple(names) == pair)
        else:
            step += f" on {texts}"
            done = self._steps.index((*pair, texts))
        if self._task is None:
            # what an earlier call has done says nothing of how long the rest takes
            self._task = self._bar.add_task(step, total=len(self._steps), completed=done)
        self._bar.update(self._task, completed=done, description=step)

    def done(self) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=len(self._steps))

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _stopped(run: Run, pairs: Sequence[tuple[str, str]], texts: Sequence[str]) -> None:
    """Say on stderr what is kept of an evaluation that was interrupted."""
    kept = 0
    if run.section("evaluation") is not None:
        there = run.table("evaluation", "values").select("a", "b", "texts").unique().iter_rows()
        kept = len(set(there) & {(*pair, name) for pair in pairs for name in texts})
    typer.echo(
        f"Stopped: {kept} of {len(pairs) * len(texts)} pairs by text sets are kept in {run.path}; "
        "the same command again goes on from there",
        err=True,
    )


def _pair(run: Run, name: str) -> tuple[str, str]:
    from saematch.errors import RunError, names_there

    a, _, b = name.partition("--")
    for one in (a, b):
        if one not in run.names:
            raise RunError(
                f"--pairs {name}: {run.path} has no SAE {one!r}; "
                f"{names_there(one, run.names)}, and a pair is two of them, A--B"
            )
    return a, b


def _numbers(text: str) -> tuple[float, ...]:
    from saematch.errors import SaematchError

    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise SaematchError(
            f"--quantiles is {text!r}; it must be shares with commas, such as 0.25,0.5"
        ) from error


def _report(run: Run, texts: list[str], fitted: int, quiet: bool) -> None:
    if quiet:
        typer.echo(run.path)
        return
    from saematch.cli.console import output
    from saematch.cli.evaluate_report import show_evaluation
    from saematch.cli.report import show_place

    console = output()
    show_evaluation(console, run, texts, fitted)
    show_place(console, run)
