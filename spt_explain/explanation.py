"""Explanations on disk: for each input a folder of tables and figures, and one page for all."""

from __future__ import annotations

import json
import platform
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain import __version__
from spt_explain.api import read_tracks
from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.errors import NotTracksError, SptError, printable
from spt_explain.movies import is_stack
from spt_explain.readers import StackError, find_inputs
from spt_explain.readers.folders import one_spelling
from spt_explain.readers.inputs import Input
from spt_explain.report.folders import whole_folder
from spt_explain.report.reason_counts import count_reasons
from spt_explain.report.reason_files import PROGRAM, SIDECAR, TABLES
from spt_explain.report.reason_places import check_movie, check_place, made, plan_folders, refuse
from spt_explain.report.tables import encode
from spt_explain.tracks.units import check_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from spt_explain.explain.reasons import Explainer, Reasons
    from spt_explain.readers import FoundInput
    from spt_explain.tracks import QualityPolicy, Tracks

PICKS = 3
"""Tracks of each kind (typical, doubtful, surprising) and class that get a figure of their own."""


@dataclass(frozen=True)
class Pictures:
    """What is drawn.

    Attributes
    ----------
    tracks : bool
        Whether a contact sheet and single tracks are drawn.
    formats : tuple of str
        Of the figures: "png", "svg", "pdf".
    picks : int
        Tracks of each kind and class with a figure; those named by ``only`` all have one.
    movie : pathlib.Path or None
        Stack to draw the tracks on.
    animate : str
        "gif", "mp4", or "" for the projection only.
    """

    tracks: bool = False
    formats: tuple[str, ...] = ("png",)
    picks: int = PICKS
    movie: Path | None = None
    animate: str = ""


@dataclass
class Explained:
    """What became of one input.

    Attributes
    ----------
    name : str
        The input as it was named or found, for people (see `spt_explain.errors.printable`).
    done : bool
        Whether it was explained.
    report : dict
        Format, units, counts.
    error : SptError or None
        Why it failed, or why it was skipped.
    skipped : bool
        True for a file in a folder that holds no tracks.
    outputs : list of pathlib.Path
        What was written for it.
    problems : list of SptError
        Why pictures or the page, but not the tables, are missing.
    seconds : dict of str to float
        Time by what was done.
    reasons : Reasons or None
        The tables, as long as the page needs them.
    source : str
        The input's name as the system has it, for opening it again.
    again : tuple of str
        How else it was named, where it was named more than once, for people.
    """

    name: str
    done: bool = False
    report: dict[str, Any] = field(default_factory=dict)
    error: SptError | None = None
    skipped: bool = False
    outputs: list[Path] = field(default_factory=list)
    problems: list[SptError] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    reasons: Reasons | None = None
    source: str = ""
    again: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it should have been explained and was not."""
        return self.error is not None and not self.skipped


class Listener:
    """What a caller may want to hear; every method does nothing by default."""

    def reading(self, name: str, index: int, total: int) -> None:
        """Start on a file, the `index`-th (from 0) of `total`."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Report how far something has come."""

    def read(self, tracks: Tracks) -> None:
        """Report a file that was read."""

    def ready(self, explainer: Explainer) -> None:
        """Report the network, once, before its first use."""

    def finished(self, result: Explained) -> None:
        """Report a file that is done, failed or skipped."""


