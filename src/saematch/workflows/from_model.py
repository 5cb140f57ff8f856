"""What a model tells of its SAEs where nothing but the model is at hand.

Its mean Jacobians say how what features write and read goes from one hook point to another, and
text that it generates itself shows which features fire together. Both are kept inside the run, so
that a call that was interrupted, or asks for more pairs, goes on from there.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from saematch.activations.store import ActivationStore
from saematch.errors import MatchError, RunError
from saematch.matching.methods import Method
from saematch.models.hook_points import site_of
from saematch.models.jacobian import Jacobian
from saematch.models.language_model import LanguageModel
from saematch.models.texts import GENERATED
from saematch.progress import Progress
from saematch.runs.run import Run
from saematch.sae.sae import SAE
from saematch.workflows.capture import capture_into
from saematch.workflows.jacobians import OF, Jacobians
from saematch.workflows.models import GivenModel, opened
from saematch.workflows.saes import Saes
from saematch.workflows.tokens import Both, PairEvidence, StoredTokens

FOLDER = "evidence"  # inside a run
TOKENS = 16_384  # of each text
LENGTH = 256  # of an example


class FromModel:
    """Evidence that a model gives: Jacobians between hook points, and activations on text.

    Args:
        model: the model, or its name or folder.
        method: what the evidence is for: only what is of use to it is gathered.
        text: texts to read, as of `saematch.capture`; text that the model generates unless given.
        tokens: about how many of each text.
        stored: activations that were captured before, in place of text.

    Raises:
        MatchError: the method uses weights as they are, so that a model is of no use to it; or
            texts are given beside stored activations.
    """

    def __init__(
        self,
        model: GivenModel,
        method: Method,
        text: Sequence[str | Path] = (),
        tokens: int | None = None,
        stored: StoredTokens | None = None,
    ) -> None:
        if not method.learns and not method.needs_activations:
            raise MatchError(
                f"method {method.name!r} compares weights as they are: omit the model (--model), "
                "or choose fused or carried"
            )
        if text and (stored is not None or not method.needs_activations):
            what = "activations are given" if stored is not None else f"{method.name} reads no text"
            raise MatchError(f"text (--text) says what is to be read, but {what}")
        self._model: GivenModel = model
        self._text = ([*map(str, text)] or [GENERATED]) if method.needs_activations else []
        self._tokens, self._given = tokens or TOKENS, stored
        self._carries = method.learns
        self._stored = stored
        self._jacobians: Jacobians | None = None

    @property
    def name(self) -> str:
        """What the model is called."""
        return self._model.name if isinstance(self._model, LanguageModel) else str(self._model)

    @property
    def reads_text(self) -> bool:
        """Whether it reads text itself, for want of stored activations."""
        return self._given is None and bool(self._text)

    @property
    def options(self) -> dict[str, Any]:
        """What the evidence is made of, as plain values, for a run."""
        found: dict[str, Any] = {"model": self.name}
        if self._given is not None:
            found["activations"] = self._given.options
        elif self._text:
            found |= {"text": self._text, "tokens": self._tokens, "length": LENGTH}
        if self._carries:
            found["jacobians"] = OF
        return found

    def prepare(
        self, run: Run | None, saes: Saes, pairs: Sequence[tuple[int, int]], progress: Progress
    ) -> None:
        """Gather what is missing for pairs of SAEs, given by their places.

        Raises:
            SaematchError: the model cannot be opened, or the SAEs are not its own.
            RunError: a folder of the run cannot be used.
        """
        if not pairs:
            return
        folder = self._folder(run)
        if self._stored is None and self._text:
            self._stored = StoredTokens(self._captured(run, saes, folder / "activations", progress))
        if self._stored is not None and run is not None:
            self._stored.prepare(run, saes, pairs, progress)
        if self._carries:
            sites = {k: site_of(saes[k]) for k in sorted({k for pair in pairs for k in pair})}
            ends = [(sites[a], sites[b]) for a, b in pairs]
            self._jacobians = Jacobians(self.name, lambda: self._opened(saes), saes.device)
            self._jacobians.prepare(ends, folder / "jacobians", progress)

    def both(self, a: SAE, b: SAE) -> Both | None:
        """Activations of two SAEs."""
        return None if self._stored is None else self._stored.both(a, b)

    def jacobian(self, a: SAE, b: SAE) -> Jacobian | None:
        """The Jacobian between the hook points of two SAEs, whichever is the earlier."""
        return None if self._jacobians is None else self._jacobians.between(a, b)

    def of_pair(self, run: Run, a: str, b: str) -> PairEvidence:
        """The same as it travels to another process."""
        stored = None if self._stored is None else self._stored.of_pair(run, a, b)
        sites = [run.sae(name).conventions.site for name in (a, b)]
        if self._jacobians is None or None in sites:
            return stored or PairEvidence()
        one, other = (site.site() for site in sites if site is not None)
        return replace(stored or PairEvidence(), jacobian=self._jacobians.between_sites(one, other))

    def _captured(
        self, run: Run | None, saes: Saes, path: Path, progress: Progress
    ) -> ActivationStore:
        """What features do on text, captured unless it was before."""
        examples = -(-self._tokens // (LENGTH - 1))
        kept = _finished(path)
        if kept is not None and run is not None:
            asked = {"from": self._text, "examples": examples, "length": LENGTH}
            of = {key: kept.record.texts.get(key) for key in asked}
            there = {sae.checksum for sae in kept.record.saes}
            every = {sae.checksum for sae in run.record.saes}
            if (kept.record.model, of) == (self.name, asked) and every <= there:
                return kept
        return capture_into(
            path,
            saes.given,
            self._opened(saes),
            self._text,
            examples=examples,
            length=LENGTH,
            device=saes.device,
            progress=progress,
        )

    def _folder(self, run: Run | None) -> Path:
        if run is not None:
            return run.path / FOLDER
        folder = Path(tempfile.mkdtemp(prefix="saematch-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _opened(self, saes: Saes) -> LanguageModel:
        model = self._model = opened(self._model, saes.device)
        return model


def _finished(path: Path) -> ActivationStore | None:
    try:
        store = ActivationStore.open(path)
    except RunError:
        return None
    return None if store.finished is None else store
