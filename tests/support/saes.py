"""Small SAEs, made the same way everywhere, for tests that do not need trained ones."""

import torch

from saematch import SAE, Conventions, Site


def make_sae(
    d_in: int = 32,
    d_sae: int = 96,
    *,
    activation: str = "jumprelu",
    seed: int = 0,
    layer: int = 1,
    kind: str = "resid_post",
    name: str | None = None,
    **conventions,
) -> SAE:
    """A random SAE whose every weight matters: no zeros, no unit norms, spread thresholds."""
    g = torch.Generator().manual_seed(seed)
    k = 8 if activation in ("topk", "abs_topk", "groupmax", "batchtopk") else None
    return SAE(
        W_enc=torch.randn(d_in, d_sae, generator=g),
        W_dec=torch.randn(d_sae, d_in, generator=g),
        b_enc=torch.randn(d_sae, generator=g),
        b_dec=torch.randn(d_in, generator=g),
        threshold=torch.rand(d_sae, generator=g) * 3 + 0.1 if activation == "jumprelu" else None,
        conventions=Conventions(
            activation=activation,  # pyright: ignore[reportArgumentType]
            k=conventions.pop("k", k),
            site=Site(f"blocks.{layer}.hook_{kind}", kind, layer),  # pyright: ignore[reportArgumentType]
            source=name or f"random/{kind}_{layer}",
            **conventions,
        ),
    )


def permuted(sae: SAE, order: torch.Tensor, *, noise: float = 0.0, seed: int = 1) -> SAE:
    """`sae` with feature i moved to place `order[i]`, and noise relative to each vector's size."""
    g = torch.Generator().manual_seed(seed)

    def jitter(x: torch.Tensor, dim: int) -> torch.Tensor:
        size = x.norm(dim=dim, keepdim=True) / x.shape[dim] ** 0.5
        return x + noise * size * torch.randn(x.shape, generator=g)

    back = order.argsort()
    return SAE(
        W_enc=jitter(sae.W_enc, 0)[:, back],
        W_dec=jitter(sae.W_dec, 1)[back],
        b_enc=sae.b_enc[back],
        b_dec=sae.b_dec,
        threshold=None if sae.threshold is None else sae.threshold[back],
        conventions=sae.conventions,
    )
