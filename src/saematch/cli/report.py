"""A run as tables: how much of each SAE was matched, how well, and how sure that is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from saematch.runs.records import PairSummary
    from saematch.runs.run import Run

    Figures = PairSummary | Mapping[str, Any]

LABELS = ("≥ 0.9", "0.7-0.9", "0.5-0.7", "0.3-0.5", "< 0.3")  # of frames.BANDS
SHADES = "█▓▒░·"
BAR = 10  # cells
AT_LEAST = 10  # features without a match until it is worth a word
CLOSE = 0.7  # a decoder cosine at which one would expect a match


def show_run(console: Console, run: Run, made: int) -> None:
    """Print what was matched, both tables, warnings and notes; `made`: pairs made just now."""
    from rich.text import Text

    summaries = run.summaries
    method = next(iter(summaries.values()))
    folded = "" if method["fold"] == "none" else f", folded by {method['fold']}"
    many = f"{len(summaries)} pairs" if len(summaries) > 1 else "one pair"
    head = f"{many} of SAEs matched by {method['method']}{folded}"
    console.print(Text(head, style="bold"))
    console.print(Text(evidence(run.record.options), style="dim"))
    if made == 0:
        console.print(Text(f"Nothing left to do: all of it was there since {_time(run)}."))
    elif made < len(summaries):
        console.print(Text(f"{made} made now; the others were there already."))
    console.print()
    console.print(_coverage(summaries, bars=console.width >= 100))
    console.print(Text(_meaning(method, run.record.options), style="dim"))
    console.print(_quality(summaries))
    show_notes(console, run, overlooked(run))


def show_place(console: Console, run: Run) -> None:
    """Print where the run lies, on one line for copying, and what it holds."""
    console.print(f"\nWritten to {run.path}", soft_wrap=True)
    console.print(", ".join(run.parts))


def shared_seed(figures: Figures, same_weights: bool = False) -> str | None:
    """What to say where far more features go to their own index than chance would have it."""
    from saematch.matching.notes import shared_seed as told

    matched, share = figures["matched"], figures["identity_share"]
    return told(matched, share, figures["features_b"], same_weights)


def show_notes(console: Console, run: Run, notes: Iterable[str]) -> None:
    """Print warnings and notes of all pairs of a run, each once, behind `notes` of the whole.

    Of those that differ in the names of SAEs alone the first is shown, with how many there are.
    """
    from rich.text import Text

    warnings, others = [], [*notes]
    for pair, figures in run.summaries.items():
        warning = shared_seed(figures, run.same_weights(*pair))
        if warning is not None:
            warnings.append(f"{arrow(pair)}: {warning}")
        others += [n for n in run.notes(*pair) if warning is None or not n.endswith(warning)]
    for line in _once(warnings, run.names):
        console.print(Text(f"! {line}", style="yellow"))
    for line in _once(others, run.names):
        console.print(Text(f"- {line}"))


def _once(notes: Iterable[str], names: Iterable[str]) -> list[str]:
    """Notes without those that are another's but for the names of SAEs in them."""
    longest = sorted(names, key=len, reverse=True)
    named = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in longest))
    found: dict[str, list[str]] = {}
    for note in dict.fromkeys(notes):
        found.setdefault(named.sub("", note), []).append(note)
    more = "(the same of {} more)"
    return [
        same[0] if len(same) == 1 else f"{same[0]} {more.format(len(same) - 1)}"
        for same in found.values()
    ]


def evidence(options: Mapping[str, Any]) -> str:
    """What a run was made of, given its options, and what would add to it."""
    model, stored = options.get("model"), options.get("activations")
    texts: list[str] = options.get("text") or []
    used = []
    if any("activation" not in view for view in options["views"]):
        used.append("weights")
    if "jacobians" in options:
        used.append(f"how {model} carries their directions from layer to layer")
    if stored is not None:
        used.append(f"activations on {stored['tokens']:,} tokens")
    elif texts:
        named = {"generated": f"text that {model} generated"}
        given = ", ".join(named.get(some, some) for some in texts)
        each = " each" * (len(texts) > 1)
        used.append(f"activations on about {options['tokens']:,} tokens{each} of {given}")
    more = "."
    if model is None:
        more = ". Their language model would add to it (--model, by fused)."
    elif texts == ["generated"]:
        more = ". Text of the kind that you study would add to it (--text)."
    return f"Evidence: {'; '.join(used)}{more}"


def overlooked(run: Run, pairs: Iterable[tuple[str, str]] | None = None) -> list[str]:
    """A note where a squared distance leaves many pairs unmatched that point the same way.

    Counts features without a match whose target has a decoder cosine of `CLOSE` or more, over
    `pairs` (all of the run unless given) that were matched by the run's own method. Empty for
    methods that compare directions alone, and for fewer than `AT_LEAST` features.
    """
    import polars as pl

    options, summaries = run.record.options, run.summaries
    if not options.get("distance"):
        return []
    found = {}
    for pair in summaries if pairs is None else pairs:
        if summaries[pair]["method"] == options["method"]:
            close = pl.col("decoder_cosine") >= CLOSE
            found[pair] = run.pair(*pair).filter(~pl.col("matched"), close).height
    many = sum(found.values())
    if many < AT_LEAST:
        return []
    folded = "folded vectors" if options["fold"] != "none" else "vectors"
    why = f"their {folded} differ in length, or in their encoders"
    if options.get("test") == "direction":
        why = "their encoders differ"
    most = max(found, key=found.__getitem__)
    where = f" ({found[most]:,} of them in {arrow(most)})" if len(found) > 1 else ""
    return [
        f"{many:,} features without a match have a target at decoder cosine {CLOSE} or more"
        f"{where}: {why}; --method cosine compares the directions of decoders only"
    ]


