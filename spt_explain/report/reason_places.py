"""Where explanations go, and what is refused before any work."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from spt_explain.errors import SptError, option
from spt_explain.movies.stack import Stack, is_stack
from spt_explain.readers.folders import folded
from spt_explain.report.folders import refuse_folder
from spt_explain.report.names import numbered, with_parents
from spt_explain.report.provenance import PROGRAM
from spt_explain.report.reason_files import NAMES, SIDECAR, TABLES
from spt_explain.report.tables import refuse_to_overwrite, verdicts_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spt_explain.tracks import Tracks

_OURS = re.compile(rf"({'|'.join(TABLES)})\.(csv|parquet)|{re.escape(SIDECAR)}|{NAMES}")
PAGE_ENDINGS = (".html", ".htm")


def plan_folders(names: Sequence[str], output: str | None, *, single: bool) -> list[Path]:
    """Decide where the results of each input go, a folder each.

    Parameters
    ----------
    names : sequence of str
        The inputs; ``"-"`` for standard input.
    output : str or None
        The folder for a single input; for several, or if it ends in a slash, the folder for their
        folders. None for ``NAME.reasons`` beside each input.
    single : bool
        Whether the user named one file, and not a folder or pattern that may hold several.

    Raises
    ------
    SptError
        If it can't be a folder's name.
    """
    if output is not None and output.strip() in ("", "-"):
        raise SptError(
            f"{option('output')} is {output!r}; expected a folder. For a summary on standard "
            f"output give {option('json')}.",
            option="output",
        )
    if output is not None and single and not output.endswith(("/", "\\")):
        return [Path(output)]
    within = None if output is None else Path(output)
    plain = [_folder_of(name, within) for name in names]
    full = [_folder_of(name, within, full=True) for name in names]
    shared = Counter(map(folded, plain))
    found = [two if shared[folded(one)] > 1 else one for one, two in zip(plain, full, strict=True)]
    if within is not None and len(set(map(folded, found))) < len(found):
        found = with_parents(names, full, within)
    return numbered(found, ".reasons")


def _folder_of(name: str, within: Path | None, *, full: bool = False) -> Path:
    path = Path("stdin") if name == "-" else Path(name)
    stem = path.name if full else verdicts_path(path.name, "csv").name[: -len(".verdicts.csv")]
    return (path.parent if within is None else within) / f"{stem}.reasons"


@contextmanager
def made(folder: Path | None) -> Iterator[None]:
    """Make the folder of the folders; if it is still empty in the end it is taken away again."""
    new: list[Path] = []
    try:
        if folder is not None:
            new = [path for path in (folder, *folder.parents) if not path.exists()]
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = "it is a file" if folder.is_file() else error.strerror
                raise SptError(
                    f"the output {folder} can't be made ({why}): expected a folder. Change "
                    f"{option('output')}.",
                    code="unwritable",
                    option="output",
                ) from error
        yield
    finally:
        for path in new:
            with suppress(OSError):
                path.rmdir()


def refuse(
    folders: Sequence[Path], page: Path | None, sources: Sequence[Path], *, overwrite: bool
) -> None:
    """Check, before any work, that all can be written and nothing of the user's is lost.

    Parameters
    ----------
    folders : sequence of pathlib.Path
        Of results.
    page : pathlib.Path or None
        The HTML page; it may lie in one of them.
    sources : sequence of pathlib.Path
        What is read.
    overwrite : bool
        Whether results that exist are replaced.

    Raises
    ------
    SptError
        As `refuse_folder` and `refuse_to_overwrite`, and for a page that is not called one.
    """
    within = None if page is None else page.resolve().parent
    inside = False
    for folder in folders:
        has_page = folder.resolve() == within
        inside |= has_page
        names = {page.name} if has_page and page is not None else set()
        refuse_folder(folder, sources, overwrite=overwrite, ours=_ours(folder, names))
    if page is None:
        return
    if page.suffix.lower() not in PAGE_ENDINGS:
        raise SptError(
            f"{option('page', page)}: it is an HTML page; expected a name that ends in .html, such "
            f"as {page.name or 'why'}.html.",
            option="page",
        )
    if page.resolve() in [folder.resolve() for folder in folders]:
        raise SptError(
            f"{option('output')} and {option('page')} are both {page}; expected two names.",
            code="conflict",
            option="output",
        )
    if not inside:
        refuse_to_overwrite([page], sources, overwrite=overwrite, field="page")


def _ours(folder: Path, names: set[str]) -> Callable[[str], bool]:
    """Return what tells our results from others; `tracks.csv` alone may be anybody's."""
    try:
        made = json.loads((folder / SIDECAR).read_text("utf-8"))
        known = isinstance(made, dict) and made.get("program") == PROGRAM
    except (OSError, ValueError, RecursionError):
        known = False
    return lambda entry: known and (bool(_OURS.fullmatch(entry)) or entry in names)


def check_movie(movie: Path, animate: str, n_inputs: int) -> None:
    """Check, before any work, that tracks can be drawn on a movie.

    Parameters
    ----------
    movie : pathlib.Path
        The stack.
    animate : str
        "gif", "mp4" or "".
    n_inputs : int
        Files that are explained.

    Raises
    ------
    SptError
        If there are several, it is no stack, or ffmpeg is needed and not there.
    """
    if n_inputs > 1:
        raise SptError(
            f"{option('movie')} is the stack of one file of tracks, and there are {n_inputs} "
            "inputs: expected one.",
            option="movie",
        )
    if not movie.is_file():
        found = "is a folder" if movie.is_dir() else "is not there"
        raise SptError(
            f"{option('movie', movie)} {found}: expected the stack that was tracked.",
            option="movie",
        )
    try:
        with movie.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise SptError(
            f"{option('movie', movie)} can't be opened ({error.strerror}): expected a readable "
            "file. Check its permissions.",
            option="movie",
        ) from error
    if not is_stack(head):
        raise SptError(
            f"{option('movie', movie)} is no TIFF stack: expected the movie that was tracked. Save "
            "it as TIFF, from Fiji with File > Save As.",
            option="movie",
        )
    with Stack(movie):
        pass  # whatever is wrong with it is said now, not after an hour
    if animate == "mp4" and shutil.which("ffmpeg") is None:
        raise SptError(
            f"{option('animate', 'mp4')} needs the program ffmpeg, which was not found: install "
            f"it, or give {option('animate', 'gif')}.",
            code="unavailable",
            option="animate",
        )


def check_place(
    movie: Path,
    tracks: Tracks,
    only: Sequence[int] = (),
    *,
    pixel_size_um: float | None = None,
    override_units: bool = False,
) -> None:
    """Check that tracks lie on a movie, before they are explained.

    Parameters
    ----------
    movie : pathlib.Path
        The stack.
    tracks : Tracks
        Of one file.
    only : sequence of int
        Particles that matter; all by default.
    pixel_size_um, override_units
        See `spt_explain.report.placing.place`.

    Raises
    ------
    SptError
        If no track lies on it, or its pixel size is needed and not known.
    """
    import pandas as pd

    from spt_explain.report.placing import place

    points = tracks.table
    if only:
        some = points[points["particle"].isin(list(only))]
        points = some if len(some) else points  # that they are not there is said later
    frames = points[["particle", "frame", "x", "y"]].assign(score=0.0)
    named = pd.DataFrame({"particle": points["particle"].unique(), "class": ""})
    with Stack(movie) as stack:
        place(
            stack,
            frames,
            named,
            unit="µm" if tracks.calibration.length_unit == "um" else "pixel",
            pixel_size_um=pixel_size_um,
            override_units=override_units,
        )
