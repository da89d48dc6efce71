"""Where the tracks of movies go, and all that belongs to them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spt_explain.errors import SptError, option
from spt_explain.movies.parameter_file import ENDING as PARAMETERS
from spt_explain.readers.folders import folded, one_spelling
from spt_explain.report.names import numbered, with_parents
from spt_explain.report.tables import FORMATS, sidecar_path

if TYPE_CHECKING:
    from collections.abc import Sequence

TRACKS, PREVIEW, TRACKMATE = ".tracks", ".preview.png", ".trackmate.xml"
"""What names of our files end in (a table's format follows)."""


@dataclass(frozen=True)
class TrackPlace:
    """Where the results of one movie go; None for what is not written.

    Attributes
    ----------
    table, sidecar, parameters, preview, trackmate : pathlib.Path or None
        The tracks; how they were made; the parameter file; the picture; TrackMate's XML.
    """

    table: Path | None = None
    sidecar: Path | None = None
    parameters: Path | None = None
    preview: Path | None = None
    trackmate: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """Every file."""
        each = (self.table, self.sidecar, self.parameters, self.preview, self.trackmate)
        return [path for path in each if path is not None]


@dataclass(frozen=True)
class TrackPlan:
    """Where the results of all movies go.

    Attributes
    ----------
    each : list of TrackPlace
        One for each movie.
    fmt : str
        Format of the tables.
    stdout : bool
        Whether the table goes to standard output.
    folders : list of pathlib.Path
        To be made where they are not there.
    """

    each: list[TrackPlace]
    fmt: str = "csv"
    stdout: bool = False
    folders: tuple[Path, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """Every file of all movies."""
        return [path for place in self.each for path in place.paths]

    def without_parameters(self, file: Path) -> TrackPlan:
        """Return the plan without the parameter file of that name: it is one that is read."""
        same = file.resolve()
        each = [
            replace(place, parameters=None)
            if place.parameters is not None and place.parameters.resolve() == same
            else place
            for place in self.each
        ]
        return replace(self, each=each)


def plan_places(
    names: Sequence[str],
    output: str | None,
    fmt: str | None,
    *,
    preview: bool = False,
    preview_only: bool = False,
    trackmate: str | None = None,
) -> TrackPlan:
    """Decide where the results of each movie go.

    Parameters
    ----------
    names : sequence of str
        The movies: files or folders.
    output : str or None
        A table (.csv, .parquet, .json) for one movie, ``"-"`` for standard output, a folder (one
        that exists, or a name that ends in a slash), or None for ``NAME.tracks.csv`` beside each
        movie. Of a preview only it may be a picture (.png).
    fmt : str or None
        Table format; by default what `output` ends in, else CSV.
    preview, preview_only : bool
        Whether a picture is made beside the table, or nothing but a picture.
    trackmate : str or None
        A file (.xml) for one movie, or a folder.

    Raises
    ------
    SptError
        If these contradict each other, or one table is asked for and there are several movies.
    """
    if preview_only and trackmate is not None:
        raise SptError(
            f"{option('preview_only', True)} writes no tracks: leave out {option('trackmate')}, or "
            f"{option('preview_only', True)}.",
            code="conflict",
            option="preview_only",
        )
    if output == "-":
        return _to_stdout(names, fmt, preview=preview or preview_only, trackmate=trackmate)
    tables, fmt, folder = _tables(names, output, fmt, pictures=preview_only)
    places = []
    xml = _xml_paths(names, tables, trackmate)
    for table, one in zip(tables, xml, strict=True):
        base = _base(table)
        picture = base.with_name(base.name + PREVIEW) if preview or preview_only else None
        if preview_only:
            places.append(TrackPlace(preview=table if table.suffix == ".png" else picture))
            continue
        places.append(
            TrackPlace(
                table=table,
                sidecar=None if fmt == "json" else sidecar_path(table),
                parameters=base.with_name(base.name + PARAMETERS),
                preview=picture,
                trackmate=one,
            )
        )
    folders = [] if folder is None else [folder]
    folders += [path.parent for path in xml[:1] if path is not None and not _is_xml(trackmate)]
    plan = TrackPlan(places, fmt, folders=tuple(folders))
    twice = [path for path, n in Counter(map(folded, plan.paths)).items() if n > 1]
    if twice:
        path = next(path for path in plan.paths if folded(path) == twice[0])
        raise SptError(
            f"two outputs would both be called {path}: give another name with {option('output')}.",
            option="output",
        )
    return plan


def _to_stdout(
    names: Sequence[str], fmt: str | None, *, preview: bool, trackmate: str | None
) -> TrackPlan:
    if fmt == "parquet":
        raise SptError(
            f"Parquet can't be written to standard output; give {option('output', 'FILE')}.",
            option="output",
        )
    if preview:
        raise SptError(
            f"a preview is a picture beside the table: give {option('output', 'FILE')} instead of "
            f"{option('output', '-')}.",
            code="conflict",
            option="output",
        )
    _refuse_several(names, option("output", "-"), "one table")
    place = TrackPlace(trackmate=_xml_paths(names, [_beside(names[0], "csv")], trackmate)[0])
    folders = () if place.trackmate is None or _is_xml(trackmate) else (place.trackmate.parent,)
    return TrackPlan([place], fmt or "csv", stdout=True, folders=folders)


def _tables(
    names: Sequence[str], output: str | None, fmt: str | None, *, pictures: bool
) -> tuple[list[Path], str, Path | None]:
    """Return where each table goes, the format, and the folder that was asked for, if any."""
    folder = None
    if output is not None:
        if not output.strip():
            raise SptError(
                f"{option('output')} is empty: expected the name of a table or of a folder.",
                code="no-data",
                option="output",
            )
        if output.endswith(("/", "\\")) or Path(output).is_dir():
            folder = Path(output)
        else:
            ending = Path(output).suffix.lower().lstrip(".")
            known = (*FORMATS, "png") if pictures else FORMATS
            if ending not in known:
                listed = ", ".join(f".{one}" for one in known)
                raise SptError(
                    f"the output {output} ends in none of {listed}, and is not a folder that "
                    "exists. Add an ending, or a slash for a new folder."
                )
            if fmt is not None and fmt != ending and ending != "png":
                raise SptError(
                    f"{option('format', fmt)} contradicts {option('output')} {output}; give one of "
                    "the two.",
                    code="conflict",
                    option="format",
                )
            _refuse_several(names, option("output", output), "one file")
            return [Path(output)], ending, None
    fmt = fmt or "csv"
    plain = [_beside(name, fmt, folder=folder) for name in one_spelling(names)]
    full = [_beside(name, fmt, folder=folder, full=True) for name in one_spelling(names)]
    shared = Counter(map(folded, plain))
    found = [two if shared[folded(one)] > 1 else one for one, two in zip(plain, full, strict=True)]
    if folder is not None and len(set(map(folded, found))) < len(found):
        found = with_parents(names, full, folder)
    return numbered(found, f"{TRACKS}.{fmt}"), fmt, folder


def _beside(name: str, fmt: str, *, folder: Path | None = None, full: bool = False) -> Path:
    """Return the table of a movie: ``movie.tif`` → ``movie.tracks.csv``, beside it or in a folder.

    What is no file (a folder of frames) keeps its whole name; its table lies beside it.
    """
    path = Path(name)
    if path.name in ("", ".."):
        path = path.resolve()
    stem = path.stem if path.is_file() and not full else path.name
    return (path.parent if folder is None else folder) / f"{stem or 'movie'}{TRACKS}.{fmt}"


def _base(table: Path) -> Path:
    """Return a table's name without its endings."""
    stem = table.stem.removesuffix(TRACKS)
    return table.with_name(stem or table.stem)


def _is_xml(trackmate: str | None) -> bool:
    return trackmate is not None and Path(trackmate).suffix.lower() == ".xml"


def _xml_paths(
    names: Sequence[str], tables: Sequence[Path], trackmate: str | None
) -> list[Path | None]:
    if trackmate is None:
        return [None] * len(tables)
    if trackmate.endswith(("/", "\\")) or Path(trackmate).is_dir():
        bases = [_base(table).name for table in tables]
        # tables beside their movies may share a name
        return list(numbered([Path(trackmate) / f"{base}{TRACKMATE}" for base in bases], TRACKMATE))
    if not _is_xml(trackmate):
        raise SptError(
            f"{option('trackmate', trackmate)} does not end in .xml, and is not a folder that "
            "exists. Add the ending, or a slash for a new folder.",
            option="trackmate",
        )
    _refuse_several(names, f"{option('trackmate', trackmate)}", "one file")
    return [Path(trackmate)]


def _refuse_several(names: Sequence[str], said: str, what: str) -> None:
    if len(names) > 1:
        raise SptError(
            f"{said} is {what}, and there are {len(names)} movies, which have a table each: "
            "give a folder (a name that ends in a slash)."
        )
