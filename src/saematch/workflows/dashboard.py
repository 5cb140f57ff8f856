"""`saematch.dashboard`: what each feature of a run does on text, in full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from numpy import ndarray
from torch import Tensor

from saematch.activations.massive import TIMES
from saematch.activations.store import ActivationStore
from saematch.checkpoints.sites import parse_hook
from saematch.dashboards.activity import LEVELS, OF_EACH, TOP, activity
from saematch.dashboards.agreement import agreement
from saematch.dashboards.logits import promoted
from saematch.dashboards.saved import Dashing
from saematch.dashboards.table import Sides
from saematch.dashboards.texts import TextSets
from saematch.dashboards.windows import windows
from saematch.errors import RunError, SaematchError
from saematch.models.jacobian import Jacobian
from saematch.models.language_model import LanguageModel
from saematch.models.texts import Long
from saematch.models.token_text import Pieces
from saematch.models.unembedding import Unembedding, unembedding, writes_to_stream
from saematch.progress import Progress, Step, log, silent, tracked
from saematch.runs.run import Run
from saematch.sae.sae import SAE, Site
from saematch.workflows.capture import capture_into
from saematch.workflows.from_model import FOLDER as EVIDENCE
from saematch.workflows.jacobians import Jacobians
from saematch.workflows.models import GivenModel, opened
from saematch.workflows.options import DtypeChoice
from saematch.workflows.relate import describe
from saematch.workflows.runs import GivenRun, loading, opened_run, warn_unfinished
from saematch.workflows.saes import Given, Saes
from saematch.workflows.tokens import StoredTokens

Stores = ActivationStore | str | Path


def dashboard(
    run: GivenRun,
    model: GivenModel | None = None,
    text: str | Path | Sequence[str | Path] = (),
    *,
    activations: Stores | Sequence[Stores] = (),
    carried: bool = False,
    examples: int = 200,
    length: int = 256,
    long: Long | None = None,
    seed: int = 0,
    batch_tokens: int = 8192,
    massive: float | None = TIMES,
    saes: Given | Sequence[Given] = (),
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Make a dashboard of every feature of a run.

    How strongly it fires how often, on each text set; contexts where it is strongest and of every
    strength below, with its activation at each token shown; with a model, the next tokens that it
    speaks for and against. And of each pair whether a feature and its target fire in the same
    contexts. Written to the run SAE by SAE; calling it again continues where it stopped.

    Args:
        run: a run or its directory.
        model: the model that its SAEs are of, as of `saematch.capture`.
        text: text sets to read with the model, as of `saematch.capture`; frequencies are told of
            each. What features do on them is kept in the run, under `evidence`.
        activations: in place of texts one or several stores that `saematch.capture` made of the
            run's SAEs, each of which is a text set; a model then gives logits alone.
        carried: also tell what a feature speaks for as it arrives at the last layer, by the model's
            mean Jacobian. It takes minutes for a model of some size.
        examples: how many to sample at random from each text set; 0 for all.
        length: maximum number of tokens of an example, BOS included.
        long: as of `saematch.capture`.
        seed: of the sample of examples, and of the contexts below the strongest.
        batch_tokens: number of tokens that the model reads at once.
        massive: as of `saematch.capture`.
        saes: those SAEs of the run that were given in memory when it was made.
        device: where to compute, as of `saematch.evaluate`.
        dtype: of the model's weights; as stored unless given.
        overwrite: discard dashboards of other texts.
        progress: called with a `Step` of `saematch.progress` as work proceeds; `print`
            will do.

    Returns:
        The run: `run.table("dashboards", NAME)` has the dashboards of an SAE.

    Raises:
        SaematchError: neither texts with a model nor stores are given, or both; a model, text or
            SAE that cannot be used; a model without next-token predictions.
        RunError: the run has dashboards made otherwise, or another program is writing to it; a
            store lacks an SAE, or is not finished.
    """
    run, tell, given = opened_run(run), progress or silent, Saes(saes, device)
    texts = [str(text)] if isinstance(text, (str, Path)) else [*map(str, text)]
    single = isinstance(activations, (ActivationStore, str, Path))
    stores = [activations] if single else [*activations]
    if bool(texts) == bool(stores) or (texts and model is None):
        raise SaematchError(
            "dashboards are of texts that a model reads (--model, --text), or of stores of "
            "activations (--activations): give the one or the other"
        )
    if carried and model is None:
        raise SaematchError("what features speak for is carried by a model: give it (--model)")
    if twice := next((some for some in texts if texts.count(some) > 1), None):
        raise SaematchError(f"the text {twice} is given twice")
    warn_unfinished(run)
    language = _Language(model, given.device, dtype)
    how: dict[str, Any] = {"examples": examples, "length": length, "long": long}
    reading = {**how, "batch_tokens": batch_tokens, "massive": massive, "dtype": dtype}
    with run.writing():
        if not texts:
            sets = [StoredTokens(store) for store in stores]
        else:
            load = loading(run, given)
            every = [load(name) for name in run.names]
            sets = []
            for k, some in enumerate(texts):
                place = run.path / EVIDENCE / "dashboards" / f"{k:02d}"
                options = {**reading, "seed": seed, "device": given.device, "progress": tell}
                store = capture_into(place, every, language.opened(), some, **options)
                sets.append(StoredTokens(store))
            del every
        _dashboards(run, sets, language, carried, seed, loading(run, given), overwrite, tell)
    return run


