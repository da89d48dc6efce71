"""What the network's outputs mean: probabilities of the classes, α, and the recording they share.

The outputs hold some 200 numbers for each window, and their probabilities as many doubles. So they
are worked out for some thousand trajectories at a time, in a core's cache and by all cores, and
only the few numbers that are kept of each trajectory ever exist for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.resandi.architecture import alpha_quantiles
from spt_explain.resandi.recording import (
    Recording,
    class_densities,
    estimate_recording,
    normalised,
    sampling_step,
)
from spt_explain.resandi.windows import average
from spt_explain.threads import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import Architecture
    from spt_explain.resandi.calibration import Calibration
    from spt_explain.resandi.classifier import WindowOutputs

_SLICE = 4096
"""Windows at a time, about."""


@dataclass(frozen=True)
class Prediction:
    """What the network says of bare positions.

    Attributes
    ----------
    probabilities : numpy.ndarray, shape (m, classes)
        Calibrated probabilities of the classes.
    alpha : numpy.ndarray, shape (m, 3), or None
        5 %, 50 % and 95 % quantiles of the anomalous exponent; None if the weights don't say it.
    windows : numpy.ndarray, shape (m,)
        Windows that each trajectory was classified in.
    recording : Recording or None
        Noise and blur that the trajectories show together; None if the weights don't tell them.
    """

    probabilities: NDArray[np.float64]
    alpha: NDArray[np.float64] | None
    windows: NDArray[np.int64]
    recording: Recording | None = None


@dataclass(frozen=True)
class Judge:
    """Turns outputs into predictions.

    Attributes
    ----------
    architecture : Architecture
        Of the network.
    calibration : Calibration
        Of its logits and quantiles.
    shares : numpy.ndarray, shape (conditions,)
        Shares of the conditions in the training data.
    alone : bool
        Whether each trajectory is judged without what the others show.
    jobs : int or None
        Threads; one for each core by default.
    """

    architecture: Architecture
    calibration: Calibration
    shares: NDArray[np.float64]
    alone: bool = False
    jobs: int | None = None

    def predict(
        self, runs: Sequence[WindowOutputs], recording: Recording | None = None
    ) -> Prediction:
        """Return what the outputs mean.

        Parameters
        ----------
        runs : sequence of WindowOutputs
            Of trajectories of one recording, those of the first one first.
        recording : Recording, optional
            Noise and blur, where they are known; else these trajectories tell.
        """
        together = not self.alone and self.architecture.n_conditions > 1
        if together and recording is None:
            recording = self._recording(runs)
        known = recording if together else None
        n_segments = sum(ran.n_segments for ran in runs)
        probabilities = np.zeros((n_segments, len(self.architecture.classes)))
        alpha = np.zeros((n_segments, 3)) if self.architecture.alpha_levels else None
        windows = np.zeros(n_segments, np.int64)

        def judge(part: tuple[int, WindowOutputs]) -> None:
            first, ran = part
            rows = slice(first, first + ran.n_segments)
            windows[rows] = np.bincount(ran.owner, minlength=ran.n_segments)
            if alpha is not None:
                alpha[rows] = self._alpha(ran)
            probabilities[rows] = self._probabilities(ran, known)

        for _ in in_order(judge, _slices(runs), jobs=self.jobs):
            pass
        return Prediction(probabilities, alpha, windows, known)

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self.architecture.classes), self.architecture.n_conditions

    def joint_logits(self, ran: WindowOutputs) -> NDArray[np.floating]:
        """Return each window's calibrated logits of class and condition, (n, logits)."""
        logits = ran.outputs[:, : self.architecture.n_logits]
        return self.calibration.logits(logits, _points(ran))

    def _recording(self, runs: Sequence[WindowOutputs]) -> Recording:
        """Return the conditions that trajectories show together, estimated from some of many."""
        every = sampling_step(sum(ran.n_segments for ran in runs))

        def sampled(part: tuple[int, WindowOutputs]) -> NDArray[np.floating]:
            first, ran = part
            return self._joint(_some(ran, np.arange(-first % every, ran.n_segments, every)))

        parts = list(in_order(sampled, _slices(runs), jobs=self.jobs))
        joint = np.concatenate(parts) if parts else np.zeros((0, *self._shape))
        return estimate_recording(joint, self.shares, self.architecture, jobs=self.jobs)

    def _exponentials(self, ran: WindowOutputs) -> NDArray[np.float32]:
        """Return what each window's probabilities are in proportion to, (n, classes · conditions).

        In single precision: 192 exponentials for each window are most of the work, and their error,
        1e-6, is far below that of any network's output.
        """
        temperature = self.calibration.temperatures(_points(ran)).astype(np.float32)
        x = ran.outputs[:, : self.architecture.n_logits] / temperature[:, None]
        x -= x.max(axis=1, keepdims=True, initial=-np.inf)
        found: NDArray[np.float32] = np.exp(x, out=x)
        return found

    def _joint(self, ran: WindowOutputs) -> NDArray[np.floating]:
        """Return the probabilities of class and condition, (m, classes, conditions)."""
        p = self._exponentials(ran)
        p /= p.sum(axis=1, keepdims=True)
        return average(p, ran.owner, ran.n_segments).reshape(ran.n_segments, *self._shape)

    def _probabilities(
        self, ran: WindowOutputs, recording: Recording | None
    ) -> NDArray[np.float64]:
        """Return the probabilities of the classes, (m, classes)."""
        p = self._exponentials(ran)
        density = class_densities(p.reshape(len(p), *self._shape), self.shares, recording)
        density /= p.sum(axis=1, keepdims=True)
        return normalised(average(density, ran.owner, ran.n_segments))

    def _alpha(self, ran: WindowOutputs) -> NDArray[np.floating]:
        quantiles = alpha_quantiles(ran.outputs[:, self.architecture.n_logits :])
        quantiles = self.calibration.alpha(quantiles, _points(ran))
        return average(quantiles, ran.owner, ran.n_segments)


def _points(ran: WindowOutputs) -> NDArray[np.int64]:
    return ran.stops - ran.starts


def _slices(runs: Sequence[WindowOutputs]) -> Iterator[tuple[int, WindowOutputs]]:
    """Yield some trajectories at a time, and the number of the first among all."""
    before = 0
    for ran in runs:
        # Long trajectories have many windows each: each slice begins with that of every n-th one.
        firsts = np.unique(ran.owner[::_SLICE])
        bounds = np.append(firsts, ran.n_segments)
        edges = np.searchsorted(ran.owner, bounds).tolist()
        for i, (first, stop) in enumerate(pairwise(bounds.tolist())):
            rows = slice(edges[i], edges[i + 1])
            yield before + first, _take(ran, rows, ran.owner[rows] - first, stop - first)
        before += ran.n_segments


def _some(ran: WindowOutputs, chosen: NDArray[np.int64]) -> WindowOutputs:
    """Return the windows of some trajectories, which are numbered anew."""
    number = np.full(ran.n_segments, -1)
    number[chosen] = np.arange(len(chosen))
    owner = number[ran.owner]
    rows = owner >= 0
    return _take(ran, rows, owner[rows], len(chosen))


def _take(
    ran: WindowOutputs, rows: slice | NDArray[np.bool_], owner: NDArray[np.int64], n_segments: int
) -> WindowOutputs:
    return replace(
        ran,
        n_segments=n_segments,
        starts=ran.starts[rows],
        stops=ran.stops[rows],
        owner=owner,
        outputs=ran.outputs[rows],
        taps=[],
    )
