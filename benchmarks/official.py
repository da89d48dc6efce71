"""Trajectories of the paper's test protocol, from the official `andi_datasets` package.

    pip install --no-deps andi-datasets==2.1.13 stochastic==0.6.0   (and scipy)
    python benchmarks/official.py --per-class 10000 --seed 20261121 -o /tmp/official.npz

Eight classes, length uniform in 10…1000 (or --length L), exponents uniform in 0.1…0.9 and
1.1…1.9, displacements scaled to unit standard deviation per axis by the package's own
`normalize`, all-zero trajectories redrawn (same length and exponent). The same function makes
the small stored samples that the tests compare our simulators with.
"""

from __future__ import annotations

import argparse
import os
import sys
import types
from concurrent.futures import ProcessPoolExecutor

import numpy as np

CLASS_MODELS = ("attm", "ctrw", "fbm", "sbm", "fbm", "lw", "sbm", "bm")
ALPHA = ((0.1, 0.9),) * 4 + ((1.1, 1.9),) * 3 + ((1.0, 1.0),)


def _package():
    """Import only the two modules needed: the package's __init__ wants plotting libraries."""
    import importlib.util
    from pathlib import Path

    if "andi_datasets" not in sys.modules:
        spec = importlib.util.find_spec("andi_datasets")
        stub = types.ModuleType("andi_datasets")
        stub.__path__ = [str(Path(spec.origin).parent)]
        sys.modules["andi_datasets"] = stub
    from andi_datasets.models_theory import models_theory
    from andi_datasets.utils_trajectories import normalize

    return models_theory._twoD(), normalize


def one(index: int, length: int, alpha: float, models, normalize) -> np.ndarray:
    """Return one normalised trajectory, shape (length, 2)."""
    name = CLASS_MODELS[index]
    for _ in range(100_000):
        flat = models.sbm(length, 1.0) if name == "bm" else getattr(models, name)(length, alpha)
        xy = np.asarray(flat).reshape(2, length).T
        if np.any(xy):
            return np.stack([normalize(xy[:, 0]), normalize(xy[:, 1])], axis=1)
    raise RuntimeError("only all-zero trajectories")


def chunk(job):
    """Return positions (float64, concatenated) of one chunk of trajectories."""
    index, lengths, alphas, seed = job
    models, normalize = _package()
    np.random.seed(seed)  # noqa: NPY002 - the package draws from the global state
    from stochastic import random as stochastic_random

    stochastic_random.seed(seed)
    return np.concatenate(
        [
            one(index, int(n), float(a), models, normalize)
            for n, a in zip(lengths, alphas, strict=True)
        ]
    )


def generate(per_class: int, seed: int, *, length: int | None = None, jobs: int | None = None):
    """Return a dict of arrays: positions (n_rows, 2), offsets, label, alpha."""
    rng = np.random.default_rng(seed)
    work, labels, alphas, lengths = [], [], [], []
    size = 250
    for index in range(8):
        n = rng.integers(10, 1001, per_class) if length is None else np.full(per_class, length)
        a = rng.uniform(*ALPHA[index], per_class)
        labels.append(np.full(per_class, index))
        alphas.append(a)
        lengths.append(n)
        for start in range(0, per_class, size):
            part = slice(start, start + size)
            work.append((index, n[part], a[part], int(rng.integers(2**31))))
    jobs = jobs or os.cpu_count() or 1
    with ProcessPoolExecutor(jobs) as pool:
        parts = list(pool.map(chunk, work))
    n = np.concatenate(lengths)
    return {
        "positions": np.concatenate(parts),
        "offsets": np.concatenate([[0], np.cumsum(n)]),
        "label": np.concatenate(labels).astype(np.int64),
        "alpha": np.concatenate(alphas),
        "seed": np.asarray(seed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-class", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--length", type=int)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("-o", "--output", required=True)
    options = parser.parse_args()
    data = generate(options.per_class, options.seed, length=options.length, jobs=options.jobs)
    np.savez(options.output, **data)
    print(f"{len(data['label'])} trajectories, {len(data['positions'])} points → {options.output}")


if __name__ == "__main__":
    main()