def explain_files(
    names: Sequence[str],
    make_explainer: Callable[[], Explainer],
    *,
    policy: QualityPolicy,
    exposure: float = DEFAULT_EXPOSURE,
    reading: dict[str, Any] | None = None,
    only: Sequence[int] = (),
    output: str | None = None,
    fmt: str = "csv",
    overwrite: bool = False,
    pictures: Pictures | None = None,
    page: Path | None = None,
    command: Sequence[str] = (),
    listener: Listener | None = None,
) -> list[Explained]:
    """Explain files, folders and globs, and write a folder of results for each.

    A file that fails does not stop the others. Each folder appears whole when its file is done,
    with its tables even if a picture fails: see `Explained.problems`.

    Parameters
    ----------
    names : sequence of str
        Files, folders or globs, or ``"-"`` for standard input.
    make_explainer : callable
        Makes the explainer, when the first file has been read.
    policy : QualityPolicy
        Minimum length, gaps, branches.
    exposure : float
        Share of the frame that the shutter is open, for the localisation error.
    reading : dict, optional
        Keyword arguments of `read_tracks`.
    only : sequence of int
        Particles to explain; all by default.
    output : str, optional
        The folder, for one input; a folder of such folders for several. By default
        ``NAME.reasons`` beside each input.
    fmt : {"csv", "parquet"}
        Of the tables.
    overwrite : bool
        Whether results that exist are replaced.
    pictures : Pictures, optional
        What is drawn; nothing by default.
    page : pathlib.Path, optional
        HTML page of all inputs; it may lie in the folder of an input's results.
    command : sequence of str
        The command line, for the provenance.
    listener : Listener, optional
        Told what happens.

    Returns
    -------
    list of Explained
        One for each file, in order.

    Raises
    ------
    SptError
        Before any work: for inputs that are not there, outputs that can't be written, an exposure
        that is no share, and what `make_explainer` raises. After it: if not one file could be
        explained.
    """
    from spt_explain.diffusion.estimates import check_exposure

    check_exposure(exposure)
    reading = reading or {}
    check_options(
        reading.get("pixel_size_um"),
        reading.get("frame_interval_s"),
        bool(reading.get("override_units")),
    )
    listener, pictures = listener or Listener(), pictures or Pictures()
    found = find_inputs(names)
    single = len(found) == 1 and found[0].explicit
    spelled = [one.name for one in found]
    # in a folder of folders, the parents as they were named tell equal names apart
    folders = plan_folders(
        one_spelling(spelled) if output is None else spelled, output, single=single
    )
    sources = [Path(one.name) for one in found if one.name != "-"]
    if pictures.movie is not None:
        check_movie(pictures.movie, pictures.animate, len(found))
        sources.append(pictures.movie)
    job = _Job(
        make_explainer,
        policy,
        exposure,
        reading,
        tuple(only),
        fmt,
        pictures,
        page is not None,
        [printable(argument) for argument in command],
        listener,
    )
    results = []
    with made(None if output is None or folders == [Path(output)] else Path(output)):
        refuse(folders, page, sources, overwrite=overwrite)
        for index, (one, folder) in enumerate(zip(found, folders, strict=True)):
            listener.reading(printable(one.name), index, len(found))
            results.append(job.run(one, folder))
            listener.finished(results[-1])
    done = [result for result in results if result.done]
    if not done:
        raise _nothing_done(results)
    if page is not None:
        job.write_page(page, done, overwrite=overwrite)
    return results


def _nothing_done(results: Sequence[Explained]) -> SptError:
    first = next((r for r in results if r.failed), results[0]).error
    assert first is not None
    if len(results) == 1:
        return first
    return SptError(
        f"none of {len(results)} files could be explained; the first: {first}",
        exit_code=first.exit_code,
    )


