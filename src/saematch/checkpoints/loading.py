"""`load` and `expand`: from the names that people type to SAEs."""

from __future__ import annotations

from pathlib import Path

import torch

from saematch.checkpoints.checkpoint import Checkpoint
from saematch.checkpoints.families import FAMILIES
from saematch.checkpoints.locate import folders_of, locate, weights_in
from saematch.checkpoints.names import expand_braces
from saematch.checkpoints.sources import LocalSource
from saematch.checkpoints.tensors import Tensors
from saematch.errors import CheckpointError, SaematchError
from saematch.sae import SAE


def load(
    name: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    revision: str | None = None,
) -> SAE:
    """The SAE called `name`, in canonical form.

    Names are: a local file or folder; `org/repo/path/inside` or `org/repo@revision/path/inside` on
    the Hugging Face hub; SAELens' `release:sae_id`; `saematch:resid_post_3` for those that come
    with saematch (see `saematch.shipped`); and, after a folder or repository whose subfolders are
    named by hook, the hook in any library's words (`layers.5`, `blocks.5.hook_resid_post`). Only
    the files of this SAE are downloaded.

    The format is told by file names, tensor names and shapes. Whatever had to be guessed, and
    whatever a user should know, is in `sae.conventions.notes`.

    Args:
        name: the name.
        dtype: of the weights in memory; safetensors stored in it stay memory-mapped.
        device: where the weights go.
        revision: branch, tag or commit of a hub repository.

    Returns:
        The SAE; features that cannot be used are in `sae.exclusions`, by reason.

    Raises:
        SaematchError: no such dtype or device.
        CheckpointError: nothing is there, or it is not an SAE that can be brought into this form;
            the message names the file, what was found and what was expected.
    """
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise SaematchError(f"dtype is {dtype!r}; expected a floating one, such as torch.float32")
    check_device(device)
    location = locate(str(name), revision)
    label = location.source.name(location.weights)
    checkpoint = Checkpoint(
        tensors=Tensors(location.source.fetch(location.weights), label),
        configs=location.configs(),
        path=_words(label),
        source=location.name,
        dtype=dtype,
        device=device,
        commit=location.source.commit,
        facts=location.facts,
        beside=location.beside(),
    )
    try:
        sae = FAMILIES.identify(checkpoint).read(checkpoint)
    except CheckpointError:
        raise
    except SaematchError as error:
        raise CheckpointError(str(error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise checkpoint.error(
            f"its config lacks or misnames something ({type(error).__name__}: {error})",
            "the config that its library writes",
        ) from error
    unusable = sae.exclusions.get("not finite")
    if unusable is not None and bool(unusable.all()):
        raise checkpoint.error("every feature has NaN or infinite weights", "finite weights")
    if not bool(sae.b_dec.isfinite().all()):
        raise checkpoint.error("the decoder's bias has NaN or infinite entries", "finite entries")
    return sae


def check_device(device: torch.device | str) -> None:
    """Raise SaematchError where torch has no such device here."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SaematchError(f"no device {str(device)!r} here ({reason}): try 'cpu'") from error


def expand(pattern: str | Path) -> list[str]:
    """The names that a pattern stands for, in order; a plain name stands for itself.

    `layer_{0-25}/...` counts, `{a,b,c}` lists, and several braces multiply. A local folder that
    holds SAEs in its subfolders, and is none itself, stands for those, by layer.

    Raises:
        CheckpointError: braces that do not pair up, or hold nothing.
    """
    names = []
    for name in expand_braces(str(pattern)):
        path = Path(name).expanduser()
        if not path.is_dir():
            names.append(name)
            continue
        source = LocalSource(path)
        try:
            single = weights_in(source, "") is not None
        except CheckpointError:
            single = False
        below = [] if single else folders_of(source)
        names += [str(path / inner) for inner in below] or [name]
    return names


def _words(name: str) -> str:
    # far parents of a local file say nothing of it
    return "/".join(name.split("/")[-7:])
