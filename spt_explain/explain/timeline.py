"""Time-resolved verdicts: what a long track looks like in a sliding window, and where it changes.

A window of a track that never changes need not look like the track: most windows of a SubATTM track
lie within one diffusivity and look Brownian, late windows of a SubSBM track too. So windows are
compared with what windows of each class look like (`spt_explain.explain.likeness`): if p(k) are the
network's probabilities of the classes k in a window, and L(c, k) is the mean p(k) in windows of
tracks of class c, the evidence for class c is log Σₖ p(k) L(c, k), in nats. Windows overlap, so
each counts for the share of its width that it adds: stride / width.

A track is cut into stretches of one class each so that the sum of the evidence, less a penalty for
each change, is as large as can be: optimal partitioning over all numbers and places of changes
(Jackson et al. 2005, doi:10.1109/LSP.2001.838216), exactly, by dynamic programming over the classes
(Viterbi 1967). So a change is marked only if it explains the windows better than any cut without it
by more than the penalty. The penalty grows with the square root of the number of independent
windows, as chance sums of evidence do, and from 1000 points on with the number itself: the waits of
SubCTRW and the regimes of SubATTM have no scale, so a longer track has longer ones that look like
another class.

Measured on simulated tracks (resandi-robust 2.0; 160 to 400 of one mechanism, 56 to 280 that switch
between any two halfway; ``benchmarks/timeline.py`` with 50 tracks; with 400 points, 3 pairs and
seed 200; with 2000 points, 20 tracks, 1 pair, noise 0.5 and seed 300):

====== ===== ============ ===== ===== =====
points 1/SNR false alarms found local other
====== ===== ============ ===== ===== =====
400    0     0.0 %        38 %   0 %  48 %
400    0.5   0.0 %        35 %   0 %  45 %
1000   0     0.8 %        75 %   0 %  95 %
1000   0.5   0.8 %        61 %   0 %  78 %
1000   1.0   1.5 %        56 %   3 %  70 %
2000   0.5   0.0 %        64 %   8 %  80 %
====== ===== ============ ===== ===== =====

False alarms are tracks of one mechanism with a change marked, at most 6 % of any class; found are
changes marked within 100 frames of the true one. Between two of SubATTM, SubSBM, SupSBM and BM, all
of which look Brownian in a window ("local"), hardly any change is found, and in tracks far longer
than 1000 points none that lasts for much less than a fifth of the track: no mark proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.explain.likeness import likeness_at
from spt_explain.explain.windows import KEYS, track_offsets
from spt_explain.resandi.windows import place_windows
from spt_explain.tracks.runs import offsets_of, run_starts

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from spt_explain.resandi.classifier import Classifier
    from spt_explain.resandi.recording import Recording
    from spt_explain.tracks.runs import Floats, Ints

WIDTH = 200
"""Points of a window: the network is right in nine of ten tracks of this length."""
STRIDE_SHARE = 0.25
"""Share of the width by which windows are apart."""
PENALTY = 2.5
"""Evidence, in nats, that a change must bring in a track of `REFERENCE` independent windows."""
REFERENCE = 5.0
FLOOR = 1e-3
"""Probabilities below this count as this: one window never decides."""


@dataclass(frozen=True, eq=False)
class Changes:
    """How tracks are cut into stretches of one class, by window.

    Attributes
    ----------
    stretch : numpy.ndarray of int64, shape (w,)
        Class of the stretch that each window is in.
    change : numpy.ndarray of bool, shape (w,)
        Whether a stretch other than the first of its track begins with this window.
    gain : numpy.ndarray, shape (w,)
        Evidence for that change, in nats: how much better two classes explain the stretches
        before and after than one class does both. NaN without a change.
    """

    stretch: Ints
    change: Any
    gain: Floats


def timeline_table(
    frames: pd.DataFrame,
    classifier: Classifier,
    *,
    recording: Recording | None = None,
    width: int = WIDTH,
    stride: int | None = None,
    shortest: int | None = None,
    penalty: float = PENALTY,
    likeness: Floats | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Classify long tracks in a sliding window, and mark where their class changes.

    Parameters
    ----------
    frames : pandas.DataFrame
        A row a frame, those of a track together and in order: ``file, particle, segment, frame,
        x, y``. Of one recording.
    classifier : Classifier
        The network.
    recording : Recording, optional
        Noise and blur of the recording, as found from all its tracks (`Verdicts.recording`): the
        windows are judged under them. Without it, they are estimated from the windows alone,
        which come from the long tracks only and many times over. No effect on weights that don't
        tell them.
    width : int
        Points of a window.
    stride : int, optional
        Points between windows, at most; a quarter of the width by default.
    shortest : int, optional
        Points of a track that is long enough; two widths by default.
    penalty : float
        Evidence that a change must bring, in nats; larger for fewer false alarms. See this module.
    likeness : numpy.ndarray, shape (classes, classes), optional
        What windows of each class (row) look like; `spt_explain.explain.likeness` by default.
    progress : callable, optional
        Called with the number of windows done and their total.

    Returns
    -------
    pandas.DataFrame
        A row a window, evenly spaced from the first to the last frame of each long track:
        ``file, particle, segment, window`` (from 0), ``first_frame, last_frame, class`` (the most
        probable in this window), ``p_<class>``…, ``stretch`` (class of the stretch that the window
        is in), ``change`` (a new stretch begins: the class changes, and the change passes the
        test), ``change_frame`` (where about: half-way between the middles of this window and the
        one before; NaN without a change), ``gain`` (evidence for it in nats). Empty if no track is
        long enough.

    Raises
    ------
    ValueError
        If columns are missing, or arguments out of range.
    """
    import pandas as pd

    stride = max(1, round(width * STRIDE_SHARE)) if stride is None else stride
    shortest = 2 * width if shortest is None else shortest
    architecture = classifier.weights.architecture
    if not 2 <= width <= architecture.window or not 1 <= stride <= width or penalty < 0:
        raise ValueError(
            f"width {width}, stride {stride}, penalty {penalty:g}: expected a width of 2 to "
            f"{architecture.window}, a stride of 1 to the width, a penalty of 0 or more"
        )
    classes = architecture.classes
    offsets = track_offsets(frames, "frame", "x", "y")
    long = np.flatnonzero(np.diff(offsets) >= max(shortest, width))
    starts, size, owner = _place(offsets, long, width, stride)
    if len(starts):
        probabilities, noise = _probabilities(
            frames[["x", "y"]].to_numpy(np.float64), starts, size, classifier, recording, progress
        )
    else:
        probabilities, noise = np.zeros((0, len(classes))), None
    if likeness is None:
        likeness = likeness_at(noise, classes)
    found = find_changes(probabilities, owner, likeness, weight=stride / width, penalty=penalty)
    frame = frames["frame"].to_numpy()
    name = np.asarray(classes, dtype=object)
    first, last = frame[starts], frame[starts + size - 1]
    middle = (first + last) / 2
    between = middle.copy()
    between[1:] = (middle[1:] + middle[:-1]) / 2
    columns: dict[str, Any] = {key: frames[key].array.take(starts) for key in KEYS}
    begin = np.flatnonzero(run_starts(owner))
    columns["window"] = np.arange(len(owner)) - np.repeat(begin, np.diff(begin, append=len(owner)))
    columns |= {"first_frame": first, "last_frame": last}
    columns["class"] = name[probabilities.argmax(axis=1)] if len(starts) else name[:0]
    columns |= {f"p_{c}": probabilities[:, i] for i, c in enumerate(classes)}
    columns["stretch"] = name[found.stretch]
    columns["change"] = found.change
    columns["change_frame"] = np.where(found.change, between, np.nan)
    columns["gain"] = found.gain
    return pd.DataFrame(columns)


