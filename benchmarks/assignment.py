"""How long does an assignment take? Ours and its peers on the same problem, one after the other.

    python -m benchmarks.assignment 2048 4096 --width 1024
    python -m benchmarks.assignment 65536 --width 1024 --peers none
    python -m benchmarks.assignment 65536 --width 512 --data folded --distance --peers none
    python -m benchmarks.assignment 520 2000 --degenerate

Problems: "structured", two dictionaries with clusters of which 60 % of the features persist, folded
decoder and encoder beside one another; "folded", two layers of `benchmarks.layers`; "unrelated",
Gaussian; "shipped", features of the SAEs that
come with saematch. Times are ratios to one float32 product of the same shape in the same run (the
mean of one before and one after each solver).
Peers are given the dense scores: computing them costs each of them one product more. lapx, OR-Tools
and POT are left out, and said to be, where they are not installed. Memory is the highest resident
size of the process while the solver ran, less what it was before.

`--degenerate`: scores that tie in masses, or nearly, instead; processor time as a ratio to scipy's,
the product included for all.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import threading
import time
from collections.abc import Callable

import numpy as np
import polars as pl
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks.layers import made_up
from saematch import assign


def structured(n: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two dictionaries of which 60 % persists: folded decoder rows beside encoder columns."""
    generator = torch.Generator().manual_seed(seed)
    half = width // 2

    def gaussian(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def uniform() -> Tensor:
        return torch.rand(n, 1, generator=generator)

    def unit(v: Tensor) -> Tensor:
        return v / v.norm(dim=1, keepdim=True)

    def directions() -> Tensor:
        centres = gaussian(max(1, n // 32), half)
        chosen = torch.randint(len(centres), (n,), generator=generator)
        return unit(gaussian(n, half) + 0.8 * uniform() * centres[chosen])

    def encoders(decoders: Tensor) -> Tensor:
        return unit(decoders + 0.7 * unit(gaussian(n, half)))

    a = directions()
    persists = (uniform() < 0.6).float()
    moved = a + uniform() * unit(gaussian(n, half))
    b = unit(persists * moved + (1 - persists) * directions())[
        torch.randperm(n, generator=generator)
    ]
    thresholds = [torch.exp(0.5 * gaussian(n, 1)) for _ in range(2)]
    x, y = (torch.cat([d * t, encoders(d) / t], 1) for d, t in zip((a, b), thresholds, strict=True))
    return x, y


def unrelated(n: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(n, width, generator=generator) for _ in range(2))
    return x, y


def folded(n: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two layers as `benchmarks.layers` makes them, folded by their thresholds.

    Their squared distances (`--distance`) make price wars.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = itertools.islice(made_up(n, width // 2, generator), 2)
    x, y = (torch.cat([d * t, e / t], 1) for d, e, t in layers)
    return x, y


def shipped(n: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """SAE Match's vectors of SAEs that come with saematch: n features of two unions of SAEs.

    Real features, none repeated, but a union of dictionaries is no dictionary. There are 6,144 on
    either side, of 256 numbers; `width` is not used.
    """
    import saematch
    from saematch.matching.methods import resolve
    from saematch.matching.problem import pose

    sides = (
        ("resid_pre_0", "resid_post_0", "resid_post_1", "resid_post_2"),
        ("resid_post_3", "resid_post_4", "resid_post_5", "resid_post_3_seed2"),
    )
    pairs = [
        pose(saematch.load(f"saematch:{a}"), saematch.load(f"saematch:{b}"), resolve("sae-match"))
        for a, b in zip(*sides, strict=True)
    ]
    x, y = torch.cat([p.x for p in pairs]), torch.cat([p.y for p in pairs])
    if n > len(x):
        raise SystemExit(f"there are {len(x):,} shipped features on either side, not {n:,}")
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.randperm(len(v), generator=generator)[:n] for v in (x, y))
    return x[rows].float(), y[columns].float()


def degenerate(n: int, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Vectors of few numbers whose scores tie in masses, or nearly."""
    draw = np.random.default_rng(seed)

    def gaussian(*shape: int) -> np.ndarray:
        return draw.standard_normal(shape)

    def groups(count: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = (gaussian(count, 8)[draw.integers(count, size=n)] for _ in range(2))
        return x, y

    def half(v: np.ndarray) -> np.ndarray:
        return v * (np.arange(n) % 2)[:, None]

    large = np.full((n, 1), 1e3)
    outlier = gaussian(n, 8)
    outlier[0] *= 1e8
    member = np.eye(8)[np.arange(n) % 8]
    return {
        "all zeros": (np.zeros((n, 8)), np.zeros((n, 8))),
        "all ones": (np.ones((n, 8)), np.ones((n, 8))),
        "a constant part of 1e6": (
            np.hstack([gaussian(n, 8), large]),
            np.hstack([gaussian(n, 8), large]),
        ),
        "4 groups of equal rows and columns": groups(4),
        "20 groups": groups(20),
        "equal rows": (np.repeat(gaussian(1, 8), n, 0), gaussian(n, 8)),
        "half zeros": (half(gaussian(n, 8)), half(gaussian(n, 8))),
        "whole numbers, -1 to 1": tuple(draw.integers(-1, 2, (2, n, 8)).astype(float)),
        "4 bits": tuple(draw.integers(0, 2, (2, n, 4)).astype(float)),
        "rank one": (gaussian(n, 1), gaussian(n, 1)),
        "rank one, positive": (draw.random((n, 1)), draw.random((n, 1))),
        "products of indices": (np.arange(n)[:, None] * 1.0, np.arange(n)[:, None] * 1.0),
        "one row 1e8 times larger": (outlier, gaussian(n, 8)),
        "blocks of one score": (member @ gaussian(8, 8), member),
        "all ones, to 1e-9": (1 + 1e-9 * gaussian(n, 8), 1 + 1e-9 * gaussian(n, 8)),
        "Gaussian": (gaussian(n, 8), gaussian(n, 8)),
    }  # fmt: skip


def compare_degenerate(n: int) -> None:
    """Print ratios to scipy's processor time, for each family of `degenerate`."""

    def seconds(work: Callable[[], float]) -> tuple[float, float]:
        start = time.process_time()
        total = work()
        return time.process_time() - start, total

    rows = []
    for name, (x, y) in degenerate(n).items():
        solvers = peers(torch.from_numpy(x), torch.from_numpy(y), ["scipy", "lapx"])
        scipy, best = seconds(solvers.pop("scipy"))
        result = None

        def ours(x=x, y=y) -> float:
            nonlocal result
            result = assign(x, y)
            return result.total

        row: dict[str, object] = {"scores": name, "scipy, seconds": scipy}
        for solver, solve in {"ours": ours, **solvers}.items():
            took, total = seconds(solve)
            row[solver] = took / scipy
            if abs(total - best) > 1e-9 * max(1.0, abs(best)):
                row[solver] = float("nan")
        assert result is not None
        rows.append({**row, "gap": result.relative_gap})
    print(f"\nn = {n:,}: times scipy's processor time\n")
    _print(rows)


PROBLEMS = {"structured": structured, "unrelated": unrelated, "folded": folded, "shipped": shipped}


def warm_up(precisions: list[str]) -> None:
    """Compile all that will be timed."""
    for precision in precisions:
        assign(*structured(3072, 64), precision=precision)  # pyright: ignore[reportArgumentType]
        ones = torch.ones(40, 2)
        assign(ones, ones, precision=precision, list_length=4)  # pyright: ignore[reportArgumentType]
    wars = torch.rand(2200, 1, generator=torch.Generator().manual_seed(0))
    assign(wars, wars.flip(0))


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def measured(work: Callable):
    """The result, seconds, and growth of the resident memory in bytes."""
    before, highest, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.02):
            highest = max(highest, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return result, seconds, max(0, highest - before)


def product(x: Tensor, y: Tensor) -> float:
    """Seconds of one float32 product in blocks, none of it kept."""
    start = time.perf_counter()
    for rows in x.split(1024):
        torch.mm(rows, y.T)
    return time.perf_counter() - start


def peers(x: Tensor, y: Tensor, chosen: list[str]) -> dict[str, Callable[[], float]]:
    """The total of each peer's assignment, from dense scores in float64."""

    def total(scores: np.ndarray, target: np.ndarray) -> float:
        return float(scores[np.arange(len(scores)), target].sum())

    def scipy() -> float:
        scores = (x @ y.T).double().numpy()
        return total(scores, linear_sum_assignment(scores, maximize=True)[1])

    def lapx(name: str) -> Callable[[], float]:
        def solve() -> float:
            import lap

            scores = (x @ y.T).double().numpy()
            cost = scores.max() - scores
            # lapjv gives each row's column and each column's row, lapjvs rows and their columns
            place = 0 if name == "lapjv" else 1
            return total(scores, np.asarray(getattr(lap, name)(cost, return_cost=False)[place]))

        return solve

    def ortools() -> float:
        from ortools.graph.python import (  # pyright: ignore[reportMissingImports]
            linear_sum_assignment as graph,
        )

        scores, k = (x @ y.T).double(), min(64, len(y))
        near = scores.topk(k, dim=1)
        whole = (-(near.values - scores.max()) * 1e6).round().long()
        rows = torch.arange(len(x))[:, None].expand(-1, k)
        solver = graph.SimpleLinearSumAssignment()
        solver.add_arcs_with_cost(
            rows.reshape(-1).int().numpy(), near.indices.reshape(-1).int().numpy(),
            whole.reshape(-1).numpy(),
        )  # fmt: skip
        if solver.solve() != solver.OPTIMAL:
            return float("nan")  # no perfect matching among the nearest
        return total(scores.numpy(), np.array([solver.right_mate(i) for i in range(len(x))]))

    def pot() -> float:
        import ot  # pyright: ignore[reportMissingImports]

        scores = (x @ y.T).double().numpy()
        plan = ot.emd([], [], scores.max() - scores, numItermax=10**8)
        return total(scores, np.asarray(plan).argmax(1))

    known = {
        "scipy": (scipy, "scipy"),
        "lapx lapjv": (lapx("lapjv"), "lap"),
        "lapx lapjvs": (lapx("lapjvs"), "lap"),
        "OR-Tools, 64 nearest": (ortools, "ortools"),
        "POT emd": (pot, "ot"),
    }
    out = {}
    for name, (solve, module) in known.items():
        if not any(word in name for word in chosen):
            continue
        if importlib.util.find_spec(module) is None:
            print(f"{name}: not installed, left out")
        else:
            out[name] = solve
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="+")
    parser.add_argument("--width", type=int, default=4608)
    parser.add_argument("--data", choices=[*PROBLEMS], default="structured")
    parser.add_argument("--peers", nargs="+", default=["scipy", "lapx", "OR-Tools", "POT"])
    parser.add_argument("--memory-limit", type=int)
    parser.add_argument("--distance", action="store_true", help="least squared distances")
    parser.add_argument("--degenerate", action="store_true")
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    options = parser.parse_args()
    if options.distance and options.peers != ["none"]:
        parser.error("--distance is for ours alone: add --peers none")
    warm_up(options.precision)
    if options.degenerate:
        for x, y in degenerate(600).values():
            assign(x, y)
        for n in options.sizes:
            compare_degenerate(n)
        return
    make = PROBLEMS[options.data]
    for n in options.sizes:
        x, y = make(n, options.width)
        rows, before = [], product(x, y)
        offsets = [-v.square().sum(1).double() / 2 for v in (x, y) if options.distance]

        def ours(precision, x=x, y=y, offsets=offsets):
            limit = options.memory_limit
            return assign(x, y, *offsets, precision=precision, memory_limit=limit)

        solvers = {f"ours, {p}": lambda p=p: ours(p) for p in options.precision}
        solvers |= peers(x, y, options.peers)
        for name, solve in solvers.items():
            result, seconds, memory = measured(solve)
            after = product(x, y)
            one, before = (before + after) / 2, after
            row = {"solver": name, "seconds": seconds, "product": one, "ratio": seconds / one}
            row["GiB"] = memory / 2**30
            if isinstance(result, float):
                row |= {"total": result}
            else:
                work = result.work
                row |= {
                    "total": result.total,
                    "gap": result.relative_gap,
                    "products": work.scored / n,
                    "bidding ratio": work.bidding_seconds / one,
                    "selection ratio": work.selection_seconds / one,
                    "product ratio": work.product_seconds / one,
                    "rounds": work.rounds,
                    "bids/row": work.bids / n,
                    "exact/row": work.exact_scores / n,
                    "paths": work.paths,
                    "kept": work.kept,
                }
            rows.append(row)
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
        print(f"\n{options.data}, n = {n:,}, D = {options.width:,}\n")
        _print(rows)


def _print(rows: list[dict]) -> None:
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True,
                   tbl_hide_column_data_types=True, tbl_formatting="MARKDOWN",
                   tbl_width_chars=300, fmt_str_lengths=60, float_precision=3):  # fmt: skip
        print(pl.DataFrame(rows))


if __name__ == "__main__":
    main()
