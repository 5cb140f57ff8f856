"""The run directory: whole files, resumption, refusal to discard what was made otherwise."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from saematch import RunError, match
from saematch.files.records import plain
from saematch.matching.methods import resolve
from saematch.runs.run import Run
from saematch.runs.sae_tables import features_frame
from saematch.sae.checksum import checksum
from support.saes import make_sae, permuted

OPTIONS = {"method": "cosine", "candidates": 3}


@pytest.fixture(scope="module")
def saes():
    return [make_sae(d_in=8, d_sae=24, seed=i, layer=i) for i in range(3)]


@pytest.fixture(scope="module")
def matchings(saes):
    return [match(saes[i], saes[i + 1], "cosine", candidates=3) for i in range(2)]


@pytest.fixture
def run(tmp_path, saes):
    return Run.create(tmp_path / "run", "match", OPTIONS, saes)


def snapshot(path: Path) -> dict[str, tuple[int, int]]:
    """What changes when a file is written, or replaced by its equal."""
    files = (p for p in path.rglob("*") if p.is_file())
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in files}


def test_tables_and_summaries_come_back_as_they_went_in(run, saes, matchings):
    a, b, c = run.names
    assert [a, b, c] == ["resid_post_0", "resid_post_1", "resid_post_2"]
    run.add_pair(b, c, matchings[1])
    run.add_pair(a, b, matchings[0])
    again = Run.open(run.path)
    assert again.pairs == [(a, b), (b, c)]  # in the order of the SAEs, not of the work
    assert [pair.names for pair in again.record.pairs] == again.pairs
    for pair, matching in zip(again.pairs, matchings, strict=True):
        assert_frame_equal(again.pair(*pair), matching.to_polars())
        assert_frame_equal(again.candidates(*pair), matching.candidates.to_polars("target"))
        assert_frame_equal(again.sources(*pair), matching.sources.to_polars("source"))
        assert_frame_equal(again.null(*pair), matching.null_histogram())
        assert plain(again.summaries[pair]) == pytest.approx(matching.summary())
        # without saematch, by the place that run.json gives
        entry = next(
            e for e in json.loads((run.path / "run.json").read_text())["pairs"] if e["a"] == pair[0]
        )
        frame = pl.read_parquet(run.path / entry["table"])
        assert frame["target"].to_list() == matching.target.tolist()
    assert_frame_equal(again.features(b), features_frame(saes[1]))


def test_features_are_those_of_the_weights():
    sae = make_sae(d_in=8, d_sae=24)
    W_dec = sae.W_dec.clone()
    W_dec[3] = 0
    frequency = torch.linspace(0, 1, 24)
    sae = replace(sae, W_dec=W_dec, frequency=frequency)
    known = pl.DataFrame(
        {
            "feature": [5, 2],
            "frequency": [9.0, 9.0],
            "mean_activation": [1.5, 2.5],
            "max_activation": [3.0, 4.0],
        }
    )
    frame = features_frame(sae, known)
    assert frame["feature"].to_list() == list(range(24))
    assert frame["decoder_norm"].to_list() == pytest.approx(sae.W_dec.norm(dim=1).tolist())
    assert frame["encoder_norm"].to_list() == pytest.approx(sae.W_enc.norm(dim=0).tolist())
    assert frame["frequency"].to_list() == pytest.approx(frequency.tolist())  # not the table's 9
    assert frame["mean_activation"][2] == 2.5
    assert frame["max_activation"][5] == 3.0
    assert frame["mean_activation"].null_count() == 22
    assert frame["excluded"][3] == "zero decoder"
    assert frame["excluded"][0] == "dead"
    assert frame["excluded"].null_count() == 22


def test_the_same_call_takes_up_what_is_there_and_touches_nothing(run, saes, matchings):
    a, b, _ = run.names
    run.add_pair(a, b, matchings[0])
    before = snapshot(run.path)
    again = Run.create(run.path, "match", OPTIONS, saes)
    assert snapshot(run.path) == before
    assert again.has_pair(a, b)
    assert not again.has_pair(b, run.names[2])
    # a moved checkpoint is the same SAE
    moved = [replace(s, conventions=replace(s.conventions, source="elsewhere/x")) for s in saes]
    assert Run.create(run.path, "match", OPTIONS, moved).has_pair(a, b)


@pytest.mark.parametrize("folder", ["pairs", "candidates", "sources", "nulls"])
def test_a_pair_whose_table_was_deleted_is_not_done(run, matchings, folder):
    a, b, _ = run.names
    run.add_pair(a, b, matchings[0])
    (run.path / folder / f"{a}--{b}.parquet").unlink()
    assert not Run.open(run.path).has_pair(a, b)


def with_threshold(sae, value):
    return replace(sae, threshold=torch.full((sae.d_sae,), value))


@pytest.mark.parametrize(
    ("command", "options", "change", "words"),
    [
        ("match", {**OPTIONS, "candidates": 4}, None, "candidates is 3 there, 4 here"),
        (
            "match",
            {"method": "flow", "candidates": 9},
            None,
            "made otherwise: method is cosine there, flow here;",
        ),
        ("match", {"method": "cosine"}, None, "candidates is 3 there, not set here"),
        ("demo", OPTIONS, None, "made by the command match, not demo"),
        (
            "match",
            OPTIONS,
            lambda s: [*s[:2], with_threshold(s[2], 0.5)],
            "resid_post_2 has other weights",
        ),
        (
            "match",
            OPTIONS,
            lambda s: s[:2],
            "its SAEs are resid_post_0, resid_post_1, resid_post_2, not",
        ),
        (
            "match",
            OPTIONS,
            lambda s: [replace(s[0], conventions=replace(s[0].conventions, centred=True)), *s[1:]],
            "resid_post_0: centred is False there, True here",
        ),
    ],
)
def test_a_run_made_otherwise_is_kept_unless_asked(
    run, saes, matchings, command, options, change, words
):
    run.add_pair(run.names[0], run.names[1], matchings[0])
    before = snapshot(run.path)
    other = change(saes) if change else saes
    with pytest.raises(RunError, match=r"-o.*--overwrite") as refused:
        Run.create(run.path, command, options, other)
    assert words in str(refused.value)
    assert snapshot(run.path) == before

    new = Run.create(run.path, command, options, other, overwrite=True)
    assert new.pairs == []
    assert not list((run.path / "pairs").iterdir())
    assert Run.open(run.path).record.options == options


def test_overwriting_keeps_files_that_are_not_the_runs(run, saes):
    mine = run.path / "notes.txt"
    mine.write_text("mine")
    Run.create(run.path, "other", OPTIONS, saes, overwrite=True)
    assert mine.read_text() == "mine"


def test_a_run_without_results_has_nothing_to_lose(run, saes):
    assert Run.create(run.path, "match", {"method": "other"}, saes).pairs == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: len(text) // 2], "is damaged"),
        (lambda text: "", "is damaged"),
        (lambda text: text.replace('"pairs"', '"pears"'), "missing required field `pairs`"),
        (lambda text: text.replace('"features/resid', '"../../resid'), "at `$.saes[0]`"),
        (
            lambda text: text.replace('"name": "resid_post_0"', '"name": "../x"'),
            "at `$.saes[0].name`",
        ),
    ],
)
def test_a_damaged_manifest_is_an_error_that_overwrite_mends(run, saes, damage, words):
    file = run.path / "run.json"
    file.write_text(damage(file.read_text()))
    for act in (lambda: Run.open(run.path), lambda: Run.create(run.path, "match", OPTIONS, saes)):
        with pytest.raises(RunError) as refused:
            act()
        assert words in str(refused.value)
        assert str(file) in str(refused.value)
    assert Run.create(run.path, "match", OPTIONS, saes, overwrite=True).names == run.names


@pytest.mark.parametrize("overwrite", [True, False])
def test_folders_and_files_of_others_are_never_touched(tmp_path, saes, overwrite):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.tex").write_text("x")
    with pytest.raises(RunError, match=r"not empty \(chapter.tex\)"):
        Run.create(folder, "match", OPTIONS, saes, overwrite=overwrite)
    (folder / "run.json").write_text('{"of": "another program"}')
    with pytest.raises(RunError, match="not of saematch"):
        Run.create(folder, "match", OPTIONS, saes, overwrite=overwrite)
    with pytest.raises(RunError, match="is a file"):
        Run.create(folder / "chapter.tex", "match", OPTIONS, saes, overwrite=overwrite)
    assert sorted(p.name for p in folder.iterdir()) == ["chapter.tex", "run.json"]
    assert Run.create(tmp_path / "new" / "deep", "match", OPTIONS, saes).pairs == []


def test_unknown_names_and_unreadable_tables_are_errors(run, saes, matchings):
    a, b, c = run.names
    run.add_pair(a, b, matchings[0])
    with pytest.raises(RunError, match=f"has no pair {b}--{c}; it has {a}--{b}"):
        run.pair(b, c)
    with pytest.raises(RunError, match="has no SAE 'x'"):
        run.add_pair("x", b, matchings[0])
    small = make_sae(d_in=8, d_sae=10)
    with pytest.raises(RunError, match="is not the SAE"):
        run.add_pair(a, b, match(small, small))
    (run.path / "pairs" / f"{a}--{b}.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(RunError, match="truncated, corrupt"):
        run.pair(a, b)
    with pytest.raises(RunError, match="no run directory"):
        Run.open(run.path / "pairs")


def test_a_full_disk_is_told_where_polars_leaves_it_out(run, matchings, monkeypatch):
    def fail(frame, file, **options):
        raise pl.exceptions.ComputeError("parquet: File out of specification: transport error")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", fail)
    with pytest.raises(RunError, match="transport error"):
        run.add_pair(*run.names[:2], matchings[0])
    left = shutil.disk_usage(run.path)._replace(free=4096)
    monkeypatch.setattr("saematch.files.directory.disk_usage", lambda path: left)
    with pytest.raises(RunError, match="No space left on device"):
        run.add_pair(*run.names[:2], matchings[0])


def test_a_table_that_fails_half_way_is_not_listed(run, matchings, monkeypatch):
    a, b, c = run.names
    run.add_pair(a, b, matchings[0])
    real = pl.DataFrame.write_parquet

    def fail(frame, file, **options):
        real(frame.head(3), file, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", fail)
    with pytest.raises(RunError, match=r"cannot be written.*No space left"):
        run.add_pair(b, c, matchings[1])
    monkeypatch.undo()
    assert Run.open(run.path).pairs == [(a, b)]
    assert [p.name for p in (run.path / "candidates").iterdir()] == [f"{a}--{b}.parquet"]


KILLED = """
import os, signal, sys, torch
sys.path.insert(0, sys.argv[1])
from support.saes import make_sae
from saematch import match, runs
import polars as pl
saes = [make_sae(d_in=8, d_sae=24, seed=i, layer=i) for i in range(3)]
run = runs.Run.create(sys.argv[2], "match", {"method": "cosine", "candidates": 3}, saes)
a, b, c = run.names
run.add_pair(a, b, match(saes[0], saes[1], "cosine", candidates=3))
real = pl.DataFrame.write_parquet
def die(frame, file, **options):
    real(frame, file, **options)
    if "pairs" in str(file):
        os.kill(os.getpid(), signal.SIGKILL)
