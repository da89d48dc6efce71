"""From movies to clips: which movies, where clips are cut, and their pixels, read in a stream."""

from __future__ import annotations

import glob
import math
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option, printable
from spt_explain.movies.calibration import settle
from spt_explain.movies.sequence import find_movies
from spt_explain.movies.stack import Stack
from spt_explain.xddpm.simulate.files import SETTINGS, TRUTH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spt_explain.movies.frames import FrameFiles
    from spt_explain.tracks.table import Calibration
    from spt_explain.xddpm.layout import Layout

    Ints = NDArray[np.int64]

FIELDS = 4
"""One movie is divided into at most so many by so many fields."""
LEAST_FIELDS = 4
"""With fewer fields than this, one movie is divided into stretches of time, where it is long."""
STRETCHES = 10
"""One movie of whole frames is divided into at most so many stretches of time."""
ENOUGH = 256
"""Clips overlap in time, and tiles in space, only where there would be fewer than this."""
MAX_BYTES = 6_000_000_000
"""Memory that clips may take at most."""


@dataclass(frozen=True)
class Film:
    """A movie as its file describes it.

    Attributes
    ----------
    name : str
        The file, as found.
    source : str or FrameFiles
        What `Stack` opens.
    frames, height, width : int
    calibration : Calibration
        Pixel size and frame interval, and where they come from.
    about : dict
        Format, axes and notes, for the provenance.
    """

    name: str
    source: str | FrameFiles
    frames: int
    height: int
    width: int
    calibration: Calibration
    about: dict[str, Any] = field(default_factory=dict)


def find_films(
    paths: Sequence[str | Path],
    *,
    channel: int | None = None,
    z: str | int = "max",
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    override_units: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Film], list[str]]:
    """Find movies and look at what their files say.

    Parameters
    ----------
    paths : sequence of str or pathlib.Path
        Files, folders, patterns. Of a folder that ``spt-explain simulate`` wrote, the movies are
        taken and their masks are not.
    channel, z
        See `Stack`.
    pixel_size_um, frame_interval_s, override_units
        See `spt_explain.movies.calibration.settle`.
    progress : callable, optional
        Called with movies done and their number.

    Returns
    -------
    films : list of Film
    notes : list of str
        Each once, with the number of movies that it holds for.

    Raises
    ------
    SptError
        If there is no movie, or one can't be read.
    """
    names = [str(path) for path in paths]
    if not names:
        raise SptError("no movie was given: expected TIFF, ND2 or CZI files, or a folder of them.")
    for i, name in enumerate(names):
        if _is_simulated(Path(name)):
            names[i] = str(Path(glob.escape(name)) / "movie-*.tif")
    found = find_movies(names)
    movies = [movie for movie in found if not _is_truth(Path(movie.name))]
    if not movies:
        raise SptError(
            f"{names[0]} holds masks that simulate wrote and no movies. Give the folder above.",
            code="wrong-kind",
        )
    films: list[Film] = []
    said: dict[str, list[str]] = {}
    for done, movie in enumerate(movies, 1):
        with Stack(movie.source, channel, z) as stack:
            calibration, unit_notes = settle(
                stack.units,
                pixel_size_um=pixel_size_um,
                frame_interval_s=frame_interval_s,
                override_units=override_units,
            )
            about = {"format": stack.format, "axes": stack.axes, "notes": list(stack.notes)}
            films.append(
                Film(
                    movie.name,
                    movie.source,
                    stack.n_frames,
                    stack.height,
                    stack.width,
                    calibration,
                    about,
                )
            )
            for note in (*stack.notes, *unit_notes):
                said.setdefault(note, []).append(movie.name)
        if progress is not None:
            progress(done, len(movies))
    notes = [
        f"{printable(who[0])}{f' and {len(who) - 1:,} more' if len(who) > 1 else ''}: {note}"
        for note, who in said.items()
    ]
    left = len(found.left_out)
    if left:
        notes.append(f"{left:,} other file{'s' * (left > 1)} of the folder were left out.")
    return films, notes


def opener(film: Film, layout: Layout) -> Callable[[], Stack]:
    """Return what opens a movie."""
    return partial(Stack, film.source, layout.channel, layout.z)


def _is_simulated(folder: Path) -> bool:
    try:
        return (folder / SETTINGS).is_file() and any(folder.glob("movie-*.tif"))
    except (OSError, ValueError):
        return False


def _is_truth(path: Path) -> bool:
    return any(
        parent.name == TRUTH and (parent.parent / SETTINGS).is_file() for parent in path.parents
    )


