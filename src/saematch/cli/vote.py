"""`saematch vote RUN`: a page on which people say whether matched features mean the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def vote(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run that saematch judge judged.")],
    activations: Annotated[
        Path,
        typer.Option(
            help="What features do on text, a folder of saematch capture: what is shown of them."
        ),
    ],
    name: Annotated[
        str, typer.Option(help="Who votes; votes are kept in votes/NAME.jsonl in the run.")
    ],
    cases: Annotated[
        int, typer.Option(min=1, help="Pairs to vote on, a quarter of them controls.")
    ] = 100,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="To listen on, of 127.0.0.1; a free one unless given."),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
) -> None:
    """Vote on whether matched features mean the same, in a browser, until Ctrl-C.

    Two features are shown side by side by what they fire on: 1 different, 2 maybe, 3 same,
    backspace back. Controls are among them, and nothing tells which. Each vote is kept as it is
    made, and repeating the command goes on where it stopped. The votes count as one more judge.
    """
    from saematch.cli.console import reporting
    from saematch.explorer import show
    from saematch.workflows.vote import vote as serve

    try:
        with reporting() as progress:
            served = serve(
                run,
                activations,
                name,
                cases=cases,
                port=port,
                open_browser=False,
                progress=progress,
            )
        with served:
            typer.echo(f"{served.total} pairs, {served.done} with a vote of {name}, are at")
            typer.echo(served.url)
            typer.echo(f"(on this machine; Ctrl-C ends it); votes go to {served.path}")
            if browser and not show(served.url):
                typer.echo("No browser could be opened: open the address in one.", err=True)
            try:
                served.wait()
            finally:
                typer.echo(f"\n{served.done} of {served.total} pairs have a vote.")
    except KeyboardInterrupt:
        typer.echo("Stopped.")
