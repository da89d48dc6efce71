"""Clips and their signal, from movies and what the user names: what a fit is given."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spt_explain.core.config import takes
from spt_explain.errors import SptError, option, printable
from spt_explain.movies.settings import DEFAULT_Z
from spt_explain.readers.wording import some
from spt_explain.xddpm.clips import Film, Places, find_films, opener, plan_places, read_clips
from spt_explain.xddpm.layout import LEAST_TILE, WHOLE_SIDE, Layout, bin_for
from spt_explain.xddpm.measured import MEASURED, in_units, prepare, unit_of
from spt_explain.xddpm.options import ClipOptions
from spt_explain.xddpm.signal_file import read_signals
from spt_explain.xddpm.signal_source import signal_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spt_explain.xddpm.measured import Measurement, MeasureSettings
    from spt_explain.xddpm.signal_file import FileSignals
    from spt_explain.xddpm.signal_source import SignalSource
    from spt_explain.xddpm.signals import Kind, Per

    Progress = Callable[[str, int, int], None]

TILE = 32
"""Side of tiles in px, where a signal is measured and nothing else is said."""
MOST_EMPTY = 0.25
"""Share of the clips, at most, in which there is nothing to measure."""
LEAST_CLIPS = 32
"""With fewer clips than this the user is told."""
LEAST_MOVIES = 4
"""A signal with one value for each movie needs at least so many movies."""
_CANDIDATES = 8
"""Times the clips taken at most, that are looked at."""


@dataclass(frozen=True, eq=False)
class Examples:
    """What a fit is given.

    Attributes
    ----------
    clips : numpy.ndarray of float32, shape (clips, frames, height, width)
        Pixel values as they are in the files, binned.
    values : numpy.ndarray
        The signal: (clips, values) or (clips, frames, values), NaN where not known; of categories
        texts, (clips,) or (clips, frames), empty where not known.
    groups : tuple of str
        Movie, field or stretch of time of each clip: held out whole.
    names : tuple of str
        Of the values, with their unit in brackets.
    per : {"clip", "frame"}
        What has one set of values.
    kind : {"number", "category"}
    layout : Layout
        How clips were cut; goes into the model.
    sources : tuple of dict
        Each movie: name, format, axes, frames, size, units and their sources, clips.
    notes : tuple of str
        What a user must know, whole sentences.
    held_out_by : str
        How clips are held out, in words.
    places : numpy.ndarray of int64, shape (clips, 4)
        Number of the movie (in `sources`), first frame, and first row and column in the movie's
        own pixels.
    """

    clips: NDArray[np.float32]
    values: NDArray[np.generic]
    groups: tuple[str, ...]
    names: tuple[str, ...]
    per: Per
    kind: Kind
    layout: Layout
    sources: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    held_out_by: str = ""
    places: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 4), np.int64))

    def __len__(self) -> int:
        return len(self.clips)


@takes(ClipOptions)
def gather(
    paths: Sequence[str | Path],
    signal: str | Path,
    *,
    seed: int = 0,
    jobs: int | None = None,
    measure: MeasureSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Examples:
    """Cut clips from movies and find the signal of each.

    Movies are read frame by frame, so memory grows with the clips and not with the movies. Clips
    are held out by movie; with one movie by field (blocks of its frame), or, of whole frames, by
    stretch of time with gaps between.

    Parameters
    ----------
    paths : sequence of str or pathlib.Path
        Movies, folders, patterns.
    signal : str or pathlib.Path
        ``area``, ``circumference``, ``intensity``, ``spots`` or ``msd-d``, measured from the
        movies, of each tile; or a table, see `spt_explain.xddpm.signal_file.read_signals`: its
        file, ``FILE:COLUMN`` (or several columns, with commas), the folder it lies in beside the
        movies, or the name of a column of the table there.
    seed : int
        Which clips, where there are more.
    jobs : int, optional
        Processes at most, to locate spots.
    measure : MeasureSettings, optional
        Threshold, polarity, and how spots are tracked.
    progress : callable, optional
        Called with what is done in words, the number done, and their number.
    **options
        Of `ClipOptions`.

    Returns
    -------
    gathered
        Clips, values, groups, names, layout, notes.

    Raises
    ------
    SptError
        If movies or table can't be read or don't fit, the movies are too short or too few, or the
        signal can't be measured; one line that says what is missing.
    """
    asked = ClipOptions(**options)
    frames, stride, per, kind = asked.frames, asked.stride, asked.per, asked.kind
    source = signal_source(signal, paths)
    z = DEFAULT_Z if asked.z is None else asked.z
    layout = Layout(None, frames, stride or 1, 1, asked.channel, z)
    films, notes = find_films(
        paths,
        channel=asked.channel,
        z=z,
        pixel_size_um=asked.pixel_size_um,
        frame_interval_s=asked.frame_interval_s,
        override_units=asked.override_units,
        progress=_telling(progress, "movies opened"),
    )
    layout, size = _settle_layout(
        layout, films, asked.tile, asked.bin, source.measured is not None, notes
    )
    if source.measured == "msd-d" and frames < 3:
        raise SptError(
            f"{option('frames')} is {frames}; msd-d needs clips of at least 3 frames.",
            option="frames",
        )
    table = None if source.path is None else _read_table(source, films, kind)
    places, layout, how = plan_places(
        films, layout, stride=stride, most=_CANDIDATES * asked.most_clips
    )
    if table is not None:
        found = _from_table(table, places, layout)
    else:
        assert source.measured is not None
        found = _measured(source.measured, films, places, layout, size, measure, jobs, progress)
    values, names, own_per, own_kind = found.values, found.names, found.per, found.kind
    notes += found.notes
    if kind == "category" and own_kind == "number":
        raise SptError(
            f"{names[0]} is measured and a number, no category. For categories give a table: "
            f"{option('signal', 'FILE')}.",
            option="signal",
        )
    if per == "clip" and own_per == "frame":
        values = _over_frames(values, own_kind)
    elif per == "frame" and own_per == "clip":
        raise SptError(
            f"{option('per', 'frame')}: {names[0]} has one value for each "
            f"{'clip' if source.measured else 'movie'}, not for each frame. Leave {option('per')} "
            "out.",
            code="conflict",
            option="per",
        )
    final: Per = "clip" if per == "clip" else own_per
    chosen = _choose(values, places, own_kind, bool(source.measured), asked.most_clips, seed)
    if len(chosen) < len(places):
        notes.append(f"{len(chosen):,} of {len(places):,} clips that could be cut were taken.")
    places = places.take(chosen)
    clips = read_clips(films, places, layout, size, progress=_telling(progress, "frames read"))
    notes.append(f"Clips are held out {how}.")
    if len(clips) < LEAST_CLIPS:
        notes.append(
            f"{some(len(clips), 'clip')} are few to learn from: 100 and more are better. Give more "
            f"movies, smaller tiles, or a smaller {option('stride')}."
        )
    corners = (places.movie, places.start, places.y * layout.bin, places.x * layout.bin)
    return Examples(
        clips=clips,
        values=values[chosen],
        groups=tuple(places.groups[i] for i in places.group),
        names=names,
        per=final,
        kind=own_kind,
        layout=layout,
        sources=tuple(_described(films, places)),
        notes=tuple(notes),
        held_out_by=how,
        places=np.stack(corners, axis=1),
    )


def _settle_layout(
    layout: Layout,
    films: Sequence[Film],
    tile: int | None,
    bin_: int | Literal["auto"],
    measured: bool,
    notes: list[str],
) -> tuple[Layout, tuple[int, int]]:
    """Return tile and bin, and the size of a clip."""
    tallest, widest = max(f.height for f in films), max(f.width for f in films)
    shortest = min(min(f.height, f.width) for f in films)
    if tile is None and measured and max(tallest, widest) >= 2 * TILE * _number(bin_):
        tile = min(TILE, shortest // _number(bin_))
    small = min(films, key=lambda f: min(f.height, f.width))
    least = shortest // (layout.bin if bin_ == "auto" else bin_)
    if least < LEAST_TILE:
        raise SptError(
            f"frames of {printable(small.name)} have {small.width} × {small.height} px"
            f"{f', {bin_} × {bin_} averaged to one' if least < shortest else ''}: expected at "
            f"least {LEAST_TILE} px a side."
        )
    if tile:
        layout = layout.changed(tile=tile, bin=_number(bin_))
        if tile > shortest // layout.bin:
            raise SptError(
                f"{option('tile', tile)}: frames of {printable(small.name)} have {small.width} × "
                f"{small.height} "
                f"px{f', {layout.bin} × {layout.bin} averaged to one' if layout.bin > 1 else ''}. "
                f"Give at most {shortest // layout.bin}, or 0 for whole frames.",
                option="tile",
            )
        return layout, (tile, tile)
    size = bin_for(tallest, widest, WHOLE_SIDE) if bin_ == "auto" else bin_
    layout = layout.changed(tile=None, bin=size)
    if size > 1:
        notes.append(
            f"Whole frames of {widest} × {tallest} px are taken, {size} × {size} px averaged to "
            f"one: what is smaller is not seen. For tiles at full resolution give {option('tile')}."
        )
    if len({(f.height, f.width) for f in films}) > 1:
        notes.append(
            f"Frames differ in size: smaller ones were filled up with their background to "
            f"{widest} × {tallest} px. If the size goes with the signal, a model can read it there."
        )
    return layout, layout.size_of(tallest, widest)


def _number(bin_: int | Literal["auto"]) -> int:
    return 1 if bin_ == "auto" else max(1, bin_)


@dataclass(frozen=True)
class _Found:
    values: NDArray[np.generic]
    names: tuple[str, ...]
    per: Per
    kind: Kind
    notes: list[str]


def _measured(
    signal: str,
    films: Sequence[Film],
    places: Places,
    layout: Layout,
    size: tuple[int, int],
    settings: MeasureSettings | None,
    jobs: int | None,
    progress: Progress | None,
) -> _Found:
    """Measure a signal of each clip that could be cut."""
    measurements, notes = prepare(
        signal,
        [opener(film, layout) for film in films],
        settings,
        jobs=jobs,
        progress=_telling(progress, "movies looked at"),
    )
    units = {
        unit_of(signal, f.calibration.pixel_size_um, f.calibration.frame_interval_s) for f in films
    }
    unit = units.pop() if len(units) == 1 else unit_of(signal, None, None)
    if units:
        notes.append(f"Units are not known of all movies: {signal} is in {unit}.")
    tell = _telling(progress, "movies measured")
    parts: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    for i, (film, one) in enumerate(zip(films, measurements, strict=True)):
        own = np.flatnonzero(places.movie == i)
        values = measure_places(film, one, places.take(own), layout, size)
        parts.append((own, values * in_units(signal, film.calibration, unit)))
        if tell is not None:
            tell(i + 1, len(films))
    values = np.empty((len(places), *parts[0][1].shape[1:]))
    for own, part in parts:
        values[own] = part
    name = f"{signal} [{unit}]" if unit else signal
    per: Per = "clip" if measurements[0].per_clip else "frame"
    return _Found(values, (name,), per, "number", notes)


def measure_places(
    film: Film, measurement: Measurement, places: Places, layout: Layout, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the values of clips of one movie, in px and frames; see `Measurement.of_clip`."""
    sums = np.empty((len(places), layout.frames, 2))
    cuts = places.cuts(size, layout, film)
    starts = places.start
    needed = np.unique(np.add.outer(np.unique(starts), np.arange(layout.frames)))
    with opener(film, layout)() as stack:
        for index in needed:
            frame = stack.frame(int(index)) if measurement.needs_pixels else None
            at = np.flatnonzero((starts <= index) & (index < starts + layout.frames))
            # clips that begin at other times share their rectangles
            each, back = np.unique(cuts[at], axis=0, return_inverse=True)
            found = measurement.sums(int(index), frame, (film.height, film.width), each)
            sums[at, index - starts[at]] = found[back]
    return np.asarray(measurement.of_clip(sums))


