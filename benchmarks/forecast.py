"""What a flow was forecast to take, beside what it took.

    python -m benchmarks.forecast saematch:smollm2/resid_post_{10..16} --method cosine

Speed is measured just before the flow, on one thread, and the flow runs in this process on one
thread as well. On a machine with other work, compare processor time.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch

import saematch
from saematch.forecast.forecast import size


def main() -> None:
    parser = argparse.ArgumentParser(description="A forecast beside what it was of.")
    parser.add_argument("saes", nargs="+")
    parser.add_argument("--method", default="sae-match")
    options = parser.parse_args()
    torch.set_num_threads(1)
    # compiled loops are compiled once on a machine, and kept
    small = [f"saematch:resid_post_{layer}" for layer in range(2)]
    saematch.flow(small, options.method)
    machine = saematch.forecast.this_machine()
    told = saematch.plan(options.saes, options.method).chains[0].forecast
    with tempfile.TemporaryDirectory() as folder:
        wall, processor = time.perf_counter(), time.process_time()
        run = saematch.flow(options.saes, options.method, out=Path(folder) / "run")
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        texts = sum(file.stat().st_size for file in run.path.glob("contexts/*"))
        disk = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file()) - texts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{told} ({machine.float32 / 1e9:.0f} GFLOP/s, bfloat16 {machine.bfloat16 / 1e9:.0f})")
    print(f"time: forecast {told.seconds:.0f} s, wall {wall:.0f} s, processor {processor:.0f} s")
    print(f"of processor time {told.seconds / processor:.2f}, of wall {told.seconds / wall:.2f}")
    print(f"memory: {size(told.memory)}, was {size(peak)}: {told.memory / peak:.2f}")
    print(f"disk without texts: {size(told.written)}, was {size(disk)}: {told.written / disk:.2f}")


if __name__ == "__main__":
    main()
