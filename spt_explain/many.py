"""One run over many inputs: what the commands that take several files have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from spt_explain.api import read_tracks, tracking_settings
from spt_explain.clock import Clock
from spt_explain.errors import NotTracksError, SptError, printable
from spt_explain.movies import is_stack
from spt_explain.readers import StackError
from spt_explain.readers.inputs import Input
from spt_explain.report.provenance import made_by
from spt_explain.threads import thread_pool
from spt_explain.tracks.units import check_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future, ThreadPoolExecutor

    from spt_explain.readers import FoundInput
    from spt_explain.resandi.classifier import Classifier
    from spt_explain.tracks import QualityPolicy, Tracks


@dataclass
class InputResult:
    """What became of one input.

    Attributes
    ----------
    name : str
        The input as it was named or found, for people (see `spt_explain.errors.printable`).
    done : bool
        Whether all went well.
    report : dict
        What it holds and what came out, in words and numbers.
    error : SptError or None
        Why it failed, or why it was skipped.
    skipped : bool
        True for a file in a folder that holds something else: listed, not a failure.
    outputs : list of pathlib.Path
        What was written for it.
    seconds : dict of str to float
        Time by what was done; what other threads did meanwhile is not counted beside it.
    source : str
        The input's name as the system has it, for opening it again.
    again : tuple of str
        How else it was named, where it was named more than once, for people.
    clock : Clock
        Gives `seconds` their names.
    sha256 : Future or None
        The hash of the file, where a thread works it out.
    """

    name: str
    done: bool = False
    report: dict[str, Any] = field(default_factory=dict)
    error: SptError | None = None
    skipped: bool = False
    outputs: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    source: str = ""
    again: tuple[str, ...] = ()
    clock: Clock = field(default_factory=Clock, repr=False, compare=False)
    sha256: Future[str] | None = field(default=None, repr=False, compare=False)

    @property
    def failed(self) -> bool:
        """Whether it should have been done and was not."""
        return self.error is not None and not self.skipped

    def describe(self) -> dict[str, Any]:
        """Return its report, and what tells the file from others, for the provenance."""
        from spt_explain.resandi.weights import file_sha256

        path = Path(self.source)
        known = self.source != "-" and path.is_file()
        hashed = self.sha256.result() if self.sha256 else file_sha256(path) if known else None
        return {
            **self.report,
            "path": printable(str(path.resolve())) if known else self.name,
            "bytes": path.stat().st_size if known else None,
            "sha256": hashed,
            "seconds": {key: round(value, 3) for key, value in self.seconds.items()},
        }


class Listener:
    """What a caller may want to hear; every method does nothing by default."""

    def reading(self, name: str, index: int, total: int) -> None:
        """Start on a file, the `index`-th (from 0) of `total`."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Report how far something has come: frames located, windows classified."""

    def read(self, tracks: Any) -> None:
        """Report the `Tracks` of a file that was read."""

    def ready(self, engine: Any) -> None:
        """Report the `Classifier` or `Explainer`, once, before its first use."""

    def finished(self, result: Any) -> None:
        """Report the `InputResult` of a file that is done, failed or skipped."""


What = TypeVar("What")
Result = TypeVar("Result", bound=InputResult)
Engine = TypeVar("Engine")


