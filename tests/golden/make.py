"""The run in this folder, which tests in Python and of the page read for ever.

`python tests/golden/make.py` makes it anew: only when the format's version becomes larger, beside
the old one, which must stay readable.
"""

import dataclasses
import shutil
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))


def main() -> None:
    """Three layers of 24 features, each a permutation of the one before with noise."""
    import saematch
    from saematch import Site
    from support.saes import make_sae, permuted

    saes = [make_sae(8, 24, layer=0, name="golden/resid_post_0", seed=7)]
    for layer in (1, 2):
        order = torch.randperm(24, generator=torch.Generator().manual_seed(layer))
        moved = permuted(saes[-1], order, noise=0.3, seed=layer)
        site = Site(f"blocks.{layer}.hook_resid_post", "resid_post", layer)
        source = f"golden/resid_post_{layer}"
        conventions = dataclasses.replace(moved.conventions, site=site, source=source)
        saes.append(dataclasses.replace(moved, conventions=conventions))
    shutil.rmtree(HERE / "run", ignore_errors=True)
    saematch.flow(saes, pairs="all", out=HERE / "run")


if __name__ == "__main__":
    main()
