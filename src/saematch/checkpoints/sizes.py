# pyright: strict
"""How large SAEs are, before their weights are read: from files' headers, or from names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from saematch.checkpoints import saelens_registry
from saematch.checkpoints.locate import is_local, locate
from saematch.checkpoints.names import parse_address, parse_hub
from saematch.checkpoints.saelens_registry import Listed
from saematch.checkpoints.sites import layer_in
from saematch.checkpoints.tensors import Tensors
from saematch.checkpoints.widths import features_in, width_of
from saematch.errors import CheckpointError
from saematch.sae.sae import SAE

ITEM = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}  # bytes
_ENCODER = re.compile(r"enc|latent|threshold|log_jumprelu")
_DECODER = re.compile(r"dec|W_D\b")
_MODULE = re.compile(r"(?:^|[/_.-])att(?:n|ention)?(?=$|[/_.-])")
_STATED = re.compile(r"gemma-scope-2-(?P<new>\d+m?b?)|gemma-scope-(?P<old>\d+b)")


@dataclass(frozen=True)
class Sizes:
    """How large an SAE is."""

    name: str
    d_in: int
    d_out: int
    d_sae: int
    bytes: int  # of its file
    layer: int | None = None
    inferred: tuple[str, ...] = ()  # what no file and no registry says, in words

    @classmethod
    def of(cls, sae: SAE) -> Sizes:
        """Of an SAE in memory; nothing of it remains to be read."""
        site = sae.conventions.site
        return cls(sae.name, sae.d_in, sae.d_out, sae.d_sae, 0, site and site.layer)


def sizes(name: str, d_in: int | None = None) -> Sizes | None:
    """The sizes of the SAE that is called `name`; None where nothing tells them.

    Files on this machine are asked, by their headers; for others the registry of SAELens where it
    is installed, and else what the name says. Nothing is downloaded, and no hub is asked.

    Args:
        name: as of `saematch.load`.
        d_in: what it reads, where that is known.

    Raises:
        CheckpointError: a file that cannot be read.
    """
    if is_local(name):
        return of_tensors(name, locate(name).tensors())
    if (entry := saelens_registry.listed(name)) is not None:
        return _promised(entry, d_in)
    hub = parse_address(name) or parse_hub(name)
    return None if hub is None else _promised(Listed(str(hub), str(hub), None, None), d_in)


def suite(release: str, d_in: int | None = None) -> Iterator[Sizes]:
    """The sizes of every SAE of a release of SAELens' registry, from its words alone.

    Raises:
        CheckpointError: there is no such release, or nothing tells the width of its model or the
            number of its features.
    """
    for entry in saelens_registry.release(release):
        found = _promised(entry, d_in)
        if found is None:
            raise CheckpointError(
                f"{entry.name}: neither the registry nor the name says how wide model "
                f"{entry.model} is and how many features the SAE has; give d_in (--d-in), or the "
                "files themselves"
            )
        yield found


def of_tensors(name: str, tensors: Tensors) -> Sizes | None:
    """The sizes that the shapes of an SAE's tensors tell; None of what is no SAE."""
    shapes = {one: tensors.shape(one) for one in tensors.names}
    flat = {one: shape for one, shape in shapes.items() if len(shape) == 2}
    if not flat:
        return None
    largest = max(flat.values(), key=math.prod)
    features = [s[0] for n, s in shapes.items() if len(s) == 1 and _ENCODER.search(n)]
    d_sae = next((size for size in features if size in largest), max(largest))
    other = {n: s[0] if s[1] == d_sae else s[1] for n, s in flat.items() if d_sae in s}
    written = [size for n, size in other.items() if _DECODER.search(n)]
    read = [size for n, size in other.items() if not _DECODER.search(n)]
    d_in, d_out = (read or written)[0], (written or read)[0]
    stored = sum(math.prod(s) * ITEM.get(tensors.dtype(n), 4) for n, s in shapes.items())
    return Sizes(name, d_in, d_out, d_sae, stored, layer_in(name))


def _promised(entry: Listed, d_in: int | None) -> Sizes | None:
    # what a page of the features is called states their number alone
    words = "/".join((entry.neuronpedia or "", entry.path, entry.name))
    heads = _MODULE.search(words) is not None and "gemma-scope" in words
    model = entry.model or _model(words)
    width = d_in or (model and width_of(model, heads))
    d_sae = features_in(words, width) if width else None
    if not width or not d_sae:
        return None
    item = 2 if "llama_scope" in entry.name else 4
    said = (
        f"{width:,} dimensions, from {'--d-in' if d_in else f'the model {model}'}",
        f"{d_sae:,} features, from the name",
        f"{item} bytes a weight, assumed",
    )
    stored = item * d_sae * (2 * width + 3)
    return Sizes(entry.name, width, width, d_sae, stored, layer_in(entry.path), said)


def _model(words: str) -> str | None:
    found = _STATED.search(words)
    if found is None:
        return None
    return f"gemma-3-{found['new']}" if found["new"] else f"gemma-2-{found['old']}"
