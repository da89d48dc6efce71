"""Fitting `Confusions` of a set of weights to simulated trajectories of known class and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.resandi.confusions import LENGTHS, Confusions, features
from spt_explain.resandi.populations import estimate

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

    from spt_explain.resandi.classifier import Classifier

    Ints = NDArray[np.int64]

NOISE_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
TRACKS = 200_000
_AT_ONCE = 4000
_HELD_OUT = 0.2
_LENGTH_EDGES = (0, 25, 50, 100, np.inf)


def fit_confusions(
    classifier: Classifier,
    *,
    tracks: int = TRACKS,
    noise: tuple[float, ...] = NOISE_LEVELS,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Confusions:
    """Simulate trajectories, classify them, and fit how class and noise show in the result.

    Lengths are 10·50^(v²) points, v uniform in 0…1 (10 to 500, half of them below 27), so that
    short tracks, whose confusions matter, are the most.

    Parameters
    ----------
    classifier : Classifier
        The network.
    tracks : int
        Trajectories in all; a fifth of them is held out, for `Confusions.systematic`.
    noise : tuple of float
        Levels, 1/SNR.
    seed : int
        Seed of the simulation.
    progress : callable, optional
        Called with the number of trajectories classified and their total.

    Returns
    -------
    Confusions

    Raises
    ------
    SptError
        If the weights know a class that can't be simulated.
    """
    classes = classifier.weights.architecture.classes
    if unknown := [name for name in classes if name not in CLASS_NAMES]:
        raise SptError(
            f"the weights {classifier.weights.name} know the class {unknown[0]!r}, which can't be "
            f"simulated: expected some of {', '.join(CLASS_NAMES)}."
        )
    rng = np.random.default_rng(seed)
    n = -(-tracks // len(classes)) * len(classes)
    label = np.arange(n) % len(classes)
    shortest, longest = LENGTHS
    length = (shortest * (longest / shortest) ** (rng.random(n) ** 2)).astype(np.int64)
    level = rng.integers(len(noise), size=n)
    order = np.lexsort((label, length // 50))  # similar lengths together, to simulate few in vain
    p = np.empty((n, len(classes)))
    for start in range(0, n, _AT_ONCE):
        rows = order[start : start + _AT_ONCE]
        paths = simulate_recordings(
            np.array([CLASS_NAMES.index(classes[k]) for k in label[rows]]),
            length[rows],
            np.array(noise)[level[rows]],
            seed=int(rng.integers(2**62)),
        )
        p[rows] = classifier.predict(paths, np.append(0, length[rows].cumsum())).probabilities
        if progress is not None:
            progress(min(start + _AT_ONCE, n), n)
    return fit(p, length, label, level, noise, seed=seed)


def simulate_recordings(
    label: Ints, length: Ints, noise: NDArray[np.float64], *, seed: int
) -> NDArray[np.float64]:
    """Simulate one trajectory for each label, length and noise; positions one after the other.

    Parameters
    ----------
    label : numpy.ndarray, shape (n,)
        Positions in `CLASS_NAMES`.
    length : numpy.ndarray, shape (n,)
        Points of each.
    noise : numpy.ndarray, shape (n,)
        Standard deviation of the noise, in units of the displacement's.
    seed : int
        Seed.

    Returns
    -------
    numpy.ndarray, shape (length.sum(), 2)
    """
    import torch

    from spt_explain.diffusion.measurement import measure
    from spt_explain.diffusion.simulate import simulate_steps

    generator = torch.Generator().manual_seed(seed)
    paths: list[Any] = [None] * len(label)
    for kind in np.unique(label):
        rows = np.flatnonzero(label == kind)
        points = torch.from_numpy(length[rows])
        steps, _ = simulate_steps(
            int(kind), len(rows), int(length[rows].max()), generator=generator, moves_within=points
        )
        sigma = torch.from_numpy(noise[rows]).float()
        positions = measure(steps, points, sigma, generator).double().numpy()
        for row, path in zip(rows, positions, strict=True):
            paths[row] = path[: length[row]]
    return np.concatenate(paths)


def fit(
    probabilities: NDArray[np.float64],
    n_points: Ints,
    label: Ints,
    level: Ints,
    noise: tuple[float, ...],
    *,
    penalty: float = 3e-5,
    seed: int = 1,
) -> Confusions:
    """Fit `Confusions` to the probabilities of trajectories of known class and noise level.

    Parameters
    ----------
    probabilities : numpy.ndarray, shape (n, classes)
        What the network says.
    n_points, label, level : numpy.ndarray, shape (n,)
        Points of each, its class and the index of its level; all pairs equally common.
    noise : tuple of float
        Levels, 1/SNR.
    penalty : float
        Factor of the squares of the coefficients, of features of unit variance.
    seed : int
        Seed of the choice of those held out.

    Returns
    -------
    Confusions
    """
    import torch

    n, n_classes = probabilities.shape
    fitted = np.random.default_rng(seed).random(n) >= _HELD_OUT
    x = features(probabilities[fitted], n_points[fitted])
    mean, spread = x.mean(axis=0), x.std(axis=0)
    mean[0], spread[0] = 0, 1  # the constant
    spread = np.maximum(spread, 1e-9)
    inputs = torch.from_numpy((x - mean) / spread)
    target = torch.from_numpy(label[fitted] * len(noise) + level[fitted])
    width = n_classes * len(noise)
    coefficients = torch.zeros(x.shape[1], width, dtype=torch.double, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [coefficients], max_iter=300, history_size=20, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.cross_entropy(inputs @ coefficients, target)
        value = value + penalty * (coefficients[1:] ** 2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    found = coefficients.detach().numpy() / spread[:, None]
    found[0] -= mean @ found
    plain = Confusions(noise, found)
    held = ~fitted
    systematic = systematic_error(
        plain, probabilities[held], n_points[held], label[held], level[held]
    )
    return Confusions(noise, found, systematic)


def systematic_error(
    confusions: Confusions,
    probabilities: NDArray[np.float64],
    n_points: Ints,
    label: Ints,
    level: Ints,
) -> float:
    """Return the standard deviation of fractions beyond what the number of tracks explains.

    Fractions are estimated for each noise level and band of lengths (up to 24, 49, 99 points,
    and more); from the mean square of the deviations from the true ones, that of the standard
    errors, as the intervals say, is taken.

    Parameters
    ----------
    confusions : Confusions
        The fit.
    probabilities, n_points, label, level
        As for `fit`, of trajectories that it was not fitted to.

    Returns
    -------
    float
        0 if they explain it all.
    """
    joint = confusions.joint(probabilities, n_points)
    band = np.digitize(n_points, _LENGTH_EDGES)
    excess = []
    for one in np.unique(band):
        for noise in np.unique(level):
            rows = (band == one) & (level == noise)
            if rows.sum() < 20 * probabilities.shape[1]:
                continue
            fraction, low, high, _ = estimate(joint[rows])
            true = np.bincount(label[rows], minlength=len(fraction)) / rows.sum()
            # the intervals also hold the chance of drawing these tracks, which `true` does not
            chance = ((high - low) / (2 * 1.96)) ** 2 - true * (1 - true) / rows.sum()
            excess.append((fraction - true) ** 2 - np.maximum(chance, 0))
    return round(float(np.sqrt(max(0.0, np.mean(excess)))), 4) if excess else 0.0
