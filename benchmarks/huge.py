"""One pair of SAEs larger than memory, made up, and matched.

    python -m benchmarks.huge make /tmp/huge --features 262144 --width 2304
    python -m benchmarks.huge match /tmp/huge /tmp/huge/run --memory 16

`make` writes two SAEs in Gemma Scope 2's format, a slice at a time (4.8 GB each at that size). As
in `benchmarks.layers` nine features in ten persist, turned by a random angle, and one in ten is
new; the order is shuffled. `match` runs `saematch match` on them, beside a float32 product and a
bfloat16 product of the pair's shape (of some of its rows, before), and says how long it took as
ratios to those, how much memory at most, how good the proof is, and how many of the features that
persist were found. With `--memory` the command may take so many GB and no more, the pages of its
files included: it runs in a control group (Linux, version 1 or 2, as root).
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import torch

from benchmarks.layers import PERSIST

ROWS = 8192  # features made at once
SOME = 2048  # rows of the products that are timed
GROUP = "saematch-benchmark"


class _File:
    """A safetensors file of float32, to be filled."""

    def __init__(self, path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        header, end = {}, 0
        for name, shape in shapes.items():
            size = 4 * math.prod(shape)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
            end += size
        words = json.dumps(header).encode()
        words += b" " * (-len(words) % 8)
        with path.open("wb") as file:
            file.write(len(words).to_bytes(8, "little") + words)
            file.truncate(8 + len(words) + end)
        self._at = {
            name: np.memmap(path, np.float32, "r+", 8 + len(words) + its["data_offsets"][0], shape)
            for (name, its), shape in zip(header.items(), shapes.values(), strict=True)
        }

    def __getitem__(self, name: str) -> np.ndarray:
        return self._at[name]


def make(folder: Path, features: int, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.arange(1, width + 1).float().pow(-0.25)

    def gaussian(rows: int) -> torch.Tensor:
        return torch.randn(rows, width, generator=generator) * spectrum

    def unit(v: torch.Tensor) -> torch.Tensor:
        return v / v.norm(dim=1, keepdim=True)

    shapes = {
        "w_enc": (width, features),
        "w_dec": (features, width),
        "b_enc": (features,),
        "b_dec": (width,),
        "threshold": (features,),
    }
    a, b = (
        _File(folder / f"layer_{layer}_width_{features}" / "params.safetensors", shapes)
        for layer in range(2)
    )
    order = torch.randperm(features, generator=generator)
    new = torch.rand(features, generator=generator) > PERSIST
    a["threshold"][:] = torch.exp(0.4 * torch.randn(features, generator=generator)).numpy() * 4
    drift = torch.exp(0.1 * torch.randn(features, generator=generator)).numpy()
    b["threshold"][:] = (a["threshold"] * drift)[order.numpy()]
    for which in (a, b):
        for start in range(0, features, ROWS):
            here = slice(start, min(start + ROWS, features))
            rows = here.stop - here.start
            if which is a:
                directions = unit(gaussian(rows))
            else:
                source = order[here]
                turned = torch.from_numpy(a["w_dec"][source.numpy()])
                turned += torch.rand(rows, 1, generator=generator) * unit(gaussian(rows))
                directions = unit(torch.where(new[source, None], gaussian(rows), turned))
            which["w_dec"][here] = directions.numpy()
            encoders = unit(directions + 0.7 * unit(gaussian(rows)))
            which["w_enc"][:, here] = encoders.T.numpy()
    planted = torch.full((features,), -1)
    kept = ~new[order]
    planted[order[kept]] = torch.arange(features)[kept]
    np.save(folder / "planted.npy", planted.numpy())


def match(folder: Path, run: Path, method: str, memory: float | None, more: list[str]) -> None:
    names = sorted(folder.glob("layer_*"))
    command = [sys.executable, "-m", "saematch", "match", *map(str, names), "-o", str(run)]
    command += ["--method", method, *more]
    start = time.perf_counter()
    with _group(memory) as within:
        process = subprocess.Popen([*within, *command])
        anonymous = whole = 0
        while process.poll() is None:
            anonymous = max(anonymous, _resident(process.pid, "RssAnon"))
            whole = max(whole, _resident(process.pid, "VmRSS"))
            time.sleep(1)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(process.returncode)
    record = json.loads((run / "run.json").read_text())
    pair, sae = record["pairs"][0], record["saes"][0]
    columns = 2 * sae["d_in"] if method == "sae-match" else sae["d_in"]
    print(f"{seconds / 60:.1f} minutes, {pair['summary']['seconds'] / 60:.1f} of them matching")
    for dtype in (torch.float32, torch.bfloat16):
        product = _product(sae["d_sae"], columns, dtype)
        print(f"  {seconds / product:.2f} products in {dtype} of {product / 60:.1f} minutes")
    print(f"memory at most: {anonymous / 1e9:.1f} GB, with pages of files {whole / 1e9:.1f} GB")
    print(json.dumps(pair["summary"], indent=1))
    table = pl.read_parquet(run / pair["table"])
    planted = torch.from_numpy(np.load(folder / "planted.npy"))
    target = table["target"].fill_null(-1).to_torch()
    matched = table["matched"].to_torch()
    there = planted >= 0
    right = there & (target == planted)
    print(f"of {int(there.sum()):,} features that persist {right.sum() / there.sum():.4f} found")
    print(f"matched: {(matched & there).sum() / there.sum():.4f} of those, ", end="")
    print(f"{(matched & ~there).sum() / (~there).sum():.4f} of the new ones")


def _product(features: int, width: int, dtype: torch.dtype) -> float:
    """Seconds of the whole product, from some of its rows."""
    x, y = torch.randn(SOME, width).to(dtype), torch.randn(8 * SOME, width).to(dtype)
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        torch.mm(x, y.T)
        best = min(best, time.perf_counter() - start)
    return best * (features / SOME) * (features / len(y))


def _resident(process: int, what: str) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(what)), 0)


@contextmanager
def _group(memory: float | None) -> Iterator[list[str]]:
    """What to write before a command that may take so many GB, in a control group of its own."""
    if memory is None:
        yield []
        return
    first = Path("/sys/fs/cgroup/memory")
    group, limit = (
        (first / GROUP, "memory.limit_in_bytes")
        if first.is_dir()
        else (Path("/sys/fs/cgroup") / GROUP, "memory.max")
    )
    group.mkdir(exist_ok=True)
    (group / limit).write_text(str(int(memory * 1e9)))
    try:
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        group.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("folder", type=Path)
    making.add_argument("--features", type=int, default=262144)
    making.add_argument("--width", type=int, default=2304)
    matching = commands.add_parser("match")
    matching.add_argument("folder", type=Path)
    matching.add_argument("run", type=Path)
    matching.add_argument("--method", default="sae-match")
    matching.add_argument("--memory", type=float)
    asked, more = parser.parse_known_args()
    if asked.command == "make":
        make(asked.folder, asked.features, asked.width)
    else:
        match(asked.folder, asked.run, asked.method, asked.memory, more)


if __name__ == "__main__":
    main()
