"""`saematch steer RUN FEATURE...`: what a model writes where features are added or removed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saematch.cli.options import Device, DtypeOption, ModeChoice, Overwrite, Quiet, comma_list

if TYPE_CHECKING:
    from saematch.asking import Forecast
    from saematch.steering.plan import Asked

SWEEP = "With --sweep"
WRITING = "What is written"


class HowChoice(StrEnum):
    add = "add"
    remove = "remove"
    scale = "scale"


class AlongChoice(StrEnum):
    layer = "layer"
    track = "track"
    flow = "flow"


class ScheduleChoice(StrEnum):
    constant = "constant"
    linear = "linear"
    exponential = "exponential"
    threshold = "threshold"
    activation = "activation"


class UnitChoice(StrEnum):
    max = "max"
    mean = "mean"
    norm = "norm"
    raw = "raw"


def steer(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    features: Annotated[
        list[str],
        typer.Argument(
            metavar="FEATURE...",
            help="Features of the run, each as of saematch trace: 12_3456, resid_post_12/3456.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(help="The model of the SAEs: a Hugging Face name, a folder, saematch:model."),
    ],
    strength: Annotated[
        float | None,
        typer.Option(
            help="How strongly a feature is added, in --unit; below 0 it pushes away. With --how "
            "scale the factor of its own activation.  [default: 1]"
        ),
    ] = None,
    how: Annotated[
        HowChoice,
        typer.Option(
            help="add: at the given activation. remove: the activation it has. scale: multiply "
            "that."
        ),
    ] = HowChoice.add,
    along: Annotated[
        AlongChoice | None,
        typer.Option(
            help="The feature alone, all of its track, or all of its flow: what leads into it and "
            "out of it by best matches.  [default: layer; with --sweep all]"
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="N|output-score",
            help="The feature of the track at layer N, or that with the best output score: whose "
            "addition does most for the tokens that it promotes.",
        ),
    ] = None,
    schedule: Annotated[
        ScheduleChoice,
        typer.Option(
            help="How strength is spread over features. By layer: constant, linear, exponential. "
            "By feature, relative to the named one: threshold, or activation (its mean)."
        ),
    ] = ScheduleChoice.constant,
    unit: Annotated[
        UnitChoice | None,
        typer.Option(
            help="Of --strength: each feature's largest (max) or mean activation, the norm of the "
            "hidden state, or raw activation.  [default: max]"
        ),
    ] = None,
    mode: Annotated[ModeChoice, typer.Option(help="Which track.")] = ModeChoice.chained,
    alpha: Annotated[
        float, typer.Option(help="Of the exponential schedule: exp(alpha l) at the l-th layer.")
    ] = -0.05,
    prompt_too: Annotated[
        bool,
        typer.Option(
            "--steer-prompt/--no-steer-prompt",
            help="Steer the tokens of the prompt too, or only those the model goes on from. BOS "
            "never is.",
        ),
    ] = True,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="Text to be continued; repeated for several. With --sweep eight beginnings "
            "unless given.",
            rich_help_panel=WRITING,
        ),
    ] = None,
    tokens: Annotated[
        int, typer.Option(min=1, help="Of each text, at most.", rich_help_panel=WRITING)
    ] = 40,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of each prompt.  [default: 1; with --sweep 2]", rich_help_panel=WRITING
        ),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(min=0, help="Of the draws; 0: the likeliest.", rich_help_panel=WRITING),
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the draws.", rich_help_panel=WRITING)] = 0,
    chat: Annotated[
        bool,
        typer.Option(
            "--chat",
            help="Prompts are a user's messages, in the model's chat template.",
            rich_help_panel=WRITING,
        ),
    ] = False,
    sweep: Annotated[
        tuple,
        typer.Option(
            parser=comma_list(float, "strengths with commas, such as 0.25,0.5,1"),
            metavar="S1,S2,...",
            help="Measure at these strengths, one way beside another (the feature alone, by "
            "output score, its track, its flow), and write it to the run.",
            rich_help_panel=SWEEP,
        ),
    ] = (),
    name: Annotated[
        str | None,
        typer.Option(
            help="Of the sweep in the run. Default: after the features.", rich_help_panel=SWEEP
        ),
    ] = None,
    concept: Annotated[
        str | None,
        typer.Option(
            help="What a language model rates texts for. Default: the feature's label, or tokens.",
            rich_help_panel=SWEEP,
        ),
    ] = None,
    judge_model: Annotated[
        str | None,
        typer.Option(
            help="Language model that rates concept and fluency, 0 to 2, as its endpoint has it.",
            rich_help_panel=SWEEP,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible endpoint. Default: OPENAI_BASE_URL, else OpenAI.",
            rich_help_panel=SWEEP,
        ),
    ] = None,
    key_variable: Annotated[
        str,
        typer.Option(
            help="Environment variable that holds the key; local servers need none.",
            rich_help_panel=SWEEP,
        ),
    ] = "OPENAI_API_KEY",
    budget: Annotated[
        int | None,
        typer.Option(
            min=0, help="Tokens to spend at most, sent and received.", rich_help_panel=SWEEP
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            "-y",
            help="Ask, however much it is forecast to cost.",
            rich_help_panel=SWEEP,
        ),
    ] = False,
    device: Device = "auto",
    dtype: DtypeOption = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Steer a model by features: add them to its hidden states, remove them, or scale them.

    Prints what the plain and the steered model write after each prompt, side by side. A feature is
    steered at one layer, along its track, or along its whole flow.

    With `--sweep` it measures instead: how strongly the theme's features fire in the text, how
    improbable and repetitive the text becomes, and with `--judge-model` how a language model rates
    it.
    """
    from saematch.cli.console import output, reporting
    from saematch.cli.steer_report import show_side_by_side, show_sweep

    asked: dict[str, Any] = {
        "how": how.value,
        "schedule": schedule.value,
        "unit": None if unit is None else unit.value,
        "mode": mode.value,
        "alpha": alpha,
    }
    write: dict[str, Any] = {
        "tokens": tokens,
        "samples": samples or (2 if sweep else 1),
        "temperature": temperature,
        "seed": seed,
        "chat": chat,
        "prompt": prompt_too,
    }
    where: dict[str, Any] = {"device": device, "dtype": dtype}
    _check(sweep, strength, layer, name, concept, judge_model, prompt)
    if not sweep:
        from saematch.workflows.steer import planned, side_by_side

        wanted = _asked(strength, along, layer, asked)
        with reporting(quiet):
            found = side_by_side(
                planned(model, run, features, wanted, **where), prompt or (), **write
            )
        show_side_by_side(output(), run, found)
        return
    from saematch.workflows.steer_sweep import PROMPTS, steer_sweep

    with reporting(quiet) as progress:
        done = steer_sweep(
            model,
            run,
            features,
            sweep,
            ways=_ways(along, layer),
            prompts=prompt or PROMPTS,
            concept=concept,
            endpoint=_endpoint(judge_model, base_url, key_variable, budget, run),
            confirm=_agreed if yes or budget is not None else None,
            name=name,
            overwrite=overwrite,
            progress=progress,
            **asked,
            **write,
            **where,
        )
    if quiet:
        typer.echo(run)
    else:
        show_sweep(output(), done, name, features)


