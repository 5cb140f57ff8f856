"""An SAE of Gemma Scope at its real size, in a hub cache: how much memory loading takes."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from .hub_cache import GEMMA, Cache, random_arrays

FULL_IN, FULL_SAE = 2304, 16_384
INNER = "layer_12/width_16k/average_l0_82"


@pytest.fixture(scope="session")
def full_size(tmp_path_factory):
    """Gemma Scope 2B at its real size, 302 MB, in a cache of its own."""
    cache = Cache(tmp_path_factory.mktemp("full"))
    path = cache.folder(GEMMA) / INNER
    path.mkdir(parents=True)
    arrays = random_arrays(FULL_IN, 64, 0)
    repeats = FULL_SAE // 64
    with zipfile.ZipFile(path / "params.npz", "w") as archive:
        for name, value in arrays.items():
            # the features repeat, so that writing needs little memory and no long computation
            axis = value.ndim - 1 if name == "W_enc" else 0
            whole = value if name == "b_dec" else np.repeat(value, repeats, axis=axis)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, whole, allow_pickle=False)
    assert (path / "params.npz").stat().st_size > 300_000_000
    yield cache
    (path / "params.npz").unlink()


_MEASURE = """
import resource, sys, time
import torch
import saematch
import saematch.checkpoints
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, start = peak(), time.perf_counter()
sae = saematch.load(sys.argv[1])
print(peak() - before, time.perf_counter() - start, *sae.W_enc.shape, int(sae.excluded.sum()))
"""


def test_full_size_in_little_more_than_its_own_memory(full_size):
    environment = {**os.environ, "HF_HOME": str(full_size.home), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, f"{GEMMA}/{INNER}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    megabytes, _, d_in, d_sae, excluded = map(float, done.stdout.split())
    assert (d_in, d_sae, excluded) == (FULL_IN, FULL_SAE, 0)
    # 288 MiB of weights; a second copy would double that
    assert megabytes < 1.25 * 288
