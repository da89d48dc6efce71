"""From tracks to verdicts: policy, windows, network, and one row for each track or segment."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.clock import Clock
from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.errors import SptError, option
from spt_explain.resandi import DEFAULT_THRESHOLD
from spt_explain.resandi.backends import load_backend
from spt_explain.resandi.backends.runner import Part, Windows, prepared, rows_at
from spt_explain.resandi.calibration import Calibration
from spt_explain.resandi.judging import Judge, Prediction
from spt_explain.resandi.recording import Recording, training_shares
from spt_explain.resandi.streaming import joined, prepare, stream
from spt_explain.resandi.verdict_table import verdict_table
from spt_explain.resandi.weights import Weights, find_weights
from spt_explain.resandi.windows import place_windows
from spt_explain.threads import beside
from spt_explain.tracks.quality import apply_policy, join_segments, require_some
from spt_explain.tracks.thinning import thin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.resandi.streaming import Preparation, Streamed
    from spt_explain.tracks.quality import QualityPolicy, Segments
    from spt_explain.tracks.table import Tracks


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on one file.

    Attributes
    ----------
    table : pandas.DataFrame
        One row for each track or segment, the columns of INTERFACE: ``file, particle, segment,
        n_points, first_frame, last_frame, n_gaps, status, reason, class, probability, runner_up``
        and ``p_<class>``, then ``alpha_msd`` and, where the units are known, ``D_um2_s`` and
        ``sigma_loc_um``, and ``inv_snr`` where the tracks of a movie know the error of each
        position (``sigma_static``). ``class`` is the most probable one whatever the status,
        missing for tracks that were left out. Where the source names its tracks by text,
        ``label`` holds the names.
    tracks : Tracks
        What was classified.
    counts : dict of str to int
        The quality policy's counts.
    policy : QualityPolicy
        The policy.
    recording : Recording or None
        Noise and motion blur that the tracks show together; None if the weights don't tell them.
    seconds : dict of str to float
        Time spent in ``quality`` (waiting for it and the estimates of motion), ``network`` (its
        inputs included), ``judging`` (what its outputs mean) and ``table``.
    """

    table: pd.DataFrame
    tracks: Tracks
    counts: dict[str, int]
    policy: QualityPolicy
    recording: Recording | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Examined:
    """The verdicts on one file, and what they were made from.

    Attributes
    ----------
    verdicts : Verdicts
    segments : Segments
        The tracks as the network saw them: cut, filled, short ones left out.
    ran : WindowOutputs
        What the network gave.
    prediction : Prediction
        What that means.
    judged : numpy.ndarray, shape (m, classes)
        Probabilities that the verdicts rest on: those of `prediction`, or where tracks are judged
        by every so many-th frame, their mean over the ways to begin.
    layout : object
        What `examine` was asked to make of the segments; None if nothing was asked.
    """

    verdicts: Verdicts
    segments: Segments
    ran: WindowOutputs
    prediction: Prediction
    judged: NDArray[np.float64]
    layout: Any = None


@dataclass(frozen=True)
class WindowOutputs:
    """What the network gave for the windows of some trajectories, before it is interpreted.

    Attributes
    ----------
    n_segments : int
        Trajectories.
    starts, stops, owner : numpy.ndarray, shape (n,)
        Rows of each window's positions, and the trajectory it belongs to.
    outputs : numpy.ndarray, shape (n, outputs)
        Of the network.
    taps : list of (numpy.ndarray, dict)
        For each batch, its windows and what the backend gave beside the outputs.
    """

    n_segments: int
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    owner: NDArray[np.int64]
    outputs: NDArray[np.float32]
    taps: list[tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]]]


