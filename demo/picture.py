"""The README's picture: features followed through the shipped model, from a run of `saematch demo`.

python -m demo.picture runs/demo docs/images/features.svg
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

import polars as pl

from saematch.contexts import top_contexts
from saematch.runs import Run

COLUMN, ROW, LEFT, TOP = 186, 74, 20, 84
CELL = (166, 50)
STYLE = """
  svg { font: 12px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
  .cell { fill: #ffffff; stroke: #d5d9e0; }
  .context { font: 10.5px ui-monospace, Menlo, monospace; }
  .text { fill: #57606a; } .token { fill: #0a2540; font-weight: 700; } .id { fill: #8a93a0; }
  .title { fill: #1f2630; font-size: 16px; font-weight: 600; } .layer { fill: #1f2630; }
  .link { stroke: #2066a8; } .score { fill: #2066a8; font-size: 10.5px; font-weight: 600; }
  .ground { fill: #f6f8fa; }
"""


def chain(run: Run, feature: int) -> list[tuple[int, float]]:
    """The feature and its matches along the run's pairs, each with the cosine of its link."""
    found = [(feature, 1.0)]
    for a, b in run.pairs:
        row = run.pair(a, b).row(found[-1][0], named=True)
        if row["target"] is None:
            break
        found.append((row["target"], row["decoder_cosine"]))
    return found


def choose(run: Run, count: int) -> list[list[tuple[int, float]]]:
    """Chains from the first site whose weakest link is strong, each about another kind of token."""
    first = run.contexts(run.names[0])
    assert first is not None
    ready = first.filter(pl.col("contexts").list.len() >= 3)["feature"].to_list()
    chains = [chain(run, feature) for feature in ready]
    whole = [c for c in chains if len(c) == len(run.names)]
    whole.sort(key=lambda c: -min(cosine for _, cosine in c))
    kept, seen = [], set()
    last = run.contexts(run.names[-1])
    assert last is not None
    for c in whole:
        contexts = top_contexts(last, c[-1][0], 3)
        words = {x.token.strip().lower() for x in contexts}
        if not contexts or seen & words or not all(w[:1].isalpha() for w in words):
            continue
        seen |= words
        kept.append(c)
        if len(kept) == count:
            break
    return kept


def draw(run: Run, chains: list[list[tuple[int, float]]]) -> str:
    """The chains as rows of an SVG, sites as columns."""
    width = LEFT * 2 + COLUMN * len(run.names)
    height = TOP + ROW * len(chains) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" '
        f'aria-label="Features followed through the layers of a language model">',
        f'<style>{STYLE}</style><rect class="ground" width="{width}" height="{height}" rx="8"/>',
        f'<text class="title" x="{LEFT}" y="32">Features of seven sparse autoencoders, trained '
        "apart, matched from layer to layer by their weights alone</text>",
    ]
    for column, name in enumerate(run.names):
        x = LEFT + column * COLUMN
        parts.append(f'<text class="layer" x="{x}" y="{TOP - 18}">{escape(name)}</text>')
    for row, links in enumerate(chains):
        y = TOP + row * ROW
        for column, (feature, cosine) in enumerate(links):
            x = LEFT + column * COLUMN
            if column:
                gap = COLUMN - CELL[0]
                parts.append(
                    f'<line class="link" x1="{x - gap}" x2="{x}" y1="{y + 25}" y2="{y + 25}" '
                    f'stroke-width="{1 + 5 * max(0.0, cosine) ** 2:.1f}" '
                    f'opacity="{max(0.15, cosine):.2f}"/>'
                    f'<text class="score" x="{x - gap / 2}" y="{y - 2}" text-anchor="middle">'
                    f"{cosine:.2f}</text>"
                )
            parts.append(_cell(run, run.names[column], feature, x, y))
    return "\n".join([*parts, "</svg>\n"])


def _cell(run: Run, name: str, feature: int, x: float, y: float) -> str:
    frame = run.contexts(name)
    assert frame is not None
    lines = [
        f'<rect class="cell" x="{x}" y="{y}" width="{CELL[0]}" height="{CELL[1]}" rx="5"/>',
        f'<text class="id" x="{x + 8}" y="{y + 15}" font-size="10">feature {feature}</text>',
    ]
    for i, context in enumerate(top_contexts(frame, feature, 2)):
        before = _plain(context.before)[-12:]
        token = _plain(context.token)
        after = _plain(context.after)[: max(0, 24 - len(before) - len(token))]
        lines.append(
            f'<text class="context" x="{x + 8}" y="{y + 29 + 14 * i}" xml:space="preserve">'
            f'<tspan class="text">{escape(before)}</tspan>'
            f'<tspan class="token">{escape(token)}</tspan>'
            f'<tspan class="text">{escape(after)}</tspan></text>'
        )
    return "".join(lines)


def _plain(text: str) -> str:
    return text.replace("\n", "⏎").replace("\t", " ")


if __name__ == "__main__":
    opened = Run.open(sys.argv[1])
    Path(sys.argv[2]).write_text(draw(opened, choose(opened, 6)))
