# pyright: strict
"""What of all effects between nodes matters to the predictions.

As circuit-tracer prunes attribution graphs (Ameisen et al., "Circuit Tracing", 2025): the effects
into a target count by their share of the sum of their absolute values. The influence of a node is
the sum, over all paths from it to the logits, of the product of the shares along the path, each
logit weighted by its probability. The nodes that have most of it are kept, then the edges between
them that do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saematch.errors import SaematchError

NODES_SHARE, EDGES_SHARE = 0.8, 0.98


@dataclass(frozen=True, eq=False)
class Roles:
    """What nodes are. Sources of a node have smaller numbers than it."""

    weight: Float[Tensor, " nodes"]  # of the logits: their probability; 0 elsewhere
    token: Bool[Tensor, " nodes"]
    error: Bool[Tensor, " nodes"]

    @property
    def logit(self) -> Bool[Tensor, " nodes"]:
        """The last targets."""
        return self.weight > 0


@dataclass(frozen=True, eq=False)
class Pruned:
    """What is kept of a graph, and figures of the whole graph."""

    influence: Float[Tensor, " nodes"]  # on the logits, as a share of all of it: see the module
    nodes: Int[Tensor, " kept"]
    edges: Int[Tensor, "kept_edges 2"]  # target, source
    completeness: float
    replacement: float


def shares(effects: Float[Tensor, "target source"]) -> Float[Tensor, "target source"]:
    """Absolute effects as shares of their sum into the same target; 0 where nothing comes in."""
    size = effects.abs()
    whole = size.sum(1, keepdim=True)
    return size.div_(torch.where(whole > 0, whole, torch.ones_like(whole)))


def influence(
    share: Float[Tensor, "target source"], weight: Float[Tensor, " target"]
) -> Float[Tensor, " source"]:
    """The influence of each node on the logits, whose own is their weight as a share of all."""
    step = weight / weight.sum()
    found = step.clone()
    # a path takes one step at most from each node to an earlier one
    for _ in range(len(share)):
        step = step @ share
        if not step.any():
            break
        found += step
    return found


def prune(
    effects: Float[Tensor, "target source"],
    roles: Roles,
    nodes: float = NODES_SHARE,
    edges: float = EDGES_SHARE,
) -> Pruned:
    """The nodes that have a share of all influence, and the edges that have one among those.

    Tokens and logits are kept; of the others what has an edge into it (but errors) and one out of
    it.

    Args:
        effects: direct effects.
        roles: what the nodes are.
        nodes: the share of the influence, summed over all nodes but logits, that those kept have.
        edges: the share that the edges kept have of the influence through those between the nodes
            kept.

    Raises:
        SaematchError: a share is not between 0 and 1.
    """
    check_shares(nodes, edges)
    share = shares(effects)
    found = influence(share, roles.weight)
    own = found.masked_fill(roles.logit, 0)
    always = roles.token | roles.logit
    kept = _most(own, nodes) | always
    completeness, replacement = _scores(share, found, roles)
    at = kept.nonzero()[:, 0]
    del share
    among = shares(effects[at][:, at])
    through = among * influence(among, roles.weight[at])[:, None]
    lines = _most(through.flatten(), edges).view_as(through) & (through > 0)
    stays = _connected(lines, always[at], roles.error[at])
    lines &= stays[:, None] & stays[None]
    return Pruned(found, at[stays], at[lines.nonzero()], completeness, replacement)


def check_shares(nodes: float, edges: float) -> None:
    """Raise SaematchError where `prune` cannot keep such shares."""
    for name, value in (("nodes", nodes), ("edges", edges)):
        if not 0 <= value <= 1:
            raise SaematchError(
                f"{name} (--{name}) is {value:g}; it is the share of influence that is kept, "
                "between 0 and 1"
            )


def _scores(
    share: Float[Tensor, "target source"], found: Float[Tensor, " nodes"], roles: Roles
) -> tuple[float, float]:
    """How much of what comes into a node is no error, by influence; of what comes from the bottom.

    The bottom is tokens and errors: every path begins there.
    """
    errors = share[:, roles.error].sum(1)
    # nothing comes into tokens and errors themselves
    completeness = ((1 - errors) * found).sum() / found.sum()
    tokens, wrong = found[roles.token].sum(), found[roles.error].sum()
    return float(completeness), float(tokens / (tokens + wrong)) if tokens + wrong > 0 else 0.0


def _most(values: Float[Tensor, " n"], share: float) -> Bool[Tensor, " n"]:
    """The largest values that together have a share of the sum of all; ties are kept."""
    ranked = values.sort(descending=True).values
    so_far = ranked.double().cumsum(0)
    enough = torch.searchsorted(so_far, share * so_far[-1:])
    return values >= ranked[enough.clamp(max=len(ranked) - 1)]


def _connected(
    lines: Bool[Tensor, "target source"], always: Bool[Tensor, " n"], error: Bool[Tensor, " n"]
) -> Bool[Tensor, " n"]:
    """Nodes that are on a path of such edges from something at the bottom to a logit."""
    stays = torch.ones_like(always)
    while True:
        there = lines & stays[:, None] & stays[None]
        new = always | (there.any(0) & (there.any(1) | error))
        if torch.equal(new, stays):
            return stays
        stays = new & stays
