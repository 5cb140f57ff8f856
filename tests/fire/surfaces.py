"""Everything else that reads: tables, texts, runs, stores, models, names; and commands.

A surface is one function: it gets the folder of an input, reads it as a user would, and returns
what is wrong with the result. A command's surface returns nothing: the engine judges its exit.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

from fire.checks import sound
from fire.registry import Target, surface
from fire.seeds import command

FEATURES = 48  # of the stand-ins
NAMES = tuple(f"resid_post_{layer}" for layer in range(3))
RUN_TABLES = tuple(
    Target(f"run/{place}.parquet", "parquet", FEATURES)
    for place in (
        "pairs/resid_post_0--resid_post_1",
        "candidates/resid_post_0--resid_post_1",
        "sources/resid_post_0--resid_post_1",
        "nulls/resid_post_0--resid_post_1",
        "features/resid_post_1",
        "contexts/resid_post_1",
        "flow/tracks",
        "flow/edges",
    )
)
RUN = (Target("run/run.json", "json", FEATURES), *RUN_TABLES)
STORE = (
    Target("store/cache.json", "json", FEATURES),
    Target("store/resid_post_1/00000.parquet", "parquet", FEATURES),
    Target("store/tokens/00000.parquet", "parquet", FEATURES),
)


class CommandError(Exception):
    """A command ended with this status; the engine looks at what it printed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def typed(*arguments: str) -> None:
    if status := command(*arguments):
        raise CommandError(status)


@surface("features", "saes", Target("saes/resid_post_0/features.parquet", "parquet", FEATURES))
def _(folder: Path) -> str | None:
    import saematch
    from saematch.sae.contexts import features_of

    frame = features_of(saematch.load(folder / "saes" / "resid_post_0"))
    if frame is None:
        there = os.path.lexists(folder / "saes" / "resid_post_0" / "features.parquet")
        return "a table that is there is not seen" if there else None
    numbers = frame.select("frequency", "mean_activation", "max_activation").to_numpy()
    return None if not (abs(numbers) == float("inf")).any() else "infinite activations"


for _suffix, _kind in ((".txt", "text"), (".jsonl", "jsonl"), (".parquet", "parquet")):

    @surface(f"texts{_suffix}", "texts", Target(f"a{_suffix}", _kind))
    def _(folder: Path, suffix: str = _suffix) -> str | None:
        from saematch.models.texts import open_texts

        texts = open_texts(str(folder / f"a{suffix}"), n=None).texts
        "".join(text.text + text.source for text in texts).encode()
        return None if texts else "no text, and no word of it"


@surface("run", "run", *RUN)
def _(folder: Path) -> str | None:
    from saematch import Run
    from saematch.layers import Layers

    run = Run.open(folder / "run")
    layers = Layers.of(run)
    for a, b in run.pairs:
        pair = layers.pairs[a, b]
        partner = pair.partner
        if len(partner) != layers.features[a] or partner.max(initial=-1) >= layers.features[b]:
            return f"partners beyond the {layers.features[b]} features of {b}"
        for read in (run.candidates, run.sources, run.null, run.notes):
            read(a, b)
    for name in run.names:
        run.features(name)
        run.contexts(name)
    for name in run.tables("flow"):
        run.table("flow", name)
    return None


@surface("trace", "run", *RUN)
def _(folder: Path) -> None:
    typed("trace", "run", "resid_post_1", "3")


@surface("trace.graphml", "run", *RUN)
def _(folder: Path) -> None:
    typed("trace", "run", "resid_post_1", "3", "--export", "a.graphml")


@surface("changes", "run", *RUN)
def _(folder: Path) -> None:
    typed("changes", "run", "resid_post_1", "--export", "a.csv")


@surface("plot", "run", *RUN)
def _(folder: Path) -> None:
    typed("plot", "run")


@surface("explore", "run", *RUN)
def _(folder: Path) -> None:
    typed("explore", "run", "--export", "site")


@surface("flow.again", "run", *RUN)
def _(folder: Path) -> None:
    typed("flow", *(f"saes/{name}" for name in NAMES), "-o", "run", "--quiet")


@surface(
    "related",
    "run",
    Target("related/run.json", "json", FEATURES),
    Target("related/relations/targets.parquet", "parquet", FEATURES),
)
def _(folder: Path) -> None:
    typed("explore", "related", "--export", "site")


