"""`saematch inspect NAME`: what an SAE is, before it is matched."""

from __future__ import annotations

from typing import Annotated

import typer

from saematch.cli.options import SiteOption


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
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show sizes, activation, thresholds, norms, excluded features and every guess made."""
    import json as encoder

    from rich.console import Console

    from saematch.checkpoints import expand, load
    from saematch.sae.description import as_dict

    console = Console()
    for name in [single for pattern in names for single in expand(pattern)]:
        sae = load(name, site=site)
        if json:
            typer.echo(encoder.dumps({"asked": name, **as_dict(sae)}))
        else:
            _show(console, name, sae)


def _show(console, name, sae) -> None:
    from rich.markup import escape
    from rich.table import Table

    from saematch.sae.description import describe

    table = Table(title=escape(name), title_justify="left", show_header=False, box=None)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    section = ""
    for row in describe(sae):
        if row.section != section:
            table.add_row(f"\n[bold]{escape(row.section)}[/bold]", "")
            section = row.section
        table.add_row(escape(row.label), escape(row.value))
    console.print(table)
