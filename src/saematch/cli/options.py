"""What several commands have in common: options, a type for lists, a dataclass as options."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import shlex
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from saematch.workflows.options import DtypeChoice, LongChoice, MatchOptions

T = TypeVar("T")

Out = Annotated[Path, typer.Option("--out", "-o", help="Run directory.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the results of another call that are there.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only where the results are.")]
SiteOption = Annotated[
    str | None,
    typer.Option(
        "--site",
        help="Hook point the SAEs read, instead of what their files say, such as "
        "blocks.{layer}.hook_resid_post; {layer} is the layer that an SAE or its path states.",
    ),
]

ModelOption = Annotated[
    str,
    typer.Option(help="Model of its SAEs: a Hugging Face model, its folder, or saematch:model."),
]
LongOption = Annotated[
    LongChoice | None,
    typer.Option(
        help="What becomes of texts longer than an example: split makes several, truncate keeps "
        "the first. Default: truncate for shipped texts and the data sets of SAE Match, else "
        "split."
    ),
]
Massive = Annotated[
    float,
    typer.Option(
        help="Tokens whose hidden state has more than this many times the median norm (massive "
        "activations) do not count, like BOS; 0 counts all."
    ),
]
DtypeOption = Annotated[
    DtypeChoice | None, typer.Option(help="Dtype of the model's weights. Default: as stored.")
]

WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Start this many processes on this machine, which share the work."),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Work on the Dask cluster of this scheduler, such as tcp://10.0.0.1:8786, or of the "
        "one that wrote this file (--scheduler-file).",
    ),
]


ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="K/N",
        help="Do the K-th of N parts of the work alone, into the folder shards; saematch merge "
        "puts all together.",
    ),
]


def chosen_workers(workers: int | None, scheduler: str | None) -> int | str | None:
    """What --workers and --scheduler ask for."""
    if workers is not None and scheduler is not None:
        raise typer.BadParameter("--workers starts a cluster, --scheduler uses one: give one.")
    return scheduler if workers is None else workers


def show_shard(place: Path, shard: str, holds: str) -> None:
    """Say what a shard holds, and what is done once all are there."""
    whole = place.parent.parent
    typer.echo(f"Shard {shard}: {holds}, in {place}")
    typer.echo(f"Once all are there: saematch merge {shlex.quote(str(whole))}")


class ModeChoice(StrEnum):
    """How features are followed over layers."""

    chained = "chained"
    flow = "flow"
    gaps = "gaps"


TEXTS = (
    "saematch:texts (or prose, code, reference), openwebtext, wikitext, github, hub:NAME, a .txt, "
    ".jsonl or .parquet file, a folder of them, or generated: text that the model samples itself."
)


def comma_list(
    kind: Callable[[str], T], what: str, length: int | None = None
) -> Callable[[str | tuple[T, ...]], tuple[T, ...]]:
    """A parser of values with commas between them.

    Args:
        kind: makes a value of its text.
        what: what the values are, for the error.
        length: how many there must be; any number unless given.
    """

    def parse(text: str | tuple[T, ...]) -> tuple[T, ...]:
        if isinstance(text, tuple):
            return text
        try:
            found = tuple(kind(part.strip()) for part in text.split(",") if part.strip())
        except ValueError:
            found = ()
        if not found or (length is not None and len(found) != length):
            raise typer.BadParameter(f"{text!r} is not {what}.")
        return found

    return parse


def takes_match_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `options` is made of options, one for each of `MatchOptions`.

    Typer reads options from a signature alone, and knows no dataclasses.
    """
    own = inspect.signature(command, eval_str=True).parameters
    kept = [p for name, p in own.items() if name != "options"]
    fields = dataclasses.fields(MatchOptions)

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        options = MatchOptions(**{field.name: given.pop(field.name) for field in fields})
        command(**given, options=options)

    parameters = [*(p.replace(kind=p.KEYWORD_ONLY) for p in kept), *map(_parameter, fields)]
    with_options.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options


@functools.cache
def _types() -> dict[str, Any]:
    # a store is given by its folder
    given = {"ActivationStore": Path, "GivenModel": str}
    return get_type_hints(MatchOptions, localns=given) | {"activations": Path | None}


def _parameter(field: dataclasses.Field[Any]) -> inspect.Parameter:
    more = dict(field.metadata)
    flags = more.pop("flags", ())
    told = typer.Option(*flags, help=more.pop("help"), rich_help_panel=more.pop("panel"), **more)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=field.default,
        annotation=Annotated[_types()[field.name], told],
    )
