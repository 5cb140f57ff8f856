"""Run a model over examples and collect the activations of SAE features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from saematch.activations.batch import Batch
from saematch.activations.massive import beyond, norms
from saematch.activations.table import FeatureActivations
from saematch.errors import SaematchError
from saematch.models.language_model import LanguageModel
from saematch.models.opening import SHIPPED
from saematch.models.padding import groups, padded
from saematch.sae.sae import SAE

Pass = Sequence[ndarray]  # token ids of examples that the model reads together
Sparse = tuple[dict[str, sp.csr_array], int]  # activations by SAE, and massive tokens

_AHEAD = 8  # passes of the model per batch of results
_DENSE = 1 << 26  # most numbers in a dense table of features (256 MiB)


def capture(
    model: LanguageModel,
    saes: Mapping[str, SAE],
    examples: Sequence[ndarray],
    batch_tokens: int = 8192,
    start: int = 0,
    limits: Mapping[str, float] | None = None,
    passes: Callable[[Sequence[Pass]], Iterator[Sparse]] | None = None,
) -> Iterator[Batch]:
    """Feature activations of every SAE on every example, a few examples at a time.

    The model reads examples of similar length together, padded on the right. Each hook point is
    read once, however many SAEs read there, and encoded in float32 on the model's device. First
    tokens and padding are neither encoded nor counted. Memory holds the activations of one pass and
    the sparse results of one batch.

    A batchtopk SAE without a threshold keeps k features per token *on average over a pass*, so its
    results depend on which examples share a pass, and therefore on `batch_tokens`.

    Args:
        model: the model.
        saes: SAEs by name, each at a hook point of this model.
        examples: token ids of each example, as from `tokenise`.
        batch_tokens: tokens per pass of the model, padding included; a longer example has a pass of
            its own.
        start: the first example to read; the numbers of examples do not change.
        limits: by hook, the largest norm of a token that counts, as from `norm_limits`. A token
            beyond it at any hook point keeps its place, with no active feature in any SAE.
        passes: reads what `read_pass` reads, in order, elsewhere; here, pass by pass, unless given.

    Raises:
        SaematchError: an SAE whose hook point is unknown, not in this model or of another width; an
            example too long for the model.
    """
    if batch_tokens < 1:
        raise SaematchError(f"batch_tokens={batch_tokens}: give at least 1")
    sites = model.hooks_of(saes)
    if passes is None:
        ready = {name: sae.to(model.device, torch.float32) for name, sae in saes.items()}
        passes = partial(_passes, model, ready, sites, limits or {})
    # a generator runs only when iterated; the errors above must be raised at the call
    arrays = [np.asarray(e) for e in examples]
    return _batches([*saes], arrays, batch_tokens, start, passes)


def read_pass(
    model: LanguageModel,
    saes: Mapping[str, SAE],
    sites: Mapping[str, str],
    limits: Mapping[str, float],
    examples: Pass,
) -> Sparse:
    """The features of SAEs on examples that are read together.

    Args:
        model: the model.
        saes: SAEs by name, in float32 on the model's device.
        sites: the hook of each.
        limits: as of `capture`.
        examples: token ids of each.

    Returns:
        By name the activations, `(tokens, d_sae)`, first tokens left out; and the number of tokens
        with massive activations.
    """
    ids, mask = padded(examples)
    values = model.run(ids, sorted(set(sites.values())), mask)
    counted = mask.clone()
    counted[:, 0] = False
    counted = counted.to(model.device)
    kept = ~beyond(norms(values, limits), limits)[counted] if limits else None
    found: dict[str, sp.csr_array] = {}
    for hook in list(values):
        x = values.pop(hook)[counted]
        for name in (name for name in saes if sites[name] == hook):
            found[name] = _encoded(saes[name], x, kept)
    return found, 0 if kept is None else int((~kept).sum())


def spans(examples: Sequence[ndarray], batch_tokens: int = 8192, start: int = 0) -> list[range]:
    """The examples of each batch of `capture`.

    One that starts where another would have begun a batch has the same batches from there on.
    """
    found: list[range] = []
    while start < len(examples):
        stop, tokens = start, 0
        while stop < len(examples) and (stop == start or tokens < _AHEAD * batch_tokens):
            tokens += len(examples[stop])
            stop += 1
        found.append(range(start, stop))
        start = stop
    return found


def notes(model: LanguageModel, saes: Mapping[str, SAE]) -> list[str]:
    """Notes for users of features captured from these SAEs."""
    found = []
    for name, sae in saes.items():
        trained = sae.conventions.model
        if trained and _plain(trained) != _plain(model.name):
            found.append(f"{name} is of a model named {trained}, and is read from {model.name}")
        if _over_batch(sae):
            found.append(
                f"{name}: batchtopk without a threshold; which features are kept depends on which "
                "examples are read together"
            )
    return found


# other names of one model: of the shipped one, and TransformerLens' name for gpt2
_ALIASES = {SHIPPED: "demo-gpt2-6l", "gpt2-small": "gpt2"}


def _plain(model: str) -> str:
    """The name of a model without organisation, folder and revision."""
    name = model.rstrip("/").split("/")[-1].split("@")[0].lower()
    return _ALIASES.get(name, name)


def _over_batch(sae: SAE) -> bool:
    return sae.conventions.activation == "batchtopk" and sae.threshold is None


def _passes(
    model: LanguageModel,
    saes: Mapping[str, SAE],
    sites: Mapping[str, str],
    limits: Mapping[str, float],
    passes: Sequence[Pass],
) -> Iterator[Sparse]:
    for examples in passes:
        yield read_pass(model, saes, sites, limits, examples)


def _batches(
    names: Sequence[str],
    examples: list[ndarray],
    batch_tokens: int,
    start: int,
    passes: Callable[[Sequence[Pass]], Iterator[Sparse]],
) -> Iterator[Batch]:
    planned = [
        (span, groups([len(e) for e in examples[span.start : span.stop]], batch_tokens))
        for span in spans(examples, batch_tokens, start)
    ]
    results = passes([[examples[span.start + i] for i in g] for span, of in planned for g in of])
    for span, together in planned:
        found = [next(results) for _ in together]
        some = examples[span.start : span.stop]
        yield _gathered(names, some, span.start, together, found)


def _gathered(
    names: Sequence[str],
    examples: list[ndarray],
    first: int,
    together: list[list[int]],
    found: Sequence[Sparse],
) -> Batch:
    """One batch: passes over examples of similar length, with rows in the original order."""
    order = [i for group in together for i in group]
    counts = [max(len(e) - 1, 0) for e in examples]
    ends = np.cumsum([0, *(counts[i] for i in order)])
    place = {i: (ends[at], ends[at + 1]) for at, i in enumerate(order)}
    rows = np.concatenate([np.arange(*place[i]) for i in range(len(examples))])
    example = np.repeat(np.arange(first, first + len(examples), dtype=np.int32), counts)
    return Batch(
        {
            name: FeatureActivations(_stacked([of[name] for of, _ in found])[rows], example)
            for name in names
        },
        np.concatenate([e[1:] for e in examples]).astype(np.int32),
        example,
        np.concatenate([np.arange(1, n + 1, dtype=np.int32) for n in counts]),
        sum(massive for _, massive in found),
    )


def _encoded(
    sae: SAE, x: Float[Tensor, "tokens d_in"], kept: Bool[Tensor, " tokens"] | None = None
) -> sp.csr_array:
    """The features of tokens, sparse on the CPU, computed in dense blocks of bounded size.

    Tokens that are not `kept` have none, and a batchtopk SAE does not choose among theirs.
    """
    if kept is not None and not kept.all():
        found = _encoded(sae, x[kept])
        ends = np.zeros(len(x) + 1, dtype=found.indptr.dtype)
        ends[1:][kept.cpu().numpy()] = np.diff(found.indptr)
        parts = found.data, found.indices, ends.cumsum(dtype=ends.dtype)
        return sp.csr_array(parts, shape=(len(x), sae.d_sae))
    step = max(1, len(x) if _over_batch(sae) else _DENSE // sae.d_sae)
    return _stacked([_sparse(sae.encode(part)) for part in x.split(step)])


def _stacked(parts: Sequence[sp.csr_array]) -> sp.csr_array:
    return sp.csr_array(sp.vstack(parts, format="csr"))


def _sparse(f: Float[Tensor, "tokens d_sae"]) -> sp.csr_array:
    rows, columns = f.nonzero(as_tuple=True)
    ends = torch.bincount(rows, minlength=len(f)).cumsum(0)
    indptr = np.concatenate([[0], ends.cpu().numpy()]).astype(np.int32)
    data = (f[rows, columns].cpu().numpy(), columns.to(torch.int32).cpu().numpy(), indptr)
    return sp.csr_array(data, shape=tuple(f.shape))
