"""The look of all figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from saematch.errors import SaematchError, install

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito, 2008: distinguishable with all common kinds of colour blindness
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY, INK, FAINT = "#8A8A8A", "#222222", "#E6E6E6"
SCALE = "Cividis"  # for shares
ORDER = "Viridis"  # for layers: it has no grey, which stands for "none"
MANY = 13  # layers; from here on there is no room to label each
WIDTH, HEIGHT = 1200, 675  # pixels: the shape of a slide


def plotly_objects() -> Any:
    """`plotly.graph_objects`.

    Raises:
        SaematchError: plotly is not installed.
    """
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise SaematchError(f"figures need plotly: {install('plots')}") from error
    return go


def styled(figure: go.Figure, title: str, subtitle: str = "", height: int = HEIGHT) -> go.Figure:
    """The figure with saematch's fonts, colours and margins; `title` says what it shows."""
    below = f"<br><span style='font-size:15px;color:#555555'>{subtitle}</span>" if subtitle else ""
    figure.update_layout(
        template="plotly_white",
        title={
            "text": f"<b>{title}</b>{below}",
            "x": 0.01,
            "xanchor": "left",
            "y": 1 - 32 / height,
            "yanchor": "top",
            "font_size": 22,
        },
        font={"family": "Helvetica, Arial, sans-serif", "size": 15, "color": INK},
        width=WIDTH,
        height=height,
        margin={"l": 80, "r": 30, "t": 120, "b": 75},
        legend={"font_size": 15},
        hoverlabel={"font_size": 14},
    )
    # titles of panels: small, with room below the subtitle
    figure.update_annotations(font_size=16)
    figure.update_xaxes(
        title_font_size=16, linecolor=GREY, gridcolor=FAINT, zeroline=False, ticks="outside"
    )
    figure.update_yaxes(
        title_font_size=16, linecolor=GREY, gridcolor=FAINT, zeroline=False, ticks="outside"
    )
    return figure


LEGEND_ABOVE = {  # at the right, on the line of the subtitle
    "orientation": "h",
    "x": 1,
    "xanchor": "right",
    "y": 1 + 30 / HEIGHT,
    "yanchor": "bottom",
}


def shades(n: int) -> list[str]:
    """N colours in order, from purple to green, without the pale ones."""
    from plotly.colors import sample_colorscale

    return list(map(str, sample_colorscale(ORDER, [0.87 * i / max(1, n - 1) for i in range(n)])))


def faded(colour: str, opacity: float) -> str:
    """A colour from `shades`, or #RRGGBB, with opacity."""
    if colour.startswith("#"):
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    else:
        rgb = [round(float(part)) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    return f"rgba({rgb[0]},{rgb[1]},{rgb[2]},{opacity})"


def short(names: Sequence[str]) -> list[str]:
    """Names without their common prefix: resid_post_3 becomes 3."""
    words = [name.split("_") for name in names]
    common = 0
    while len(names) > 1 and all(len(w) > common + 1 for w in words):
        if len({w[common] for w in words}) > 1:
            break
        common += 1
    return ["_".join(w[common:]) for w in words]


def common(names: Sequence[str]) -> str:
    """What `short` leaves out: resid_post."""
    rest = len(short(names)[0])
    return names[0][: len(names[0]) - rest].rstrip("_")


def log_ticks(values: Iterable[float | None]) -> list[float]:
    """1, 2 and 5 times the powers of ten between the values, or around them."""
    known = [value for value in values if value is not None and value > 0]
    if not known:
        return []
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    ticks = [digit * 10.0**power for power in range(low, high + 1) for digit in (1, 2, 5)]
    below = [tick for tick in ticks if tick <= min(known)]
    above = [tick for tick in ticks if tick >= max(known)]
    return [tick for tick in ticks if below[-1] <= tick <= above[0]]


def percent(share: float) -> str:
    """A share as text for a title."""
    return f"{share:.0%}" if share >= 0.005 or share == 0 else "under 1%"
