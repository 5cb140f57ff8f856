"""A hidden state in parts: what the features active in it write, an SAE's error, and constants."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saematch.causal.contributions import contributions
from saematch.sae.sae import SAE


@dataclass(frozen=True, eq=False)
class Active:
    """What an SAE makes of the tokens of a prompt.

    Hidden states are the sum of `written` at their position, `error` and `constant`.
    """

    reading: SAE  # of the features that are active somewhere, alone
    column: Int[Tensor, " n"]  # in it
    feature: Int[Tensor, " n"]
    position: Int[Tensor, " n"]  # ascending, and features of a position too
    activation: Float[Tensor, " n"]
    written: Float[Tensor, "n d"]
    error: Float[Tensor, "seq d"]
    constant: Float[Tensor, "seq d"]

    def pre_activations(
        self, x: Float[Tensor, "k d"], which: Int[Tensor, " k"]
    ) -> Float[Tensor, " k"]:
        """The pre-activation in each hidden state of one of the features, by place in `feature`."""
        return self.reading.pre_activations(x).gather(1, self.column[which][:, None])[:, 0]


def active(
    sae: SAE,
    x: Float[Tensor, "seq d"],
    read: Bool[Tensor, " seq"],
    fixed: Bool[Tensor, " seq"],
) -> Active:
    """The parts of the hidden states of a prompt.

    Args:
        sae: the SAE.
        x: the hidden states at its site.
        read: where its features count; elsewhere all of `x` is error.
        fixed: where all of `x` is constant instead.
    """
    f = torch.zeros(len(x), sae.d_sae, dtype=sae.dtype, device=x.device)
    f[read] = sae.encode(x[read])
    position, feature = f.nonzero(as_tuple=True)
    activation = f[position, feature]
    written = contributions(sae, x[position], feature, activation)
    constant = torch.where(read[:, None], (sae.b_dec * sae.scale(x)).to(x), torch.zeros_like(x))
    constant[fixed] = x[fixed]
    error = (x - constant).index_add(0, position, -written)
    used, column = feature.unique(return_inverse=True)
    return Active(
        _reading(sae, used), column, feature, position, activation, written, error, constant
    )


def _reading(sae: SAE, used: Int[Tensor, " used"]) -> SAE:
    """The encoder of some features; one at least, as no SAE is without any."""
    used = used if len(used) else used.new_zeros(1)
    return replace(
        sae,
        W_enc=sae.W_enc[:, used],
        W_dec=sae.W_dec[used],
        b_enc=sae.b_enc[used],
        threshold=None,
        selection_scale=None,
        W_skip=None,
        frequency=None,
        exclusions={},
        conventions=replace(sae.conventions, activation="relu", k=None),
    )
