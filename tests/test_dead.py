"""Features that never fired, and the note of a shared seed, in Python as on the command line."""

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

import saematch
from saematch.cli.report import _once

CONTEXTS = pl.List(
    pl.Struct(
        {n: pl.String for n in ("before", "token", "after")}
        | {"activation": pl.Float32, "source": pl.String}
    )
)


def folder(path, seed, frequency, d=8, n=24):
    random = torch.Generator().manual_seed(seed)
    path.mkdir()
    directions = torch.nn.functional.normalize(torch.randn(n, d, generator=random), dim=1)
    weights = {
        "W_dec": directions,
        "W_enc": directions.T.contiguous(),
        "b_enc": torch.zeros(n),
        "b_dec": torch.zeros(d),
    }
    save_file(weights, path / "sae_weights.safetensors")
    (path / "cfg.json").write_text(
        f'{{"architecture": "standard", "d_in": {d}, "d_sae": {n}, "dtype": "float32", '
        '"hook_name": "blocks.0.hook_resid_post", "normalize_activations": "none"}'
    )
    if frequency is not None:
        pl.DataFrame(
            {
                "feature": range(n),
                "frequency": frequency,
                "mean_activation": 1.0,
                "max_activation": 1.0,
                "contexts": pl.Series([[]] * n, dtype=CONTEXTS),
            }
        ).write_parquet(path / "features.parquet")
    return saematch.load(path)


def test_features_that_a_table_says_never_fired_take_no_part(tmp_path):
    frequency = [None if i == 5 else 0.0 if i in (3, 7) else 0.1 for i in range(24)]
    a, b = folder(tmp_path / "a", 0, frequency), folder(tmp_path / "b", 0, None)
    found = saematch.match(a, b, "cosine", null="none")
    assert found.excluded[0]["dead"].nonzero().flatten().tolist() == [3, 7]
    assert found.target[[3, 7]].tolist() == [-1, -1]
    assert found.target[5] == 5
    assert found.excluded[1] == {}
    assert found.to_polars()["excluded"][3] == "dead"


def test_a_shared_seed_is_a_note_of_the_matching(tmp_path):
    a = folder(tmp_path / "a", 0, None)
    near = folder(tmp_path / "near", 0, None)
    near.W_dec[0] = -near.W_dec[0]
    other = folder(tmp_path / "other", 1, None)
    of = {
        name: saematch.match(a, b, "cosine", null="none").notes
        for name, b in {"same": a, "near": near, "other": other}.items()
    }
    assert any("these are the same weights" in note for note in of["same"])
    assert any("seem to have started from the same random weights" in note for note in of["near"])
    assert not any("same" in note and "weights" in note for note in of["other"])


@pytest.mark.parametrize("names", [["r_1", "r_10", "r_2"]])
def test_notes_that_differ_in_names_alone_are_shown_once(names):
    notes = [
        "r_1: folded",
        "r_10: folded",
        "r_2: folded",
        "r_1: 3 dead",
        "r_2: 4 dead",
        "r_1: 3 dead",
    ]
    assert _once(notes, names) == [
        "r_1: folded (the same of 2 more)",
        "r_1: 3 dead",
        "r_2: 4 dead",
    ]
