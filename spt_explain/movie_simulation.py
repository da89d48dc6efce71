"""Simulated movies on disk, with their signals and the pixels that carry each signal."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.core.config import expected, takes
from spt_explain.errors import SptError, option
from spt_explain.training.processes import pick_device
from spt_explain.xddpm.simulate.blocks import unfinished_folder, write_movies
from spt_explain.xddpm.simulate.described import SIGNALS, SIGNALS_OF
from spt_explain.xddpm.simulate.files import PER_FRAME, PER_MOVIE
from spt_explain.xddpm.simulate.kinds import KINDS
from spt_explain.xddpm.simulate.options import FRAMES, MOVIES, MovieSimulationOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_IN_RECIPE = ("movies", "frames", "size", "seed")
"""Options that a recipe may hold, beside ``kind`` and ``[settings]``."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TWO = re.compile(rf"\[?\s*({_NUMBER})\s*(?:\.\.|,|-|–|\s)\s*({_NUMBER})\s*\]?")


@dataclass
class MoviesResult:
    """What was simulated and written.

    Attributes
    ----------
    folder : pathlib.Path
        Where the movies are; another name as long as some lack.
    finished : bool
        Whether all are there; if not, ``resume=True`` goes on.
    report : dict
        Counts, settings, and of each signal its rows, mean, standard deviation and range.
    notes : list of str
        What the user must know.
    """

    folder: Path
    finished: bool
    report: dict[str, Any]
    notes: list[str] = field(default_factory=list)


