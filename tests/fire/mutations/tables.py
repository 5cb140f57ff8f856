"""Parquet tables: columns, types, indices, rows."""

from __future__ import annotations

import random

import numpy as np
import polars as pl

from fire.registry import Change, NotApplicableError, Target, mutation

PARQUET = frozenset({"parquet"})
KINDS = (pl.String, pl.Float64, pl.Int8, pl.Boolean, pl.Binary, pl.UInt64, pl.Date, pl.Categorical)


def _table(name: str, draws: int = 1000):
    """Decorator: a function of a table, random numbers and the target: another table, and words."""

    def keep(change):
        @mutation(f"table.{name}", PARQUET, draws)
        def _(target: Target, rng: random.Random) -> Change:
            frame, what, *refuse = change(pl.read_parquet(target.path), rng, target)
            target.path.unlink()
            frame.write_parquet(target.path)
            return Change(what, *refuse)

        return change

    return keep


def _numbers(frame: pl.DataFrame, kind: str = "is_numeric") -> list[str]:
    found = [name for name, dtype in frame.schema.items() if getattr(dtype, kind)()]
    if not found or not frame.height:
        raise NotApplicableError
    return found


@_table("drop")
def _drop(frame, rng, target):
    name = rng.choice(frame.columns)
    return frame.drop(name), f"without column {name}"


@_table("rename")
def _rename(frame, rng, target):
    name = rng.choice(frame.columns)
    new = rng.choice((name.upper(), "x", "", "a\nb", f"{name}_"))
    return frame.rename({name: new}), f"{name} is called {new!r}"


@_table("retype")
def _retype(frame, rng, target):
    name, kind = rng.choice(frame.columns), rng.choice(KINDS)
    try:
        changed = frame.with_columns(pl.col(name).cast(kind, strict=False))
    except pl.exceptions.PolarsError as error:
        raise NotApplicableError from error
    return changed, f"{name} is {kind}"


@_table("lists")
def _lists(frame, rng, target):
    name = rng.choice(frame.columns)
    change = rng.choice((pl.concat_list(name), pl.struct(name), pl.lit(None)))
    return frame.with_columns(change.alias(name)), f"{name} is nested or null"


@_table("index")
def _index(frame, rng, target):
    """An index that no feature has."""
    name = rng.choice(_numbers(frame, "is_integer"))
    row = rng.randrange(frame.height)
    value = rng.choice((-1, -(10**9), target.features, 10**6, 10**9, 2**62))
    values = frame[name].cast(pl.Int64, strict=False).to_list()
    if rng.random() < 0.2:
        values = [value] * len(values)
    values[row] = value
    return frame.with_columns(pl.Series(name, values, dtype=pl.Int64)), f"{name} holds {value}"


@_table("value")
def _value(frame, rng, target):
    name = rng.choice(_numbers(frame, "is_float"))
    value = rng.choice((np.nan, np.inf, -np.inf, -1.0, 1e300, None))
    values = frame[name].to_list()
    values[rng.randrange(len(values))] = value
    return frame.with_columns(pl.Series(name, values, dtype=frame[name].dtype)), f"{name}: {value}"


@_table("nulls")
def _nulls(frame, rng, target):
    if not frame.height:
        raise NotApplicableError
    name, row = rng.choice(frame.columns), rng.randrange(frame.height)
    empty = pl.when(pl.int_range(pl.len()) == row).then(None).otherwise(pl.col(name))
    return frame.with_columns(empty.alias(name)), f"{name} is null in row {row}"


@_table("rows", 30)
def _rows(frame, rng, target):
    shuffled = frame.sample(fraction=1, shuffle=True, seed=rng.randrange(1000))
    changes = {
        "none": frame.clear(),
        "one": frame.head(1),
        "all but one": frame.head(frame.height - 1),
        "all twice": pl.concat([frame, frame]),
        "one more": pl.concat([frame, frame.tail(1)]),
        "another order": shuffled,
    }
    word = rng.choice(sorted(changes))
    return changes[word], f"rows: {word}"


@_table("columns", 6)
def _columns(frame, rng, target):
    if rng.random() < 0.3:
        return pl.DataFrame(), "no columns"
    return frame.select(sorted(frame.columns, reverse=True)).with_columns(
        x=1
    ), "other order, one more"


@mutation("table.many", PARQUET, 1)
def _many(target: Target, rng: random.Random) -> Change:
    """A small file of twenty million rows."""
    frame = pl.read_parquet(target.path).head(1)
    target.path.unlink()
    pl.concat([frame] * 1).select(
        pl.col(name).repeat_by(1).list.first() for name in frame.columns
    ).write_parquet(target.path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(target.path)
    block = pa.concat_tables([table] * 50_000).combine_chunks()
    with pq.ParquetWriter(target.path, table.schema, compression="zstd") as writer:
        for _ in range(100):
            writer.write_table(block)
    return Change(f"5,000,000 rows in {target.path.stat().st_size:,} bytes")


@mutation("table.code", PARQUET, 8)
def _code(target: Target, rng: random.Random) -> str:
    """Compressions and statistics that readers seldom see."""
    frame = pl.read_parquet(target.path)
    word = rng.choice(("lz4", "uncompressed", "snappy", "gzip", "brotli", "zstd"))
    frame.write_parquet(target.path, compression=word, statistics=rng.random() < 0.5)
    return f"compressed by {word}"
