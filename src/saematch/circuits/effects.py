"""Direct effects between the features that are active on a prompt.

The value at every site is cut, so that what arrives at one depends on those before it by the paths
that go through no other site. There the pre-activation of feature j of site B at token u has a
gradient with respect to the hidden state of each earlier site A at each token t, and the effect of
feature i is

    activation_i * < decoder row i, d pre_j[u] / d h_A[t] >

decoder, the model's own Jacobian on this prompt, encoder. It is exact to first order: what the
pre-activation loses, per unit, where the feature is taken away a little. The error of an SAE and
what the prompt's tokens bring are nodes like features; a logit, less the mean of all logits, is a
target like a pre-activation. Summed over all that leaves the sites, constants included, effects are
the derivative of the target as all of it is scaled together.

Attribution graphs: Ameisen et al., "Circuit Tracing" (2025), there with transcoders in place of the
MLPs, so that everything between is linear; here with the Jacobian of what is between two sites.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saematch.circuits.active import Active, active
from saematch.circuits.frozen import frozen_attention
from saematch.errors import SaematchError
from saematch.models.cuts import Cut
from saematch.models.language_model import LanguageModel
from saematch.numerics.hardware import MEMORY_SHARE, available_memory
from saematch.sae.sae import SAE

Attention = Literal["frozen", "live"]
ATTENTION: tuple[Attention, ...] = ("frozen", "live")
LOGIT = "logit"
TOKENS = "*tokens*"  # the point where the prompt's tokens come in; no SAE is called so
LOGITS_SHARE, LOGITS = (
    0.95,
    10,
)  # targets: the tokens that have this share together, at most so many
BATCH_TOKENS = 1024
NODES = {
    "node": pl.Int64,
    "kind": pl.String,
    "site": pl.String,
    "feature": pl.Int64,
    "position": pl.Int64,
    "activation": pl.Float64,
    "word": pl.Int64,  # the token's number in the vocabulary
    "probability": pl.Float64,
}


@dataclass(frozen=True, eq=False)
class Effects:
    """Nodes, and what each does to each.

    Nodes are in the order in which the model comes to them: tokens, the sites one after the other
    (features by position, then errors by position), logits.
    """

    nodes: pl.DataFrame  # columns as in NODES
    matrix: Float[Tensor, "target source"]  # in units of the target
    value: Float[Tensor, " target"]  # its pre-activation or logit; NaN where it is no target
    constant: Float[Tensor, " target"]  # effect of what is no node: decoder biases, BOS
    sites: tuple[str, ...]  # in the order in which the model comes to them


def effects(
    model: LanguageModel,
    ids: Int[Tensor, " seq"],
    saes: Mapping[str, SAE],
    hooks: Mapping[str, str],
    *,
    read: Bool[Tensor, " seq"],
    fixed: Bool[Tensor, " seq"],
    attention: Attention = "frozen",
    logits_share: float = LOGITS_SHARE,
    most_logits: int = LOGITS,
    batch_tokens: int = BATCH_TOKENS,
    begun: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Effects:
    """Direct effects between all that is active on a prompt.

    Args:
        model: a model that predicts next tokens.
        ids: of the prompt.
        saes: by name; each is asked for once.
        hooks: where each of them reads, no two at one place.
        read: the tokens at which features count; elsewhere a hidden state is one error node.
        fixed: the tokens of which everything is constant, as BOS is: no nodes.
        attention: whether its patterns are constants (`frozen`), or change with what they are made
            of (`live`).
        logits_share: targets are the likeliest next tokens that together have this probability.
        most_logits: and at most so many.
        batch_tokens: how many tokens are read at once: the prompt is repeated so often, and each
            copy has another target. Memory grows with it, not the result.
        begun: told the site, how many targets are done, and how many there are.

    Raises:
        SaematchError: a hook point that the model lacks, attention that cannot be frozen, or more
            nodes than there is memory for.
    """
    ids, read, fixed = (some.to(model.device) for some in (ids, read, fixed))
    dtype = torch.float32
    start = "hook_embed" if "hook_embed" in hooks.values() else "blocks.0.hook_resid_pre"
    points = {TOKENS: start, **hooks}
    clean = model.cut(ids[None], points)
    if clean.logits.dtype == torch.float64:
        dtype = torch.float64
    here = {point: value[0].detach().to(dtype) for point, value in clean.arrived.items()}
    sites = [point for point in here if point != TOKENS]
    parts = {
        name: active(saes[name].to(ids.device, dtype), here[name], read, fixed) for name in sites
    }
    likely = _likeliest(clean.logits[0].detach().to(dtype), logits_share, most_logits)
    del clean
    nodes = _nodes(ids, parts, ~fixed, likely)
    _check_memory(len(nodes))
    sources = _sources(here[TOKENS], parts, ~fixed)
    targets = _targets(nodes, parts)
    copies = max(1, min(batch_tokens // len(ids), max(len(some.rows) for some in targets)))
    with frozen_attention(model.model) if attention == "frozen" else nullcontext():
        cut = model.cut(ids.expand(copies, -1), points)
    matrix = torch.zeros(len(nodes), len(nodes), dtype=dtype)
    value = torch.full((len(nodes),), torch.nan, dtype=dtype)
    constant = torch.zeros(len(nodes), dtype=dtype)
    done, total = 0, sum(len(some.rows) for some in targets)
    for target in targets:
        begun(target.name, done, total)
        before = sources[: [TOKENS, *sites, LOGIT].index(target.name)]
        leaves = [cut.leaving[source.point] for source in before]
        for some in torch.arange(len(target.rows), device=ids.device).split(copies):
            found = target.values(cut, some)
            slopes = torch.autograd.grad(found.sum(), leaves, retain_graph=True, allow_unused=True)
            rows = target.rows[some.cpu()]
            value[rows] = found.detach().to("cpu", dtype)
            for source, slope in zip(before, slopes, strict=True):
                if slope is not None:
                    of_nodes, of_constants = source.times(slope[: len(some)].to(dtype))
                    matrix[rows, source.nodes] = of_nodes.cpu()
                    constant[rows] += of_constants.cpu()
        done += len(target.rows)
    return Effects(nodes, matrix, value, constant, tuple(sites))


@dataclass(frozen=True, eq=False)
class _Source:
    """What leaves a point, in parts."""

    point: str
    nodes: slice
    written: Float[Tensor, "n d"]  # by the nodes
    position: Int[Tensor, " n"]
    constant: Float[Tensor, "seq d"]  # by what is no node

    def times(
        self, slope: Float[Tensor, "targets seq d"]
    ) -> tuple[Float[Tensor, "targets n"], Float[Tensor, " targets"]]:
        """Effects of the nodes, and of what is none."""
        found = slope.new_zeros(len(slope), len(self.written))
        for t in self.position.unique().tolist():
            here = (self.position == t).nonzero()[:, 0]
            found[:, here] = slope[:, t] @ self.written[here].T
        return found, torch.einsum("ksd,sd->k", slope, self.constant)


@dataclass(frozen=True, eq=False)
class _Target:
    """The targets at one site, or the logits."""

    name: str
    rows: Int[Tensor, " n"]  # their nodes
    values: Callable[[Cut, Tensor], Tensor]  # of those at some places, each in a copy of its own


def _sources(x: Tensor, parts: Mapping[str, Active], noded: Tensor) -> list[_Source]:
    """What leaves each point, in the order of its nodes; `noded`: positions that have any."""
    place = noded.nonzero()[:, 0]
    found = [
        _Source(TOKENS, slice(0, len(place)), x[place], place, x.masked_fill(noded[:, None], 0))
    ]
    for name, part in parts.items():
        begin = found[-1].nodes.stop
        written = torch.cat([part.written, part.error[place]])
        position = torch.cat([part.position, place])
        nodes = slice(begin, begin + len(written))
        found.append(_Source(name, nodes, written, position, part.constant))
    return found


def _targets(nodes: pl.DataFrame, parts: Mapping[str, Active]) -> list[_Target]:
    found = []
    for name, part in parts.items():
        rows = nodes.filter(kind="feature", site=name)["node"].to_torch()
        if len(rows):
            found.append(_Target(name, rows, _pre_activations(name, part)))
    last = nodes.filter(kind=LOGIT)
    words = last["word"].to_torch()

    def less_mean(cut: Cut, some: Tensor) -> Tensor:
        logits = cut.logits[: len(some)]
        logits = logits if logits.dtype == torch.float64 else logits.float()
        chosen = words.to(some.device)[some]
        return logits.gather(1, chosen[:, None])[:, 0] - logits.mean(1)

    return [*found, _Target(LOGIT, last["node"].to_torch(), less_mean)]


def _pre_activations(name: str, part: Active) -> Callable[[Cut, Tensor], Tensor]:
    def values(cut: Cut, some: Tensor) -> Tensor:
        copy = torch.arange(len(some), device=some.device)
        return part.pre_activations(cut.arrived[name][copy, part.position[some]], some)

    return values


def _nodes(
    ids: Tensor, parts: Mapping[str, Active], noded: Tensor, likely: pl.DataFrame
) -> pl.DataFrame:
    place = noded.nonzero()[:, 0].cpu().numpy()
    words = ids.cpu().numpy()
    tables = [
        pl.DataFrame({"position": place, "word": words[place]}).with_columns(kind=pl.lit("token"))
    ]
    for name, part in parts.items():
        features = pl.DataFrame(
            {
                "feature": part.feature.cpu().numpy(),
                "position": part.position.cpu().numpy(),
                "activation": part.activation.double().cpu().numpy(),
            }
        ).with_columns(kind=pl.lit("feature"), site=pl.lit(name))
        errors = pl.DataFrame({"position": place})
        tables += [features, errors.with_columns(kind=pl.lit("error"), site=pl.lit(name))]
    tables.append(likely.with_columns(kind=pl.lit(LOGIT), position=pl.lit(len(ids) - 1, pl.Int64)))
    found = pl.concat(tables, how="diagonal_relaxed").with_row_index("node")
    return found.select(pl.col(name).cast(kind) for name, kind in NODES.items())


def _likeliest(logits: Float[Tensor, " vocabulary"], share: float, most: int) -> pl.DataFrame:
    """`word`, `probability` of the likeliest tokens that together have a share."""
    probability, word = logits.softmax(-1).topk(min(most, len(logits)))
    before = probability.cumsum(0) - probability
    some = before < share
    return pl.DataFrame(
        {"word": word[some].cpu().numpy(), "probability": probability[some].double().cpu().numpy()}
    )


def _check_memory(nodes: int) -> None:
    # the effects, their shares, and those of what is kept
    needed, free = 4 * 4 * nodes**2, MEMORY_SHARE * available_memory()
    if needed > free:
        raise SaematchError(
            f"{nodes:,} nodes, whose effects take {needed / 2**30:.1f} GiB of "
            f"{free / 2**30:.1f} that may be used: take a shorter prompt, or fewer SAEs (sites=, "
            "--sites)"
        )
