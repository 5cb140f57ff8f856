"""`saematch inspect NAME`: what an SAE is, before it is matched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from saematch.cli.options import SiteOption

if TYPE_CHECKING:
    from rich.console import Console

    from saematch.sae.description import Description


def inspect(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="A local folder or file, org/repo/path or org/repo@revision/path on the Hugging "
            "Face hub, SAELens' release:sae_id, or a pattern such as layer_{0-25}/width_16k.",
        ),
    ],
    site: SiteOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show sizes, activation, thresholds, norms, excluded features and every guess made."""
    import json as encoder

    from rich.console import Console

    from saematch.checkpoints import expand
    from saematch.workflows.inspect import inspect as describe

    console = Console()
    for name in [single for pattern in names for single in expand(pattern)]:
        found = describe(name, site=site)
        if json:
            typer.echo(encoder.dumps({"asked": name, **found.facts}))
        else:
            _show(console, name, found)


def _show(console: Console, name: str, found: Description) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(name), title_justify="left", show_header=False, box=None)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for section, rows in found.sections().items():
        table.add_row(f"\n[bold]{escape(section)}[/bold]", "")
        for row in rows:
            table.add_row(escape(row.label), escape(row.value))
    console.print(table)
