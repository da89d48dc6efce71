"""The mean spot of a movie, and how noisy it is: background and gain of the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

WIDTHS = (0.7, 1.0, 1.4, 2.0)
"""Radii of the Gaussians whose sum is the profile, in units of the one that alone fits best."""
_MIN_SIGMA_PX = 0.4
_REFINEMENTS = 3
_LARGEST_STEP_PX = 0.3
_REWEIGHTINGS = 6


@dataclass(frozen=True, eq=False)
class Profile:
    """A spot's mean grey values above its background: a sum of Gaussians about one middle.

    Attributes
    ----------
    sigma : float
        Radius of the one Gaussian that fits best, in px.
    weights : numpy.ndarray, shape (k,)
        Integral of the Gaussian of each of `WIDTHS`, in grey values; some may be negative.
    """

    sigma: float
    weights: Floats

    def image(self, offsets: Floats, half: int) -> Floats:
        """Return spots, each integrated over the pixels of a square of its own.

        Parameters
        ----------
        offsets : numpy.ndarray, shape (n, 2)
            y and x of each spot from the middle pixel, in px.
        half : int
            The square has 2 × `half` + 1 pixels to a side.

        Returns
        -------
        numpy.ndarray, shape (n, 2 half + 1, 2 half + 1)
        """
        import numpy as np

        total = np.zeros((len(offsets), 2 * half + 1, 2 * half + 1))
        for width, weight in zip(WIDTHS, self.weights, strict=True):
            total += weight * gaussians(offsets, half, width * self.sigma)
        return total


@dataclass(frozen=True, eq=False)
class Sample:
    """Spots cut from frames, and the profile that they have in common.

    Attributes
    ----------
    values : numpy.ndarray, shape (n, 2 half + 1, 2 half + 1)
        Grey values above the local background.
    offsets : numpy.ndarray, shape (n, 2)
        y and x of each spot from the middle pixel, in px, fitted.
    profile : Profile
    """

    values: Floats
    offsets: Floats
    profile: Profile


def gaussians(offsets: Floats, half: int, sigma: float) -> Floats:
    """Return Gaussians of integral 1, as `Profile.image` does."""
    import numpy as np
    from scipy.special import ndtr

    pixel = np.arange(-half, half + 1.0)

    def share(middle: Floats) -> Floats:
        away = pixel - middle[:, None]
        result: Floats = ndtr((away + 0.5) / sigma) - ndtr((away - 0.5) / sigma)
        return result

    return share(offsets[:, 0])[:, :, None] * share(offsets[:, 1])[:, None, :]


def fit_profile(patches: Floats, offsets: Floats, radius: int) -> Sample | None:
    """Fit one profile to many spots, and each spot's place to the profile, in turns.

    Parameters
    ----------
    patches : numpy.ndarray, shape (n, 2 half + 1, 2 half + 1)
        Grey values about each spot, none other near.
    offsets : numpy.ndarray, shape (n, 2)
        y and x of each spot from the middle pixel, in px, as they were located.
    radius : int
        Radius of the disc in which places are fitted, in px.

    Returns
    -------
    Sample or None
        None if nothing rises above the background.
    """
    import numpy as np
    from scipy.optimize import minimize_scalar

    half = patches.shape[1] // 2
    distance = _distance(half)
    values = patches - np.median(patches[:, distance > half - 1], axis=1)[:, None, None]
    disc = distance <= half
    y = values[:, disc].ravel()
    profile = None
    for turn in range(_REFINEMENTS):

        def lack(log_sigma: float, offsets: Floats = offsets) -> float:
            one = gaussians(offsets, half, float(np.exp(log_sigma)))[:, disc].ravel()
            one -= one.mean()
            return -float(one @ y) * abs(float(one @ y)) / float(one @ one)

        limits = (np.log(_MIN_SIGMA_PX), np.log(half))
        sigma = float(np.exp(minimize_scalar(lack, bounds=limits, method="bounded").x))
        columns = [gaussians(offsets, half, width * sigma)[:, disc].ravel() for width in WIDTHS]
        columns.append(np.ones_like(y))
        weights = np.linalg.lstsq(np.stack(columns, axis=1), y, rcond=1e-4)[0][:-1]
        profile = Profile(sigma, weights.astype(np.float64))
        if not profile.image(np.zeros((1, 2)), 0).item() > 0:
            return None
        if turn < _REFINEMENTS - 1:
            offsets = offsets + _steps(profile, offsets, values, distance <= radius)
    assert profile is not None
    return Sample(values, offsets, profile)


def measure_noise(sample: Sample, radius: int) -> tuple[float, float]:
    """Measure how the variance of a pixel grows with its grey value (photon transfer).

    Each spot is fitted with the profile's height, place and width and a flat background; what is
    left is noise, less what the fit took. Its variance is taken as that of the background, plus
    the gain times the grey value above it, plus a part that grows with the square of that value:
    spots that differ in shape. The latter is no noise and is left out of the result.

    Parameters
    ----------
    sample : Sample
    radius : int
        Radius of the disc in which spots are fitted, in px.

    Returns
    -------
    background : float
        Variance of the grey values of the background.
    gain : float
        Grey values per photon, 0 or more (of cameras that multiply electrons, twice that).
    """
    import numpy as np
    from scipy.optimize import nnls

    half = sample.values.shape[1] // 2
    inside = _distance(half) <= radius
    height, by_y, by_x = _derivatives(sample.profile, sample.offsets, inside, half)
    pixel = np.arange(-half, half + 1.0)
    away = pixel - sample.offsets[:, :, None]  # (n, 2, side)
    square = (away[:, 0, :, None] ** 2 + away[:, 1, None, :] ** 2)[:, inside]
    y = sample.values[:, inside]
    columns = np.stack([height, by_y, by_x, height * square, np.ones_like(y)], axis=2)
    q, _ = np.linalg.qr(columns)
    left = y - (q @ (q.transpose(0, 2, 1) @ y[:, :, None]))[:, :, 0]
    signal = np.clip(_amplitude(height, y), 0, None)[:, None] * np.clip(height, 0, None)
    parts = (np.ones_like(signal), signal, signal**2)
    terms = np.stack([_left_of(q, part).ravel() for part in parts], axis=1)
    seen = (left**2).ravel()
    scale = terms.mean(axis=0)
    if not seen.mean() > 0 or not scale.all():
        return 0.0, 0.0
    terms, seen = terms / scale, seen / seen.mean()
    found = np.array([1.0, 0.0, 0.0])
    for _ in range(_REWEIGHTINGS):
        expected = np.maximum(terms @ found, 1e-9)
        found, _ = nnls(terms / expected[:, None], seen / expected)
    found *= (left**2).mean() / scale
    return float(found[0]), float(found[1])


def _left_of(q: Floats, variance: Floats) -> Floats:
    """Return what a fit leaves of the variance of each pixel.

    It is Σ_j (δ_ij − h_ij)² v_j with the fit's hat matrix h = q qᵀ.
    """
    import numpy as np

    weighted = np.einsum("njk,njl,nj->nkl", q, q, variance, optimize=True)
    mixed = np.einsum("nik,nil,nkl->ni", q, q, weighted, optimize=True)
    left: Floats = variance * (1 - 2 * (q**2).sum(axis=2)) + mixed
    return left


def _distance(half: int) -> Floats:
    """Return the distance of each pixel of a square from its middle."""
    import numpy as np

    pixel = np.arange(-half, half + 1.0)
    distance: Floats = np.hypot(pixel[:, None], pixel)
    return distance


def _derivatives(
    profile: Profile, offsets: Floats, inside: Bools, half: int, step: float = 0.05
) -> tuple[Floats, Floats, Floats]:
    """Return spots, and what they gain where they move along y and along x; (n, pixels) each."""
    import numpy as np

    results = [profile.image(offsets, half)[:, inside]]
    for axis in range(2):
        move = step * np.eye(2)[axis]
        change = profile.image(offsets + move, half) - profile.image(offsets - move, half)
        results.append(change[:, inside] / (2 * step))
    return results[0], results[1], results[2]


def _amplitude(height: Floats, y: Floats) -> Floats:
    """Return each spot's height in units of the profile's, over a flat background."""
    centred = height - height.mean(axis=1, keepdims=True)
    amplitude: Floats = (centred * y).sum(axis=1) / (centred**2).sum(axis=1)
    return amplitude


def _steps(profile: Profile, offsets: Floats, values: Floats, inside: Bools) -> Floats:
    """Return how far each spot lies from where it was taken to be, to first order."""
    import numpy as np

    half = values.shape[1] // 2
    height, by_y, by_x = _derivatives(profile, offsets, inside, half)
    columns = np.stack([height, by_y, by_x, np.ones_like(height)], axis=2)
    q, r = np.linalg.qr(columns)
    y = values[:, inside, None]
    found = np.linalg.solve(r, q.transpose(0, 2, 1) @ y)[:, :, 0]
    bright = found[:, 0] > 0.2
    amplitude = np.where(bright, found[:, 0], 1.0)
    step = np.where(bright[:, None], found[:, 1:3] / amplitude[:, None], 0.0)
    return np.clip(step, -_LARGEST_STEP_PX, _LARGEST_STEP_PX)
