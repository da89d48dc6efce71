"""A few official `andi_datasets` trajectories of every class, stored for the tests.

    python tests/data/make_andi_sample.py        # writes andi_sample.npz beside this file

Lengths 20…400, normalised as in the protocol, rounded to 0.001.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    from official import ALPHA, chunk

    rng = np.random.default_rng(5)
    positions, lengths, labels = [], [], []
    for index in range(8):
        n = rng.integers(20, 401, 16)
        alpha = rng.uniform(*ALPHA[index], 16)
        positions.append(chunk((index, n, alpha, 40 + index, False)))
        lengths.append(n)
        labels.append(np.full(16, index))
    # straight flights come out of the official normalisation at 1e14; they stay as they are
    np.savez_compressed(
        Path(__file__).with_name("andi_sample.npz"),
        positions=np.concatenate(positions).round(3).astype(np.float32),
        lengths=np.concatenate(lengths),
        labels=np.concatenate(labels),
    )


if __name__ == "__main__":
    main()
