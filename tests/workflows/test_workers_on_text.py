"""Texts read in other processes: the tables are those of one, whatever happens to a cluster."""

import filecmp
import logging
from logging.handlers import BufferingHandler
from typing import Any, cast

import pytest
import torch
from polars.testing import assert_frame_equal

import saematch
from saematch.errors import SaematchError
from saematch.workflows.worker_clusters import opened_workers
from saematch.workflows.workers import Cluster

pytest.importorskip("distributed")
pytest.importorskip("transformers")
from support.clusters import kill_a_worker, scheduler_apart, two_workers, waited

pytestmark = [
    pytest.mark.slow,
    # of tornado and asyncio, where a cluster ends while something is on its way
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CAPTURED = ("saematch:resid_post_{0-2}", "saematch:model", "saematch:prose")
READ: dict[str, Any] = {
    "examples": 24,
    "length": 48,
    "batch_tokens": 96,
}  # three batches of many passes
EVALUATED = ("saematch:model", "saematch:prose")
TRIED: dict[str, Any] = {"examples": 3, "fit_examples": 3, "length": 32, "resamples": 20}


@pytest.fixture(scope="module")
def client():
    with two_workers() as client:
        yield client


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    return saematch.capture(*CAPTURED, out=tmp_path_factory.mktemp("store"), **READ)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    run = _flow(tmp_path_factory.mktemp("run"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers have
    try:
        return saematch.evaluate(run, *EVALUATED, **TRIED)
    finally:
        torch.set_num_threads(threads)


def _flow(path):
    return saematch.flow("saematch:resid_post_{0-2}", "cosine", out=path)


def same_files(one, other):
    files = sorted(some.relative_to(one.path) for some in one.path.rglob("*.parquet"))
    assert files == sorted(some.relative_to(other.path) for some in other.path.rglob("*.parquet"))
    different = filecmp.cmpfiles(one.path, other.path, map(str, files), shallow=False)[1:]
    assert different == ([], [])
    assert one.record.shards == other.record.shards


def same_values(one, other):
    """Bit for bit: float32 products are summed alike by as many threads."""
    tables = [run.table("evaluation", "values") for run in (one, other)]
    assert_frame_equal(*tables, check_exact=True)


def once(told, do):
    """A progress that does something the first time that a step is told of which `told` holds."""
    done = []

    def progress(step):
        if not done and told(step):
            done.append(step)
            do()

    return progress


def reading(step):
    return step.stage == "reading texts" and step.done > 0


def test_a_store_is_that_of_one_process_though_a_worker_dies(tmp_path, client, captured):
    kill = once(reading, lambda: kill_a_worker(client))
    there = saematch.capture(
        *CAPTURED, out=tmp_path / "store", workers=client, progress=kill, **READ
    )
    same_files(captured, there)


def test_an_evaluation_is_that_of_one_process_though_a_worker_dies(tmp_path, client, evaluated):
    kill = once(
        lambda step: step.stage == "evaluating" and " on " in (step.what or ""),
        lambda: kill_a_worker(client),
    )
    run = _flow(tmp_path / "run")
    saematch.evaluate(run, *EVALUATED, workers=client, progress=kill, **TRIED)
    same_values(run, evaluated)
    assert run.section("evaluation") == evaluated.section("evaluation")


def test_shards_of_an_evaluation_on_workers_are_that_of_one_process(tmp_path, client, evaluated):
    run = _flow(tmp_path / "run")
    for k in (1, 2):
        saematch.evaluate(run, *EVALUATED, shard=f"{k}/2", workers=client, **TRIED)
    same_values(saematch.merge(run.path), evaluated)


def test_what_a_lost_scheduler_leaves_is_continued(tmp_path, captured):
    out = tmp_path / "store"
    with scheduler_apart(tmp_path) as (file, scheduler):
        lose = once(reading, scheduler.kill)
        with pytest.raises(SaematchError, match="connection to the scheduler is lost"):
            saematch.capture(*CAPTURED, out=out, workers=str(file), progress=lose, **READ)
    there = saematch.capture(*CAPTURED, out=out, **READ)
    same_files(captured, there)


def test_a_scheduler_that_is_lost_when_all_is_done_is_no_matter(tmp_path):
    handler, log = BufferingHandler(1000), logging.getLogger("distributed.client")
    log.addHandler(handler)
    try:
        with scheduler_apart(tmp_path) as (file, scheduler), opened_workers(str(file)) as workers:
            assert [*workers.each(abs, [-1])] == [(-1, 1)]
            scheduler.kill()
            client = cast(Cluster, workers).client
            waited(lambda: client.status != "running")
    finally:
        log.removeHandler(handler)
    assert [record.getMessage() for record in handler.buffer if record.exc_info] == []


def test_models_in_memory_do_not_travel(tmp_path, client, evaluated):
    model = saematch.models.open_model("saematch:model")
    with pytest.raises(SaematchError, match="given in memory, where workers cannot read it"):
        saematch.capture(
            CAPTURED[0], model, "saematch:prose", out=tmp_path / "store", workers=client, **READ
        )
    with pytest.raises(SaematchError, match="given in memory, where workers cannot read it"):
        saematch.evaluate(evaluated, model, "saematch:prose", workers=client, **TRIED)
