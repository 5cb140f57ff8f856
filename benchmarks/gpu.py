"""Everything that takes a device: tests, times and results on a GPU beside those of the processor.

    python -m benchmarks.gpu --out gpu.json               # on a GPU: at most nine minutes
    python -m benchmarks.gpu --device cpu --size small    # does this benchmark itself work?
    python -m benchmarks.gpu --only match match-large

First the tests marked `gpu`, then one part after the other, each in a process of its own that is
ended after `--seconds` (tests and the largest match after twice as many): what fails or takes too
long is a line of the table, and the rest goes on.
The file is written after each part. Every piece of work is done on the device and then on the
processor, unless that would take longer than is left, and the two results are compared. `product`
is one product of the same shape there, in float32 or bfloat16, scaled up from some of its rows;
ratios are to these. Memory: the most that was allocated on a GPU, or the process's highest resident
size. The pieces are in `benchmarks/gpu_parts.py`. Exits with 1 if anything failed or differed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_bench import Bench
from benchmarks.gpu_parts import PARTS
from saematch.checkpoints.loading import check_device
from saematch.errors import SaematchError
from saematch.files.atomic import whole

TESTS = "tests"
LONG = (TESTS, "match-large")  # have twice the time
COLUMNS = ("part", "what", "seconds", "processor", "float32", "bfloat16", "GiB", "same", "results")


def run_tests(seconds: float) -> list[dict[str, Any]]:
    """The tests marked `gpu`, as one line; without a GPU they are skipped, and it says so."""
    row: dict[str, Any] = {"part": TESTS, "what": "pytest -m gpu"}
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "--no-header", "tests/gpu"]
    start = time.perf_counter()
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as late:
        done = (late.stdout or b"").decode().strip().splitlines()
        return [row | {"same": False, "results": f"ended after {seconds:g} s: {done[-1:]}"}]
    lines = ended.stdout.strip().splitlines() or [ended.stderr.strip()[-300:]]
    told = [line for line in lines if line.startswith(("FAILED", "ERROR", "SKIPPED"))]
    row |= {"seconds": time.perf_counter() - start, "same": ended.returncode == 0}
    return [row | {"results": "; ".join([lines[-1].strip("= "), *told])}]


def run_part(name: str, seconds: float, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The lines of a part, from a process of its own, and one more if it came to grief."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lines"
        file.touch()
        command = [sys.executable, "-m", "benchmarks.gpu", "--part", name, "--lines", str(file)]
        command += ["--device", options.device, "--size", options.size]
        command += ["--seconds", str(seconds)]
        trouble = None
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds, check=False
            )
            if ended.returncode:
                said = ended.stderr.strip().splitlines() or [f"status {ended.returncode}"]
                trouble = said[-1][:300]
                print(ended.stderr[-3000:], file=sys.stderr)
        except subprocess.TimeoutExpired:
            trouble = f"ended after {seconds:g} s"
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    if trouble is not None:
        rows.append({"part": name, "what": "", "same": False, "results": trouble})
    return rows


def machine(device: str) -> dict[str, Any]:
    """What it was measured on."""
    on_gpu = device != "cpu" and torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def shown(row: dict[str, Any]) -> str:
    """A row of the Markdown table."""

    def cell(name: str) -> str:
        value = row.get(name)
        if isinstance(value, bool):
            return "yes" if value else "**no**"
        return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)

    return "| " + " | ".join(cell(name).replace("|", "/") for name in COLUMNS) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=("small", "full"), default="full")
    parser.add_argument("--seconds", type=float, default=45.0, help="for each part, at most")
    parser.add_argument("--out", type=Path, help="a JSON file of all lines")
    parser.add_argument("--only", nargs="+", choices=(TESTS, *PARTS), default=(TESTS, *PARTS))
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--lines", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        full = options.size == "full"
        bench = Bench(options.device, full, options.seconds, options.part, options.lines)
        PARTS[options.part](bench)
        return
    try:
        check_device(options.device)
    except SaematchError as error:
        parser.error(str(error))
    about, rows = machine(options.device), []
    print(f"{about}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for name in options.only:
        seconds = options.seconds * (2 if name in LONG else 1)
        some = run_tests(seconds) if name == TESTS else run_part(name, seconds, options)
        rows += some
        for row in some:
            print(shown(row), flush=True)
        if options.out:
            with whole(options.out) as partial:
                partial.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    sys.exit(any(row.get("same") is False for row in rows))


if __name__ == "__main__":
    main()
