"""The command line: one small file per command, heavy imports inside the commands."""

from __future__ import annotations

import sys

import typer

from saematch.cli.demo import demo
from saematch.cli.inspect import inspect
from saematch.cli.match import match
from saematch.errors import SaematchError

app = typer.Typer(
    name="saematch",
    help="Follow the features of sparse autoencoders through a language model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(inspect)
app.command()(match)


@app.callback()
def _commands() -> None:
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