class Run(Generic[What, Result]):
    """One run over several inputs, one after the other; one that fails stops no other.

    Parameters
    ----------
    command : sequence of str
        The command line, for the provenance.
    listener : Listener, optional
        Told what happens, by the thread that calls `go`.
    jobs : int, optional
        With 1, as is the default, one thing is done at a time. With None or more, the next file is
        read while this one is worked on.
    started : float, optional
        When the process began, as `time.perf_counter` has it, for the first file's seconds.
    """

    made: type[Result]
    """What holds the result of one input."""
    done_in_words: ClassVar[str] = "read"
    """What is done to a file."""

    def __init__(
        self,
        command: Sequence[str],
        listener: Listener | None,
        *,
        jobs: int | None = 1,
        started: float | None = None,
    ) -> None:
        self.command = [printable(argument) for argument in command]
        self.listener = listener or Listener()
        self.jobs = jobs
        self._started = started
        self.clock = Clock()
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: tuple[FoundInput, Future[What | None]] | None = None

    def read(self, one: FoundInput) -> What:
        """Return what one input holds."""
        raise NotImplementedError

    def read_ahead(self, one: FoundInput) -> What | None:
        """Return what one input holds, in a thread; None if it must wait for its turn."""
        return self.read(one)

    def check(self, what: What) -> None:
        """Refuse what was read and can't be used."""

    def begin(self, what: What) -> None:
        """Begin what threads can do to one input before all is ready to work on it.

        An error here is the input's.
        """

    def prepare(self) -> None:
        """Get ready, once a file was read; an error here stops the run."""

    def work(self, what: What, result: Result) -> None:
        """Do what is to be done to one input, and note it in `result`."""
        raise NotImplementedError

    def written(self, result: Result) -> None:
        """Write what came out; an error here stops the run."""

    def go(self, found: Sequence[FoundInput]) -> list[Result]:
        """Go through all inputs.

        Returns
        -------
        list
            One result for each, in order.

        Raises
        ------
        SptError
            If nothing could be done to any of them.
        """
        results = []
        clock = Clock(started=self._started)
        if self._started is not None:
            clock.lap("start-up")
        self._pool = None if self.jobs == 1 else thread_pool(_BESIDES)
        try:
            for index, one in enumerate(found):
                self.listener.reading(printable(one.name), index, len(found))
                following = found[index + 1] if index + 1 < len(found) else None
                results.append(self.one(one, clock, following))
                self.listener.finished(results[-1])
                clock = Clock()
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = self._ahead = None
        self.clock = clock
        if any(result.done for result in results):
            return results
        first = next((result for result in results if result.failed), results[0]).error
        assert first is not None
        if len(results) == 1:
            raise first
        raise SptError(
            f"none of {len(results)} files could be {self.done_in_words}; the first: {first}",
            exit_code=first.exit_code,
            code="no-data",
        )

    def one(self, one: FoundInput, clock: Clock, following: FoundInput | None = None) -> Result:
        """Do all that is to be done to one input, while the following one is read."""
        again = tuple(printable(name) for name in one.again)
        result = self.made(printable(one.name), source=one.name, again=again)
        result.clock, result.seconds = clock, clock.seconds
        try:
            what = self._read(one)
            self.listener.read(what)
            self.check(what)
            clock.lap("reading")
            self.begin(what)
        except NotTracksError as error:
            result.error, result.skipped = error, not one.explicit
            return result
        except SptError as error:
            result.error = error
            return result
        self._look_ahead(one, following, result)
        self.prepare()
        try:
            self.work(what, result)
        except SptError as error:
            result.error = error
            return result
        result.done = True
        self.written(result)
        return result

    def _read(self, one: FoundInput) -> What:
        """Return what one input holds, which a thread may have read already."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] is one:
            what = ahead[1].result()
            if what is not None:
                return what
        return self.read(one)

    def _look_ahead(self, one: FoundInput, following: FoundInput | None, result: Result) -> None:
        """Begin what can go on while one input is worked on: its hash, and the next one."""
        if self._pool is None:
            return
        from spt_explain.resandi.weights import file_sha256

        if _is_plain(one):
            result.sha256 = self._pool.submit(file_sha256, Path(one.name))
        if following is not None and _is_plain(following):
            self._ahead = following, self._pool.submit(self.read_ahead, following)

    def provenance(self, results: Sequence[Result]) -> dict[str, Any]:
        """Return everything needed to run it again and to trust it."""
        said = {**self.settings(), "inputs": [result.describe() for result in results]}
        return made_by(said, command=self.command)

    def settings(self) -> dict[str, Any]:
        """Return what the results depend on besides the inputs."""
        raise NotImplementedError


_BESIDES = 3
"""Threads beside the one that works: for the network's start, a hash, and the next file."""


def _is_plain(one: FoundInput) -> bool:
    """Return whether an input is a file, which can be read twice and at any time: no pipe."""
    return one.name != "-" and Path(one.name).is_file()


