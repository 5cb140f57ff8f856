"""`saematch compare A B C ...`: which features several SAEs share."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saematch.cli.options import SITE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from saematch.cli.work import Loaded
    from saematch.layers.shared import Comparison
    from saematch.runs.run import Run
    from saematch.sae.sae import SAE


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="SAE...",
            help="Two or more: names as for match, or a pattern such as "
            "trainer_{0-8}/resid_post_layer_3.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run directory.")] = Path(
        "runs/compare"
    ),
    cutoff: Annotated[
        float, typer.Option(help="The least decoder and encoder cosine of a shared feature.")
    ] = 0.7,
    any_site: Annotated[
        bool, typer.Option("--any-site", help="Compare SAEs of different kinds of site too.")
    ] = False,
    site: Annotated[str | None, SITE] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard another run in the directory.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but the run directory.")
    ] = False,
) -> None:
    """Find the features that SAEs of one site share, across seeds, widths and checkpoints.

    Every two SAEs are matched as Paulo and Belrose do. The same call again takes up where it
    stopped.
    """
    from dataclasses import asdict

    from saematch.checkpoints import expand
    from saematch.cli.work import Loaded, match_into, pick_device
    from saematch.errors import MatchError
    from saematch.layers.shared import Comparison
    from saematch.matching.methods import paulo_belrose
    from saematch.matching.significance import Significance
    from saematch.runs.run import Run

    method, significance = paulo_belrose(cutoff), Significance()
    wanted = [single for pattern in names for single in expand(pattern)]
    if len(wanted) < 2:
        raise MatchError("compare takes two SAEs or more")
    if repeated := sorted({name for name in wanted if wanted.count(name) > 1}):
        raise MatchError(f"{repeated[0]} is given twice; compare takes each SAE once")
    kept, on = method.kept(None), pick_device(device)
    options = method.options(candidates=kept, **asdict(significance))
    saes = Loaded(wanted, on, site)
    given = _comparable(wanted, saes, any_site, quiet)
    run = Run.create(out, "compare", options, given, overwrite=overwrite, distinct=True)
    made = match_into(
        run,
        saes,
        list(combinations(run.names, 2)),
        method,
        significance,
        candidates=kept,
        any_site=any_site,
        quiet=quiet,
    )
    found = Comparison.of(run)
    run.add("compare", found.tables, found.summary())
    run.finish()
    if quiet:
        typer.echo(out)
        return
    from saematch.cli.console import output
    from saematch.cli.report import show_place

    console = output()
    show_comparison(console, run, found, made)
    show_place(console, run)


def _comparable(names: Sequence[str], saes: Loaded, any_site: bool, quiet: bool) -> Iterator[SAE]:
    """The SAEs one by one, each checked against the first."""
    from saematch.cli.console import progress
    from saematch.matching.matching import check_comparable

    with progress(quiet) as bar:
        task = bar.add_task("reading", total=len(names))
        for place, name in enumerate(names):
            bar.update(task, description=f"reading {name}")
            check_comparable(saes[0], saes[place], any_site=any_site)
            yield saes[place]
            bar.advance(task)


def show_comparison(console: Console, run: Run, found: Comparison, made: int) -> None:
    """Print who shares how much with whom, and what is in exactly n of the SAEs."""
    from rich.text import Text

    from saematch.cli.report import show_notes

    cutoff = run.record.options["cutoff"]
    head = f"{len(found.names)} SAEs compared: a feature is shared where decoders and encoders"
    console.print(Text(f"{head} agree on its partner, at a cosine of {cutoff:g} or more"))
    if made == 0:
        console.print(Text("Nothing left to do: all of it was there."))
    console.print()
    console.print(_shares(found))
    console.print()
    console.print(_exactly(found))
    show_notes(console, run, [])


def _shares(found: Comparison):
    from saematch.cli.report import new_table
    from saematch.layers.shared import own

    made = new_table(
        "Share of a row's features that are shared with a column's",
        "Of SAEs of unequal widths the wider cannot share more than the narrower has.",
    )
    made.add_column("", overflow="fold")
    for number in range(1, len(found.names) + 1):
        made.add_column(str(number), justify="right", no_wrap=True)
    made.add_column("orphans", justify="right", no_wrap=True)
    made.add_column("features", justify="right", no_wrap=True)
    alone = dict(found.exactly().filter(n=1).drop("n").row(0, named=True))
    for number, a in enumerate(found.names, start=1):
        cells = [_percent(found.share(a, b)) if a != b else "·" for b in found.names]
        size = found.taking_part[a]
        made.add_row(f"{number} {a}", *cells, _percent(alone[own(a)] / max(1, size)), f"{size:,}")
    return made


def _exactly(found: Comparison):
    from saematch.cli.report import new_table
    from saematch.layers.shared import own

    rows = found.exactly()
    made = new_table(
        f"In exactly n of the {len(found.names)} SAEs",
        "Clusters: features that shared pairs connect; complete where every two of them are "
        "shared, tangled where one SAE has two of them. The numbered columns: features of that SAE "
        "that are shared with exactly n - 1 others.",
    )
    columns = ("n", "clusters", "complete", "tangled")
    for name in (*columns, *map(str, range(1, len(found.names) + 1))):
        made.add_column(name, justify="right", no_wrap=True)
    for row in rows.iter_rows(named=True):
        made.add_row(*(f"{row[name]:,}" for name in (*columns, *map(own, found.names))))
    return made


def _percent(share: float) -> str:
    return f"{share:.1%}"