@dataclass
class _Job:
    """One run over several files: the explainer is made once, when it is first needed."""

    make_explainer: Callable[[], Explainer]
    policy: QualityPolicy
    exposure: float
    reading: dict[str, Any]
    only: tuple[int, ...]
    fmt: str
    pictures: Pictures
    keep: bool
    command: list[str]
    listener: Listener
    _explainer: Explainer | None = None

    def explainer(self) -> Explainer:
        """Return the explainer, made on the first call."""
        if self._explainer is None:
            self._explainer = self.make_explainer()
            self.listener.ready(self._explainer)
        return self._explainer

    def run(self, one: FoundInput, folder: Path) -> Explained:
        """Read, explain and write one file."""
        again = tuple(printable(name) for name in one.again)
        result = Explained(printable(one.name), source=one.name, again=again)
        try:
            started = time.perf_counter()
            tracks = self._read(one)
            self.listener.read(tracks)
            if self.pictures.movie is not None:
                check_place(self.pictures.movie, tracks, self.only, **self._movie_units())
            result.seconds["reading"] = time.perf_counter() - started
        except NotTracksError as error:
            result.error, result.skipped = error, not one.explicit
            return result
        except SptError as error:
            result.error = error
            return result
        explainer = self.explainer()
        try:
            started = time.perf_counter()
            reasons = explainer.explain(
                tracks,
                self.policy,
                exposure=self.exposure,
                only=self.only,
                progress=self.listener.progress,
            )
            result.seconds["explaining"] = time.perf_counter() - started
            weights = explainer.classifier.weights
            result.report = {**tracks.describe(), **count_reasons(reasons, weights, self.only)}
            result.report["notes"] += explainer.how.notes()
            self._write(folder, result, reasons)
        except SptError as error:
            result.error = error
            return result
        result.done = True
        result.outputs.append(folder)
        result.reasons = reasons if self.keep else None
        return result

    def _read(self, one: FoundInput) -> Tracks:
        source = Input.of(one.name)
        if not one.explicit and is_stack(source.head):
            raise StackError(
                f"{one.name} is a microscopy stack: stacks found in a folder are not tracked. "
                "Name it by itself."
            )
        return read_tracks(
            source,
            progress=lambda done, total: self.listener.progress("tracking", done, total),
            **self.reading,
        )

    def _movie_units(self) -> dict[str, Any]:
        return {
            "pixel_size_um": self.reading.get("pixel_size_um"),
            "override_units": bool(self.reading.get("override_units")),
        }

    def _write(self, folder: Path, result: Explained, reasons: Reasons) -> None:
        from spt_explain.report.reason_files import draw_movie, draw_tracks

        pictures, said = self.pictures, self.listener.progress
        started = time.perf_counter()
        with whole_folder(folder) as part:
            if pictures.tracks:
                with _apart(part, result, "the figures"):
                    result.report["figures"] = draw_tracks(
                        part,
                        reasons,
                        formats=pictures.formats,
                        picks=pictures.picks,
                        every=bool(self.only),
                        progress=said,
                    )
            if pictures.movie is not None:
                with _apart(part, result, "the tracks on their movie"):
                    draw_movie(
                        part,
                        reasons,
                        pictures.movie,
                        formats=pictures.formats,
                        animate=pictures.animate,
                        progress=said,
                        **self._movie_units(),
                    )
            for name in TABLES:
                table: pd.DataFrame = getattr(reasons, name)
                if len(table):
                    (part / f"{name}.{self.fmt}").write_bytes(encode(table, self.fmt, {}))
            result.seconds["writing"] = time.perf_counter() - started
            text = json.dumps(self.provenance([result]), indent=2, ensure_ascii=False, default=str)
            # a lone surrogate from an odd file name is written as "?"
            (part / SIDECAR).write_bytes((text + "\n").encode(errors="replace"))

    def write_page(self, page: Path, done: Sequence[Explained], *, overwrite: bool) -> None:
        """Write the page of all that was explained; if that fails, the folders stay."""
        from spt_explain.report.page import write_page
        from spt_explain.report.reason_files import fractions, joined

        all_of = [result.reasons for result in done if result.reasons is not None]
        names = ", ".join(Path(result.name).name for result in done[:3])
        more = f" and {len(done) - 3} more" if len(done) > 3 else ""
        try:
            write_page(
                page,
                joined(all_of),
                populations=fractions(all_of, self.explainer().classifier.weights.name),
                provenance=self.provenance(done),
                title=f"Why the network says so: {names}{more}",
                overwrite=overwrite,
            )
        except Exception as error:
            problem = _problem(error, f"the page {page}")
            for result in done:
                result.problems.append(problem)
        else:
            for result in done:
                result.outputs.append(page)
        for result in done:
            result.reasons = None

    def provenance(self, results: Sequence[Explained]) -> dict[str, Any]:
        """Return everything needed to run it again and to trust it."""
        from dataclasses import asdict

        import numpy as np
        import pandas as pd

        from spt_explain.explain import timeline
        from spt_explain.resandi.weights import file_sha256

        explainer = self.explainer()
        weights = explainer.classifier.weights
        inputs = []
        for result in results:
            path = Path(result.source)
            known = result.source != "-" and path.is_file()
            inputs.append(
                {
                    **result.report,
                    "path": printable(str(path.resolve())) if known else result.name,
                    "sha256": file_sha256(path) if known else None,
                    "seconds": {k: round(v, 3) for k, v in result.seconds.items()},
                }
            )
        return {
            "program": PROGRAM,
            "version": __version__,
            "command": self.command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "weights": {
                "name": weights.name,
                "version": weights.version,
                "sha256": weights.sha256,
                "files": weights.files,
            },
            "backend": explainer.classifier.backend_name,
            "device": explainer.classifier.backend.device.description,
            "batch_size": explainer.classifier.batch_size,
            "explanation": asdict(explainer.how),
            "seed": explainer.how.seed,
            "timeline": {"width": timeline.WIDTH, "penalty": timeline.PENALTY},
            "policy": asdict(self.policy),
            "threshold": explainer.classifier.threshold,
            "alone": explainer.classifier.alone,
            "exposure": self.exposure,
            "only": list(self.only),
            "reading": self.reading,
            "inputs": inputs,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "numpy": np.__version__,
            "pandas": pd.__version__,
        }


@contextmanager
def _apart(part: Path, result: Explained, what: str) -> Iterator[None]:
    """Let pictures fail without the tables: none of them is left, and the reason is noted."""
    before = set(part.iterdir())
    try:
        yield
    except Exception as error:
        for path in set(part.iterdir()) - before:
            path.unlink()
        result.problems.append(_problem(error, what))


def _problem(error: Exception, what: str) -> SptError:
    """Return why something beside the tables is missing."""
    if isinstance(error, SptError):
        why = str(error)
    elif isinstance(error, OSError):
        why = f"{error.strerror or error}. Check the disk's space and the folder's permissions."
    else:
        first = (str(error) or "no message").splitlines()[0]
        why = (
            f"{type(error).__name__}: {first}. Run it again with --debug and send what it prints "
            "to the developers."
        )
    problem = SptError(f"{what} could not be made: {why} The tables are complete.", exit_code=1)
    problem.__cause__ = error
    return problem