@surface("store", "run", *STORE)
def _(folder: Path) -> str | None:
    import numpy as np

    from saematch.activations.store import ActivationStore

    store = ActivationStore.open(folder / "store")
    for name in store.names:
        counts, found = store.counts(name), store.activations(name)
        if not np.isfinite(found.matrix.data).all():
            return "activations that are not finite"
        if found.matrix.shape != (store.n_tokens, len(counts)):
            return f"{found.matrix.shape} activations of {store.n_tokens} tokens"
    return None


@surface("relate", "run", *STORE, RUN[0], RUN_TABLES[0])
def _(folder: Path) -> None:
    typed("relate", "run", "--activations", "store", "--quiet")


@surface("match.activations", "run", *STORE)
def _(folder: Path) -> None:
    where = [f"saes/{name}" for name in NAMES[:2]]
    typed("match", *where, "--activations", "store", "-o", "new", "--quiet")


_SAE = "saes/resid_post_0"


@surface(
    "match",
    "saes",
    Target(f"{_SAE}/cfg.json", "json", FEATURES),
    Target(f"{_SAE}/sae_weights.safetensors", "safetensors", FEATURES, weights=True),
    Target(f"{_SAE}/features.parquet", "parquet", FEATURES),
)
def _(folder: Path) -> str | None:
    from saematch import Run

    typed("match", _SAE, "saes/resid_post_1", "-o", "new", "--quiet")
    run = Run.open("new")
    pair = run.pair(*run.pairs[0])
    targets = pair["target"].drop_nulls().to_list()
    return None if len(set(targets)) == len(targets) else "two features share a target"


@surface("inspect", "saes", Target(f"{_SAE}/cfg.json", "json", FEATURES))
def _(folder: Path) -> None:
    typed("inspect", _SAE)


@surface("graph", "graph", Target("out/graph-metadata.json", "json"), Target("out/a.json", "json"))
def _(folder: Path) -> None:
    typed("trace", "run", "resid_post_1", "4", "--export", "out/b.json")


@surface("export", "export", Target("site/saematch-export.json", "json"))
def _(folder: Path) -> None:
    typed("explore", "run", "--export", "site", "--overwrite")


_REPO = "hub/models--google--gemma-scope-2b-pt-res"
_COMMIT = "a" * 40


@surface(
    "hub",
    "hub",
    Target(f"{_REPO}/refs/main", "text"),
    Target(f"{_REPO}/snapshots/{_COMMIT}/layer_3/width_4/average_l0_7/params.npz", "npz", 40, True),
)
def _(folder: Path) -> str | None:
    from huggingface_hub import constants

    import saematch

    constants.HF_HUB_CACHE = str(folder / "hub")
    repo = "google/gemma-scope-2b-pt-res"
    return sound(saematch.load(f"{repo}/layer_3/width_4/average_l0_7"))


@surface(
    "model",
    "model",
    Target("model/config.json", "json"),
    Target("model/tokenizer.json", "json"),
    Target("model/tokenizer_config.json", "json"),
    Target("model/generation_config.json", "json"),
    Target("model/model.safetensors", "safetensors"),
)
def _(folder: Path) -> str | None:
    import torch

    from saematch.models.opening import open_model

    model = open_model(str(folder / "model"))
    ids = torch.tensor([[0, 5, 9, 11]])
    site = "blocks.1.hook_resid_post"
    found = model.run(ids, [site])[site]
    return None if found.shape[:2] == (1, 4) else f"hidden states of shape {tuple(found.shape)}"


@surface("name.load", "none", Target("name", "name"))
def _(folder: Path) -> str | None:
    import saematch

    return sound(saematch.load(typed_name(folder / "name")))


@surface("name.expand", "none", Target("pattern", "name"))
def _(folder: Path) -> str | None:
    import saematch

    found = saematch.expand(typed_name(folder / "pattern"))
    return None if len(found) < 100_000 else f"{len(found)} names"


@surface("name.texts", "none", Target("texts", "name"))
def _(folder: Path) -> str | None:
    from saematch.models.texts import open_texts

    return None if open_texts(typed_name(folder / "texts")).texts else "no texts"


@surface("name.model", "none", Target("name", "name"))
def _(folder: Path) -> str | None:
    from saematch.models.opening import open_model

    open_model(typed_name(folder / "name"))
    return None


@surface("name.run", "none", Target("name", "name"))
def _(folder: Path) -> None:
    typed("match", "saematch:resid_post_1", typed_name(folder / "name"), "-o", "new", "-q")


def typed_name(path: Path) -> str:
    """A name as it was typed, lone surrogates and all."""
    return path.read_bytes().decode("utf-8", "surrogatepass")


def neighbours() -> list[tuple[str, str]]:
    """The pairs of the seed's run."""
    return list(pairwise(NAMES))
