"""`saematch judge RUN`: do matched features mean the same?"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saematch.cli.options import Overwrite, Quiet, ShardOption, comma_list, show_shard

if TYPE_CHECKING:
    from saematch.asking import Forecast


class DrawChoice(StrEnum):
    paths = "paths"
    score = "score"
    p_value = "p-value"
    cosine = "cosine"


def judge(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="A run of flow or match; several are compared, such as of the same SAEs matched "
            "otherwise.",
        ),
    ],
    activations: Annotated[
        list[Path] | None,
        typer.Option(
            help="What features do on text, a folder of saematch capture: contexts and "
            "correlations come from it. Without it only labels are compared. Repeated, one for "
            "each RUN."
        ),
    ] = None,
    judges: Annotated[
        tuple,
        typer.Option(
            parser=comma_list(str, "names of judges with commas, such as firing,contexts"),
            metavar="JUDGE,...",
            help="firing, contexts, contexts-choice, and of a language model describe and "
            "choice. Default: all that can judge with what is given.",
        ),
    ] = (),
    paths: Annotated[
        int, typer.Option(min=1, help="Paths; with another --draw matches of each pair.")
    ] = 100,
    draw: Annotated[
        DrawChoice,
        typer.Option(
            help="paths: from random features of the first SAE through all layers; else matches "
            "of each pair, spread evenly over quantiles of score, p-value or cosine."
        ),
    ] = DrawChoice.paths,
    distances: Annotated[
        tuple,
        typer.Option(
            parser=comma_list(int, "numbers of steps with commas, such as 2,5"),
            metavar="STEPS,...",
            help="Judge chained matches over so many steps too, and direct ones that the run has.",
        ),
    ] = (),
    contexts: Annotated[
        int, typer.Option(min=2, help="Contexts per feature and half of the text, at most.")
    ] = 8,
    votes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Votes of judges that take several. Default: 2 orders for describe, 3 for "
            "choice, 9 for contexts-choice.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    judge_model: Annotated[
        str | None,
        typer.Option(help="Language model that describe and choice ask, as its endpoint has it."),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1. Default: "
            "OPENAI_BASE_URL, else OpenAI."
        ),
    ] = None,
    key_variable: Annotated[
        str,
        typer.Option(help="Environment variable that holds the key; local servers need none."),
    ] = "OPENAI_API_KEY",
    budget: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Tokens to spend at most, sent and received. Whatever is forecast, it is begun, "
            "and goes on from there with a larger budget.",
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls at the same time.")] = 8,
    per_minute: Annotated[
        int | None, typer.Option(min=1, help="Calls that may start in a minute.")
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            help="Folder where the language model's answers are kept. Default: "
            "judging-answers/ in the first RUN."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask, however much it is forecast to cost.")
    ] = False,
    overwrite: Overwrite = False,
    shard: ShardOption = None,
    quiet: Quiet = False,
) -> None:
    """Judge whether matched features mean the same, beside pairs whose answer is known.

    Paths of matches are drawn at random, as in SAE Match's experiment, and every step of them is
    judged: by how features fire together, by embeddings of what they fire on, and by a language
    model that compares descriptions or chooses which passage belongs to which.

    Controls: a feature with itself on other text, a random partner, the nearest feature that is
    none, feature i with feature i.

    Verdicts are written to the run. Repeating the command continues where it stopped, and asks a
    language model nothing twice; with other --judges it adds those.
    """
    from saematch.asking import Endpoint
    from saematch.cli.console import output, reporting
    from saematch.cli.judge_report import show_comparison, show_judging
    from saematch.workflows.judge import ANSWERS
    from saematch.workflows.judge import judge as judge_run

    stores = _one_each(activations or [None], len(runs))
    endpoint = None
    if judge_model is not None:
        endpoint = Endpoint(
            judge_model,
            base_url=base_url,
            key_variable=key_variable,
            answers=answers or runs[0] / ANSWERS,
            concurrency=concurrency,
            budget=budget,
            per_minute=per_minute,
        )
    with reporting(quiet) as progress:
        done = [
            judge_run(
                run,
                store,
                judges=judges or None,
                paths=paths,
                draw=draw.value,
                distances=distances,
                contexts=contexts,
                votes=votes,
                seed=seed,
                endpoint=endpoint,
                confirm=_agreed if yes or budget is not None else None,
                overwrite=overwrite,
                shard=shard,
                progress=progress,
            )
            for run, store in zip(runs, stores, strict=True)
        ]
    if quiet:
        for run in done:
            typer.echo(run.path)
        return
    if shard is not None:
        for run in done:
            verdicts = run.table("judging", "verdicts") if run.section("judging") else []
            show_shard(run.path, shard, f"{len(verdicts):,} verdicts")
        return
    console = output()
    if len(done) > 1:
        show_comparison(console, done)
    else:
        show_judging(console, done[0])


def _one_each(stores: Sequence[Path | None], runs: int) -> Sequence[Path | None]:
    if len(stores) not in (1, runs):
        raise typer.BadParameter(
            f"{len(stores)} stores for {runs} runs: give one for all, or one for each, in the "
            "same order.",
            param_hint="--activations",
        )
    return stores if len(stores) == runs else [stores[0]] * runs


def _agreed(forecast: Forecast) -> bool:
    return True
