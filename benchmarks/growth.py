"""How does the cost of an assignment grow with the number of features? A table and a picture.

    python -m benchmarks.growth docs/images/assignment-growth.svg --width 1024 --largest 16384

Sizes double from 1,024. Each solver stops once a solve took longer than `--patience` seconds; ours
goes on to `--largest`. Data and peers are those of `benchmarks.assignment`.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.assignment import peers, product, structured, warm_up
from saematch import assign

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 70, 190, 56, 46
COLOURS = ("#2066a8", "#d55e00", "#009e73", "#cc79a7", "#8a93a0", "#e69f00")
STYLE = """
  svg { font: 12px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
  .ground { fill: #ffffff; } .grid { stroke: #e3e6eb; } .axis { fill: #57606a; }
  .title { fill: #1f2630; font-size: 15px; font-weight: 600; }
  .line { fill: none; stroke-width: 2; }
"""


def measure(sizes: list[int], width: int, patience: float) -> dict[str, dict[int, float]]:
    """Seconds by solver and size; `one float32 product` among the solvers."""
    seconds: dict[str, dict[int, float]] = {}
    tired: set[str] = set()
    for n in sizes:
        x, y = structured(n, width)
        solvers: dict[str, Callable] = {"one float32 product": lambda x=x, y=y: product(x, y)}
        solvers["saematch, float32"] = lambda x=x, y=y: assign(x, y, precision="float32")
        solvers["saematch, bfloat16"] = lambda x=x, y=y: assign(x, y, precision="bfloat16")
        others = peers(x, y, ["scipy", "lapx"])
        solvers |= others
        for name, solve in solvers.items():
            if name in tired:
                continue
            start = time.perf_counter()
            solve()
            took = time.perf_counter() - start
            seconds.setdefault(name, {})[n] = took
            print(f"n = {n:,}: {name} {took:.2f} s", flush=True)
            if took > patience and name in others:
                tired.add(name)
    return seconds


def draw(seconds: dict[str, dict[int, float]], width: int) -> str:
    """Seconds over features, both in powers."""
    sizes = sorted({n for points in seconds.values() for n in points})
    values = [s for points in seconds.values() for s in points.values()]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def place(n: int, s: float) -> tuple[float, float]:
        along = math.log2(n / sizes[0]) / max(1.0, math.log2(sizes[-1] / sizes[0]))
        up = (math.log10(s) - low) / max(1, high - low)
        return LEFT + along * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><style>{STYLE}</style>',
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{LEFT}" y="26">Seconds to the optimum, D = {width:,}</text>',
        f'<text class="axis" x="{LEFT}" y="44">two cores; features on either side below</text>',
    ]
    for power in range(low, high + 1):
        x, y = place(sizes[0], 10.0**power)
        parts += [
            f'<line class="grid" x1="{x}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<text class="axis" x="{x - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{10.0**power:g}</text>",
        ]
    for n in sizes:
        x, _ = place(n, 1.0)
        parts.append(
            f'<text class="axis" x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{n:,}</text>'
        )
    ends = []
    for (name, points), colour in zip(seconds.items(), COLOURS, strict=False):
        places = [place(n, s) for n, s in sorted(points.items())]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="line" points="{line}" stroke="{colour}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        ends.append([places[-1][1], places[-1][0], name, colour])
    ends.sort()
    for above, this in itertools.pairwise(ends):
        this[0] = max(this[0], above[0] + 15)  # labels do not cover one another
    parts += [
        f'<text x="{WIDTH - RIGHT + 10}" y="{y + 4:.1f}" fill="{colour}">{name}</text>'
        for y, _, name, colour in ends
    ]
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--largest", type=int, default=16384)
    parser.add_argument("--patience", type=float, default=30.0)
    options = parser.parse_args()
    warm_up(["float32", "bfloat16"])
    sizes = [2**p for p in range(10, 31) if 2**p <= options.largest]
    seconds = measure(sizes, options.width, options.patience)
    options.picture.write_text(draw(seconds, options.width))


if __name__ == "__main__":
    main()
