"""A cache of the Hugging Face hub, made by hand."""

import numpy as np

D_IN, D_SAE = 12, 40
MAIN, OLD = "a" * 40, "b" * 40
GEMMA = "google/gemma-scope-2b-pt-res"


def random_arrays(d_in, d_sae, seed):
    generator = np.random.default_rng(seed)

    def draw(*shape):
        return generator.standard_normal(shape, dtype=np.float32)

    return {
        "W_enc": draw(d_in, d_sae),
        "W_dec": draw(d_sae, d_in),
        "b_enc": draw(d_sae),
        "b_dec": draw(d_in),
        "threshold": np.abs(draw(d_sae)),
    }


class Cache:
    """A hub cache: `models--ORG--NAME/{refs, snapshots}`."""

    def __init__(self, home):
        self.home = home
        self.hub = home / "hub"

    def folder(self, repo, commit=MAIN, ref="main"):
        root = self.hub / f"models--{repo.replace('/', '--')}"
        (root / "refs").mkdir(parents=True, exist_ok=True)
        (root / "refs" / ref).write_text(commit)
        snapshot = root / "snapshots" / commit
        snapshot.mkdir(parents=True, exist_ok=True)
        return snapshot

    def save(self, inner, seed=0, repo=GEMMA, commit=MAIN, ref="main"):
        path = self.folder(repo, commit, ref) / inner
        path.mkdir(parents=True, exist_ok=True)
        arrays = random_arrays(D_IN, D_SAE, seed)
        np.savez(path / "params.npz", **arrays)
        return arrays
