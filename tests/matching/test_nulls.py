import pytest
import torch

from saematch.matching.nulls import draw, split

WIDTHS = (12, 12, 1)


def target(m: int = 40) -> torch.Tensor:
    """Decoder, encoder near it, and bias, stacked; with a mean and few large directions."""
    g = torch.Generator().manual_seed(0)
    decoder = torch.randn(m, 12, generator=g) * torch.logspace(0, -1, 12) + 0.3
    encoder = 3 * decoder + 0.3 * torch.randn(m, 12, generator=g)
    return torch.cat([decoder, encoder, torch.randn(m, 1, generator=g)], 1)


def drawn(null, y: torch.Tensor, count: int, seed: int = 0) -> torch.Tensor:
    dictionaries = draw(null, split(y, WIDTHS)[0], WIDTHS, torch.Generator().manual_seed(seed))
    return torch.stack([next(dictionaries) for _ in range(count)])


def test_split_into_directions_and_norms():
    y = target()
    u, norms = split(y, WIDTHS)
    torch.testing.assert_close(norms[:, 0], y[:, :12].norm(dim=1))
    torch.testing.assert_close(norms[:, 1], y[:, 12:24].norm(dim=1))
    torch.testing.assert_close(norms[:, 2], y[:, 24])  # with its sign
    torch.testing.assert_close(u * norms.repeat_interleave(torch.tensor(WIDTHS), 1), y)
    zero = split(torch.zeros(2, 25), WIDTHS)[0]
    assert zero.isfinite().all()


@pytest.mark.parametrize("null", ["covariance", "rotation"])
def test_null_directions_have_unit_norm_in_each_view_and_are_seeded(null):
    z = drawn(null, target(), 3)
    assert z.shape == (3, 40, 25)
    for view in (z[..., :12], z[..., 12:24], z[..., 24:]):
        torch.testing.assert_close(view.norm(dim=-1), torch.ones(3, 40))
    assert torch.equal(z, drawn(null, target(), 3))
    assert not torch.allclose(z[0], z[1], atol=0.1)
    assert not torch.allclose(z, drawn(null, target(), 3, seed=1), atol=0.1)


@pytest.mark.parametrize("in_time", [(), (False, True, False)])
@pytest.mark.parametrize("rows", [slice(5), torch.tensor([7, 0, 39])])
@pytest.mark.parametrize("null", ["covariance", "rotation"])
def test_some_rows_of_a_dictionary_are_those_of_the_whole(null, rows, in_time):
    u = split(target(), WIDTHS)[0]

    def drawn(*some):
        return draw(null, u, WIDTHS, torch.Generator().manual_seed(3), in_time, *some)

    for _, part, whole in zip(range(2), drawn(rows), drawn(), strict=False):
        torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize("m", [1, 2, 31, 33, 64])
def test_any_number_of_features_can_be_mixed(m):
    z = drawn("covariance", target(m), 2)
    assert z.shape == (2, m, 25)
    assert z.isfinite().all()


def test_the_covariance_null_is_gaussian_with_the_targets_moments_and_then_of_unit_norm():
    """Against the definition: Gaussians of that mean and covariance, then unit norms."""
    u = split(target(), WIDTHS)[0]
    z = drawn("covariance", target(), 300).flatten(0, 1)[:, :24].double()
    centred = (u - u.mean(0))[:, :24].double()
    g = torch.Generator().manual_seed(5)
    weights = torch.randn(len(z), len(u), generator=g, dtype=torch.float64) / len(u) ** 0.5
    gaussian = u.mean(0)[:24] + weights @ centred
    expected = split(gaussian, WIDTHS[:2])[0]
    torch.testing.assert_close(z.mean(0), expected.mean(0), rtol=0, atol=0.02)
    torch.testing.assert_close(z.T.cov(), expected.T.cov(), rtol=0, atol=0.01)
    # the encoder of a null feature lies near its decoder, as it does in the target
    between = (z[:, :12] * z[:, 12:]).sum(1).mean()
    assert float(between) > 0.9
    # and the null is no copy of the target
    assert float((z[:, :24] @ u[:, :24].T.double()).max(1).values.mean()) < 1.9


def test_unit_norm_takes_a_little_from_the_largest_direction():
    g = torch.Generator().manual_seed(1)
    y = torch.randn(1024, 128, generator=g)
    y[:, 0] *= 6
    u = split(y, (128,))[0]
    z = next(draw("covariance", u, (128,), torch.Generator().manual_seed(0)))
    # the one dimension holds 0.177 of the target's squared length, 0.143 of the null's
    assert 0.75 < float(z[:, 0].square().mean() / u[:, 0].square().mean()) < 0.9


def test_rotation_turns_views_of_one_space_together():
    u = split(target(), WIDTHS)[0]
    z = drawn("rotation", target(), 1)[0]
    torch.testing.assert_close(z[:, :12] @ z[:, :12].T, u[:, :12] @ u[:, :12].T)
    torch.testing.assert_close(z[:, :12] @ z[:, 12:24].T, u[:, :12] @ u[:, 12:24].T)
    # the mean has gone elsewhere: nothing is kept but angles within the dictionary
    means = drawn("rotation", target(), 200)[:, :, :12].mean((0, 1))
    assert float(means.norm()) < 0.2 * float(u[:, :12].mean(0).norm())