pl.DataFrame.write_parquet = die
run.add_pair(b, c, match(saes[1], saes[2], "cosine", candidates=3))
"""


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL elsewhere")
def test_after_a_kill_only_what_is_missing_is_made_again(tmp_path, saes, matchings):
    here = str(Path(__file__).parents[1])
    path = tmp_path / "run"
    code = [sys.executable, "-c", KILLED, here, str(path)]
    assert subprocess.run(code, check=False).returncode == -signal.SIGKILL
    left = list((path / "pairs").glob(".*.partial"))
    assert len(left) == 1  # it was killed in the middle of a write

    run = Run.create(path, "match", OPTIONS, saes)
    a, b, c = run.names
    assert run.has_pair(a, b)
    assert not run.has_pair(b, c)
    before = snapshot(path / "pairs")
    run.add_pair(b, c, matchings[1])
    after = snapshot(path / "pairs")
    assert set(after) - set(before) == {str(path / "pairs" / f"{b}--{c}.parquet")}
    assert {p: after[p] for p in before} == before
    assert_frame_equal(run.pair(b, c), matchings[1].to_polars())


def test_the_checksum_is_of_the_weights_alone():
    sae = make_sae()
    there = replace(sae, conventions=replace(sae.conventions, source="elsewhere"))
    assert checksum(there) == checksum(sae)
    weights = {checksum(replace(sae, b_dec=sae.b_dec + 1e-6))}
    weights.add(checksum(replace(sae, threshold=sae.threshold * 1.001)))  # pyright: ignore[reportOptionalOperand]
    weights.add(checksum(permuted(sae, torch.arange(sae.d_sae).roll(1))))
    weights.add(checksum(sae.to(dtype=torch.bfloat16)))
    assert len(weights | {checksum(sae)}) == 5


def test_options_tell_methods_apart_that_print_alike():
    one, other = (resolve("sae-match", encoder_weight=w) for w in (0.12345678, 0.12345679))
    assert str(one) == str(other)
    assert one.options() != other.options()


def test_a_run_holds_one_sae_at_a_time(tmp_path):
    alive: list[weakref.ref] = []

    def loaded():
        for layer in range(4):
            assert sum(each() is not None for each in alive) <= 1
            sae = make_sae(d_in=8, d_sae=24, seed=layer, layer=layer)
            alive.append(weakref.ref(sae))
            yield sae
            del sae

    run = Run.create(tmp_path / "run", "flow", {}, loaded())
    assert run.names == [f"resid_post_{layer}" for layer in range(4)]
    assert [run.sae(name).checksum for name in run.names] == [
        checksum(make_sae(d_in=8, d_sae=24, seed=layer, layer=layer)) for layer in range(4)
    ]


def test_a_pair_that_is_added_makes_the_flow_of_fewer_out_of_date(run, matchings):
    a, b, c = run.names
    run.add_pair(a, b, matchings[0])
    assert run.section("flow") is None
    with pytest.raises(RunError, match="has no flow table 'mine'"):
        run.table("flow", "mine")
    table = pl.DataFrame({"track": [0]})
    run.add("flow", {"mine": table}, {"whole": 3, "share": float("nan")})
    again = Run.open(run.path)
    flow = again.section("flow")
    assert flow is not None
    assert flow.tables == {"mine": "flow/mine.parquet"}
    assert flow.more == {"whole": 3, "share": None}
    assert_frame_equal(again.table("flow", "mine"), table)
    assert "flow" in again.parts
    again.add_pair(b, c, matchings[1])
    assert Run.open(run.path).section("flow") is None


@pytest.mark.parametrize("key", ["flow", "compare"])
def test_tables_that_are_replaced_are_not_listed_until_all_are_there(run, monkeypatch, key):
    run.finish()
    tables = {name: pl.DataFrame({"of": ["old"]}) for name in ("one", "two")}
    run.add(key, tables, {"of": "old"})
    assert Run.open(run.path).section(key).more["of"] == "old"
    real = pl.DataFrame.write_parquet

    def fail(frame, file, **options):
        if "two" in str(file):
            raise OSError(28, "No space left on device")
        real(frame, file, **options)

    monkeypatch.setattr(pl.DataFrame, "write_parquet", fail)
    with pytest.raises(RunError, match="No space left"):
        run.add(key, {name: pl.DataFrame({"of": ["new"]}) for name in tables}, {"of": "new"})
    monkeypatch.undo()
    again = Run.open(run.path)
    assert again.section(key) is None
    assert again.finished is None


def test_replacing_tables_leaves_a_run_as_finished_as_it_was(run):
    run.finish()
    before = run.finished
    for _ in range(2):
        run.add("flow", {"tracks": pl.DataFrame({"track": [0]})}, {})
        assert Run.open(run.path).finished == before is not None


def test_a_run_that_is_extended_is_not_finished(run, matchings):
    a, b, c = run.names
    run.add_pair(a, b, matchings[0])
    run.finish()
    run.add_pair(b, c, matchings[1])
    assert Run.open(run.path).finished is None


def test_a_pair_that_is_made_anew_is_not_listed_meanwhile(run, matchings, monkeypatch):
    a, b, _ = run.names
    run.add_pair(a, b, matchings[0])

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", fail)
    with pytest.raises(RunError, match="No space left"):
        run.add_pair(a, b, matchings[0])
    assert Run.open(run.path).pairs == []


def test_a_flow_without_all_its_tables_is_none(run):
    tables = {name: pl.DataFrame({"track": [0]}) for name in ("tracks", "spans")}
    run.add("flow", tables, {})
    assert run.section("flow")
    (run.path / "flow" / "spans.parquet").unlink()
    assert Run.open(run.path).section("flow") is None


def test_one_sae_twice_is_refused_where_they_are_to_be_distinct(tmp_path):
    sae = make_sae(d_in=8, d_sae=24)
    other = replace(sae, conventions=replace(sae.conventions, source="other/spelling"))
    with pytest.raises(RunError, match=r"other/spelling are one SAE.*give it once"):
        Run.create(tmp_path / "run", "flow", {}, [sae, other], distinct=True)
    assert not (tmp_path / "run").exists()
    assert Run.create(tmp_path / "run", "match", {}, [sae, other])
    # another site: another SAE, whatever its weights
    moved = make_sae(d_in=8, d_sae=24, layer=7)
    assert checksum(moved) == checksum(sae)
    assert Run.create(tmp_path / "moved", "flow", {}, [sae, moved], distinct=True)


def test_an_evaluation_that_grows_is_never_lost_on_the_way(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", "flow", {}, [make_sae()])
    frame = pl.DataFrame({"value": [1.0]})
    run.add("evaluation", {"mine": frame}, {"options": {"seed": 0}})
    monkeypatch.setattr(Run, "write", _full_disk)
    with pytest.raises(RunError):
        run.add("evaluation", {"mine": frame}, {"options": {"seed": 0}, "texts": {}}, grows=True)
    assert Run.open(run.path).table("evaluation", "mine").equals(frame)


def _full_disk(self, place, frame):
    raise RunError(f"{place} cannot be written: no space left")


@pytest.mark.parametrize("folder", ["features", "pairs", "flow", "relations", "evaluation"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_nothing_is_written_or_removed_through_a_linked_folder(
    tmp_path, run, saes, matchings, folder, overwrite
):
    victim = tmp_path / "elsewhere"
    victim.mkdir()
    for name in ("mine.parquet", "resid_post_0.parquet", "resid_post_0--resid_post_1.parquet"):
        (victim / name).write_text("mine")
    if (run.path / folder).is_dir():
        (run.path / folder).rename(run.path / "old")
    (run.path / folder).symlink_to(victim)
    before = snapshot(victim)
    with pytest.raises(RunError, match=f"{folder} is a link"):
        Run.create(run.path, "match", {"method": "other"}, saes, overwrite=overwrite)
    with pytest.raises(RunError, match=f"{folder} is a link"):
        run.write(f"{folder}/new.parquet", pl.DataFrame({"a": [1]}))
    assert snapshot(victim) == before


def test_overwriting_removes_what_the_run_wrote_and_nothing_else(run, saes, matchings):
    a, b, c = run.names
    run.add_pair(a, b, matchings[0])
    run.add("flow", {"extra": pl.DataFrame({"a": [1]})}, {})
    # what a writer that was killed left, which run.json does not list
    (run.path / "pairs" / f"{b}--{c}.parquet").write_text("half")
    mine = [run.path / "pairs" / "my_notes.parquet", run.path / "flow" / ".partial"]
    for file in mine:
        file.write_text("mine")
    new = Run.create(run.path, "match", {"method": "other"}, saes[:2], overwrite=True)
    left = {p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file()}
    ours = {f"features/{name}.parquet" for name in new.names} | {"run.json"}
    locks = {name for name in left if "lock" in name}
    assert left - locks == ours | {"pairs/my_notes.parquet", "flow/.partial"}


WRITER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from support.saes import make_sae
from saematch import Run
run = Run.create(sys.argv[2], "flow", {}, [make_sae(d_in=8, d_sae=24, layer=i) for i in range(3)])
print("writing", flush=True)
time.sleep(60)
"""


