"""An evaluation as tables: per pair, per estimate, per distance, for each text set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from saematch.cli.report import new_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from saematch.runs.run import Run

# what is shown pair by pair: heading, estimate, links
Entry = tuple[str, str, str | None]
MAIN: tuple[Entry, ...] = (
    ("drop", "drop", None),
    ("least\nsquares", "least squares", None),
    ("jaco-\nbian", "jacobian", None),
    ("carried\ndecoder", "carried decoder", None),
    ("encode-\ndecode B", "encode-decode target", None),
    ("encode-\ndecode A", "encode-decode source", None),
    ("match", "match", "assigned"),
    ("match +\nerror", "match + error", "assigned"),
    ("beyond\nchance", "partial", "matched"),
    ("composed", "composed", "assigned"),
)
LESS = "delta-loss less drop's"


def show_evaluation(console: Console, run: Run, texts: list[str]) -> None:
    """Print what the evaluation of a run has on some text sets."""
    from rich.text import Text

    from saematch.evaluation.tables import main_carry, nearest

    table = main_carry(run.table("evaluation", "values"))
    there = run.section("evaluation")
    options = {} if there is None else there.options
    for name in texts:
        here = table.filter(texts=name)
        if not len(here):
            continue
        loss = here.filter(metric="loss").row(0, named=True)
        head = (
            f"{name}: {loss['examples']:,} examples, {loss['tokens']:,} predictions, loss of the "
            f"model {loss['value']:.3f} nats"
        )
        console.print(Text(head, style="bold"))
        console.print()
        near = nearest(here)
        for shown in (_pairs(here), _estimates(near), _distances(here), _scores(near)):
            if shown is not None:
                console.print(shown)
                console.print()
        for said in compared(near):
            console.print(Text(said))
        console.print()
    known = None if there is None else there.fit_tokens
    fitted = options["fit"] if known is None else f"{known:,} tokens of {options['fit']}"
    what = f"least squares{', mean and transports' if options.get('transports') else ' and mean'}"
    console.print(
        Text(
            f"- {options['model']}; {what} were fitted on {fitted}, "
            f"none of them among those above; 95 % intervals are over examples"
        )
    )
    console.print(
        Text(
            "- BOS keeps its own value and what is predicted from it is not counted; explained "
            "variance: all dimensions together, against the mean over the text set's tokens"
        )
    )


def compared(near: pl.DataFrame) -> list[str]:
    """In words: in how many pairs the main estimates cost more than leaving the layer out."""
    said = []
    rows = near.filter(pl.col("main"), metric=LESS)
    fitted = rows.filter(pl.col("estimate").str.starts_with("transport"))["estimate"]
    for label, estimate, links in (
        ("Carrying along the matches", "match", "assigned"),
        ("Encoding and decoding with A's SAE", "encode-decode source", None),
        ("The least-squares map", "least squares", None),
        *[("The mean Jacobian", "jacobian", None)] * ("jacobian" in rows["estimate"]),
        *((name.capitalize(), name, None) for name in fitted.unique(maintain_order=True)),
    ):
        some = _of(rows, estimate, links)
        more, less = some.filter(pl.col("low") > 0).height, some.filter(pl.col("high") < 0).height
        rest = "" if more + less == some.height else "; the 95 % interval of the others contains 0"
        said.append(
            f"{label} costs more than leaving the layer out in {more} of {some.height} "
            f"{'pair' if some.height == 1 else 'pairs'}, less in {less}{rest}."
        )
    return said


def _pairs(here: pl.DataFrame) -> Table | None:
    """Delta-loss of the main estimates, pair by pair."""
    losses = here.filter(pl.col("main"), metric="delta-loss")
    kept = [entry for entry in MAIN if len(_of(losses, *entry[1:]))]
    shown = new_table(
        "Delta-loss in nats, with the estimate of B's hidden state in place of the true one",
        "drop: A's hidden state. significant: the partial variant, significant matches by B's "
        "decoder, the other features by A's."
        + " composed: matches of neighbours, chained." * any(e == "composed" for _, e, _ in kept)
        + _widest(losses, kept),
    )
    shown.add_column("A → B", overflow="fold")
    for label, *_ in kept:
        shown.add_column(label, justify="right", no_wrap=True)
    for a, b in losses.select("a", "b").unique(maintain_order=True).rows():
        pair = losses.filter(a=a, b=b)
        cells = [_first(_of(pair, *entry[1:])) for entry in kept]
        shown.add_row(f"{a} → {b}", *cells)
    return shown


def _widest(losses: pl.DataFrame, kept: Sequence[Entry]) -> str:
    """How wide the intervals of what is shown are; nothing where there are none."""
    some = pl.concat([_of(losses, *entry[1:]) for entry in kept])
    most = (some["high"] - some["low"]).fill_nan(None).max()
    return "" if most is None else f" 95 % intervals over examples: at most {most:.3f} wide."


def _estimates(near: pl.DataFrame) -> Table:
    """Every estimate, over the nearest pairs."""
    count = near.select("a", "b").unique().height
    apart = near["skipped"][0]
    shown = new_table(
        f"Every estimate, {'of the pair' if count == 1 else f'median over the {count} pairs'} "
        f"{_blocks(apart)} apart",
        "Worse and better than drop: pairs where the 95 % interval of the difference is above, "
        "below 0.",
    )
    shown.add_column("estimate", overflow="fold")
    for label in ("delta-loss", "explained\nvariance", "worse than\ndrop", "better than\ndrop"):
        shown.add_column(label, justify="right", no_wrap=True)
    # the main way is one row, though pairs may differ in what it is
    near = near.with_columns(way=pl.when(~pl.col("main")).then("carry"))
    keys = ["estimate", "links", "q", "main", "way"]
    rows = near.filter(metric="delta-loss").unique(keys, maintain_order=True)
    for row in rows.to_dicts():
        mine = near.filter(*(pl.col(key).eq_missing(pl.lit(row[key])) for key in keys))
        less = mine.filter(metric=LESS)
        some = mine.filter(metric="delta-loss").height
        shown.add_row(
            label_of(row) + f" ({some} of the pairs)" * (some < count),
            _number(_median(mine, "delta-loss"), ".3f"),
            _number(_median(mine, "explained variance"), ".3f"),
            f"{less.filter(pl.col('low') > 0).height}" if len(less) else "",
            f"{less.filter(pl.col('high') < 0).height}" if len(less) else "",
        )
    return shown


def _distances(here: pl.DataFrame) -> Table | None:
    """Delta-loss of the main estimates by how many blocks are left out."""
    losses = here.filter(pl.col("main"), metric="delta-loss")
    apart = losses["skipped"].unique().sort().to_list()
    if len(apart) < 2:
        return None
    kept = [entry for entry in MAIN if len(_of(losses, *entry[1:]))]
    shown = new_table("Delta-loss by distance, median over the pairs so many blocks apart")
    shown.add_column("blocks", justify="right")
    shown.add_column("pairs", justify="right")
    for label, *_ in kept:
        shown.add_column(label, justify="right", no_wrap=True)
    for steps in apart:
        some = losses.filter(skipped=steps)
        cells = [_number(_of(some, *entry[1:])["value"].median(), ".3f") for entry in kept]
        shown.add_row(f"{steps:g}", f"{some.select('a', 'b').unique().height}", *cells)
    return shown


def _scores(near: pl.DataFrame) -> Table | None:
    """Whether paired features are active together."""
    rows = near.filter(pl.col("metric").is_in(["P(j|i)", "P(i|j)", "Jaccard"]))
    rows = rows.filter(pl.col("estimate") != "composed")
    if not len(rows):
        return None
    shown = new_table(
        "Matching scores: are feature i and its target j active together? Mean over pairs of "
        "features, with 95 % interval",
        "identity: feature i and feature i, in Jaccard.",
    )
    shown.add_column("A → B", overflow="fold")
    for label in ("P(j|i)", "P(i|j)", "Jaccard", "Jaccard,\nsignificant", "identity"):
        shown.add_column(label, justify="right", no_wrap=True)
    for a, b in rows.select("a", "b").unique(maintain_order=True).rows():
        mine = rows.filter(a=a, b=b)
        cells = [
            _interval(mine.filter(estimate="match", links="assigned", metric=metric))
            for metric in ("P(j|i)", "P(i|j)", "Jaccard")
        ]
        cells.append(_interval(mine.filter(estimate="match", links="matched", metric="Jaccard")))
        cells.append(_first(mine.filter(estimate="identity", metric="Jaccard")))
        shown.add_row(f"{a} → {b}", *cells)
    return shown


def label_of(row: dict[str, Any]) -> str:
    """An estimate and its settings in words."""
    from saematch.evaluation.estimates import Estimate

    carry = "none" if row["carry"] == "none" else None
    said = Estimate(row["estimate"], lambda seen: seen.x_a, row["links"], row["q"], carry).label
    return said if row["main"] or carry else f"{said}, rescaled by {row['carry']}"


def _of(table: pl.DataFrame, estimate: str, links: str | None) -> pl.DataFrame:
    found = table.filter(pl.col("q").is_null(), pl.col("estimate") == estimate)
    return found if links is None else found.filter(links=links)


def _median(table: pl.DataFrame, metric: str) -> float | None:
    median = table.filter(metric=metric)["value"].median()
    return median if isinstance(median, float) else None


def _first(table: pl.DataFrame) -> str:
    return _number(table["value"][0] if len(table) else None, ".3f")


def _interval(table: pl.DataFrame) -> str:
    if not len(table) or table["value"][0] is None:
        return "-"
    row = table.row(0, named=True)
    if row["low"] is None:
        return f"{row['value']:.2f}"
    return f"{row['value']:.2f} ({row['low']:.2f}-{row['high']:.2f})"


def _blocks(count: float) -> str:
    return "one block" if count == 1 else f"{count:g} blocks"


def _number(value: Any, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