class Classifier:
    """A network ready to classify any number of files.

    Parameters
    ----------
    weights : str or Weights, optional
        Name of the weights, or the weights; the shipped default if not given.
    backend, device, precision : str
        What runs the network, where, and in which precision; see `backends.load_backend`.
    batch_size : int, optional
        Windows of full length at a time, shorter ones in proportion; 64 on the CPU, 1024 (ONNX
        Runtime) or 2048 (torch) on a GPU by default.
    jobs : int, optional
        CPU threads; all cores by default.
    threshold : float
        A track whose best class is less probable than this is ``undetermined``.
    alone : bool
        Judge each track without what the others of its file show of noise and motion blur.
    taps : sequence of str
        What `run` also gives for each window, of `graph.TAPS`.
    points : int, optional
        Points of all tracks to come, where that is known: few of them are judged on the CPU before
        a GPU has started.

    Raises
    ------
    SptError
        For unknown weights, backends or devices, a device that can't be used, damaged files, or
        numbers out of range.
    """

    def __init__(
        self,
        weights: str | Weights | None = None,
        *,
        backend: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        jobs: int | None = None,
        threshold: float = DEFAULT_THRESHOLD,
        alone: bool = False,
        taps: Sequence[str] = (),
        points: int | None = None,
    ) -> None:
        if not 0 <= threshold <= 1:
            raise SptError(f"the threshold is {threshold}; expected a probability, 0 to 1.")
        for name, value in ((option("batch_size"), batch_size), (option("jobs"), jobs)):
            if value is not None and value < 1:
                raise SptError(f"{name} is {value}; expected at least 1.")
        if not isinstance(weights, Weights):
            weights = find_weights(weights)
        self.weights: Weights = weights
        self.backend_name = backend
        self.backend = load_backend(
            self.weights,
            backend=backend,
            device=device,
            precision=precision,
            jobs=jobs,
            taps=taps,
            batch_size=batch_size,
            points=points,
        )
        self.taps = tuple(taps)
        try:
            self.calibration = Calibration.from_card(self.weights.card)
            self.shares = training_shares(self.weights.architecture, self.weights.card)
        except ValueError as error:
            raise SptError(
                f"the card of the weights {self.weights.name} can't be used: {error}."
            ) from error
        self.threshold = threshold
        self.alone = alone
        self.jobs = jobs

    def classify(
        self,
        tracks: Tracks,
        policy: QualityPolicy | None = None,
        *,
        exposure: float = DEFAULT_EXPOSURE,
        progress: Callable[[int, int], None] | None = None,
    ) -> Verdicts:
        """Classify every track.

        Parameters
        ----------
        tracks : Tracks
            Trajectories of one file.
        policy : QualityPolicy, optional
            What happens to gaps, branches and short tracks.
        exposure : float
            Share of the frame that the shutter is open, for the localisation error.
        progress : callable, optional
            Called with the number of windows done and their total.

        Returns
        -------
        Verdicts

        Raises
        ------
        SptError
            If the exposure is out of range, or not a single track can be classified; the message
            says why.
        """
        coming = prepare(tracks, policy, exposure=exposure, jobs=self.jobs)
        return self.classify_prepared(coming, progress=progress)

    def classify_prepared(
        self, coming: Preparation, *, progress: Callable[[int, int], None] | None = None
    ) -> Verdicts:
        """Classify tracks that threads make ready (`streaming.prepare`); see `classify`."""
        clock = Clock()
        tracks = coming.tracks
        found = stream(self, coming, clock=clock, progress=progress)
        if not found.runs:
            require_some(apply_policy(tracks, coming.needed, jobs=self.jobs), tracks)
        return self._verdicts(coming, found, clock)[0]

    def examine(
        self,
        tracks: Tracks,
        policy: QualityPolicy | None = None,
        *,
        exposure: float = DEFAULT_EXPOSURE,
        lay_out: Callable[[Segments], Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Examined:
        """Classify every track, and keep what the verdicts were made from; see `classify`.

        What `lay_out` makes of the segments is made in a thread, while the verdicts are judged.
        """
        clock = Clock()
        coming = prepare(tracks, policy, exposure=exposure, jobs=self.jobs, keep=True)
        found = stream(self, coming, clock=clock, progress=progress)
        every = coming.every

        def join() -> tuple[Segments, Any]:
            segments = join_segments(found.segments, tracks, coming.needed)
            if not found.runs:
                require_some(segments, tracks)
            segments = thin(segments, every, 0)
            return segments, lay_out(segments) if lay_out else None

        with beside() as pool:
            joining = pool.submit(join)
            if not found.runs:
                joining.result()
            verdicts, judged = self._verdicts(coming, found, clock)
            segments, layout = joining.result()
        ran = joined(found.first)
        prediction = judged if every == 1 else self.judge(ran, judged.recording)
        return Examined(verdicts, segments, ran, prediction, judged.probabilities, layout)

    def _verdicts(
        self, coming: Preparation, found: Streamed, clock: Clock
    ) -> tuple[Verdicts, Prediction]:
        prediction = self.judge(found.runs)
        clock.lap("judging")
        table = verdict_table(
            coming.tracks,
            found.summary,
            prediction,
            found.motion,
            classes=self.weights.architecture.classes,
            threshold=self.threshold,
            every=coming.every,
        )
        clock.lap("table")
        verdicts = Verdicts(
            table, coming.tracks, found.counts, coming.policy, prediction.recording, clock.seconds
        )
        return verdicts, prediction

    def predict(
        self,
        positions: NDArray[np.float64],
        offsets: NDArray[np.int64],
        *,
        recording: Recording | None = None,
        progress: Callable[[int, int], None] | None = None,
        seconds: dict[str, float] | None = None,
    ) -> Prediction:
        """Return what the network says of trajectories given as bare positions.

        Parameters
        ----------
        positions : numpy.ndarray, shape (n_points, 2)
            x and y of m trajectories, one after the other, in consecutive frames, in any unit.
        offsets : numpy.ndarray, shape (m + 1,)
            Trajectory *i* is ``positions[offsets[i]:offsets[i + 1]]``.
        recording : Recording, optional
            Noise and blur, where they are known from other tracks; else these trajectories tell.
        progress : callable, optional
            Called with the number of windows done and their total.
        seconds : dict, optional
            Time is added to its key ``network``.

        Returns
        -------
        Prediction
        """
        ran = self.run(positions, offsets, progress=progress, seconds=seconds)
        return self.judge(ran, recording)

    def run(
        self,
        positions: NDArray[np.float64],
        offsets: NDArray[np.int64],
        *,
        progress: Callable[[int, int], None] | None = None,
        seconds: dict[str, float] | None = None,
    ) -> WindowOutputs:
        """Run the network over the windows of trajectories; parameters as for `predict`."""
        seconds = seconds if seconds is not None else {"network": 0.0}
        placed = self.place(offsets)
        outputs, taps = placed.outputs, placed.taps
        done = 0
        clock = time.perf_counter()
        for part, output in self.backend.stream(
            positions, placed.starts, placed.stops, tapped=bool(self.taps)
        ):
            outputs[part] = output.outputs
            if self.taps:
                taps.append((part, output.taps))
            now = time.perf_counter()
            seconds["network"] += now - clock
            clock = now
            done += len(part)
            if progress is not None:
                progress(done, len(placed.owner))
        return placed

    @property
    def batch_size(self) -> int:
        """Windows of full length at a time."""
        return self.backend.batch_size

    def place(self, offsets: NDArray[np.int64]) -> WindowOutputs:
        """Return where the windows of trajectories lie, without running the network."""
        shape = self.weights.architecture
        starts, stops, owner = place_windows(offsets, shape.window)
        outputs = np.empty((len(owner), shape.outputs), np.float32)
        return WindowOutputs(len(offsets) - 1, starts, stops, owner, outputs, [])

    def without_taps(self) -> Classifier:
        """Return a classifier that gives no taps, and is as fast as one made without."""
        if not self.taps:
            return self
        plain = copy.copy(self)
        plain.taps = ()
        return plain

    def judge(
        self, runs: WindowOutputs | Sequence[WindowOutputs], recording: Recording | None = None
    ) -> Prediction:
        """Return what the outputs mean; `recording` as for `predict`."""
        runs = [runs] if isinstance(runs, WindowOutputs) else runs
        return self._judge().predict(runs, recording)

    def joint_logits(self, ran: WindowOutputs) -> NDArray[np.floating]:
        """Return each window's calibrated logits of class and condition, (n, logits)."""
        return self._judge().joint_logits(ran)

    def _judge(self) -> Judge:
        architecture = self.weights.architecture
        return Judge(architecture, self.calibration, self.shares, self.alone, self.jobs)

    def inputs(
        self, positions: NDArray[np.float64], starts: NDArray[np.int64], stops: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield batches of windows, by padded length: their indices, and their inputs.

        For what is more than running the network: inputs that are changed, or gradients.
        """
        windows = Windows(positions, starts, stops)
        parts = self.batches(windows.lengths)
        for part, inputs in prepared(windows, parts, self.weights.architecture):
            yield part.windows, inputs

    def batches(self, lengths: NDArray[np.int64]) -> list[Part]:
        """Return batches of windows of these lengths, by padded length; none is filled up."""
        architecture = self.weights.architecture
        padded = architecture.padded_length(lengths)
        parts = []
        for length in np.unique(padded).tolist():
            rows = np.flatnonzero(padded == length)
            size = rows_at(self.batch_size, architecture, length)
            some = [rows[i : i + size] for i in range(0, len(rows), size)]
            parts += [Part(one, length, len(one)) for one in some]
        return parts
