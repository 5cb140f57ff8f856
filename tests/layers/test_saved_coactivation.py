"""Relations pair by pair: what is there is kept, what is missing made, other options refused."""

import json
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow.parquet
import pytest
import scipy.sparse as sp
from msgspec import UNSET
from polars.testing import assert_frame_equal

from saematch import RunError, match
from saematch.activations.table import FeatureActivations
from saematch.layers.coactivation import Relation, relate
from saematch.layers.saved_coactivation import Relating
from saematch.runs.folder import GROUPS
from saematch.runs.run import Run
from support.saes import make_sae

WIDTH, TOKENS = 24, 300
ASKED = {"model": "tiny", "texts": {"from": ["prose"]}, "tokens": TOKENS, "top_k": 5}


@pytest.fixture(scope="module")
def saes():
    return [make_sae(d_in=8, d_sae=WIDTH, seed=i, layer=i) for i in range(4)]


@pytest.fixture(scope="module")
def matchings(saes):
    return [match(a, b, "cosine", candidates=3) for a, b in pairwise(saes)]


@pytest.fixture(scope="module")
def relations():
    rng = np.random.default_rng(0)
    example = np.arange(TOKENS, dtype=np.int32) // 20
    fired = (rng.random((4, TOKENS, WIDTH)) < 0.2).astype(np.float32)
    heard = [FeatureActivations(sp.csr_array(x), example) for x in fired]
    return [relate(a, b) for a, b in pairwise(heard)]


@pytest.fixture
def run(tmp_path, saes, matchings):
    run = Run.create(tmp_path / "run", "match", {"method": "cosine"}, saes)
    for (a, b), matching in zip(pairwise(run.names), matchings, strict=True):
        run.add_pair(a, b, matching)
    run.finish()
    return run


def whole(run: Run, relations: list[Relation], name: str) -> pl.DataFrame:
    tables = []
    for (a, b), relation in zip(run.pairs, relations, strict=True):
        pair = pl.lit(a).alias("a"), pl.lit(b).alias("b")
        tables.append(relation.tables[name].select(*pair, pl.all()))
    return pl.concat(tables)


def files(run: Run) -> set[str]:
    return {path.name for path in (run.path / "relations").iterdir()}


def test_what_was_stopped_goes_on_and_ends_as_if_it_had_not_been(run, relations):
    relating = Relating(run, ASKED)
    assert relating.missing == run.pairs
    # the last pair first: the tables are in the order of the run's pairs all the same
    for i in (2, 0):
        relating.add(*run.pairs[i], relation=relations[i])
    again = Run.open(run.path)
    assert again.section("relations") is None
    relating = Relating(again, ASKED)
    assert relating.missing == [run.pairs[1]]
    with pytest.raises(RunError, match="no relations of resid_post_1--resid_post_2 yet"):
        relating.finish()
    # a table that is gone is made again
    (run.path / "relations" / "{}--{}.gates.parquet".format(*run.pairs[0])).unlink()
    assert relating.missing == run.pairs[:2]
    for i in (0, 1):
        relating.add(*run.pairs[i], relation=relations[i])
    relating.finish()
    done = Run.open(run.path)
    assert done.finished
    for name in ("targets", "sources", "passing", "gates"):
        assert_frame_equal(done.table("relations", name), whole(run, relations, name))
    section = done.section("relations")
    assert section is not None
    assert [(pair.a, pair.b) for pair in section.pairs] == run.pairs
    assert section.pairs[1].more.keys() == relations[1].summary.keys()
    assert done.record.relating is UNSET
    assert files(run) == {f"{name}.parquet" for name in relations[0].tables}


def test_the_same_again_touches_nothing(run, relations):
    relating = Relating(run, ASKED)
    for pair, relation in zip(run.pairs, relations, strict=True):
        relating.add(*pair, relation=relation)
    relating.finish()
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    again = Relating(Run.open(run.path), ASKED)
    assert again.missing == []
    again.finish()
    after = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    assert after == before


def test_a_pair_that_the_run_gained_is_added_to_those_there(
    tmp_path, saes, matchings, run, relations
):
    fewer = Run.create(tmp_path / "fewer", "match", {"method": "cosine"}, saes)
    for i in (0, 2):
        fewer.add_pair(*run.pairs[i], matching=matchings[i])
    relating = Relating(fewer, ASKED)
    for i in (0, 2):
        relating.add(*run.pairs[i], relation=relations[i])
    relating.finish()
    fewer.add_pair(*run.pairs[1], matching=matchings[1])
    relating = Relating(fewer, ASKED)
    assert relating.missing == [run.pairs[1]]
    relating.add(*run.pairs[1], relation=relations[1])
    # until they are done the older ones can be read
    assert fewer.table("relations", "gates").select("a").n_unique() <= 2
    relating.finish()
    for name in relations[0].tables:
        assert_frame_equal(fewer.table("relations", name), whole(run, relations, name))


def test_other_options_are_refused_begun_or_done(run, relations):
    relating = Relating(run, ASKED)
    relating.add(*run.pairs[0], relation=relations[0])
    other = {**ASKED, "top_k": 3}
    with pytest.raises(RunError, match="relations with other top_k; discard them with --overwrite"):
        Relating(Run.open(run.path), other)
    for pair, relation in list(zip(run.pairs, relations, strict=True))[1:]:
        relating.add(*pair, relation=relation)
    relating.finish()
    with pytest.raises(RunError, match="relations with other top_k"):
        Relating(Run.open(run.path), other)
    anew = Relating(Run.open(run.path), other, overwrite=True)
    assert anew.missing == run.pairs
    assert Run.open(run.path).section("relations") is None
    assert Run.open(run.path).finished


def test_a_run_killed_between_two_tables_ends_right(run, relations, monkeypatch):
    relating = Relating(run, ASKED)
    for pair, relation in zip(run.pairs, relations, strict=True):
        relating.add(*pair, relation=relation)
    write = Run.write

    def stopped(self, place, table):
        if place == "relations/passing.parquet":
            raise KeyboardInterrupt
        write(self, place, table)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "write", stopped)
        with pytest.raises(KeyboardInterrupt):
            relating.finish()
    again = Run.open(run.path)
    assert again.section("relations") is None
    Relating(again, ASKED).finish()
    for name in relations[0].tables:
        assert_frame_equal(again.table("relations", name), whole(run, relations, name))


def test_a_lazy_table_is_written_in_the_groups_that_readers_rely_on(run):
    rows = 2 * GROUPS["relations"] + 5
    run.write("relations/long.parquet", pl.LazyFrame({"x": range(rows)}))
    found = pyarrow.parquet.ParquetFile(run.path / "relations/long.parquet").metadata
    sizes = [found.row_group(i).num_rows for i in range(found.num_row_groups)]
    assert max(sizes) <= GROUPS["relations"]
    assert sum(sizes) == rows


def test_run_json_lists_a_pair_after_its_tables(run, relations, monkeypatch):
    def stopped(self, place, table):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        Relating(run, ASKED).add(*run.pairs[0], relation=relations[0])
    assert "relating" not in json.loads((run.path / "run.json").read_text())
