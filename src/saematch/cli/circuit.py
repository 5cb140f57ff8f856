"""`saematch circuit RUN`: effects between the features that are active on a prompt."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from saematch.cli.options import (
    Device,
    DtypeOption,
    Massive,
    ModeChoice,
    ModelOption,
    Overwrite,
    Quiet,
    comma_list,
)


class AttentionChoice(StrEnum):
    frozen = "frozen"
    live = "live"


def circuit(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run directory; of saematch flow, with tracks.")
    ],
    model: ModelOption,
    prompt: Annotated[
        str, typer.Option(help="The text, whose next token is explained; BOS is put before it.")
    ],
    slug: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the circuit is called in the run. Default: the prompt's words.",
        ),
    ] = None,
    attention: Annotated[
        AttentionChoice,
        typer.Option(
            help="frozen: who attends to whom is taken as it is; live: it changes with what it is "
            "made of."
        ),
    ] = AttentionChoice.frozen,
    nodes: Annotated[
        float,
        typer.Option(help="Share of all influence on the logits that the nodes kept have."),
    ] = 0.8,
    edges: Annotated[
        float,
        typer.Option(help="Share of the influence between those that the edges kept have."),
    ] = 0.98,
    logits: Annotated[
        int, typer.Option(min=1, help="Most next tokens that are explained, the likeliest.")
    ] = 10,
    logits_share: Annotated[
        float, typer.Option(help="No more of them than have this probability together.")
    ] = 0.95,
    mode: Annotated[
        ModeChoice,
        typer.Option(help="Tracks whose features at one token are one supernode."),
    ] = ModeChoice.chained,
    sites: Annotated[
        tuple,
        typer.Option(
            parser=comma_list(str, "names of SAEs with commas, such as resid_post_3,mlp_out_3"),
            metavar="SAE,...",
            help="SAEs of the run that take part, no two of one hook point. Default: all.",
        ),
    ] = (),
    massive: Massive = 4.0,
    batch_tokens: Annotated[
        int,
        typer.Option(min=1, help="Tokens that the model reads at once: faster, and more memory."),
    ] = 1024,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            "-e",
            help="Write it to NAME.json too, an attribution graph for circuit-tracer and "
            "Neuronpedia.",
        ),
    ] = None,
    shown: Annotated[
        int, typer.Option(min=1, help="Supernodes, features and edges that are printed.")
    ] = 20,
    device: Device = "auto",
    dtype: DtypeOption = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Find the features that a prompt's next token rests on, and how they cause each other.

    The effect of one feature on another goes through its decoder, the model's own Jacobian on this
    prompt, and the other's encoder. What explains most of the prediction is kept; features of one
    track at one token are one supernode.

    The circuit is added to the run, beside those of other prompts.
    """
    from saematch.circuits.kept import read_circuit
    from saematch.cli.circuit_report import show_circuit
    from saematch.cli.console import output, reporting
    from saematch.workflows.circuit import circuit as find
    from saematch.workflows.circuit import slug_of

    with reporting(quiet) as progress:
        found = find(
            run,
            model,
            prompt,
            slug=slug,
            attention=attention.value,
            nodes=nodes,
            edges=edges,
            logits=logits,
            logits_share=logits_share,
            mode=mode.value,
            sites=sites,
            massive=massive,
            batch_tokens=batch_tokens,
            device=device,
            dtype=dtype,
            export=export,
            overwrite=overwrite,
            progress=progress,
        )
    if quiet:
        typer.echo(run)
        return
    console = output()
    show_circuit(console, read_circuit(found, slug or slug_of(prompt)), shown)
    console.print(f"\nWritten to {run}", soft_wrap=True)
    if export is not None:
        console.print(f"Exported to {export}", soft_wrap=True)
