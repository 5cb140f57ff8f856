"""How to match, checked, and pairs of a run matched that way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saematch.activations.store import ActivationStore
from saematch.activations.table import FeatureActivations
from saematch.assignment.work import Progress as AssignmentProgress
from saematch.errors import MatchError
from saematch.matching.matching import Matching
from saematch.matching.methods import Method, resolve
from saematch.matching.nulls import Null
from saematch.matching.significance import Significance, Test
from saematch.matching.solving import match as match_two
from saematch.models.jacobian import Jacobian
from saematch.progress import Progress, Step
from saematch.runs.run import Run
from saematch.sae.contexts import FILE, features_of
from saematch.sae.sae import SAE
from saematch.workflows.from_model import FromModel
from saematch.workflows.models import GivenModel
from saematch.workflows.options import MatchOptions
from saematch.workflows.pair_tasks import PairTask, matched_pair, named_saes, told
from saematch.workflows.saes import Saes
from saematch.workflows.tokens import Both, PairEvidence, StoredTokens, TokensInMemory
from saematch.workflows.workers import Here, Workers

OFTEN = 5.0  # seconds between two words on how far a pair is


@dataclass(frozen=True)
class Matcher:
    """How to match: what `MatchOptions` ask for, checked."""

    method: Method
    significance: Significance
    candidates: int
    evidence: StoredTokens | TokensInMemory | FromModel | None = None  # besides weights
    typical_activation: tuple[Tensor, Tensor] | None = None  # instead of what lies beside the SAEs
    any_site: bool = False

    @classmethod
    def of(
        cls,
        method: str | Method | MatchOptions | None = None,
        *,
        null: Null = "covariance",
        fdr: float = 0.01,
        partial: bool = False,
        seed: int = 0,
        test: Test = "direction",
        candidates: int | None = None,
        activations: ActivationStore | str | Path | Both | None = None,
        tokens: int | None = None,
        model: GivenModel | None = None,
        text: str | Path | Sequence[str | Path] | None = None,
        typical_activation: tuple[Tensor, Tensor] | None = None,
        any_site: bool = False,
        **options: Any,
    ) -> Matcher:
        """What the arguments of `saematch.match` and `saematch.flow` ask for.

        Raises:
            MatchError: no such method, an option that it does not have, a value that is not
                allowed, or activations or a model that the method does not use.
            RunError: the store of activations cannot be used.
        """
        if isinstance(method, MatchOptions):
            if options:
                raise MatchError(f"options {', '.join(options)} go with a method's name")
            return cls.of(
                method.method,
                null=method.null,
                fdr=method.fdr,
                partial=method.partial,
                test=method.test,
                candidates=method.candidates,
                activations=method.activations,
                tokens=method.tokens,
                model=method.model,
                text=method.text,
                typical_activation=typical_activation,
                any_site=any_site,
                **method.own,
            )
        chosen = method or ("sae-match" if activations is None and model is None else "fused")
        resolved = resolve(chosen, **options)
        significance = Significance(null, fdr, partial, seed, test)
        significance.check(resolved.kind)
        evidence = _evidence(resolved, activations, tokens, model, text)
        kept = resolved.kept(candidates)
        return cls(resolved, significance, kept, evidence, typical_activation, any_site)

    @property
    def options(self) -> dict[str, Any]:
        """All that results depend on, as plain values, for a run."""
        # a run that looks at weights alone does not depend on anything else
        known = {} if self.evidence is None else self.evidence.options
        if known and not isinstance(self.evidence, FromModel):
            known = {"activations": known}
        others = {"candidates": self.candidates, **asdict(self.significance), **known}
        return self.method.options(**others)

    @property
    def reads_text(self) -> bool:
        """Whether activations are made of text on the way, as of all SAEs together."""
        return isinstance(self.evidence, FromModel) and self.evidence.reads_text

    def match(self, a: SAE, b: SAE, progress: AssignmentProgress | None = None) -> Matching:
        """Match two SAEs."""
        known = self.evidence
        if known is None:
            return self.match_given(a, b, progress=progress)
        return self.match_given(a, b, known.both(a, b), known.jacobian(a, b), progress)

    def match_given(
        self,
        a: SAE,
        b: SAE,
        activations: tuple[FeatureActivations, FeatureActivations] | None = None,
        jacobian: Jacobian | None = None,
        progress: AssignmentProgress | None = None,
    ) -> Matching:
        """Match two SAEs, given what is known of them besides weights."""
        typical = self.typical_activation
        if self.method.fold == "activation" and typical is None:
            typical = _mean_activation(a), _mean_activation(b)
        return match_two(
            a,
            b,
            self.method,
            **asdict(self.significance),
            candidates=self.candidates,
            activations=activations,
            jacobian=jacobian,
            typical_activation=typical,
            any_site=self.any_site,
            progress=progress,
        )

    def match_into(
        self,
        run: Run,
        saes: Saes,
        pairs: Sequence[tuple[str, str]],
        progress: Progress,
        workers: Workers | None = None,
    ) -> Matching | None:
        """Match the pairs that `run` does not have yet; returns the last one that is made here.

        Args:
            run: made of `saes`, in this order.
            saes: the SAEs.
            pairs: names in the run, source first.
            progress: told of each pair.
            workers: where pairs are matched; in this process unless given.

        Raises:
            MatchError, SaematchError: what stops a pair; those that are done stay done.
        """
        workers = workers or Here()
        missing = [pair for pair in pairs if not run.has_pair(*pair)]
        place = {name: k for k, name in enumerate(run.names)}
        if self.evidence is not None:
            self.evidence.prepare(run, saes, [(place[a], place[b]) for a, b in missing], progress)
        there, found = len(pairs) - len(missing), None
        if not workers.here:
            tasks = self._tasks(run, saes, missing)
            results = workers.each(matched_pair, tasks)
            for task, made in told(results, progress, "matching", len(pairs), there):
                a, b = task.names
                run.add_pair(a, b, made)
            return None
        for done, (a, b) in enumerate(missing, there):
            # the last one holds both SAEs, and the next may need the room
            found = None
            step = Step("matching", done, len(pairs), f"{a} → {b}")
            progress(step)
            found = self.match(saes[place[a]], saes[place[b]], WithinPair(step, progress))
            run.add_pair(a, b, found)
        progress(Step("matching", len(pairs), len(pairs)))
        return found

    def _tasks(self, run: Run, saes: Saes, pairs: Sequence[tuple[str, str]]) -> list[PairTask]:
        """The pairs as tasks for other processes."""
        named = dict(zip(run.names, named_saes(saes), strict=True))
        bare = replace(self, evidence=None)
        return [
            PairTask(
                (a, b),
                (named[a], named[b]),
                bare,
                PairEvidence() if self.evidence is None else self.evidence.of_pair(run, a, b),
            )
            for a, b in pairs
        ]


class WithinPair:
    """How far the assignment of a pair is, as a step of the pairs, now and then."""

    def __init__(self, step: Step, progress: Progress) -> None:
        self._step, self._progress, self._last = step, progress, time.monotonic()

    def __call__(self, phase: str, assigned: int, rows: int, /) -> None:
        now = time.monotonic()
        if now - self._last >= OFTEN:
            self._last = now
            what = f"{self._step.what}, {assigned:,} of {rows:,} features have a target"
            self._progress(replace(self._step, what=what))


def _evidence(
    method: Method,
    activations: ActivationStore | str | Path | Both | None,
    tokens: int | None,
    model: GivenModel | None,
    text: str | Path | Sequence[str | Path] | None,
) -> StoredTokens | TokensInMemory | FromModel | None:
    if model is not None:
        texts = [text] if isinstance(text, (str, Path)) else [*(text or ())]
        if isinstance(activations, tuple):
            raise MatchError("a model goes with a store of activations, not with those in memory")
        if activations is None:
            return FromModel(model, method, texts, tokens)
        return FromModel(model, method, texts, stored=StoredTokens(activations, tokens))
    if text:
        raise MatchError("text (--text) is read by a model: give the model (--model) too")
    if activations is None:
        if tokens is not None:
            raise MatchError(
                "tokens (--tokens) limits the activations that are used: give activations "
                "(--activations), or a model (--model), too"
            )
        if method.needs_activations:
            raise MatchError(
                f"method {method.name!r} compares what features do on text: give the activations "
                "of both SAEs (activations, --activations), such as saematch capture writes, or "
                "the model (--model), which then generates text"
            )
        if method.carried:
            raise MatchError(
                f"method {method.name!r} carries directions through the model: give it (--model)"
            )
        return None
    if not method.needs_activations:
        raise MatchError(
            f"method {method.name!r} uses weights only: omit activations (--activations), or "
            "choose fused, pearson or a weighted sum with unit-activation"
        )
    if isinstance(activations, tuple):
        if tokens is not None:
            raise MatchError("tokens goes with a store of activations, not with those in memory")
        return TokensInMemory(activations)
    return StoredTokens(activations, tokens)


def _mean_activation(sae: SAE) -> Tensor:
    """`(d_sae,)` from the table beside the SAE; NaN for a feature that never fired."""
    frame = features_of(sae)
    if frame is None:
        raise MatchError(
            f"folding by activation needs the mean activation of every feature, and {sae.name} has "
            f"no {FILE} beside its weights: fold by decoder-norm, or give typical_activation"
        )
    mean = torch.full((sae.d_sae,), float("nan"))
    mean[frame["feature"].to_torch()] = frame["mean_activation"].fill_null(float("nan")).to_torch()
    return mean.to(sae.W_dec)
