"""What several commands do: load SAEs, and match pairs of them into a run, with progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor

    from saematch.cli.heard import Heard
    from saematch.matching.methods import Method
    from saematch.matching.significance import Significance
    from saematch.models.language_model import LanguageModel
    from saematch.models.texts import Long
    from saematch.runs.run import Run
    from saematch.sae.sae import SAE


def pick_device(name: str) -> str:
    """The device that `auto` stands for.

    Raises:
        SaematchError: torch has no such device here.
    """
    import torch

    from saematch.checkpoints.loading import check_device

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    check_device(name)
    return name


def load_all(names: Sequence[str], device: str, quiet: bool, site: str | None = None) -> list[SAE]:
    """The SAEs of these names, each loaded once; `site` as in `saematch.load`."""
    from saematch.checkpoints import load
    from saematch.cli.console import progress

    found: dict[str, SAE] = {}
    with progress(quiet) as bar:
        task = bar.add_task("loading", total=len(names))
        for name in names:
            bar.update(task, description=f"loading {name}")
            if name not in found:
                found[name] = load(name, device=device, site=site)
            bar.advance(task)
    return [found[name] for name in names]


def open_quietly(name: str, device: str, dtype: str | None = None) -> LanguageModel:
    """A language model, without the progress bars of its library.

    Raises:
        SaematchError: it cannot be opened, or there is no such dtype.
    """
    import torch

    from saematch.errors import SaematchError
    from saematch.models.language_model import open_model

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype is not None and dtype not in known:
        raise SaematchError(f"--dtype is {dtype!r}; it must be {', '.join(known)}")
    try:
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
    except ImportError:
        pass  # open_model says what to install
    return open_model(name, device=device, dtype=None if dtype is None else known[dtype])


def known_long(long: str | None) -> Long | None:
    """The value of --long.

    Raises:
        SaematchError: there is no such way.
    """
    from saematch.errors import SaematchError

    if long not in (None, "split", "truncate"):
        raise SaematchError(f"--long is {long!r}; it must be split or truncate")
    return long


def written(model: LanguageModel, n: int, length: int, seed: int, quiet: bool) -> list[ndarray]:
    """Token ids of `n` examples that a model writes, with a bar."""
    from saematch.cli.console import progress
    from saematch.models.generate import write

    with progress(quiet) as bar:
        task = bar.add_task(f"{model.name} writes", total=n)
        return write(model, n, length, seed, done=lambda k: bar.update(task, completed=k))


def warn_unfinished(run: Run, quiet: bool = False) -> None:
    """Say on stderr that a run was stopped before it was done."""
    import typer

    if run.finished is None and not quiet:
        typer.echo(
            f"Note: {run.path} is unfinished, with {len(run.pairs)} pairs so far: the same "
            f"saematch {run.record.command} again goes on",
            err=True,
        )


class Loaded:
    """SAEs by name, loaded when they are asked for; never more than two in memory."""

    def __init__(self, names: Sequence[str], device: str, site: str | None = None) -> None:
        self._names = tuple(names)
        self._device, self._site = device, site
        self._held: dict[int, SAE] = {}  # the last one used stands last

    def __getitem__(self, place: int) -> SAE:
        from saematch.checkpoints import load

        if place in self._held:
            self._held[place] = self._held.pop(place)
            return self._held[place]
        if len(self._held) == 2:
            del self._held[next(iter(self._held))]
        self._held[place] = load(self._names[place], device=self._device, site=self._site)
        return self._held[place]


def match_into(
    run: Run,
    saes: Sequence[SAE] | Loaded,
    pairs: Sequence[tuple[str, str]],
    method: Method,
    significance: Significance | None = None,
    *,
    candidates: int | None = None,
    any_site: bool = False,
    heard: Heard | None = None,
    quiet: bool = False,
) -> int:
    """Match the pairs that `run` does not have yet; returns how many those were.

    Args:
        run: made of `saes`, in this order.
        saes: the SAEs, in memory or not.
        pairs: names in the run, source first.
        method: how to match.
        significance: how matches are told from chance; as in `saematch.match` unless given.
        candidates: as in `saematch.match`.
        any_site: match even where the SAEs read different kinds of site.
        heard: what features do on text, for methods that compare it.
        quiet: show no progress.
    """
    from saematch.cli.console import progress
    from saematch.matching.matching import match
    from saematch.matching.significance import Significance

    chosen = asdict(significance or Significance())
    missing = [pair for pair in pairs if not run.has_pair(*pair)]
    places = {name: place for place, name in enumerate(run.names)}
    if heard is not None:
        for name in {name for pair in missing for name in pair}:
            heard.name_of(run.sae(name))
        heard.describe(run)
    with progress(quiet) as bar:
        task = bar.add_task("matching", total=len(pairs), completed=len(pairs) - len(missing))
        for a, b in missing:
            i, j = places[a], places[b]
            bar.update(task, description=f"matching {a} → {b}")
            activation = None
            if method.fold == "activation":
                activation = (_mean_activation(saes[i]), _mean_activation(saes[j]))
            both = None
            if heard is not None:
                both = heard.of(run.sae(a)), heard.of(run.sae(b))
            found = match(
                saes[i],
                saes[j],
                method,
                **chosen,
                candidates=candidates,
                activations=both,
                typical_activation=activation,
                any_site=any_site,
            )
            run.add_pair(a, b, found)
            # it holds both SAEs, and the next may need the room
            del found
            bar.advance(task)
    return len(missing)


def _mean_activation(sae: SAE) -> Tensor:
    """`(d_sae,)` from the table beside the SAE; NaN for a feature that never fired."""
    import torch

    from saematch.errors import MatchError
    from saematch.sae.contexts import FILE, features_of

    frame = features_of(sae)
    if frame is None:
        raise MatchError(
            f"folding by activation needs the mean activation of every feature, and {sae.name} has "
            f"no {FILE} beside its weights: fold by decoder-norm"
        )
    mean = torch.full((sae.d_sae,), float("nan"))
    mean[frame["feature"].to_torch()] = frame["mean_activation"].fill_null(float("nan")).to_torch()
    return mean.to(sae.W_dec)
