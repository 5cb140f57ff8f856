"""Package trained SAEs of SmolLM2: `python -m demo.ship FOLDER`, after train and describe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from demo.card import write_card
from demo.describe import FIGURES
from saematch.sae.contexts import FILE

PACKAGE = Path(__file__).parent.parent / "src" / "saematch" / "data" / "smollm2"
FILES = ("cfg.json", "sae_weights.safetensors", "sparsity.safetensors", FILE)


def ship(
    folder: Annotated[Path, typer.Argument(help="Folder of SAEs, described.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where what ships goes.")] = PACKAGE,
) -> None:
    """Copy the SAEs of a folder with what they fire on, and write their card."""
    report = json.loads((folder / FIGURES).read_text())
    for name in report["saes"]:
        target = out / "saes" / name
        target.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            shutil.copyfile(folder / name / file, target / file)
    (out / FIGURES).write_text(json.dumps(report, indent=1) + "\n")
    losses = ", ".join(f"{kind} {loss:.2f}" for kind, loss in report["losses"].items())
    write_card("smollm2", out, report, own_losses=losses)


if __name__ == "__main__":
    typer.run(ship)
