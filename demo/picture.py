"""The README's picture: features followed through SmolLM2, from a run of `saematch demo`.

python -m demo.picture runs/demo docs/images/features.svg
"""

from __future__ import annotations

import itertools
import sys
from html import escape
from pathlib import Path

import polars as pl

from saematch.cli.examples import DENSE, visible
from saematch.runs.run import Run
from saematch.sae.contexts import top_contexts

COLUMN, ROW, LEFT, TOP = 240, 78, 20, 80
CELL = (206, 64)
SITES = 5  # more would be too small to read
BEFORE, SHOWN = 14, 29  # characters of a context before its token, and in all
STYLE = """
  svg { font: 12px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
  .cell { fill: #ffffff; stroke: #d5d9e0; }
  .context { font: 10.5px ui-monospace, Menlo, monospace; }
  .text { fill: #57606a; } .token { fill: #0a2540; font-weight: 700; } .id { fill: #8a93a0; }
  .title { fill: #1f2630; font-size: 16px; font-weight: 600; } .layer { fill: #1f2630; }
  .link { stroke: #2066a8; } .score { fill: #2066a8; font-size: 10.5px; font-weight: 600; }
  .ground { fill: #f6f8fa; }
"""


def chain(pairs: list[pl.DataFrame], feature: int) -> list[tuple[int, float]]:
    """The feature and its matches along `pairs`, each with the cosine of its link."""
    found = [(feature, 1.0)]
    for pair in pairs:
        row = pair.row(found[-1][0], named=True)
        if row["target"] is None:
            break
        found.append((row["target"], row["decoder_cosine"]))
    return found


def choose(run: Run, names: list[str], count: int) -> list[list[tuple[int, float]]]:
    """The chains through all of `names` whose weakest link is strongest, about different words.

    Of features that fire on at most `DENSE` of the tokens, as in the examples of `saematch demo`.
    """
    pairs = [run.pair(a, b) for a, b in itertools.pairwise(names)]
    contexts = run.contexts(names[-1])
    assert contexts is not None
    chains = [chain(pairs, feature) for feature in range(pairs[0].height)]
    often = [run.features(name)["frequency"] for name in names]
    whole = [
        c
        for c in chains
        if len(c) == len(names)
        and all(some[i] <= DENSE for some, (i, _) in zip(often, c, strict=True))
    ]
    whole.sort(key=lambda c: -min(cosine for _, cosine in c))
    kept, seen = [], set()
    for c in whole:
        words = {x.token.strip().lower() for x in top_contexts(contexts, c[-1][0], 3)}
        if words and not words & seen:
            seen |= words
            kept.append(c)
    return kept[:count]


def draw(run: Run, names: list[str], chains: list[list[tuple[int, float]]]) -> str:
    """The chains as rows of an SVG, sites as columns."""
    width = LEFT * 2 + COLUMN * len(names) - (COLUMN - CELL[0])
    height = TOP + ROW * len(chains) + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" '
        f'aria-label="Features followed through the layers of a language model">',
        f'<style>{STYLE}</style><rect class="ground" width="{width}" height="{height}" rx="8"/>',
        f'<text class="title" x="{LEFT}" y="32">Features of SmolLM2-135M-Instruct, matched from '
        "block to block by weights alone, SAEs trained apart: where each fires most</text>",
    ]
    for column, name in enumerate(names):
        x = LEFT + column * COLUMN
        parts.append(f'<text class="layer" x="{x}" y="{TOP - 18}">{escape(name)}</text>')
    for row, links in enumerate(chains):
        y = TOP + row * ROW
        for column, (feature, cosine) in enumerate(links):
            x = LEFT + column * COLUMN
            if column:
                gap, middle = COLUMN - CELL[0], y + CELL[1] / 2
                parts.append(
                    f'<line class="link" x1="{x - gap}" x2="{x}" y1="{middle}" y2="{middle}" '
                    f'stroke-width="{1 + 5 * max(0.0, cosine) ** 2:.1f}" '
                    f'opacity="{max(0.15, cosine):.2f}"/>'
                    f'<text class="score" x="{x - gap / 2}" y="{middle - 6}" text-anchor="middle">'
                    f"{cosine:.2f}</text>"
                )
            parts.append(_cell(run, names[column], feature, x, y))
    return "\n".join([*parts, "</svg>\n"])


def _cell(run: Run, name: str, feature: int, x: float, y: float) -> str:
    frame = run.contexts(name)
    assert frame is not None
    lines = [
        f'<rect class="cell" x="{x}" y="{y}" width="{CELL[0]}" height="{CELL[1]}" rx="5"/>',
        f'<text class="id" x="{x + 8}" y="{y + 15}" font-size="10">feature {feature}</text>',
    ]
    for i, context in enumerate(top_contexts(frame, feature, 3)):
        before = visible(context.before)[-BEFORE:]
        token = visible(context.token)
        after = visible(context.after)[: max(0, SHOWN - len(before) - len(token))]
        lines.append(
            f'<text class="context" x="{x + 8}" y="{y + 29 + 14 * i}" xml:space="preserve">'
            f'<tspan class="text">{escape(before)}</tspan>'
            f'<tspan class="token">{escape(token)}</tspan>'
            f'<tspan class="text">{escape(after)}</tspan></text>'
        )
    return "".join(lines)


if __name__ == "__main__":
    opened = Run.open(sys.argv[1])
    sites = opened.names[-SITES:]
    Path(sys.argv[2]).write_text(draw(opened, sites, choose(opened, sites, 7)))
