"""Many files at once: what is read, what is refused before work starts, where each result goes."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain import __version__
from spt_explain.api import read_tracks
from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.errors import NotTracksError, SptError, printable
from spt_explain.movies import is_stack
from spt_explain.readers import StackError, find_inputs
from spt_explain.readers.folders import folded, one_spelling
from spt_explain.readers.inputs import Input
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

    from spt_explain.readers import FoundInput
    from spt_explain.resandi.classifier import Classifier
    from spt_explain.resandi.recording import Recording
    from spt_explain.tracks import QualityPolicy, Tracks


@dataclass
class FileResult:
    """What became of one input.

    Attributes
    ----------
    name : str
        The input as it was named or found, for people (see `spt_explain.errors.printable`).
    done : bool
        Whether it was classified.
    table : pandas.DataFrame or None
        Its verdicts, as long as they are not written yet.
    report : dict
        Format, units and their sources, rows by status and class, the policy's counts.
    error : SptError or None
        Why it failed, or why it was skipped.
    skipped : bool
        True for a file in a folder that holds no tracks: listed, not a failure.
    outputs : list of pathlib.Path
        What was written for it.
    seconds : dict of str to float
        Time in ``reading``, ``quality``, ``inputs``, ``network``, ``writing``.
    source : str
        The input's name as the system has it, for opening it again.
    again : tuple of str
        How else it was named, where it was named more than once, for people.
    """

    name: str
    done: bool = False
    table: pd.DataFrame | None = None
    report: dict[str, Any] = field(default_factory=dict)
    error: SptError | None = None
    skipped: bool = False
    outputs: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    source: str = ""
    again: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it should have been classified and was not."""
        return self.error is not None and not self.skipped


class Listener:
    """What a caller may want to hear while a batch runs; every method does nothing by default."""

    def reading(self, name: str, index: int, total: int) -> None:
        """Start on a file, the `index`-th (from 0) of `total`."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Report frames located, or windows classified, of the present file."""

    def read(self, tracks: Tracks) -> None:
        """Report a file that was read."""

    def ready(self, classifier: Classifier) -> None:
        """Report the network, once, before its first use."""

    def finished(self, result: FileResult) -> None:
        """Report a file that is done, failed or skipped."""


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
                "standard input among several inputs has no name to write beside: "
                "say where the verdicts go with -o."
            )
        output = "-"
    if output == "-":
        if fmt == "parquet":
            raise SptError("Parquet can't be written to standard output; give -o FILE.parquet.")
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
                raise SptError(f"--format {fmt} contradicts -o {output}; give one of the two.")
            return Plan(combined=Path(output), fmt=ending)
    fmt = fmt or "csv"
    if folder is not None and "-" in names:
        raise SptError("standard input has no name for a file in a folder; give -o FILE.")
    paths: list[Path] = []
    for full in (False, True):
        paths = [verdicts_path(n, fmt, folder=folder, full=full) for n in one_spelling(names)]
        # beside their inputs, full names are as different as those
        if (full and folder is None) or len(set(map(folded, paths))) == len(paths):
            return Plan(each=dict(zip(names, paths, strict=True)), fmt=fmt)
    assert folder is not None
    pairs = zip(names, paths, strict=True)
    joined = ["_".join((*_parents(name), path.name)) for name, path in pairs]
    paths = _numbered([folder / name.replace("..", "up") for name in joined], fmt)
    return Plan(each=dict(zip(names, paths, strict=True)), fmt=fmt)


def _parents(name: str) -> list[str]:
    path = Path(name)
    return [part for part in path.parts[:-1] if part != path.anchor]


