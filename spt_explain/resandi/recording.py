"""What the tracks of one recording show together: its noise and its motion blur.

One short track hardly shows how noisy it is, and a network that does not know takes noise for
anti-persistence and blur for persistence. All tracks of a recording went through one microscope.
So the network tells class and conditions of a track jointly, the shares of the conditions in the
recording are estimated from all its tracks (empirical Bayes), and each track's probabilities are
those under these shares. The classes keep equal prior probabilities: how common they are in the
recording never enters a track's verdict.
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
_SOME = 5000
"""Tracks of a first, rough fit, where there are more than twice as many."""
_BLOCK = 1024
"""Tracks whose likelihoods, 0.8 MB, stay in a core's cache while they are read twice."""
_BUNDLES, _LEAST_BUNDLE = 6, 4096
"""Threads at most, and tracks that are worth one: waking it takes as long as 2,000 tracks."""
_LEAST = np.float32(1e-30)
"""Likelihood of a track that fits no class under any condition."""
_SHARE = 1e-4
"""Share of the tracks from which a search begins, at least: none would stay none."""
_ENOUGH, _ENOUGH_EACH = 1e-5, 1e-8
"""Changes of the logarithm of the posterior that end a search, in all and for each track: what more
steps would gain changes no probability by more than about 1e-4."""
_NEARLY = 0.05
"""The same, where some of the tracks show where to begin."""
_EM_STEPS = 5
"""Steps of expectation maximisation that come first: they do not leave the maximum nearby."""
_STEPS, _LONGEST, _SHORTENINGS = 500, 4.0, 20
"""Steps of a search at most, what a share's logarithm changes by in one at most, and how often one
is shortened."""


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
    joint = joint[:: sampling_step(len(joint))]
    joint = joint[np.isfinite(joint).all(axis=(1, 2))]
    ratio = np.multiply(joint, _inverse(shares), dtype=np.float32)
    # conditions that were rare in training need not be in the recording
    possible = shares > 0
    q = (shares + possible / max(possible.sum(), 1)) / 2 if len(ratio) else shares
    fractions = np.full(ratio.shape[1], 1 / ratio.shape[1])
    steps = [len(ratio) // _SOME, 1] if len(ratio) > 2 * _SOME else [1]
    for step in steps if len(ratio) else []:
        enough = max(_ENOUGH, _ENOUGH_EACH * len(ratio)) if step == 1 else _NEARLY
        fractions, q = _most_probable(ratio[::step], fractions, q, shares, enough, jobs)
    noise, exposure = architecture.condition_values()
    return Recording(q, float(q @ noise), float(q @ exposure))


def _most_probable(
    ratio: NDArray[np.float32],
    fractions: NDArray[np.float64],
    q: NDArray[np.float64],
    shares: NDArray[np.float64],
    enough: float,
    jobs: int | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the most probable fractions of the classes and shares of the conditions.

    By a few steps of expectation maximisation (Dempster, Laird & Rubin 1977), which climbs slowly
    to a maximum nearby, and quasi-Newton steps on the logarithms of the shares from there.

    Parameters
    ----------
    ratio : numpy.ndarray, shape (m, classes, conditions)
        Likelihoods of the tracks, up to a factor.
    fractions, q : numpy.ndarray, shape (classes,), (conditions,)
        Where to begin.
    shares : numpy.ndarray, shape (conditions,)
        Of the training data: what `PRIOR_TRACKS` are like.
    enough : float
        Change of the logarithm of the posterior that ends the search.
    jobs : int or None
        Threads.
    """
    n, n_classes, n_conditions = ratio.shape
    flat = ratio.reshape(n, -1)
    size = -(-max(_LEAST_BUNDLE, n // _BUNDLES) // _BLOCK) * _BLOCK
    bundles = [flat[i : i + size] for i in range(0, n, size)]
    possible = shares > 0  # the training data had no other conditions

    def posterior(
        fractions: NDArray[np.float64], q: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Return the logarithm of the posterior, and expected counts of classes and conditions."""
        prior = (fractions[:, None] * q).ravel()
        found = list(apply(_likelihood, bundles, repeat(prior.astype(np.float32))))
        height = math.fsum(height for height, _ in found)
        height += PRIOR_TRACKS * float(shares[possible] @ np.log(np.maximum(q[possible], _LEAST)))
        expected = (prior * sum(gain for _, gain in found)).reshape(n_classes, n_conditions)
        return height, expected.sum(axis=1), expected.sum(axis=0) + PRIOR_TRACKS * shares

    def parts(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        logits = np.where(possible, x[n_classes:], -np.inf)
        return _softmax(x[:n_classes]), _softmax(logits)

    def depth(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the negative logarithm of the posterior, for each track, and its slope."""
        fractions, q = parts(x)
        height, classes, conditions = posterior(fractions, q)
        slopes = classes - n * fractions, conditions - (n + PRIOR_TRACKS) * q
        return -height / n, -np.concatenate(slopes) / n

    with thread_pool(min(jobs or core_count(), len(bundles))) as pool:
        apply = pool.map if len(bundles) > 1 else map
        for _ in range(_EM_STEPS):
            _, classes, conditions = posterior(fractions, q)
            fractions, q = classes / classes.sum(), conditions / conditions.sum()
        start = np.log(np.maximum(np.concatenate([fractions, q]), _SHARE))
        return parts(_lowest(depth, start, np.maximum(np.exp(start), 0.01), enough / n))


def _lowest(
    function: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]],
    x: NDArray[np.float64],
    curvature: NDArray[np.float64],
    enough: float,
) -> NDArray[np.float64]:
    """Return where a smooth function of some ten variables is lowest, by BFGS.

    scipy has the same, but its import takes as long as a small file's classification.

    Parameters
    ----------
    function : callable
        Returns value and slope.
    x : numpy.ndarray, shape (k,)
        Where to begin.
    curvature : numpy.ndarray, shape (k,)
        About the second derivative by each variable.
    enough : float
        The search ends where two steps gain less each.

    References
    ----------
    Nocedal & Wright, Numerical Optimization (2006), doi:10.1007/978-0-387-40065-5, Eqs. 6.17
    (update) and 3.4 (sufficient decrease).
    """
    height, slope = function(x)
    inverse = np.diag(1 / curvature)
    small = 0
    for _ in range(_STEPS):
        direction = -inverse @ slope
        direction *= min(1.0, _LONGEST / max(float(np.abs(direction).max()), 1e-300))
        down = float(slope @ direction)
        length = 1.0
        for _ in range(_SHORTENINGS):
            there, slope_there = function(x + length * direction)
            if there <= height + 1e-4 * length * down:
                break
            # where a parabola through both is lowest
            best = -down * length**2 / (2 * (there - height - down * length))
            length = min(max(best, 0.1 * length), 0.5 * length)
        step, bend = length * direction, slope_there - slope
        small = small + 1 if height - there <= enough else 0
        x, height, slope = x + step, there, slope_there
        if small == 2:
            break
        if (along := float(step @ bend)) > 0:
            moved = np.eye(len(x)) - np.outer(step, bend) / along
            inverse = moved @ inverse @ moved.T + np.outer(step, step) / along
    return x


def _softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    p: NDArray[np.float64] = np.exp(x - x.max())
    p /= p.sum()
    return p


def _likelihood(
    ratio: NDArray[np.float32], prior: NDArray[np.float32]
) -> tuple[float, NDArray[np.float64]]:
    """Return the logarithm of the tracks' likelihood, and its derivative by each pair's share.

    Parameters
    ----------
    ratio : numpy.ndarray, shape (m, classes · conditions)
    prior : numpy.ndarray, shape (classes · conditions,)
    """
    # Not by BLAS, whose threads would wait for ours, and whose sums depend on their number.
    height, gain = 0.0, np.zeros(len(prior))
    for i in range(0, len(ratio), _BLOCK):
        block = ratio[i : i + _BLOCK]
        density = np.maximum(np.einsum("ij,j->i", block, prior), _LEAST)
        gain += np.einsum("i,ij->j", 1 / density, block)
        height += float(np.log(density).sum(dtype=np.float64))
    return height, gain


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
