"""`saematch trace RUN SITE FEATURE`: one feature's way through the layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from saematch.contexts import Context
    from saematch.flow.tracing import Link, Step, Trace

INDENT = "  "
ENDINGS = {".json": "attribution", ".graphml": "graphml", ".parquet": "parquet"}


def trace(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    site: Annotated[
        str,
        typer.Argument(
            metavar="SITE",
            help="An SAE of the run, such as resid_post_3; or a layer; or with the feature in one: "
            "3_17, resid_post_3/17.",
        ),
    ],
    feature: Annotated[int | None, typer.Argument(metavar="FEATURE", help="Its index.")] = None,
    contexts: Annotated[int, typer.Option(min=0, help="Of each feature.")] = 2,
    alternatives: Annotated[int, typer.Option(min=0, help="Of each step.")] = 3,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            "-e",
            help="Write all that flows in and out, not only the way: NAME.json for circuit-tracer "
            "and Neuronpedia, .graphml, or .parquet.",
        ),
    ] = None,
    node_link: Annotated[
        bool, typer.Option("--node-link", help="Export .json as networkx reads it.")
    ] = False,
    depth: Annotated[int, typer.Option(min=1, help="Layers either way of the export.")] = 3,
    max_p: Annotated[
        float | None, typer.Option(help="The largest p-value of an exported edge.")
    ] = None,
) -> None:
    """Follow a feature backward and forward, with scores, alternatives and top contexts."""
    from saematch.cli.console import output
    from saematch.errors import SaematchError
    from saematch.flow.tracing import trace as follow

    if export is not None and export.suffix not in ENDINGS:
        raise SaematchError(f"{export}: the name must end in {', '.join(ENDINGS)}")
    found = follow(run, site, feature, contexts=contexts, alternatives=alternatives)
    console = output()
    show_trace(console, found)
    if export is not None:
        _export(run, found, export, node_link, depth, max_p)
        console.print(f"\nWritten to {export}", soft_wrap=True)


def show_trace(console: Console, found: Trace) -> None:
    """Print a way from its first layer to its last."""
    from rich.text import Text

    if found.community is not None:
        from saematch.cli.examples import visible

        number, label = found.community
        console.print(Text(f"community {number}: {visible(label or 'without contexts')}"))
        console.print()
    _end(console, found.before, "before")
    # a link is printed between its two features, so backward steps show theirs after themselves
    for step in reversed(found.backward):
        _feature(console, step.link.site, step.link.feature, step.contexts)
        _link(console, step)
    _feature(console, found.site, found.feature, found.contexts, asked=True)
    for step in found.forward:
        _link(console, step)
        _feature(console, step.link.site, step.link.feature, step.contexts)
    _end(console, found.after, "after")
    if found.modules:
        console.print(Text("\nmatches with other streams", style="dim"))
        for link in found.modules:
            console.print(_fitted(f"{INDENT}{_name(link)}  {_facts(link)}", console.width, "cyan"))


def _feature(
    console: Console, site: str, feature: int, contexts: tuple[Context, ...], asked: bool = False
) -> None:
    from rich.text import Text

    from saematch.cli.examples import context_line

    mark = Text("▶ " if asked else INDENT, style="bold yellow")
    console.print(mark + Text(f"{site} #{feature}", style="bold yellow" if asked else "bold"))
    for context in contexts:
        console.print(Text(INDENT) + context_line(context, console.width - len(INDENT)))


def _link(console: Console, step: Step) -> None:
    facts = _facts(step.link)
    if step.skipped:
        facts += f"  over {', '.join(step.skipped)}, which has no match"
    if step.alternatives:
        others = "  ".join(_short(link) for link in step.alternatives)
        text = f"{INDENT}│ else in {step.alternatives[0].site}: {others}"
        console.print(_fitted(text, console.width, "dim"))
    console.print(_fitted(f"{INDENT}▼ {facts}", console.width, "cyan"))


def _end(console: Console, links: tuple[Link, ...], where: str) -> None:
    if not links:
        return
    what = "no match before in" if where == "before" else "no match after in"
    if where == "after":
        console.print()
    nearest = "  ".join(_short(link) for link in links)
    text = f"{INDENT}{what} {links[0].site}; nearest: {nearest}"
    console.print(_fitted(text, console.width, "dim"))
    if where == "before":
        console.print()


def _facts(link: Link) -> str:
    parts = ["match" if link.kind == "match" else "not accepted"]
    if link.cosine is not None:
        parts.append(f"cosine {link.cosine:.2f}")
    if link.score is not None:
        parts.append(f"score {link.score:.3g}")
    if link.p_value is not None:
        parts.append(f"p {_p(link.p_value)}")
    if link.rank is not None and link.rank > 1:
        parts.append(f"choice no. {link.rank}")
    return "  ".join(parts)


def _short(link: Link) -> str:
    known = [] if link.score is None else [f"{link.score:.3g}"]
    if link.p_value is not None:
        known.append(f"p {_p(link.p_value)}")
    return f"#{link.feature} ({', '.join(known)})"


def _name(link: Link) -> str:
    return f"{link.site} #{link.feature}"


def _p(value: float) -> str:
    return f"{value:.1g}" if value else "0"


def _fitted(text: str, width: int, style: str) -> Text:
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "…"
    return Text(text, style=style)


def _export(
    run: Path, found: Trace, place: Path, node_link: bool, depth: int, max_p: float | None
) -> None:
    from saematch.flow.exports import export
    from saematch.flow.graph import FlowGraph
    from saematch.flow.tokens import feature_labels, top_tokens
    from saematch.runs import Run

    opened = Run.open(run)
    graph = FlowGraph.of(opened)
    if max_p is not None:
        graph = graph.keep(max_p=max_p)
    kind = ENDINGS[place.suffix]
    export(
        graph.around(found.site, found.feature, forward=depth, backward=depth),
        place,
        "node-link" if node_link and kind == "attribution" else kind,
        labels=feature_labels(top_tokens(opened)),
        title=f"{found.site} #{found.feature}",
    )