def _check(
    sweep: tuple[float, ...],
    strength: float | None,
    layer: str | None,
    name: str | None,
    concept: str | None,
    judge_model: str | None,
    prompt: list[str] | None,
) -> None:
    """Refuse options that would do nothing."""
    from saematch.errors import SaematchError

    if sweep:
        if strength is not None:
            raise SaematchError("--strength and --sweep are given: a sweep has its strengths")
        if layer not in (None, "output-score"):
            raise SaematchError(f"--layer {layer} and --sweep are given: name the feature there")
        if concept is not None and judge_model is None:
            raise SaematchError("--concept is what a language model looks for: give --judge-model")
        return
    for option, value in (("name", name), ("concept", concept), ("judge-model", judge_model)):
        if value is not None:
            raise SaematchError(f"--{option} is of a sweep: give strengths too (--sweep 0.25,0.5)")
    if not prompt:
        raise SaematchError("what is to be continued? Give --prompt TEXT, or measure by --sweep")


def _asked(
    strength: float | None, along: AlongChoice | None, layer: str | None, more: dict[str, Any]
) -> Asked:
    from saematch.steering.plan import Asked

    way = "layer" if along is None else along.value
    return Asked(strength, along=way, layer=layer, **more)


def _ways(along: AlongChoice | None, layer: str | None) -> list[str] | None:
    from saematch.errors import SaematchError

    if layer is not None:
        if along not in (None, AlongChoice.layer):
            raise SaematchError(f"--layer is given, but along the {along} all layers are steered")
        return [layer]
    return None if along is None else [along.value]


def _endpoint(
    judge_model: str | None,
    base_url: str | None,
    key_variable: str,
    budget: int | None,
    run: Path,
) -> Any:
    if judge_model is None:
        return None
    from saematch.asking import Endpoint
    from saematch.workflows.judge import ANSWERS

    return Endpoint(
        judge_model,
        base_url=base_url,
        key_variable=key_variable,
        answers=run / ANSWERS,
        budget=budget,
    )


def _agreed(forecast: Forecast) -> bool:
    return True
