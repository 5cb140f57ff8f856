# pyright: strict
"""What single features write into a hidden state."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from saematch.errors import SaematchError
from saematch.models.hook_points import site_of
from saematch.sae.sae import SAE


def written_at(sae: SAE, name: str = "") -> str:
    """The hook point whose value an SAE's features are part of.

    Raises:
        SaematchError: it is not known; or the SAE is a transcoder, whose features are written
            elsewhere than they are read.
    """
    site = site_of(sae, name)
    if site.hook_out is not None or sae.d_in != sae.d_out:
        raise SaematchError(
            f"{name or sae.name} is a transcoder: it writes elsewhere than it reads, and features "
            "can be removed only where they are read"
        )
    return site.hook


def activations(
    sae: SAE, x: Float[Tensor, "n d_in"], feature: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """The activation of one feature in each hidden state, by the SAE's own rule."""
    return sae.encode(x).gather(1, feature[:, None])[:, 0]


def contributions(
    sae: SAE,
    x: Float[Tensor, "n d_in"],
    feature: Int[Tensor, " n"],
    activation: Float[Tensor, " n"],
) -> Float[Tensor, "n d_out"]:
    """What a feature of each hidden state `x` adds to it at an activation.

    The decoder row times the activation, in the scale of `x` where inputs are normalised per token.
    """
    written = sae.W_dec[feature] * activation[:, None].to(sae.dtype)
    return (written * sae.scale(x)).to(x)