@takes(MovieSimulationOptions)
def simulate_movies(
    kind: str,
    *,
    settings: Mapping[str, Any] | None = None,
    recipe: str | Path | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> MoviesResult:
    """Simulate movies and write them as TIFF, with their signals (CSV) and masks (TIFF).

    The folder appears when all movies are there. They are made in blocks: what was made before an
    interruption is kept, and `resume` goes on to the same movies.

    Parameters
    ----------
    kind : str
        One of `spt_explain.xddpm.simulate.KINDS`.
    settings : mapping, optional
        What differs from the kind's defaults; they go before those of the recipe.
    recipe : str or pathlib.Path, optional
        A TOML file with any of ``kind``, ``movies``, ``frames``, ``size``, ``seed`` and a table
        ``[settings]``; what is given beside it goes before it.
    output : str or pathlib.Path, optional
        The folder to make; by default ``simulated-KIND`` in the present one.
    overwrite : bool
        Whether a folder of simulated movies, finished or not, is replaced.
    command : sequence of str
        The command line, for the provenance.
    progress : callable, optional
        Called with movies done and their number.
    **options
        Of `MovieSimulationOptions`.

    Returns
    -------
    MoviesResult

    Raises
    ------
    SptError
        If an option can't be used, the output exists, or the disk is too small.
    """
    read = {} if recipe is None else read_recipe(recipe, kind)
    given = {name: value for name, value in options.items() if value is not None}
    in_recipe = {name: read[name] for name in _IN_RECIPE if name in read}
    asked = MovieSimulationOptions(**(in_recipe | given))
    device = pick_device(asked.device)
    folder = Path(f"simulated-{kind}" if output is None else output)
    if not folder.name:
        raise SptError(
            f"{option('output', folder)} names no new folder: give it a name, e.g. "
            f"{option('output', 'movies/')}.",
            option="output",
        )
    written = write_movies(
        kind,
        MOVIES if asked.movies is None else asked.movies,
        folder,
        frames=FRAMES if asked.frames is None else asked.frames,
        size=asked.size,
        seed=asked.seed,
        settings={**read.get("settings", {}), **(settings or {})},
        device=device,
        overwrite=overwrite,
        resume=asked.resume,
        stop_after_s=math.inf if asked.minutes is None else 60 * asked.minutes,
        provenance=_provenance(kind, device, command),
        progress=progress,
    )
    made = written.made
    report: dict[str, Any] = {
        "finished": written.finished,
        "movies": written.movies,
        "movies_done": written.done,
        "movies_made_now": written.made_now,
        **{key: made[key] for key in ("kind", "frames", "size", "seed", "settings")},
        "folder": str(written.folder),
    }
    notes = []
    if written.finished:
        report["signals"] = _signals(written.folder)
        if not written.made_now:
            notes.append("all were there already: nothing was made.")
    else:
        notes.append(f"the time was up: the same command with {option('resume', True)} goes on.")
    return MoviesResult(written.folder, written.finished, report, notes)


def read_recipe(path: str | Path, kind: str) -> dict[str, Any]:
    """Read a recipe for movies of a kind.

    Raises
    ------
    SptError
        If the file is missing, not TOML, is for another kind, or holds unknown keys.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise SptError(
            f"{path} was not found: expected a recipe (TOML).", code="not-found"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise SptError(
            f"{path} can't be read as a recipe (TOML): {reason}.", code="unreadable"
        ) from error
    for key in values:
        if key not in (known := ("kind", *_IN_RECIPE, "settings")):
            raise SptError(
                f"{path}: there is no {key!r}: expected any of {', '.join(known)}.",
                code="wrong-kind",
            )
    if values.get("kind", kind) != kind:
        raise SptError(
            f"{path} is for {values['kind']!r}, not for {kind}: simulate that, or give another "
            "recipe.",
            code="conflict",
        )
    if not isinstance(values.get("settings", {}), dict):
        raise SptError(
            f"{path}: settings is no table: expected [settings] and NAME = VALUE lines.",
            code="wrong-kind",
        )
    for key in _IN_RECIPE:
        try:
            MovieSimulationOptions.taken_from({key: values.get(key)})
        except SptError as error:
            wanted = expected(MovieSimulationOptions.model_fields[key])
            raise SptError(
                f"{path}: {key} is {values[key]!r}: expected {wanted}.", option=key
            ) from error
    return values


def parse_settings(given: Sequence[str]) -> dict[str, Any]:
    """Turn ``radius=0.1..0.2``, ``noise=0.1`` and ``signal_from=dim`` into a dict.

    Between the ends of a range there may be .., a comma, a hyphen or a space.

    Raises
    ------
    SptError
        If a part is not NAME=VALUE, or a name comes twice.
    """
    settings: dict[str, Any] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        name = name.replace("-", "_")
        if not equals or not name or not value:
            raise SptError(
                f"{option('set')} {text!r} was not understood; expected NAME=VALUE, e.g. "
                f"{option('set', 'noise=0.1')} or {option('set', 'radius=0.1..0.2')}.",
                option="set",
            )
        if name in settings:
            raise SptError(f"{option('set')} names {name} twice.", code="conflict", option="set")
        if two := _TWO.fullmatch(value):
            settings[name] = tuple(_number(end) for end in two.groups())
        elif re.fullmatch(_NUMBER, value):
            settings[name] = _number(value)
        else:
            settings[name] = value
    return settings


def _number(text: str) -> float | int:
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)


def _provenance(kind: str, device: str, command: Sequence[str]) -> dict[str, Any]:
    import torch

    from spt_explain.report.provenance import made_by

    said = {
        "device": device,
        "torch": torch.__version__,
        "deterministic": "same seed, settings, device and versions give the same movies",
        "columns": {name: SIGNALS[name] for name in SIGNALS_OF.get(kind, ())},
    }
    return made_by(said, command=command)


def _signals(folder: Path) -> dict[str, Any]:
    """Return number, mean, standard deviation and range of each signal."""
    import pandas as pd

    told: dict[str, Any] = {}
    for file, per in ((PER_FRAME, "frame"), (PER_MOVIE, "movie")):
        if not (folder / file).exists():
            continue
        table = pd.read_csv(folder / file).drop(columns=["movie", "frame"], errors="ignore")
        for name in table:
            values = table[name]
            told[str(name)] = {
                "per": per,
                "rows": len(values),
                "mean": float(values.mean()),
                "std": float(values.std(ddof=0)),
                "min": float(values.min()),
                "max": float(values.max()),
            }
    return told


__all__ = [
    "KINDS",
    "MoviesResult",
    "parse_settings",
    "read_recipe",
    "simulate_movies",
    "unfinished_folder",
]
