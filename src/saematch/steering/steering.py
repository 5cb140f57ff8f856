"""Features added to the hidden states of a running model, removed from them, or scaled.

A feature with decoder row v, at a token with hidden state h where its activation is a:

- `add`: h + c v, with the activation c whatever a is;
- `remove`: h - a v;
- `scale`: h + (r - 1) a v (Feature Flow, arXiv 2502.03032): r = 0 removes it, r = 2 doubles it.

`a` is what the feature has when the model arrives there, so that at a later layer it is what
steering the earlier ones left. v is in the scale of h where an SAE normalises its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Literal, get_args

import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saematch.errors import SaematchError
from saematch.models.hook_points import trunk_of
from saematch.models.language_model import LanguageModel
from saematch.sae.sae import SAE
from saematch.steering.tokens import SteeredTokens

How = Literal["add", "remove", "scale"]
Unit = Literal["max", "mean", "norm", "raw"]
HOWS: tuple[How, ...] = get_args(How)
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True)
class Change:
    """What steering does to one feature."""

    site: str  # the SAE's name in the run
    feature: int
    hook: str
    layer: int
    how: How
    # add: the activation that is added, or by `norm` a share of the hidden state's norm; scale and
    # remove: the factor of the feature's own activation
    amount: float
    unit: Unit = "raw"  # what `strength` was given in
    weight: float = 1.0  # by the schedule; it is in `amount` already

    @property
    def does_nothing(self) -> bool:
        """Whether hidden states stay as they are, to the bit."""
        return self.amount == (0.0 if self.how == "add" else 1.0)


class Steering:
    """Steers a model within a `with` block, whoever runs it there.

    Hooks are in place within the block alone, however it is left, and of features that would not
    change anything there are none: at strength 0 the model is the plain one.

    Args:
        model: the model; it is not changed otherwise.
        changes: what is done to which features; a feature may be there once.
        saes: by name, those of the changes, on any device.
        prompt: whether tokens of prompts are steered too: see `SteeredTokens`.

    Raises:
        SaematchError: an SAE of another width than the model's hidden state there, or whose
            features cannot be steered so.
    """

    def __init__(
        self,
        model: LanguageModel,
        changes: Sequence[Change],
        saes: Mapping[str, SAE],
        *,
        prompt: bool = True,
    ) -> None:
        self.model, self.changes, self.prompt = model, tuple(changes), prompt
        self._groups = [
            _Group.of(saes[site], [c for c in changes if c.site == site and not c.does_nothing])
            for site in dict.fromkeys(c.site for c in changes if not c.does_nothing)
        ]
        self._hooks: ExitStack | None = None
        self._on = False

    def __enter__(self) -> Steering:
        if self._hooks is not None:
            raise SaematchError(f"{self!r} steers already: leave its block before the next one")
        tokens = SteeredTokens(self.prompt)
        try:
            with ExitStack() as hooks:
                if self._groups:
                    hooks.callback(tokens.attach(trunk_of(self.model.model)).remove)
                for group in self._groups:
                    place = self.model.site(group.hook)
                    hooks.callback(place.attach(self._visit(group, tokens)).remove)
                self._hooks = hooks.pop_all()
            self._on = True
        except BaseException:  # Ctrl-C may come at any moment
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # first: should anything stop the removal, what is left of the hooks does nothing
        self._on = False
        if self._hooks is not None:
            self._hooks.close()
            self._hooks = None

    def __repr__(self) -> str:
        what = ", ".join(f"{c.how} {c.site} #{c.feature}" for c in self.changes[:3])
        more = f" and {len(self.changes) - 3} more" if len(self.changes) > 3 else ""
        return f"Steering({self.model.name}: {what}{more})"

    def to_polars(self) -> pl.DataFrame:
        """One row per feature: `site`, `feature`, `layer`, `how`, `unit`, `weight`, `amount`."""
        names = ("site", "feature", "layer", "how", "unit", "weight", "amount")
        rows = [tuple(getattr(change, name) for name in names) for change in self.changes]
        return pl.DataFrame(rows, names, orient="row")

    def _visit(self, group: _Group, tokens: SteeredTokens) -> Callable[[Tensor], Tensor | None]:
        held = group

        def visit(value: Tensor) -> Tensor | None:
            nonlocal held
            if not self._on:
                return None
            where = tokens.of(value, held.hook)
            held = held.on(value.device)  # parts of a large model lie on several devices
            x, new = value[where], value.clone()
            new[where] = (x + held.change(x)).to(value.dtype)
            return new

        return visit


@dataclass(frozen=True, eq=False)
class _Group:
    """The features of one SAE, and what is done to them."""

    hook: str
    sae: SAE  # with no more features than are needed
    feature: Int[Tensor, " k"]
    fixed: Float[Tensor, " d"] | None  # the sum of what is added, in the SAE's scale
    shares: Float[Tensor, " d"] | None  # the same, for a hidden state of norm 1
    more: Float[Tensor, " k"] | None  # r - 1 of each feature

    @classmethod
    def of(cls, sae: SAE, changes: Sequence[Change]) -> _Group:
        features = torch.tensor([c.feature for c in changes])
        amount = torch.tensor([c.amount for c in changes])
        first = changes[0]
        adds = first.how == "add"
        sae, place = narrowed(sae, features, encodes=not adds)
        rows = sae.W_dec[place]
        amount = amount.to(rows)
        fixed = shares = more = None
        if not adds:
            more = amount - 1
        elif first.unit == "norm":
            shares = amount @ (rows / rows.norm(dim=1, keepdim=True))
        else:
            fixed = amount @ rows
        return cls(first.hook, sae, place, fixed, shares, more)

    def change(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """What is added to each hidden state, in float32 or more."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.shares is not None:
            return x.norm(dim=-1, keepdim=True) * self.shares.to(x)
        if self.fixed is not None:
            return (self.fixed * self.sae.scale(x)).to(x)
        assert self.more is not None, "a group adds or scales"
        activations = self.sae.encode(x)[:, self.feature] * self.more
        return (activations @ self.sae.W_dec[self.feature] * self.sae.scale(x)).to(x)

    def on(self, device: torch.device) -> _Group:
        """The same on a device."""
        if self.sae.device == device:
            return self

        def moved(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device)

        return replace(
            self,
            sae=self.sae.to(device),
            feature=self.feature.to(device),
            fixed=moved(self.fixed),
            shares=moved(self.shares),
            more=moved(self.more),
        )


