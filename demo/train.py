"""Train SAEs on any Hugging Face causal model: `python -m demo.train MODEL --sites ...`."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from demo.trainee import Plan, save_sae
from demo.training import train_saes, windows
from saematch.checkpoints.names import expand_braces
from saematch.checkpoints.sites import parse_hook
from saematch.models import open_model
from saematch.workflows.saes import pick_device


def train(
    model: Annotated[str, typer.Argument(help="A model's name on the hub, or its folder.")],
    sites: Annotated[
        list[str],
        typer.Option(help="Hook points, such as 'blocks.{8-23}.hook_resid_post'; repeatable."),
    ],
    texts: Annotated[
        list[str],
        typer.Option(help="Texts as for saematch capture, read in equal parts; repeatable."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder in which each SAE gets one.")],
    width: Annotated[int, typer.Option(help="Features of each SAE.")] = 4096,
    l0: Annotated[
        list[float],
        typer.Option(help="Active features per token (TopK: exactly); several: one SAE for each."),
    ] = [50.0],  # noqa: B006 - typer copies it
    activation: Annotated[str, typer.Option(help="jumprelu or topk.")] = "jumprelu",
    tokens: Annotated[int, typer.Option(help="Activations to train on.")] = 1_000_000,
    context: Annotated[int, typer.Option(help="Tokens in a window, BOS included.")] = 256,
    seed: Annotated[int, typer.Option(help="Of the first SAE; each further one adds 1.")] = 0,
    suffix: Annotated[str, typer.Option(help="Appended to the names of the folders.")] = "",
    learning_rate: Annotated[float, typer.Option(help="Adam's.")] = 1.5e-3,
    model_name: Annotated[str, typer.Option(help="What the SAEs call the model.")] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
) -> None:
    """Train JumpReLU or TopK SAEs at some hook points of a causal language model, in one pass.

    The files are as SAELens writes them. The state of training is kept beside them, so that the
    same command goes on where an interrupted one stopped.
    """
    hooks = [hook for pattern in sites for hook in expand_braces(pattern)]
    every = list(product(hooks, l0))
    plans = [
        Plan(
            name_of(hook) + suffix + (f"_l0_{some:g}" if len(l0) > 1 else ""),
            hook, width, some, seed + i, activation,
        )
        for i, (hook, some) in enumerate(every)
    ]  # fmt: skip
    missing = [plan for plan in plans if not (out / plan.name / "cfg.json").exists()]
    if not missing:
        typer.echo(f"{out} has them all")
        return
    read = open_model(model, pick_device(device))
    rows = windows(read, texts, context, seed=1)
    state = out / f".training{suffix}_{seed}"
    trained = train_saes(
        read, rows, plans, tokens=tokens, learning_rate=learning_rate, state=state / "state.pt"
    )
    for name, trainee in trained.items():
        save_sae(trainee, out / name, model_name or model, context)
        took, left = (int(n) for n in trainee.taken)
        told = {"tokens": took, "massive": left, "texts": texts, "learning_rate": learning_rate}
        (out / name / "training.json").write_text(json.dumps(told, indent=1) + "\n")
    shutil.rmtree(state, ignore_errors=True)


def name_of(hook: str) -> str:
    """`resid_post_12` for `blocks.12.hook_resid_post`."""
    site = parse_hook(hook)
    return f"{site.kind}_{site.layer}" if site.layer is not None else hook.replace(".", "_")


if __name__ == "__main__":
    typer.run(train)
