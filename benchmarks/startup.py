"""What it costs to start: `import saematch` beyond torch, and `saematch --help` in all.

    python -m benchmarks.startup

Each is a process of its own, run in turn with its peer; medians of seven, after one to warm up. To
touch `saematch.match` is what a notebook does first, so that is what is timed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "import torch": [sys.executable, "-c", "import torch"],
    "import torch, saematch": [
        sys.executable,
        "-c",
        "import torch, saematch; saematch.load, saematch.match",
    ],
    "saematch --help": [sys.executable, "-m", "saematch", "--help"],
}


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(8):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    beyond = median["import torch, saematch"] - median["import torch"]
    print(f"import saematch beyond torch: {beyond:.2f} s ({median['import torch']:.2f} s is torch)")
    print(f"saematch --help: {median['saematch --help']:.2f} s (python: {median['python']:.2f} s)")


if __name__ == "__main__":
    main()