class _Language:
    """A model that is opened once it is needed."""

    def __init__(
        self, model: GivenModel | None, device: torch.device, dtype: DtypeChoice | None
    ) -> None:
        self._model, self._device = model, device
        self._dtype: DtypeChoice | None = dtype

    @property
    def name(self) -> str | None:
        model = self._model
        if model is None:
            return None
        return model.name if isinstance(model, LanguageModel) else str(model)

    def opened(self) -> LanguageModel:
        assert self._model is not None
        model = self._model = opened(self._model, self._device, self._dtype)
        return model


def _dashboards(
    run: Run,
    sets: list[StoredTokens],
    language: _Language,
    carried: bool,
    seed: int,
    load: Callable[[str], SAE],
    overwrite: bool,
    tell: Progress,
) -> None:
    names = {name: [some.name_of(run.sae(name)) for some in sets] for name in run.names}
    if empty := next((some for some in sets if not some.tokens), None):
        raise RunError(f"{empty.store.path} holds no tokens")
    texts = {
        name: TextSets([some.store for some in sets], called) for name, called in names.items()
    }
    asked = {
        "model": language.name,
        "texts": [
            {"name": title, "tokens": some.tokens, "examples": some.store.next_example}
            for title, some in zip(_titles(sets), sets, strict=True)
        ],
        "made_of": [some.options for some in sets],
        "options": {
            "carried": carried,
            "seed": seed,
            "contexts": TOP,
            "levels": LEVELS,
            "of_each": OF_EACH,
        },
    }
    dashing = Dashing(run, asked, overwrite)
    missing = dashing.missing
    reads = _Logits(run, language, carried, tell) if language.name and missing else None
    done = len(run.names) - len(missing)
    for name in tracked(missing, tell, "making dashboards", len(run.names), done):
        logits: Sides = {}
        words: dict[int, str] = {}
        if reads is not None:
            logits, words = reads.of(load(name), name)
        found = activity(texts[name], seed)
        shown = windows(texts[name], found.places)
        dashing.add(name, found, shown, texts[name].tokens, logits, words)
    if pairs := dashing.missing_pairs:
        tell(Step("comparing contexts", 0, None))
        places = {name: dashing.places(name) for name in {name for pair in pairs for name in pair}}
        targets = {pair: _targets(run.pair(*pair)) for pair in pairs}
        dashing.add_agreement(agreement(targets, places, texts))
    describe(run, sets[0])


class _Logits:
    """What features speak for and against, as the page shows it."""

    def __init__(self, run: Run, language: _Language, carried: bool, tell: Progress) -> None:
        self._model = language.opened()
        self._head: Unembedding = unembedding(self._model)
        self._pieces = Pieces(self._model.tokenizer)
        self._jacobians: Jacobians | None = None
        if carried:
            last = Site(self._head.last, "resid_post", int(self._head.last.split(".")[1]))
            self._last = last
            written = [self._written(run.sae(name).site) for name in run.names]
            ends = [(site, last) for site in written if site is not None]
            self._jacobians = Jacobians(self._model.name, lambda: self._model, self._model.device)
            self._jacobians.prepare(ends, run.path / EVIDENCE / "jacobians", tell)

    def of(self, sae: SAE, name: str) -> tuple[Sides, dict[int, str]]:
        """Tokens and logits, and the texts of those tokens; none where the SAE's decoder rows are
        no directions of the residual stream.
        """
        site = self._written(sae.conventions.site)
        if site is None or sae.d_out != self._head.d:
            log.warning(
                f"{name} does not write to the residual stream of {self._model.name}: its features "
                "have no logits"
            )
            return {}, {}
        rows = sae.W_dec.detach().to(self._head.weight.device).float()
        # features with weights that are no numbers speak for nothing
        rows = torch.where(rows.isfinite().all(1, keepdim=True), rows, 0)
        found = self._sides(rows, "logits")
        if self._jacobians is not None:
            found |= self._sides(self._carried(rows, site), "carried")
        ids = {int(i) for side, _ in found.values() for i in side.ravel()}
        return found, {i: self._pieces([i])[0] for i in sorted(ids)}

    def _sides(self, rows: Tensor, kind: str) -> dict[str, tuple[ndarray, ndarray]]:
        its = promoted(self._head, rows)
        return {
            f"{kind}_top": (its.top.cpu().numpy(), its.top_logits.cpu().numpy()),
            f"{kind}_bottom": (its.bottom.cpu().numpy(), its.bottom_logits.cpu().numpy()),
        }

    def _carried(self, rows: Tensor, site: Site) -> Tensor:
        assert self._jacobians is not None
        jacobian: Jacobian | None = self._jacobians.between_sites(site, self._last)
        return rows if jacobian is None else jacobian.carried(rows)

    def _written(self, site: Site | None) -> Site | None:
        """Where an SAE of that site adds to the residual stream, or stands in for it."""
        hook = None if site is None else writes_to_stream(self._model, site)
        return None if hook is None else parse_hook(hook)


def _targets(pair: pl.DataFrame) -> ndarray:
    return pair["target"].fill_null(-1).to_numpy()


def _titles(sets: list[StoredTokens]) -> list[str]:
    """What each text set is called; those of one name are numbered."""
    plain = [", ".join(some.store.record.texts.get("from", ())) or "texts" for some in sets]
    return [
        f"{title} ({plain[:k].count(title) + 1})" if plain.count(title) > 1 else title
        for k, title in enumerate(plain)
    ]
