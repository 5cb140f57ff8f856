"""A small run of shipped SAEs, for the model that comes with them to read sentences with."""

from pathlib import Path

import saematch
from saematch.runs.run import Run

STREAM = ("resid_post_2", "resid_post_3", "resid_post_4")
MODULE = "attn_out_3"
TEXT = "She said that he would come back to the house."


def write_run(folder: Path) -> Run:
    """The flow of three layers and an attention SAE between them."""
    names = [f"saematch:{name}" for name in (*STREAM, MODULE)]
    return saematch.flow(names, out=folder / "run", method="feature-flow")
