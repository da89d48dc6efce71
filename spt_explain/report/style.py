"""How figures look: one colour for each class, text that can be read in print, no global state."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from spt_explain.errors import SptError
from spt_explain.report.options import FigureFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.figure import Figure
    from PIL.Image import Image

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
SIGNED_COLOURS = ("#3B1A6E", "#7E70AE", "#C9C9C9", "#E08A2E", "#A64A00")
"""From against (negative) over nothing (0) to for (positive).

Purple and orange stay apart for the colour-blind and are no class's colours; 0 is a grey that shows
on white, and orange is the lighter of the two ends in black and white.
"""
SIGNED_STEPS = 96
"""Colours of scores that a PNG of few colours holds: too many to see one end and the next begin."""
SHADES = 0.35, 0.6
"""Opacity of areas under coarse and under fine scores."""
COMMON, LEAST_LIMIT, FAR_OUT = 0.98, 0.2, 1.5
"""Of scores: the share that a scale of colours holds at least, its least end over the largest
value, and how far the largest must be beyond that share for the scale to end before it."""
NEUTRAL = "#6E6E6E"
"""For paths whose scores are not to be drawn."""
INK = "#222222"
FAINT = "#8C8C8C"
ACCENT = "#0072B2"

COLUMN_MM, PAGE_MM = 85.0, 178.0
"""Width of a figure in one column of a journal, and across the page."""
FIGURE_FORMATS = get_args(FigureFormat)
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
    "text.hinting": "none",
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


@cache
def all_colours() -> tuple[str, ...]:
    """Return the colours of lines, areas and words in our figures, many of scores among them."""
    from matplotlib.colors import to_hex, to_rgb

    signed = signed_colours()
    scores = (to_hex(signed(k / (SIGNED_STEPS - 1))) for k in range(SIGNED_STEPS))
    shades = (
        to_hex((1 - alpha * (1 - red), 1 - alpha * (1 - green), 1 - alpha * (1 - blue)))
        for red, green, blue in map(to_rgb, (SIGNED_COLOURS[0], SIGNED_COLOURS[-1]))
        for alpha in SHADES
    )
    return (*CLASS_COLOURS.values(), *OTHER_COLOURS, INK, FAINT, NEUTRAL, *shades, *scores)


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


@cache
def signed_colours() -> LinearSegmentedColormap:
    """Return the colour map of signed scores; see `SIGNED_COLOURS`."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("spt-explain signed", SIGNED_COLOURS)


def centred(values: Any) -> Normalize:
    """Return a scale of signed values that is centred on zero.

    Parameters
    ----------
    values : array_like
        Those that are not finite are left out.

    Returns
    -------
    matplotlib.colors.Normalize
        From −m to m. m is the largest absolute value, but where few stand far out, `COMMON` of
        the absolute values are within, and m is at least `LEAST_LIMIT` of the largest; those
        beyond have the colours of the ends. 1 where there is no value but 0.
    """
    import numpy as np
    from matplotlib.colors import Normalize

    size = np.abs(np.asarray(values, dtype=np.float64).ravel())
    size = size[np.isfinite(size)]
    most = float(size.max(initial=0.0))
    if most:
        common = max(float(np.quantile(size, COMMON)), LEAST_LIMIT * most)
        most = most if most < FAR_OUT * common else common
    return Normalize(-(most or 1.0), most or 1.0)


def text_colour_on(colour: str) -> str:
    """Return white or ink, whichever has more contrast with a colour (WCAG 2.1)."""
    return max(("white", INK), key=lambda ink: abs(_log_luminance(ink) - _log_luminance(colour)))


def _log_luminance(colour: str) -> float:
    import numpy as np
    from matplotlib.colors import to_rgb

    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(np.log(linear @ (0.2126, 0.7152, 0.0722) + 0.05))