def narrowed(
    sae: SAE, features: Int[Tensor, " k"], *, encodes: bool
) -> tuple[SAE, Int[Tensor, " k"]]:
    """An SAE without the features that are not needed, and where the others are in it.

    A feature of a ReLU or JumpReLU SAE fires whatever the others do, so they are left out. By top-k
    the others decide, and all stay where activations are needed.

    Args:
        sae: the SAE.
        features: those that are needed.
        encodes: whether their activations are.

    Raises:
        SaematchError: a feature that adds nothing; or, where activations are needed, a batchtopk
            SAE without a threshold, of which it depends on the rest of the batch what fires.
    """
    features = features.to(sae.device)
    norms = sae.W_dec[features].norm(dim=1)
    for feature, norm in zip(features.tolist(), norms.tolist(), strict=True):
        if not 0 < norm < float("inf"):
            raise SaematchError(
                f"{sae.name} #{feature} writes nothing: its decoder row has the norm {norm}"
            )
    kind = sae.conventions.activation
    if encodes and kind == "batchtopk" and sae.threshold is None:
        raise SaematchError(
            f"{sae.name} is a batchtopk SAE without a threshold: which features fire depends on "
            "the other tokens of a batch, so none can be removed or scaled; add them (--how add)"
        )
    alone = kind in ("relu", "jumprelu") or (kind == "batchtopk" and sae.threshold is not None)
    if encodes and not alone:
        return sae, features
    # one that only writes ranks nothing, whatever its k
    conventions = sae.conventions if alone else replace(sae.conventions, activation="relu")
    few = replace(
        sae,
        conventions=replace(conventions, k=None),
        W_enc=sae.W_enc[:, features],
        W_dec=sae.W_dec[features],
        b_enc=sae.b_enc[features],
        threshold=None if sae.threshold is None else sae.threshold[features],
        selection_scale=None if sae.selection_scale is None else sae.selection_scale[features],
        frequency=None,
        exclusions={why: mask[features] for why, mask in sae.exclusions.items()},
    )
    return few, torch.arange(len(features), device=sae.device)
