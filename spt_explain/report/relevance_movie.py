"""The movie, and beside it the same with its relevance over it, as an animation."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.report.drawing import plain
from spt_explain.report.movie_canvas import NARROWEST_PX, TEXT_PX
from spt_explain.report.overlay_movie import FPS, MOST_FRAMES_GIF, find_ffmpeg, write_gif, write_mp4
from spt_explain.report.placing import DARKEST, shades
from spt_explain.report.relevance_figures import RELEVANCE_COLOURS, painted
from spt_explain.report.style import INK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from PIL import Image as PILImage

    Picture = PILImage.Image

SIDE_PX = 420
"""About how wide or high each half is."""
_ROW, _GAP, _LEVELS, _GREYS, _BAR = 24, 4, 15, 14, 80


def relevance_movie(
    out: Path,
    frame_of: Callable[[int], NDArray[Any]],
    relevance_of: Callable[[int], NDArray[np.floating[Any]]],
    n_frames: int,
    *,
    ends: tuple[float, float],
    top: float,
    dark: bool = False,
    frame_interval_s: float | None = None,
    fps: float = FPS,
    side_px: int = SIDE_PX,
    most_frames: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[str, ...]:
    """Write the animation; frames are asked for one at a time.

    Parameters
    ----------
    out : pathlib.Path
        A name that ends in .gif, or in .mp4 (which needs the program ffmpeg).
    frame_of, relevance_of : callable
        From the number of a frame, from 0, to its pixels, shape (height, width).
    n_frames : int
        Of the movie.
    ends : (float, float)
        Grey values that become white and dark.
    top : float
        Relevance of the strongest colour.
    dark : bool
        Whether what stands out is darker than the background.
    frame_interval_s : float, optional
    fps : float
        Frames shown in a second.
    side_px : int
        About how wide or high each half is.
    most_frames : int, optional
        Every second frame, or third …, is shown where there are more; by default
        `MOST_FRAMES_GIF` for a GIF, and no limit for MP4.
    progress : callable, optional
        Called with the number of frames drawn and the number of frames.

    Returns
    -------
    tuple of str
        What a user should know: frames left out.

    Raises
    ------
    SptError
        If ffmpeg is not there or fails.
    """
    kind = out.suffix.lower().lstrip(".")
    program = find_ffmpeg(out) if kind == "mp4" else ""
    most = most_frames or (MOST_FRAMES_GIF if kind == "gif" else n_frames)
    every = -(-n_frames // most)
    shown = range(0, n_frames, every)
    height, width = frame_of(0).shape
    size = _size(width, height, side_px)

    def drawn() -> Iterator[Picture]:
        for done, index in enumerate(shown, start=1):
            words = f"frame {index:,}"
            if frame_interval_s:
                words = f"{plain(float(f'{index * frame_interval_s:.4g}'))} s   ({words})"
            yield _draw(frame_of(index), relevance_of(index), size, ends, top, words, dark=dark)
            if progress:
                progress(done, len(shown))

    if kind == "gif":
        write_gif(out, drawn(), _palette(), fps)
    else:
        write_mp4(out, drawn(), _whole(size), fps, program, out)
    if every == 1:
        return ()
    return (f"{out.name} shows one frame of {every:,}: {len(shown):,} of {n_frames:,} frames.",)


def _size(width: int, height: int, side_px: int) -> tuple[int, int]:
    """Return the size of each half in screen pixels, even; small movies grow by whole numbers."""
    zoom = side_px / max(width, height)
    zoom = float(int(zoom)) if zoom >= 1 else zoom
    across, down = (max(2, round(n * zoom)) for n in (width, height))
    return across + across % 2, down + down % 2


def _whole(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size of the picture: both halves, words beneath and room for them."""
    return max(2 * size[0] + _GAP, NARROWEST_PX), size[1] + _ROW


def _draw(
    frame: NDArray[Any],
    relevance: NDArray[np.floating[Any]],
    size: tuple[int, int],
    ends: tuple[float, float],
    top: float,
    words: str,
    *,
    dark: bool,
) -> Picture:
    from PIL import Image, ImageDraw

    how = Image.Resampling.NEAREST if size[0] >= frame.shape[1] else Image.Resampling.BOX
    left = Image.fromarray(shades(frame, ends, dark=dark)).resize(size, how).convert("RGB")
    right = Image.fromarray(painted(frame, relevance, ends, top=top, dark=dark)).resize(size, how)
    picture = Image.new("RGB", _whole(size), "white")
    picture.paste(left, (0, 0))
    picture.paste(right, (size[0] + _GAP, 0))
    pen, row, end = ImageDraw.Draw(picture), size[1] + _ROW // 2, picture.width - 6
    pen.text((6, row), words, INK, _font(), anchor="lm")
    high = f"{top:.2g}"
    pen.text((end, row), high, INK, _font(), anchor="rm")
    end -= int(_font().getlength(high)) + 6 + _BAR
    ramp = np.tile(np.linspace(0, top, _BAR, dtype=np.float32), (10, 1))
    bar = painted(np.zeros_like(ramp), ramp, (0.0, 1.0), top=top)
    picture.paste(Image.fromarray(bar), (end, row - 5))
    pen.text((end - 6, row), "relevance 0", INK, _font(), anchor="rm")
    return picture


@cache
def _font() -> Any:
    import matplotlib
    from PIL import ImageFont

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(file), TEXT_PX)


def _palette() -> Picture:
    """Return the colours of a GIF: all that `painted` makes of some greys and some relevances."""
    from PIL import Image

    # what `shades` makes white is 255 and what it makes darkest is DARKEST
    value = np.linspace(0, 1, _GREYS)
    level = np.linspace(0, 1, _LEVELS)
    image = np.broadcast_to(value, (_LEVELS, _GREYS))
    share = np.broadcast_to(level[:, None], (_LEVELS, _GREYS))
    colours = painted(image, share, (0.0, 1.0), top=1.0).reshape(-1, 3)
    greys = np.linspace(DARKEST, 255, 30).round().astype(np.uint8)
    more = [tuple(int(INK[k : k + 2], 16) for k in (1, 3, 5)), (0x90, 0x90, 0x90)]
    more += [tuple(int(c[k : k + 2], 16) for k in (1, 3, 5)) for c in RELEVANCE_COLOURS]
    flat = [int(v) for row in (*colours, *np.stack([greys] * 3, 1), *more) for v in row][:768]
    picture = Image.new("P", (1, 1))
    picture.putpalette(flat + flat[-3:] * (256 - len(flat) // 3))
    return picture
