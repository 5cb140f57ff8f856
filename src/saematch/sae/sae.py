# pyright: strict, reportUnknownMemberType=false
"""The sparse autoencoder (SAE) in its canonical form, whoever trained it.

    pre = (x - centred * b_dec) @ W_enc + b_enc        x: (..., d_in)
    f   = activation(pre)                              f: (..., d_sae)
    x_hat = f @ W_dec + b_dec (+ x @ W_skip)           x_hat: (..., d_out)

Everything a checkpoint family does differently is either brought into this form when it is read
(a gated SAE is exactly a JumpReLU one, for example) or recorded in `Conventions`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saematch.errors import SaematchError
from saematch.sae import checks

Activation = Literal["relu", "jumprelu", "topk", "abs_topk", "groupmax", "batchtopk"]
Normalisation = Literal["none", "layer_norm", "constant_norm"]
SiteKind = Literal[
    "resid_pre", "resid_mid", "resid_post", "mlp_in", "mlp_out", "attn_out", "attn_z", "other"
]

RESIDUAL = ("resid_pre", "resid_mid", "resid_post")


@dataclass(frozen=True)
class Site:
    """Where in a model an SAE reads (and, for transcoders, writes)."""

    hook: str  # as the checkpoint names it: blocks.12.hook_resid_post, layers.5.mlp, ...
    kind: SiteKind = "other"
    layer: int | None = None
    hook_out: str | None = None  # transcoders: where the output goes

    @property
    def stream(self) -> str:
        """What two SAEs must share to be compared, such as the residual stream."""
        return "residual stream" if self.kind in RESIDUAL else self.kind

    @property
    def layer_alone(self) -> bool:
        """Whether only the layer is known, from a path such as `layer_12`."""
        return self.hook == f"layer_{self.layer}"

    def __str__(self) -> str:
        return self.hook


@dataclass(frozen=True)
class Conventions:
    """How an SAE is applied and where it came from."""

    activation: Activation
    k: int | None = None  # topk, abs_topk, groupmax, batchtopk: features kept per token
    centred: bool = False  # b_dec is subtracted from the input
    normalisation: Normalisation = "none"  # of the input, per token
    normalisation_eps: float = 1e-5  # layer_norm: added to the standard deviation
    denormalised: bool = True  # the output is scaled back to the input's scale
    norm_factor: float | None = None  # the input scale that was folded into the weights
    architecture: str = ""  # the checkpoint's own word: gated, matryoshka_batchtopk, ...
    family: str = ""  # which reader read it
    site: Site | None = None
    model: str | None = None
    source: str = ""  # the file, folder or repo@revision it was read from
    commit: str | None = None  # what the hub's revision was when it was read
    dtype: str = "float32"  # as stored
    neuronpedia_id: str | None = None
    notes: tuple[str, ...] = ()  # every guess made and every warning, in words

    @property
    def name(self) -> str:
        """See `SAE.name`."""
        source = self.source.rstrip("/")
        parts = source.split("/")
        if not source:
            return str(self.site or "SAE")
        # org/repo/layer_12/width_16k/average_l0_82: only all of the inner path tells it apart
        inner = parts[2:] if len(parts) > 3 and parts[0] not in ("", ".", "..", "~") else []
        return "/".join(inner or parts[-2:])


class Described(Protocol):
    """An SAE, or what is told of one where its weights are not at hand."""

    @property
    def name(self) -> str: ...
    @property
    def conventions(self) -> Conventions: ...
    @property
    def d_in(self) -> int: ...
    @property
    def d_out(self) -> int: ...


@dataclass(frozen=True, eq=False)
class SAE:
    """A sparse autoencoder: weights in canonical orientation, and its conventions.

    Features with non-finite weights never fire and add nothing to reconstructions.

    Raises:
        SaematchError: weights that are not floating-point numbers, shapes that do not fit together,
            a missing threshold or k, or an impossible value.
    """

    W_enc: Float[Tensor, "d_in d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_enc: Float[Tensor, " d_sae"]
    b_dec: Float[Tensor, " d_out"]
    conventions: Conventions
    threshold: Float[Tensor, " d_sae"] | None = None  # active where pre > threshold
    selection_scale: Float[Tensor, " d_sae"] | None = None  # top-k ranks pre * selection_scale
    W_skip: Float[Tensor, "d_in d_out"] | None = None  # transcoders
    frequency: Float[Tensor, " d_sae"] | None = None  # share of tokens on which it fired
    exclusions: Mapping[str, Bool[Tensor, " d_sae"]] = field(
        default_factory=dict[str, Tensor]
    )  # by reason

    def __post_init__(self) -> None:
        checks.check(self)
        found = {**self.exclusions}
        for reason, mask in _unusable(self).items():
            if mask.any():
                found[reason] = mask
        object.__setattr__(self, "exclusions", found)

    @property
    def d_in(self) -> int:
        return self.W_enc.shape[0]

    @property
    def d_out(self) -> int:
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        return self.W_dec.shape[0]

    @property
    def device(self) -> torch.device:
        return self.W_dec.device

    @property
    def dtype(self) -> torch.dtype:
        return self.W_dec.dtype

    @property
    def name(self) -> str:
        """Its name in tables: its path inside a hub repository, else the end of its path."""
        return self.conventions.name

    @cached_property
    def excluded(self) -> Bool[Tensor, " d_sae"]:
        """Features that take no part in matchings: the union of `exclusions`."""
        mask = torch.zeros(self.d_sae, dtype=torch.bool, device=self.device)
        for reason in self.exclusions.values():
            mask = mask | reason
        return mask

    @cached_property
    def _silent(self) -> Bool[Tensor, " d_sae"] | None:
        mask = self.exclusions.get("not finite")
        return mask if mask is not None and bool(mask.any()) else None

    @cached_property
    def _writing(self) -> Float[Tensor, "d_sae d_out"]:
        """The decoder, without the rows of silent features: zero times NaN is NaN."""
        silent = self._silent
        return self.W_dec if silent is None else self.W_dec.masked_fill(silent[:, None], 0)

    @property
    def threshold_kind(self) -> Literal["none", "scalar", "per feature"]:
        """Whether there are thresholds, and whether each feature has its own."""
        if self.threshold is None:
            return "none"
        usable = self.threshold[~self.excluded]
        same = usable.numel() == 0 or bool((usable == usable[0]).all())
        return "scalar" if same else "per feature"

    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """Feature activations of inputs `x`; for batchtopk without a threshold, over the batch."""
        return self.activate(self.pre_activations(x))

    def pre_activations(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """What each feature reads of inputs `x`, before the activation function."""
        if x.shape[-1:] != (self.d_in,):
            raise SaematchError(
                f"{self.name} reads {self.d_in} dimensions; x has shape {tuple(x.shape)}"
            )
        x = self._normalised(x.to(self.dtype))[0]
        if self.conventions.centred:
            x = x - self.b_dec
        return x @ self.W_enc + self.b_enc

    def decode(
        self, f: Float[Tensor, "... d_sae"], like: Float[Tensor, "... d_in"] | None = None
    ) -> Float[Tensor, "... d_out"]:
        """The reconstruction `x_hat` of activations `f`.

        `like` is the input that `f` was encoded from. It is needed if inputs are normalised per
        token and the output is scaled back, and if there is a skip connection.
        """
        if self._silent is not None:
            f = f.masked_fill(self._silent, 0)
        x_hat = f @ self._writing + self.b_dec
        scaled = self.conventions.normalisation != "none" and self.conventions.denormalised
        if not scaled and self.W_skip is None:
            return x_hat
        if like is None:
            raise SaematchError(
                f"{self.name}: decode needs like=x, the inputs that were encoded, because "
                + ("of its skip connection" if self.W_skip is not None else "inputs are normalised")
            )
        like = like.to(self.dtype)
        if scaled:
            _, shift, scale = self._normalised(like)
            x_hat = x_hat * scale + shift
        return x_hat if self.W_skip is None else x_hat + like @ self.W_skip

    def reconstruct(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        """`decode(encode(x))`, with normalisation undone and skip connection added."""
        return self.decode(self.encode(x), like=x)

    def scale(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... 1"]:
        """What decoder rows are multiplied by to be in the scale of inputs `x`; often 1."""
        scaled = self.conventions.normalisation != "none" and self.conventions.denormalised
        scale = self._normalised(x.to(self.dtype))[2] if scaled else 1.0
        return scale * x.new_ones((*x.shape[:-1], 1), dtype=self.dtype)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SAE:
        """The same SAE on another device or in another floating dtype."""

        def move(value: Tensor) -> Tensor:
            return value.to(device=device, dtype=dtype if value.is_floating_point() else None)

        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values |= {name: move(value) for name, value in values.items() if isinstance(value, Tensor)}
        values["exclusions"] = {why: move(mask) for why, mask in self.exclusions.items()}
        return SAE(**values)

    def __repr__(self) -> str:
        c = self.conventions
        activation = c.activation + (f" k={c.k}" if c.k else "")
        width = f"d_in={self.d_in}, d_sae={self.d_sae}"
        return f"SAE({self.name}: {activation}, {width}, site={c.site or 'unknown'})"

    def _repr_html_(self) -> str:
        from saematch.sae.description import html

        return html(self)

    def _normalised(self, x: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """`x` as the encoder sees it, with the shift and scale that undo it."""
        match self.conventions.normalisation:
            case "none":
                return x, 0.0, 1.0
            case "constant_norm":
                scale = cast("Tensor", x.norm(dim=-1, keepdim=True)) / self.d_in**0.5
                return x / scale, 0.0, scale
            case "layer_norm":
                # the epsilon is in the way in only, as in SAELens and OpenAI's code
                shift = x.mean(dim=-1, keepdim=True)
                scale = x.std(dim=-1, keepdim=True)
                return (x - shift) / (scale + self.conventions.normalisation_eps), shift, scale

    def activate(self, pre: Float[Tensor, "... d_sae"]) -> Float[Tensor, "... d_sae"]:
        """Feature activations of pre-activations `pre`, by the SAE's own rule, such as top-k."""
        kind = self.conventions.activation
        if self._silent is not None:
            pre = pre.masked_fill(self._silent, 0)
        if self.threshold is not None and kind in ("jumprelu", "batchtopk"):
            return torch.relu(pre) * (pre > self.threshold)
        if kind == "relu":
            return torch.relu(pre)
        ranked = pre if self.selection_scale is None else pre * self.selection_scale
        if self._silent is not None:
            ranked = ranked.masked_fill(self._silent, 0)
        k = self.conventions.k or 0
        if kind == "abs_topk":
            chosen = ranked.abs().topk(min(k, self.d_sae), dim=-1).indices
            return torch.zeros_like(pre).scatter(-1, chosen, pre.gather(-1, chosen))
        pre, ranked = torch.relu(pre), torch.relu(ranked)
        if kind == "groupmax":
            width = self.d_sae // k
            groups = ranked.view(*ranked.shape[:-1], k, width)
            chosen = groups.argmax(dim=-1) + torch.arange(k, device=pre.device) * width
        elif kind == "batchtopk":
            flat = ranked.flatten()
            tokens = pre.numel() // self.d_sae
            chosen = flat.topk(min(k * tokens, flat.numel())).indices
            kept = torch.zeros_like(flat).scatter(0, chosen, pre.flatten()[chosen])
            return kept.view_as(pre)
        else:
            chosen = ranked.topk(min(k, self.d_sae), dim=-1).indices
        return torch.zeros_like(pre).scatter(-1, chosen, pre.gather(-1, chosen))


def _unusable(sae: SAE) -> dict[str, Tensor]:
    # minima and maxima keep NaN and infinity, and need no temporary of the weights' size
    enc, dec = sae.W_enc.aminmax(dim=0), sae.W_dec.aminmax(dim=1)
    finite = sae.b_enc.isfinite()
    for values in (*enc, *dec, sae.threshold, sae.selection_scale):
        if values is not None:
            finite = finite & values.isfinite()
    found = {
        "not finite": ~finite,
        "zero decoder": (dec.min == 0) & (dec.max == 0),
        "zero encoder": (enc.min == 0) & (enc.max == 0),
    }
    if sae.frequency is not None:
        found["dead"] = sae.frequency == 0
    return found
