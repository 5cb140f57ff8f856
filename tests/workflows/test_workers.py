"""Pairs matched in other processes: the tables are those of one, whatever happens to a worker."""

import os
import signal
import time
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

import saematch
from saematch.errors import MatchError, SaematchError
from saematch.workflows.workers import Cluster, Here, _alone, opened_workers

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    # of tornado and asyncio, where a cluster ends while something is on its way
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
from support.clusters import two_workers  # noqa: E402

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
        time.sleep(60)
    return os.getpid()


def test_a_task_whose_worker_is_killed_is_done_by_another(tmp_path, client):
    crew = Cluster(client)
    results = crew.each(_alive, [tmp_path])
    # a generator: the task begins with the first result that is asked for
    import threading

    found = []
    asking = threading.Thread(target=lambda: found.extend(results))
    asking.start()
    for _ in range(600):
        if any(tmp_path.iterdir()):
            break
        time.sleep(0.1)
    (first,) = tmp_path.iterdir()
    os.kill(int(first.name), signal.SIGKILL)
    asking.join(60)
    ((_, second),) = found
    assert second != int(first.name)


def test_without_workers_everything_is_here():
    with opened_workers(None) as crew:
        assert isinstance(crew, Here)
        assert list(crew.each(abs, [-1, 2])) == [(-1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("given", "said"), [(0, "workers is 0"), ("tcp://127.0.0.1:9", "no scheduler at tcp")]
)
def test_what_cannot_work_is_said(monkeypatch, given, said):
    monkeypatch.setattr("saematch.workflows.workers.PATIENCE", 1)
    with pytest.raises(SaematchError, match=said), opened_workers(given):
        pass


def test_paths_start_where_the_command_was_called(tmp_path):
    (tmp_path / "there").touch()
    here = os.getcwd()
    for folder, found in ((here, False), (str(tmp_path), True), (str(tmp_path / "no"), False)):
        assert _alone((os.path.exists, "there", None, "a call", folder)) is found
        assert os.getcwd() == here
