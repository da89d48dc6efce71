"""Simulated recordings on disk: the table with its truth, how it was made, and the movie."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain import __version__
from spt_explain.core.files import atomic_files
from spt_explain.diffusion.population import check_seed, simulate_recording
from spt_explain.diffusion.recording import Recording
from spt_explain.errors import SptError, option
from spt_explain.movies.render import Optics, check_movie, render_movie
from spt_explain.report.tables import FORMATS, refuse_to_overwrite, sidecar_path
from spt_explain.report.tracks import encode_tracks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spt_explain.diffusion.population import Simulated

DEFAULT_OUTPUT = "simulated"
"""Name of the table, without its ending, where none is given."""

COLUMNS = {
    "particle": "number of the track, from 0",
    "frame": "number of the frame, from 0",
    "t [s]": "time of the frame",
    "x [µm], y [µm]": "recorded position; the middle of the movie's first pixel is 0",
    "class": "mechanism, or immobile",
    "alpha": "anomalous exponent; empty for immobile particles",
    "noise": "localisation noise along x as 1/SNR, in units of √(2 D Δt)",
    "anisotropy": "localisation noise along y over that along x",
    "exposure": "share of the frame over which the position is averaged",
    "missing": "probability that a frame is missed",
    "D_um2_s": "expected squared displacement of one frame over 4 Δt, averaged over the track, "
    "before blur and noise (given the diffusivities, jumps or speed of an ATTM, CTRW or LW track); "
    "0 for immobile particles",
    "sigma_loc_um": "standard deviation of the localisation noise along x, in µm",
    "filled": "whether the position was filled in for a missed frame",
}
"""What the columns of the table mean."""


@dataclass
class Result:
    """What was simulated and written.

    Attributes
    ----------
    simulated : Simulated
        The tracks, with all that is known of them.
    outputs : list of pathlib.Path
        Files written.
    report : dict
        Counts and settings, as in the sidecar.
    notes : list of str
        What the user must know.
    stdout : bytes
        The table, where it goes to standard output.
    """

    simulated: Simulated
    outputs: list[Path]
    report: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    stdout: bytes = b""


def simulate_files(
    kind: str,
    *,
    tracks: int = 200,
    recording: Recording | None = None,
    output: str | None = None,
    fmt: str | None = None,
    movie: str | None = None,
    optics: Optics | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Result:
    """Simulate tracks and write them, with their truth, and a movie of them on request.

    All files appear together, or none does.

    Parameters
    ----------
    kind : str
        Which classes; see `spt_explain.diffusion.mixture.parse_mixture`.
    tracks : int
        Number of tracks.
    recording : Recording, optional
        What the recording looks like.
    output : str, optional
        The table (.csv, .parquet, .json), or ``"-"`` for standard output; by default
        ``simulated.csv`` in the present folder. Its sidecar is beside it.
    fmt : str, optional
        Table format; by default what `output` ends in, else CSV.
    movie : str, optional
        A TIFF stack to render.
    optics : Optics, optional
        Microscope and camera of the movie.
    seed : int, optional
        Same seed and settings, same files; drawn where not given.
    overwrite : bool
        Whether files that exist are replaced.
    command : sequence of str
        The command line, for the provenance.
    progress : callable, optional
        Called with what is counted (``"tracks"``, ``"frames"``), how many are done, and of how
        many.

    Returns
    -------
    Result

    Raises
    ------
    SptError
        If an option can't be used, an output exists, or the movie would be too large; before
        anything is written.
    """
    recording, optics = recording or Recording(), optics or Optics()
    table, fmt = _table_path(output, fmt)
    stack = _movie_path(movie)
    paths = [path for path in (table, stack) if path is not None]
    if table is not None and fmt != "json":
        paths.insert(1, sidecar_path(table))
    if len({path.resolve() for path in paths}) < len(paths):
        raise SptError(
            f"{option('output')} and {option('movie')} both name {stack}: give them different "
            "names.",
            option="output",
        )
    refuse_to_overwrite(paths, [], overwrite=overwrite)
    seed = check_seed(seed)

    def tell(what: str) -> Callable[[int, int], None] | None:
        return None if progress is None else lambda done, total: progress(what, done, total)

    simulated = simulate_recording(kind, tracks, recording, seed=seed, progress=tell("tracks"))
    n_frames = int(simulated.tracks.table["frame"].max()) + 1
    size = (simulated.field.width_px, simulated.field.height_px)
    if stack is not None:
        check_movie(n_frames, *size)
    report: dict[str, Any] = {
        "tracks": tracks,
        "rows": len(simulated.tracks.table),
        "classes": simulated.counts,
        "frames": n_frames,
        "field_px": list(size),
        "seed": seed,
    }
    settings = {
        "kind": kind,
        **recording.describe(),
        "movie": None if stack is None else {"file": stack.name, **optics.model_dump()},
    }
    provenance = _provenance(report, settings, command)
    data = encode_tracks(simulated.tracks, fmt, provenance)
    with atomic_files(paths, option="output") as parts:
        for path, part in zip(paths, parts, strict=True):
            if path == stack:
                render_movie(
                    simulated.tracks, part, *size, optics, seed=seed, progress=tell("frames")
                )
            elif path == table:
                part.write_bytes(data)
            else:
                provenance["created"] = datetime.now(UTC).isoformat(timespec="seconds")
                text = json.dumps(provenance, indent=2, ensure_ascii=False) + "\n"
                part.write_bytes(text.encode())
    notes = _notes(recording, fmt, stack)
    return Result(simulated, paths, report | {"settings": settings}, notes, b"" if table else data)


def _table_path(output: str | None, fmt: str | None) -> tuple[Path | None, str]:
    """Return where the table goes (None for standard output), and as what."""
    if output == "-":
        if fmt == "parquet":
            raise SptError(
                f"Parquet can't be written to standard output; give {option('output', 'FILE')}.",
                option="output",
            )
        return None, fmt or "csv"
    if output is None:
        return Path(f"{DEFAULT_OUTPUT}.{fmt or 'csv'}"), fmt or "csv"
    ending = Path(output).suffix.lower().lstrip(".")
    if ending not in FORMATS:
        raise SptError(
            f"the output {output} ends in none of .csv, .parquet, .json: expected the name of one "
            "table. Add an ending."
        )
    if fmt is not None and fmt != ending:
        raise SptError(
            f"{option('format', fmt)} contradicts {option('output')} {output}; give one of the "
            "two.",
            code="conflict",
            option="format",
        )
    return Path(output), ending


def _movie_path(movie: str | None) -> Path | None:
    if movie is None:
        return None
    if Path(movie).suffix.lower() not in (".tif", ".tiff"):
        raise SptError(
            f"{option('movie', movie)} is no TIFF: expected a name that ends in .tif.",
            option="movie",
        )
    return Path(movie)


def _provenance(
    report: dict[str, Any], settings: dict[str, Any], command: Sequence[str]
) -> dict[str, Any]:
    """Return everything needed to run it again."""
    import numpy
    import pandas
    import torch

    return {
        "program": "spt-explain",
        "version": __version__,
        "command": list(command),
        **report,
        "settings": settings,
        "columns": COLUMNS,
        "deterministic": "same seed, settings and versions give the same table and movie",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": numpy.__version__,
        "pandas": pandas.__version__,
        "torch": torch.__version__,
    }


def _notes(recording: Recording, fmt: str, stack: Path | None) -> list[str]:
    notes = []
    if fmt != "csv":
        notes.append(
            f"classify reads simulated tracks as CSV only: give {option('format', 'csv')} to "
            "classify them."
        )
    doubted = [
        option(name, f"{value:g}")
        for name, value in (
            ("pixel_size_um", recording.pixel_size_um),
            ("frame_interval_s", recording.frame_interval_s),
        )
        if value == 1
    ]
    if stack is not None and doubted:
        notes.append(
            "a value of exactly 1 in a movie counts as not set when it is read: give "
            f"{' and '.join(doubted)} to classify, too."
        )
    return notes
