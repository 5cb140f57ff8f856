"""`saematch.relate`: the pairs of a run by what their features do on text."""

from __future__ import annotations

from pathlib import Path

import saematch
from saematch.activations.store import ActivationStore
from saematch.errors import RunError
from saematch.layers.analysis import analyse
from saematch.layers.coactivation import relate as relate_pair
from saematch.layers.origins import Cutoffs
from saematch.layers.saved_coactivation import Relating
from saematch.progress import Progress, silent, tracked
from saematch.runs.run import Run
from saematch.workflows.runs import GivenRun, opened_run, warn_unfinished
from saematch.workflows.tokens import StoredTokens


def relate(
    run: GivenRun,
    activations: ActivationStore | str | Path,
    *,
    activity: float = 0.0,
    top_k: int = 5,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Relate the features of a run's pairs by what they do on text.

    For each pair and each of Pearson, cosine, sufficiency, necessity, Jaccard and mutual
    information: the best partners of every feature, and the share of features that pass to the
    other layer at any cut-off. Besides, gates: features that two others together explain. Written
    to the run, pair by pair; calling it again continues where it stopped.

    Args:
        run: a run of `saematch.match` or `saematch.flow`, or its directory.
        activations: a store that `saematch.capture` made of the run's SAEs, or its folder.
        activity: a feature counts as active above this share of its maximum; 0: whenever it fires.
            Gates always take 0.2, as published.
        top_k: partners kept per feature and statistic.
        overwrite: discard the co-activation that is there.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Returns:
        The run.

    Raises:
        RunError: the run has no pairs, holds co-activation of other text, or another program is
            writing to it; the store lacks an SAE, or is not finished.
    """
    run, stored, tell = opened_run(run), StoredTokens(activations), progress or silent
    if not run.pairs:
        raise RunError(f"{run.path} has no pairs yet")
    warn_unfinished(run)
    names = {name: stored.name_of(run.sae(name)) for name in run.names}
    asked = {**stored.options, "activity": activity, "top_k": top_k}
    with run.writing():
        relating = Relating(run, {**asked, "saematch": saematch.__version__}, overwrite)
        missing = relating.missing
        done, total = len(run.pairs) - len(missing), len(run.pairs)
        for a, b in tracked(missing, tell, "relating", total, done, " → ".join):
            streams = (stored.store.stream(names[name]) for name in (a, b))
            relating.add(a, b, relate_pair(*streams, k=top_k, activity=activity))
        relating.finish()
        describe(run, stored)
    return run


def describe(run: Run, stored: StoredTokens) -> None:
    """Take over contexts from the store; a flow's labels are made of them, and are made anew."""
    flow, finished = run.section("flow"), run.finished
    stored.describe(run)
    if flow is not None and run.section("flow") is None:
        fixed = flow.origin_cutoffs
        analyse(run, None if fixed is None else Cutoffs(*fixed))
        if finished is not None:
            run.finish()
