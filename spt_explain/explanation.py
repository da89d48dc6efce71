"""Explanations on disk: for each input a folder of tables and figures, and one page for all."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.core.files import atomic_folder
from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.errors import SptError, option
from spt_explain.many import InputResult, Listener, NetworkRun
from spt_explain.readers import find_inputs
from spt_explain.readers.folders import one_spelling
from spt_explain.report.reason_counts import count_reasons
from spt_explain.report.reason_files import SIDECAR, TABLES
from spt_explain.report.reason_places import check_movie, check_place, made, plan_folders, refuse
from spt_explain.report.tables import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from spt_explain.explain.reasons import Explainer, Reasons
    from spt_explain.resandi.classifier import Classifier
    from spt_explain.tracks import QualityPolicy, Tracks

__all__ = ["PICKS", "Explained", "Listener", "Pictures", "explain_files"]

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
    jobs : int or None
        Processes that draw, at most; all cores by default.
    """

    tracks: bool = False
    formats: tuple[str, ...] = ("png",)
    picks: int = PICKS
    movie: Path | None = None
    animate: str = ""
    jobs: int | None = None


@dataclass
class Explained(InputResult):
    """What became of one input.

    Attributes
    ----------
    problems : list of SptError
        Why pictures or the page, but not the tables, are missing.
    reasons : Reasons or None
        The tables, as long as the page needs them.
    """

    problems: list[SptError] = field(default_factory=list)
    reasons: Reasons | None = None


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
    pictures = pictures or Pictures()
    run = _Run(make_explainer, policy, exposure, reading, command, listener)
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
    run.folders = {one.name: folder for one, folder in zip(found, folders, strict=True)}
    run.only, run.fmt, run.pictures, run.keep = tuple(only), fmt, pictures, page is not None
    with made(None if output is None or folders == [Path(output)] else Path(output)):
        refuse(folders, page, sources, overwrite=overwrite)
        results = run.go(found)
    if page is not None:
        run.write_page(page, [result for result in results if result.done], overwrite=overwrite)
    return results


class _Run(NetworkRun["Explainer", Explained]):
    """Explains every file, and writes a folder of results for each."""

    made = Explained
    done_in_words = "explained"
    folders: dict[str, Path]
    only: tuple[int, ...]
    fmt: str
    pictures: Pictures
    keep: bool
    """Whether the tables are kept, for the page."""

    def classifier(self) -> Classifier:
        return self.engine().classifier

    def own(self) -> dict[str, Any]:
        from spt_explain.explain import timeline

        how = self.engine().how
        return {
            "explanation": how.model_dump(),
            "seed": how.seed,
            "timeline": {"width": timeline.WIDTH, "penalty": timeline.PENALTY},
            "only": list(self.only),
        }

    def check(self, tracks: Tracks) -> None:
        if self.pictures.movie is not None:
            check_place(self.pictures.movie, tracks, self.only, **self._movie_units())

    def work(self, tracks: Tracks, result: Explained) -> None:
        from spt_explain.report.figure_processes import started_meanwhile

        explainer = self.engine()
        started = time.perf_counter()
        to_draw = len(self.only) or tracks.table["particle"].nunique()
        with started_meanwhile(self.pictures.jobs, to_draw if self.pictures.tracks else 0):
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
        folder = self.folders[result.source]
        self._write(folder, result, reasons)
        result.outputs.append(folder)
        result.reasons = reasons if self.keep else None

    def _movie_units(self) -> dict[str, Any]:
        return {
            "pixel_size_um": self.reading.get("pixel_size_um"),
            "override_units": bool(self.reading.get("override_units")),
        }

    def _write(self, folder: Path, result: Explained, reasons: Reasons) -> None:
        from spt_explain.report.reason_files import draw_movie, draw_tracks

        pictures, said = self.pictures, self.listener.progress
        started = time.perf_counter()
        with atomic_folder(folder, option="output") as part:
            if pictures.tracks:
                with _apart(part, result, "the figures"):
                    result.report["figures"] = draw_tracks(
                        part,
                        reasons,
                        formats=pictures.formats,
                        picks=pictures.picks,
                        every=bool(self.only),
                        jobs=pictures.jobs,
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
                populations=fractions(all_of, self.engine().classifier.weights.name),
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
            f"{type(error).__name__}: {first}. Run it again with {option('debug')} and send what "
            "it prints to the developers."
        )
    problem = SptError(
        f"{what} could not be made: {why} The tables are complete.", exit_code=1, code="failed"
    )
    problem.__cause__ = error
    return problem
