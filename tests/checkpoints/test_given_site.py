"""Sites that a user gives, for files that do not say where they read."""

import numpy as np
import pytest

from checkpoints.hub_cache import random_arrays
from saematch import Site
from saematch.errors import CheckpointError, SaematchError

POST = "blocks.{layer}.hook_resid_post"


@pytest.fixture
def save(tmp_path):
    """`save(path)`: a file of the layout of Gemma Scope, which says nothing of its site."""

    def write(inner):
        folder = tmp_path / inner
        folder.mkdir(parents=True)
        np.savez(folder / "params.npz", **random_arrays(12, 40, 0))
        return folder

    return write


def test_the_layer_is_filled_in_from_the_path(load, save):
    assert load(save("layer_12/width_4096"), site=POST).conventions.site == Site(
        "blocks.12.hook_resid_post", "resid_post", 12
    )
    given = load(save("l7/x"), site="layers.{layer}.mlp").conventions
    assert given.site == Site("layers.7.mlp", "mlp_out", 7)
    assert not any("guessed" in note or "unknown" in note for note in given.notes)


def test_a_site_may_be_given_in_full(load, save):
    folder = save("mine")
    site = Site("blocks.4.mlp.hook_post", "other", 4)
    assert load(folder, site=site).conventions.site == site
    assert load(folder, site="blocks.4.attn.hook_z").conventions.site == Site(
        "blocks.4.attn.hook_z", "attn_z", 4
    )
    written = Site("blocks.{layer}.hook_mlp_in", "mlp_in", None, "blocks.{layer}.hook_mlp_out")
    assert load(save("layer_2/tc"), site=written).conventions.site == Site(
        "blocks.2.hook_mlp_in", "mlp_in", 2, "blocks.2.hook_mlp_out"
    )


def test_without_a_layer_there_is_none_to_fill_in(load, save):
    with pytest.raises(CheckpointError, match=r"states no layer.*such as blocks\.0\.hook_resid"):
        load(save("mine"), site=POST)


def test_what_is_given_wins_and_a_difference_is_noted(load, jumprelu_files, tmp_path):
    jumprelu_files(tmp_path, hook="blocks.3.hook_resid_post")
    other = load(tmp_path, site="blocks.{layer}.hook_resid_pre").conventions
    assert other.site == Site("blocks.3.hook_resid_pre", "resid_pre", 3)
    assert [note for note in other.notes if "blocks.3.hook_resid_post" in note] == [
        "read at blocks.3.hook_resid_pre, as it was given; its file or path says "
        "blocks.3.hook_resid_post"
    ]
    # one place in two libraries' words is no difference
    for same in ("layers.3", POST):
        assert load(tmp_path, site=same).conventions.notes == load(tmp_path).conventions.notes


@pytest.mark.parametrize("site", ["", "  ", 5, "blocks.{lay}.hook_resid_post", "blocks.{layer", []])
def test_what_is_no_site_is_refused(load, save, site):
    with pytest.raises(SaematchError, match=r"site is .*expected a hook"):
        load(save("layer_1"), site=site)
