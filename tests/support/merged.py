"""Two directories that ought to hold the same."""

import json
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

TIMES = ("created", "finished", "seconds")


def told(path: Path) -> Any:
    """run.json or cache.json, without what tells when it was made."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: bare(v) for k, v in value.items() if k not in TIMES}
        return [bare(v) for v in value] if isinstance(value, list) else value

    file = next(p for p in (path / "run.json", path / "cache.json") if p.is_file())
    return bare(json.loads(file.read_text()))


def same(one: Path, other: Path) -> None:
    """Two directories with the same JSON but for dates, and the same tables."""
    assert told(one) == told(other)
    tables = [
        {
            p.relative_to(path)
            for p in path.rglob("*.parquet")
            if "shards" not in p.relative_to(path).parts
        }
        for path in (one, other)
    ]
    assert tables[0] == tables[1]
    assert tables[0]
    for place in tables[0]:
        assert_frame_equal(pl.read_parquet(one / place), pl.read_parquet(other / place))