def test_another_program_that_writes_is_named_and_waited_for_no_longer_than_that(
    tmp_path, saes, matchings, monkeypatch
):
    monkeypatch.setattr("saematch.files.lock.WAIT", 0.1)
    path, here = tmp_path / "run", str(Path(__file__).parents[1])
    other = subprocess.Popen(
        [sys.executable, "-c", WRITER, here, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "writing\n"
        told = rf"run is being written by `-c` \(process {other.pid} on .*write elsewhere"
        before = snapshot(path)
        for overwrite in (True, False):
            with pytest.raises(RunError, match=told):
                Run.create(path, "match", OPTIONS, saes, overwrite=overwrite)
        opened = Run.open(path)  # readers wait for nobody
        with pytest.raises(RunError, match=told):
            opened.add_pair(opened.names[0], opened.names[1], matchings[0])
        with pytest.raises(RunError, match=told), opened.writing():
            pass
        assert snapshot(path) == before
    finally:
        other.kill()
        other.wait()
        if other.stdout is not None:
            other.stdout.close()
    # the system gives the lock back, however a program ends
    with opened.writing():
        opened.add_pair(opened.names[0], opened.names[1], matchings[0])
    assert len(Run.open(path).pairs) == 1


def test_a_run_that_another_object_changed_is_not_written_over(run, matchings):
    a, b, c = run.names
    run.finish()
    one, other = Run.open(run.path), Run.open(run.path)
    one.add_pair(a, b, matchings[0])
    with pytest.raises(RunError, match="changed since it was opened: open it again"):
        other.add_pair(b, c, matchings[1])
    with other.writing():
        other.add_pair(b, c, matchings[1])
    assert len(Run.open(run.path).pairs) == 2


def test_a_lock_is_given_back_when_a_run_is_finished_or_gone(tmp_path, saes):
    from saematch.files.lock import _HELD

    run = Run.create(tmp_path / "run", "match", OPTIONS, saes)
    twice = Run.create(tmp_path / "run", "match", OPTIONS, saes)  # one process, one right
    assert _HELD[run.path.resolve()].writers == 2
    run.finish()
    del twice
    assert run.path.resolve() not in _HELD
    assert not (run.path / ".saematch.lock.json").exists()


def _changed(place, change):
    def act(content):
        at = content
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = change
        return content

    return act


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("flow",), "none"),
        (("relations",), [1]),
        (("flow",), {"tables": {"tracks": 5}}),
        (("flow",), {"tables": {"tracks": "../tracks.parquet"}}),
        (("flow",), {"tables": {"a" * 5000: "flow/" + "a" * 5000 + ".parquet"}}),
        (("saes", 0, "conventions"), "none"),
        (("saes", 0, "conventions", "site"), 5),
        (("saes", 0, "conventions", "site"), {"hook": 5}),
        (("saes", 0, "d_sae"), True),
        (("saes", 0, "d_sae"), 10**18),
        (("saes", 0, "d_sae"), 0),
        (("saes", 1, "name"), "resid_post_0"),
        (("pairs", 0, "summary", "excluded_a"), "many"),
        (("pairs", 0, "summary", "method"), None),
        (("pairs", 0, "a"), "resid_post_9"),
    ],
)
def test_entries_that_no_reader_could_use_are_damage(run, matchings, place, value):
    run.add_pair(run.names[0], run.names[1], matchings[0])
    file = run.path / "run.json"
    file.write_text(json.dumps(_changed(place, value)(json.loads(file.read_text()))))
    with pytest.raises(RunError, match="is damaged") as told:
        Run.open(run.path)
    assert len(str(told.value)) < 600
    assert "\n" not in str(told.value)


