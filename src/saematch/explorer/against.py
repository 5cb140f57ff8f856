"""Two runs of the same SAEs side by side: of every feature, what each says becomes of it.

Of the pairs that both runs have, the page gets

    index.json                 that of the first run, with `against`: which two runs these are
    against_steps.parquet      one row per pair: how often both see the same, only one, neither
    against/A--B.parquet       one row per feature of A: its target by each, and the part it is in

beside the tables of the first run. docs/reference/explorer.md has the columns.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import polars as pl

from saematch.errors import RunError
from saematch.explorer.places import AGAINST, MADE
from saematch.explorer.tables import INDEX, VERSION, PageTables, Progress, digest_of, keep, place_of
from saematch.files.foreign import read_json, reason
from saematch.runs.run import Run

STEPS = f"{AGAINST}_steps"
# where a feature's target is the same, another, accepted by one run alone, or by neither
PARTS = ("same", "different", "first", "second", "neither")
ROWS = 2048  # rows of against/ that are read and decoded together
_SIDE = ("target", "matched", "p", "cosine")


def opened_against(run: Run, against: Run | str | Path | None) -> Run | None:
    """The run that is put beside another, if any; refused before tables are made for nothing.

    Args:
        run: the run to be explored.
        against: the other, or its directory.

    Raises:
        RunError: there is no such run, or the two cannot stand side by side: see `shared_pairs`.
    """
    if against is None:
        return None
    other = against if isinstance(against, Run) else Run.open(against)
    shared_pairs(run, other)
    return other


def prepare_against(
    run: Run, other: Run, made: PageTables, progress: Progress | None = None
) -> PageTables:
    """The tables of two runs: those in the cache, or new ones.

    Args:
        run: the run to be explored.
        other: the run that is put beside it.
        made: the page's tables of `run`.
        progress: called at each pair while new ones are made.

    Raises:
        RunError: they are one run, share no pair, or have other SAEs under the same names; a table
            cannot be read.
    """
    pairs = shared_pairs(run, other)
    key = [digest_of(run), os.fsdecode(other.path.resolve()), digest_of(other)]
    digest = hashlib.sha256("\n".join(key).encode("utf-8", "surrogateescape")).hexdigest()
    place = place_of(run) / f"{VERSION}-{AGAINST}-{digest[:16]}"

    def whole(folder: Path) -> bool:
        try:
            index: Any = read_json(folder / INDEX)
            its = index[AGAINST]["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return its == digest

    def make(folder: Path) -> None:
        index = read_json(made.folder / INDEX)
        index["tables"] = {**index["tables"], STEPS: f"{MADE}/{STEPS}.parquet"}
        index[AGAINST] = {"digest": digest, **_told(run, other)}
        _write(run, other, pairs, folder, index, progress)

    return keep(place, whole, make)


def shared_pairs(run: Run, other: Run) -> list[tuple[str, str]]:
    """The pairs that both runs have, in the order of the first, of which all SAEs are the same.

    Raises:
        RunError: they are one run, share no pair, or have other SAEs under the same names.
    """
    if run.path.resolve() == other.path.resolve():
        raise RunError(f"{run.path} is set against itself: give another run of the same SAEs")
    there = set(other.pairs)
    pairs = [pair for pair in run.pairs if pair in there]
    if not pairs:
        raise RunError(
            f"{run.path} and {other.path} have no pair in common: the one has "
            f"{_some(run.pairs)}, the other {_some(other.pairs)}; give two runs of the same SAEs"
        )
    for name in dict.fromkeys(name for pair in pairs for name in pair):
        one, two = run.sae(name).checksum, other.sae(name).checksum
        if one != two:
            raise RunError(
                f"{name} of {run.path} and {name} of {other.path} are not the same SAE: the "
                f"checksums of their weights are {_short(one)} and {_short(two)}; give two runs of "
                "the same SAEs"
            )
    return pairs


def side_by_side(run: Run, other: Run, a: str, b: str) -> pl.DataFrame:
    """What both runs say of the features of A.

    Args:
        run: the first.
        other: the second, with a pair of the same SAEs.
        a: the SAE whose features they are.
        b: the SAE that their targets are in.

    Returns:
        One row per feature: `feature`, `part` (one of `PARTS`; null if it takes part in neither),
        and of each run, with `_1` and `_2`, `target` (null without one), `matched`, `p`, `cosine`
        (of the decoders of feature and target).
    """
    first, second = (_side(pair.pair(a, b), n) for n, pair in ((1, run), (2, other)))
    both = first.join(second, on="feature", how="left", maintain_order="left")
    one, two = pl.col("matched_1"), pl.col("matched_2")
    part = (
        pl.when(one & two & (pl.col("target_1") == pl.col("target_2")))
        .then(pl.lit("same"))
        .when(one & two)
        .then(pl.lit("different"))
        .when(one)
        .then(pl.lit("first"))
        .when(two)
        .then(pl.lit("second"))
        .when(pl.col("used_1") | pl.col("used_2"))
        .then(pl.lit("neither"))
    )
    sides = [f"{name}_{n}" for n in (1, 2) for name in _SIDE]
    return both.select("feature", part.alias("part"), *sides, "used_1", "used_2")


def _side(pair: pl.DataFrame, n: int) -> pl.DataFrame:
    used = pl.col("excluded").is_null()
    return pair.select(
        pl.col("feature").cast(pl.Int32),
        pl.col("target").cast(pl.Int32).alias(f"target_{n}"),
        (pl.col("matched") & used).alias(f"matched_{n}"),
        pl.col("p_value").alias(f"p_{n}"),
        pl.col("decoder_cosine").alias(f"cosine_{n}"),
        used.alias(f"used_{n}"),
    )


def _write(
    run: Run,
    other: Run,
    pairs: list[tuple[str, str]],
    folder: Path,
    index: dict[str, Any],
    progress: Progress | None,
) -> None:
    rows = []
    try:
        (folder / AGAINST).mkdir()
        for done, (a, b) in enumerate(pairs):
            if progress is not None:
                progress(f"{a} and {b} in both runs", done, len(pairs))
            table = side_by_side(run, other, a, b)
            counts = dict(table["part"].value_counts().iter_rows())
            sums = {name: int(table[name].sum()) for name in ("used_1", "used_2")}
            matched = {name: int(table[name].sum()) for name in ("matched_1", "matched_2")}
            features = int((table["used_1"] | table["used_2"]).sum())
            parts = {part: counts.get(part, 0) for part in PARTS}
            rows.append({"a": a, "b": b, "features": features, **parts, **sums, **matched})
            place = folder / AGAINST / f"{a}--{b}.parquet"
            table.drop("used_1", "used_2").write_parquet(place, row_group_size=ROWS)
        pl.DataFrame(rows).write_parquet(folder / f"{STEPS}.parquet")
        text = json.dumps(index, ensure_ascii=False, allow_nan=False, indent=1)
        (folder / INDEX).write_text(text + "\n", encoding="utf-8")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunError(
            f"the tables of {run.path} against {other.path} cannot be made: {reason(error)}"
        ) from error


def _told(run: Run, other: Run) -> dict[str, Any]:
    """Which two runs: `names` that tell them apart, `methods`, `runs` (names of their folders)."""
    both = (run, other)
    methods = [str(one.record.options.get("method") or one.record.command) for one in both]
    folders = [one.path.resolve().name for one in both]
    names = next(
        (pair for pair in (methods, folders) if pair[0] != pair[1]), ["first run", "second run"]
    )
    return {"names": names, "methods": methods, "runs": folders}


def _some(pairs: list[tuple[str, str]]) -> str:
    if not pairs:
        return "none"
    more = len(pairs) - 1
    return f"{'--'.join(pairs[0])}" + (f" and {more} more" if more else "")


def _short(checksum: str) -> str:
    return checksum[: len("sha256:") + 12]
