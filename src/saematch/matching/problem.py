# Tensor.split, norm and from_numpy, and scipy, have no types of their own
# pyright: strict, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
"""Two SAEs and a method as an assignment problem: two matrices, two offsets, features in use."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from saematch.activations.table import FeatureActivations
from saematch.errors import MatchError
from saematch.matching.evidence import NONE, Activations, Evidence
from saematch.matching.methods import Method, resolve_fold
from saematch.matching.views import View, stack, unit
from saematch.numerics.hardware import available_memory
from saematch.numerics.pairs import products
from saematch.numerics.scratch import by_rows, per_row
from saematch.numerics.sums import norms
from saematch.sae.folding import Fold, fold
from saematch.sae.sae import SAE

BOTH_ABSENT = (None, None)
SILENT = "silent on the tokens"
COPIES = 6  # of the rows of one side that are held at once, those of both sides and a null
RARE = 5  # firings: features that fired less often coincide by chance


@dataclass(frozen=True, eq=False)
class Posed:
    """`score_ij = x_i . y_j + row_offset_i + column_offset_j` over features that are not excluded.

    Row i of `x` is feature `rows[i]` of A, row j of `y` feature `columns[j]` of B. The matrices
    keep the precision of the weights, float32 at least; the offsets are float64.
    """

    a: SAE  # folded
    b: SAE
    fold: Fold
    x: Float[Tensor, "n D"]
    y: Float[Tensor, "m D"]
    row_offset: Float[Tensor, " n"]
    column_offset: Float[Tensor, " m"]
    rows: Int[Tensor, " n"]
    columns: Int[Tensor, " m"]
    widths: tuple[int, ...]  # dimensions of each view, side by side in x and y
    over_tokens: tuple[bool, ...]  # whether the dimensions of each view are tokens
    rare_rows: Bool[Tensor, " n"] | None  # by activations alone: fired on fewer than 5 tokens
    rare_columns: Bool[Tensor, " m"] | None

    def outer_target(self, inner: Int[Tensor, " n"]) -> Int[Tensor, " d_sae_a"]:
        """A target over rows and columns in terms of features; -1 for what is left out."""
        return self.rows_to_a(self.columns_in_b(inner), -1)

    def inner_target(self, target: Int[Tensor, " d_sae_a"]) -> Int[Tensor, " n"]:
        """The reverse of `outer_target`."""
        place = torch.full((self.b.d_sae + 1,), -1, dtype=torch.int64, device=self.rows.device)
        place[self.columns] = torch.arange(len(self.columns), device=self.rows.device)
        return place[target.to(place.device)[self.rows]]  # -1 reads the last place, which is -1

    def scores(self, columns: Int[Tensor, "n k"]) -> Float64[Tensor, "n k"]:
        """The scores of each row with `k` columns; NaN for -1."""
        columns = columns.cpu()
        found = torch.full(columns.shape, torch.nan, dtype=torch.float64)
        row, place = (columns >= 0).nonzero(as_tuple=True)
        column = columns[row, place]
        found[row, place] = products(self.x, self.y, row, column)
        found[row, place] += self.row_offset.cpu()[row] + self.column_offset.cpu()[column]
        return found.to(self.x.device)

    def turned(self) -> Posed:
        """The same problem with A and B exchanged."""
        return Posed(
            self.b,
            self.a,
            self.fold,
            self.y,
            self.x,
            self.column_offset,
            self.row_offset,
            self.columns,
            self.rows,
            self.widths,
            self.over_tokens,
            self.rare_columns,
            self.rare_rows,
        )

    def columns_in_b(self, inner: Tensor) -> Tensor:
        """Columns as features of B; -1 stays -1."""
        return _named(self.columns, inner)

    def rows_in_a(self, inner: Tensor) -> Tensor:
        """Rows as features of A; -1 stays -1."""
        return _named(self.rows, inner)

    def rows_to_a(self, values: Tensor, fill: float = float("nan")) -> Tensor:
        """Values per row as values per feature of A, with `fill` for what is left out."""
        return _spread(self.rows, values, self.a.d_sae, fill)

    def columns_to_b(self, values: Tensor, fill: float = float("nan")) -> Tensor:
        """Values per column as values per feature of B, with `fill` for what is left out."""
        return _spread(self.columns, values, self.b.d_sae, fill)


def _named(names: Tensor, inner: Tensor) -> Tensor:
    return torch.cat([names, names.new_full((1,), -1)])[inner.to(names.device)]


def _spread(places: Tensor, values: Tensor, size: int, fill: float) -> Tensor:
    values = values.to(places.device)
    out = values.new_full((size, *values.shape[1:]), fill)
    out[places] = values
    return out


def pose(
    a: SAE,
    b: SAE,
    method: Method,
    typical: tuple[Tensor | None, Tensor | None] = BOTH_ABSENT,
    views: tuple[View, ...] | None = None,
    evidence: Evidence = NONE,
) -> Posed:
    """Fold, stack the views (the method's unless others are given) and leave out the excluded.

    Args:
        a: the SAE whose features are followed.
        b: the SAE they are followed into.
        method: with views of its own, not one that `expects`.
        typical: activations `(d_sae,)` of each, for folding by activation.
        views: instead of the method's.
        evidence: activations and Jacobian, for views made of them.
    """
    views, activations = views or method.views, evidence.activations
    how = resolve_fold(method.fold, a, b)
    precision = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    a, b = (sae if sae.dtype == precision else sae.to(dtype=precision) for sae in (a, b))
    a, b = fold(a, how, typical[0]), fold(b, how, typical[1])
    alone = all(view.over_tokens for view in views)
    if alone:
        a, b = (_heard(sae, some) for sae, some in zip((a, b), activations, strict=True))
    rows, columns = ((~sae.excluded).nonzero().squeeze(1) for sae in (a, b))
    if any(view.over_tokens for view in views):
        _check_memory(a, b, activations)
    x, y, widths = stack(a, b, views, evidence)
    x, y = _chosen(x, rows), _chosen(y, columns)
    if method.distance:
        # -|x - y|^2 = 2 x.y - |x|^2 - |y|^2
        row_offset, column_offset = (per_row(_minus_square, z, width=z.shape[1]) for z in (x, y))
        x = by_rows(torch.add, x, x)
    else:
        row_offset, column_offset = (
            torch.zeros(len(z), dtype=torch.float64, device=z.device) for z in (x, y)
        )
    rare = (
        _rare(some, places) if alone else None
        for some, places in zip(activations, (rows, columns), strict=True)
    )
    over_tokens = tuple(view.over_tokens for view in views)
    offsets = row_offset, column_offset
    return Posed(a, b, how, x, y, *offsets, rows, columns, widths, over_tokens, *rare)


def directed(posed: Posed, weights: Sequence[float]) -> Posed:
    """The same rows and columns, with the weighted mean of their views' cosines for a score.

    Views of one dimension have no direction and are left out.

    Args:
        posed: of views of which one at least has more dimensions.
        weights: of each view.
    """
    kept = [v for v, width in enumerate(posed.widths) if width > 1]
    total = sum(abs(weights[v]) for v in kept)

    def units(x: Tensor, scale: float) -> Tensor:
        parts = x.split(list(posed.widths), dim=1)
        sizes = [abs(weights[v]) ** 0.5 * scale for v in kept]
        # the sign of a weight is already in the rows
        return torch.cat([unit(parts[v]) * s for v, s in zip(kept, sizes, strict=True)], dim=1)

    factor = 1 / max(total, torch.finfo(posed.x.dtype).tiny)

    return dataclasses.replace(
        posed,
        x=by_rows(partial(units, scale=factor), posed.x),
        y=by_rows(partial(units, scale=1.0), posed.y),
        row_offset=torch.zeros_like(posed.row_offset),
        column_offset=torch.zeros_like(posed.column_offset),
        widths=tuple(posed.widths[v] for v in kept),
        over_tokens=tuple(posed.over_tokens[v] for v in kept),
    )


def _minus_square(rows: Tensor) -> Tensor:
    return -norms(rows).square()


def _check_memory(a: SAE, b: SAE, activations: Activations) -> None:
    """Raise MatchError where rows over all tokens, and a null of them, do not fit in memory."""
    if activations[0] is None or a.device.type != "cpu":
        return
    tokens, free = activations[0].n_tokens, available_memory()
    needed = COPIES * 4 * tokens * max(a.d_sae, b.d_sae)
    if needed > free:
        raise MatchError(
            f"{tokens:,} tokens of {max(a.d_sae, b.d_sae):,} features take about "
            f"{needed / 1e9:,.0f} GB to compare, and {free / 1e9:,.0f} GB are free: take at most "
            f"{int(tokens * free / needed):,} tokens (--tokens)"
        )


def _chosen(x: Tensor, rows: Tensor) -> Tensor:
    return x if len(rows) == len(x) else by_rows(partial(torch.index_select, x, 0), rows)


def _rare(activations: FeatureActivations | None, places: Tensor) -> Tensor | None:
    if activations is None:
        return None
    return torch.from_numpy(activations.counts() < RARE).to(places.device)[places]


def check_evidence(a: SAE, b: SAE, evidence: Evidence, method: Method) -> None:
    """Raise MatchError where a method lacks evidence, or activations do not fit the SAEs."""
    activations = evidence.activations
    if method.carried and evidence.jacobian is None and not _same_place(a, b):
        raise MatchError(
            f"method {method.name!r} carries directions through the model: give the model "
            "(--model) or a Jacobian"
        )
    if activations[0] is None or activations[1] is None:
        if method.needs_activations:
            raise MatchError(
                f"method {method.name!r} compares what features do on text: give the activations "
                "of both SAEs (--activations), or choose a method of weights alone"
            )
        return
    for sae, some in zip((a, b), activations, strict=True):
        assert some is not None
        if some.d_sae != sae.d_sae:
            raise MatchError(
                f"{sae.name} has {sae.d_sae:,} features, the activations given for it are of "
                f"{some.d_sae:,}"
            )
    if not activations[0].same_tokens(activations[1]):
        raise MatchError(
            f"the activations of {a.name} are on {activations[0].n_tokens:,} tokens, those of "
            f"{b.name} on {activations[1].n_tokens:,} others: both must be of the same text"
        )


def _same_place(a: SAE, b: SAE) -> bool:
    """Whether nothing stands between the hook points, so that nothing needs to be carried."""
    here, there = a.conventions.site, b.conventions.site
    return here is not None and there is not None and here.hook == there.hook


def _heard(sae: SAE, activations: FeatureActivations | None) -> SAE:
    """Without the features that never fire: by activations alone they are not vectors."""
    if activations is None:
        return sae
    silent = torch.from_numpy(activations.counts() == 0).to(sae.device) & ~sae.excluded
    if not silent.any():
        return sae
    return dataclasses.replace(sae, exclusions={**sae.exclusions, SILENT: silent})
