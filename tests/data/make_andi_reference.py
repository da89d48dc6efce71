"""Statistics of trajectories from the official `andi_datasets` simulators, stored for the tests.

    python tests/data/make_andi_reference.py        # writes andi_reference.npz beside this file

Needs andi-datasets 2.1.13 and stochastic 0.6.0 (installed with --no-deps). `statistics` is also
what the test applies to our own simulators.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

NAMES = (
    "step",
    "autocorrelation",
    "zero_fraction",
    "kurtosis",
    "variance_ratio",
    "extent",
    "long_lag",
)
LENGTHS = (30, 300)
PER_CLASS = 2500
SEED = 20261121


def statistics(positions: np.ndarray) -> np.ndarray:
    """Return statistics of trajectories of one length, free of their scale.

    Parameters
    ----------
    positions : numpy.ndarray, shape (n, n_points, 2)

    Returns
    -------
    numpy.ndarray, shape (n, 7), float32
        Median step over root-mean-square step; lag-1 correlation of displacements; share of steps
        of zero; kurtosis of displacements; log ratio of the variances of the second and first
        half; end-to-end distance and displacement over ten steps, in root-mean-square steps.
    """
    steps = np.diff(positions, axis=1)
    rms = np.sqrt((steps**2).mean(axis=(1, 2)))
    rms[rms == 0] = 1
    steps = steps / rms[:, None, None]
    length = np.sqrt((steps**2).sum(-1))
    product = (steps[:, 1:] * steps[:, :-1]).mean(axis=(1, 2))
    half = steps.shape[1] // 2
    first = (steps[:, :half] ** 2).mean(axis=(1, 2))
    second = (steps[:, half:] ** 2).mean(axis=(1, 2))
    extent = np.sqrt((steps.sum(axis=1) ** 2).sum(-1))
    path = np.cumsum(steps, axis=1)
    lag = np.sqrt(((path[:, 10:] - path[:, :-10]) ** 2).sum(-1).mean(axis=1))
    columns = [
        np.median(length, axis=1),
        product,
        (length < 1e-9).mean(axis=1),
        (steps**4).mean(axis=(1, 2)),
        np.log((second + 1e-12) / (first + 1e-12)),
        extent,
        lag,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    from official import generate

    out: dict[str, np.ndarray] = {}
    for length in LENGTHS:
        data = generate(PER_CLASS, SEED, lengths=(length, length))
        positions = data["positions"].reshape(8, PER_CLASS, length, 2)
        out[f"length_{length}"] = np.stack([statistics(p) for p in positions])
    np.savez_compressed(Path(__file__).with_name("andi_reference.npz"), **out)


if __name__ == "__main__":
    main()
