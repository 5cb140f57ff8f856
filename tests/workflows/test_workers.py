"""Pairs matched in other processes: the tables are those of one, whatever happens to a worker."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

import pytest
import torch
from polars.testing import assert_frame_equal

import saematch
from saematch.errors import MatchError, SaematchError
from saematch.numerics.held import Held
from saematch.sae import shipped
from saematch.workflows.worker_clusters import opened_workers
from saematch.workflows.worker_tasks import Work, done
from saematch.workflows.workers import Cluster, Here

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    # of tornado and asyncio, where a cluster ends while something is on its way
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
from support.clusters import PATIENCE, kill_a_worker, two_workers, waited  # noqa: E402

SAES = "saematch:resid_post_{0-2}"


@pytest.fixture(scope="module")
def client():
    with two_workers() as client:
        yield client


def same(one, other):
    assert one.names == other.names
    assert one.pairs == other.pairs
    for pair in one.pairs:
        for table in ("pair", "candidates", "sources", "null"):
            assert_frame_equal(getattr(one, table)(*pair), getattr(other, table)(*pair))
    for name in one.names:
        assert_frame_equal(one.features(name), other.features(name))


def test_a_flow_on_a_cluster_is_the_flow_of_one_process(tmp_path, client):
    given = [SAES, "saematch:mlp_out_2"]
    alone = saematch.flow(given, "cosine", out=tmp_path / "alone")
    address = client.scheduler.address
    steps = []
    there = saematch.flow(
        given, "cosine", out=tmp_path / "there", workers=address, progress=steps.append
    )
    same(alone, there)
    assert_frame_equal(alone.tracks(), there.tracks())
    assert [step.done for step in steps if step.stage == "matching"] == [0, 1, 2, 0, 1]


def test_shared_features_are_the_same_on_a_cluster(tmp_path, client):
    given = ["saematch:resid_post_3", "saematch:resid_post_3_seed2"]
    alone = saematch.compare(given, out=tmp_path / "alone")
    there = saematch.compare(given, out=tmp_path / "there", workers=client)
    same(alone, there)
    assert_frame_equal(alone.table("compare", "features"), there.table("compare", "features"))


def test_activations_are_read_where_a_pair_is_matched(tmp_path, client):
    pytest.importorskip("transformers")
    store = saematch.capture(
        SAES, "saematch:model", "saematch:prose", examples=4, length=64, out=tmp_path / "acts"
    )
    alone = saematch.flow(SAES, "fused", activations=store, out=tmp_path / "alone")
    there = saematch.flow(SAES, "fused", activations=store, out=tmp_path / "there", workers=client)
    same(alone, there)


def test_what_a_model_tells_travels_with_a_pair(tmp_path, client):
    pytest.importorskip("transformers")
    asked = {"method": "fused", "model": "saematch:model", "tokens": 600}
    alone = saematch.flow(SAES, out=tmp_path / "alone", **asked)
    there = saematch.flow(SAES, out=tmp_path / "there", workers=client, **asked)
    same(alone, there)


def test_saes_in_memory_do_not_travel(tmp_path, client):
    saes = [saematch.load(f"saematch:resid_post_{layer}") for layer in (0, 1)]
    with pytest.raises(SaematchError, match="given in memory, where workers cannot read it"):
        saematch.flow(saes, "cosine", out=tmp_path / "run", workers=client)


def test_what_a_task_raises_is_raised_here(tmp_path, client):
    with pytest.raises(MatchError, match="one space"):
        saematch.compare(
            ["saematch:resid_post_3", "saematch:smollm2/resid_post_13"],
            out=tmp_path / "run",
            workers=client,
        )


def _alive(place: Path) -> int:
    """Tells which process it is in, and waits there the first time that it is called."""
    told = place / str(os.getpid())
    first = not any(place.iterdir())
    told.touch()
    if first:
        time.sleep(PATIENCE)
    return os.getpid()


def test_a_task_whose_worker_is_killed_is_done_by_another(tmp_path, client):
    crew = Cluster(client)
    results = crew.each(_alive, [tmp_path])
    # a generator: the task begins with the first result that is asked for
    found = []
    asking = threading.Thread(target=lambda: found.extend(results))
    asking.start()
    waited(lambda: any(tmp_path.iterdir()))
    (first,) = tmp_path.iterdir()
    os.kill(int(first.name), signal.SIGKILL)
    asking.join(PATIENCE)
    ((_, second),) = found
    assert second != int(first.name)


_READ = Held[tuple[Path, int], int](lambda key: _told_read(*key))


def _told_read(place: Path, sae: int) -> int:
    (place / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    return sae


def _pair_read(pair: tuple[Path, int]) -> int:
    """Holds two SAEs, as a worker does that matches the pair; the other worker has time for one."""
    place, k = pair
    found = _READ[place, k] + _READ[place, k + 1]
    time.sleep(1)
    return found


def test_neighbouring_pairs_go_to_one_worker(tmp_path, client):
    client.wait_for_workers(2)  # one may have been killed just now
    pairs = [(tmp_path, k) for k in range(5)]
    assert {pair for pair, _ in Cluster(client).each(_pair_read, pairs)} == {*pairs}
    reads = [path.name.split("-")[0] for path in tmp_path.iterdir()]
    # 7 where both are as fast, 6 by one that is done before the other begins; 10 by turns
    assert len(reads) < 10


def test_names_of_files_here_are_found_by_workers_elsewhere(tmp_path, monkeypatch, client):
    folders = {*client.run(os.getcwd).values()}
    for layer in range(2):
        shutil.copytree(shipped.path(f"resid_post_{layer}"), tmp_path / f"saes/layer_{layer}")
    monkeypatch.chdir(tmp_path)
    given = ["saes/layer_0", "saes/layer_1"]
    alone = saematch.flow(given, "cosine", out="alone")
    there = saematch.flow(given, "cosine", out="there", workers=client)
    same(alone, there)
    assert there.record.saes == alone.record.saes
    assert [sae.conventions.source for sae in there.record.saes] == given
    assert {*client.run(os.getcwd).values()} == folders


def test_another_version_on_a_worker_is_said(monkeypatch, client):
    monkeypatch.setattr("saematch.workflows.workers.__version__", "0.0.0")
    with pytest.raises(SaematchError, match=r"worker at tcp.* has saematch .* is of 0\.0\.0"):
        list(Cluster(client).each(abs, [-1]))


def test_what_a_worker_lacks_is_said(client):
    with pytest.raises(SaematchError, match=r"one of them lacks something: .*no_such_package"):
        list(Cluster(client).each(import_module, ["no_such_package"]))


@pytest.fixture
def idle():
    """A scheduler without workers."""
    with (
        distributed.LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("way", ["each", "in_order"])
def test_without_workers_it_says_that_it_waits_and_ends(monkeypatch, caplog, idle, way):
    monkeypatch.setattr("saematch.workflows.workers.COME", 0.1)
    monkeypatch.setattr("saematch.workflows.workers.LOOK", 0.1)
    with pytest.raises(SaematchError, match=r"has had no workers for .* min: start some"):
        list(getattr(Cluster(idle), way)(abs, [-1, 2]))
    said = [note.message for note in caplog.records if note.name == "saematch"]
    assert len(said) == 1
    assert "waiting for some" in said[0]


def test_workers_may_come_later(monkeypatch, idle):
    monkeypatch.setattr("saematch.workflows.workers.LOOK", 0.1)
    found = []
    results = Cluster(idle).in_order(max, [-1, 2], 1)
    asking = threading.Thread(target=lambda: found.extend(results))
    asking.start()
    idle.cluster.scale(1)
    asking.join(PATIENCE)
    assert found == [(-1, 1), (2, 2)]


def test_what_tasks_have_in_common_outlives_a_worker(client):
    crew, left = Cluster(client), []
    for item, result in crew.in_order(_after, range(6), [10]):
        left.append((item, result))
        if item == 1:
            kill_a_worker(client)
    assert left == [(k, 10 + k) for k in range(6)]


def _after(item: int, common: list[int]) -> int:
    time.sleep(0.2)
    return common[0] + item


@pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")
@pytest.mark.parametrize("moment", ["starting", "matching"])
def test_ctrl_c_ends_a_command_with_workers_as_quietly_as_one_without(tmp_path, moment):
    told, out = tmp_path / "stderr", tmp_path / "run"
    command = [sys.executable, "-m", "saematch", "flow", "saematch:smollm2/resid_post_{10-16}"]
    command += ["--method", "cosine", "-o", str(out), "--workers", "2"]
    with told.open("w") as stderr:
        process = subprocess.Popen(command, stderr=stderr, start_new_session=True)
        children = Path(f"/proc/{process.pid}/task").glob
        begun = {
            "starting": lambda: any(some.read_text() for some in children("*/children")),
            "matching": lambda: any(out.glob("pairs/*")),
        }
        waited(begun[moment])
        os.killpg(process.pid, signal.SIGINT)  # to all of them, as a terminal does
        assert process.wait(PATIENCE) == 130
    assert not re.search("Traceback|Error|distributed", told.read_text())


def test_without_workers_everything_is_here():
    with opened_workers(None) as crew:
        assert isinstance(crew, Here)
        assert list(crew.each(abs, [-1, 2])) == [(-1, 1), (2, 2)]
        assert list(crew.in_order(max, [-1, 2], 1)) == [(-1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("given", "said"), [(0, "workers is 0"), ("tcp://127.0.0.1:9", "no scheduler at tcp")]
)
def test_what_cannot_work_is_said(monkeypatch, given, said):
    monkeypatch.setattr("saematch.workflows.worker_clusters.PATIENCE", 1)
    with pytest.raises(SaematchError, match=said), opened_workers(given):
        pass


def test_paths_start_where_the_command_was_called(tmp_path):
    (tmp_path / "there").touch()
    here = os.getcwd()
    for folder, found in ((here, False), (str(tmp_path), True), (str(tmp_path / "no"), False)):
        threads = torch.get_num_threads()
        work = Work(os.path.exists, "there", threads, "a call", folder, saematch.__version__)
        assert done(work) is found
        assert os.getcwd() == here
