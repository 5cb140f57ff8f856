"""`saematch trace RUN SITE FEATURE`: one feature's way through the layers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from saematch.layers.tracing import Link, Step, Trace

INDENT = "  "
DEPTH = 3
SURE = 1e-4  # a chance to be false that is not told apart from none
EXPORT = "Export"


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
    feature: Annotated[
        int | None, typer.Argument(metavar="FEATURE", help="Index of the feature.")
    ] = None,
    contexts: Annotated[
        int, typer.Option(min=0, help="Number of contexts shown of each feature.")
    ] = 2,
    alternatives: Annotated[
        int, typer.Option(min=0, help="Number of alternatives shown of each step.")
    ] = 3,
    labels: Annotated[
        bool,
        typer.Option(
            "--labels",
            help="Ask Neuronpedia for the labels of features that the run has none of. All of an "
            "SAE at once, and kept: saematch label.",
        ),
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            "-e",
            help="Write all that flows in and out, not only the way: NAME.json for circuit-tracer "
            "and Neuronpedia, .graphml, or .parquet.",
            rich_help_panel=EXPORT,
        ),
    ] = None,
    node_link: Annotated[
        bool,
        typer.Option(
            "--node-link", help="Write .json as networkx reads it.", rich_help_panel=EXPORT
        ),
    ] = False,
    depth: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"How many edges to follow in each direction.  [default: {DEPTH}]",
            rich_help_panel=EXPORT,
        ),
    ] = None,
    max_p: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Largest p-value of an exported edge.", rich_help_panel=EXPORT
        ),
    ] = None,
    transport: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Export the sparse transports of this many edges per feature that the run was "
            "evaluated with, instead of its matches.",
            rich_help_panel=EXPORT,
        ),
    ] = None,
    effects: Annotated[
        bool,
        typer.Option(
            "--effects",
            help="Export average effects too, as saematch intervene finds them.",
            rich_help_panel=EXPORT,
        ),
    ] = False,
) -> None:
    """Follow a feature backward and forward, with scores, alternatives and top contexts."""
    from saematch.cli.console import output
    from saematch.errors import SaematchError
    from saematch.workflows.trace import check_export, export_trace
    from saematch.workflows.trace import trace as follow

    if export is None:
        given = {
            "--node-link": node_link,
            "--depth": depth,
            "--max-p": max_p is not None,
            "--transport": transport,
            "--effects": effects,
        }
        for option in (name for name, is_given in given.items() if is_given):
            raise SaematchError(f"{option} is about an export: give --export NAME.json too")
    else:
        check_export(export, node_link, max_p, transport, effects)
    found = follow(run, site, feature, contexts=contexts, alternatives=alternatives, labels=labels)
    console = output()
    show_trace(console, found)
    if export is not None:
        written = export_trace(
            run,
            found,
            export,
            node_link=node_link,
            depth=depth or DEPTH,
            max_p=max_p,
            transport=transport,
            effects=effects,
        )
        what = "matches and candidates" if transport is None else f"transports, k = {transport}"
        what += ", and average effects," if effects else ""
        console.print(
            f"\nWritten to {export}: {len(written.table):,} edges of {what} around "
            f"{found.site} #{found.feature}",
            soft_wrap=True,
        )


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
        _feature(console, step.link.site, step.link.feature, step)
        _link(console, step)
    _feature(console, found.site, found.feature, found, asked=True)
    for step in found.forward:
        _link(console, step)
        _feature(console, step.link.site, step.link.feature, step)
    _end(console, found.after, "after")
    if found.confidence is not None:
        console.print(Text(f"\n{_sure(found)}", style="bold"))
    if found.modules:
        console.print(Text("\nmatches with other streams", style="dim"))
        for link in found.modules:
            _wrapped(console, f"{INDENT}{_name(link)}  ", _facts(link), "cyan")
    if found.other_streams:
        console.print()
    for links in found.other_streams:
        nearest = [_short(link, "goes to") for link in links]
        _wrapped(console, f"{INDENT}no match in {links[0].site}; nearest: ", nearest, "dim")
    _tracks(console, found)
    console.print()
    for line in _legend(found):
        _wrapped(console, "", line.split(), "dim", gap=" ")


def _feature(
    console: Console, site: str, feature: int, known: Step | Trace, asked: bool = False
) -> None:
    from rich.text import Text

    from saematch.cli.examples import context_line, visible
    from saematch.labels.of_run import TOP_TOKENS

    mark = Text("▶ " if asked else INDENT, style="bold yellow")
    console.print(mark + Text(f"{site} #{feature}", style="bold yellow" if asked else "bold"))
    if known.label is not None and known.label.source != TOP_TOKENS:  # contexts show the tokens
        said = Text(visible(known.label.text), style="green")
        said.append(f"  ({visible(known.label.source)})", style="dim")
        for line in said.wrap(console, max(1, console.width - len(INDENT))):
            console.print(Text(INDENT) + line)
    for context in known.contexts:
        console.print(Text(INDENT) + context_line(context, console.width - len(INDENT)))


def _link(console: Console, step: Step) -> None:
    if step.alternatives:
        head = f"{INDENT}│ next best in {step.alternatives[0].site}: "
        _wrapped(console, head, [_short(link) for link in step.alternatives], "dim", bar="│")
    facts = _facts(step.link)
    if step.skipped:
        facts[0] = "direct match of two layers"
        facts.append(f"over {', '.join(step.skipped)}, which has no match")
        if step.tracks is not None:
            facts.append(f"part of tracks: {', '.join(step.tracks) or 'none'}")
    _wrapped(console, f"{INDENT}▼ ", facts, "cyan")


def _end(console: Console, links: tuple[Link, ...], where: str) -> None:
    if not links:
        return
    what = "no match before in" if where == "before" else "no match after in"
    why = "goes to" if where == "before" else "taken by"
    if where == "after":
        console.print()
    head = f"{INDENT}{what} {links[0].site}; nearest: "
    _wrapped(console, head, [_short(link, why) for link in links], "dim")
    if where == "before":
        console.print()


def _sure(found: Trace) -> str:
    """How sure the whole way is; of more than one link, which is the least so."""
    links = [step.link for step in (*found.backward, *found.forward)]
    rates = [link.local_fdr or 0.0 for link in links]
    least = links[rates.index(max(rates))]
    said = f"confidence of the whole way: {_share(found.confidence or 0.0)}"
    if len(links) > 1 and max(rates) >= SURE:
        said += f"; least sure: the link to {_name(least)} ({_share(1 - max(rates))})"
    return said


def _share(value: float) -> str:
    """At least that much: cut, never rounded up."""
    if value > 1 - SURE:
        return f"over {1 - SURE:.2%}"
    return f"{math.floor(1000 * value) / 1000:.1%}"


def _tracks(console: Console, found: Trace) -> None:
    from rich.text import Text

    if found.tracks is None:
        return
    console.print(Text("\ntracks it is in", style="dim"))
    for track in found.tracks:
        (start, first), (end, last) = track.start, track.end
        facts = [f"{start} #{first}"]
        facts += [f"→ {end} #{last}", f"{track.length} features"] if track.length > 1 else ["alone"]
        if track.together > 1:
            facts.append(f"the longest of {track.together} that flow together")
        _wrapped(console, f"{INDENT}{track.mode} {track.track}: ", facts, "dim")
    if not found.tracks:
        console.print(Text(f"{INDENT}none: tracks run along another stream", style="dim"))


def _legend(found: Trace) -> list[str]:
    """What the words above mean, for those that are there."""
    steps = (*found.backward, *found.forward)
    ends = (*found.before, *found.after, *(link for links in found.other_streams for link in links))
    lines = []
    if steps or ends or found.modules:
        lines = [
            "score: as the method has it, larger is better; p: the chance that the best of as many "
            "random directions scores as much."
        ]
    if found.confidence is not None:
        lines.append(
            "confidence: the chance that no link of the way came about by chance, at least; not "
            "that each is the best of rivals that are alike."
        )
    if any(step.alternatives for step in steps):
        lines.append("next best in: the candidates of that layer after the match, best first.")
    if any(link.kind == "target" for link in ends):
        lines.append("assigned: the target by the method, which is no match.")
    if any(link.taken is not None for link in ends):
        lines.append("taken by / goes to: significant, but matched to the feature named instead.")
    if found.community is not None:
        lines.append("community: features that flow into one another, by their common tokens.")
    return lines


def _facts(link: Link) -> list[str]:
    parts = ["match" if link.kind == "match" else "no match"]
    if link.cosine is not None:
        parts.append(f"cosine {link.cosine:.2f}")
    if link.score is not None:
        parts.append(f"score {link.score:.3g}")
    if link.p_value is not None:
        parts.append(f"p {_p(link.p_value)}")
    if link.rank is not None and link.rank > 1:
        parts.append(f"choice no. {link.rank}")
    return parts


def _short(link: Link, why: str = "") -> str:
    """In few words; `why`: what to call it if another feature has it."""
    known = [] if link.score is None else [f"score {link.score:.3g}"]
    if link.cosine is not None:
        known.insert(0, f"cosine {link.cosine:.2f}")
    if link.p_value is not None:
        known.append(f"p {_p(link.p_value)}")
    if link.taken is not None:
        known.append(f"{why} #{link.taken}")
    name = f"assigned: #{link.feature}" if link.kind == "target" else f"#{link.feature}"
    return f"{name} ({', '.join(known)})"


def _name(link: Link) -> str:
    return f"{link.site} #{link.feature}"


def _p(value: float) -> str:
    return f"{value:.1g}" if value else "0"


def _wrapped(
    console: Console, head: str, parts: list[str], style: str, gap: str = "  ", bar: str = " "
) -> None:
    """`head` and as many parts as fit on a line; the others on lines of their own below."""
    from rich.cells import cell_len
    from rich.text import Text

    line, empty = head, True
    for part in parts:
        longer = line + ("" if empty else gap) + part
        if line.strip() and cell_len(longer) > console.width:
            console.print(Text(line, style=style))
            longer = (f"{INDENT}{bar} {INDENT}" if head else "") + part
        line, empty = longer, False
    console.print(Text(line, style=style))