def _read_table(
    source: SignalSource, films: Sequence[Film], kind: Literal["auto", "number", "category"]
) -> FileSignals:
    assert source.path is not None
    table = read_signals(
        source.path, [(film.name, film.frames) for film in films], columns=source.columns, kind=kind
    )
    if table.per == "movie" and len(films) < LEAST_MOVIES:
        raise SptError(
            f"{source.path} has one value for each movie, and there "
            f"{'is' if len(films) == 1 else 'are'} {some(len(films), 'movie')}: expected at "
            f"least {LEAST_MOVIES}, better 20 and more, or a value for each frame."
        )
    return table


def _from_table(table: FileSignals, places: Places, layout: Layout) -> _Found:
    """Give each clip the values that a table has for its movie and its frames."""
    notes = list(table.notes)
    values: NDArray[np.generic]
    if table.per == "movie":
        values = np.asarray(table.each)[places.movie]
        return _Found(values, table.names, "clip", table.kind, notes)
    within = np.arange(layout.frames)
    shape = (len(places), layout.frames, *table.each[0].shape[1:])
    dtype = np.result_type(*{one.dtype for one in table.each})
    values = np.empty(shape, dtype)
    for i, one in enumerate(table.each):
        own = np.flatnonzero(places.movie == i)
        values[own] = one[np.add.outer(places.start[own], within)]
    if layout.tile is not None:
        notes.append("The signal is that of the whole frame; each tile is asked to tell it.")
    return _Found(values, table.names, "frame", table.kind, notes)


