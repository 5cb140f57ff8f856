"""The command line: one small file per command, heavy imports inside the commands."""

from __future__ import annotations

import sys
from inspect import cleandoc
from typing import Annotated

import typer

from saematch import __version__
from saematch.cli.capture import capture
from saematch.cli.changes import changes
from saematch.cli.circuit import circuit
from saematch.cli.compare import compare
from saematch.cli.dashboard import dashboard
from saematch.cli.demo import demo
from saematch.cli.evaluate import evaluate
from saematch.cli.explore import explore
from saematch.cli.flow import flow
from saematch.cli.inspect import inspect as describe
from saematch.cli.intervene import intervene
from saematch.cli.judge import judge
from saematch.cli.label import label
from saematch.cli.match import match
from saematch.cli.merge import merge
from saematch.cli.plan import plan
from saematch.cli.plot import plot
from saematch.cli.relate import relate
from saematch.cli.reproduce import reproduce
from saematch.cli.steer import steer
from saematch.cli.trace import trace
from saematch.cli.vote import vote
from saematch.errors import SaematchError

app = typer.Typer(
    name="saematch",
    help="Follow the features of sparse autoencoders through a language model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _paragraphs(text: str) -> str:
    """A docstring with each paragraph in one line, which the help breaks where it has to."""
    found = cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in found)


for _command in (
    demo,
    flow,
    describe,
    plan,
    match,
    trace,
    changes,
    compare,
    capture,
    relate,
    label,
    dashboard,
    judge,
    vote,
    intervene,
    circuit,
    evaluate,
    steer,
    reproduce,
    plot,
    explore,
    merge,
):
    app.command(_command.__name__, help=_paragraphs(_command.__doc__ or ""))(_command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"saematch {__version__}")
        raise typer.Exit


@app.callback()
def _commands(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Follow the features of sparse autoencoders through a language model."""


def main() -> None:
    """Runs the command line; a user's error ends it with one line and status 1."""
    try:
        app()
    except SaematchError as error:
        typer.echo(f"saematch: {' '.join(str(error).split())}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
