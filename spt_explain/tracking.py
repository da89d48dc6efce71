"""Many movies at once: what is tracked, what is refused before work starts, what is written."""

from __future__ import annotations

import io
import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.core.files import atomic_files
from spt_explain.errors import NotTracksError, SptError, command, option, printable
from spt_explain.many import InputResult, Listener, Run
from spt_explain.movies import track_movie
from spt_explain.movies.look import Look, frames_of, look_at
from spt_explain.movies.parameter_file import write_parameters
from spt_explain.movies.sequence import find_movies
from spt_explain.movies.settings import TrackingSettings
from spt_explain.movies.stack import Stack
from spt_explain.readers.folders import FoundInput
from spt_explain.report.reason_places import made
from spt_explain.report.tables import refuse_to_overwrite
from spt_explain.report.track_places import TrackPlace, plan_places
from spt_explain.report.track_report import (
    COLUMNS,
    LONG_TRACK,
    describe_look,
    describe_tracked,
    unsaid_notes,
    versions,
)
from spt_explain.report.tracks import encode_tracks
from spt_explain.tracks.units import check_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spt_explain.movies.look import LookedFrame
    from spt_explain.movies.sequence import Movie
    from spt_explain.movies.tracked import Tracked


@dataclass
class TrackedFile(InputResult):
    """What became of one movie.

    Its ``report`` holds format, units and their sources, the settings with their reasons, and what
    was counted and measured.

    Attributes
    ----------
    notes : list of str
        What the user must know of this movie, settings and counts left aside.
    problems : list of SptError
        Why the preview or TrackMate's file, but not the table, is missing.
    files : tuple of str
        The movie's files, where there are several.
    """

    notes: list[str] = field(default_factory=list)
    problems: list[SptError] = field(default_factory=list)
    files: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return its report, and what tells the movie from others, for the provenance."""
        files = [printable(name) for name in self.files]
        return {**super().describe(), **({"files": files} if files else {})}


class TrackListener(Listener):
    """What a caller may want to hear while movies are tracked."""

    def located(self, done: int, total: int, spots: int | None) -> None:
        """Report frames done, their number, and the spots in them as far as they are known."""

    def tracked(self, result: TrackedFile) -> None:
        """Report a movie that is tracked or looked at, before anything is written."""


@dataclass(frozen=True)
class _Found(FoundInput):
    """A movie, as a run over many inputs takes it, and where its results go."""

    movie: Movie | None = None
    place: TrackPlace = field(default_factory=TrackPlace)


def track_files(
    names: Sequence[str],
    settings: TrackingSettings | None = None,
    *,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    override_units: bool = False,
    jobs: int | None = None,
    output: str | None = None,
    fmt: str | None = None,
    preview: bool = False,
    preview_only: bool = False,
    trackmate: str | None = None,
    read_from: str | Path | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
    listener: TrackListener | None = None,
) -> tuple[list[TrackedFile], bytes]:
    """Track movies, and write for each a table, how it was made, and a parameter file.

    A movie that fails does not stop the others. The files of a movie appear together when it is
    done.

    Parameters
    ----------
    names : sequence of str
        Files, folders or globs; a folder of single frames is one movie.
    settings : TrackingSettings, optional
        What is known; the rest is found from each movie.
    pixel_size_um, frame_interval_s : float, optional
        Pixel size in µm and time between frames in s; they fill in what the file does not say.
    override_units : bool, optional
        Let the two above replace what the file says.
    jobs : int, optional
        Frames at a time; the cores of this machine if not given.
    output, fmt : str, optional
        Where tables go and as what; see `spt_explain.report.track_places.plan_places`.
    preview : bool
        Whether a picture of a few frames is made beside each table.
    preview_only : bool
        Make the picture only, from a few frames: no tracks, no table.
    trackmate : str, optional
        A file (one movie) or a folder for TrackMate's XML.
    read_from : str or pathlib.Path, optional
        The parameter file that `settings` came from: it is never written over, not even by the
        parameter file of this run.
    overwrite : bool
        Whether outputs that exist are replaced.
    command : sequence of str
        The command line, for the provenance.
    listener : TrackListener, optional
        Told what happens.

    Returns
    -------
    results : list of TrackedFile
        One for each movie, in order; then those files of folders that are no movies.
    stdout : bytes
        What goes to standard output, if the output is ``"-"``.

    Raises
    ------
    SptError
        Before any work: for movies that are not there, options that can't be used, outputs that
        can't be written. After it: if not one movie could be tracked.
    """
    settings = settings or TrackingSettings()
    check_options(pixel_size_um, frame_interval_s, override_units)
    if jobs is not None and jobs < 1:
        raise SptError(f"{option('jobs')} is {jobs}: expected 1 or more.", option="jobs")
    if "-" in names:
        raise SptError("A movie can't be read from standard input: give the name of its file.")
    movies = find_movies(names)
    plan = plan_places(
        [movie.name for movie in movies],
        output,
        fmt,
        preview=preview,
        preview_only=preview_only,
        trackmate=trackmate,
    )
    units = {
        "pixel_size_um": pixel_size_um,
        "frame_interval_s": frame_interval_s,
        "override_units": override_units,
    }
    made_run = _LookRun if preview_only else _TrackRun
    run = made_run(settings, units, jobs, plan.fmt, command, listener or TrackListener())
    sources = [Path(file) for movie in movies for file in _files_of(movie) or [movie.name]]
    if read_from is not None:
        run.read_from = Path(read_from)
        sources.append(run.read_from)
        plan = plan.without_parameters(run.read_from)
    found = [
        _Found(movie.name, movie.explicit, movie=movie, place=place)
        for movie, place in zip(movies, plan.each, strict=True)
    ]
    with ExitStack() as folders:
        for folder in plan.folders:
            folders.enter_context(made(folder))
        refuse_to_overwrite(plan.paths, sources, overwrite=overwrite)
        results = run.go(found)
    for name in movies.left_out:
        no_movie = NotTracksError(f"{name} is no movie: expected TIFF, ND2 or CZI.")
        results.append(TrackedFile(printable(name), error=no_movie, skipped=True, source=name))
    return results, run.table if plan.stdout else b""


class _MovieRun(Run[Any, TrackedFile]):
    """A run over movies; subclasses say what is done to each."""

    made = TrackedFile
    done_in_words = "tracked"
    listener: TrackListener

    def __init__(
        self,
        given: TrackingSettings,
        units: dict[str, Any],
        jobs: int | None,
        fmt: str,
        command: Sequence[str],
        listener: TrackListener,
    ) -> None:
        super().__init__(command, listener)
        self.given, self.units, self.processes, self.fmt = given, units, jobs, fmt
        self.table = b""
        self.read_from: Path | None = None
        self._now = _Found("", True)
        self._contents: dict[Path, bytes] = {}

    def read(self, one: FoundInput) -> Any:
        assert isinstance(one, _Found)
        assert one.movie is not None
        self._now = one
        return self.look(one.movie)

    def look(self, movie: Movie) -> Any:
        """Return what is found in a movie."""
        raise NotImplementedError

    def written(self, result: TrackedFile) -> None:
        """Write all files of a movie; they appear together."""
        contents, self._contents = self._contents, {}
        with atomic_files(list(contents), option="output") as parts:
            for part, data in zip(parts, contents.values(), strict=True):
                part.write_bytes(data)
        result.outputs = list(contents)

    def settings(self) -> dict[str, Any]:
        units = {name: value for name, value in self.units.items() if value}
        given = {k: v for k, v in self.given if v != getattr(_OPEN, k)}
        file = {} if self.read_from is None else {"parameters": printable(str(self.read_from))}
        return {
            "given": {**file, **given, **units},
            "deterministic": "no random step; the same movie, settings and versions give the same "
            "tracks, whatever the number of jobs",
            "columns": COLUMNS,
            "libraries": versions(),
        }


class _TrackRun(_MovieRun):
    """Tracks each movie, and writes what was asked for."""

    def look(self, movie: Movie) -> Tracked:
        def progress(done: int, total: int, spots: int | None = None) -> None:
            self.listener.located(done, total, spots)

        return track_movie(
            movie.source, self.given, jobs=self.processes, progress=progress, **self.units
        )  # fmt: skip

    def work(self, tracked: Tracked, result: TrackedFile) -> None:
        movie, place = self._now.movie, self._now.place
        assert movie is not None
        result.seconds = {"tracking": result.seconds.pop("reading")}
        result.files = tuple(_files_of(movie))
        result.report = describe_tracked(tracked) | {"name": result.name}
        result.notes = unsaid_notes(tracked)
        if place.parameters is None and self.read_from is not None and place.table is not None:
            result.notes.append(f"{printable(str(self.read_from))} was read and stays as it is.")
        self.listener.tracked(result)
        contents: dict[Path, bytes] = {}
        if place.preview is not None:
            try:
                contents[place.preview] = _draw(frames_of(movie.source, tracked), result.report)
            except SptError as error:
                result.problems.append(error)
        if place.trackmate is not None:
            try:
                contents[place.trackmate] = _trackmate(movie, tracked)
            except SptError as error:
                result.problems.append(error)
        provenance = self.provenance([result])
        table = encode_tracks(tracked.tracks, self.fmt, provenance)
        if place.table is None:
            self.table = table
        else:
            contents[place.table] = table
        if place.sidecar is not None:
            text = json.dumps(provenance, indent=2, ensure_ascii=False, default=str) + "\n"
            contents[place.sidecar] = text.encode()
        if place.parameters is not None:
            remarks = _remarks(result, self.units, place.parameters)
            text = write_parameters(tracked.settings, tracked.reasons, remarks=remarks)
            contents[place.parameters] = text.encode()
        # the table comes first where they are listed
        order = {path: contents[path] for path in place.paths if path in contents}
        self._contents = order


class _LookRun(_MovieRun):
    """Draws a few frames of each movie with what would be found in them."""

    done_in_words = "looked at"

    def look(self, movie: Movie) -> Look:
        return look_at(movie.source, self.given, progress=self.listener.located, **self.units)

    def work(self, look: Look, result: TrackedFile) -> None:
        path = self._now.place.preview
        assert path is not None
        result.report = describe_look(look) | {"name": result.name}
        result.notes = list(look.notes)
        self.listener.tracked(result)
        self._contents = {path: _draw(look.frames, result.report)}


_OPEN = TrackingSettings()


def _draw(frames: Sequence[LookedFrame], report: Mapping[str, Any]) -> bytes:
    """Return the preview of a movie as PNG."""
    from spt_explain.report.preview import draw_preview
    from spt_explain.report.style import house_style

    settings, counts = report["settings"], report.get("spots_per_frame")
    said = [
        f"{'dark' if settings['dark'] else 'bright'} spots, diameter {settings['diameter']} px · "
        f"minmass {settings['minmass']:,g} · search range {settings['search_range']:g} px"
        + (f" · memory {settings['memory']}" if settings["memory"] is not None else "")
    ]
    if counts is None:
        said.append(f"{report['frames_looked_at']:,} of {report['frames']:,} frames looked at")
    else:
        said.append(
            f"{report['spots']:,} spots in {report['frames']:,} frames ({counts['mean']:,.3g} a "
            f"frame, {counts['least']:,} to {counts['most']:,}) · {report['tracks']:,} tracks, "
            f"{report[f'tracks_of_{LONG_TRACK}_points']:,} of {LONG_TRACK} points or more"
        )
    stream = io.BytesIO()
    with house_style():
        figure = draw_preview(
            frames,
            name=report["name"],
            said=said,
            diameter=settings["diameter"],
            minmass=settings["minmass"],
            dark=bool(settings["dark"]),
            pixel_size_um=report["pixel_size_um"],
        )
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _trackmate(movie: Movie, tracked: Tracked) -> bytes:
    """Return TrackMate's save file."""
    from spt_explain.report.fiji_view import fiji_view
    from spt_explain.report.trackmate_xml import encode_trackmate

    settings = tracked.settings
    with Stack(movie.source, channel=settings.channel, z=settings.z) as stack:
        size = stack.units.pixel_size_um
        view = fiji_view(movie.name, stack.width, stack.height, stack.n_frames, size)
    notes = tracked.tracks.source.notes
    return encode_trackmate(tracked.tracks, view, settings, notes=notes)


def _remarks(result: TrackedFile, units: Mapping[str, Any], path: Path) -> list[str]:
    """Return what a parameter file begins with."""
    from spt_explain.version import __version__

    given = [option(name, value) for name, value in units.items() if value]
    options = f", {' '.join(given)}" if given else ""
    return [
        f"How spt-explain {__version__} tracked {result.name}{options}.",
        "Track another movie in the same way: " + command("track", "MOVIE", parameters=path.name),
        'A value may be changed, or "auto": it is found from the movie then.',
    ]


def _files_of(movie: Movie) -> list[str]:
    """Return the files of a movie of several files; nothing for one file."""
    files = getattr(movie.source, "files", ())
    return [file for file in files if file is not None]
