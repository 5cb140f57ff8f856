"""Where the time of one whole pair goes, in products of its shape.

    python -m benchmarks.pair 8192
    python -m benchmarks.pair 16384 --method cosine --precision bfloat16 --repetitions 3

Two SAEs as `benchmarks.layers` makes them, neighbours of which nine features in ten persist, and
`saematch.match` on them. Each step is given as a ratio to one float32 product of the vectors that
are assigned, before and after in the same run: first by the clock, then in processor time, which
other work on the same cores disturbs less. A step includes those that stand indented below it.
`--precision` sets what a precision of "auto" means; by default what is fastest here.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import time
from collections.abc import Callable, Iterator

import polars as pl
import torch

from benchmarks.assignment import product
from saematch import SAE, Conventions, match
from saematch.matching.methods import resolve
from saematch.matching.problem import pose
from saematch.numerics import hardware

PERSIST = 0.9
# functions by file and name, under what they are part of
STEPS = {
    "whole pair": ("matching/solving.py", "match"),
    "  fold and stack": ("matching/problem.py", "pose"),
    "    fold": ("sae/folding.py", "fold"),
    "  assignment": ("assignment/solve.py", "assign"),
    "    check": ("assignment/problem.py", "problem"),
    "    product": ("assignment/scoring.py", "_product"),
    "    lists": ("assignment/scoring.py", "_select"),
    "    bidding": ("assignment/auction/engine.py", "_bid"),
    "    scaled auctions": ("assignment/auction/engine.py", "_scale"),
    "  directions": ("matching/problem.py", "directed"),
    "  neighbours": ("assignment/neighbours.py", "neighbours"),
    "  nulls": ("matching/solving.py", "_chances"),
    "    draw": ("matching/nulls.py", "draw"),
    "    moments": ("matching/significance.py", "_moments"),
    "  p-values": ("matching/significance.py", "p_value"),
    "  measures": ("matching/measures.py", "of"),
    "  tables": ("matching/solving.py", "_ranked"),
}


def neighbouring(features: int, width: int, seed: int = 0) -> Iterator[SAE]:
    """SAEs of one layer after the other, of which nine in ten features persist."""
    generator = torch.Generator().manual_seed(seed)

    def gaussian(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def unit(v: torch.Tensor) -> torch.Tensor:
        return v / v.norm(dim=1, keepdim=True)

    spectrum = torch.arange(1, width + 1).float().pow(-0.25)
    directions = unit(gaussian(features, width) * spectrum)
    thresholds = torch.exp(0.4 * gaussian(features, 1)) * 4
    while True:
        encoders = unit(directions + 0.7 * unit(gaussian(features, width) * spectrum))
        yield SAE(
            W_enc=encoders.T.contiguous(),
            W_dec=directions,
            b_enc=torch.zeros(features),
            b_dec=torch.zeros(width),
            threshold=thresholds[:, 0].clone(),
            conventions=Conventions("jumprelu", source="made up"),
        )
        order = torch.randperm(features, generator=generator)
        new = torch.rand(features, 1, generator=generator) > PERSIST
        moved = gaussian(features, width) * spectrum
        turned = directions + torch.rand(features, 1, generator=generator) * unit(moved)
        fresh = gaussian(features, width) * spectrum
        directions = unit(torch.where(new, fresh, turned))[order]
        thresholds = (thresholds * torch.exp(0.1 * gaussian(features, 1)))[order]


def profiled(work: Callable[[], object], timer: Callable[[], float]) -> dict[str, float]:
    """Seconds of each of `STEPS` while `work` ran, by a clock."""
    profile = cProfile.Profile(timer)
    profile.runcall(work)
    found = dict.fromkeys(STEPS, 0.0)
    for (file, _, name), (*_, seconds, _) in pstats.Stats(profile).stats.items():  # pyright: ignore[reportAttributeAccessIssue]
        for step, (where, function) in STEPS.items():
            if name == function and file.endswith(f"saematch/{where}"):
                found[step] += seconds
    return found


def timed(work: Callable[[], object], timer: Callable[[], float]) -> float:
    start = timer()
    work()
    return timer() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # pyright: ignore[reportOptionalMemberAccess]
    parser.add_argument("features", type=int)
    parser.add_argument("--width", type=int, default=2304)
    parser.add_argument("--method", default="sae-match")
    parser.add_argument("--precision", choices=["float32", "bfloat16"])
    parser.add_argument("--repetitions", type=int, default=1)
    options = parser.parse_args()
    if options.precision:
        hardware.fastest = lambda _: options.precision
    warm = neighbouring(1024, options.width)
    match(next(warm), next(warm), options.method)
    saes = neighbouring(options.features, options.width)
    a, b = next(saes), next(saes)
    posed = pose(a, b, resolve(options.method))
    shape = posed.x.shape
    del posed

    def one(timer: Callable[[], float]) -> float:
        x, y = (torch.randn(shape) for _ in range(2))
        return timed(lambda: product(x, y), timer)

    ratios = []
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    for _ in range(options.repetitions):
        for clock, timer in clocks.items():
            before = one(timer)
            taken = profiled(lambda: match(a, b, options.method), timer)
            yardstick = (before + one(timer)) / 2
            ratios.append((clock, yardstick, {s: t / yardstick for s, t in taken.items()}))
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{options.method}, {shape[0]:,} features, D = {shape[1]:,}, "
        f"{options.precision or hardware.fastest(a.device)}, {torch.get_num_threads()} threads, "
        f"{highest:.2f} GiB at most; a product takes "
        + ", ".join(f"{seconds:.1f} s ({clock})" for clock, seconds, _ in ratios)
    )
    table: dict[str, list] = {"step": list(STEPS)}
    for number, (clock, _, ratio) in enumerate(ratios):
        table[f"{clock} {number // 2 + 1}"] = [round(value, 2) for value in ratio.values()]
    pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
    )
    print(pl.DataFrame(table))


if __name__ == "__main__":
    main()