BAD = {
    "no column": lambda t: t.drop("score"),
    "another name": lambda t: t.rename({"score": "points"}),
    "text for numbers": lambda t: t.with_columns(pl.col("score").cast(pl.String)),
    "beyond the width": lambda t: t.with_columns(pl.lit(10**9).alias("target")),
    "negative": lambda t: t.with_columns(pl.lit(-1).alias("target")),
    "fewer rows": lambda t: t.head(3) if "matched" in t.columns else t.drop("feature"),
    "more rows": lambda t: pl.concat([t] * 50) if "matched" in t.columns else t.drop("rank"),
    "ranks without end": lambda t: (
        t.with_columns(pl.lit(10**8).alias("rank")) if "rank" in t.columns else t.drop("mutual")
    ),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", ["pairs", "candidates"])
def test_tables_that_no_reader_could_use_are_told(run, matchings, kind, bad):
    a, b, _ = run.names
    run.add_pair(a, b, matchings[0])
    file = run.path / kind / f"{a}--{b}.parquet"
    BAD[bad](pl.read_parquet(file)).write_parquet(file)
    read = run.pair if kind == "pairs" else run.candidates
    with pytest.raises(RunError, match=f"{kind}/{a}--{b}.parquet: ") as told:
        read(a, b)
    assert "\n" not in str(told.value)


def test_a_column_of_nulls_without_a_type_is_one_of_its_own(run, matchings):
    a, b, _ = run.names
    run.add_pair(a, b, matchings[0])
    file = run.path / "pairs" / f"{a}--{b}.parquet"
    table = pl.read_parquet(file)
    empty = [pl.lit(None).alias(name) for name in ("target", "score", "excluded")]
    table.with_columns(*empty).write_parquet(file)
    found = run.pair(a, b).select("target", "score", "excluded")
    assert found.dtypes == [pl.Int64, pl.Float64, pl.String]
    assert found.null_count().row(0) == (len(table),) * 3
    table.with_columns(pl.lit(None).alias("matched")).write_parquet(file)
    with pytest.raises(RunError, match="column matched has gaps"):
        run.pair(a, b)


def test_every_table_that_commands_write_is_declared():
    from saematch.runs.tables import SCHEMAS

    page = (Path(__file__).parents[2] / "docs" / "reference" / "run-directory.md").read_text()
    for place in SCHEMAS:
        folder, _, name = place.partition("/")
        assert folder in page
        assert not name or f"`{name}`" in page or f"{place}.parquet" in page or folder == "flow"


@pytest.mark.slow
def test_killed_anywhere_while_one_run_discards_another_no_old_table_counts(
    tmp_path, saes, monkeypatch
):
    """Features of other weights under the same names, and whatever the old run held."""
    old = [make_sae(d_in=8, d_sae=24, seed=9 + i, layer=i) for i in range(3)]
    one = match(old[0], old[1], "cosine", candidates=3)
    stop = 0

    def counted(call):
        def event(*args, **kwargs):
            nonlocal stop
            if "lock" not in str(args[0]):  # the system gives that back by itself
                stop -= 1
                if stop == 0:
                    raise KeyboardInterrupt
            return call(*args, **kwargs)

        return event

    k = 0
    for k in range(1, 200):
        path = tmp_path / f"run{k}"
        run = Run.create(path, "match", OPTIONS, old)
        run.add_pair(run.names[0], run.names[1], one)
        run.finish()
        stop = k
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", counted(os.replace))
            patch.setattr(Path, "unlink", counted(Path.unlink))
            try:
                Run.create(path, "match", OPTIONS, saes, overwrite=True)
            except KeyboardInterrupt:
                pass
            else:
                break
        try:
            again = Run.create(path, "match", OPTIONS, saes)
        except RunError as refused:  # nothing was discarded yet
            if "other weights there" not in str(refused):
                raise
            again = Run.create(path, "match", OPTIONS, saes, overwrite=True)
        for name, sae in zip(again.names, saes, strict=True):
            assert_frame_equal(again.features(name), features_frame(sae))
        assert again.pairs == []
        assert not list((path / "pairs").glob("*"))
    assert 10 < k < 199


def test_readers_are_not_disturbed_by_a_writer(tmp_path, saes, matchings):
    path = tmp_path / "run"
    writer = Run.create(path, "match", OPTIONS, saes)
    names, ended, seen = writer.names, threading.Event(), []
    expected = matchings[0].to_polars()

    def reads():
        while not ended.is_set():
            for pair in (run := Run.open(path)).pairs:
                seen.append(run.pair(*pair).equals(expected))

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(reads)
        for _ in range(10):
            writer.add_pair(names[0], names[1], matchings[0])
        ended.set()
        reader.result(timeout=30)
    assert seen
    assert all(seen)