@dataclass(frozen=True, eq=False)
class Places:
    """Where clips are cut.

    Attributes
    ----------
    movie, start, y, x : numpy.ndarray of int
        Number of the movie, first frame, and first row and column in binned pixels.
    group : numpy.ndarray of int
        Position in `groups`: movie, field or stretch.
    groups : tuple of str
    """

    movie: Ints
    start: Ints
    y: Ints
    x: Ints
    group: Ints
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.movie)

    def take(self, index: Ints) -> Places:
        """Return some of them."""
        return Places(
            self.movie[index],
            self.start[index],
            self.y[index],
            self.x[index],
            self.group[index],
            self.groups,
        )

    def cuts(self, size: tuple[int, int], layout: Layout, film: Film) -> Ints:
        """Return the rectangles in the movie's own pixels: rows from and to, columns."""
        top, left = self.y * layout.bin, self.x * layout.bin
        bottom = np.minimum(top + size[0] * layout.bin, film.height)
        right = np.minimum(left + size[1] * layout.bin, film.width)
        return np.stack([top, bottom, left, right], axis=1)


@dataclass(frozen=True)
class _Area:
    """A part of a movie within which clips may overlap: frames, rows and columns, to the next."""

    group: str
    t: tuple[int, int]
    y: tuple[int, int]
    x: tuple[int, int]


