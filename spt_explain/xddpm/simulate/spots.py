"""Movies of fluorescent spots, some of which diffuse while the others stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.xddpm.simulate.cells import Made

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from spt_explain.xddpm.simulate.settings import Spots

    Numbers = npt.NDArray[np.float64]

_NUMBERS_AT_ONCE = 1 << 21
_MARGIN_SIGMA = 1.0


def make_spots(
    settings: Spots,
    n: int,
    *,
    frames: int,
    size: int,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Simulate movies of mobile and immobile spots.

    Signals, of the mobile spots alone: ``count``, their number, one per movie; ``intensity``, their
    light (the sum of the pixels they would have without camera noise, beyond the frame, too), one
    per frame; ``msd-d``, the mean squared displacement between frames over 4, in px² per frame, one
    per movie, as tracks of the true positions give it. All three are carried by the pixels near a
    mobile spot.

    Spots are reflected one radius within the frame's edges.

    Parameters
    ----------
    settings : Spots
        What is set.
    n, frames, size : int
        Number of movies, their frames, and the side of a frame in px.
    rng : numpy.random.Generator
        Source of all randomness.
    progress : callable, optional
        Called with movies done and their number.

    Returns
    -------
    Made
    """
    import numpy as np

    count = rng.integers(*settings.mobile, n, endpoint=True)
    still = rng.integers(*settings.immobile, n, endpoint=True)
    low, high = np.log(settings.diffusion)
    diffusion = np.exp(rng.uniform(low, high, n))
    clips = np.empty((n, frames, size, size), np.float32)
    truth = np.empty(clips.shape, np.bool_)
    intensity = np.empty((n, frames), np.float32)
    msd = np.empty(n, np.float32)
    most = int((count + still).max())
    at_once = max(1, _NUMBERS_AT_ONCE // (frames * size * max(2 * most, size)))
    for begin in range(0, n, at_once):
        chosen = slice(begin, min(begin + at_once, n))
        mobile = np.arange(most) < count[chosen, None]
        there = np.arange(most) < (count + still)[chosen, None]
        places = _paths(mobile, diffusion[chosen], frames, size, settings, rng)
        height = rng.uniform(*settings.brightness, mobile.shape)[..., None]
        flicker = 1 + settings.flicker * rng.standard_normal((*mobile.shape, frames))
        height = height * np.maximum(flicker, 0) * there[..., None]
        share = _profile(places, size, settings.sigma_px)  # (m, spots, frames, 2, size)
        middle = _peak(settings.sigma_px)
        light = height / middle
        rows = light[..., None] * share[..., 0, :]
        clips[chosen] = np.einsum("mkty->mtyk", rows) @ np.einsum("mktx->mtkx", share[..., 1, :])
        intensity[chosen] = (light * mobile[..., None]).sum(axis=1)
        truth[chosen] = _near(places, mobile, size, settings.reach_sigma * settings.sigma_px)
        squared = (np.diff(places, axis=2) ** 2).sum(axis=-1).mean(axis=2)
        msd[chosen] = (squared * mobile).sum(axis=1) / mobile.sum(axis=1) / 4
        if progress is not None:
            progress(chosen.stop, n)
    if settings.noise:
        for clip in clips:  # one movie at a time: memory
            clip += settings.noise * rng.standard_normal(clip.shape, np.float32)
    signals = {"count": count.astype(np.float32), "intensity": intensity, "msd-d": msd}
    return Made(clips, signals, dict.fromkeys(signals, truth))


def _paths(
    mobile: npt.NDArray[np.bool_],
    diffusion: Numbers,
    frames: int,
    size: int,
    settings: Spots,
    rng: np.random.Generator,
) -> Numbers:
    """Return row and column of each spot, shape (m, spots, frames, 2)."""
    import numpy as np

    low = _MARGIN_SIGMA * settings.sigma_px
    span = size - 1 - 2 * low
    begin = rng.uniform(0, span, (*mobile.shape, 1, 2))
    steps = rng.standard_normal((*mobile.shape, frames - 1, 2))
    steps *= (np.sqrt(2 * diffusion)[:, None] * mobile)[..., None, None]
    free = np.concatenate([begin, begin + np.cumsum(steps, axis=2)], axis=2)
    folded = np.abs((free + span) % (2 * span) - span)  # reflection at 0 and at span
    return np.asarray(folded + low)


def _profile(places: Numbers, size: int, sigma: float) -> Numbers:
    """Return the share of a spot's light in each row and column of pixels, (..., 2, size)."""
    import numpy as np
    from scipy.special import ndtr

    edges = ndtr((np.arange(size + 1) - 0.5 - places[..., None]) / sigma)
    return np.diff(edges, axis=-1)


def _peak(sigma: float) -> float:
    """Return the share of a spot's light in the pixel on which it is centred."""
    from math import erf, sqrt

    return erf(0.5 / (sqrt(2) * sigma)) ** 2


def _near(
    places: Numbers, mobile: npt.NDArray[np.bool_], size: int, reach: float
) -> npt.NDArray[np.bool_]:
    """Return the pixels whose middle is within `reach` of a mobile spot, (m, frames, H, W)."""
    import numpy as np

    # (m, spots, frames, 2, size)
    away = ((np.arange(size) - places[..., None]) ** 2).astype(np.float32)
    near = np.zeros((places.shape[0], places.shape[2], size, size), np.bool_)
    for spot in range(places.shape[1]):
        distance = away[:, spot, :, 0, :, None] + away[:, spot, :, 1, None, :]
        near |= (distance <= reach**2) & mobile[:, spot, None, None, None]
    return near
