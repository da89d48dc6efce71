"""Grad-CAM from the forward pass alone: what each node of the last stage adds to each class.

The model gives, beside its outputs, what every node of the last stage adds to each logit
(`resandi.graph.NODES`); see `resandi.gradcam` for why that is Grad-CAM (Bae, Baek & Jeong, Eqs. 1
and 2) without a backward pass. Nothing here runs the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.resandi.graph import NODES
from spt_explain.resandi.windows import softmax
from spt_explain.threads import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from spt_explain.explain.options import ScoreOf
    from spt_explain.resandi.classifier import Classifier, WindowOutputs
    from spt_explain.resandi.recording import Recording

STRIDE = 32
"""Frames of the input for each node of the last stage."""
_FRAMES_AT_ONCE = 1 << 17
_WINDOWS_AT_ONCE = 1 << 10
"""Most frames of padded input, and windows, that a thread works on."""


@dataclass(frozen=True)
class Maps:
    """Scores of the nodes of one layer, for windows of one padded length.

    Attributes
    ----------
    windows : numpy.ndarray, shape (n,)
        Which windows.
    padded : int
        Length they are padded to, in frames, before their start.
    stride : int
        Frames of each node: node *i* stands for frames ``i * stride … (i + 1) * stride - 1`` of
        the padded window.
    scores, contrast : numpy.ndarray, shape (n, nodes)
        For the class that is explained, and for it against another.
    """

    windows: NDArray[np.int64]
    padded: int
    stride: int
    scores: NDArray[np.float64]
    contrast: NDArray[np.float64]


def log_weights(classifier: Classifier, recording: Recording | None) -> NDArray[np.float64]:
    """Return what a recording adds to the joint logits, (conditions,); zeros without one."""
    n = classifier.weights.architecture.n_conditions
    if recording is None:
        return np.zeros(n)
    seen = classifier.shares > 0
    ratio = recording.shares / np.where(seen, classifier.shares, 1.0)
    return np.log(np.maximum(np.where(seen, ratio, 0.0), 1e-12))


def class_logits(joint: NDArray[np.floating], weights: NDArray[np.float64]) -> NDArray[np.floating]:
    """Return the classes' logits, (n, classes), of calibrated joint logits under `log_weights`."""
    return _condition_shares(joint, weights)[0]


