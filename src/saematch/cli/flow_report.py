"""A flow as tables: pairs, births and deaths, lifespans, composition, origins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saematch.cli.report import arrow, evidence, new_table, overlooked, show_notes
from saematch.files.records import plain
from saematch.runs.records import Flow

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console
    from rich.table import Table

    from saematch.runs.run import Run

MODES = {
    "chained": "one-to-one matches of neighbours, chained",
    "flow": "each to its best, many to one",
    "gaps": "the best set of tracks, which may skip a layer",
}


def show_flow(console: Console, run: Run, made: int) -> None:
    """Print what became of the features of a run; `made`: pairs matched just now."""
    from rich.text import Text

    summaries, flow = run.summaries, run.section("flow") or Flow(tables={})
    chain = flow.chain
    method = summaries[chain[0], chain[1]]
    folded = "" if method["fold"] == "none" else f", folded by {method['fold']}"
    head = (
        f"{len(chain)} layers, {_many(len(summaries), 'pair')} matched by "
        f"{method['method']}{folded}, "
        f"at a false discovery rate of {method['fdr'] or 0:.2g} (null: {method['null']})"
    )
    console.print(Text(head, style="bold"))
    console.print(Text(evidence(run.record.options), style="dim"))
    if made < len(summaries):
        console.print(Text(f"{made} made now; the others were there already."))
    console.print()
    tables = [_pairs(run, chain), _tracks(flow), _turnover(run, console), _lifespans(run, chain)]
    if flow.composition:
        tables.append(_composition(flow))
    if flow.origins:
        tables.append(_origins(flow, method["method"]))
    for table in tables:
        console.print(table)
        console.print()
    console.print(
        Text(
            f"{flow.splits:,} splits and {flow.merges:,} merges: groups of two or more "
            "features with one best partner, each significant."
        )
    )
    neighbours = [pair for pair in summaries if _steps(pair, chain) == 1]
    show_notes(console, run, [*flow.notes, *overlooked(run, neighbours)])


def _pairs(run: Run, chain: list[str]) -> Table:
    shown = new_table("Pairs", "Cosine: median of the decoder over the matches.")
    shown.add_column("A → B", overflow="fold")
    for label in ("matched", "cosine", "mutual", "i -> i", "time"):
        shown.add_column(label, justify="right", no_wrap=True)
    steps = {pair: _steps(pair, chain) for pair in run.pairs}
    for pair in sorted(run.pairs, key=steps.__getitem__):
        if steps[pair] > 1:
            continue
        figures = run.summaries[pair]
        in_use = figures["features_a"] - figures["excluded_a"]
        shown.add_row(
            arrow(pair),
            f"{figures['matched'] / max(1, in_use):.1%}",
            _number(figures["median_decoder_cosine"], ".2f"),
            f"{figures['mutual_share']:.0%}",
            f"{figures['identity_share']:.2%}",
            f"{figures['seconds']:.1f} s",
        )
    farther = [steps[pair] for pair in run.pairs if steps[pair] > 1]
    if farther:
        shown.caption = (
            f"{shown.caption} {_many(len(farther), 'pair')} {_span(farther)} layers apart too."
        )
    return shown


def _tracks(flow: Flow) -> Table:
    shown = new_table("Tracks", "Whole: from the first layer to the last. Length: features in it.")
    shown.add_column("mode", no_wrap=True)
    for label in ("tracks", "of two or more", "mean length", "whole", "skips"):
        shown.add_column(label, justify="right")
    shown.add_column("")
    for mode, of in flow.modes.items():
        shown.add_row(
            mode,
            f"{of.tracks:,}",
            f"{of.longer_than_one:,}",
            _number(of.mean_length, ".2f"),
            f"{of.whole:,}",
            f"{of.skips:,}",
            MODES[mode],
        )
    return shown


def _turnover(run: Run, console: Console) -> Table:
    """Of all modes, or of the first alone where the console has no room for more."""
    frame = run.table("flow", "turnover")
    modes = frame["mode"].unique(maintain_order=True).to_list()
    shown = _turnover_of(frame, modes)
    unlimited = console.options.update(max_width=10_000)
    if console.measure(shown, options=unlimited).maximum > console.width:
        shown = _turnover_of(frame, modes[:1])
    return shown


def _turnover_of(frame: pl.DataFrame, modes: list[str]) -> Table:
    shown = new_table(
        "Births and deaths, share of the layer's features",
        f"Born: nothing leads to it. Dead: it leads to nothing. {modes[0].capitalize()} "
        "with 95 % intervals (Wilson).",
    )
    shown.add_column("site", overflow="fold")
    for mode in modes:
        for word in ("births", "deaths"):
            shown.add_column(f"{word}\n{mode}", justify="right", no_wrap=True)
    for site in frame["site"].unique(maintain_order=True):
        cells = []
        for mode in modes:
            row = frame.filter(mode=mode, site=site).row(0, named=True)
            shown_as = _interval if mode == modes[0] else _share
            cells += [shown_as(row, f"{word}_") for word in ("birth", "death")]
        shown.add_row(site, *cells)
    return shown


def _lifespans(run: Run, chain: list[str]) -> Table:
    mode = "chained"
    frame = run.table("flow", "lifespans").filter(mode=mode)
    most = min(len(chain) - 1, 8)
    shown = new_table(
        f"Lifespans: of the tracks that start at a layer, the share that is there n layers on "
        f"({mode})"
    )
    shown.add_column("start", overflow="fold")
    shown.add_column("tracks", justify="right")
    for steps in range(1, most + 1):
        shown.add_column(f"{steps}", justify="right", no_wrap=True)
    for start in chain[:-1]:
        rows = {row["steps"]: row for row in frame.filter(start=start).to_dicts()}
        cells = [
            _number(rows[steps]["share"], ".0%") if steps in rows else ""
            for steps in range(1, most + 1)
        ]
        shown.add_row(start, f"{rows[0]['started']:,}", *cells)
    return shown


def _composition(flow: Flow) -> Table:
    shown = new_table(
        "Composed and direct matches",
        "Of the features matched both ways, the share that goes to the same target; kept: of all "
        "features.",
    )
    for label in ("layers apart", "agree", "kept"):
        shown.add_column(label, justify="right", no_wrap=True)
    for row in flow.composition:
        agree = _interval({**plain(row), "share": row.agreement}, "")
        shown.add_row(f"{row.steps}", agree, _number(row.kept, ".0%"))
    return shown


def _origins(flow: Flow, method: str) -> Table:
    from saematch.layers.origins import CLASSES

    fixed = flow.origin_cutoffs
    how = "by p-value" if fixed is None else f"s_R ≥ {fixed[0]:g}, s_M or s_A ≥ {fixed[1]:g}"
    shown = new_table(
        f"Origins of the residual stream's features, {how}",
        f"Sources in the stream before are the best by {method}, those in MLP and attention by "
        "decoder cosine.",
    )
    shown.add_column("site", overflow="fold")
    for name in CLASSES:
        shown.add_column(name, justify="right", no_wrap=True)
    sites = dict.fromkeys(row.site for row in flow.origins)
    for site in sites:
        cells = [_interval(plain(row), "") for row in flow.origins if row.site == site]
        shown.add_row(site, *cells)
    return shown


def _interval(row: dict[str, Any], prefix: str) -> str:
    share, low, high = (row[f"{prefix}{name}"] for name in ("share", "low", "high"))
    if share is None:
        return "-"
    return f"{share:.0%} ({100 * low:.0f}-{100 * high:.0f})"


def _share(row: dict[str, Any], prefix: str) -> str:
    return _number(row[f"{prefix}share"], ".0%")


def _steps(pair: tuple[str, str], chain: list[str]) -> int:
    if pair[0] not in chain:
        return 1
    return chain.index(pair[1]) - chain.index(pair[0])


def _span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
