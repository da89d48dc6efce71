"""Scale and blur of simulated paths against formulas derived independently."""

import numpy as np
import pytest
from scipy.integrate import dblquad

from spt_explain.diffusion import paths
from spt_explain.diffusion.classes import CLASS_NAMES, CLASSES
from spt_explain.diffusion.paths import simulate_paths
from spt_explain.errors import SptError


def _simulate(
    name: str, n: int, length: int, alpha: float | None = None, exposure: float = 0.0, seed: int = 0
) -> np.ndarray:
    """Return paths of one class, (n, length, 2)."""
    index = CLASS_NAMES.index(name)
    kind = CLASSES[index]
    rng = np.random.default_rng(seed)
    drawn = rng.uniform(kind.alpha_low, kind.alpha_high, n)
    flat = simulate_paths(
        np.full(n, index),
        drawn if alpha is None else np.full(n, alpha),
        np.full(n, length),
        np.full(n, exposure),
        seed,
    )
    return flat.reshape(n, length, 2)


@pytest.mark.parametrize("name", CLASS_NAMES)
@pytest.mark.parametrize("length", [2, 15, 80])
def test_the_mean_squared_displacement_of_a_frame_is_the_scale(name: str, length: int) -> None:
    squares = (np.diff(_simulate(name, 3000, length), axis=1) ** 2).sum(-1).mean(-1)
    error = squares.std() / np.sqrt(len(squares))
    assert squares.mean() == pytest.approx(2.0, abs=4 * error + 1e-5)
    if name == "SupLW":
        np.testing.assert_allclose(squares, 2.0, rtol=1e-5)
    else:
        assert error > 1e-3  # a track's own estimate of D varies, as a real one does


def test_the_first_position_is_the_origin_and_lengths_differ() -> None:
    lengths = np.array([5, 2, 9, 3])
    label = np.array([7, 2, 8, 5])  # the third stays where it is
    flat = simulate_paths(label, np.array([1, 0.5, np.nan, 1.5]), lengths, np.zeros(4), 1)
    parts = np.split(flat, np.cumsum(lengths)[:-1])
    assert [len(part) for part in parts] == [5, 2, 9, 3]
    for i, part in enumerate(parts):
        assert (part[0] == 0).all()
        assert (part[1:] == 0).all() == (i == 2)


@pytest.mark.parametrize("exposure", [0.3, 1.0])
@pytest.mark.parametrize("name", ["BM", "SubATTM", "SubCTRW"])
def test_blur_of_uncorrelated_motion_is_berglunds(name: str, exposure: float) -> None:
    """Berglund 2010, doi:10.1103/PhysRevE.82.011917: variance 1 − 2R, covariance R, R = e/6.

    With p the mean of the path over the first share e of a frame in which it moves by Δ, a step
    of p is (1 − w) Δ_k + w Δ_(k+1), where the mean of w is e/2 and that of w² is e/3 (for BM
    including its bridge): variance 1 − e + 2e/3, covariance with the next step e/2 − e/3.
    """
    alpha = 1.0 if name == "BM" else 0.9  # the least ageing, see below
    steps = np.diff(_simulate(name, 3000, 150, alpha, exposure), axis=1)
    r = exposure / 6
    variance = (steps**2).mean((1, 2))
    covariance = (steps[:, 1:] * steps[:, :-1]).mean((1, 2))
    beyond = (steps[:, 2:] * steps[:, :-2]).mean((1, 2))
    for found, expected in ((variance, 1 - 2 * r), (covariance, r), (beyond, 0.0)):
        error = found.std() / np.sqrt(len(found))
        # at the ends of a track a blurred step reaches into a frame that the scale leaves out
        assert found.mean() == pytest.approx(expected, abs=4 * error + 0.004)


@pytest.mark.parametrize(("name", "alpha"), [("SubFBM", 0.4), ("SupFBM", 1.6)])
def test_blur_of_fractional_motion_is_its_covariance_integrated(name: str, alpha: float) -> None:
    """Variance of a step of p = (1/e) ∫₀ᵉ B(t + s) ds by numerical integration."""
    e = 0.8

    def msd(lag: float) -> float:
        """Half of E|p(t + lag) − p(t)|² up to a constant: mean of |lag + s − s'|^α."""
        value, _ = dblquad(lambda s, u: abs(lag + s - u) ** alpha, 0, e, 0, e, epsabs=1e-5)
        return value / e**2

    expected = msd(1.0) - msd(0.0)
    steps = np.diff(_simulate(name, 4000, 40, alpha=alpha, exposure=e), axis=1)
    found = (steps**2).mean((1, 2))
    assert found.mean() == pytest.approx(expected, abs=4 * found.std() / np.sqrt(len(found)))


def test_blur_leaves_straight_flight_as_it_is_and_rounds_its_corners() -> None:
    sharp = np.linalg.norm(np.diff(_simulate("SupLW", 200, 60), axis=1), axis=-1)
    np.testing.assert_allclose(sharp, np.sqrt(2), rtol=1e-5)
    blurred = np.linalg.norm(np.diff(_simulate("SupLW", 200, 60, exposure=1.0), axis=1), axis=-1)
    assert (blurred <= np.sqrt(2) * (1 + 1e-5)).all()
    straight = np.isclose(blurred, np.sqrt(2), rtol=1e-5).mean()
    assert 0.3 < straight < 0.99


def test_every_track_moves_even_where_the_model_hardly_does() -> None:
    flat = _simulate("SubCTRW", 60, 3, alpha=0.05)
    assert (np.abs(flat).max(axis=(1, 2)) > 0).all()


def test_what_never_moves_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_REDRAWS", 1)
    with pytest.raises(SptError, match=r"SubCTRW with α = 0\.05 and 2 points hardly ever move"):
        _simulate("SubCTRW", 60, 2, alpha=0.05)


def test_progress_reaches_the_number_of_tracks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_CHUNK_POINTS", 100)
    heard: list[tuple[int, int]] = []
    simulate_paths(
        np.array([7] * 30 + [0] * 10), np.array([1.0] * 30 + [0.5] * 10), np.full(40, 25),
        np.zeros(40), 0, lambda done, total: heard.append((done, total)),
    )  # fmt: skip
    assert heard[-1] == (40, 40)
    assert len(heard) == 11  # four tracks of 25 points at a time, classes apart
