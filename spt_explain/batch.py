"""Many files at once: what is read, what is refused before work starts, where each result goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.errors import SptError, option
from spt_explain.many import InputResult, Listener, NetworkRun
from spt_explain.readers import find_inputs
from spt_explain.readers.folders import folded, one_spelling
from spt_explain.report.names import numbered, with_parents
from spt_explain.report.tables import (
    FORMATS,
    encode,
    refuse_to_overwrite,
    sidecar_path,
    verdicts_path,
    write_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from spt_explain.resandi.classifier import Classifier
    from spt_explain.resandi.recording import Recording
    from spt_explain.resandi.streaming import Preparation
    from spt_explain.tracks import QualityPolicy, Tracks

__all__ = ["FileResult", "Listener", "Plan", "classify_files", "count_verdicts", "plan_outputs"]


@dataclass
class FileResult(InputResult):
    """What became of one input.

    Its ``report`` holds format, units and their sources, rows by status and class and the policy's
    counts; its ``seconds`` are for ``start-up``, ``reading``, ``backend`` (waiting for it to be
    ready), those of `Verdicts`, ``summary`` (counts and fractions), ``writing``, ``hashing``
    (waiting for the hash of the file) and ``other``.

    Attributes
    ----------
    table : pandas.DataFrame or None
        Its verdicts, as long as they are not written yet.
    kept : list of str
        Columns of the table that come from the input.
    """

    table: pd.DataFrame | None = None
    kept: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """Where results go: one table for all (`combined`), standard output, or a table each."""

    each: dict[str, Path] = field(default_factory=dict)
    combined: Path | None = None
    stdout: bool = False
    fmt: str = "csv"

    @property
    def paths(self) -> list[Path]:
        """Every table that will be written."""
        return [self.combined] if self.combined else list(self.each.values())


def plan_outputs(names: Sequence[str], output: str | None, fmt: str | None) -> Plan:
    """Decide where the verdicts on each input go.

    Parameters
    ----------
    names : sequence of str
        The inputs.
    output : str or None
        ``"-"`` for standard output; a file for one table of all inputs; a folder (one that exists,
        or a name that ends in a slash) for a table each; None for a table beside each input.
    fmt : str or None
        Table format; by default what `output` ends in, else CSV.

    Raises
    ------
    SptError
        If the two contradict each other.
    """
    if output is None and "-" in names:
        if len(names) > 1:
            raise SptError(
                "standard input among several inputs has no name to write beside: say where the "
                f"verdicts go with {option('output')}.",
                option="output",
            )
        output = "-"
    if output == "-":
        if fmt == "parquet":
            raise SptError(
                f"Parquet can't be written to standard output; give {option('output', 'FILE')}.",
                option="output",
            )
        return Plan(stdout=True, fmt=fmt or "csv")
    folder = None
    if output is not None:
        if output.endswith(("/", "\\")) or Path(output).is_dir():
            folder = Path(output)
        else:
            ending = Path(output).suffix.lower().lstrip(".")
            if ending not in FORMATS:
                raise SptError(
                    f"the output {output} ends in none of .csv, .parquet, .json, and is not a "
                    "folder that exists. Add an ending, or a slash for a new folder."
                )
            if fmt is not None and fmt != ending:
                raise SptError(
                    f"{option('format', fmt)} contradicts {option('output')} {output}; give one of "
                    "the two.",
                    code="conflict",
                    option="format",
                )
            return Plan(combined=Path(output), fmt=ending)
    fmt = fmt or "csv"
    if folder is not None and "-" in names:
        raise SptError(
            f"standard input has no name for a file in a folder; give {option('output', 'FILE')}.",
            option="output",
        )
    paths: list[Path] = []
    for full in (False, True):
        paths = [verdicts_path(n, fmt, folder=folder, full=full) for n in one_spelling(names)]
        # beside their inputs, full names are as different as those
        if (full and folder is None) or len(set(map(folded, paths))) == len(paths):
            return Plan(each=dict(zip(names, paths, strict=True)), fmt=fmt)
    assert folder is not None
    paths = numbered(with_parents(names, paths, folder), f".verdicts.{fmt}")
    return Plan(each=dict(zip(names, paths, strict=True)), fmt=fmt)


def classify_files(
    names: Sequence[str],
    make_classifier: Callable[[], Classifier],
    *,
    policy: QualityPolicy,
    exposure: float = DEFAULT_EXPOSURE,
    reading: dict[str, Any] | None = None,
    output: str | None = None,
    fmt: str | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
    listener: Listener | None = None,
    jobs: int | None = None,
    keep_columns: bool | None = None,
    started: float | None = None,
) -> tuple[list[FileResult], bytes]:
    """Classify files, folders and globs, and write a table of verdicts for each, or one for all.

    A file that fails does not stop the others; a file in a folder that holds no tracks is skipped.
    Each table appears when its file is done.

    Parameters
    ----------
    names : sequence of str
        Files, folders, globs, or ``"-"`` for standard input.
    make_classifier : callable
        Makes the classifier, while the first file is read; an error of it is raised after that.
    policy : QualityPolicy
        Minimum length, gaps, branches.
    exposure : float
        Share of the frame that the shutter is open, for the localisation error.
    reading : dict, optional
        Keyword arguments of `read_tracks`.
    output, fmt : str, optional
        See `plan_outputs`.
    overwrite : bool
        Whether outputs that exist are replaced.
    command : sequence of str
        The command line, for the provenance.
    listener : Listener, optional
        Told what happens.
    jobs : int, optional
        CPU threads; all cores by default. Unless it is 1, the classifier is made while the first
        file is read, and each file is read while the one before it is classified.
    keep_columns : bool, optional
        Whether tables also get those columns of the input that have one value in all rows of each
        track; by default if they are Parquet.
    started : float, optional
        When the process began (`spt_explain.clock.process_start`), if its start belongs to the run.

    Returns
    -------
    results : list of FileResult
        One for each file, in order.
    stdout : bytes
        What goes to standard output, if the output is ``"-"``.

    Raises
    ------
    SptError
        Before any work: for inputs that are not there, outputs that can't be written, or an
        exposure that is no share. After it: if there was one input and it failed.
    """
    run = _Run(
        make_classifier, policy, exposure, reading, command, listener, jobs=jobs, started=started
    )
    found = find_inputs(names)
    run.plan = plan = plan_outputs([one.name for one in found], output, fmt)
    run.keep_columns(plan.fmt == "parquet" if keep_columns is None else keep_columns)
    if output is not None and output.endswith(("/", "\\")):
        Path(output).mkdir(parents=True, exist_ok=True)
    sidecars = [] if plan.fmt == "json" else [sidecar_path(path) for path in plan.paths]
    sources = [Path(one.name) for one in found if one.name != "-"]
    refuse_to_overwrite([*plan.paths, *sidecars], sources, overwrite=overwrite)
    results = run.go(found)
    done = [result for result in results if result.done]
    stdout = b""
    if plan.stdout or plan.combined:
        table, kept = _joined(done)
        run.clock.lap("joining")

        def said() -> dict[str, Any]:
            run.clock.lap("writing")
            seconds = {key: round(value, 3) for key, value in run.clock.seconds.items()}
            return {**run.provenance(done), "seconds": seconds}

        if plan.combined:
            files = write_table(table, plan.combined, said, exact=kept, jobs=jobs)
            for result in done:
                result.outputs = files
        else:
            stdout = encode(table, plan.fmt, said(), exact=kept, jobs=jobs)
    return results, stdout


def _joined(done: Sequence[FileResult]) -> tuple[pd.DataFrame, list[str]]:
    """Return the verdicts on all files as one table, and its columns that come from the inputs.

    These stand last. One that holds numbers in one file and text in another becomes text.
    """
    import pandas as pd

    tables = [r.table for r in done if r.table is not None]
    kept = list(dict.fromkeys(name for r in done for name in r.kept))
    if not kept:
        return pd.concat(tables, ignore_index=True), kept
    for name in kept:
        having = [table for table in tables if name in table]
        texts = [not pd.api.types.is_numeric_dtype(table[name]) for table in having]
        if any(texts) and not all(texts):
            for table in having:
                table[name] = table[name].astype("str")
    joined = pd.concat(tables, ignore_index=True)
    return joined[[*(name for name in joined if name not in kept), *kept]], kept


_BYTES_A_POINT = 40
"""Of a table as text; XML takes more, so that a GPU is used for somewhat smaller files."""


def expected_points(names: Sequence[str]) -> int | None:
    """Return about how many points files, folders and globs hold, from their sizes.

    Returns
    -------
    int or None
        None where it can't be known before they are read: standard input.
    """
    sizes = [
        Path(one.name).stat().st_size if Path(one.name).is_file() else None
        for one in find_inputs(names)
    ]
    known = [size for size in sizes if size is not None]
    return sum(known) // _BYTES_A_POINT if len(known) == len(sizes) else None


class _Run(NetworkRun["Classifier", FileResult]):
    """Classifies every file, and writes its table where the plan says."""

    made = FileResult
    done_in_words = "classified"
    tracking_in_words = "frames"
    plan: Plan
    _coming: Preparation

    def keep_columns(self, keep: bool) -> None:
        """Say whether the inputs' further columns are read, and written."""
        self.reading["keep_columns"] = self._said["keep_columns"] = keep

    def classifier(self) -> Classifier:
        return self.engine()

    def own(self) -> dict[str, Any]:
        return {
            "seed": None,
            "deterministic": "no random step; same file, weights and device give the same table "
            "(the intervals of populations have a seed, stated there)",
        }

    def begin(self, tracks: Tracks) -> None:
        from spt_explain.resandi.streaming import prepare

        self._coming = prepare(tracks, self.policy, exposure=self.exposure, jobs=self.jobs)

    def prepare(self) -> None:
        try:
            super().prepare()
        except BaseException:  # the threads end here, not wherever they would be collected
            self._coming.chunks.close()
            raise

    def work(self, tracks: Tracks, result: FileResult) -> None:
        from spt_explain.resandi.populations import describe_population
        from spt_explain.resandi.verdict_table import with_source_columns

        result.clock.lap("backend")
        classifier = self.classifier()
        verdicts = classifier.classify_prepared(
            self._coming,
            progress=lambda done, total: self.listener.progress("windows", done, total),
        )
        result.table = verdicts.table
        result.clock.lap("other", besides=verdicts.seconds)
        if self.reading["keep_columns"]:
            result.table, result.kept = with_source_columns(verdicts.table, tracks)
        result.report = {
            **tracks.describe(),
            **count_verdicts(verdicts.table),
            "populations": describe_population(verdicts.table, classifier.weights).to_dict(),
            "policy_counts": verdicts.counts,
            "recording": _describe_recording(verdicts.recording),
        }
        result.clock.lap("summary")

    def written(self, result: FileResult) -> None:
        if result.source not in self.plan.each or result.table is None:
            return

        def said() -> dict[str, Any]:
            result.clock.lap("writing")
            if result.sha256 is not None:
                result.sha256.result()
            result.clock.lap("hashing")
            return self.provenance([result])

        path = self.plan.each[result.source]
        result.outputs = write_table(result.table, path, said, exact=result.kept, jobs=self.jobs)
        result.table = None  # a folder's tables need not all be in memory
        result.clock.lap("writing")


def _describe_recording(recording: Recording | None) -> dict[str, float] | None:
    if recording is None:
        return None
    return {
        "noise_1_over_snr": round(recording.noise, 2),
        "exposure_share": round(recording.exposure, 2),
    }


def count_verdicts(table: pd.DataFrame) -> dict[str, Any]:
    """Return rows, tracks, rows by status, and for each class the count and median probability.

    Classes are counted over rows with the status ``classified``.
    """
    sure = table[table["status"] == "classified"]
    groups = sure.groupby("class", sort=False)["probability"]
    medians = groups.median()
    counts = groups.size()
    return {
        "rows": len(table),
        "tracks": int(table["particle"].nunique()),
        "status": {str(k): int(v) for k, v in table["status"].value_counts().items()},
        "classes": {
            str(name): {
                "count": int(counts[name]),
                "median_probability": round(float(medians[name]), 4),
            }
            for name in counts.index
        },
    }