def _place(offsets: Ints, long: Ints, width: int, stride: int) -> tuple[Ints, Ints, Ints]:
    """Return the first row and the points of each window, and which of the long tracks it is of."""
    length = np.diff(offsets)[long]
    own = offsets_of(length)
    starts, stops, owner = place_windows(own, width, stride)
    if not len(long):
        return starts[:0], stops[:0], owner[:0]
    return starts + (offsets[:-1][long] - own[:-1])[owner], stops - starts, owner


def _probabilities(
    positions: Floats,
    starts: Ints,
    size: Ints,
    classifier: Classifier,
    recording: Recording | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Floats, float | None]:
    """Return the windows' probabilities under the recording's conditions, and its noise."""
    offsets = offsets_of(size)
    rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], size)
    told = classifier.predict(positions[rows], offsets, recording=recording, progress=progress)
    return told.probabilities, None if told.recording is None else told.recording.noise


def find_changes(
    probabilities: Floats,
    owner: Ints,
    likeness: Floats,
    *,
    weight: float,
    penalty: float = PENALTY,
    floor: float = FLOOR,
) -> Changes:
    """Cut tracks into stretches of one class; see this module.

    Parameters
    ----------
    probabilities : numpy.ndarray, shape (w, k)
        Probabilities of the classes in each window.
    owner : numpy.ndarray of int64, shape (w,)
        Which track each window is of; those of a track follow one another, in order of time.
    likeness : numpy.ndarray, shape (k, k)
        What windows of each class (row) look like.
    weight : float
        What a window counts for: the share of its width that it adds to the windows before.
    penalty : float
        Evidence in nats that a change must bring, in a track of `REFERENCE` independent windows;
        with the square root of their number in shorter ones, with their number in longer ones.
    floor : float
        Least likelihood of a window under a class.

    Returns
    -------
    Changes

    Raises
    ------
    ValueError
        If the likeness doesn't fit the probabilities.
    """
    n, k = probabilities.shape
    if likeness.shape != (k, k):
        raise ValueError(f"likeness has the shape {likeness.shape}; expected {(k, k)}")
    evidence = weight * np.log(np.maximum(probabilities @ likeness.T, floor))
    begin = np.flatnonzero(run_starts(owner)) if n else np.zeros(0, np.int64)
    counts = np.diff(begin, append=n)
    independent = counts * weight / REFERENCE
    cost = penalty * np.maximum(np.sqrt(independent), independent)
    stretch = _cut(evidence, begin, counts, cost)
    change = np.zeros(n, bool)
    change[1:] = (stretch[1:] != stretch[:-1]) & (owner[1:] == owner[:-1])
    return Changes(stretch, change, _gains(evidence, owner, stretch, change))