def bands(figures: Figures) -> list[float]:
    """Shares of all features of A by the decoder cosine of their match, one per band."""
    from saematch.matching.tables import BANDS

    at_least = [figures[f"cosine_ge_{low:g}"] for low, _ in BANDS[:-1]]
    at_least.append(figures["matched"] / max(1, figures["features_a"]))
    return [high - low for low, high in zip([0.0, *at_least], at_least, strict=False)]


def _meaning(figures: Figures, options: Mapping[str, Any]) -> str:
    """What "matched" means in this run."""
    rule = ""
    if options.get("confirm"):
        rule = "the same target by decoders and by encoders"
        if options.get("cutoff") is not None:
            rule += f", both cosines at least {options['cutoff']:g}"
    if figures["null"] == "none":
        return f"No null: matched means {rule or 'assigned'}, significant or not."
    fdr = figures["fdr"]
    if fdr is None:
        return "No features could be compared."
    kinds = {
        "covariance": "directions drawn at random with the covariance of B's features",
        "rotation": "B's features, randomly rotated",
    }
    directions = figures.get("test") == "direction"
    more = "directions more similar" if directions else "scores larger"
    start = f"Matched: {rule}, and {more}" if rule else f"Matched: {more}"
    those = "such pairs" if rule else "the matches"
    return (
        f"{start} than the best of as many {kinds[figures['null']]}; at most {100 * fdr:g} % of "
        f"{those} are expected to be false. Null: share of features that random directions would "
        "match at the same p-value cut-off."
    )


def _coverage(summaries: dict[tuple[str, str], PairSummary], bars: bool) -> Table:
    table = new_table("Share of A's features by the decoder cosine of their match in B")
    table.add_column("A → B", overflow="fold")
    for label in ("matched", "null", *LABELS):
        table.add_column(label, justify="right", no_wrap=True)
    if bars:
        table.add_column(" ".join(SHADES), no_wrap=True)
    for pair, figures in summaries.items():
        shares = bands(figures)
        cells = [f"{share:.0%}" if share >= 0.005 or not share else "<1%" for share in shares]
        cells = [f"{sum(shares):.1%}", _share(figures["p_cut"]), *cells]
        table.add_row(arrow(pair), *cells, *([_bar(shares)] if bars else []))
    return table


def _quality(summaries: dict[tuple[str, str], PairSummary]) -> Table:
    folds = {figures["measures_fold"] for figures in summaries.values()}
    folded = f"folded by {' or '.join(sorted(folds))}"
    table = new_table(
        "Medians over the matches, beside what i -> i would give",
        f"MSE: of decoder rows, {folded}. Mutual: each the other's best. Gap: the most that any "
        "other assignment could gain, relative; below 1e-9 it is proved the best there is.",
    )
    table.add_column("A → B", overflow="fold")
    for label in ("cosine\n(i -> i)", "MSE\n(i -> i)", "\nmutual", "\ni -> i", "\ngap", "\ntime"):
        table.add_column(label, justify="right", no_wrap=True)
    for pair, figures in summaries.items():
        table.add_row(
            arrow(pair),
            _beside(figures, "decoder_cosine", ".2f"),
            _beside(figures, "decoder_mse_folded", ".2g"),
            f"{figures['mutual_share']:.0%}",
            f"{figures['identity_share']:.2%}",
            _number(figures["relative_gap"], ".0e"),
            f"{figures['seconds']:.1f} s",
        )
    return table


def new_table(title: str, caption: str | None = None) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        title_style="italic",
        caption_style="dim",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="bold",
    )


def _bar(shares: list[float]) -> str:
    """The shares as `BAR` cells, rounded at the running sum, so that the whole is never longer."""
    edges = [round(sum(shares[: i + 1]) * BAR) for i in range(len(shares))]
    return "".join(
        shade * (end - start) for shade, start, end in zip(SHADES, [0, *edges], edges, strict=False)
    )


def _beside(figures: Figures, name: str, form: str) -> str:
    shown = _number(figures[f"median_{name}"], form)
    baseline = figures[f"identity_{name}"]
    return shown if baseline is None else f"{shown} ({_number(baseline, form)})"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None, form: str) -> str:
    if value is None:
        return "-"
    # adding 0.0 turns what was rounded to -0.00 into 0.00
    return "0" if value == 0 else f"{float(f'{value:{form}}') + 0.0:{form}}"


def arrow(pair: tuple[str, str]) -> str:
    return f"{pair[0]} → {pair[1]}"


def _time(run: Run) -> str:
    stamp = run.finished or run.record.created
    return stamp[:16].replace("T", " ") + " UTC"
