"""`saematch.capture`: what features do on text, kept on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy import ndarray

from saematch.activations.capturing import capture as capture_batches
from saematch.activations.capturing import notes as notes_of
from saematch.activations.capturing import spans
from saematch.activations.describe import keep_features
from saematch.activations.forecast import check_room, forecast
from saematch.activations.massive import TIMES, checked_times, norm_limits
from saematch.activations.store import ActivationStore
from saematch.activations.store_manifest import CACHE
from saematch.errors import RunError, SaematchError
from saematch.files.share import Share
from saematch.models.language_model import LanguageModel
from saematch.models.texts import GENERATED, Examples, Long, digest, examples_of, open_texts
from saematch.models.token_text import Pieces
from saematch.progress import Progress, Step, log, silent, tracked
from saematch.runs.names import names_of
from saematch.sae.sae import SAE, Site
from saematch.workflows.capture_tasks import Reader, passes_by
from saematch.workflows.folders import written
from saematch.workflows.models import GivenModel, NamedModel, generated, opened
from saematch.workflows.options import DtypeChoice
from saematch.workflows.pair_tasks import named_saes
from saematch.workflows.saes import Given, Saes
from saematch.workflows.worker_clusters import opened_workers

if TYPE_CHECKING:
    from saematch.workflows.worker_clusters import GivenWorkers
    from saematch.workflows.workers import Workers

FIRST = 32  # examples whose median norm is taken


def capture(
    saes: Given | Sequence[Given],
    model: GivenModel,
    text: str | Path | Sequence[str | Path],
    *,
    examples: int = 100,
    length: int = 1024,
    long: Long | None = None,
    seed: int = 0,
    batch_tokens: int = 8192,
    massive: float | None = TIMES,
    site: str | Site | None = None,
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    workers: GivenWorkers | None = None,
    shard: str | None = None,
    progress: Progress | None = None,
) -> ActivationStore:
    """Run a language model over text, and keep what the features of SAEs do, token by token.

    The result is what `saematch.match`, `saematch.flow` and `saematch.relate` take as
    `activations`. Calling it again with the same directory continues where it stopped.

    Args:
        saes: SAEs of one model in any order, as of `saematch.flow`; all are in memory.
        model: the name of a Hugging Face model, its folder, `saematch:model` for the one that is
            shipped, or a model of `saematch.models.open_model`.
        text: one or several of `saematch:texts` (or `prose`, `code`, `reference`), `openwebtext`,
            `wikitext`, `github`, `hub:NAME`, a .txt, .jsonl or .parquet file, a folder of them, or
            `generated`: text that the model generates itself.
        examples: how many to sample at random from each text set; 0 for all.
        length: maximum number of tokens of an example, BOS included; the model's own limit holds
            too.
        long: what becomes of texts longer than an example: `split` makes several, `truncate` keeps
            the first. Unless given, truncate for shipped texts and the data sets of SAE Match, else
            split.
        seed: of the random sample.
        batch_tokens: number of tokens that the model reads at once.
        massive: in a token whose hidden state, at any hook point of the SAEs, has more than this
            many times the median norm no feature counts as active, as in BOS; 0 counts all.
        site: where SAEs given by name read, as of `saematch.load`.
        device: where to compute; `auto`: where an SAE in memory lies, else a GPU if there is one.
        dtype: of the model's weights; as stored unless given.
        out: the folder; None for a temporary one, which is removed when the store is no longer
            used, at the latest when the process ends.
        overwrite: discard other activations in the folder.
        workers: read texts in other processes, on a Dask cluster, as of `saematch.flow`: each reads
            the model and all the SAEs, which are given by name, and takes a few examples at a time.
        shard: `K/N`: read the K-th of N parts of the texts alone, into the folder `shards` of the
            store; `saematch.merge` puts all parts together. Returns the part's own store.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Raises:
        SaematchError: an SAE, model or text that cannot be used.
        RunError: the folder holds something else, another program is writing to it, or the disk has
            no room.
    """
    massive = checked_times(massive)
    share = None if shard is None else Share.parsed(shard)
    folder = out if share is None else share.place(out, "capture")
    tell, given = progress or silent, Saes(saes, device, site)
    texts = [str(text)] if isinstance(text, (str, Path)) else [str(some) for some in text]
    given.check_once()
    if twice := next((some for some in texts if texts.count(some) > 1), None):
        raise SaematchError(f"the text {twice} is given twice")
    if GENERATED in texts and not examples:
        raise SaematchError(
            "examples=0 (--examples 0) takes all texts that there are; say how many the model is "
            "to generate"
        )
    loaded = list(given.read(tell))
    called = dict(zip(names_of(loaded), loaded, strict=True))
    found = [open_texts(spec, n=examples or None, seed=seed) for spec in texts if spec != GENERATED]
    reader = None
    if workers is not None:
        named = zip(called, named_saes(given), strict=True)
        reader = Reader(NamedModel.of(model, device, dtype), tuple(named))
    language = opened(model, given.device, dtype)
    # what cannot be captured is no reason to touch the folder
    language.hooks_of(called)
    how = {"n": examples or None, "seed": seed, "long": long}
    limits = length, language.max_tokens
    found = [examples_of(some, language.tokenizer, *limits, **how) for some in found]
    ids, notes = _once(found)
    if GENERATED in texts:
        ids += generated(language, examples, length, seed, tell)
    mine = range(len(ids)) if share is None else _part(share, ids, batch_tokens)
    expected = forecast(called, sum(len(e) - 1 for e in ids[mine.start : mine.stop]))
    for note in dict.fromkeys([*notes, *notes_of(language, called)]):
        log.warning(note)
    log.info(f"{len(mine):,} examples, about {expected} on disk")
    if folder is not None:
        check_room(Path(folder), 0 if (Path(folder) / CACHE).is_file() else expected.bytes)
    store = written(
        folder,
        lambda path: ActivationStore.create(
            path,
            model=language.name,
            texts={
                "from": texts,
                "examples": examples,
                "length": length,
                "seed": seed,
                **({"long": long} if long else {}),
                "digest": digest(ids),
            },
            saes=called,
            options={
                "dtype": dtype,
                "batch_tokens": batch_tokens,
                **({"massive": massive} if massive else {}),
            },
            pieces=Pieces(language.tokenizer).of_example,
            overwrite=overwrite,
            shard=None if share is None else share.record("capture", examples=len(ids)),
        ),
    )
    if store.finished is None:
        with opened_workers(workers) as crew:
            _fill(store, language, called, ids, mine, massive, tell, crew, reader)
    if share is None:
        described(store, tell)
    return store


def described(store: ActivationStore, progress: Progress) -> None:
    """Keep in a whole store what its features fire on."""
    if store.n_tokens:
        for name in tracked(store.names, progress, "finding contexts", len(store.names)):
            keep_features(store, name)


def _part(share: Share, examples: Sequence[ndarray], batch_tokens: int) -> range:
    """The examples of a shard: whole batches, so that the model reads them as it would alone."""
    mine = share.block(spans(examples, batch_tokens))
    if not mine:
        log.warning(f"shard {share} has nothing to do: all examples are read in fewer batches")
        return range(0)
    return range(mine[0].start, mine[-1].stop)


def _once(found: list[Examples]) -> tuple[list[ndarray], list[str]]:
    """Every example once, for one that is counted twice would look like two; and all notes."""
    notes = [note for some in found for note in some.notes]
    every = [example for some in found for example in some.ids]
    once = {example.tobytes(): example for example in every}
    if len(once) < len(every):
        notes.append(f"{len(every) - len(once):,} repeated examples are left out")
    return list(once.values()), notes


def _fill(
    store: ActivationStore,
    model: LanguageModel,
    saes: Mapping[str, SAE],
    examples: list[ndarray],
    mine: range,
    massive: float | None,
    progress: Progress,
    workers: Workers,
    reader: Reader | None,
) -> None:
    first, every, batch_tokens = mine.start, len(mine), store.record.options["batch_tokens"]
    start = max(first, store.next_example)
    progress(Step("reading texts", start - first, every))
    limits = {}
    if massive and examples:
        hooks = list(dict.fromkeys(model.hooks_of(saes).values()))
        limits = norm_limits(model, hooks, examples[:FIRST], massive, batch_tokens)
    left_out = tokens = 0
    passes = None if reader is None else passes_by(workers, reader, limits)
    some = examples[: mine.stop]
    for batch in capture_batches(model, saes, some, batch_tokens, start, limits, passes):
        store.add(batch)
        left_out, tokens = left_out + batch.massive, tokens + batch.n_tokens
        progress(Step("reading texts", max(first, store.next_example) - first, every))
    if left_out:
        log.warning(
            f"{left_out:,} of {tokens:,} tokens have massive activations, more than {massive:g} "
            "times the median norm; no feature counts as active there (--massive 0 counts them)"
        )
    store.finish()


def capture_into(place: Path, *given: Any, **options: Any) -> ActivationStore:
    """The store that `capture` makes in a folder of a run's own.

    One that was made alike is continued or taken as it is; one that was made otherwise is
    discarded.

    Raises:
        SaematchError, RunError: as of `capture`.
    """
    try:
        return capture(*given, out=place, **options)
    except RunError:
        return capture(*given, out=place, overwrite=True, **options)
