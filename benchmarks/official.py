"""Trajectories of the paper's test protocol, from the official `andi_datasets` package.

    pip install --no-deps andi-datasets==2.1.13 stochastic==0.6.0   (and scipy)
    python benchmarks/official.py --per-class 10000 --seed 20261121 -o /tmp/official.npz

Eight classes, length uniform in 10…1000 (or --length A-B), exponents uniform in 0.1…0.9 and
1.1…1.9, displacements scaled to unit standard deviation per axis by the package's own
`normalize`, all-zero trajectories redrawn (same length and exponent). The same function makes
the small stored samples that the tests compare our simulators with.

--blur averages positions over the whole frame. BM, SBM and FBM are self-similar: they are drawn
with eight times as many points and averaged in eights. The others have events at whole frames, so
a path within the frame is added to the package's trajectory: straight for the Lévy walk, one jump
at a uniform time for CTRW, and for ATTM a Brownian bridge with the frame's own displacement for
its standard deviation.
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


SUBFRAMES = 8


def one(index: int, length: int, alpha: float, models, normalize, blur=None) -> np.ndarray:
    """Return one normalised trajectory, shape (length, 2); `blur` is a random generator."""
    name = CLASS_MODELS[index]
    for _ in range(100_000):
        fine = blur is not None and name in ("bm", "sbm", "fbm")
        points = (length + 1) * SUBFRAMES if fine else length + (blur is not None)
        flat = models.sbm(points, 1.0) if name == "bm" else getattr(models, name)(points, alpha)
        xy = np.asarray(flat).reshape(2, points).T
        if fine:
            # SBM's clock is at one frame at the first point, as in the package's trajectories
            xy = xy[SUBFRAMES - 1 : -1].reshape(length, SUBFRAMES, 2).mean(1)
        elif blur is not None:
            steps = np.diff(xy, axis=0)
            share = blur.random((length, 1)) if name == "ctrw" else 0.5
            xy = xy[:-1] + share * steps
            if name == "attm":
                xy = xy + np.abs(steps) * blur.standard_normal(steps.shape) / np.sqrt(12)
        if np.any(np.diff(xy, axis=0)):
            return np.stack([normalize(xy[:, 0]), normalize(xy[:, 1])], axis=1)
    raise RuntimeError("only all-zero trajectories")


def chunk(job):
    """Return positions (float64, concatenated) of one chunk of trajectories."""
    index, lengths, alphas, seed, blurred = job
    models, normalize = _package()
    np.random.seed(seed)  # noqa: NPY002 - the package draws from the global state
    from stochastic import random as stochastic_random

    stochastic_random.seed(seed)
    blur = np.random.default_rng(seed) if blurred else None
    return np.concatenate(
        [
            one(index, int(n), float(a), models, normalize, blur)
            for n, a in zip(lengths, alphas, strict=True)
        ]
    )


def generate(per_class, seed, *, lengths=(10, 1000), blur=False, jobs=None):
    """Return a dict of arrays: positions (n_rows, 2), offsets, label, alpha."""
    rng = np.random.default_rng(seed)
    work, labels, alphas, points = [], [], [], []
    size = 250
    for index in range(8):
        n = rng.integers(lengths[0], lengths[1] + 1, per_class)
        a = rng.uniform(*ALPHA[index], per_class)
        labels.append(np.full(per_class, index))
        alphas.append(a)
        points.append(n)
        for start in range(0, per_class, size):
            part = slice(start, start + size)
            work.append((index, n[part], a[part], int(rng.integers(2**31)), blur))
    jobs = jobs or os.cpu_count() or 1
    with ProcessPoolExecutor(jobs) as pool:
        parts = list(pool.map(chunk, work))
    n = np.concatenate(points)
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
    parser.add_argument("--length", default="10-1000", metavar="A-B")
    parser.add_argument("--blur", action="store_true")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("-o", "--output", required=True)
    options = parser.parse_args()
    low, _, high = options.length.partition("-")
    data = generate(
        options.per_class,
        options.seed,
        lengths=(int(low), int(high or low)),
        blur=options.blur,
        jobs=options.jobs,
    )
    np.savez(options.output, **data)
    print(f"{len(data['label'])} trajectories, {len(data['positions'])} points → {options.output}")


if __name__ == "__main__":
    main()
