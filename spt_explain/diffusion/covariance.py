"""Diffusion coefficient and localisation error of each track, from the covariance of its steps.

For Brownian motion with diffusion coefficient D, localisation error σ and motion blur R, the
displacements d of one axis over one frame Δt have

    ⟨d²⟩ = 2 D Δt (1 − 2R) + 2 σ²        and, one frame apart,        ⟨d d′⟩ = 2 D Δt R − σ²,

so that D = ⟨d²⟩ / 2Δt + ⟨d d′⟩ / Δt, free of bias whatever σ and R are, and
σ² = R ⟨d²⟩ + (2R − 1) ⟨d d′⟩ (Vestergaard, Blainey & Flyvbjerg 2014,
doi:10.1103/PhysRevE.89.022726). R is the integral of S(1 − S) over a frame, S(t) being the share
of the light that was collected by t; a shutter that is open for a share e of the frame, evenly,
gives R = e/6. Only R depends on the exposure, so D does not.

For motion that is not Brownian these are the apparent D over one to two frames and the error that
would explain the correlation of neighbouring steps; anti-persistent motion looks like error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.tracks.runs import distances, run_lengths, run_sums

if TYPE_CHECKING:
    from spt_explain.tracks.runs import Floats, Ints


@dataclass(frozen=True, eq=False)
class CovarianceEstimate:
    """Estimates for m segments, the mean of both axes; NaN where there are too few steps.

    Attributes
    ----------
    d : numpy.ndarray, shape (m,)
        Diffusion coefficient, length² a frame. Free of bias for Brownian motion, therefore below
        zero for some tracks that move little.
    d_error : numpy.ndarray, shape (m,)
        Its standard error, if the motion is Brownian with the values estimated.
    sigma2 : numpy.ndarray, shape (m,)
        Variance of the localisation error of one axis, length²; free of bias, so it can be
        negative too.
    n_steps : numpy.ndarray of int64, shape (m,)
        Displacements between measured positions in consecutive frames.
    """

    d: Floats
    d_error: Floats
    sigma2: Floats
    n_steps: Ints

    @property
    def sigma(self) -> Floats:
        """Localisation error of one axis, a length; NaN where `sigma2` is negative."""
        return np.sqrt(np.where(self.sigma2 >= 0, self.sigma2, np.nan))


def estimate_covariance(
    frame: Ints, x: Floats, y: Floats, starts: Ints, *, exposure: float = DEFAULT_EXPOSURE
) -> CovarianceEstimate:
    """Estimate D and the localisation error of each segment.

    Parameters
    ----------
    frame : numpy.ndarray of int64, shape (n,)
        Frames of the measured positions, increasing within a segment. Displacements over missing
        frames are left out; positions that were filled in must not be among them.
    x, y : numpy.ndarray of float64, shape (n,)
        Positions, in any unit.
    starts : numpy.ndarray of int64, shape (m,)
        First row of each segment; no segment is empty.
    exposure : float
        Share of the frame that the shutter is open, 0 to 1; R is a sixth of it.

    Returns
    -------
    CovarianceEstimate

    Raises
    ------
    ValueError
        If the exposure is not within 0…1.
    """
    if not 0 <= exposure <= 1:
        raise ValueError(f"exposure is {exposure}; expected a share of the frame, 0 to 1")
    m = len(starts)
    if not m:
        empty = np.zeros(0)
        return CovarianceEstimate(empty, empty, empty, np.zeros(0, np.int64))
    step = distances(frame) == 1  # row i is one frame after row i − 1
    step[starts] = False
    pair = step.copy()  # … and that one after row i − 2
    pair[1:] &= step[:-1]
    triple = pair.copy()
    triple[1:] &= step[:-1] & np.append(False, step[:-2])
    n_steps, n_pairs, n_triples = (run_sums(rows, starts) for rows in (step, pair, triple))

    with np.errstate(all="ignore"):  # positions near 1e308, and divisions by no steps: NaN
        steps = [np.where(step, np.diff(values, prepend=values[:1]), 0.0) for values in (x, y)]
        reach = np.maximum.reduceat(np.maximum(*(np.abs(s) for s in steps)), starts)
        scale = np.where(reach > 0, reach, 1.0)  # squares of 1e-200 would be lost
        per_row = np.repeat(1 / scale, run_lengths(starts, len(frame)))
        square, product = np.zeros(len(frame)), np.zeros(len(frame))
        for step_of_axis in steps:
            step_of_axis *= per_row
            square += step_of_axis**2
            product[1:] += step_of_axis[1:] * step_of_axis[:-1]
        variance = run_sums(square, starts) / (2 * n_steps)
        covariance = run_sums(np.where(pair, product, 0.0), starts) / (2 * n_pairs)
        d = variance / 2 + covariance
        blur = exposure / 6
        sigma2 = blur * variance + (2 * blur - 1) * covariance
        error = _error(d, sigma2, blur, n_steps, n_pairs, n_triples) / np.sqrt(2)
        d, error, sigma2 = (_finite(v * scale**2) for v in (d, error, sigma2))
    return CovarianceEstimate(d, error, sigma2, n_steps)


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _error(
    d: Floats, sigma2: Floats, blur: float, n_steps: Ints, n_pairs: Ints, n_triples: Ints
) -> Floats:
    """Return the standard error of D of one axis, in length² a frame.

    The variance of ⟨d²⟩/2 + ⟨d d′⟩ of normal steps with variance a and neighbours' covariance b,
    by Isserlis' theorem: exact, and for tracks without gaps equal to the paper's
    D² [(6 + 4ε + 2ε²)/N + 4(1 + ε)²/N²], ε = σ²/DΔt − 2R, up to terms of higher order in 1/N.
    """
    d, sigma2 = np.maximum(d, 0), np.maximum(sigma2, 0)
    a = 2 * d * (1 - 2 * blur) + 2 * sigma2
    b = 2 * d * blur - sigma2
    return np.sqrt(
        (a**2 + 2 * b**2 * n_pairs / n_steps) / (2 * n_steps)
        + (a**2 + b**2 + 2 * b**2 * n_triples / n_pairs) / n_pairs
        + 4 * a * b / n_steps
    )
