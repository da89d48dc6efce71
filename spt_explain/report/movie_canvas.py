"""One frame of a movie with its tracks, as a picture of screen pixels."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.report.drawing import colours_of, length_text, plain, round_length
from spt_explain.report.placing import class_colours, shades
from spt_explain.report.style import INK, NEUTRAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from PIL import Image as PILImage
    from PIL.ImageFont import FreeTypeFont

    from spt_explain.report.placing import Placed, Scene

    Colour = tuple[int, int, int]
    Picture = PILImage.Image

FINER = 2
"""Lines are drawn on so many pixels a side for each of the movie's, and then averaged."""
TEXT_PX, LINE_PX, RING_PX = 14, 2.0, 5.0
NARROWEST_PX = 360
"""Width that the words beneath need; narrower movies get margins."""

_MARGIN, _ROW = 8, 22


class Canvas:
    """Draws the frames of a movie, all of the same size.

    Attributes
    ----------
    size : (int, int)
        Width and height in screen pixels, both even (which MP4 needs).
    """

    def __init__(
        self,
        scene: Scene,
        shape: tuple[int, int],
        ends: tuple[float, float],
        *,
        classes: Sequence[str],
        colour_by: str,
        tail: int | None,
        dark: bool,
        side_px: int,
    ) -> None:
        """Prepare to draw.

        Parameters
        ----------
        scene : Scene
            The tracks in pixels of the movie.
        shape : (int, int)
            Width and height of its frames.
        ends : (float, float)
            Grey values that become white and dark.
        classes : sequence of str
            All classes.
        colour_by : {"class", "score"}
            What colours mean.
        tail : int or None
            Frames that a track is seen after its last position; None for ever.
        dark : bool
            Whether spots are darker than the background.
        side_px : int
            About how long the longer side becomes.
        """
        self._ends, self._dark, self._tail = ends, dark, tail
        self._scene = scene
        zoom = side_px / max(shape)
        self._zoom = float(int(zoom)) if zoom >= 1 else zoom
        self._image = tuple(max(2, round(n * self._zoom)) for n in shape)
        self._by_class = class_colours(scene.paths, classes) if colour_by == "class" else None
        width = max(self._image[0], NARROWEST_PX)
        width += width % 2
        self._left = (width - self._image[0]) // 2
        self._legend = self._legend_rows(width)
        height = self._image[1] + _MARGIN + _ROW * (1 + max(len(self._legend), 1)) + _MARGIN // 2
        self.size = width, height + height % 2
        self._pieces = _Pieces(scene.paths, self._colour_of)

    def draw(self, frame: npt.NDArray[Any], index: int) -> Picture:
        """Return frame `index` of the movie with the tracks as they are then."""
        from PIL import Image, ImageDraw

        grey = Image.fromarray(shades(frame, self._ends, dark=self._dark))
        enlarged = self._image[0] * FINER, self._image[1] * FINER
        how = Image.Resampling.NEAREST if self._zoom >= 1 else Image.Resampling.BOX
        fine = grey.resize(enlarged, how).convert("RGB")
        pen = ImageDraw.Draw(fine)
        scale = self._zoom * FINER
        since = -(2**62) if self._tail is None else index - self._tail
        for x, y, colour in self._pieces.lines(since, index):
            ends = [((a + 0.5) * scale, (b + 0.5) * scale) for a, b in zip(x, y, strict=True)]
            pen.line(ends, fill=colour, width=round(LINE_PX * FINER))
        radius = RING_PX * FINER
        for x_now, y_now, colour in self._pieces.points(index):
            a, b = (x_now + 0.5) * scale, (y_now + 0.5) * scale
            pen.ellipse(
                (a - radius, b - radius, a + radius, b + radius), outline=colour,
                width=round(1.5 * FINER),
            )  # fmt: skip
        picture = self._beneath.copy()
        picture.paste(fine.reduce(FINER), (self._left, 0))
        words = f"frame {index:,}"
        step = self._scene.frame_interval_s
        if step:
            words = f"{plain(float(f'{index * step:.4g}'))} s   ({words})"
        row = self._image[1] + _MARGIN + _ROW // 2
        ImageDraw.Draw(picture).text((_MARGIN, row), words, INK, self._font, anchor="lm")
        return picture

    def palette(self) -> Picture:
        """Return the 256 colours of a GIF: greys, the tracks' colours, and those between."""
        from PIL import Image

        if self._by_class is not None:
            pure = [_rgb(colour) for colour, _ in self._by_class.values()]
        else:
            pure = [_rgb255(row) for row in _score_colours(np.linspace(-1, 1, 24))]
        pure += [_rgb(NEUTRAL), _rgb(INK)]
        pure = list(dict.fromkeys(pure))[:60]
        greys = [(level, level, level) for level in np.linspace(0, 255, 72).round().astype(int)]
        found: list[Any] = [*greys, *pure]
        for share in (0.75, 0.5, 0.25):
            for base in (255, 175):
                found += [tuple(round(share * c + (1 - share) * base) for c in one) for one in pure]
        flat = [int(value) for colour in found[:256] for value in colour]
        image = Image.new("P", (1, 1))
        image.putpalette(flat + flat[-3:] * (256 - len(flat) // 3))
        return image

    @cached_property
    def _font(self) -> FreeTypeFont:
        from pathlib import Path

        import matplotlib
        from PIL import ImageFont

        file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
        return ImageFont.truetype(str(file), TEXT_PX)

    @cached_property
    def _beneath(self) -> Picture:
        """What is the same in every frame: scale bar and what colours mean."""
        from PIL import Image, ImageDraw

        picture = Image.new("RGB", self.size, "white")
        pen = ImageDraw.Draw(picture)
        row = self._image[1] + _MARGIN + _ROW // 2
        length = round_length(0.25 * self._image[0] / self._zoom * self._scene.pixel)
        drawn = length / self._scene.pixel * self._zoom
        words = length_text(length, self._scene.unit).replace("\u2009", " ")
        end = self.size[0] - _MARGIN
        pen.text((end, row), words, INK, self._font, anchor="rm")
        end -= int(self._font.getlength(words)) + 6
        pen.rectangle((end - drawn, row - 1, end, row + 2), fill=INK)
        row += _ROW
        if self._by_class is None:
            self._score_legend(pen, row)
        for line in self._legend:
            for left, colour, name in line:
                pen.rectangle((left, row - 2, left + 16, row + 2), fill=colour)
                pen.text((left + 21, row), name, INK, self._font, anchor="lm")
            row += _ROW
        return picture

    def _score_legend(self, pen: Any, row: int) -> None:
        before = "against its class"
        pen.text((_MARGIN, row), before, INK, self._font, anchor="lm")
        left = _MARGIN + int(self._font.getlength(before)) + 6
        width = 100
        for k, colour in enumerate(_score_colours(np.linspace(-1, 1, width))):
            pen.line((left + k, row - 5, left + k, row + 5), fill=_rgb255(colour))
        left += width + 6
        pen.text((left, row), "for it", INK, self._font, anchor="lm")
        left += int(self._font.getlength("for it")) + 18
        pen.rectangle((left, row - 1, left + 16, row + 1), fill=NEUTRAL)
        pen.text((left + 21, row), "no map", INK, self._font, anchor="lm")

    def _legend_rows(self, width: int) -> list[list[tuple[int, str, str]]]:
        if self._by_class is None:
            return []
        rows: list[list[tuple[int, str, str]]] = [[]]
        at = _MARGIN
        for name, (colour, _) in self._by_class.items():
            words = (name or "no class")[:40]
            needed = 21 + int(self._font.getlength(words)) + 14
            if rows[-1] and at + needed > width:
                rows.append([])
                at = _MARGIN
            rows[-1].append((at, colour, words))
            at += needed
        return rows

    def _colour_of(self, path: Placed) -> tuple[list[Colour], list[Colour]]:
        """Return the colours of a track's lines and of its points."""
        n = len(path.x)
        if self._by_class is not None:
            one = _rgb(self._by_class[path.name][0])
            return [one] * max(n - 1, 0), [one] * n
        if path.share is None:
            return [_rgb(NEUTRAL)] * max(n - 1, 0), [_rgb(NEUTRAL)] * n
        between = 0.5 * (path.share[:-1] + path.share[1:])
        return (
            [_rgb255(row) for row in _score_colours(between)],
            [_rgb255(row) for row in _score_colours(path.share)],
        )


class _Pieces:
    """Lines and points of all tracks, found by frame."""

    def __init__(self, paths: Sequence[Placed], colour_of: Any) -> None:
        frames, starts, ends, colours = [], [], [], []
        at, places, tints = [], [], []
        for path in paths:
            lines, dots = colour_of(path)
            both = np.column_stack([path.x, path.y])
            frames.append(path.frame[1:])
            starts.append(both[:-1])
            ends.append(both[1:])
            colours += lines
            at.append(path.frame)
            places.append(both)
            tints += dots
        self._lines, order = _sorted(frames)
        self._start, self._end = (np.concatenate(part)[order] for part in (starts, ends))
        self._line_colour = [colours[k] for k in order]
        self._points, order = _sorted(at)
        self._place = np.concatenate(places)[order]
        self._point_colour = [tints[k] for k in order]

    def lines(self, since: int, until: int) -> list[tuple[Any, Any, Colour]]:
        """Return x, y and colour of the lines that end after `since` and not after `until`."""
        first, last = np.searchsorted(self._lines, [since, until], "right")
        return [
            (*np.stack([self._start[k], self._end[k]], axis=1), self._line_colour[k])
            for k in range(first, last)
        ]

    def points(self, frame: int) -> list[tuple[float, float, Colour]]:
        """Return x, y and colour of the positions in a frame."""
        first = int(np.searchsorted(self._points, frame, "left"))
        last = int(np.searchsorted(self._points, frame, "right"))
        return [
            (float(self._place[k, 0]), float(self._place[k, 1]), self._point_colour[k])
            for k in range(first, last)
        ]


def _sorted(frames: list[npt.NDArray[np.int64]]) -> tuple[npt.NDArray[np.int64], Any]:
    joined = np.concatenate(frames)
    order = np.argsort(joined, kind="stable")
    return joined[order], order


def _score_colours(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from matplotlib.colors import Normalize

    return colours_of(share, Normalize(-1, 1))


def _rgb(colour: str) -> Colour:
    return tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))  # type: ignore[return-value]


def _rgb255(row: npt.NDArray[np.float64]) -> Colour:
    return tuple(int(value) for value in np.round(row[:3] * 255))  # type: ignore[return-value]
