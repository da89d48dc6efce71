"""Noise-free paths of many particles in physical units, each as long as its track."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.diffusion.classes import CLASSES
from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from spt_explain.tracks.runs import Floats, Ints

_CHUNK_POINTS = 1_000_000
"""Points simulated at a time; which random numbers a track gets depends on it."""
_REDRAWS = 2000


def simulate_paths(
    label: Ints,
    alpha: Floats,
    lengths: Ints,
    exposure: Floats,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Floats:
    """Simulate paths whose mean squared displacement of one frame is 2 (1 along each axis).

    The scale is that of the path before blur, averaged over the track, in expectation: for ATTM
    given the diffusivities that it goes through, for CTRW given its jumps, for LW given its speed.
    A path without any motion within its length is drawn again at the same exponent, as in the
    test protocol of Bae et al.

    Parameters
    ----------
    label : numpy.ndarray of int64, shape (m,)
        Positions in `CLASSES`; other numbers are particles that stay at the origin.
    alpha : numpy.ndarray of float64, shape (m,)
        Anomalous exponents.
    lengths : numpy.ndarray of int64, shape (m,)
        Points of each track, at least 2.
    exposure : numpy.ndarray of float64, shape (m,)
        Share of the frame over which the position is averaged, 0 to 1.
    seed : int
        What the random numbers begin with.
    progress : callable, optional
        Called with tracks done and their number.

    Returns
    -------
    numpy.ndarray of float64, shape (lengths.sum(), 2)
        Tracks one after the other, each from the origin.

    Raises
    ------
    SptError
        If an exponent so low and a length so short were asked for that nothing ever moves.
    """
    import numpy as np
    import torch

    generator = torch.Generator().manual_seed(
        int(np.random.SeedSequence([0, seed]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    )
    starts = np.cumsum(lengths) - lengths
    out = np.zeros((int(lengths.sum()), 2))
    done = 0
    for index in range(len(CLASSES)):
        members = np.flatnonzero(label == index)
        members = members[np.argsort(lengths[members], kind="stable")]
        while len(members):
            # tracks of about one length at a time, as many as fit
            points = lengths[members] * np.arange(1, len(members) + 1)
            n = max(1, int(np.searchsorted(points, _CHUNK_POINTS, side="right")))
            chunk, members = members[:n], members[n:]
            path = _paths(index, alpha[chunk], lengths[chunk], exposure[chunk], generator)
            frame = np.arange(path.shape[1])
            inside = frame < lengths[chunk][:, None]
            out[(starts[chunk][:, None] + frame)[inside]] = path[inside]
            done += n
            if progress is not None:
                progress(done, len(label))
    return out


def _paths(
    index: int, alpha: Floats, lengths: Ints, exposure: Floats, generator: torch.Generator
) -> Floats:
    """Return paths of one class, shape (n, longest, 2)."""
    import numpy as np

    n_points = int(lengths.max())
    steps, scale = _scaled_steps(index, alpha, lengths, exposure, n_points, generator)
    for _ in range(_REDRAWS):
        still = np.flatnonzero(scale == 0)
        if not len(still):
            break
        steps[still], scale[still] = _scaled_steps(
            index, alpha[still], lengths[still], exposure[still], n_points, generator
        )
    else:
        raise SptError(
            f"tracks of {CLASSES[index].name} with α = {alpha[still[0]]:g} and {lengths[still[0]]} "
            f"points hardly ever move. Ask for a larger {option('alpha')} or {option('length')}.",
            option="alpha",
        )
    steps /= scale[:, None, None]
    path = np.zeros((len(alpha), n_points, 2))
    np.cumsum(steps, axis=1, out=path[:, 1:])
    return path


def _scaled_steps(
    index: int,
    alpha: Floats,
    lengths: Ints,
    exposure: Floats,
    n_points: int,
    generator: torch.Generator,
) -> tuple[Floats, Floats]:
    """Return steps (n, n_points − 1, 2) and the standard deviation of each path's, unblurred."""
    import numpy as np
    import torch

    from spt_explain.diffusion.simulate import attm_amplitude, simulate_steps

    model = CLASSES[index].model
    exponent = torch.from_numpy(alpha.astype(np.float32))
    blurred = bool(exposure.any())

    def draw(exposure: Floats | None) -> Floats:
        blur = None if exposure is None else torch.from_numpy(exposure.astype(np.float32))
        steps, _ = simulate_steps(
            index, len(alpha), n_points, generator=generator, alpha=exponent, exposure=blur
        )
        values: Floats = steps.double().numpy()
        return values

    # What a path is made of, drawn first: the same random numbers give it once more.
    state = generator.get_state()
    if model in ("fbm", "bm"):
        variance = np.ones((len(alpha), n_points - 1))
    elif model == "sbm":
        variance = np.diff(np.arange(1, n_points + 1) ** alpha[:, None], axis=1)
    elif model == "attm":
        amplitude = attm_amplitude(exponent, n_points + blurred, generator)
        variance = amplitude.double().numpy()[:, : n_points - 1] ** 2
    else:
        sharp = draw(np.zeros(len(alpha)) if blurred else None)
        moves = (sharp**2).sum(axis=2)
        variance = moves / 2 if model == "lw" else (moves > 0).astype(float)
    generator.set_state(state)
    inside = np.arange(1, n_points) < lengths[:, None]
    scale = np.sqrt((variance * inside).sum(axis=1) / (lengths - 1))
    return draw(exposure if blurred else None), scale
