"""`load` and `expand`: from the names that people type to SAEs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import torch

from saematch.checkpoints.checkpoint import Checkpoint
from saematch.checkpoints.families import identify
from saematch.checkpoints.given_site import check_site
from saematch.checkpoints.locate import folders_of, locate, weights_in
from saematch.checkpoints.names import expand_braces
from saematch.checkpoints.sources import LocalSource
from saematch.errors import CheckpointError, SaematchError
from saematch.files.foreign import parsing, reason
from saematch.sae.sae import SAE, Site

C = TypeVar("C", bound=Checkpoint)


def load(
    name: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    revision: str | None = None,
    site: str | Site | None = None,
) -> SAE:
    """The SAE called `name`, in canonical form.

    Names are: a local file or folder; `org/repo/path/inside` or `org/repo@revision/path/inside` on
    the Hugging Face hub, or its address there; SAELens' `release:sae_id`; `saematch:resid_post_3`
    for those that come with saematch (see `saematch.shipped`); and, after a folder or repository
    whose subfolders are named by hook, the hook in any library's words (`layers.5`,
    `blocks.5.hook_resid_post`). Only the files of this SAE are downloaded.

    The format is told by file names, tensor names and shapes. Whatever had to be guessed, and
    whatever a user should know, is in `sae.conventions.notes`.

    Args:
        name: the name.
        dtype: of the weights in memory; safetensors stored in it stay memory-mapped.
        device: where the weights go.
        revision: branch, tag or commit of a hub repository.
        site: where it reads, before what its file says: a hook in any library's words, in which
            `{layer}` stands for the layer that the file or its path states, or a `Site`.

    Returns:
        The SAE; features that cannot be used are in `sae.exclusions`, by reason.

    Raises:
        SaematchError: no such dtype or device, or `site` is no hook.
        CheckpointError: nothing is there, or it is not an SAE that can be brought into this form;
            the message names the file, what was found and what was expected.
    """
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise SaematchError(f"dtype is {dtype!r}; expected a floating one, such as torch.float32")
    if site is not None:
        check_site(site)
    check_device(device)
    checkpoint = opened(Checkpoint, name, revision, dtype=dtype, device=device, asked=site)
    say = "its tensors or its config are not those that its format has"
    try:
        with parsing(checkpoint.tensors.label, error=CheckpointError, say=say):
            checkpoint.family, family = identify(checkpoint)
            sae = family.read(checkpoint)
    except CheckpointError:
        raise
    except SaematchError as error:
        raise CheckpointError(str(error)) from error
    unusable = sae.exclusions.get("not finite")
    if unusable is not None and bool(unusable.all()):
        raise checkpoint.error("every feature has NaN or infinite weights", "finite weights")
    return sae


def opened(kind: type[C], name: str | Path, revision: str | None = None, **how: Any) -> C:
    """The files of the SAE called `name`; nothing but their lists of tensors is read.

    Raises:
        CheckpointError: nothing is there, or no file of tensors.
    """
    location = locate(str(name), revision)
    tensors = location.tensors()
    return kind(
        tensors=tensors,
        configs=location.configs(),
        path=_words(tensors.label),
        source=location.name,
        commit=location.source.commit,
        facts=location.facts,
        beside=location.beside(),
        **how,
    )


def check_device(device: torch.device | str) -> None:
    """Raise SaematchError where torch has no such device here."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise SaematchError(
            f"no device {str(device)!r} here ({reason(error)}): try 'cpu'"
        ) from error


def expand(pattern: str | Path) -> list[str]:
    """The names that a pattern stands for, in order; a plain name stands for itself.

    `layer_{0-25}/...` counts, `{a,b,c}` lists, and several braces multiply; those in the name of a
    file or folder that is there are its own. A local folder that holds SAEs in its subfolders, and
    is none itself, stands for those, by layer.

    Raises:
        CheckpointError: braces that do not pair up, or hold nothing or too much.
    """
    names = []
    for name in expand_braces(str(pattern)):
        path = os.path.expanduser(name)
        if not os.path.isdir(path):
            names.append(name)
            continue
        source = LocalSource(Path(path))
        try:
            single = weights_in(source, "") is not None
        except CheckpointError:
            single = False
        below = [] if single else folders_of(source)
        names += [str(source.root / inner) for inner in below] or [name]
    return names


def _words(name: str) -> str:
    # far parents of a local file say nothing of it
    return "/".join(name.split("/")[-7:])
