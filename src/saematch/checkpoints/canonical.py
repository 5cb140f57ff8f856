"""The steps that bring an SAE into canonical form; each leaves its reconstruction as it was."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from saematch.errors import SaematchError
from saematch.sae.sae import SAE, Conventions


@dataclass
class Weights:
    """Weights in canonical orientation, on the way to an `SAE`."""

    W_enc: Float[Tensor, "d_in d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_enc: Float[Tensor, " d_sae"]
    b_dec: Float[Tensor, " d_out"]
    threshold: Float[Tensor, " d_sae"] | None = None

    def scale_input(self, factor: float, factor_out: float | None = None) -> None:
        """Takes in that the SAE sees `factor * x` and its output is divided by `factor_out`.

        W_enc' = factor W_enc, W_dec' = W_dec / factor_out, b_dec' = b_dec / factor_out; features
        keep their scale. `factor_out` is `factor` unless the output has a scale of its own.

        Raises:
            SaematchError: a factor that is not above 0.
        """
        factor_out = factor if factor_out is None else factor_out
        for scale in (factor, factor_out):
            if not 0 < scale < float("inf"):
                raise SaematchError(
                    f"an input or output scale of {scale:.6g}, expected a finite number above 0"
                )
        self.W_enc = self.W_enc * factor
        self.W_dec = self.W_dec / factor_out
        self.b_dec = self.b_dec / factor_out

    def unit_decoder(self) -> None:
        """Features times the norm of their decoder row, rows to unit norm; zero rows stay."""
        norm = self.W_dec.norm(dim=1)
        scale = torch.where(norm > 0, norm, torch.ones_like(norm))
        self.W_enc = self.W_enc * scale
        self.b_enc = self.b_enc * scale
        self.W_dec = self.W_dec / scale[:, None]
        if self.threshold is not None:
            self.threshold = self.threshold * scale

    def take_out_mean(self, centred: bool) -> None:
        """Takes in that the SAE sees `x - mean(x)`, the mean over the dimensions of x.

        With P = I - 11^T/d: W_enc' = P W_enc; where b_dec is subtracted from the centred input,
        which is not b_dec's own centring, b_enc' = b_enc - (b_dec - P b_dec) W_enc.
        """
        if centred:
            self.b_enc = self.b_enc - self.b_dec.mean() * self.W_enc.sum(dim=0)
        self.W_enc = without_mean(self.W_enc)

    def unwhiten(
        self,
        mean: Float[Tensor, " d_in"],
        matrix: Float[Tensor, "d_in d_in"],
        inverse: Float[Tensor, "d_in d_in"],
        centred: bool,
    ) -> None:
        """Takes in that the SAE sees `(x - mean) @ matrix` and its output goes the way back.

        Done in float64, in which the statistics are kept.
        """
        dtype = self.W_enc.dtype
        W_enc = matrix @ self.W_enc.double()
        if not centred:
            self.b_enc = (self.b_enc.double() - mean @ W_enc).to(dtype)
        self.W_enc = W_enc.to(dtype)
        self.W_dec = (self.W_dec.double() @ inverse).to(dtype)
        self.b_dec = (self.b_dec.double() @ inverse + mean).to(dtype)

    def sae(
        self,
        conventions: Conventions,
        *,
        W_skip: Tensor | None = None,
        selection_scale: Tensor | None = None,
        frequency: Tensor | None = None,
    ) -> SAE:
        return SAE(
            W_enc=self.W_enc,
            W_dec=self.W_dec,
            b_enc=self.b_enc,
            b_dec=self.b_dec,
            threshold=self.threshold,
            conventions=conventions,
            W_skip=W_skip,
            selection_scale=selection_scale,
            frequency=frequency,
        )


def without_mean(matrix: Float[Tensor, "d_in n"]) -> Float[Tensor, "d_in n"]:
    """`(I - 11^T/d) matrix`: what `matrix` makes of an input is then blind to the input's mean."""
    return matrix - matrix.mean(dim=0)


def from_gated(
    W_enc: Float[Tensor, "d_in d_sae"],
    W_dec: Float[Tensor, "d_sae d_out"],
    b_dec: Float[Tensor, " d_out"],
    *,
    b_gate: Float[Tensor, " d_sae"],
    b_mag: Float[Tensor, " d_sae"],
    r_mag: Float[Tensor, " d_sae"],
) -> Weights:
    """A gated SAE as the JumpReLU one that it is.

    Both paths share W_enc up to a scale (Rajamanoharan et al., 2024a, section 3.2), so the gate
    is open exactly where the magnitude exceeds theta = b_mag - exp(r_mag) b_gate. A negative theta
    is 0: the magnitude is rectified there.
    """
    scale = r_mag.exp()
    threshold = (b_mag - scale * b_gate).clamp(min=0)
    return Weights(W_enc * scale, W_dec, b_mag, b_dec, threshold)
