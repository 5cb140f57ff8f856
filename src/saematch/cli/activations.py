"""`saematch activations SAE...`: what features do on text, kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saematch.cli.options import SiteOption

if TYPE_CHECKING:
    from numpy import ndarray

    from saematch.activations.store import ActivationStore
    from saematch.models.language_model import LanguageModel
    from saematch.models.texts import Examples
    from saematch.sae.sae import SAE

SAES = "SAEs of one model, in any order: names, patterns or a folder, as for saematch flow."
TEXTS = (
    "What to read, again for more: saematch:texts (or prose, code, reference), openwebtext, "
    "wikitext, github, hub:NAME, a .txt, .jsonl or .parquet file, or a folder of them; written: by "
    "the model itself."
)


def activations(
    saes: Annotated[list[str], typer.Argument(metavar="SAE...", help=SAES)],
    model: Annotated[
        str, typer.Option(help="A Hugging Face model or its folder; saematch:model ships.")
    ],
    text: Annotated[list[str], typer.Option(help=TEXTS)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    examples: Annotated[
        int, typer.Option(min=0, help="Drawn at random from each text set; 0 for all.")
    ] = 100,
    length: Annotated[
        int,
        typer.Option(
            min=2,
            help="Tokens of an example, BOS included, at most; the model's own limit holds too.",
        ),
    ] = 1024,
    long: Annotated[
        str | None,
        typer.Option(
            help="Of texts longer than an example: split makes several, truncate keeps the first. "
            "Unless given, truncate for what ships and the data sets of SAE Match, else split."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random draw.")] = 0,
    batch_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens that the model reads at once.")
    ] = 8192,
    site: SiteOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    dtype: Annotated[
        str | None,
        typer.Option(help="Of the model: float32, bfloat16, ...; as stored unless given."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard other activations in the folder.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but the folder.")
    ] = False,
) -> None:
    """Run a language model over text, and keep what the features of SAEs do, token by token.

    For saematch match and flow with --activations, and saematch relate. Says how much disk it will
    take before it starts; the same call again goes on where it stopped.
    """
    from saematch.activations.capturing import notes as notes_of
    from saematch.activations.forecast import check_room, forecast
    from saematch.activations.store import ActivationStore
    from saematch.activations.store_manifest import CACHE
    from saematch.checkpoints import expand
    from saematch.cli.console import output
    from saematch.cli.work import known_long, load_all, open_quietly, pick_device, written
    from saematch.errors import SaematchError
    from saematch.models.texts import WRITTEN, digest, examples_of, open_texts
    from saematch.models.token_text import Pieces
    from saematch.runs.names import names_of

    on = pick_device(device)
    names = [name for pattern in saes for name in expand(pattern)]
    for given, what in ((names, "SAE"), (text, "text")):
        if twice := next((some for some in given if given.count(some) > 1), None):
            raise SaematchError(f"the {what} {twice} is given twice")
    if WRITTEN in text and not examples:
        raise SaematchError(
            "--examples 0 takes all texts that there are; of written text say how many"
        )
    loaded = load_all(names, on, quiet, site)
    called = dict(zip(names_of(loaded), loaded, strict=True))
    found = [open_texts(spec, n=examples or None, seed=seed) for spec in text if spec != WRITTEN]
    language_model = open_quietly(model, on, dtype)
    # what cannot be captured is no reason to touch the folder
    language_model.hooks_of(called)
    how = {"n": examples or None, "seed": seed, "long": known_long(long)}
    limits = length, language_model.max_tokens
    found = [examples_of(some, language_model.tokenizer, *limits, **how) for some in found]
    ids, notes = _once(found)
    if WRITTEN in text:
        ids += written(language_model, examples, length, seed, quiet)
    tokens = sum(len(e) - 1 for e in ids)
    expected = forecast(called, tokens)
    if not quiet:
        console = output()
        for note in dict.fromkeys([*notes, *notes_of(language_model, called)]):
            console.print(f"Note: {note}", soft_wrap=True)
        console.print(f"{len(ids):,} examples, about {expected} on disk")
    check_room(out, 0 if (out / CACHE).is_file() else expected.bytes)
    store = ActivationStore.create(
        out,
        model=language_model.name,
        texts={
            "from": text,
            "examples": examples,
            "length": length,
            "seed": seed,
            **({"long": long} if long else {}),
            "digest": digest(ids),
        },
        saes=called,
        options={"dtype": dtype, "batch_tokens": batch_tokens},
        pieces=Pieces(language_model.tokenizer).of_example,
        overwrite=overwrite,
    )
    _fill(store, language_model, called, ids, quiet)
    if quiet:
        typer.echo(out)
    else:
        _report(store)


def _once(found: list[Examples]) -> tuple[list[ndarray], list[str]]:
    """Every example once, for one that is counted twice would look like two; and all notes."""
    notes = [note for some in found for note in some.notes]
    every = [example for some in found for example in some.ids]
    once = {example.tobytes(): example for example in every}
    if len(once) < len(every):
        notes.append(f"{len(every) - len(once):,} examples that were there before are left out")
    return list(once.values()), notes


def _fill(
    store: ActivationStore,
    model: LanguageModel,
    saes: dict[str, SAE],
    examples: list[ndarray],
    quiet: bool,
) -> None:
    from saematch.activations.describe import keep_features
    from saematch.cli.console import progress

    if store.finished is None:
        _capture(store, model, saes, examples, quiet)
    if store.n_tokens == 0:
        return
    with progress(quiet) as bar:
        for name in bar.track(store.names, description="finding contexts"):
            keep_features(store, name)


def _capture(
    store: ActivationStore,
    model: LanguageModel,
    saes: dict[str, SAE],
    examples: list[ndarray],
    quiet: bool,
) -> None:
    from saematch.activations.capturing import capture
    from saematch.cli.console import progress

    done, batch_tokens = store.next_example, store.record.options["batch_tokens"]
    with progress(quiet) as bar:
        task = bar.add_task("reading texts", total=len(examples), completed=done)
        for batch in capture(model, saes, examples, batch_tokens=batch_tokens, start=done):
            store.add(batch)
            bar.update(task, completed=store.next_example)
    store.finish()


def _report(store: ActivationStore) -> None:
    from rich.filesize import decimal
    from rich.table import Table

    from saematch.cli.console import output

    console = output()
    table = Table("SAE", "features", "L0", "never fired", box=None, pad_edge=False)
    for name in store.names:
        width, counts = store.sae(name).d_sae, store.counts(name)
        l0 = counts.sum() / max(1, store.n_tokens)
        table.add_row(name, f"{width:,}", f"{l0:.1f}", f"{(counts == 0).mean():.1%}")
    console.print(table)
    console.print(
        f"{store.n_tokens:,} tokens, {decimal(store.bytes)} in {store.path}", soft_wrap=True
    )