def _numbered(paths: Sequence[Path], fmt: str) -> list[Path]:
    """Give each path that is there already the next free number."""
    taken = set(map(folded, paths))
    seen: set[str] = set()
    found = []
    for path in paths:
        free, number = path, 1
        if folded(path) in seen:
            while folded(free) in taken:
                number += 1
                stem = path.name.removesuffix(f".verdicts.{fmt}")
                free = path.with_name(f"{stem}-{number}.verdicts.{fmt}")
        taken.add(folded(free))
        seen.add(folded(path))
        found.append(free)
    return found


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
) -> tuple[list[FileResult], bytes]:
    """Classify files, folders and globs, and write a table of verdicts for each, or one for all.

    A file that fails does not stop the others; a file in a folder that holds no tracks is skipped.
    Each table appears when its file is done.

    Parameters
    ----------
    names : sequence of str
        Files, folders, globs, or ``"-"`` for standard input.
    make_classifier : callable
        Makes the classifier, when the first file has been read.
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
    from spt_explain.diffusion.estimates import check_exposure

    check_exposure(exposure)
    listener = listener or Listener()
    found = find_inputs(names)
    plan = plan_outputs([one.name for one in found], output, fmt)
    if output is not None and output.endswith(("/", "\\")):
        Path(output).mkdir(parents=True, exist_ok=True)
    sidecars = [] if plan.fmt == "json" else [sidecar_path(path) for path in plan.paths]
    sources = [Path(one.name) for one in found if one.name != "-"]
    refuse_to_overwrite([*plan.paths, *sidecars], sources, overwrite=overwrite)
    said = [printable(argument) for argument in command]
    job = _Job(make_classifier, policy, exposure, reading or {}, said, listener)
    results = []
    for index, one in enumerate(found):
        listener.reading(printable(one.name), index, len(found))
        result = job.run(one, plan)
        results.append(result)
        listener.finished(result)
    done = [result for result in results if result.done]
    if not done:
        raise _nothing_done(results)
    stdout = b""
    if plan.stdout or plan.combined:
        import pandas as pd

        table = pd.concat([r.table for r in done if r.table is not None], ignore_index=True)
        provenance = job.provenance(done)
        if plan.combined:
            files = write_table(table, plan.combined, provenance)
            for result in done:
                result.outputs = files
        else:
            stdout = encode(table, plan.fmt, provenance)
    return results, stdout


class _Job:
    """One run over several files: the classifier is made once, when it is first needed."""

    def __init__(
        self,
        make_classifier: Callable[[], Classifier],
        policy: QualityPolicy,
        exposure: float,
        reading: dict[str, Any],
        command: list[str],
        listener: Listener,
    ) -> None:
        self.make_classifier = make_classifier
        self.policy = policy
        self.exposure = exposure
        self.reading = reading
        self.command = command
        self.listener = listener
        self._classifier: Classifier | None = None

    def classifier(self) -> Classifier:
        """Return the classifier, made on the first call."""
        if self._classifier is None:
            self._classifier = self.make_classifier()
            self.listener.ready(self._classifier)
        return self._classifier

    def run(self, one: FoundInput, plan: Plan) -> FileResult:
        """Read, classify and write one file."""
        from spt_explain.resandi.populations import describe_population

        again = tuple(printable(name) for name in one.again)
        result = FileResult(printable(one.name), source=one.name, again=again)
        try:
            started = time.perf_counter()
            tracks = self._read(one)
            result.seconds["reading"] = time.perf_counter() - started
            self.listener.read(tracks)
        except NotTracksError as error:
            result.error, result.skipped = error, not one.explicit
            return result
        except SptError as error:
            result.error = error
            return result
        classifier = self.classifier()
        try:
            verdicts = classifier.classify(
                tracks,
                self.policy,
                exposure=self.exposure,
                progress=lambda done, total: self.listener.progress("windows", done, total),
            )
        except SptError as error:
            result.error = error
            return result
        result.done, result.table = True, verdicts.table
        result.seconds |= verdicts.seconds
        result.report = {
            **tracks.describe(),
            **count_verdicts(verdicts.table),
            "populations": describe_population(verdicts.table, classifier.weights).to_dict(),
            "policy_counts": verdicts.counts,
            "recording": _describe_recording(verdicts.recording),
        }
        if one.name in plan.each:
            started = time.perf_counter()
            result.outputs = write_table(
                verdicts.table, plan.each[one.name], self.provenance([result])
            )
            result.table = None  # a folder's tables need not all be in memory
            result.seconds["writing"] = time.perf_counter() - started
        return result

    def _read(self, one: FoundInput) -> Tracks:
        source = Input.of(one.name)
        if not one.explicit and is_stack(source.head):
            raise StackError(
                f"{one.name} is a microscopy stack: stacks found in a folder are not tracked. "
                "Name it by itself to track and classify it."
            )
        return read_tracks(
            source,
            progress=lambda done, total: self.listener.progress("frames", done, total),
            **self.reading,
        )

    def provenance(self, results: Sequence[FileResult]) -> dict[str, Any]:
        """Return everything needed to run it again and to trust it."""
        import numpy
        import pandas

        classifier = self.classifier()
        return {
            "program": "spt-explain",
            "version": __version__,
            "command": self.command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "weights": {
                "name": classifier.weights.name,
                "version": classifier.weights.version,
                "sha256": classifier.weights.sha256,
                "files": classifier.weights.files,
            },
            "backend": classifier.backend_name,
            "device": classifier.backend.device.description,
            "batch_size": classifier.batch_size,
            "seed": None,
            "deterministic": "no random step; same file, weights and device give the same table "
            "(the intervals of populations have a seed, stated there)",
            "policy": asdict(self.policy),
            "threshold": classifier.threshold,
            "alone": classifier.alone,
            "exposure": self.exposure,
            "reading": self.reading,
            "inputs": [_describe_input(result) for result in results],
            "python": platform.python_version(),
            "platform": platform.platform(),
            "numpy": numpy.__version__,
            "pandas": pandas.__version__,
        }


def _describe_input(result: FileResult) -> dict[str, Any]:
    from spt_explain.resandi.weights import file_sha256

    path = Path(result.source)
    known = result.source != "-" and path.is_file()
    return {
        **result.report,
        "path": printable(str(path.resolve())) if known else result.name,
        "bytes": path.stat().st_size if known else None,
        "sha256": file_sha256(path) if known else None,
        "seconds": {key: round(value, 3) for key, value in result.seconds.items()},
    }


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


def _nothing_done(results: Sequence[FileResult]) -> SptError:
    """Return the error of a run without a single table."""
    failed = [r for r in results if r.failed] or list(results)
    first = failed[0].error
    assert first is not None
    if len(results) == 1:
        return first
    return SptError(
        f"none of {len(results)} files could be classified; the first: {first}",
        exit_code=first.exit_code,
    )
