"""Language models however they are given, and text that they generate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from numpy import ndarray

from saematch.errors import SaematchError
from saematch.models.generate import write
from saematch.models.language_model import LanguageModel
from saematch.models.opening import open_model
from saematch.progress import Progress, Step
from saematch.workflows.options import DtypeChoice
from saematch.workflows.saes import pick_device

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
GivenModel = str | Path | LanguageModel


@dataclass(frozen=True)
class NamedModel:
    """A model that a task opens itself."""

    name: str
    device: str | torch.device
    dtype: DtypeChoice | None = None

    @classmethod
    def of(
        cls, model: GivenModel, device: str | torch.device, dtype: DtypeChoice | None
    ) -> NamedModel:
        """A model as tasks take it; raises SaematchError for one that was given in memory."""
        if isinstance(model, LanguageModel):
            raise SaematchError(
                f"{model.name} was given in memory, where workers cannot read it: give its name"
            )
        return cls(str(model), device, dtype)

    def opened(self) -> LanguageModel:
        """The model, opened anew."""
        return opened(self.name, pick_device(self.device), self.dtype)


def opened(
    model: GivenModel, device: torch.device, dtype: DtypeChoice | None = None
) -> LanguageModel:
    """A language model by its name, without the progress bars of its library; or as it is.

    Raises:
        SaematchError: it cannot be opened, or there is no such dtype.
    """
    if dtype is not None and dtype not in DTYPES:
        raise SaematchError(f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}")
    if isinstance(model, LanguageModel):
        return model
    try:
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
    except ImportError:
        pass  # open_model says what to install
    return open_model(str(model), device=device, dtype=DTYPES[dtype] if dtype else None)


def generated(
    model: LanguageModel, n: int, length: int, seed: int, progress: Progress
) -> list[ndarray]:
    """Token ids of `n` examples that a model generates."""
    stage = f"{model.name} generates text"
    progress(Step(stage, 0, n))
    return write(model, n, length, seed, done=lambda k: progress(Step(stage, k, n)))
