"""A report as one HTML page that needs nothing else: sections of sentences, figures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import polars as pl

from saematch.plots.style import plotly_objects

if TYPE_CHECKING:
    import plotly.graph_objects as go

STYLE = """
:root { color-scheme: light; --ink: #1f2630; --faint: #5b6573; --line: #d9dee6; --ground: #f6f8fa; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 17px/1.55 ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 32px 20px 96px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 22px; margin: 56px 0 8px; padding-top: 20px; border-top: 1px solid var(--line); }
p { max-width: 78ch; margin: 10px 0; }
p.about, p.left-out { color: var(--faint); }
ul { max-width: 84ch; padding-left: 22px; } li { margin: 6px 0; }
nav { margin: 16px 0; } nav a { margin-right: 16px; white-space: nowrap; }
a { color: #0a5aa8; }
.verdict { background: var(--ground); border: 1px solid var(--line); border-radius: 10px;
  padding: 8px 20px 12px; margin: 24px 0; max-width: 90ch; }
.figure { overflow-x: auto; margin: 20px 0; }
details { margin: 14px 0; } summary { cursor: pointer; color: #0a5aa8; }
.table { overflow-x: auto; max-height: 560px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px 4px 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { position: sticky; top: 0; background: #fff; }
th.text, td.text { text-align: left; }
"""


@dataclass(frozen=True, eq=False)
class Section:
    """One finding: what it says, drawn and in numbers."""

    title: str
    says: Sequence[str]  # sentences, plain text
    figures: Sequence[go.Figure] = field(default=())
    tables: Sequence[tuple[str, pl.DataFrame]] = field(default=())  # with what each holds


def page(
    title: str,
    about: str,
    verdict: Sequence[str],
    sections: Sequence[Section],
    left_out: Sequence[str] = (),
) -> str:
    """The page; `verdict` are the sentences to read first."""
    plotly_objects()
    from plotly.offline import get_plotlyjs

    links = " ".join(
        f'<a href="#s{number}">{escape(section.title)}</a>'
        for number, section in enumerate(sections, start=1)
    )
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in verdict)
    missing = "".join(f'<p class="left-out">Left out: {escape(why)}.</p>' for why in left_out)
    body = "".join(_section(number, section) for number, section in enumerate(sections, start=1))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="about">{escape(about)}</p>'
        f'<div class="verdict"><ul>{said}</ul></div><nav>{links}</nav>{body}{missing}'
        "</main></body></html>\n"
    )


def _section(number: int, section: Section) -> str:
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in section.says)
    drawn = "".join(
        '<div class="figure">'
        + figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"f{number}-{place}")
        + "</div>"
        for place, figure in enumerate(section.figures)
    )
    tables = "".join(
        f"<details><summary>{escape(name)}</summary>{_table(frame)}</details>"
        for name, frame in section.tables
    )
    return (
        f'<section id="s{number}"><h2>{escape(section.title)}</h2>{said}{drawn}{tables}</section>'
    )


def _table(frame: pl.DataFrame) -> str:
    kinds = ["" if dtype.is_numeric() else "text" for dtype in frame.dtypes]
    head = "".join(
        f'<th class="{kind}">{escape(name)}</th>'
        for name, kind in zip(frame.columns, kinds, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind}">{escape(_cell(value))}</td>'
            for value, kind in zip(row, kinds, strict=True)
        )
        + "</tr>"
        for row in frame.iter_rows()
    )
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="table">{whole}</div>'


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if 0 < abs(value) < 0.01 else f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
