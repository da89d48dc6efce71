"""From tracks to verdicts: policy, windows, network, and one row for each track or segment."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError
from spt_explain.resandi import DEFAULT_THRESHOLD
from spt_explain.resandi.backends import load_backend
from spt_explain.resandi.inputs import build_inputs
from spt_explain.resandi.weights import find_weights
from spt_explain.resandi.windows import combine, place_windows
from spt_explain.tracks.quality import QualityPolicy, apply_policy, require_some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.resandi.weights import Weights
    from spt_explain.tracks.quality import Segments
    from spt_explain.tracks.table import Tracks

_PREPARING_THREADS = 4


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on one file.

    Attributes
    ----------
    table : pandas.DataFrame
        One row for each track or segment, the columns of INTERFACE: ``file, particle, segment,
        n_points, first_frame, last_frame, n_gaps, status, reason, class, probability, runner_up``
        and ``p_<class>``. ``class`` is the most probable one whatever the status, missing for
        tracks that were left out. Where the source names its tracks by text, ``label`` holds
        the names.
    tracks : Tracks
        What was classified.
    counts : dict of str to int
        The quality policy's counts.
    policy : QualityPolicy
        The policy.
    seconds : dict of str to float
        Time spent in ``quality``, ``inputs`` (waiting for them) and ``network``.
    """

    table: pd.DataFrame
    tracks: Tracks
    counts: dict[str, int]
    policy: QualityPolicy
    seconds: dict[str, float] = field(default_factory=dict)