def plan_places(
    films: Sequence[Film], layout: Layout, *, stride: int | None, most: int
) -> tuple[Places, Layout, str]:
    """Choose where clips may be cut, and what is held out together.

    Parameters
    ----------
    films : sequence of Film
    layout : Layout
        Its stride is replaced.
    stride : int, optional
        Frames from clip to clip; by default clips don't overlap, unless they would be few.
    most : int
        Where there are more places, some of their times are left out, evenly.

    Returns
    -------
    places : Places
    layout : Layout
        With the stride.
    how : str
        What is held out together, in words.

    Raises
    ------
    SptError
        If a movie has fewer frames than a clip, or one movie can't be divided.
    """
    short = [film for film in films if film.frames < layout.frames]
    if short:
        one = min(short, key=lambda film: film.frames)
        more = f" (and {len(short) - 1:,} more are short)" if len(short) > 1 else ""
        # Of one movie of whole frames, clips are held out by time.
        few = one.frames if len(films) > 1 or layout.tile else max(1, one.frames // 5)
        raise SptError(
            f"{printable(one.name)} has {one.frames:,} frames{more}; a clip has {layout.frames}. "
            f"Give {option('frames', few)} or less, or longer movies.",
            option="frames",
        )
    if len(films) > 1:
        areas = [
            _Area(printable(film.name), (0, film.frames), (0, h), (0, w))
            for film in films
            for h, w in [layout.size_of(film.height, film.width)]
        ]
        owners = list(range(len(films)))
        how = f"by movie ({len(films):,} movies)"
    else:
        areas, how = _divide(films[0], layout)
        owners = [0] * len(areas)
    step, pitch = stride or layout.frames, layout.tile or 1
    while True:
        grids = [_grid(area, layout, step, pitch) for area in areas]
        count = sum(math.prod(map(len, grid)) for grid in grids)
        if count >= min(ENOUGH, most):
            break
        if stride is None and step > 1:
            step = max(1, step // 2)
        elif layout.tile and pitch > layout.tile // 4:
            pitch = max(1, pitch // 2)
        else:
            break
    thin = max(1, -(-count // most))
    parts = []
    for number, (owner, (t, y, x)) in enumerate(zip(owners, grids, strict=True)):
        kept = t[:: min(thin, len(t))] if thin > 1 else t
        grid = np.stack(np.meshgrid(kept, y, x, indexing="ij"), -1).reshape(-1, 3)
        parts.append(np.column_stack([np.full((len(grid), 2), (owner, number)), grid]))
    table = np.concatenate(parts).astype(np.int64)
    places = Places(
        table[:, 0], table[:, 2], table[:, 3], table[:, 4], table[:, 1],
        tuple(area.group for area in areas),
    )  # fmt: skip
    return places, layout.changed(stride=step), how


def _grid(area: _Area, layout: Layout, step: int, pitch: int) -> tuple[Ints, Ints, Ints]:
    """Return first frames, rows and columns of the clips of an area."""
    t = np.arange(area.t[0], area.t[1] - layout.frames + 1, step)
    if layout.tile is None:
        return t, np.array([area.y[0]]), np.array([area.x[0]])
    rows, columns = (_along(*axis, layout.tile, pitch) for axis in (area.y, area.x))
    return t, rows, columns


def _along(low: int, high: int, tile: int, pitch: int) -> Ints:
    """Return where tiles start along an axis, as far from one end as from the other."""
    room = high - low - tile
    count = room // pitch + 1
    return low + (room - (count - 1) * pitch) // 2 + pitch * np.arange(count)


def _divide(film: Film, layout: Layout) -> tuple[list[_Area], str]:
    """Divide one movie into fields, or into stretches of time."""
    name = printable(film.name)
    height, width = layout.size_of(film.height, film.width)
    fields: list[_Area] = []
    if layout.tile:
        rows, columns = (_parts(n, layout.tile) for n in (height, width))
        fields = [
            _Area(f"{name}, field {i + 1}-{j + 1}", (0, film.frames), y, x)
            for i, y in enumerate(rows)
            for j, x in enumerate(columns)
        ]
    if len(fields) >= LEAST_FIELDS:
        return fields, f"by field ({len(fields)} blocks of the frame of {name}, not overlapping)"
    stretches = _stretches(film.frames, layout.frames)
    if len(stretches) >= 2:
        areas = [
            _Area(f"{name}, frames {a}-{b - 1}", (a, b), (0, height), (0, width))
            for a, b in stretches
        ]
        gap = stretches[1][0] - stretches[0][1]
        return areas, (
            f"by stretch of time ({len(areas)} stretches of {name}, {gap} frames apart: clips held "
            "out show the same cells at other times)"
        )
    if len(fields) >= 2:
        return fields, f"by field ({len(fields)} blocks of the frame of {name}, not overlapping)"
    raise SptError(
        f"{name} is one movie of {film.frames:,} frames, too short to hold clips of "
        f"{layout.frames} frames out. Give {option('frames', max(1, film.frames // 5))} or less, "
        "or several movies.",
        option="frames",
    )


def _parts(size: int, tile: int) -> list[tuple[int, int]]:
    """Divide an axis into parts that hold whole tiles."""
    tiles = size // tile
    count = max(1, min(FIELDS, tiles))
    offset = (size - tiles * tile) // 2
    edges = [offset + tile * (i * tiles // count) for i in range(count + 1)]
    return [(a, b) for a, b in pairwise(edges) if b - a >= tile]


def _stretches(frames: int, clip: int) -> list[tuple[int, int]]:
    """Divide time into stretches with gaps of half a clip, each of two clips where that fits."""
    gap = max(1, clip // 2)
    for length in (2 * clip, clip):
        count = min(STRETCHES, (frames + gap) // (length + gap))
        if count >= 5 or (length == clip and count >= 2):
            whole = frames - (count - 1) * gap
            edges = [i * whole // count for i in range(count + 1)]
            return [(a + i * gap, b + i * gap) for i, (a, b) in enumerate(pairwise(edges))]
    return []


def read_clips(
    films: Sequence[Film],
    places: Places,
    layout: Layout,
    size: tuple[int, int],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Read the pixels of clips; each frame that is needed is read once.

    Frames that are smaller than `size` are filled up with their movie's background, the median
    along their border.

    Returns
    -------
    numpy.ndarray of float32, shape (clips, frames, *size)

    Raises
    ------
    SptError
        If they don't fit into memory, or a frame can't be read.
    """
    needed = len(places) * layout.frames * math.prod(size) * 4
    if needed > MAX_BYTES:
        raise SptError(
            f"{len(places):,} clips of {layout.frames} frames with {size[0]} × {size[1]} px take "
            f"{needed / 1e9:.1f} GB; at most {MAX_BYTES / 1e9:g} GB are used. Give a smaller "
            f"{option('tile')}, a larger {option('bin')}, or fewer clips.",
            option="tile",
        )
    clips = np.empty((len(places), layout.frames, *size), np.float32)
    frames_of = [np.flatnonzero(places.movie == i) for i in range(len(films))]
    total = sum(len(_frames_needed(places.start[own], layout.frames)) for own in frames_of)
    done = 0
    for film, own in zip(films, frames_of, strict=True):
        if not len(own):
            continue
        starts = places.start[own]
        with opener(film, layout)() as stack:
            for index in _frames_needed(starts, layout.frames):
                frame = _filled(layout.binned(stack.frame(int(index))), size)
                for clip in own[(starts <= index) & (index < starts + layout.frames)]:
                    y, x = places.y[clip], places.x[clip]
                    cut = frame[y : y + size[0], x : x + size[1]]
                    clips[clip, index - places.start[clip]] = cut
                done += 1
                if progress is not None:
                    progress(done, total)
    return clips


def _frames_needed(starts: Ints, frames: int) -> Ints:
    return np.unique(np.add.outer(np.unique(starts), np.arange(frames)))


def _filled(frame: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    short = [max(0, n - have) for n, have in zip(size, frame.shape, strict=True)]
    if not any(short):
        return frame
    border = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
    return np.pad(frame, [(0, n) for n in short], constant_values=np.float32(np.median(border)))
