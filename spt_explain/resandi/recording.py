"""What the tracks of one recording show together: its noise and its motion blur.

One short track hardly shows how noisy it is, and a network that does not know takes noise for
anti-persistence and blur for persistence. All tracks of a recording went through one microscope.
So the network tells class and conditions of a track jointly, the shares of the conditions in the
recording are estimated from all its tracks (empirical Bayes, by expectation maximisation: Dempster,
Laird & Rubin 1977), and each track's probabilities are those under these shares. The classes keep
equal prior probabilities: how common they are in the recording never enters a track's verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.threads import core_count, thread_pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import Architecture

PRIOR_TRACKS = 20.0
"""Tracks that the conditions of the training data count for: a few tracks alone move little."""
MOST_TRACKS = 50_000
"""Tracks that the conditions are estimated from, at most: every n-th of more. With 5,000 of 40,000
tracks of 10-19 points at 1/SNR = 0.5, shares that stray to other conditions make the probabilities
1.9 points too careful; with all of them, 1.4."""
_ITERATIONS = 1000
_BLOCK, _BUNDLE = 512, 4096
"""Tracks that are read from memory once in an iteration, and those a thread has at a time."""
_ENOUGH = 1e-5


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
    ratio = _likelihood(joint[:: sampling_step(len(joint))], shares)
    n, n_classes, n_conditions = ratio.shape
    flat = ratio.reshape(n, n_classes * n_conditions)
    fractions = np.full(n_classes, 1 / n_classes)
    q = shares
    bundles = [flat[i : i + _BUNDLE] for i in range(0, n, _BUNDLE)]
    with thread_pool(min(jobs or core_count(), max(1, len(bundles)))) as pool:
        apply = pool.map if len(bundles) > 1 else map
        for _ in range(_ITERATIONS if n else 0):
            prior = (fractions[:, None] * q).ravel()
            parts = apply(_expected, bundles, repeat(prior))
            count = prior * np.concatenate(list(parts)).sum(axis=0)
            count = count.reshape(n_classes, n_conditions)
            fractions = count.sum(axis=1) / n
            before, q = q, (count.sum(axis=0) + PRIOR_TRACKS * shares) / (n + PRIOR_TRACKS)
            if np.abs(q - before).max() < _ENOUGH:
                break
    noise, exposure = architecture.condition_values()
    return Recording(q, float(q @ noise), float(q @ exposure))


def _expected(ratio: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what some tracks add to the expected count of each class and condition.

    Up to the prior: each track's ratios over their mean under the prior, summed over the tracks of
    a block, (blocks, classes · conditions).
    """
    # Not by BLAS, whose threads would wait for ours, and whose sums depend on their number.
    sums = np.empty((-(-len(ratio) // _BLOCK), len(prior)))
    for i, row in enumerate(sums):
        block = ratio[i * _BLOCK : (i + 1) * _BLOCK]
        density = np.einsum("ij,j->i", block, prior)
        np.einsum("i,ij->j", 1 / np.maximum(density, 1e-300), block, out=row)
    return sums


def class_probabilities(
    joint: NDArray[np.floating], shares: NDArray[np.float64], recording: Recording
) -> NDArray[np.float64]:
    """Return each track's probabilities of the classes, (m, classes), in a recording."""
    p: NDArray[np.float64] = _likelihood(joint, shares) @ recording.shares
    p /= np.maximum(p.sum(axis=1, keepdims=True), 1e-300)
    return p


def _likelihood(joint: NDArray[np.floating], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide out the training data's shares; conditions that it did not have get nothing."""
    seen = shares > 0
    out: NDArray[np.float64] = np.where(seen, joint / np.where(seen, shares, 1.0), 0.0)
    return out
