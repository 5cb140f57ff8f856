"""A circuit of a run, from its SAEs, a model and a prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl
import torch
from jaxtyping import Bool, Int
from msgspec.structs import replace
from torch import Tensor

from saematch.activations.massive import beyond, norms
from saematch.causal.contributions import written_at
from saematch.circuits.circuit import (
    Circuit,
    circuit_edges,
    circuit_nodes,
    roles_of,
    with_names,
    with_tracks,
)
from saematch.circuits.effects import Effects, effects
from saematch.circuits.pruning import Pruned, prune
from saematch.errors import RunError, SaematchError
from saematch.labels import labels_of, top_tokens
from saematch.layers.layers import Layers
from saematch.models.language_model import LanguageModel
from saematch.models.texts import head_of, tokenise
from saematch.models.token_text import Pieces
from saematch.progress import Progress, Step, log
from saematch.runs.records import CircuitFigures
from saematch.runs.run import Run
from saematch.sae.sae import SAE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def hooks_of_run(run: Run, sites: Sequence[str] = ()) -> dict[str, str]:
    """The hook point of each SAE of a run, or of those named, in order of depth.

    Raises:
        RunError: there is no such SAE, its hook point is not known, or two have the same.
    """
    chosen = [name for name in Layers.of(run).names if not sites or name in sites]
    for name in sites:
        run.sae(name)
    hooks: dict[str, str] = {}
    for name in chosen:
        site = run.sae(name).site
        if site is None or site.layer_alone:
            raise RunError(
                f"where {name} reads is not known: make the run again with its hook point (--site)"
            )
        for other, hook in hooks.items():
            if hook == site.hook:
                raise RunError(
                    f"{other} and {name} are both of {hook}, and a hidden state is the sum of what "
                    "features of one SAE write: choose by sites (--sites)"
                )
        hooks[name] = site.hook
    return hooks


def make_circuit(
    run: Run,
    model: LanguageModel,
    asked: CircuitFigures,
    hooks: Mapping[str, str],
    load: Callable[[str], SAE],
    batch_tokens: int,
    progress: Progress,
) -> Circuit:
    """Find the effects between what is active on a prompt, keep what matters, and name it.

    Args:
        run: the run.
        model: the model of its SAEs.
        asked: what is asked for; its figures are filled in.
        hooks: the hook points of the SAEs that take part.
        load: an SAE by its name.
        batch_tokens: as of `effects`.
        progress: is told of the effects as they are found.

    Raises:
        SaematchError: as of `effects`; a prompt without tokens or too long for the model; an SAE
            that writes elsewhere than it reads, or of another width than its hook point.
    """
    begin = time.perf_counter()
    ids = prompt_tokens(asked.prompt, model)
    fixed, read = _which(model, ids, [*hooks.values()], asked.options["massive"])
    found = effects(
        model,
        ids,
        _Checked(model, load, hooks),
        hooks,
        read=read,
        fixed=fixed,
        attention=asked.attention,
        logits_share=asked.options["logits_share"],
        most_logits=asked.options["logits"],
        batch_tokens=batch_tokens,
        begun=lambda name, done, all_: progress(Step("finding effects", done, all_, f"on {name}")),
    )
    progress(Step("pruning", 0, None))
    kept = prune(found.matrix, roles_of(found), asked.options["nodes"], asked.options["edges"])
    layers = {name: site.layer for name in hooks if (site := run.sae(name).site) is not None}
    pieces = Pieces(model.tokenizer)
    texts = [pieces([word])[0] for word in found.nodes["word"].drop_nulls()]
    nodes = circuit_nodes(asked.slug, found, kept, layers, texts)
    tokens = top_tokens(run)
    nodes = with_names(
        with_tracks(nodes, _tracks(run, asked.options["mode"])), labels_of(run, tokens), tokens
    )
    edges = circuit_edges(asked.slug, found, kept)
    figures = _figures(asked, found, kept, nodes, edges)
    figures = replace(
        figures,
        tokens=token_texts(model.tokenizer, ids),
        words=ids.tolist(),
        unread=(~read).nonzero()[:, 0].tolist(),
        seconds=time.perf_counter() - begin,
    )
    return Circuit(figures, nodes, edges)


def prompt_tokens(prompt: str, model: LanguageModel) -> Int[Tensor, " seq"]:
    """The token ids of a prompt, BOS first.

    Raises:
        SaematchError: it has no token, or more than the model has positions.
    """
    limit = model.max_tokens
    found = tokenise([prompt], model.tokenizer, max(2, limit or 1 << 20), limit, long="split")
    if not found:
        raise SaematchError(f"the prompt {prompt!r} has no tokens")
    if len(found) > 1:
        raise SaematchError(
            f"the prompt has more tokens than {model.name} has positions ({limit}): shorten it"
        )
    return torch.from_numpy(found[0])


def _which(
    model: LanguageModel, ids: Tensor, hooks: Sequence[str], times: float | None
) -> tuple[Bool[Tensor, " seq"], Bool[Tensor, " seq"]]:
    """The tokens of which everything is constant, and those whose features count."""
    read = torch.ones(len(ids), dtype=torch.bool, device=model.device)
    fixed = ~read
    # the first token never counts; what BOS brings is the same whatever the prompt says
    read[0] = False
    fixed[0] = bool(head_of(model.tokenizer))
    if times is not None and len(ids) > 1:
        norm = norms(model.run(ids[None], hooks), hooks)
        limits = {hook: times * float(some[0, 1:].median()) for hook, some in norm.items()}
        over = beyond(norm, limits)[0]
        over[0] = False
        if over.any():
            where = ", ".join(str(t) for t in over.nonzero()[:, 0].tolist())
            log.warning(
                f"tokens {where} of the prompt have massive activations, more than {times:g} times "
                "the median norm; no feature counts there (--massive 0 counts them)"
            )
        read &= ~over
    return fixed, read


class _Checked(Mapping[str, SAE]):
    """The SAEs of a circuit, loaded and checked when they are asked for."""

    def __init__(
        self, model: LanguageModel, load: Callable[[str], SAE], hooks: Mapping[str, str]
    ) -> None:
        self._model, self._load, self._hooks = model, load, hooks

    def __getitem__(self, name: str) -> SAE:
        sae = self._load(name)
        written_at(sae, name)
        self._model.hooks_of({name: sae})
        return sae

    def __iter__(self):
        return iter(self._hooks)

    def __len__(self) -> int:
        return len(self._hooks)


def _tracks(run: Run, mode: str) -> pl.DataFrame | None:
    if "tracks" not in run.tables("flow"):
        log.warning(
            f"{run.path} has no tracks, so that no features are taken together: saematch flow "
            "makes them"
        )
        return None
    return run.table("flow", "tracks").filter(mode=mode)


def _figures(
    asked: CircuitFigures, found: Effects, kept: Pruned, nodes: pl.DataFrame, edges: pl.DataFrame
) -> CircuitFigures:
    logits = found.nodes.filter(kind="logit")
    return replace(
        asked,
        sites=list(found.sites),
        logits=logits["word"].to_list(),
        nodes_before=len(found.nodes),
        edges_before=int(torch.count_nonzero(found.matrix)),
        nodes=len(nodes),
        edges=len(edges),
        supernodes=nodes["group"].drop_nulls().n_unique(),
        completeness=kept.completeness,
        replacement=kept.replacement,
        influence_before=float(kept.influence.sum() - 1),
    )


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Tensor) -> list[str]:
    """The text of each token of a prompt; of BOS its name."""
    pieces, head = Pieces(tokenizer), head_of(tokenizer)
    words = ids.tolist()
    if not head:
        return pieces(words, start=True)
    name = tokenizer.convert_ids_to_tokens(words[0])
    return [str(name), *pieces.of_example(words[1:])]
