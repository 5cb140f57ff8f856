"""Single matches: the best, the typical and the worst of a run, with what they fire on."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console
    from rich.text import Text

    from saematch.runs.run import Run
    from saematch.sae.contexts import Context

EACH = 3  # matches of a kind, and contexts of a feature
DENSE = 0.05  # a feature that fires on more of the tokens has no topic that a few contexts show
NEWLINE, SPACES, CONTROL = "↵", "␣", "�"
HALF = "\ufffd"  # what is left of a character that was cut
OPEN, CLOSE = "«", "»"


@dataclass(frozen=True)
class Example:
    """One match, and the places where both of its features fire most."""

    a: str
    b: str
    row: dict[str, Any]  # of the pair's table
    left: list[Context] = field(default_factory=list)
    right: list[Context] = field(default_factory=list)


def choose(run: Run, n: int = EACH) -> dict[str, list[Example]]:
    """`n` matches each of the largest, the median and the least decoder cosine.

    Never of features that fired on no token. Only matches of which contexts are known on both
    sides, and of features that fire on at most `DENSE` of the tokens, where there are any. Of those
    equally good the choice takes other pairs of SAEs, other features and other tokens before it
    repeats one, and it is the same for the same run.
    """
    import polars as pl

    contexts = {name: run.contexts(name) for name in run.names}
    pools = []
    for a, b in run.pairs:
        frame = run.pair(a, b).filter("matched", pl.col("decoder_cosine").is_not_null())
        frame = frame.with_columns(pl.lit(a).alias("a"), pl.lit(b).alias("b"))
        for name, key in ((a, "feature"), (b, "target")):
            often = {key: "feature", f"{key}_frequency": "frequency"}
            frame = frame.join(run.features(name).select(**often), on=key, how="left")
        often = [pl.col(f"{key}_frequency") for key in ("feature", "target")]
        frame = frame.filter(*((one != 0).fill_null(True) for one in often))
        sparse = (pl.max_horizontal(often) <= DENSE).fill_null(False)
        left, right = contexts[a], contexts[b]
        if left is not None and right is not None:
            frame = frame.join(_with_contexts(left), on="feature", how="semi").join(
                _with_contexts(right), left_on="target", right_on="feature", how="semi"
            )
            frame = frame.with_columns(pl.lit(True).alias("shown"), sparse.alias("sparse"))
        else:
            frame = frame.with_columns(pl.lit(False).alias("shown"), sparse.alias("sparse"))
        pools.append(frame)
    pool = pl.concat(pools) if pools else pl.DataFrame()
    if not pool.height:
        return {}
    for wanted in ("shown", "sparse"):
        if pool[wanted].any():
            pool = pool.filter(wanted)
    cosine = pl.col("decoder_cosine")
    orders = {
        "best": -cosine,
        "typical": (cosine - pool["decoder_cosine"].median()).abs(),
        "worst": cosine,
    }
    taken: set[tuple[str, int]] = set()
    return {
        kind: _pick(pool.sort(order, "a", "b", "feature"), contexts, n, taken)
        for kind, order in orders.items()
    }


def show_examples(console: Console, run: Run) -> None:
    """Print the chosen matches, each with the contexts of both features side by side."""
    from rich.table import Table
    from rich.text import Text

    width = (console.width - 3) // 2
    chosen = {kind: examples for kind, examples in choose(run).items() if examples}
    if any(example.left for examples in chosen.values() for example in examples):
        legend = f"Where both features fire most: A left, B right, on the {OPEN}token{CLOSE}"
        signs = f"{NEWLINE} a line end, {SPACES} spaces"
        rare = ""
        if all(example.row["sparse"] for examples in chosen.values() for example in examples):
            rare = f" Of features that fire on at most {DENSE:.0%} of the tokens."
        console.print(Text(f"\n{legend}; {signs}.{rare}", style="dim"))
    for kind, examples in chosen.items():
        console.print()
        console.rule(Text(f"{kind} matches", style="bold"), align="left", style="dim")
        for example in examples:
            console.print()
            grid = Table.grid(padding=(0, 3, 0, 0))
            for _ in range(2):
                grid.add_column(width=width, no_wrap=True, overflow="crop")
            sides = ((example.a, "feature", example.left), (example.b, "target", example.right))
            cells = [_header(name, example.row, key, width) for name, key, _ in sides]
            grid.add_row(*cells)
            for place in range(max(len(example.left), len(example.right))):
                grid.add_row(
                    *(
                        context_line(texts[place], width) if place < len(texts) else ""
                        for _, _, texts in sides
                    )
                )
            console.print(_facts(example.row))
            console.print(grid)


def context_line(context: Context, width: int) -> Text:
    """One context in `width` cells: the token in brackets, its surroundings cut to fit."""
    from rich.cells import cell_len
    from rich.text import Text

    token = _cut(visible(context.token, alone=True), max(8, width // 2), from_left=False)
    # a text may have been cut in the middle of a character
    before, after = context.before.lstrip(HALF), context.after.rstrip(HALF)
    before, after = visible(before), visible(after)
    room = width - cell_len(token) - 2
    left = max(room // 2, room - cell_len(after))
    shown = _cut(before, min(left, room), from_left=True)
    rest = _cut(after, room - cell_len(shown), from_left=False)
    line = Text(shown, style="dim")
    line.append(f"{OPEN}{token}{CLOSE}", style="not dim bold yellow")
    return line.append(rest)


def visible(text: str, alone: bool = False) -> str:
    """Text on one line: line ends and runs of spaces as signs, nothing that moves the cursor.

    `alone`: the text is a token, whose spaces are kept one by one where it has nothing else.
    """
    if alone and text and not text.strip(" "):
        return SPACES * len(text) if len(text) <= 4 else f"{SPACES}x{len(text)}"
    out: list[str] = []
    for character in text.replace("\r\n", "\n").replace("\t", "  "):
        kind = unicodedata.category(character)
        if character in "\n\r\u2028\u2029":
            out.append(NEWLINE)
        elif kind == "Cf":
            continue
        elif kind.startswith("C"):
            out.append(CONTROL)
        elif kind == "Zs":
            if out and out[-1] in (" ", SPACES):
                out[-1] = SPACES
            elif out and out[-1] == NEWLINE:
                # the indentation of a new line says nothing here
                continue
            else:
                out.append(" ")
        else:
            out.append(character)
    return "".join(out)


def _pick(
    ordered: pl.DataFrame,
    contexts: dict[str, pl.DataFrame | None],
    n: int,
    taken: set[tuple[str, int]],
) -> list[Example]:
    """The first rows of another pair, features and token each; then of any pair; then any.

    `taken` are features shown already, and grows. No match is shown twice.
    """
    from saematch.sae.contexts import top_contexts

    def texts(name: str, feature: int) -> list[Context]:
        frame = contexts[name]
        return [] if frame is None else top_contexts(frame, feature, EACH)

    found: list[Example] = []
    pairs: set[tuple[str, str]] = set()
    tokens: set[str] = set()
    for strict_pair, strict_rest in ((True, True), (False, True), (False, False)):
        for row in ordered.iter_rows(named=True):
            if len(found) == n:
                return found
            a, b = row["a"], row["b"]
            ends = {(a, row["feature"]), (b, row["target"])}
            if ends <= taken or (strict_pair and (a, b) in pairs) or (strict_rest and ends & taken):
                continue
            left, right = texts(a, row["feature"]), texts(b, row["target"])
            on = {text.token.strip().casefold() for text in (*left[:1], *right[:1])}
            if strict_rest and on & tokens:
                continue
            found.append(Example(a, b, row, left, right))
            taken |= ends
            pairs.add((a, b))
            tokens |= on
    return found


def _with_contexts(frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return frame.filter(pl.col("contexts").list.len() > 0)


def _facts(row: dict[str, Any]) -> Text:
    from rich.text import Text

    parts = [f"decoder cosine {row['decoder_cosine']:.2f}"]
    if row["encoder_cosine"] is not None:
        parts.append(f"encoder cosine {row['encoder_cosine']:.2f}")
    if row["decoder_mse_folded"] is not None:
        parts.append(f"folded MSE {row['decoder_mse_folded']:.2g}")
    if row["mutual"]:
        parts.append("mutual")
    elif row["rank_in_row"] is not None and row["rank_in_row"] > 1:
        parts.append(f"A's choice no. {row['rank_in_row']:,}")
    return Text("  ".join(parts), style="cyan")


def _header(name: str, row: dict[str, Any], key: str, width: int) -> Text:
    from rich.text import Text

    number, often = f" #{row[key]}", row[f"{key}_frequency"]
    if often is not None:
        number += f", on {often:.1%} of tokens" if often >= 0.0005 else ", on < 0.1% of tokens"
    return Text(_cut(name, width - len(number), from_left=True) + number, style="bold")


def _cut(text: str, cells: int, from_left: bool) -> str:
    """`text` in at most `cells` cells, with an ellipsis where it was cut."""
    from rich.cells import cell_len

    if cell_len(text) <= cells:
        return text
    if cells < 1:
        return ""
    while text and cell_len(text) > cells - 1:
        # in steps, for long texts; wide characters count twice
        over = max(1, (cell_len(text) - cells + 1) // 2)
        text = text[over:] if from_left else text[:-over]
    return f"…{text}" if from_left else f"{text}…"
