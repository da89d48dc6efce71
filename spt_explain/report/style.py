"""How figures look: one colour for each class, text that can be read in print, no global state."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASS_COLOURS: dict[str, str] = {
    "SubATTM": "#E69F00",
    "SubCTRW": "#D55E00",
    "SubFBM": "#0072B2",
    "SubSBM": "#009E73",
    "SupFBM": "#56B4E9",
    "SupLW": "#CC79A7",
    "SupSBM": "#F0E442",
    "BM": "#555555",
}
"""A colour for each class, the same in every figure.

Those of Okabe & Ito (2008), with a dark grey for black: they stay apart for people with any of the
three kinds of colour blindness (at least 16 units of CIELAB). Both FBM are blue.
"""
OTHER_COLOURS = ("#882255", "#44AA99", "#999933", "#332288", "#AA4499", "#DDCC77")
"""For classes of networks that know others."""
INK = "#222222"
FAINT = "#8C8C8C"
ACCENT = "#0072B2"

COLUMN_MM, PAGE_MM = 85.0, 178.0
"""Width of a figure in one column of a journal, and across the page."""
FIGURE_FORMATS = ("png", "svg", "pdf")
FONT_POINTS = 8.0
DOTS_PER_INCH = 300

_RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": FONT_POINTS,
    "axes.titlesize": FONT_POINTS,
    "figure.titlesize": FONT_POINTS,
    "axes.labelsize": FONT_POINTS,
    "xtick.labelsize": FONT_POINTS,
    "ytick.labelsize": FONT_POINTS,
    "legend.fontsize": FONT_POINTS,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "text.color": INK,
    "figure.dpi": DOTS_PER_INCH,
    "savefig.dpi": DOTS_PER_INCH,
    "svg.fonttype": "none",
    "svg.hashsalt": "spt-explain",
    "pdf.fonttype": 42,
}


def colour_of(name: str, classes: Sequence[str] = ()) -> str:
    """Return a class's colour; classes that are not ours get one by their place among `classes`."""
    if name in CLASS_COLOURS:
        return CLASS_COLOURS[name]
    others = [one for one in classes if one not in CLASS_COLOURS]
    return OTHER_COLOURS[others.index(name) % len(OTHER_COLOURS) if name in others else 0]


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and save in our style; matplotlib's settings are as before afterwards."""
    import matplotlib

    with matplotlib.rc_context(_RC):
        yield


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """Return an empty figure of a size in print, with room made for labels; needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_mm / 25.4, height_mm / 25.4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def percent_axis(axis: Any) -> None:
    """Show shares as per cent on an axis."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol="\u2009%"))


def error_band(axes: Axes, x: Any, low: Any, high: Any, colour: str) -> None:
    """Shade an interval."""
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def save_figure(figure: Figure, folder: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """Write a figure in each format; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    folder : pathlib.Path
        Where to.
    name : str
        File name without ending.
    formats : sequence of str
        Some of `FIGURE_FORMATS`.
    """
    paths = []
    for fmt in formats:
        if fmt not in FIGURE_FORMATS:
            raise SptError(f"figure format {fmt!r}: expected one of {', '.join(FIGURE_FORMATS)}.")
        metadata: dict[str, Any] = {
            "png": {"Software": None},
            "svg": {"Date": None},
            "pdf": {"CreationDate": None},
        }[fmt]
        path = folder / f"{name}.{fmt}"
        figure.savefig(path, format=fmt, metadata=metadata)
        paths.append(path)
    return paths
