"""Small valid inputs: each a folder, made by a function of that folder, and made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch

SEEDS: dict[str, Callable[[Path], None]] = {}
EXAMPLES, LENGTH = 12, 10  # of the store


def seed(name: str):
    """Decorator: a function that fills a new folder. What it takes from others lies beside it."""

    def keep(make: Callable[[Path], None]):
        SEEDS[name] = make
        return make

    return keep


def build(name: str, root: Path) -> Path:
    """The folder of a seed, made unless it is there."""
    folder = root / name
    if not folder.is_dir():
        partial = root / f"{name}.making"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        SEEDS[name](partial)
        partial.rename(folder)
    return folder


def stand(folder: Path) -> Path:
    """Seven small SAEs with features.parquet, in `saes`."""
    from support.stand_in import write_shipped

    return write_shipped(folder) / "saes"


def command(*arguments: str) -> int:
    """The command line in this process; its exit status."""
    import sys

    from saematch.cli import main

    sys.argv = ["saematch", *arguments]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def must(*arguments: str) -> None:
    """A command that has to succeed."""
    if status := command(*arguments):
        raise RuntimeError(f"{' '.join(arguments)} ended with {status}")


@seed("saes")
def _saes(folder: Path) -> None:
    stand(folder)


@seed("run")
def _run(folder: Path) -> None:
    """A run of three layers with flow, and a store of what their features do on made-up text."""
    saes = stand(folder)
    for name in ("resid_pre_0", "resid_post_3", "resid_post_3_seed2", "resid_post_4"):
        shutil.rmtree(saes / name)
    shutil.rmtree(saes / "resid_post_5")
    layers = [str(saes / f"resid_post_{layer}") for layer in range(3)]
    import os

    os.chdir(folder)
    layers = [f"saes/resid_post_{layer}" for layer in range(3)]
    must("flow", *layers, "-o", "run", "--quiet")
    write_store(folder / "store", layers)
    shutil.copytree("run", "related")
    must("relate", "related", "--activations", "store", "--quiet")


def write_store(path: Path, names: list[str]) -> None:
    """A store of the activations of SAEs on made-up tokens."""
    import scipy.sparse as sp

    import saematch
    from saematch.activations import FeatureActivations
    from saematch.activations.batch import Batch
    from saematch.activations.store import ActivationStore

    saes = {name.rsplit("/", 1)[-1]: saematch.load(name) for name in names}
    texts = {"name": "made up", "n": EXAMPLES, "seed": 0}
    store = ActivationStore.create(path, model="toy", texts=texts, saes=saes, shard_tokens=40)
    rng = np.random.default_rng(3)
    place = np.arange(EXAMPLES * LENGTH)
    example = (place // LENGTH).astype(np.int32)
    found = {}
    for name, sae in saes.items():
        often = rng.random((len(place), sae.d_sae)) < 0.2
        values = (rng.gamma(2.0, 1.0, often.shape) * often).astype(np.float32)
        found[name] = FeatureActivations(sp.csr_array(values), example)
    position = (1 + place % LENGTH).astype(np.int32)
    store.add(Batch(found, (place % 7).astype(np.int32), example, position))
    store.finish()


@seed("texts")
def _texts(folder: Path) -> None:
    import json

    texts = [f"The {n} rivers run to the sea, and {n + 1} come back." for n in range(6)]
    (folder / "a.txt").write_text("\n\n".join(texts), encoding="utf-8")
    rows = [json.dumps({"text": text, "source": "made up", "year": 1813}) for text in texts]
    (folder / "a.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    pl.DataFrame({"text": texts, "year": [1813] * 6}).write_parquet(folder / "a.parquet")


@seed("model")
def _model(folder: Path) -> None:
    from saematch.sae import shipped

    shutil.copytree(shipped.folder() / "model", folder / "model")


@seed("hub")
def _hub(folder: Path) -> None:
    from checkpoints.hub_cache import Cache

    Cache(folder).save("layer_3/width_4/average_l0_7")


@seed("none")
def _none(folder: Path) -> None:
    (folder / "name").write_text("saematch:resid_post_3")
    (folder / "pattern").write_text("layer_{0-3}/width_{4,8}")
    (folder / "texts").write_text("saematch:prose")
    (folder / "hook").write_text("blocks.3.hook_resid_post")


@seed("graph")
def _graph(folder: Path) -> None:
    import os

    shutil.copytree(folder.parent / "run" / "run", folder / "run")
    os.chdir(folder)
    must("trace", "run", "resid_post_1", "3", "--export", "out/a.json")


@seed("export")
def _export(folder: Path) -> None:
    import os

    shutil.copytree(folder.parent / "run" / "run", folder / "run")
    os.chdir(folder)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    must("explore", "run", "--export", "site")


def random_tensors(generator: torch.Generator, d_in: int, d_sae: int) -> dict[str, torch.Tensor]:
    """Weights in canonical form, by role."""

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "W_enc": draw(d_in, d_sae),
        "W_dec": draw(d_sae, d_in),
        "b_enc": draw(d_sae),
        "b_dec": draw(d_in),
        "threshold": draw(d_sae).abs() + 0.1,
    }
