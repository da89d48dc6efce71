"""What windows of long tracks look like to the network, for tracks of each class.

A window of a track need not look like the track: most windows of SubATTM lie within one diffusivity
and look Brownian, windows of SubCTRW without a jump are nothing but noise. The tables here are the
mean probabilities (columns: the class told, in the order of the classes) in windows of 200 points,
50 apart, of simulated tracks of 1000 points (rows: the class of the track), measured with
resandi-robust 2.0: 80 tracks of each class without noise, 120 at 1/SNR 0.25, 0.5 and 0.8 together.
They say more of the mechanisms than of the weights; `measure_likeness` measures others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.resandi.windows import place_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spt_explain.resandi.classifier import Classifier
    from spt_explain.tracks.runs import Floats

NOISELESS = (
    (0.463, 0.028, 0.026, 0.047, 0.022, 0.000, 0.051, 0.362),
    (0.093, 0.907, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000),
    (0.012, 0.000, 0.928, 0.007, 0.001, 0.000, 0.010, 0.042),
    (0.110, 0.000, 0.044, 0.266, 0.033, 0.000, 0.027, 0.520),
    (0.006, 0.000, 0.000, 0.004, 0.949, 0.000, 0.005, 0.037),
    (0.000, 0.000, 0.000, 0.000, 0.000, 1.000, 0.000, 0.000),
    (0.103, 0.000, 0.040, 0.020, 0.032, 0.000, 0.306, 0.499),
    (0.117, 0.000, 0.054, 0.062, 0.039, 0.000, 0.072, 0.658),
)
NOISY = (
    (0.361, 0.048, 0.332, 0.047, 0.017, 0.001, 0.054, 0.141),
    (0.031, 0.462, 0.507, 0.000, 0.000, 0.000, 0.000, 0.000),
    (0.022, 0.000, 0.846, 0.021, 0.002, 0.000, 0.023, 0.086),
    (0.114, 0.000, 0.110, 0.239, 0.042, 0.003, 0.060, 0.433),
    (0.014, 0.000, 0.001, 0.012, 0.887, 0.006, 0.016, 0.064),
    (0.000, 0.000, 0.000, 0.000, 0.003, 0.997, 0.000, 0.000),
    (0.100, 0.000, 0.053, 0.041, 0.064, 0.001, 0.259, 0.482),
    (0.116, 0.000, 0.058, 0.088, 0.060, 0.003, 0.113, 0.563),
)
NOISE_BETWEEN = (0.05, 0.15)
"""1/SNR as told by the network, up to which the first table holds, from which the second."""
UNKNOWN = 0.1
"""Probability of looking like any other class, for classes that nothing is known of."""


def likeness_at(noise: float | None, classes: Sequence[str] = CLASS_NAMES) -> Floats:
    """Return what windows of each class look like in a recording of some noise.

    Parameters
    ----------
    noise : float or None
        1/SNR of the recording; None if not known, which is taken as noisy.
    classes : sequence of str
        Classes of the network. For others than the simulators' eight, every class is taken to
        look like itself, and like the others together with the probability 0.1.

    Returns
    -------
    numpy.ndarray, shape (classes, classes)
        Rows sum to 1.
    """
    if tuple(classes) != CLASS_NAMES:
        n = len(classes)
        other = UNKNOWN / max(n - 1, 1)
        plain = np.full((n, n), other) + np.eye(n) * (1 - UNKNOWN - other)
        return np.asarray(plain / plain.sum(axis=1, keepdims=True))
    share = 1.0 if noise is None else float(np.interp(noise, NOISE_BETWEEN, (0.0, 1.0)))
    mixed = (1 - share) * np.array(NOISELESS) + share * np.array(NOISY)
    return np.asarray(mixed / mixed.sum(axis=1, keepdims=True))


def measure_likeness(
    classifier: Classifier,
    *,
    noise: float = 0.0,
    tracks: int = 100,
    points: int = 1000,
    width: int = 200,
    stride: int = 50,
    seed: int = 1,
) -> Floats:
    """Measure what windows of each class look like to a network, on simulated tracks.

    Parameters
    ----------
    classifier : Classifier
        The network; its classes must be the simulators' eight.
    noise : float
        1/SNR of every track.
    tracks : int
        Tracks of each class.
    points : int
        Points of each track.
    width, stride : int
        Points of a window, and between windows.
    seed : int
        Seed of the simulation.

    Returns
    -------
    numpy.ndarray, shape (8, 8)
        Mean probabilities (columns) in windows of tracks of each class (rows).

    Raises
    ------
    ValueError
        If the classes are others.
    """
    import torch

    from spt_explain.diffusion.measurement import measure
    from spt_explain.diffusion.simulate import simulate_steps

    if tuple(classifier.weights.architecture.classes) != CLASS_NAMES:
        raise ValueError("these weights know other classes than those that can be simulated")
    generator = torch.Generator().manual_seed(seed)
    length = torch.full((tracks,), points)
    paths = []
    for index in range(len(CLASS_NAMES)):
        steps, _ = simulate_steps(index, tracks, points, generator=generator, moves_within=length)
        sigma = torch.full((tracks,), float(noise))
        paths.append(measure(steps, length, sigma, generator).double().numpy())
    positions = np.concatenate(paths).reshape(-1, 2)
    offsets = np.arange(len(CLASS_NAMES) * tracks + 1, dtype=np.int64) * points
    starts, _, owner = place_windows(offsets, width, stride)
    rows = (starts[:, None] + np.arange(width)).ravel()
    told = classifier.predict(positions[rows], np.arange(len(starts) + 1, dtype=np.int64) * width)
    out = np.zeros((len(CLASS_NAMES),) * 2)
    np.add.at(out, owner // tracks, told.probabilities)
    return np.asarray(out / out.sum(axis=1, keepdims=True))
