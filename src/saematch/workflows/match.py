"""`saematch.match`: the features of one SAE matched to those of another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saematch.activations.store import ActivationStore
from saematch.activations.table import FeatureActivations
from saematch.matching.matching import Matching
from saematch.matching.methods import Method
from saematch.matching.nulls import Null
from saematch.matching.significance import Test
from saematch.matching.solving import check_comparable
from saematch.progress import Progress, Step, silent
from saematch.runs.run import Run
from saematch.sae.sae import Site
from saematch.workflows.ahead import announce
from saematch.workflows.matcher import Matcher, WithinPair
from saematch.workflows.models import GivenModel
from saematch.workflows.options import MatchOptions
from saematch.workflows.saes import Given, Saes


def match(
    a: Given,
    b: Given,
    method: str | Method | MatchOptions | None = None,
    *,
    null: Null = "covariance",
    fdr: float = 0.01,
    partial: bool = False,
    seed: int = 0,
    test: Test = "direction",
    candidates: int | None = None,
    activations: ActivationStore
    | str
    | Path
    | tuple[FeatureActivations, FeatureActivations]
    | None = None,
    tokens: int | None = None,
    model: GivenModel | None = None,
    text: str | Path | Sequence[str | Path] | None = None,
    typical_activation: tuple[Tensor, Tensor] | None = None,
    any_site: bool = False,
    site: str | Site | None = None,
    device: str | torch.device = "auto",
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Matching:
    """Match the features of `a` to those of `b`.

    Args:
        a: source SAE: a name as of `saematch.load`, an `SAE`, or an SAE object of SAELens or
            sparsify.
        b: target SAE.
        method: a name from `saematch.METHODS`, a `Method`, or `MatchOptions`, which hold the
            options too. Unless given `sae-match`, or `fused` where there is a model or activations.
        null: what scores are tested against: `covariance`, random directions with about the mean
            and covariance of the target's; `rotation`, the target under a random rotation; `none`.
        fdr: false discovery rate of the matches (Benjamini-Hochberg).
        partial: leave features without a significant partner unassigned: pairs are made only where
            they score more than the null gives (see `saematch.matching.significance`). Applies only
            to one-to-one methods.
        seed: of the null.
        test: what p-values are of. `direction`: the cosines of a pair's vectors, whatever their
            lengths, so that `matched` means the same for every method; `score`: the method's score.
        candidates: how many of the best targets to keep per feature, and sources; unless given,
            the method's `top_k` where that is more than 1, else 5.
        activations: what the features do on text, for methods that compare it: a store that
            `saematch.capture` made, its folder, or the activations of `a` and `b` on the same
            tokens.
        tokens: how many tokens of a store to use, spread evenly over its texts; all unless given.
            With a model and no store: about how many of each text, 16,384 unless given.
        model: the language model of both SAEs, as of `saematch.capture`, for methods that gain by
            it: its mean Jacobians carry directions from one hook point to the other, and it reads
            the text on which features are compared.
        text: with a model, one or several texts to compare features on, as of `saematch.capture`;
            unless given, text that the model generates.
        typical_activation: `(d_sae_a,)`, `(d_sae_b,)`, for `fold="activation"`; unless given the
            mean activations in `features.parquet` beside the weights.
        any_site: match even where the SAEs read at different kinds of hook point.
        site: where SAEs given by name read, as of `saematch.load`.
        device: where to compute; `auto`: where an SAE in memory lies, else a GPU if there is one.
        out: a run directory to write the result to, or to read it from where it is there already
            (then without the duals of the assignment); nothing is written where it is None.
        overwrite: discard another run in that directory.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.
        **options: the method's own, such as `fold`, `terms`, `top_k`, `cutoff`.

    Raises:
        MatchError: SAEs that cannot be compared, a method or option that does not exist, or
            activations that are missing or of other tokens.
        RunError: the directory holds something else, or another program is writing to it.
    """
    matcher = Matcher.of(
        method,
        null=null,
        fdr=fdr,
        partial=partial,
        seed=seed,
        test=test,
        candidates=candidates,
        activations=activations,
        tokens=tokens,
        model=model,
        text=text,
        typical_activation=typical_activation,
        any_site=any_site,
        **options,
    )
    saes = Saes([a, b], device, site, patterns=False)
    tell = progress or silent
    announce(saes, matcher, [(0, 1)], out, overwrite=overwrite)
    first, second = saes.read(tell)
    if out is None:
        check_comparable(first, second, any_site=any_site)
        if matcher.evidence is not None:
            matcher.evidence.prepare(None, saes, [(0, 1)], tell)
        step = Step("matching", 0, 1, f"{first.name} → {second.name}")
        return matcher.match(first, second, WithinPair(step, tell))
    run, found = match_into(saes, matcher, out, overwrite, progress)
    return found or run.matching(run.names[0], run.names[1], (first, second))


def match_into(
    saes: Saes,
    matcher: Matcher,
    out: str | Path,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Run, Matching | None]:
    """The run of a pair, and its matching where the run did not have it yet.

    Raises:
        MatchError, RunError: as of `match`.
    """
    # before a directory is made for nothing
    check_comparable(saes[0], saes[1], any_site=matcher.any_site)
    run = Run.create(out, "match", matcher.options, saes, overwrite=overwrite)
    found = matcher.match_into(run, saes, [(run.names[0], run.names[1])], progress or silent)
    run.finish()
    return run, found
