"""`saematch plan SUITE`: time, memory and disk of a flow, before anything is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from saematch.cli.options import takes_match_options
from saematch.workflows.options import MatchOptions

if TYPE_CHECKING:
    from rich.table import Table

    from saematch.workflows.plan import Chain, Plan

SUITE = (
    "A release of SAELens' registry, such as gemma-scope-2-27b-pt-res-all, or SAEs as for saematch "
    "flow."
)


@takes_match_options
def plan(
    saes: Annotated[list[str], typer.Argument(metavar="SUITE", help=SUITE)],
    options: MatchOptions,
    pairs: Annotated[
        Literal["adjacent", "all"],
        typer.Option(help="Neighbours only, or any two SAEs."),
    ] = "adjacent",
    width: Annotated[
        str | None, typer.Option(help="Of a release, SAEs of this many features, such as 262k.")
    ] = None,
    l0: Annotated[
        str | None, typer.Option(help="Of a release, SAEs of this L0, as their names say: small.")
    ] = None,
    d_in: Annotated[
        int | None, typer.Option(min=1, help="What the SAEs read, where nothing else tells it.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that share the machine, each with its own pair.")
    ] = 1,
    on: Annotated[
        str | None,
        typer.Option(help="Another machine: a100, h100 or h200. Default: this one, measured."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(metavar="TFLOPS", help="How fast products are, instead of the machine's."),
    ] = None,
    hours: Annotated[
        float | None, typer.Option(help="Say into how many parts (--shard) to divide the run.")
    ] = None,
) -> None:
    """Say what a flow takes before it starts: time, memory and disk, from sizes alone.

    Sizes come from headers of files, from SAELens' registry, or from names: no weights are read,
    and no network is asked.
    """
    from saematch.cli.console import output
    from saematch.workflows.plan import plan as make

    found = make(
        saes[0] if len(saes) == 1 else saes,
        options,
        pairs=pairs,
        width=width,
        l0=l0,
        d_in=d_in,
        workers=workers,
        on=on,
        rate=rate,
        hours=hours,
    )
    console = output()
    for one in found.chains:
        console.print(_table(found, one))
    for line in _lines(found):
        console.print(line, soft_wrap=True)


def _table(found: Plan, one: Chain) -> Table:
    from saematch.cli.report import new_table

    made = new_table(f"{one.name}, {found.method.name}, on {found.machine.name}")
    made.add_column("")
    made.add_column("a pair", justify="right")
    made.add_column(f"all {one.forecast.pairs:,}", justify="right")
    for row in _facts(one):
        made.add_row(*row)
    return made


def _facts(one: Chain) -> list[tuple[str, str, str]]:
    """What it is, of the largest pair, of all."""
    from saematch.forecast.forecast import duration, size

    whole, pair, sae = one.forecast, one.pair, one.saes[-1]
    on_device = [("memory of the GPU", size(whole.on_device), "")] if whole.on_device else []
    return [
        ("SAEs", "2", f"{len(one.saes):,}"),
        ("features, dimensions", f"{sae.d_sae:,}, {sae.d_in:,}", ""),
        ("weights", size(2 * sae.bytes), size(one.weights)),
        ("read", size(pair.read), size(whole.read)),
        ("products", _flop(pair.operations), _flop(whole.operations)),
        ("time", duration(pair.seconds), duration(whole.seconds)),
        *on_device,
        ("memory", size(whole.memory), f"{size(whole.following)} at the end"),
        ("scratch files", size(whole.scratch) if whole.scratch else "none", ""),
        ("the run, on disk", size(pair.written), size(whole.written)),
        *([] if one.shards is None else [("shards", "", f"{one.shards:,}")]),
    ]


def _flop(operations: float) -> str:
    for unit, scale in (("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12)):
        if operations >= 0.95 * scale:
            return f"{operations / scale:.3g} {unit}"
    return f"{operations / 1e9:.3g} GFLOP"


def _lines(found: Plan) -> list[str]:
    from saematch.forecast.forecast import size
    from saematch.numerics.scratch import SHARE

    machine = found.machine
    rates = f"float32 {machine.float32 / 1e12:.3g} TFLOP/s, bfloat16 {machine.bfloat16 / 1e12:.3g}"
    lines = [
        f"{machine.name}: {rates}, {size(machine.reading)}/s from disk, {machine.cores} "
        f"{'core' if machine.cores == 1 else 'cores'}, "
        f"{size(machine.memory)} of memory free ({machine.source})"
    ]
    for one in found.chains:
        tight = one.forecast.limits()[0]
        said = "would break first" if tight.need > tight.have else "tightest"
        lines.append(f"{one.name}: {said}: {tight.what}, {size(tight.need)} of {size(tight.have)}")
        lines += [f"{one.name}: {remark}" for remark in one.remarks]
        if one.alike:
            others = "chain is" if one.alike == 1 else "chains are"
            lines.append(f"{one.name}: {one.alike} other {others} as large (--l0 chooses)")
    if machine.device_memory is None:
        lines.append(
            f"a matrix above {size(SHARE * machine.total)}, 1/16 of memory, is a scratch file; "
            "pairs whose matrices are smaller keep them in memory, and may take more of it"
        )
    for word in dict.fromkeys(word for one in found.chains for word in one.inferred):
        lines.append(f"inferred: {word}")
    return lines
