"""Clips to measure relevance maps on: of movies not fitted to, with their true pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.report.relevance_files import read_sidecar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spt_explain.report.relevance_files import RelevanceListener
    from spt_explain.xddpm.examples import Examples
    from spt_explain.xddpm.model import RelevanceModel

LEAST_CLIPS = 8
"""Fewer clips can't be parted into those to choose by, and those to measure."""
_OF_A_FIT = ("held out", "to learn from")
"""In notes of `gather` that are of no use here."""


def gather_test(
    model: RelevanceModel,
    place: Path,
    names: Sequence[str],
    signal: str | Path | None,
    most_clips: int,
    seed: int,
    told: RelevanceListener,
) -> tuple[Examples, str]:
    """Return clips that don't overlap, and the name of the signal's column."""
    from spt_explain.xddpm.examples import gather
    from spt_explain.xddpm.signal_source import signal_source

    layout = model.cutting
    given = _default_signal(model, place, names) if signal is None else signal
    source = signal_source(given, names)
    column = source.measured or ",".join(source.columns)
    # 0: whole frames, also where a measured signal would have tiles
    examples = gather(
        names,
        given,
        tile=layout.tile or 0,
        frames=layout.frames,
        stride=layout.frames,
        bin=layout.bin,
        per=model.signal.per,
        kind=model.signal.kind,
        channel=layout.channel,
        z=layout.z,
        most_clips=most_clips,
        seed=seed,
        progress=told.gathering,
    )
    said = [note for note in examples.notes if not any(word in note for word in _OF_A_FIT)]
    examples = replace(examples, notes=tuple(said))
    told.gathered(examples)
    if examples.clips.shape[1:] != (model.frames, *model.size):
        raise SptError(
            f"the clips have {' × '.join(map(str, examples.clips.shape[1:]))} frames, rows and "
            f"columns; the model was fitted to {model.frames} × {model.size[0]} × {model.size[1]}. "
            "Give movies of the size that it was fitted to."
        )
    if len(examples.names) != len(model.signal.names):
        raise SptError(
            f"the signal has {len(examples.names)} values, the model was fitted to "
            f"{len(model.signal.names)} ({', '.join(model.signal.names)}). Name them: "
            f"{option('signal', 'FILE:COLUMN')}.",
            option="signal",
        )
    for own, here in zip(model.signal.names, examples.names, strict=True):
        if _without_unit(own) != _without_unit(here):
            raise SptError(
                f"the signal here is {', '.join(examples.names)}; the model predicts "
                f"{', '.join(model.signal.names)}. Leave {option('signal')} out, or name the same "
                f"columns: {option('signal', 'FILE:COLUMN')}.",
                code="conflict",
                option="signal",
            )
    return examples, column or ",".join(examples.names)


def _without_unit(name: str) -> str:
    return name.partition(" [")[0]


def _default_signal(model: RelevanceModel, place: Path, names: Sequence[str]) -> str:
    """Return what the model was fitted to: measured, or columns of a table beside the movies."""
    from spt_explain.xddpm.clips import find_films
    from spt_explain.xddpm.signal_table import SUFFIXES

    how = read_sidecar(place).get("signal")
    how = how if isinstance(how, dict) else {}
    if how.get("measured"):
        return str(how["measured"])
    columns = [str(c) for c in how.get("columns") or model.signal.names]
    for folder in folders_of(names):
        for table in sorted(folder.iterdir()):
            if table.suffix.lower() in SUFFIXES and _has_columns(table, columns):
                return f"{table}:{','.join(columns)}"
    find_films(names, channel=model.cutting.channel, z=model.cutting.z)  # what is no movie
    raise SptError(
        f"no table with the column {columns[0]} is beside the movies: name the signal with "
        f"{option('signal', 'FILE')}.",
        option="signal",
    )


def folders_of(names: Sequence[str]) -> list[Path]:
    """Return folders of movies.

    Raises
    ------
    SptError
        If there are no movies.
    """
    from spt_explain.movies.sequence import find_movies

    given = [Path(name) for name in names if Path(name).is_dir()]
    others = [name for name in names if not Path(name).is_dir()]
    found = [Path(movie.name).parent for movie in find_movies(others)] if others else []
    return list(dict.fromkeys([*given, *found]))


def _has_columns(table: Path, columns: Sequence[str]) -> bool:
    from spt_explain.xddpm.signal_table import read_table

    try:
        return set(columns) <= {str(name) for name in read_table(table).columns}
    except SptError:
        return False