def _cut(evidence: Floats, begin: Ints, counts: Ints, cost: Floats) -> Ints:
    """Return each window's class on the best path, the tracks side by side."""
    n, k = evidence.shape
    stretch = np.zeros(n, np.int64)
    order = np.argsort(-counts, kind="stable")
    begin, counts, cost = begin[order], counts[order], cost[order]
    most = int(counts.max(initial=0))
    came = np.zeros((n, k), np.int16)  # class of the window before
    score = evidence[begin].copy()
    for i in range(1, most):
        m = int(np.searchsorted(-counts, -i))  # tracks with more than i windows
        before = score[:m]
        best = before.argmax(axis=1)
        jump = before[np.arange(m), best] - cost[:m]
        stays = before >= jump[:, None]
        came[begin[:m] + i] = np.where(stays, np.arange(k), best[:, None])
        score[:m] = np.where(stays, before, jump[:, None]) + evidence[begin[:m] + i]
    at = score.argmax(axis=1)
    for i in range(most - 1, -1, -1):
        m = int(np.searchsorted(-counts, -i))
        rows = begin[:m] + i
        stretch[rows] = at[:m]
        at[:m] = came[rows, at[:m]]
    return stretch


def _gains(evidence: Floats, owner: Ints, stretch: Ints, change: Any) -> Floats:
    """Return the evidence for each change, (w,)."""
    gain = np.full(len(owner), np.nan)
    if not change.any():
        return gain
    first = np.flatnonzero(run_starts(owner, stretch))
    total = np.add.reduceat(evidence, first, axis=0)
    own = total[np.arange(len(first)), stretch[first]]
    later = np.flatnonzero(change[first])
    apart = own[later] + own[later - 1]
    gain[first[later]] = apart - (total[later] + total[later - 1]).max(axis=1)
    return gain
