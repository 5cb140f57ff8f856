"""Every family of checkpoints: how it is recognised and read, in the order of detection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from saematch.checkpoints import (
    circuit_tracer,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    goodfire,
    llama_scope,
    llamascopium,
    nanda,
    openai,
    plain,
    qwen_scope,
    saelens,
    sparsify,
)
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.errors import CheckpointError
from saematch.registry import Registry
from saematch.sae.sae import SAE


@dataclass(frozen=True)
class Family:
    """A kind of checkpoint: how it is recognised and how it is read.

    `detect` looks at file names, tensor names and shapes, never at the repository's name.
    """

    detect: Callable[[Checkpoint], bool]
    read: Callable[[Checkpoint], SAE]


# the most specific first, `plain` last
_OURS = (
    gemma_scope,
    gemma_scope_2,
    saelens,
    sparsify,
    llama_scope,
    llamascopium,
    openai,
    goodfire,
    qwen_scope,
    dictionary_learning,
    nanda,
    circuit_tracer,
    plain,
)
FAMILIES: Registry[Family] = Registry(
    "family",
    {module.NAME: Family(module.detect, module.read) for module in _OURS},
    CheckpointError,
)


def identify(checkpoint: Checkpoint) -> tuple[str, Family]:
    """The first family that recognises `checkpoint`, and its name.

    Families of other packages are asked first: they know what they are for.

    Raises:
        CheckpointError: none does.
    """
    names = list(FAMILIES)
    added = FAMILIES.added
    for name in [*added, *(name for name in names if name not in added)]:
        if FAMILIES[name].detect(checkpoint):
            return name, FAMILIES[name]
    raise checkpoint.error(
        f"it holds {checkpoint.tensors.describe()}",
        f"the tensors of an SAE in one of the formats {', '.join(names)}",
    )
