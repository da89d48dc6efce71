"""What the tracks of one recording show together: its noise and its motion blur.

One short track hardly shows how noisy it is, and a network that does not know takes noise for
anti-persistence and blur for persistence. All tracks of a recording went through one microscope.
So the network tells class and conditions of a track jointly, the shares of the conditions in the
recording are estimated from all its tracks (empirical Bayes, by expectation maximisation: Dempster,
Laird & Rubin 1977), and each track's probabilities are those under these shares. The classes keep
equal prior probabilities: how common they are in the recording never enters a track's verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.threads import core_count, thread_pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import Architecture

PRIOR_TRACKS = 20.0
"""Tracks that the conditions of the training data count for: a few tracks alone move little."""
MOST_TRACKS = 50_000
"""Tracks that the conditions are estimated from, at most: every n-th of more. With 5,000 of 40,000
tracks of 10-19 points at 1/SNR = 0.5, shares that stray to other conditions make the probabilities
1.9 points too careful; with all of them, 1.4."""
_CYCLES, _LAST_CYCLES = 333, 30
"""Extrapolations at most, and where some of the tracks have shown the way already: with 10,000
tracks of 10-49 points, 100 steps and 1000 give the same accuracy and calibration to 0.1 points."""
_BLOCK, _BUNDLE = 2048, 4096
"""Tracks that are read from memory once in an iteration, and those a thread has at a time."""
_ENOUGH = 3e-6
_SOME = 5000


@dataclass(frozen=True, eq=False)
class Recording:
    """Conditions of a recording.

    Attributes
    ----------
    shares : numpy.ndarray, shape (conditions,)
        Share of the tracks under each condition: noise levels, and exposures within each.
    noise : float
        Mean 1/SNR: standard deviation of a position's error, in units of a displacement's.
    exposure : float
        Mean share of the frame over which positions are averaged.
    """

    shares: NDArray[np.float64]
    noise: float
    exposure: float


def training_shares(architecture: Architecture, card: dict[str, Any]) -> NDArray[np.float64]:
    """Return the shares of the conditions in the training data, from the card; else all alike.

    Raises
    ------
    ValueError
        If the card holds something else.
    """
    n = architecture.n_conditions
    values = card.get("condition_shares")
    if values is None:
        return np.full(n, 1 / n)
    shares = np.asarray(values, np.float64)
    if shares.shape != (n,) or not np.isfinite(shares).all() or (shares < 0).any():
        raise ValueError(f"condition_shares: expected {n} numbers, none below 0")
    if shares.sum() <= 0:
        raise ValueError("condition_shares: expected some above 0")
    found: NDArray[np.float64] = shares / shares.sum()
    return found


def sampling_step(n_tracks: int) -> int:
    """Return n where the conditions are estimated from every n-th of so many tracks."""
    return max(1, -(-n_tracks // MOST_TRACKS))


def estimate_recording(
    joint: NDArray[np.floating],
    shares: NDArray[np.float64],
    architecture: Architecture,
    *,
    jobs: int | None = None,
) -> Recording:
    """Estimate the conditions of a recording from all its tracks.

    Parameters
    ----------
    joint : numpy.ndarray, shape (m, classes, conditions)
        Probabilities of each track's class and condition, as the network tells them.
    shares : numpy.ndarray, shape (conditions,)
        Shares of the conditions in the training data.
    architecture : Architecture
        Which conditions they are.
    jobs : int, optional
        Threads; one for each core by default. They do not change the result.

    Returns
    -------
    Recording
    """
    # the likelihoods of class and condition: what the training data's shares are divided out of
    ratio = joint[:: sampling_step(len(joint))] * _inverse(shares)
    n, n_classes, n_conditions = ratio.shape
    flat = ratio.reshape(n, n_classes * n_conditions)
    state = np.concatenate([np.full(n_classes, 1 / n_classes), shares])
    # some of the tracks find their way to near the end, where each step of all costs ten times more
    cycles = _CYCLES
    if n > 2 * _SOME:
        state = _most_probable(flat[:: -(-n // _SOME)], state, shares, jobs, cycles)
        cycles = _LAST_CYCLES
    state = _most_probable(flat, state, shares, jobs, cycles)
    q = state[n_classes:]
    noise, exposure = architecture.condition_values()
    return Recording(q, float(q @ noise), float(q @ exposure))


def _most_probable(
    ratio: NDArray[np.float64],
    state: NDArray[np.float64],
    shares: NDArray[np.float64],
    jobs: int | None,
    cycles: int,
) -> NDArray[np.float64]:
    """Return fractions of the classes and shares of the conditions, one after the other.

    Parameters
    ----------
    ratio : numpy.ndarray, shape (m, classes · conditions)
        Likelihoods of the tracks, up to a factor.
    state : numpy.ndarray, shape (classes + conditions,)
        Where to begin.
    shares : numpy.ndarray, shape (conditions,)
        Of the training data: what `PRIOR_TRACKS` are like.
    jobs : int or None
        Threads.
    cycles : int
        Of `_fixed_point`, at most.
    """
    n, n_conditions = len(ratio), len(shares)
    if not n:
        return state
    n_classes = len(state) - n_conditions
    bundles = [ratio[i : i + _BUNDLE] for i in range(0, n, _BUNDLE)]
    with thread_pool(min(jobs or core_count(), len(bundles))) as pool:
        apply = pool.map if len(bundles) > 1 else map

        def maximise(state: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
            """Return the next state of expectation maximisation, and how good this one was."""
            fractions, q = state[:n_classes], state[n_classes:]
            prior = (fractions[:, None] * q).ravel()
            parts = list(apply(_expected, bundles, repeat(prior)))
            count = prior * np.concatenate([sums for sums, _ in parts]).sum(axis=0)
            count = count.reshape(n_classes, n_conditions)
            after = (count.sum(axis=0) + PRIOR_TRACKS * shares) / (n + PRIOR_TRACKS)
            believed = PRIOR_TRACKS * (shares * np.log(np.maximum(q, 1e-300))).sum()
            height = math.fsum(height for _, height in parts) + float(believed)
            return np.concatenate([count.sum(axis=1) / n, after]), height

        return _fixed_point(maximise, state, n_classes, cycles)


def _expected(
    ratio: NDArray[np.float64], prior: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return what some tracks add to the expected count of each class and condition.

    Up to the prior: each track's ratios over their mean under the prior, summed over the tracks of
    a block, (blocks, classes · conditions); and the logarithm of the tracks' likelihood.
    """
    # Not by BLAS, whose threads would wait for ours, and whose sums depend on their number.
    sums = np.empty((-(-len(ratio) // _BLOCK), len(prior)))
    height = 0.0
    for i, row in enumerate(sums):
        block = ratio[i * _BLOCK : (i + 1) * _BLOCK]
        density = np.maximum(np.einsum("ij,j->i", block, prior), 1e-300)
        np.einsum("i,ij->j", 1 / density, block, out=row)
        height += float(np.log(density).sum())
    return sums, height


def _fixed_point(
    maximise: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], float]],
    state: NDArray[np.float64],
    n_classes: int,
    cycles: int,
) -> NDArray[np.float64]:
    """Return the fixed point of expectation maximisation, by squared extrapolation.

    Squared extrapolation (SQUAREM, Varadhan & Roland 2008, doi:10.1111/j.1467-9469.2007.00585.x):
    two steps tell how the errors shrink, and a third starts where they lead. Where that is worse
    than two plain steps, these are taken.

    Parameters
    ----------
    maximise : callable
        Returns the next state, and the logarithm of the posterior of the present one.
    state : numpy.ndarray, shape (classes + conditions,)
        Fractions of the classes, then shares of the conditions.
    n_classes : int
    cycles : int
        Of three steps each, at most.
    """
    for _ in range(cycles):
        first, height = maximise(state)
        second, _ = maximise(first)
        if np.abs(second - first)[n_classes:].max() < _ENOUGH:
            return second
        step, bend = first - state, second - 2 * first + state
        curvature = max(float(np.linalg.norm(bend)), 1e-300)
        length = max(1.0, float(np.linalg.norm(step)) / curvature)
        # a share of zero would stay zero
        beyond = np.maximum(state + 2 * length * step + length**2 * bend, 0.01 * second)
        beyond[:n_classes] /= max(beyond[:n_classes].sum(), 1e-300)
        beyond[n_classes:] /= max(beyond[n_classes:].sum(), 1e-300)
        after, better = maximise(beyond)
        state = after if better >= height else second
    return state


