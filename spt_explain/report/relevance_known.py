"""The signal of a movie that is explained, where it can be measured or is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.xddpm.measured import MEASURED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from spt_explain.movies.sequence import Movie
    from spt_explain.report.relevance_stream import MovieLook
    from spt_explain.tracks.table import Calibration
    from spt_explain.xddpm.model import RelevanceModel
    from spt_explain.xddpm.signal_source import SignalSource

    Values = NDArray[np.generic]


@dataclass
class Known:
    """What is known of a movie's signal.

    Attributes
    ----------
    source : str
        What was measured, or the table; "none".
    signal : numpy.ndarray or None
        Of each clip that was kept of the movie, as the model's own was given.
    course : dict of str to numpy.ndarray, shape (frames,)
        The signal of each frame by name, NaN where it is not known. A measured one is that of a
        tile on average, as the prediction is; a diffusion coefficient that of as many frames
        around as a clip has.
    notes : list of str
    """

    source: str = "none"
    signal: Values | None = None
    course: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def known_signal(
    movie: Movie,
    look: MovieLook,
    signal: str | Path,
    fit_said: Mapping[str, Any],
    calibration: Calibration,
) -> Known:
    """Measure, or read, the signal of a movie as the model's own was.

    Parameters
    ----------
    movie : Movie
    look : MovieLook
        Of the whole movie.
    signal : str or pathlib.Path
        As for a fit; ``"none"``; or ``"auto"``: what the model was fitted to, where this movie
        has it.
    fit_said : mapping
        What ``fit.json`` says.
    calibration : Calibration
        Of the movie.

    Raises
    ------
    SptError
        If a signal that was asked for can't be measured or read; what ``"auto"`` finds is only
        noted then.
    """
    from spt_explain.xddpm.signal_source import signal_source

    word = str(signal)
    if word == "auto":
        word = _as_fitted(fit_said)
    if word == "none":
        return Known()
    try:
        source = signal_source(word, [movie.name])
        if source.measured is not None:
            return _measured(source.measured, movie, look, calibration)
        return _from_table(source, movie, look)
    except SptError as error:
        if str(signal) != "auto":
            raise
        said = str(error).splitlines()[0]
        return Known(
            notes=[
                f"The signal of this movie is not known, so its prediction was not compared: {said}"
            ]
        )


def refuse_signal(
    movie: Movie, model: RelevanceModel, n_frames: int, signal: str | Path, calibration: Calibration
) -> None:
    """Check, before a movie is looked at, that a signal that is asked for is of it and the model.

    Raises
    ------
    SptError
        If it is not.
    """
    from spt_explain.xddpm.measured import unit_of
    from spt_explain.xddpm.signal_file import read_signals
    from spt_explain.xddpm.signal_source import signal_source

    if str(signal) in ("auto", "none"):
        return
    source = signal_source(signal, [movie.name])
    if source.measured is not None:
        word = source.measured
        unit = unit_of(word, calibration.pixel_size_um, calibration.frame_interval_s)
        _same_names(model, (f"{word} [{unit}]" if unit else word,))
        return
    assert source.path is not None
    rows = [(movie.name, n_frames)]
    found = read_signals(source.path, rows, columns=source.columns, kind=model.signal.kind)
    _same_names(model, found.names)


def _as_fitted(fit_said: Mapping[str, Any]) -> str:
    """Return the signal that a model was fitted to as a user would name it; none if unknown."""
    said = fit_said.get("signal")
    if not isinstance(said, dict):
        return "none"
    if said.get("measured") in MEASURED:
        return str(said["measured"])
    table, columns = said.get("table"), said.get("columns")
    if not isinstance(table, str) or not Path(table).is_file():
        return "none"
    named = isinstance(columns, list) and columns
    return f"{table}:{','.join(map(str, columns or []))}" if named else table


def _measured(word: str, movie: Movie, look: MovieLook, calibration: Calibration) -> Known:
    from spt_explain.movies.stack import Stack
    from spt_explain.xddpm.clips import Film, Places
    from spt_explain.xddpm.examples import measure_places
    from spt_explain.xddpm.measured import in_units, prepare, unit_of

    model, stack = look.model, look.stack
    unit = unit_of(word, calibration.pixel_size_um, calibration.frame_interval_s)
    name = f"{word} [{unit}]" if unit else word
    _same_names(model, (name,))
    _, channel, z = stack.options
    layout = model.cutting.changed(channel=channel, z=z)
    (measurement,), notes = prepare(word, [partial(Stack, movie.source, channel, z)])
    factor = in_units(word, calibration, unit)
    known = Known(word, notes=notes)
    count, shape = stack.n_frames, (stack.height, stack.width)
    cuts = np.array([[0, shape[0], 0, shape[1]]])
    sums = np.concatenate(
        [
            measurement.sums(i, stack.frame(i) if measurement.needs_pixels else None, shape, cuts)
            for i in range(count)
        ]
    )
    if measurement.per_clip:
        length = min(model.frames, count)
        begin = np.clip(np.arange(count) - length // 2, 0, count - length)
        around = np.stack([sums[a : a + length] for a in begin])
        course = measurement.of_clip(around)[:, 0] * factor
    else:
        share = 1.0
        if layout.tile is not None:
            share = min(1.0, (layout.tile * layout.bin) ** 2 / (shape[0] * shape[1]))
        course = sums[:, 0] * factor * share
    known.course = {name: np.asarray(course, np.float64)}
    if count >= model.frames:
        film = Film(movie.name, movie.source, count, *shape, calibration)
        start, y, x = np.asarray(look.places, np.int64).T
        zeros = np.zeros_like(start)
        places = Places(zeros, start, y, x, zeros, (movie.name,))
        values = measure_places(film, measurement, places, layout, model.size) * factor
        known.signal = _for_model(model, values)
    return known


def _from_table(source: SignalSource, movie: Movie, look: MovieLook) -> Known:
    from spt_explain.xddpm.signal_file import read_signals

    model, count = look.model, look.stack.n_frames
    own = model.signal
    assert source.path is not None
    found = read_signals(source.path, [(movie.name, count)], columns=source.columns, kind=own.kind)
    _same_names(model, found.names)
    values = np.asarray(found.each[0])
    known = Known(str(source.path.absolute()), notes=list(found.notes))
    per_frame = values if found.per == "frame" else np.stack([values] * count)
    if own.kind == "category":
        texts = np.char.strip(per_frame.reshape(count).astype(str))
        known.course = {
            one: np.where(texts == "", np.nan, (texts == one).astype(np.float64))
            for one in own.categories
        }
    else:
        numbers = per_frame.reshape(count, len(own.names)).astype(np.float64)
        known.course = dict(zip(own.names, numbers.T, strict=True))
    if count >= model.frames:
        each = [per_frame[start : start + model.frames] for start, _, _ in look.places]
        known.signal = _for_model(model, np.stack(each))
    return known


def _for_model(model: RelevanceModel, values: Values) -> Values:
    """Return clips' values for each frame, or, where the model wants one of a clip, that."""
    own = model.signal
    if own.per == "frame" or values.shape[1] != model.frames:
        return values
    if own.kind == "category":
        return np.asarray([_commonest(row) for row in values.reshape(len(values), -1)])
    numbers = np.asarray(values, np.float64)
    there = np.isfinite(numbers)
    counts = there.sum(1)
    mean = np.where(there, numbers, 0).sum(1) / np.maximum(counts, 1)
    return np.where(counts > 0, mean, np.nan)


def _commonest(texts: Values) -> str:
    names, counts = np.unique([text for text in texts.tolist() if text], return_counts=True)
    return str(names[np.argmax(counts)]) if len(names) else ""


def _same_names(model: RelevanceModel, names: tuple[str, ...]) -> None:
    own = model.signal.names
    if names != own:
        raise SptError(
            f"the signal here is {', '.join(names)}; the model predicts {', '.join(own)}. Give the "
            f"same columns (FILE:COLUMN), or the same units ({option('pixel_size_um')}, "
            f"{option('frame_interval_s')}).",
            option="pixel_size_um",
        )
