"""Small HTML for notebooks: a table, and bars as inline SVG. All text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

WIDTH, HEIGHT, AXIS = 360, 80, 16  # pixels: of bars, and below them for the ends of the axis


def table(caption: str, rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Rows of cells under a caption, the first cell of each its label."""
    lines = [_row("th", head)] if head else []
    lines += [_row("td", cells, label) for label, *cells in rows]
    title = f'<caption style="text-align:left"><b>{escape(caption)}</b></caption>'
    return f"<table>{title}{''.join(lines)}</table>"


def _row(kind: str, cells: Sequence[str], label: str | None = None) -> str:
    left = 'style="text-align:left"'
    head = "" if label is None else f'<th scope="row" {left}>{escape(label)}</th>'
    rest = "".join(f"<{kind} {left}>{escape(cell)}</{kind}>" for cell in cells)
    return f"<tr>{head}{rest}</tr>"


def bars(title: str, counts: Sequence[int], low: float, high: float) -> str:
    """A histogram of `counts` in bins of equal width from `low` to `high`; a hint on each bar."""
    most, wide = max(1, *counts), WIDTH / len(counts)
    step = (high - low) / len(counts)
    marks = []
    for i, count in enumerate(counts):
        tall = HEIGHT * count / most
        hint = f"{low + i * step:.2f} to {low + (i + 1) * step:.2f}: {count:,}"
        marks.append(
            f'<rect x="{i * wide:.1f}" y="{HEIGHT - tall:.1f}" width="{wide - 1:.1f}" '
            f'height="{tall:.1f}"><title>{hint}</title></rect>'
        )
    end = HEIGHT + AXIS - 3
    axis = (
        f'<path d="M0 {HEIGHT + 0.5}H{WIDTH}" stroke="currentColor"/>'
        f'<text x="0" y="{end}" font-size="11">{low:g}</text>'
        f'<text x="{WIDTH}" y="{end}" font-size="11" text-anchor="end">{high:g}</text>'
    )
    return (
        f'<figure style="margin:8px 0"><figcaption>{escape(title)}</figcaption>'
        f'<svg role="img" aria-label="{escape(title)}" width="{WIDTH}" height="{HEIGHT + AXIS}" '
        f'fill="currentColor">{"".join(marks)}{axis}</svg></figure>'
    )