class NetworkRun(Run["Tracks", Result], Generic[Engine, Result]):
    """A run that reads tracks and asks the network, which is made when it is first needed.

    Parameters
    ----------
    make_engine : callable
        Makes the classifier or explainer.
    policy : QualityPolicy
        Minimum length, gaps, branches.
    exposure : float
        Share of the frame that the shutter is open.
    reading : dict or None
        Keyword arguments of `read_tracks`; without ``keep_columns``, files are read without their
        further columns. A file of ``tracking`` parameters is read at once.
    command, listener, jobs, started
        See `Run`.

    Raises
    ------
    SptError
        If the exposure, the units or the file of tracking parameters can't be used.
    """

    tracking_in_words: ClassVar[str] = "tracking"
    """What the listener's progress is called while a stack is tracked."""

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        policy: QualityPolicy,
        exposure: float,
        reading: dict[str, Any] | None,
        command: Sequence[str],
        listener: Listener | None,
        *,
        jobs: int | None = 1,
        started: float | None = None,
    ) -> None:
        from spt_explain.diffusion.estimates import check_exposure

        super().__init__(command, listener, jobs=jobs, started=started)
        check_exposure(exposure)
        self.reading = {"keep_columns": False, **(reading or {})}
        check_options(
            self.reading.get("pixel_size_um"),
            self.reading.get("frame_interval_s"),
            bool(self.reading.get("override_units")),
        )
        self._read_tracking()
        self.make_engine, self.policy, self.exposure = make_engine, policy, exposure
        self._engine: Engine | None = None
        self._starting: Future[Engine] | None = None

    def _read_tracking(self) -> None:
        """Read the file of tracking parameters; what it says goes into the provenance."""
        self._said: dict[str, Any] = dict(self.reading)
        given = self.reading.get("tracking")
        settings = tracking_settings(given)
        if settings is None:
            return
        file = {"file": printable(str(given))} if given is not settings else {}
        self.reading["tracking"] = settings
        self._said["tracking"] = {**file, **dict(settings)}

    def engine(self) -> Engine:
        """Return the classifier or explainer, made on the first call."""
        if self._engine is None:
            starting = self._starting
            self._engine = self.make_engine() if starting is None else starting.result()
            self.listener.ready(self._engine)
        return self._engine

    def classifier(self) -> Classifier:
        """Return the classifier."""
        raise NotImplementedError

    def own(self) -> dict[str, Any]:
        """Return the settings that other runs don't have."""
        return {}

    def prepare(self) -> None:
        """Make the classifier or explainer."""
        self.engine()

    def read(self, one: FoundInput) -> Tracks:
        """Read tracks; a stack that the user named is tracked."""
        source = Input.of(one.name)
        if not one.explicit and is_stack(source.head):
            raise StackError(
                f"{one.name} is a microscopy stack: stacks found in a folder are not tracked. "
                f"Name it by itself to have it tracked and {self.done_in_words}."
            )
        if is_stack(source.head):
            return self._track(source)
        if self._pool is not None and self._engine is None and self._starting is None:
            # Libraries and GPU take seconds to start, in which a large file can be read. Not
            # while a stack is tracked: its processes are started from here.
            self._starting = self._pool.submit(self.make_engine)
        return read_tracks(source, **self.reading)

    def read_ahead(self, one: FoundInput) -> Tracks | None:
        """Read tracks in a thread; a stack, whose progress is shown, waits for its turn."""
        source = Input.of(one.name)
        return None if is_stack(source.head) else read_tracks(source, **self.reading)

    def _track(self, source: Input) -> Tracks:
        return read_tracks(
            source,
            progress=lambda done, total: self.listener.progress(
                self.tracking_in_words, done, total
            ),
            **self.reading,
        )

    def settings(self) -> dict[str, Any]:
        """Return the weights, the device, the policy and how files were read."""
        classifier = self.classifier()
        weights = classifier.weights
        return {
            "weights": {
                "name": weights.name,
                "version": weights.version,
                "sha256": weights.sha256,
                "files": weights.files,
            },
            "backend": classifier.backend_name,
            "device": classifier.backend.device.description,
            "precision": classifier.backend.precision,
            "device_notes": list(classifier.backend.notes),
            "batch_size": classifier.batch_size,
            **self.own(),
            "policy": self.policy.model_dump(),
            "threshold": classifier.threshold,
            "alone": classifier.alone,
            "exposure": self.exposure,
            "reading": self._said,
        }
