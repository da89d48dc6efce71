"""Simulated movies on disk: ImageJ TIFF stacks, their signals as CSV, their truth as masks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.core.files import atomic_folder
from spt_explain.errors import SptError, option
from spt_explain.xddpm.simulate.labelled import Labelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

PER_FRAME = "signals-per-frame.csv"
"""Columns movie (the file), frame (from 0) and one for each signal."""
PER_MOVIE = "signals-per-movie.csv"
"""Columns movie (the file) and one for each signal."""
SETTINGS = "settings.json"
TRUTH = "truth"
"""Folder of the masks: truth/SIGNAL/MOVIE, 255 where a pixel carries the signal, else 0."""


def write_labelled(
    labelled: Labelled, folder: str | Path, *, overwrite: bool = False
) -> list[Path]:
    """Write movies, signals and truth into a new folder, which appears whole or not at all.

    Each movie is a 32-bit ImageJ stack ``movie-0000.tif``, which Fiji and
    `spt_explain.movies.stack.Stack` open.

    Parameters
    ----------
    labelled : Labelled
        What to write.
    folder : str or pathlib.Path
        The folder to make; the one above it must exist.
    overwrite : bool
        Whether a folder written by this function before is replaced.

    Returns
    -------
    list of pathlib.Path
        The files, in the folder.

    Raises
    ------
    SptError
        If the folder exists (and may not be replaced, or holds other things), or can't be written.
    """
    folder = Path(folder)
    check_target(folder, overwrite=overwrite)
    with atomic_folder(folder) as part:
        written = _write(labelled, part)
    return [folder / path.relative_to(part) for path in written]


def read_labelled(folder: str | Path) -> Labelled:
    """Read what `write_labelled` wrote.

    Raises
    ------
    SptError
        If the folder isn't one, or a file in it is missing or damaged.
    """
    import numpy as np

    folder = Path(folder)
    names = sorted(path.name for path in folder.glob("movie-*.tif"))
    settings = _read_settings(folder / SETTINGS)
    if not names:
        raise SptError(
            f"{folder} holds no movie-0000.tif: expected a folder that simulate wrote.",
            code="no-data",
        )
    signals: dict[str, npt.NDArray[np.float32]] = {}
    for file in (PER_MOVIE, PER_FRAME):
        if (folder / file).exists():
            signals |= _read_table(folder / file, names)
    if not signals:
        raise SptError(
            f"{folder} holds neither {PER_FRAME} nor {PER_MOVIE}. Simulate it again.",
            code="wrong-kind",
        )
    clips = _stacks(folder, names)
    truth: dict[str, npt.NDArray[np.bool_]] = {}
    for name in _in_order(signals, settings):
        mask = _stacks(folder / TRUTH / name, names) > 0
        truth[name] = next((m for m in truth.values() if np.array_equal(m, mask)), mask)
    try:
        return Labelled(clips, {name: signals[name] for name in truth}, truth, settings)
    except ValueError as error:
        raise SptError(f"{folder} doesn't fit together ({error}). Simulate it again.") from error


def check_target(folder: Path, *, overwrite: bool) -> None:
    """Raise unless a folder of movies may be written there.

    Raises
    ------
    SptError
        If something is there that is no folder of simulated movies, or is one and `overwrite` is
        off, or there is no folder above it.
    """
    if folder.exists() or folder.is_symlink():
        if not folder.is_dir() or folder.is_symlink():
            raise SptError(
                f"{folder} is no folder: name one that doesn't exist yet.", code="wrong-kind"
            )
        if not any(folder.iterdir()):
            return
        if not overwrite:
            raise SptError(
                f"{folder} exists: nothing was written. Give another folder, or replace it with "
                f"{option('overwrite', True)}.",
                code="exists",
                option="overwrite",
            )
        if not (folder / SETTINGS).exists() or not any(folder.glob("movie-*.tif")):
            raise SptError(
                f"{folder} holds other things than simulated movies and is left as it is. "
                "Give another folder.",
                code="wrong-kind",
            )
    elif not folder.absolute().parent.is_dir():
        raise SptError(
            f"there is no folder {folder.parent}: make it first, or choose another.",
            code="not-found",
        )


def movie_names(n: int) -> list[str]:
    """Return the names of `n` movies; sorted, they are in order."""
    digits = max(4, len(str(n - 1)))
    return [f"movie-{i:0{digits}d}.tif" for i in range(n)]


def _write(labelled: Labelled, folder: Path) -> list[Path]:
    names = movie_names(len(labelled))
    written = [*write_stacks(labelled, folder, names), *write_tables(labelled, folder, names)]
    return [*written, write_settings(labelled.settings, folder)]


def write_stacks(labelled: Labelled, folder: Path, names: Sequence[str]) -> list[Path]:
    """Write movies and masks of these names into a folder; what is there is replaced."""
    import numpy as np

    written = []
    for name, clip in zip(names, labelled.clips, strict=True):
        written.append(_write_stack(folder / name, clip))
    for signal, masks in labelled.truth.items():
        (folder / TRUTH / signal).mkdir(parents=True, exist_ok=True)
        for name, mask in zip(names, masks, strict=True):
            grey = mask.astype(np.uint8) * np.uint8(255)
            written.append(_write_stack(folder / TRUTH / signal / name, grey))
    return written


def write_tables(labelled: Labelled, folder: Path, names: Sequence[str]) -> list[Path]:
    """Write the signals of movies of these names into a folder; what is there is replaced."""
    written = []
    n_frames = labelled.clips.shape[1]
    per_movie = {k: v for k, v in labelled.signals.items() if v.ndim == 1}
    per_frame = {k: v for k, v in labelled.signals.items() if v.ndim == 2}
    if per_movie:
        rows = ([name, *(_text(v[i]) for v in per_movie.values())] for i, name in enumerate(names))
        written.append(_write_table(folder / PER_MOVIE, ["movie", *per_movie], rows))
    if per_frame:
        rows = (
            [name, str(t), *(_text(v[i, t]) for v in per_frame.values())]
            for i, name in enumerate(names)
            for t in range(n_frames)
        )
        written.append(_write_table(folder / PER_FRAME, ["movie", "frame", *per_frame], rows))
    return written


def write_settings(settings: Mapping[str, Any], folder: Path) -> Path:
    """Write how the movies were made into their folder."""
    path = folder / SETTINGS
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


def _write_stack(path: Path, frames: npt.NDArray[Any]) -> Path:
    import tifffile

    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})
    return path


def _write_table(path: Path, header: Sequence[str], rows: Iterator[list[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def _text(value: np.float32) -> str:
    """Return the shortest text that gives the same float32 again."""
    import numpy as np

    return np.format_float_positional(value, trim="-")


def _in_order(signals: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    order = settings.get("signals") or list(signals)
    return sorted(signals, key=lambda name: order.index(name) if name in order else len(order))


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SptError(
            f"{path} can't be read ({error.__class__.__name__}): expected a folder that simulate "
            "wrote.",
            code="unreadable",
        ) from error
    if not isinstance(settings, dict):
        raise SptError(
            f"{path} holds no settings: expected a folder that simulate wrote.", code="no-data"
        )
    return settings


def _read_table(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
    import numpy as np
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype={"movie": str})
        keys = [key for key in ("movie", "frame") if key in table]
        table = table.set_index(keys).sort_index()
        values = table.astype(np.float32)
        if values.isna().to_numpy().any():
            raise ValueError("a number is missing")
        lengths = table.groupby(level="movie").size()
        if list(lengths.index) != list(names) or lengths.min() != lengths.max():
            raise ValueError("its movies aren't those in the folder")
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:80]
        raise SptError(
            f"{path} can't be read as a table of signals ({reason}). Simulate it again.",
            code="unreadable",
        ) from error
    shape = (len(names), -1) if "frame" in keys else (len(names),)
    return {str(name): values[name].to_numpy(np.float32).reshape(shape) for name in values}


def _stacks(folder: Path, names: Sequence[str]) -> npt.NDArray[np.float32]:
    import numpy as np

    first = _frames(folder / names[0])
    stacks = np.empty((len(names), *first.shape), np.float32)
    for name, stack in zip(names, stacks, strict=True):
        frames = _frames(folder / name)
        if frames.shape != first.shape:
            raise SptError(
                f"{folder / name} has {frames.shape} frames, rows and columns, {names[0]} "
                f"{first.shape}: expected the same of all. Simulate it again."
            )
        stack[:] = frames
    return stacks


def _frames(path: Path) -> npt.NDArray[np.float32]:
    import numpy as np

    from spt_explain.movies.stack import Stack

    with Stack(path) as stack:
        return np.stack([frame.astype(np.float32) for frame in stack])
