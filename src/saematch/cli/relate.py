"""`saematch relate RUN --activations STORE`: the pairs of a run by what their features do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import polars as pl


def relate(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="A run of match or flow.")],
    activations: Annotated[
        Path, typer.Option(help="What its features do on text, of saematch activations.")
    ],
    activity: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Active above this share of a feature's maximum; 0: whenever it fires. Of the "
            "statistics; gates always take 0.2, as published.",
        ),
    ] = 0.0,
    top_k: Annotated[int, typer.Option(min=1, help="Partners per feature and statistic.")] = 5,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard relations on other text.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but the run directory.")
    ] = False,
) -> None:
    """Relate the features of a run's pairs by what they do: statistics, passing shares, gates.

    For each pair and each of Pearson, cosine, sufficiency, necessity, Jaccard and mutual
    information, the best partners of every feature; what share of features passes to the other
    layer at any cut-off; and features made by two others together. Written beside the matches.
    """
    import polars as pl

    from saematch.cli.console import output, progress
    from saematch.cli.heard import Heard
    from saematch.cli.report import show_place
    from saematch.cli.work import warn_unfinished
    from saematch.errors import RunError
    from saematch.flow.relate import relate as relate_pair
    from saematch.manifest import plain
    from saematch.runs import Run

    run, heard = Run.open(path), Heard(activations)
    if not run.pairs:
        raise RunError(f"{path} has no pairs yet")
    warn_unfinished(run, quiet)
    asked = plain({**heard.options, "activity": activity, "top_k": top_k})
    if run.relations is not None and not overwrite:
        other = [key for key, value in asked.items() if run.relations.get(key) != value]
        if other:
            raise RunError(
                f"{path} holds relations with other {', '.join(other)}; discard them with "
                "--overwrite"
            )
    names = {name: heard.name_of(run.sae(name)) for name in run.names}
    found: dict[str, list[pl.DataFrame]] = {}
    figures = []
    with progress(quiet) as bar:
        task = bar.add_task("relating", total=len(run.pairs))
        for a, b in run.pairs:
            bar.update(task, description=f"relating {a} → {b}")
            streams = (heard.store.stream(names[name]) for name in (a, b))
            relation = relate_pair(*streams, k=top_k, activity=activity)
            for name, table in relation.tables.items():
                pair = pl.lit(a).alias("a"), pl.lit(b).alias("b")
                found.setdefault(name, []).append(table.select(*pair, pl.all()))
            figures.append({"a": a, "b": b, **relation.summary})
            bar.advance(task)
    tables = {name: pl.concat(frames) for name, frames in found.items()}
    run.add_relations(tables, {**asked, "pairs": figures})
    if quiet:
        typer.echo(path)
        return
    console = output()
    console.print(_table(figures, tables["passing"]))
    console.print(
        f"on {heard.store.n_tokens:,} tokens; certain gates pass by intervals and lift, those of "
        "the paper by its rule alone",
        soft_wrap=True,
    )
    show_place(console, run)


def _table(figures: list[dict[str, Any]], passing: pl.DataFrame):
    from rich.table import Table

    table = Table(
        "pair", "median best r", "r ≥ 0.5", "r ≥ 0.9", "AND", "of paper", "OR", "of paper",
        box=None, pad_edge=False,
    )  # fmt: skip
    curves = passing.filter(statistic="pearson")
    for row in figures:
        curve = curves.filter(a=row["a"], b=row["b"])
        at = [curve.filter(cutoff=tau)["passing_forward"].item() for tau in (0.5, 0.9)]
        table.add_row(
            f"{row['a']} → {row['b']}",
            "-" if row["median_pearson"] is None else f"{row['median_pearson']:.2f}",
            *("-" if share is None else f"{share:.0%}" for share in at),
            *(
                str(row[f"{kind}_gates_{rule}"])
                for kind in ("and", "or")
                for rule in ("certain", "paper")
            ),
        )
    return table
