"""The report's page: whole in itself, and nothing in it is read as markup."""

import re

import polars as pl
import pytest

from saematch.reproduction.page import Section, page

pytest.importorskip("plotly")


@pytest.fixture
def html():
    import plotly.graph_objects as go

    table = pl.DataFrame({"pair": ["<b>8→9"], "r": [0.00123], "n": [12345], "none": [None]})
    drawn = go.Figure(go.Bar(x=["a"], y=[1]))
    section = Section("One <thing>", ["It is 3 < 4."], [drawn], [("all & every", table)])
    return page("Title <x>", "about", ["first & last"], [section], ["L0: no <controls>"])


def test_text_is_escaped(html):
    body = html[html.index("<main>") :]
    for text in ("Title &lt;x&gt;", "3 &lt; 4", "first &amp; last", "&lt;b&gt;8→9", "no &lt;contr"):
        assert text in body
    assert "<x>" not in html
    assert "<b>8" not in body


def test_numbers_and_gaps_are_readable(html):
    cells = re.findall(r"<td class=\"\w*\">([^<]*)</td>", html)
    assert cells == ["&lt;b&gt;8→9", "0.00123", "12,345", "-"]


def test_the_page_needs_nothing_else(html):
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", html)
    assert not loaded
    assert html.count("Plotly.newPlot") >= 1
    assert 'href="#s1"' in html
    assert 'id="s1"' in html
