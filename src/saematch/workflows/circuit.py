"""`saematch.circuit`: effects between the features that are active on a prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from saematch.activations.massive import TIMES, checked_times
from saematch.circuits.effects import (
    ATTENTION,
    BATCH_TOKENS,
    LOGITS,
    LOGITS_SHARE,
    Attention,
)
from saematch.circuits.export import check_export, export_circuit
from saematch.circuits.kept import is_kept, keep_circuit, read_circuit
from saematch.circuits.making import hooks_of_run, make_circuit
from saematch.circuits.pruning import EDGES_SHARE, NODES_SHARE, check_shares
from saematch.errors import SaematchError
from saematch.layers.tracks import MODES, Mode
from saematch.models.language_model import LanguageModel
from saematch.progress import Progress, Step, silent
from saematch.runs.records import CircuitFigures
from saematch.runs.run import Run
from saematch.workflows.models import GivenModel, opened
from saematch.workflows.options import DtypeChoice
from saematch.workflows.runs import GivenRun, loading, opened_run, warn_unfinished
from saematch.workflows.saes import Given, Saes

SLUG = 48  # characters of a name that is made of a prompt


def circuit(
    run: GivenRun,
    model: GivenModel,
    prompt: str,
    *,
    slug: str | None = None,
    attention: Attention = "frozen",
    nodes: float = NODES_SHARE,
    edges: float = EDGES_SHARE,
    logits: int = LOGITS,
    logits_share: float = LOGITS_SHARE,
    mode: Mode = "chained",
    sites: Sequence[str] = (),
    massive: float | None = TIMES,
    batch_tokens: int = BATCH_TOKENS,
    saes: Given | Sequence[Given] = (),
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
    export: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Find which features of a run a prompt's next token rests on, and how they cause each other.

    The direct effect of each feature on each later one goes through its decoder, the model's own
    Jacobian on this prompt, and the other's encoder; errors of the SAEs and the prompt's tokens
    have effects too, and the likeliest next tokens are what all is for. What explains most is kept.
    Features of one track at one token are one supernode.

    The circuit is added to the run; asked for again it is there. Others stay.

    Args:
        run: a run or its directory.
        model: the model that its SAEs are of, as of `saematch.capture`.
        prompt: the text; BOS is put before it.
        slug: what the circuit is called, made of the prompt unless given.
        attention: `frozen`, who attends to whom is taken as it is; or `live`, it changes with what
            it is made of.
        nodes: the share of all influence on the logits that the nodes kept have.
        edges: the share of what is left of it that the edges kept have.
        logits: the most next tokens that are targets, the likeliest.
        logits_share: no more than have this probability together.
        mode: which tracks make supernodes: `chained`, `flow` or `gaps`.
        sites: SAEs of the run that take part, no two of one hook point; all unless given.
        massive: tokens whose hidden state, at any of the sites, has more than this many times the
            median norm of the prompt count as error alone; 0 counts all.
        batch_tokens: tokens that the model reads at once. More is faster and takes more memory.
        saes: those SAEs of the run that were given in memory when it was made.
        device: where to compute, as of `saematch.evaluate`.
        dtype: of the model's weights; as stored unless given.
        export: write the circuit to NAME.json as an attribution graph for circuit-tracer and
            Neuronpedia too.
        overwrite: replace a circuit of this name that was made otherwise, and names of features
            that have changed.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Returns:
        The run: `saematch.circuits.read_circuit(run, slug)` has the circuit.

    Raises:
        RunError: the run has no such SAE, has another circuit of that name, an SAE is no longer
            where it was, or another program is writing to the run.
        SaematchError: a model, prompt or option that cannot be used; SAEs that do not fit the
            model, or two of one hook point; attention that cannot be frozen.
    """
    run, tell, given = opened_run(run), progress or silent, Saes(saes, device)
    warn_unfinished(run)
    check_shares(nodes, edges)
    if attention not in ATTENTION or mode not in MODES:
        raise SaematchError(
            f"attention is {attention!r}, one of {', '.join(ATTENTION)}; mode is {mode!r}, one of "
            f"{', '.join(MODES)}"
        )
    if logits < 1 or not 0 < logits_share <= 1:
        raise SaematchError(
            f"{logits} logits (--logits) with a share of {logits_share:g} (--logits-share): it "
            "takes 1 at least, and a share above 0 and up to 1"
        )
    if export is not None:
        check_export(Path(export))
    times = checked_times(massive)
    hooks = hooks_of_run(run, sites)
    name = model.name if isinstance(model, LanguageModel) else str(model)
    asked = CircuitFigures(
        slug=slug or slug_of(prompt),
        prompt=prompt,
        tokens=[],
        sites=[*hooks],
        model=name,
        attention=attention,
        options={
            "nodes": nodes,
            "edges": edges,
            "logits": logits,
            "logits_share": logits_share,
            "mode": mode,
            "massive": times,
            "dtype": dtype,
        },
    )
    with run.writing():
        if not is_kept(run, asked, overwrite):
            tell(Step("opening the model", 0, None))
            made = make_circuit(
                run,
                opened(model, given.device, dtype),
                asked,
                hooks,
                loading(run, given),
                batch_tokens,
                tell,
            )
            keep_circuit(run, made)
    if export is not None:
        export_circuit(read_circuit(run, asked.slug), export)
    return run


def slug_of(prompt: str) -> str:
    """What the circuit of a prompt is called: its words in lower case."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")
    return words[:SLUG].rstrip("-") or "circuit"