def class_probabilities(
    joint: NDArray[np.floating], shares: NDArray[np.float64], recording: Recording
) -> NDArray[np.float64]:
    """Return each track's probabilities of the classes, (m, classes), in a recording."""
    return normalised(class_densities(joint, shares, recording))


def class_densities(
    joint: NDArray[np.floating], shares: NDArray[np.float64], recording: Recording | None
) -> NDArray[np.floating]:
    """Return what `class_probabilities` are in proportion to, in the precision of `joint`.

    Parameters
    ----------
    joint : numpy.ndarray, shape (m, classes, conditions)
        Probabilities of each track's class and condition, as the network tells them, or numbers in
        proportion to them.
    shares : numpy.ndarray, shape (conditions,)
        Shares of the conditions in the training data.
    recording : Recording or None
        Shares of the conditions in the recording; those of the training data by default.

    Returns
    -------
    numpy.ndarray, shape (m, classes)
    """
    weight = np.ones_like(shares) if recording is None else _inverse(shares) * recording.shares
    # not by BLAS, whose threads would wait for those of the caller
    out: NDArray[np.floating] = np.einsum("ijk,k->ij", joint, weight.astype(joint.dtype))
    return out


def normalised(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Divide rows by their sum, in double precision."""
    out: NDArray[np.float64] = p.astype(np.float64)
    out /= np.maximum(out.sum(axis=1, keepdims=True), 1e-300)
    return out


def _inverse(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1/share; zero for conditions that the training data did not have: they get nothing."""
    return np.divide(1, shares, out=np.zeros_like(shares), where=shares > 0)