def _over_frames(values: NDArray[np.generic], kind: Kind) -> NDArray[np.generic]:
    """Return one set of values for each clip."""
    if kind == "category":
        most = [
            Counter(text for text in row if text).most_common(1) or [("", 0)]
            for row in values.tolist()
        ]
        return np.asarray([one[0][0] for one in most], dtype=str)
    numbers = np.asarray(values, np.float64)
    known = np.isfinite(numbers)
    counts = known.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, numbers, 0).sum(axis=1) / counts
    return np.where(counts > 0, mean, np.nan)


def _choose(
    values: NDArray[np.generic], places: Places, kind: Kind, measured: bool, most: int, seed: int
) -> NDArray[np.int64]:
    """Return which clips are taken: those with a signal, evenly from all groups, few empty ones."""
    flat = values.reshape(len(values), -1)
    known = (flat != "").any(axis=1) if kind == "category" else np.isfinite(flat).any(axis=1)
    if not known.any():
        raise SptError(
            "the signal is not known in any clip: expected values for the frames of the movies"
            + (
                f" (too few tracks to measure it; longer {option('frames')} or larger "
                f"{option('tile')} help)." * measured
            ),
            code="no-data",
            option="frames",
        )
    rng = np.random.default_rng([seed, 11])
    order = rng.permutation(len(values))
    order = order[known[order]]
    empty = np.zeros(len(values), bool)
    if measured:
        empty = np.nan_to_num(np.asarray(flat, np.float64)).any(axis=1) == 0
    full = _in_turn(order[~empty[order]], places.group)
    rest = _in_turn(order[empty[order]], places.group)
    few = int(MOST_EMPTY / (1 - MOST_EMPTY) * len(full)) if len(full) else len(rest)
    rest = rest[: max(1, min(few, round(MOST_EMPTY * most)))]
    return np.sort(np.concatenate([full[: most - len(rest)], rest]))


def _in_turn(order: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return clips in an order that takes one of each group before a second of any."""
    own = group[order]
    by_group = np.argsort(own, kind="stable")
    firsts = np.flatnonzero(np.diff(own[by_group], prepend=-1))
    rank = np.empty(len(order), np.int64)
    sizes = np.diff(np.append(firsts, len(order)))
    rank[by_group] = np.arange(len(order)) - np.repeat(firsts, sizes)
    return order[np.argsort(rank, kind="stable")]


def _described(films: Sequence[Film], places: Places) -> list[dict[str, Any]]:
    counts = np.bincount(places.movie, minlength=len(films))
    return [
        {
            "name": printable(film.name),
            **film.about,
            "frames": film.frames,
            "height": film.height,
            "width": film.width,
            "pixel_size_um": film.calibration.pixel_size_um,
            "pixel_size_source": film.calibration.length_source,
            "frame_interval_s": film.calibration.frame_interval_s,
            "frame_interval_source": film.calibration.time_source,
            "clips": int(count),
        }
        for film, count in zip(films, counts, strict=True)
    ]


def _telling(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(what, done, total)


__all__ = ["MEASURED", "Examples", "gather"]
