"""Two runs side by side: every feature's part, found anew one by one; which runs may stand so."""

import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import saematch
from saematch.cli import app
from saematch.errors import RunError
from saematch.explorer import explore, export
from saematch.explorer.against import PARTS, prepare_against, shared_pairs
from saematch.explorer.nodes import Nodes
from saematch.explorer.places import Places
from saematch.explorer.shared import shared
from saematch.explorer.tables import prepare
from saematch.runs.run import Run
from support.compared import parts_of, write_compared, write_other
from support.explored import ask, write_page, write_run
from support.stand_in import write_shipped


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    return write_run(root), write_other(root)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "cache-of-two"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def made(pair):
    run, other = pair
    tables = prepare_against(run, other, prepare(run))
    yield tables.folder
    tables.close()


def test_every_feature_is_in_the_part_that_both_tables_say(pair, made):
    run, other = pair
    steps = pl.read_parquet(made / "against_steps.parquet")
    assert steps.select("a", "b").rows() == other.pairs
    every = set()
    for row in steps.iter_rows(named=True):
        a, b = row["a"], row["b"]
        table = pl.read_parquet(made / "against" / f"{a}--{b}.parquet")
        wanted = parts_of(run, other, a, b)
        assert table["part"].to_list() == wanted
        every |= set(wanted)
        assert {part: row[part] for part in PARTS} == {
            part: Counter(wanted)[part] for part in PARTS
        }
        assert row["features"] == sum(part is not None for part in wanted)
        for n, one in ((1, run), (2, other)):
            its = one.pair(a, b)
            assert table[f"target_{n}"].to_list() == its["target"].to_list()
            assert table[f"p_{n}"].to_list() == its["p_value"].to_list()
            assert table[f"cosine_{n}"].to_list() == its["decoder_cosine"].to_list()
            assert row[f"matched_{n}"] == its["matched"].sum() == table[f"matched_{n}"].sum()
            assert row[f"used_{n}"] == its["excluded"].is_null().sum()
    assert every >= set(PARTS)  # the two runs do differ


def test_the_index_says_which_two_runs_these_are(pair, made):
    run, _ = pair
    index = json.loads((made / "index.json").read_text())
    plain = json.loads((prepare(run).folder / "index.json").read_text())
    told = index.pop("against")
    assert (
        told["names"]
        == told["methods"]
        == [
            run.record.options.get("method") or "flow",
            "feature-flow",
        ]
    )
    assert told["runs"] == ["run", "other"]
    assert index["tables"].pop("against_steps") == "explorer/against_steps.parquet"
    assert index == plain


def test_tables_are_those_of_the_state_of_both_runs(pair, made, tmp_path):
    run, other = pair
    again = prepare_against(run, other, prepare(run))
    assert again.folder == made
    moved = write_other(tmp_path)
    assert prepare_against(run, moved, prepare(run)).folder != made
    changed = moved.path / "run.json"
    before = prepare_against(run, moved, prepare(run)).folder
    changed.write_text(changed.read_text() + "\n")
    assert prepare_against(run, Run.open(moved.path), prepare(run)).folder != before


def test_runs_that_cannot_stand_side_by_side(pair, tmp_path):
    run, _ = pair
    with pytest.raises(RunError, match="set against itself: give another run"):
        shared_pairs(run, Run.open(run.path))
    folder = write_shipped(tmp_path / "data", d_in=16) / "saes"
    a, b = run.names[:2]
    saes = [saematch.load(folder / name) for name in (a, b)]
    alike = Run.create(tmp_path / "alike", "match", {}, saes)
    with pytest.raises(RunError, match=r"no pair in common: .* and 5 more, the other none; give"):
        shared_pairs(run, alike)
    alike.add_pair(a, b, saematch.match(*saes, "cosine"))
    message = rf"{a} of .* not the same SAE: .* {run.sae(a).checksum[:19]} and sha256:"
    with pytest.raises(RunError, match=message):
        explore(run, against=alike, open_browser=False)


def test_both_are_served_and_exported_alike(pair, made, tmp_path, monkeypatch):
    run, other = pair
    page = write_page(tmp_path / "page")
    for name in ("saematch.explorer.PAGE", "saematch.explorer.export.PAGE"):
        module, attribute = name.rsplit(".", 1)
        monkeypatch.setattr(__import__("sys").modules[module], attribute, page)
    export(run, tmp_path / "site", against=other)
    places = ("index.json", "against_steps.parquet", f"against/{'--'.join(other.pairs[0])}.parquet")
    with explore(run, against=other.path, open_browser=False) as served:
        port = int(served.url.split(":")[-1].strip("/"))
        for place in places:
            got = ask(port, f"/run/explorer/{place}")
            assert got.status == 200
            assert got.body == (made / place).read_bytes()
            assert got.body == (tmp_path / "site/run/explorer" / place).read_bytes()
        assert ask(port, "/run/explorer/nodes.parquet").status == 200
    # an exported run goes on showing both, and can be set against another run in its turn
    with explore(tmp_path / "site" / "run", open_browser=False) as served:
        port = int(served.url.split(":")[-1].strip("/"))
        assert ask(port, f"/run/explorer/{places[2]}").body == (made / places[2]).read_bytes()


def test_without_a_second_run_nothing_of_it_has_an_address(pair):
    run, _ = pair
    folder = prepare(run).folder
    places = Places(Path(__file__).parent, run.path, folder)
    assert places.find("/run/explorer/against_steps.parquet") is None
    assert not any("against" in place for place, _ in places.files())


def test_the_command_says_which_runs_cannot_be(pair):
    run, _ = pair
    done = CliRunner().invoke(app, ["explore", str(run.path), "--against", str(run.path)])
    assert "set against itself" in str(done.exception)


def test_by_how_many_a_feature_is_shared(tmp_path):
    run = write_compared(tmp_path)
    nodes = Nodes.of(run)
    table = shared(run, nodes)
    assert table is not None
    told = {
        (row["sae"], row["feature"]): row
        for row in run.table("compare", "features").iter_rows(named=True)
    }
    cosines: dict[tuple[str, int], list[float]] = {}
    for a, b in run.pairs:
        for row in run.pair(a, b).drop_nulls("target").iter_rows(named=True):
            for key in ((a, row["feature"]), (b, row["target"])):
                cosines.setdefault(key, []).append(row["decoder_cosine"])
    assert len(table) == sum(run.sae(name).d_sae for name in run.names)
    for node, row in enumerate(table.iter_rows(named=True)):
        site = max((name for name in run.names if nodes.starts[name] <= node), key=nodes.starts.get)
        key = site, node - nodes.starts[site]
        assert row["shared_with"] == told.get(key, {}).get("shared_with")
        assert row["cluster"] == told.get(key, {}).get("cluster")
        assert row["nearest"] == max(cosines.get(key, []), default=None)
    assert shared(write_run(tmp_path), Nodes.of(write_run(tmp_path / "more"))) is None