def _condition_shares(
    joint: NDArray[np.floating], weights: NDArray[np.float64]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the classes' logits, (n, classes), and their derivatives, (n, classes, conditions).

    In the precision of `joint`. The derivatives are with respect to the joint logits: the
    conditions' shares within each class.
    """
    shares = joint.reshape(len(joint), -1, len(weights)) + weights.astype(joint.dtype)
    top = shares.max(axis=2, keepdims=True)
    shares -= top
    np.exp(shares, out=shares)
    total = shares.sum(axis=2, keepdims=True)
    shares /= total
    return (np.log(total) + top)[..., 0], shares


def grad_cam_maps(
    classifier: Classifier,
    ran: WindowOutputs,
    recording: Recording | None,
    target: NDArray[np.int64],
    against: NDArray[np.int64],
    *,
    of: ScoreOf = "log-odds",
) -> list[Maps]:
    """Return the Grad-CAM scores of the last stage's nodes.

    Parameters
    ----------
    classifier : Classifier
        With the tap ``nodes``.
    ran : WindowOutputs
        What it gave.
    recording : Recording or None
        Conditions that the verdicts were given under.
    target, against : numpy.ndarray, shape (m,)
        For each trajectory the class that is explained, and the one of the contrast.
    of : {"log-odds", "probability", "logit"}
        What the score is of; see `ScoreOf`. The contrast is of the difference of the two classes'
        logits, and of the difference of their probabilities where the score is of a probability.

    Returns
    -------
    list of Maps
        Of the logit, a trajectory's scores sum to the calibrated logit of its class less what the
        biases add.
    """
    shape = classifier.weights.architecture
    extra = log_weights(classifier, recording)
    lengths = ran.stops - ran.starts
    padded = shape.padded_length(lengths)
    target, against = target[ran.owner], against[ran.owner]
    eye = np.eye(len(shape.classes))

    def scored(job: tuple[NDArray[np.int64], NDArray[np.float32]]) -> Maps:
        part, nodes = job
        some = replace(ran, starts=ran.starts[part], stops=ran.stops[part],
                       outputs=ran.outputs[part])  # fmt: skip
        # in single precision, as the network's outputs are
        joint = classifier.joint_logits(some).astype(np.float32)
        logits, shares = _condition_shares(joint, extra)
        p = softmax(logits.astype(np.float64))
        wanted = directions(p, target[part], of)
        contrast = eye[target[part]] - eye[against[part]]
        if of == "probability":
            contrast = wanted - directions(p, against[part], of)
        # of the two with respect to the joint logits, of which `nodes` has the parts
        scale = 1 / classifier.calibration.temperatures(lengths[part])
        both = (np.stack([wanted, contrast], axis=1) * scale[:, None, None]).astype(np.float32)
        slopes = both[..., None] * shares[:, None]
        scores = (slopes.reshape(len(part), 2, -1) @ nodes).astype(np.float64)
        return Maps(part, int(padded[part[0]]), STRIDE, scores[:, 0], scores[:, 1])

    return list(in_order(scored, _pieces(ran, padded), jobs=classifier.jobs))


def _slices(n: int, padded: int) -> Iterator[slice]:
    """Yield slices of n windows of a padded length, for a thread each."""
    size = max(1, min(_FRAMES_AT_ONCE // padded, _WINDOWS_AT_ONCE))
    for first in range(0, n, size):
        yield slice(first, first + size)


def _pieces(
    ran: WindowOutputs, padded: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield some windows at a time, and what each node adds to their logits."""
    for part, taps in ran.taps:
        for rows in _slices(len(part), int(padded[part[0]])):
            yield part[rows], taps[NODES][rows]


def directions(
    p: NDArray[np.float64], target: NDArray[np.int64], of: ScoreOf
) -> NDArray[np.float64]:
    """Return the derivative of what is explained with respect to the classes' logits.

    Parameters
    ----------
    p : numpy.ndarray, shape (n, classes)
        Probabilities.
    target : numpy.ndarray, shape (n,)
        The class that is explained.
    of : {"log-odds", "probability", "logit"}
        See `ScoreOf`.

    Returns
    -------
    numpy.ndarray, shape (n, classes)
    """
    own: NDArray[np.float64] = np.eye(p.shape[1])[target]
    if of == "logit":
        return own
    # what the other classes have among themselves: defined even where p of the target is 1
    rest = p * (1 - own)
    rest /= np.maximum(rest.sum(axis=1, keepdims=True), 1e-300)
    towards: NDArray[np.float64] = own - rest
    if of == "log-odds":
        return towards
    slope: NDArray[np.float64] = (p * own).sum(axis=1) * (p * (1 - own)).sum(axis=1)
    found: NDArray[np.float64] = slope[:, None] * towards
    return found


@dataclass(frozen=True)
class FrameScores:
    """Scores of every frame of every trajectory, one after the other.

    Attributes
    ----------
    score, contrast : numpy.ndarray, shape (n_points,)
        Mean over the windows that a frame lies in.
    smooth : numpy.ndarray, shape (n_points,)
        The score interpolated between the middles of nodes, to rank the frames of one node.
    node : numpy.ndarray, shape (n_points,)
        Node that the frame lies in, 0 the first on the trajectory; on trajectories of several
        windows, pieces as long as a node.
    nodes : numpy.ndarray, shape (m,)
        Nodes on each trajectory.
    """

    score: NDArray[np.float64]
    contrast: NDArray[np.float64]
    smooth: NDArray[np.float64]
    node: NDArray[np.int64]
    nodes: NDArray[np.int64]


def to_frames(
    maps: list[Maps],
    ran: WindowOutputs,
    offsets: NDArray[np.int64],
    *,
    smooth: bool = True,
    jobs: int | None = None,
) -> FrameScores:
    """Give each frame the score of the node it lies in.

    Parameters
    ----------
    maps : list of Maps
    ran : WindowOutputs
        Where the windows lie.
    offsets : numpy.ndarray, shape (m + 1,)
        Trajectory *i* is rows ``offsets[i]:offsets[i + 1]``.
    smooth : bool
        Whether the smooth score is wanted; else it is the score.
    jobs : int, optional
        Threads; one for each core by default.

    Returns
    -------
    FrameScores
    """
    n_points = int(offsets[-1]) - int(offsets[0])
    sums = np.zeros((3 if smooth else 2, n_points))
    overlap = bool((np.diff(ran.owner) == 0).any())
    count = np.zeros(n_points) if overlap else np.ones(n_points)
    node = np.zeros(n_points, np.int64)

    def spread(one: Maps) -> None:
        rows, values, at = _of_frames(one, ran, int(offsets[0]), smooth=smooth)
        node[rows] = at
        if not overlap:  # each row is of one window, so threads don't meet
            for total, column in zip(sums, values, strict=True):
                total[rows] = column
            return
        for total, column in zip(sums, values, strict=True):
            total += np.bincount(rows, column, n_points)
        np.add(count, np.bincount(rows, minlength=n_points), out=count)

    for _ in in_order(spread, _split(maps), jobs=1 if overlap else jobs):
        pass
    lengths = np.diff(offsets)
    if overlap:
        stride = maps[0].stride if maps else STRIDE
        many = np.repeat(np.bincount(ran.owner, minlength=len(lengths)) > 1, lengths)
        within = np.arange(n_points) - np.repeat(offsets[:-1] - offsets[0], lengths)
        node[many] = within[many] // stride
    nodes = np.zeros(len(lengths), np.int64)
    filled = lengths > 0
    nodes[filled] = node[(offsets[1:] - offsets[0] - 1)[filled]] + 1  # they ascend
    score, contrast, *smoothed = sums / np.maximum(count, 1) if overlap else sums
    return FrameScores(score, contrast, smoothed[0] if smooth else score, node, nodes)


def _split(maps: list[Maps]) -> Iterator[Maps]:
    """Yield maps of fewer windows."""
    for one in maps:
        for rows in _slices(len(one.windows), one.padded):
            yield Maps(
                one.windows[rows], one.padded, one.stride, one.scores[rows], one.contrast[rows]
            )


def _of_frames(
    one: Maps, ran: WindowOutputs, before: int, *, smooth: bool
) -> tuple[NDArray[np.int64], list[NDArray[np.float64]], NDArray[np.int64]]:
    """Return the rows of the frames of some windows, their scores, and their nodes.

    The scores are score, contrast, and if it is wanted the score between the middles of nodes.
    """
    starts, stops = ran.starts[one.windows], ran.stops[one.windows]
    lengths = stops - starts
    which = np.repeat(np.arange(len(starts)), lengths)
    # of each frame, counted over all windows: its row of the table, and its column of the input
    number, firsts = np.arange(len(which)), np.cumsum(lengths) - lengths
    rows = number + (starts - firsts - before)[which]
    column = number + (one.padded - lengths - firsts)[which]
    at = column // one.stride
    first = (one.padded - lengths) // one.stride
    row = which * one.scores.shape[1]
    flat = one.scores.ravel()
    values = [flat[row + at], one.contrast.ravel()[row + at]]
    if smooth:
        place = (column + 0.5) / one.stride - 0.5  # in nodes, 0 in the middle of the first
        low = np.clip(np.floor(place).astype(np.int64), 0, one.scores.shape[1] - 1)
        low = np.maximum(low, first[which])  # not from nodes before the trajectory
        high = np.minimum(low + 1, one.scores.shape[1] - 1)
        share = np.clip(place - low, 0, 1)
        between = flat[row + low]
        between += share * (flat[row + high] - between)
        values.append(between)
    return rows, values, at - first[which]