class Classifier:
    """A network ready to classify any number of files.

    Parameters
    ----------
    weights : str, optional
        Name of the weights; the shipped default if not given.
    backend : {"onnx", "torch"}
        What runs the network.
    device : {"auto", "cuda", "mps", "cpu"}
        Where.
    batch_size : int, optional
        Windows at a time; 64 on the CPU and 1024 on a GPU by default.
    jobs : int, optional
        CPU threads; all cores by default.
    threshold : float
        A track whose best class is less probable than this is ``undetermined``.

    Raises
    ------
    SptError
        For unknown weights, backends or devices, a device that can't be used, damaged files, or
        numbers out of range.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        backend: str = "onnx",
        device: str = "auto",
        batch_size: int | None = None,
        jobs: int | None = None,
        threshold: float = DEFAULT_THRESHOLD,
    ) -> None:
        if not 0 <= threshold <= 1:
            raise SptError(f"the threshold is {threshold}; expected a probability, 0 to 1.")
        for name, value in (("--batch-size", batch_size), ("--jobs", jobs)):
            if value is not None and value < 1:
                raise SptError(f"{name} is {value}; expected at least 1.")
        self.weights: Weights = find_weights(weights)
        self.backend_name = backend
        self.backend = load_backend(self.weights, backend=backend, device=device, jobs=jobs)
        self.batch_size = batch_size or self.backend.batch_size
        self.threshold = threshold

    def classify(
        self,
        tracks: Tracks,
        policy: QualityPolicy | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Verdicts:
        """Classify every track.

        Parameters
        ----------
        tracks : Tracks
            Trajectories of one file.
        policy : QualityPolicy, optional
            What happens to gaps, branches and short tracks.
        progress : callable, optional
            Called with the number of windows done and their total.

        Returns
        -------
        Verdicts

        Raises
        ------
        SptError
            If not a single track can be classified; the message says why.
        """
        policy = policy or QualityPolicy()
        seconds = dict.fromkeys(("quality", "inputs", "network"), 0.0)
        started = time.perf_counter()
        segments = apply_policy(tracks, policy)
        require_some(segments, tracks)
        seconds["quality"] = time.perf_counter() - started
        probabilities, windows = self.probabilities(
            segments.points[["x", "y"]].to_numpy(np.float64),
            segments.offsets,
            progress=progress,
            seconds=seconds,
        )
        table = _table(tracks, segments, probabilities, windows, self)
        return Verdicts(table, tracks, dict(segments.counts), policy, seconds)

    def probabilities(
        self,
        positions: NDArray[np.float64],
        offsets: NDArray[np.int64],
        *,
        progress: Callable[[int, int], None] | None = None,
        seconds: dict[str, float] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return class probabilities of trajectories given as bare positions.

        Parameters
        ----------
        positions : numpy.ndarray, shape (n_points, 2)
            x and y of m trajectories, one after the other, in consecutive frames, in any unit.
        offsets : numpy.ndarray, shape (m + 1,)
            Trajectory *i* is ``positions[offsets[i]:offsets[i + 1]]``.
        progress : callable, optional
            Called with the number of windows done and their total.
        seconds : dict, optional
            Time is added to its keys ``inputs`` and ``network``.

        Returns
        -------
        probabilities : numpy.ndarray, shape (m, classes)
        windows : numpy.ndarray, shape (m,)
            Windows that each trajectory was classified in.
        """
        seconds = seconds if seconds is not None else {"inputs": 0.0, "network": 0.0}
        architecture = self.weights.architecture
        starts, stops, owner = place_windows(offsets, architecture.window)
        logits = np.empty((len(owner), len(architecture.classes)), np.float32)
        clock = time.perf_counter()
        for part, inputs in self._inputs(positions, starts, stops):
            now = time.perf_counter()
            seconds["inputs"] += now - clock
            logits[part] = self.backend.logits(inputs)
            clock = time.perf_counter()
            seconds["network"] += clock - now
            if progress is not None:
                progress(part.stop, len(owner))
        n_segments = len(offsets) - 1
        windows = np.bincount(owner, minlength=n_segments)
        return combine(logits, owner, n_segments), windows

    def _inputs(
        self,
        positions: NDArray[np.float64],
        starts: NDArray[np.int64],
        stops: NDArray[np.int64],
    ) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield batches of inputs, the next ones being prepared while the network works."""
        architecture = self.weights.architecture

        def prepare(part: slice) -> NDArray[np.float32]:
            return build_inputs(
                positions,
                starts[part],
                stops[part],
                window=architecture.window,
                kind=architecture.inputs,
            )

        parts = [
            slice(i, min(i + self.batch_size, len(starts)))
            for i in range(0, len(starts), self.batch_size)
        ]
        with ThreadPoolExecutor(_PREPARING_THREADS) as pool:
            waiting: list[tuple[slice, Future[NDArray[np.float32]]]] = []
            for part in parts:
                waiting.append((part, pool.submit(prepare, part)))
                if len(waiting) > 2 * _PREPARING_THREADS:
                    done, future = waiting.pop(0)
                    yield done, future.result()
            for done, future in waiting:
                yield done, future.result()


def _table(
    tracks: Tracks,
    segments: Segments,
    probabilities: NDArray[np.float64],
    windows: NDArray[np.int64],
    classifier: Classifier,
) -> pd.DataFrame:
    import pandas as pd

    classes = np.asarray(classifier.weights.architecture.classes, dtype=object)
    summary = segments.summary
    index = summary["segment_id"].to_numpy()
    known = index >= 0
    p = np.full((len(summary), len(classes)), np.nan)
    p[known] = probabilities[index[known]]
    order = np.argsort(-probabilities, axis=1, kind="stable")
    best = np.full(len(summary), None, dtype=object)
    second = best.copy()
    best[known] = classes[order[index[known], 0]]
    second[known] = classes[order[index[known], 1]]
    top = np.full(len(summary), np.nan)
    top[known] = probabilities[index[known], order[index[known], 0]]
    status = summary["status"].to_numpy(dtype=object).copy()
    reason = summary["reason"].to_numpy(dtype=object).copy()
    undetermined = known & (status == "") & (top < classifier.threshold)
    status[undetermined] = "undetermined"
    for i in np.flatnonzero(undetermined):
        reason[i] = f"best class {top[i]:.2f}, below {classifier.threshold:g} (--threshold)"
    status[known & (status == "")] = "classified"
    many = np.zeros(len(summary), dtype=bool)
    many[known] = windows[index[known]] > 1
    for i in np.flatnonzero(many):
        said = f"{windows[index[i]]} overlapping windows combined"
        reason[i] = f"{reason[i]}; {said}" if reason[i] else said
    columns: dict[str, Any] = {
        "file": tracks.source.name,
        "particle": summary["particle"].to_numpy(),
    }
    if tracks.labels is not None:
        columns["label"] = summary["particle"].map(tracks.labels).to_numpy()
    columns |= {
        **{
            name: summary[name].array
            for name in ("segment", "n_points", "first_frame", "last_frame", "n_gaps")
        },
        "status": status,
        "reason": reason,
        "class": best,
        "probability": top,
        "runner_up": second,
        **{f"p_{name}": p[:, i] for i, name in enumerate(classes)},
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(summary)))
