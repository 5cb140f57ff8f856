"""`saematch explore RUN`: a page on which a run is explored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saematch.cli.options import Device, DtypeOption
from saematch.workflows.options import DtypeChoice

if TYPE_CHECKING:
    from saematch.progress import Progress, Step


def explore(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="RUN2",
            help="Another run of the same SAEs, by another method, say, shown beside this one.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="To listen on, of 127.0.0.1; a free one unless given."),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            "-e",
            metavar="FOLDER",
            help="Write the page and the run as static files for any web host, and end.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export in the folder.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model of its SAEs (a Hugging Face model, its folder, or saematch:model), to read "
            "sentences that are typed in the page."
        ),
    ] = None,
    sentence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="A sentence that the model reads beforehand, for the page or an export. Repeat it "
            "for several.",
        ),
    ] = None,
    device: Device = "auto",
    dtype: DtypeOption = None,
) -> None:
    """Follow features through the layers in a browser: serve a run on this machine until Ctrl-C.

    Only this machine can reach the page, and nothing is written to the run.
    """
    from saematch.errors import SaematchError

    asked = _Asked(model, sentence or [], device, dtype)
    if export is None:
        if overwrite:
            raise SaematchError("--overwrite is about an export: give --export FOLDER too")
        _serve(run, against, port, browser, asked)
        return
    if port is not None:
        raise SaematchError("--port is about serving: leave it or --export out")
    _write(run, against, export, overwrite, asked)


@dataclass(frozen=True)
class _Asked:
    """The model that reads sentences, and which; raises SaematchError for one without the other."""

    model: str | None
    sentences: list[str]
    device: str
    dtype: DtypeChoice | None

    def __post_init__(self) -> None:
        from saematch.errors import SaematchError

        if self.sentences and self.model is None:
            raise SaematchError("--sentence is read by a model: give --model NAME too")


def _serve(run: Path, against: Path | None, port: int | None, browser: bool, asked: _Asked) -> None:
    from saematch.explorer import show
    from saematch.workflows.explore import explore as serve

    try:
        with _told() as progress:
            served = serve(
                run,
                port,
                against=against,
                open_browser=False,
                model=asked.model,
                sentences=asked.sentences,
                device=asked.device,
                dtype=asked.dtype,
                progress=progress,
            )
        with served:
            typer.echo(f"{run} is at {served.url} (on this machine; Ctrl-C ends it)")
            if browser and not show(served.url):
                typer.echo("No browser could be opened: open the address in one.", err=True)
            served.wait()
    except KeyboardInterrupt:
        typer.echo("\nStopped.")


@contextmanager
def _told() -> Iterator[Progress]:
    """Shows how far the tables that the page needs are: of a large run they take a minute."""
    from saematch.cli.console import reporting
    from saematch.workflows.explore import MAKING

    with reporting() as bar:
        told = False

        def tell(step: Step) -> None:
            nonlocal told
            # there is nothing to say where they were made before
            if not told and step.stage == MAKING:
                typer.echo("Making the tables that the page needs, once for this run.", err=True)
                told = True
            bar(step)

        yield tell


def _write(run: Path, against: Path | None, folder: Path, overwrite: bool, asked: _Asked) -> None:
    from rich.filesize import decimal

    from saematch.errors import SaematchError
    from saematch.explorer import export
    from saematch.workflows.explore import page_steps, sentence_reader
    from saematch.workflows.runs import opened_run

    opened, sentences = opened_run(run), []
    if asked.model is not None and not asked.sentences:
        raise SaematchError(
            'an export has no model: give the sentences that it is to show (--sentence "..."), or '
            "leave --model out"
        )
    with _told() as progress:
        if asked.model is not None:
            reader = sentence_reader(
                opened, asked.model, device=asked.device, dtype=asked.dtype, tell=progress
            )
            sentences = [reader.read(text) for text in asked.sentences]
        written = export(opened, folder, overwrite, page_steps(progress), against, sentences)
    parts: dict[str, int] = {}
    for place, size in written.sizes.items():
        part = "/".join(place.split("/")[:2]) if place.startswith("run/") else "the page"
        parts[part] = parts.get(part, 0) + size
    for part, size in sorted(parts.items(), key=lambda item: -item[1]):
        typer.echo(f"{decimal(size):>12}  {part}")
    typer.echo(f"{decimal(written.size):>12}  {len(written.sizes):,} files in {written.folder}")
    typer.echo(f"Any web host serves them; on this machine: saematch explore {written.folder}/run")
