"""Our simulators against the official ones, through stored statistics of theirs."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from spt_explain.diffusion.classes import CLASS_NAMES, CLASSES
from spt_explain.diffusion.simulate import fbm_steps, simulate_steps

DATA = Path(__file__).resolve().parents[1] / "data"
_spec = importlib.util.spec_from_file_location(
    "make_andi_reference", DATA / "make_andi_reference.py"
)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)


def _positions(steps: torch.Tensor, length: int) -> np.ndarray:
    steps = steps[:, : length - 1].double().numpy()
    deviation = steps.std(axis=1, keepdims=True)
    # the official normalisation leaves an axis without any variation as it is
    still = deviation < 1e-9 * np.abs(steps).max(axis=(1, 2), keepdims=True)
    steps = steps / np.where(still, 1, deviation)
    return np.concatenate([np.zeros((len(steps), 1, 2)), steps.cumsum(axis=1)], axis=1)


def _moving(index: int, n: int, length: int, generator: torch.Generator) -> torch.Tensor:
    """Simulate, redrawing those without motion at the same exponent, as the protocol does."""
    steps, alpha = simulate_steps(index, n, 1000, generator=generator)
    for _ in range(500):
        still = (steps[:, : length - 1] == 0).all(-1).all(-1).nonzero()[:, 0]
        if len(still) == 0:
            return steps
        steps[still] = simulate_steps(
            index, len(still), 1000, generator=generator, alpha=alpha[still]
        )[0]
    raise AssertionError("trajectories without motion remain")


@pytest.mark.parametrize("length", reference.LENGTHS)
@pytest.mark.parametrize("index", range(8), ids=CLASS_NAMES)
def test_same_law_as_andi_datasets(index: int, length: int) -> None:
    official = np.load(DATA / "andi_reference.npz")[f"length_{length}"][index]
    generator = torch.Generator().manual_seed(10 + index)
    ours = reference.statistics(_positions(_moving(index, 2500, length, generator), length))
    for column, name in enumerate(reference.NAMES):
        p = ks_2samp(ours[:, column], official[:, column], method="asymp").pvalue
        # 112 comparisons on one stored sample: 1e-5 keeps a false alarm below 0.2 %
        assert p > 1e-5, f"{name} differs (p = {p:.1e})"


def test_the_comparison_can_tell_a_wrong_law() -> None:
    official = np.load(DATA / "andi_reference.npz")["length_300"]
    brownian = CLASS_NAMES.index("BM")
    for index in range(7):
        worst = min(
            ks_2samp(official[index][:, c], official[brownian][:, c], method="asymp").pvalue
            for c in range(len(reference.NAMES))
        )
        assert worst < 1e-8


@pytest.mark.parametrize("alpha", [0.3, 1.0, 1.7])
def test_fbm_covariance_is_the_formula(alpha: float) -> None:
    n, lags = 20000, np.arange(6)
    steps = fbm_steps(torch.full((n,), alpha), 50, torch.Generator().manual_seed(1)).numpy()
    expected = 0.5 * (
        np.abs(lags + 1.0) ** alpha - 2 * np.abs(lags * 1.0) ** alpha + np.abs(lags - 1.0) ** alpha
    )
    for lag in lags:
        found = (steps[:, : 49 - lag] * steps[:, lag:]).mean()
        assert found == pytest.approx(expected[lag], abs=0.012)
    cross = (steps[..., 0] * steps[..., 1]).mean()
    assert abs(cross) < 0.01  # the two coordinates are independent


def test_same_seed_same_trajectories_and_exponents_in_range() -> None:
    for index, kind in enumerate(CLASSES):
        a, alpha = simulate_steps(index, 5, 64, generator=torch.Generator().manual_seed(3))
        b, _ = simulate_steps(index, 5, 64, generator=torch.Generator().manual_seed(3))
        assert torch.equal(a, b)
        assert a.shape == (5, 63, 2)
        assert torch.isfinite(a).all()
        assert (alpha >= kind.alpha_low).all()
        assert (alpha <= kind.alpha_high).all()


def test_a_single_point_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        simulate_steps(0, 1, 1, generator=torch.Generator())
