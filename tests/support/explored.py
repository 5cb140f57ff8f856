"""A small run, a stand-in for the page, and requests as a browser would send them."""

import functools
import http.client
import shutil
import tempfile
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import polars as pl

import saematch
from saematch.explorer import places, tables
from saematch.layers.analysis import analyse
from saematch.runs.run import Run
from support.stand_in import write_shipped

SCRIPT = "console.log('page')\n"


def write_run(root: Path) -> Run:
    """Four layers with contexts, all pairs, flow and some correlations; matched only once."""
    shutil.copytree(Path(_matched().name) / "run", root / "run")
    return Run.open(root / "run")


@functools.cache
def _matched() -> tempfile.TemporaryDirectory:
    kept = tempfile.TemporaryDirectory()
    root = Path(kept.name)
    folder = write_shipped(root / "data", d_in=32) / "saes"
    saes = [saematch.load(folder / f"resid_post_{layer}") for layer in range(4)]
    run = Run.create(root / "run", "flow", {"fdr": 0.05}, saes)
    for (a, x), (b, y) in combinations(zip(run.names, saes, strict=True), 2):
        run.add_pair(a, b, saematch.match(x, y, "cosine"))
    analyse(run)
    a, b = run.names[:2]
    run.add("relations", _relations(a, b), {"tokens": 1000})
    run.finish()
    return kept


def _relations(a: str, b: str) -> dict[str, pl.DataFrame]:
    """Feature i of A and feature j of B, for j = i and j = i + 1 by table."""

    def table(other: str, shift: int) -> pl.DataFrame:
        rows = [
            (a, b, statistic, i, 1, i + shift, value + i / 100, 7)
            for statistic, value in (("jaccard", 0.1), ("pearson", 0.5))
            for i in range(40)
        ]
        names = ["a", "b", "statistic", "feature", "rank", other, "value", "together"]
        return pl.DataFrame(rows, schema=names, orient="row")

    return {"targets": table("target", 0), "sources": table("source", 1)}


def write_page(folder: Path) -> Path:
    """What a build of the page looks like."""
    (folder / "assets" / "fonts").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "favicon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "assets" / "index-1.js").write_text(SCRIPT)
    (folder / "assets" / "fonts" / "a.woff2").write_bytes(b"font")
    (folder / "notes.txt").write_text("not of the page")
    return folder


class World(NamedTuple):
    """A run, its page and the tables made of it."""

    run: Run
    places: places.Places


def write_world(root: Path) -> World:
    """All of it below a folder, with files beside it that nobody may read."""
    run = write_run(root)
    (root / "secret.parquet").write_bytes(b"secret")
    page, made = write_page(root / "page"), root / "made"
    made.mkdir()
    tables.make(run, made, tables.digest_of(run))
    return World(run, places.Places(page, run.path, made))


class Answer(NamedTuple):
    """What a server sent back."""

    status: int
    headers: dict[str, str]
    body: bytes


@contextmanager
def connection(port: int):
    """To a server of this machine."""
    made = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        yield made
    finally:
        made.close()


def ask(port: int, path: str, method: str = "GET", headers=None, over=None) -> Answer:
    """One request, its path as it stands; `headers` with the value None are left out."""
    wanted = {"Host": f"127.0.0.1:{port}", **(headers or {})}
    with connection(port) as own:
        link = over or own
        link.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in wanted.items():
            if value is not None:
                link.putheader(name, value)
        link.endheaders()
        got = link.getresponse()
        return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
