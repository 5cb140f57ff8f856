"""SAE objects of other libraries, in memory, as SAEs: the same as if saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from saematch.checkpoints import saelens, sparsify
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.checkpoints.given_site import check_site
from saematch.checkpoints.tensors import Tensors
from saematch.errors import SaematchError
from saematch.sae.sae import SAE, Site


def from_sae_lens(sae: Any, *, site: str | Site | None = None) -> SAE:
    """An `SAE` of SAELens (also one in training) as one of saematch.

    The weights are copied: training it further does not change the result.

    Args:
        sae: an object of `sae_lens.SAE` or a class derived from it.
        site: where it reads, instead of what its configuration says; as of `saematch.load`.

    Raises:
        SaematchError: it is no SAE of SAELens.
        CheckpointError: it has no encoder matrix, or looks at several tokens at a time.
    """
    if not _is(sae, "sae_lens", "SAE"):
        raise SaematchError(f"from_sae_lens takes an SAE of SAELens, not {_class(sae)}")
    tensors = sae.state_dict()
    sae.process_state_dict_for_saving(tensors)
    return _read(saelens.read, saelens.NAME, tensors, sae.cfg.to_dict(), site=site)


def from_sparsify(coder: Any, *, hookpoint: str = "") -> SAE:
    """A `SparseCoder` of sparsify as an SAE of saematch.

    The weights are copied: training it further does not change the result.

    Args:
        coder: an object of `sparsify.SparseCoder`.
        hookpoint: the module it was trained on, in sparsify's words, such as `layers.5.mlp`, which
            sparsify keeps only as the name of a folder.

    Raises:
        SaematchError: it is no `SparseCoder`.
        CheckpointError: it has no decoder, or an activation that is not known.
    """
    if not _is(coder, "sparsify", "SparseCoder"):
        raise SaematchError(f"from_sparsify takes a SparseCoder of sparsify, not {_class(coder)}")
    config = {**coder.cfg.to_dict(), "d_in": coder.d_in}
    return _read(sparsify.read, sparsify.NAME, coder.state_dict(), config, path=f"{hookpoint}/")


def converted(given: Any) -> SAE:
    """An `SAE` as it is; one of SAELens or sparsify as an `SAE`.

    Raises:
        SaematchError: it is none of these.
        CheckpointError: as of `from_sae_lens` and `from_sparsify`.
    """
    if isinstance(given, SAE):
        return given
    if _is(given, "sae_lens", "SAE"):
        return from_sae_lens(given)
    if _is(given, "sparsify", "SparseCoder"):
        return from_sparsify(given)
    raise SaematchError(
        f"an SAE is given as {_class(given)}; give its name, an SAE (saematch.load), or an SAE "
        "object of SAELens or sparsify"
    )


class _Parameters:
    """The parameters of a module, read as those of a file are."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self.extras: dict[str, Any] = {}
        self.shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        self.dtypes = {
            name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()
        }

    def read(self, name: str) -> Tensor:
        return self._tensors[name].detach().clone()


def _read(
    read: Callable[[Checkpoint], SAE],
    family: str,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    *,
    path: str = "",
    site: str | Site | None = None,
) -> SAE:
    if site is not None:
        check_site(site)
    device = next((tensor.device for tensor in tensors.values()), torch.device("cpu"))
    checkpoint = Checkpoint(
        tensors=Tensors.in_memory(_Parameters(tensors), f"an SAE of {family} in memory"),
        # as it would be read again: tuples become lists
        configs={"cfg.json": json.loads(json.dumps(config, default=str))},
        path=path,
        source="",
        device=device,
        asked=site,
        family=family,
    )
    return read(checkpoint)


def _is(given: Any, package: str, name: str) -> bool:
    """Whether it is an object of that class, told without importing its package."""
    return any(
        kind.__name__ == name and kind.__module__.partition(".")[0] == package
        for kind in type(given).__mro__
    )


def _class(given: Any) -> str:
    kind = type(given)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
