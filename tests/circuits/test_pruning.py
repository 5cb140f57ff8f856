"""What is kept of effects: by hand, and held against sums over all paths."""

import numpy as np
import pytest
import torch

from saematch import SaematchError
from saematch.circuits.pruning import Roles, influence, prune, shares

# 0: token, 1: error, 2 and 3: features, 4: feature that leads nowhere, 5 and 6: logits
EFFECTS = torch.zeros(7, 7)
for target, source, effect in [
    (2, 0, 3.0),
    (2, 1, -1.0),
    (3, 0, 1.0),
    (3, 2, -1.0),
    (4, 2, 5.0),
    (5, 2, 1.0),
    (5, 3, -3.0),
    (6, 3, 2.0),
]:
    EFFECTS[target, source] = effect
ROLES = Roles(
    torch.tensor([0, 0, 0, 0, 0, 0.6, 0.2]),
    torch.tensor([True, *[False] * 6]),
    torch.tensor([False, True, *[False] * 5]),
)


def test_influence_is_the_sum_over_paths_of_products_of_shares():
    found = influence(shares(EFFECTS), ROLES.weight)
    three = 0.75 * 0.75 + 0.25  # of both logits, weighted 3 to 1
    two = 0.75 * 0.25 + three * 0.5
    expected = [two * 0.75 + three * 0.5, two * 0.25, two, three, 0, 0.75, 0.25]
    assert found.tolist() == pytest.approx(expected)
    assert float(found[:2].sum()) == pytest.approx(1)  # every path begins at the bottom


def test_influence_of_any_graph_is_that_of_the_inverse():
    g = torch.Generator().manual_seed(0)
    effects = torch.randn(40, 40, generator=g, dtype=torch.float64).tril(-1)
    effects[torch.rand(40, 40, generator=g) < 0.5] = 0
    effects[:5] = 0
    weight = torch.zeros(40, dtype=torch.float64)
    weight[-4:] = torch.rand(4, generator=g, dtype=torch.float64)
    effects[:, -4:] = 0
    share = shares(effects)
    whole = torch.linalg.inv(torch.eye(40, dtype=torch.float64) - share)
    torch.testing.assert_close(influence(share, weight), weight / weight.sum() @ whole)
    assert effects.abs().sum() > 0  # shares() leaves effects alone


def test_scores_are_those_of_the_whole_graph():
    kept = prune(EFFECTS, ROLES)
    three, two = 0.8125, 0.59375
    total = two * 0.75 + three * 0.5 + two * 0.25 + two + three + 1
    # only into feature 2 comes an error, a quarter of all that does
    assert kept.completeness == pytest.approx(1 - 0.25 * two / total)
    assert kept.replacement == pytest.approx(1 - two * 0.25)


def test_what_leads_nowhere_is_left_out_and_tokens_and_logits_stay():
    every = prune(EFFECTS, ROLES, 1, 1)
    assert every.nodes.tolist() == [0, 1, 2, 3, 5, 6]
    assert [4, 2] not in every.edges.tolist()
    assert len(every.edges) == 7
    few = prune(EFFECTS, ROLES, 0.5, 1)
    assert few.nodes.tolist() == [0, 3, 5, 6]  # the token and feature 3 have most of the influence
    assert few.edges.tolist() == [[3, 0], [5, 3], [6, 3]]


def test_edges_are_kept_by_the_influence_that_goes_through_them():
    # between the nodes kept, 1 goes through the edge into feature 3, 0.75 and 0.25 to the logits
    assert prune(EFFECTS, ROLES, 0.5, 0.8).edges.tolist() == [[3, 0], [5, 3]]
    # an edge that no longer leads to a logit goes, and the feature with it
    alone = prune(EFFECTS, ROLES, 0.5, 0.4)
    assert alone.edges.tolist() == []
    assert alone.nodes.tolist() == [0, 5, 6]


def test_a_share_explains_as_much_and_no_more_than_needed():
    g = torch.Generator().manual_seed(1)
    effects = torch.randn(60, 60, generator=g).tril(-1)
    effects[:6] = 0
    weight = torch.zeros(60)
    weight[-3:] = torch.tensor([0.5, 0.2, 0.1])
    effects[:, -3:] = 0
    error = torch.zeros(60, dtype=torch.bool)
    error[3:6] = True
    token = torch.zeros(60, dtype=torch.bool)
    token[:3] = True
    kept = prune(effects, Roles(weight, token, error), 0.7, 1)
    own = kept.influence.clone()
    own[-3:] = 0
    inner = [n for n in kept.nodes.tolist() if n >= 3 and n < 57]
    least = min(own[n] for n in inner)
    above = own[own > least].sum() / own.sum()
    assert above < 0.7 <= own[own >= least].sum() / own.sum()


def test_nothing_comes_of_nothing():
    kept = prune(torch.zeros(7, 7), ROLES)
    assert kept.nodes.tolist() == [0, 5, 6]
    assert len(kept.edges) == 0
    assert np.isfinite([kept.completeness, kept.replacement]).all()


@pytest.mark.parametrize(("nodes", "edges"), [(1.1, 0.9), (0.8, -0.1)])
def test_shares_beyond_all_are_refused(nodes, edges):
    with pytest.raises(SaematchError, match="between 0 and 1"):
        prune(EFFECTS, ROLES, nodes, edges)
