"""SAEs of Gemma Scope's size over many layers, made up, and the whole flow through them.

    python -m benchmarks.layers make /tmp/layers --layers 26 --features 16384 --width 2304
    python -m benchmarks.layers flow /tmp/layers /tmp/run

`make` writes Gemma Scope's files (300 MB each at that size). From layer to layer nine features in
ten persist, turned by a random angle, and one in ten is new; the order is shuffled. `flow` runs
`saematch flow` on them and says how long it took, how much memory at most, and how long one float32
product of the pairs' shape takes on the same machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

PERSIST = 0.9


def made_up(
    features: int, width: int, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Layer after layer without end: decoder rows, encoder columns as rows, and thresholds."""

    def gaussian(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def unit(v: torch.Tensor) -> torch.Tensor:
        return v / v.norm(dim=1, keepdim=True)

    # directions are not isotropic: a spectrum that falls off, as in a residual stream
    spectrum = torch.arange(1, width + 1).float().pow(-0.25)
    directions = unit(gaussian(features, width) * spectrum)
    thresholds = torch.exp(0.4 * gaussian(features, 1)) * 4
    while True:
        encoders = unit(directions + 0.7 * unit(gaussian(features, width) * spectrum))
        yield directions, encoders, thresholds
        order = torch.randperm(features, generator=generator)
        new = torch.rand(features, 1, generator=generator) > PERSIST
        turned = directions + torch.rand(features, 1, generator=generator) * unit(
            gaussian(features, width) * spectrum
        )
        fresh = gaussian(features, width) * spectrum
        directions = unit(torch.where(new, fresh, turned))[order]
        thresholds = (thresholds * torch.exp(0.1 * gaussian(features, 1)))[order]


def make(folder: Path, layers: int, features: int, width: int) -> None:
    made = made_up(features, width, torch.Generator().manual_seed(0))
    for layer, (directions, encoders, thresholds) in zip(range(layers), made, strict=False):
        place = folder / f"layer_{layer}" / f"width_{features}" / "average_l0_70"
        place.mkdir(parents=True, exist_ok=True)
        np.savez(
            place / "params.npz",
            W_dec=directions.numpy(),
            W_enc=encoders.T.contiguous().numpy(),
            b_enc=np.zeros(features, np.float32),
            b_dec=np.zeros(width, np.float32),
            threshold=thresholds[:, 0].numpy(),
        )
        print(place, flush=True)


def flow(folder: Path, run: Path) -> None:
    found = sorted(folder.glob("layer_*/*/*"), key=lambda p: int(p.parts[-3].split("_")[1]))
    start = time.perf_counter()
    command = [sys.executable, "-m", "saematch", "flow", *map(str, found), "-o", str(run)]
    done = subprocess.run(command, check=False)
    seconds = time.perf_counter() - start
    highest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    if done.returncode:
        raise SystemExit(done.returncode)
    manifest = json.loads((run / "run.json").read_text())
    from benchmarks.assignment import product

    sae, pairs = manifest["saes"][0], manifest["pairs"]
    generator = torch.Generator().manual_seed(0)
    shape = sae["d_sae"], 2 * sae["d_in"]
    one = product(*(torch.randn(*shape, generator=generator) for _ in range(2)))
    matching = sum(pair["summary"]["seconds"] for pair in pairs)
    print(
        f"\n{len(pairs)} pairs of {sae['d_sae']:,} features in {seconds / 60:.1f} min, of which "
        f"{matching / 60:.1f} min matching: {matching / len(pairs):.1f} s a pair, "
        f"{matching / len(pairs) / one:.2f} times one float32 product of {one:.1f} s; "
        f"{highest:.2f} GiB at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["make", "flow"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--layers", type=int, default=26)
    parser.add_argument("--features", type=int, default=16384)
    parser.add_argument("--width", type=int, default=2304)
    options = parser.parse_args()
    if options.what == "make":
        make(options.folder, options.layers, options.features, options.width)
    elif options.run is None:
        parser.error("flow needs the directory of a run")
    else:
        flow(options.folder, options.run)


if __name__ == "__main__":
    main()