def readable(text: object) -> str:
    """Return a text of the user's as it can be drawn: no formulas, no signs the font lacks."""
    known = _signs()
    flat = (" " if sign.isspace() else sign for sign in str(text))
    return "".join(s if ord(s) in known else "\u25a1" for s in flat).replace("$", r"\$")


@cache
def _signs() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(findfont(FontProperties("DejaVu Sans"))).get_charmap())


def place_axes(
    figure: Figure, left_mm: float, top_mm: float, width_mm: float, height_mm: float
) -> Axes:
    """Return axes whose frame lies there, measured from the figure's upper left corner."""
    width, height = figure.get_size_inches() * 25.4
    figure.set_layout_engine(None)  # which also saves a first drawing, only to arrange things
    return figure.add_axes(
        (left_mm / width, 1 - (top_mm + height_mm) / height, width_mm / width, height_mm / height)
    )


def percent_axis(axis: Any) -> None:
    """Show shares as per cent on an axis."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol="\u2009%"))


def error_band(axes: Axes, x: Any, low: Any, high: Any, colour: str) -> None:
    """Shade an interval."""
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def save_figure(
    figure: Figure,
    folder: Path,
    name: str,
    formats: Sequence[str],
    *,
    kept_colours: Sequence[str] = (),
) -> list[Path]:
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
    kept_colours : sequence of str, optional
        If any, a PNG has 256 colours, these among them: half as large, in a third of the time.
        For lines and areas; pictures of a movie would lose by it.
    """
    paths = []
    for fmt in formats:
        if fmt not in FIGURE_FORMATS:
            raise SptError(f"figure format {fmt!r}: expected one of {', '.join(FIGURE_FORMATS)}.")
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(fmt)
        path = folder / f"{name}.{fmt}"
        if fmt == "png":
            _save_png(figure, path, kept_colours)
        else:
            figure.savefig(path, format=fmt, metadata=metadata)
        paths.append(path)
    return paths


def _save_png(figure: Figure, path: Path, kept_colours: Sequence[str]) -> None:
    """Write pixels without transparency; all colours run by run: as small, in a third of the time.

    The pixels are read where matplotlib drew them: copies of 18 MB each take longer than a panel.
    """
    import zlib

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = figure.canvas
    canvas = canvas if isinstance(canvas, FigureCanvasAgg) else FigureCanvasAgg(figure)
    canvas.draw()
    size = canvas.get_width_height(physical=True)
    image = Image.frombytes("RGB", size, canvas.buffer_rgba(), "raw", "RGBX")
    options: dict[str, Any] = {"compress_type": zlib.Z_RLE}
    if kept_colours:
        image, options = _few_colours(image, kept_colours), {"compress_level": 1}
    image.save(path, "png", dpi=(DOTS_PER_INCH, DOTS_PER_INCH), **options)


def _few_colours(image: Image, kept: Sequence[str]) -> Image:
    """Return an image of 256 colours; those in `kept` and white stay as they are.

    The colours are those of every third pixel of every third row. Pillow looks the nearest one up
    in cells of 4 levels, so that a colour may become one that is up to 10 levels from it: such
    neighbours of the colours that are kept are replaced by them.
    """
    import numpy as np
    from matplotlib.colors import to_rgb
    from PIL.Image import Dither, Quantize, Resampling

    solid = np.unique(np.round([[255 * v for v in to_rgb(c)] for c in (*kept, "white")]), axis=0)
    few = image.resize((image.width // 3 + 1, image.height // 3 + 1), Resampling.NEAREST)
    few = few.quantize(256 - len(solid), method=Quantize.FASTOCTREE, dither=Dither.NONE)
    found = np.reshape(few.getpalette() or [], (-1, 3)).astype(np.float64)
    apart = np.linalg.norm(found[:, None] - solid, axis=2)
    found = np.where(apart.min(axis=1, keepdims=True) <= 11, solid[apart.argmin(axis=1)], found)
    few.putpalette(np.concatenate([solid, found]).astype(np.uint8).tobytes())
    return image.quantize(palette=few, dither=Dither.NONE)
