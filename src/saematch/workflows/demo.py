"""`saematch.demo`: features followed through SmolLM2, by the SAEs that come with saematch."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch

from saematch.assignment import assign, neighbours
from saematch.progress import Progress, Step, silent
from saematch.runs.run import Run
from saematch.sae import shipped
from saematch.workflows.folders import written
from saematch.workflows.matcher import Matcher
from saematch.workflows.saes import Saes


def demo(
    *,
    device: str | torch.device = "auto",
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Match the shipped SAEs of SmolLM2, block by block, by SAE Match.

    Needs no download. Calling it again with the same directory shows what is there.

    Args:
        device: where to compute; `auto`: a GPU if there is one.
        out: the run directory; None for a temporary one, which is removed when the run is no longer
            used, at the latest when the process ends.
        overwrite: discard another run in the directory.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Raises:
        RunError: the directory holds something else, or another program is writing to it.
    """
    matcher, tell = Matcher.of(), progress or silent
    saes = Saes([f"{shipped.PREFIX}{name}" for name in shipped.smollm2_path()], device)
    run = written(
        out,
        lambda path: Run.create(
            path, "demo", matcher.options, saes.read(tell), overwrite=overwrite
        ),
    )
    steps = list(pairwise(run.names))
    if any(not run.has_pair(*pair) for pair in steps):
        tell(Step("compiling (once)", 0, None))
        _compile(saes.device)
    matcher.match_into(run, saes, steps, tell)
    run.finish()
    return run


def _compile(device: torch.device) -> None:
    """Have the inner loops compiled, once per machine, outside the time of the first pair."""
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(256, 8, generator=random).to(device) for _ in range(2))
    found = assign(x, y)
    neighbours(x, y, None, None, target=found.target, k=1)
