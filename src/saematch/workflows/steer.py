"""`saematch.steer`: a model steered by features of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from saematch.errors import SaematchError
from saematch.layers.tracks import Mode
from saematch.models.language_model import LanguageModel
from saematch.progress import log
from saematch.steering.features import Along, Named
from saematch.steering.output_score import OutputScore
from saematch.steering.plan import Asked, Plan
from saematch.steering.schedules import ALPHA, Schedule
from saematch.steering.steering import How, Steering, Unit
from saematch.steering.text import Continuation, continuations
from saematch.workflows.models import GivenModel, opened
from saematch.workflows.options import DtypeChoice
from saematch.workflows.runs import GivenRun, loading, opened_run
from saematch.workflows.saes import Given, Saes

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def steer(
    model: GivenModel | PreTrainedModel,
    run: GivenRun,
    features: Named | Sequence[Named],
    strength: float | None = None,
    schedule: Schedule = "constant",
    *,
    how: How = "add",
    along: Along = "layer",
    layer: int | str | None = None,
    unit: Unit | None = None,
    mode: Mode = "chained",
    alpha: float = ALPHA,
    prompt: bool = True,
    saes: Given | Sequence[Given] = (),
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
) -> Steering:
    """Add features to a model's hidden states, remove them, or scale them, within a `with` block.

    `with saematch.steer(model, run, "12_345"): model.generate(...)`. The model is steered whoever
    runs it there: with or without a cache, in batches padded on the left, by sampling. Outside the
    block, and at strength 0 within it, it is the plain model to the bit.

    Args:
        model: what to steer: a model of transformers that is open already, a `LanguageModel` of
            saematch, or a name as of `saematch.capture`, which is opened: `.model` has it.
        run: the run, or its directory.
        features: one feature or several: `12_3456`, `resid_post_12/3456`, or SAE and index.
        strength: `add`: how strongly, in `unit`; 1 unless given; below 0 it pushes away. `scale`:
            the factor of the feature's own activation: 0 removes it, 1 leaves it. Not of `remove`.
        schedule: how strength is spread over several features. By layer, l counted from the first:
            `constant`, `linear` (falls from 1 in equal steps), `exponential` (exp(alpha l), Feature
            Flow). By feature, relative to the one that is named: `threshold` (as folding by
            threshold does, SAE Match), or `activation`, the mean activation, for SAEs that have no
            threshold of each feature.
        how: `add` the feature at that activation, `remove` the activation that it has, or `scale`
            it.
        along: the feature at one `layer`, those of its `track`, or all of its `flow`: what leads
            into it and out of it by best matches.
        layer: with `along="layer"`, another layer than the feature's own: a number, for the feature
            of its track there, or `output-score`, for that feature of its track that does most for
            what the model says (Arad et al. 2025; see `saematch.steering.output_scores`).
        unit: of what is added: `max` (the default) or `mean`, the feature's largest or mean
            activation by the run's table of features; `norm`, the norm of the hidden state that it
            is added to; `raw`, the SAE's activation.
        mode: of the track: chained, flow or gaps.
        alpha: of the exponential schedule.
        prompt: steer the tokens of prompts too; otherwise only those from which the model goes on,
            the last one of the prompt and what it generates. The first token of a text (BOS) is
            never steered: no SAE was trained on it.
        saes: those SAEs of the run that were given in memory when it was made.
        device: where a model given by name runs; `auto`: a GPU if there is one.
        dtype: of the weights of a model given by name; as stored unless given.

    Returns:
        A context manager. `changes` says what is done to which feature, `model` is the model.

    Raises:
        RunError: no such run, SAE or feature; it is in no track or flow, or its activations are not
            known; an SAE is no longer where it was, or was given in memory.
        SaematchError: values that do not go together, an SAE that is a transcoder, or of another
            model, or a model that cannot be opened.
    """
    asked = Asked(strength, schedule, how, along, layer, unit, mode, alpha)
    plan = planned(model, run, features, asked, saes=saes, device=device, dtype=dtype)
    return Steering(plan.model, plan.changes(), plan.saes, prompt=prompt)


@dataclass(frozen=True, eq=False)
class SideBySide:
    """What a model writes after each prompt, as it is and steered, by the same draws."""

    steering: Steering
    scores: tuple[OutputScore, ...]  # where the layer was chosen by them
    plain: tuple[Continuation, ...]
    steered: tuple[Continuation, ...]


def side_by_side(
    plan: Plan,
    prompts: Sequence[str],
    *,
    prompt: bool = True,
    tokens: int = 40,
    samples: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    chat: bool = False,
) -> SideBySide:
    """Continue prompts by the plain model and by the steered one.

    Args:
        plan: what is to be done, as of `planned`.
        prompts: to be continued.
        prompt: as of `steer`.
        tokens: of each text, at most.
        samples: of each prompt.
        temperature: of the draws; 0 takes the most probable token.
        seed: of the draws, the same for both.
        chat: prompts are a user's messages, in the model's chat template.

    Raises:
        SaematchError: as of `saematch.steering.continuations`.
    """
    steering = Steering(plan.model, plan.changes(), plan.saes, prompt=prompt)
    write = partial(
        continuations,
        plan.model,
        prompts,
        tokens=tokens,
        samples=samples,
        temperature=temperature,
        seed=seed,
        chat=chat,
    )
    plain = write()
    with steering:
        steered = write()
    return SideBySide(steering, tuple(plan.scores), tuple(plain), tuple(steered))


def planned(
    model: GivenModel | PreTrainedModel,
    run: GivenRun,
    features: Named | Sequence[Named],
    asked: Asked,
    *,
    saes: Given | Sequence[Given] = (),
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
) -> Plan:
    """What is to be done to which features, before the model is steered; see `steer`."""
    opened_one, given = opened_run(run), Saes(saes, device)
    language = language_of(model, given.device, dtype)
    plan = Plan(opened_one, language, loading(opened_one, given), features, asked)
    for note in plan.notes:
        log.warning(note)
    return plan


def language_of(
    model: GivenModel | PreTrainedModel, device: torch.device, dtype: DtypeChoice | None = None
) -> LanguageModel:
    """A language model by its name, or one that is open, saematch's or of transformers.

    Raises:
        SaematchError: it is none of these, or cannot be opened.
    """
    if isinstance(model, nn.Module):
        whole: Any = model
        if not hasattr(whole, "config"):
            raise SaematchError(
                f"a {type(model).__name__} has no config: give a model of transformers, a name, or "
                "a saematch LanguageModel"
            )
        name = str(getattr(whole.config, "_name_or_path", "") or type(model).__name__)
        return LanguageModel(whole, None, name)  # pyright: ignore[reportArgumentType]
    return opened(model, device, dtype)
