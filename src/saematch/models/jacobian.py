"""Mean Jacobians: how a small change at one hook point of a model arrives at a later one.

    J = mean over positions p of  d h_target[p] / d h_source[p]

A direction written at the source arrives at the target as `J @ direction`, on average and to first
order; what reads a direction at the target reads `J.T @ direction` of the source. It takes a model
and no text: a few hundred random tokens are enough.

One backward pass gives one row of J for all positions at once. Its cotangent is one-hot in the
row's dimension, at each position with a random sign `s_p`. What arrives at position q of the
source, `sum_p s_p d h_target[p] / d h_source[q]`, times `s_q` is the derivative wanted, plus terms
in `s_p s_q` whose mean is zero (Hutchinson's estimator, over positions). Without signs it is the
sum over the same and all later positions, as in the Jacobian lens (Gurnee et al., "Verbalizable
Representations Form a Global Workspace in Language Models", 2026).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from saematch.errors import SaematchError
from saematch.files.directory import writing
from saematch.files.foreign import parsing
from saematch.models.language_model import LanguageModel

KEY, TENSORS = "saematch.jacobian", ("matrix", "source_mean", "target_mean")
SKIPPED = 16  # first positions of an example, which have little to attend to
MASSIVE = 4.0  # times the median norm: positions beyond it do not count
BATCH_TOKENS = 2048


@dataclass(frozen=True, eq=False)
class Jacobian:
    """The mean Jacobian from one hook point to a later one, and the mean values at both."""

    matrix: Float[Tensor, "d_target d_source"]
    source: str  # hook points
    target: str
    source_mean: Float[Tensor, " d_source"]
    target_mean: Float[Tensor, " d_target"]
    made_of: Mapping[str, Any] = field(default_factory=dict)  # model and tokens, as plain values

    def carried(self, written: Float[Tensor, "n d_source"]) -> Float[Tensor, "n d_target"]:
        """Directions written at the source, as they arrive at the target."""
        return written @ self.matrix.to(written).T

    def pulled_back(self, read: Float[Tensor, "n d_target"]) -> Float[Tensor, "n d_source"]:
        """Directions read at the target, as they read the source."""
        return read @ self.matrix.to(read)

    def then(self, other: Jacobian) -> Jacobian:
        """From this one's source to the other's target: the product of the two means.

        Raises:
            SaematchError: the other does not start where this one ends.
        """
        if other.source != self.target:
            raise SaematchError(
                f"the Jacobian from {self.source} ends at {self.target}, the other starts at "
                f"{other.source}"
            )
        return dataclasses.replace(
            self,
            matrix=other.matrix.to(self.matrix) @ self.matrix,
            target=other.target,
            target_mean=other.target_mean,
        )

    def save(self, path: Path) -> None:
        """Write it to one safetensors file, whole or not at all.

        Raises:
            RunError: it cannot be written.
        """
        header = {"source": self.source, "target": self.target, "made_of": dict(self.made_of)}
        tensors = {name: getattr(self, name).cpu().contiguous() for name in TENSORS}
        with writing(path.parent, path.name) as partial:
            save_file(tensors, partial, {KEY: json.dumps(header)})

    @staticmethod
    def load(path: Path, device: torch.device | str = "cpu") -> Jacobian:
        """Read one that was saved.

        Raises:
            SaematchError: the file does not hold a Jacobian.
        """
        say = "not a Jacobian that saematch saved"
        with parsing(path, say=say), safe_open(path, framework="pt", device="cpu") as file:
            header = json.loads((file.metadata() or {})[KEY])
            matrix, before, after = (file.get_tensor(name).to(device) for name in TENSORS)
            source, target = header["source"], header["target"]
            made_of = header["made_of"]
        if matrix.shape != (len(after), len(before)):
            raise SaematchError(f"{path}: {say}")
        return Jacobian(matrix, source, target, before, after, made_of)


def mean_jacobians(
    model: LanguageModel,
    source: str,
    targets: Sequence[str],
    examples: Sequence[ndarray],
    *,
    later: bool = False,
    skip: int = SKIPPED,
    massive: float | None = MASSIVE,
    batch_tokens: int = BATCH_TOKENS,
    seed: int = 0,
    done: Callable[[int], None] | None = None,
) -> dict[str, Jacobian]:
    """Mean Jacobians from one hook point to later ones, by the target's hook.

    For every target it takes as many backward passes as that has dimensions, each through what lies
    between the two; all targets share one forward pass.

    Args:
        model: the model; its weights get no gradients.
        source: a hook point.
        targets: hook points after it.
        examples: token ids, such as `saematch.models.random_tokens` gives.
        later: sum over the same and all later positions, in place of the same position alone.
        skip: first positions of each example that do not count.
        massive: positions where a hidden state at the source or a target has more than this many
            times the median norm do not count; None counts all.
        batch_tokens: tokens that go through the model at once: an example is repeated so often, and
            each copy gives another row. Memory grows with it, not the result.
        seed: of the signs.
        done: called with the number of finished examples.

    Raises:
        SaematchError: the model lacks a hook point, a target does not come after the source, or no
            position counts.
    """
    hooks = list(dict.fromkeys(targets))
    if source in hooks:
        raise SaematchError(f"a Jacobian from {source} to itself is the identity")
    signs = torch.Generator().manual_seed(seed)
    sums: dict[str, Tensor] = {}
    means: dict[str, Tensor] = {}
    counted = 0
    for k, example in enumerate(examples, 1):
        ids = torch.from_numpy(example)[None]
        copies = max(1, batch_tokens // len(example))
        with model.derivatives(ids.expand(copies, -1), source, hooks) as (start, values):
            once = {source: start[0], **{hook: value[0] for hook, value in values.items()}}
            once = {hook: value.detach().float() for hook, value in once.items()}
            used = _used([*once.values()], skip, massive)
            counted += int(used.sum())
            for hook, value in once.items():
                mean = value[used].sum(0, dtype=torch.float64).cpu()
                means[hook] = means.get(hook, 0) + mean
            sign = torch.randint(0, 2, used.shape, generator=signs) * 2 - 1
            sign = torch.ones_like(sign) if later else sign
            sign = sign.to(start) * used
            for hook, value in values.items():
                found = _rows(start, value, sign)
                sums[hook] = sums.get(hook, 0) + found.double().cpu()
        if done is not None:
            done(k)
    if not counted:
        raise SaematchError(
            f"no position is left to take a Jacobian's mean over: examples need more than {skip} "
            "tokens"
        )
    means = {hook: (mean / counted).float().to(model.device) for hook, mean in means.items()}
    return {
        hook: Jacobian(
            (found / counted).float().to(model.device), source, hook, means[source], means[hook]
        )
        for hook, found in sums.items()
    }


def _used(
    values: Sequence[Float[Tensor, "seq _"]], skip: int, massive: float | None
) -> Bool[Tensor, " seq"]:
    """The positions that count."""
    norms = torch.stack([value.norm(dim=-1) for value in values])
    used = torch.ones(norms.shape[1], dtype=torch.bool, device=norms.device)
    used[:skip] = False
    if massive is None or not used.any():
        return used
    return used & (norms <= massive * norms[:, used].median(1, keepdim=True).values).all(0)


def _rows(
    start: Float[Tensor, "copies seq d_source"],
    value: Float[Tensor, "copies seq d_target"],
    sign: Float[Tensor, " seq"],
) -> Float[Tensor, "d_target d_source"]:
    """The sum over positions of the derivative of `value` with respect to `start`."""
    found = []
    for dimensions in torch.arange(value.shape[-1], device=value.device).split(len(value)):
        cotangent = torch.zeros_like(value)
        copies = torch.arange(len(dimensions), device=value.device)
        cotangent[copies, :, dimensions] = sign.to(value)
        (slope,) = torch.autograd.grad(value, start, cotangent, retain_graph=True)
        found.append(torch.einsum("cqd,q->cd", slope[: len(dimensions)].float(), sign.float()))
    return torch.cat(found)