def not_fitted(
    examples: Examples, places: Sequence[Path], models: Sequence[RelevanceModel], notes: list[str]
) -> NDArray[np.int64]:
    """Return clips of movies that no model was fitted to."""
    here = [_absolute(one, Path.cwd()) for one in examples.sources]
    keep = np.ones(len(examples), bool)
    for place, model in zip(places, models, strict=True):
        said = read_sidecar(place)
        cwd = Path(str(said.get("cwd", Path.cwd())))
        before = said.get("movies")
        known = {_absolute(one, cwd) for one in before or () if isinstance(one, dict)}
        held = set(model.fitted.held_out) if model.fitted is not None else set()
        for at, (group, spot) in enumerate(zip(examples.groups, examples.places, strict=True)):
            if here[int(spot[0])] in known and group not in held:
                keep[at] = False
    if not keep.all():
        movies = len({int(examples.places[at, 0]) for at in np.flatnonzero(~keep)})
        notes.append(
            f"{int((~keep).sum()):,} clips of {movies:,} movies were left out: the model was "
            "fitted to them."
        )
    return np.flatnonzero(keep)


def _absolute(source: dict[str, Any], cwd: Path) -> str:
    return str((cwd / str(source.get("name", ""))).absolute())


def parted(
    examples: Examples, left: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return clips to choose by and clips to measure, of different movies or fields."""
    from spt_explain.xddpm.split import split

    groups = [str(examples.groups[i]) for i in left]
    if len(left) < LEAST_CLIPS or len(set(groups)) < 2:
        raise SptError(
            f"{len(left)} clips of {len(set(groups))} movies are left to measure; expected at "
            f"least {LEAST_CLIPS}, of two movies that the model was not fitted to. Give more "
            "movies."
        )
    parts = split(groups, 0.5, seed=seed)
    return left[parts.train], left[parts.validation]


def true_pixels(
    examples: Examples,
    names: Sequence[str],
    column: str,
    given: str | Path | None,
    chosen: NDArray[np.int64],
    notes: list[str],
) -> NDArray[np.bool_] | None:
    """Return true pixels of clips, or none where they are not known."""
    from spt_explain.movies.stack import Stack
    from spt_explain.xddpm.simulate.files import TRUTH

    own = [folder / TRUTH / column for folder in folders_of(names)]
    folders = [Path(given)] if given is not None else [each for each in own if each.is_dir()]
    if not folders:
        notes.append("No true pixels are known here: only what needs none is measured.")
        return None
    layout = examples.layout
    _, frames, height, width = examples.clips.shape
    found = np.empty((len(chosen), *examples.clips.shape[1:]), bool)
    for movie in np.unique(examples.places[chosen, 0]):
        source = examples.sources[int(movie)]
        name = Path(str(source["name"])).name
        path = next((each / name for each in folders if (each / name).is_file()), None)
        if path is None:
            raise SptError(
                f"the true pixels of {name} are missing: expected {folders[0] / name}.",
                code="not-found",
            )
        with Stack(path) as stack:
            grey = np.stack([np.asarray(frame) for frame in stack])
        masks = grey != 0
        if masks.all() or (grey != np.round(grey)).any():
            raise SptError(
                f"{path} holds no mask: expected 0 where a pixel does not carry the signal, and a "
                "whole number where it does.",
                code="no-data",
            )
        size = (source["frames"], source["height"], source["width"])
        if masks.shape != size:
            raise SptError(
                f"the true pixels {path} have {masks.shape} frames, rows and columns, the movie "
                f"{size}: expected the same."
            )
        whole = layout.binned(masks.astype(np.float32)) >= 0.5
        for at in np.flatnonzero(examples.places[chosen, 0] == movie):
            _, start, y, x = (int(v) for v in examples.places[chosen[at]])
            y, x = y // layout.bin, x // layout.bin
            part = whole[start : start + frames, y : y + height, x : x + width]
            found[at] = False
            found[at, : part.shape[0], : part.shape[1], : part.shape[2]] = part
    return found


def kinds_of(names: Sequence[str]) -> set[str]:
    """Return the kinds of simulated movies; an empty name stands for others."""
    import json

    from spt_explain.xddpm.simulate.files import SETTINGS

    kinds = set()
    for folder in folders_of(names):
        try:
            said = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
            kinds.add(str(said.get("kind", "")))
        except (OSError, ValueError, AttributeError):
            kinds.add("")
    return kinds
