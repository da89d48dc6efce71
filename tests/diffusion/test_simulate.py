"""Our simulators against the official ones, through stored statistics of theirs, and blur."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import integrate
from scipy.stats import chisquare, ks_2samp

from spt_explain.diffusion import simulate
from spt_explain.diffusion.classes import CLASS_NAMES, CLASSES
from spt_explain.diffusion.simulate import (
    attm_amplitude,
    blurred_msd,
    fbm_steps,
    sbm_amplitude,
    simulate_steps,
)

DATA = Path(__file__).resolve().parents[1] / "data"
_spec = importlib.util.spec_from_file_location(
    "make_andi_reference", DATA / "make_andi_reference.py"
)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

CTRW = CLASS_NAMES.index("SubCTRW")
LW = CLASS_NAMES.index("SupLW")
BM = CLASS_NAMES.index("BM")


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _positions(steps: torch.Tensor, length: int) -> np.ndarray:
    steps = steps[:, : length - 1].double().numpy()
    deviation = steps.std(axis=1, keepdims=True)
    # the official normalisation leaves an axis without any variation as it is
    still = deviation < 1e-9 * np.abs(steps).max(axis=(1, 2), keepdims=True)
    steps = steps / np.where(still, 1, deviation)
    return np.concatenate([np.zeros((len(steps), 1, 2)), steps.cumsum(axis=1)], axis=1)


def _statistics(steps: torch.Tensor) -> np.ndarray:
    """Statistics of the moving ones among trajectories."""
    moving = (steps != 0).any(-1).any(-1)
    return reference.statistics(_positions(steps[moving], steps.size(1) + 1))


def _p_values(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    return {
        name: ks_2samp(ours[:, c], theirs[:, c], method="asymp").pvalue
        for c, name in enumerate(reference.NAMES)
    }


def test_all_six_statistics_are_compared() -> None:
    """The simulators are to agree in these (and in the displacement over ten steps)."""
    assert set(reference.NAMES) > {
        "step", "autocorrelation", "zero_fraction", "kurtosis", "variance_ratio", "extent"
    }  # fmt: skip
    # a path whose statistics are known: three steps of (1, 0), (0, 0), (-1, 0), (0, 1)
    path = np.tile(np.array([[1, 0], [0, 0], [-1, 0], [0, 1.0]]), (4, 1)).cumsum(0)
    path = np.concatenate([[[0.0, 0.0]], path])[None]
    found = dict(zip(reference.NAMES, reference.statistics(path)[0], strict=True))
    rms = np.sqrt(12 / 32)  # 12 unit moves on 16 steps of two axes
    assert found["step"] == pytest.approx(1 / rms)
    assert found["zero_fraction"] == 0.25
    assert found["autocorrelation"] == pytest.approx(0, abs=1e-7)
    assert found["kurtosis"] == pytest.approx(32 / 12)
    assert found["variance_ratio"] == pytest.approx(0, abs=1e-6)
    assert found["extent"] == pytest.approx(4 / rms)


@pytest.mark.parametrize("length", reference.LENGTHS)
@pytest.mark.parametrize("index", range(8), ids=CLASS_NAMES)
def test_same_law_as_andi_datasets(index: int, length: int) -> None:
    """Prefixes of longer trajectories, with motion as in the protocol, which draws them again."""
    official = np.load(DATA / "andi_reference.npz")[f"length_{length}"][index]
    steps, _ = simulate_steps(
        index,
        2500,
        400,
        generator=_generator(10 + index),
        moves_within=torch.full((2500,), length),
    )
    found = _p_values(reference.statistics(_positions(steps, length)), official)
    for name, p in found.items():
        # 112 comparisons on one stored sample: 1e-5 keeps a false alarm below 0.2 %
        assert p > 1e-5, f"{name} differs (p = {p:.1e})"


def test_the_comparison_can_tell_a_wrong_law() -> None:
    official = np.load(DATA / "andi_reference.npz")["length_300"]
    for index in range(7):
        assert min(_p_values(official[index], official[BM]).values()) < 1e-8


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
        for exposure in (None, torch.full((5,), 0.7)):
            args = (index, 5, 64)
            a, alpha = simulate_steps(*args, generator=_generator(3), exposure=exposure)
            b, _ = simulate_steps(*args, generator=_generator(3), exposure=exposure)
            assert torch.equal(a, b)
            assert a.shape == (5, 63, 2)
            assert a.dtype == torch.float32
            assert torch.isfinite(a).all()
            assert (alpha >= kind.alpha_low).all()
            assert (alpha <= kind.alpha_high).all()


def test_exponents_asked_for_are_used() -> None:
    alpha = torch.tensor([0.2, 0.8]).repeat_interleave(2000)
    steps, used = simulate_steps(
        CLASS_NAMES.index("SubFBM"), 4000, 40, generator=_generator(), alpha=alpha
    )
    assert torch.equal(used, alpha)
    msd = (steps.cumsum(1)[:, 31] ** 2).mean(1).view(2, 2000).mean(1)
    np.testing.assert_allclose(msd, [32**0.2, 32**0.8], rtol=0.1)


def test_a_single_point_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        simulate_steps(0, 1, 1, generator=torch.Generator())


@pytest.mark.parametrize("n_points", [2, 3, 65, 66, 67])
def test_any_number_of_points(n_points: int) -> None:
    for index in range(8):
        for exposure in (None, torch.full((7,), 0.5)):
            steps, _ = simulate_steps(index, 7, n_points, generator=_generator(), exposure=exposure)
            assert steps.shape == (7, n_points - 1, 2)


def test_scaled_brownian_motion_has_the_msd_of_its_exponent() -> None:
    alpha = torch.tensor([0.1, 1.0, 1.9])
    amplitude = sbm_amplitude(alpha, 500, torch.device("cpu")).double().numpy()
    t = np.arange(2, 501)
    expected = t[None] ** alpha.double().numpy()[:, None] - 1
    np.testing.assert_allclose((amplitude**2).cumsum(1), expected, rtol=1e-5)


def test_attm_amplitudes_stay_within_float32() -> None:
    alpha = torch.tensor([0.1, 0.5, 0.9]).repeat(400)
    amplitude = attm_amplitude(alpha, 200, _generator())
    assert amplitude.shape == (1200, 199)
    assert torch.equal(amplitude.amax(1), torch.ones(1200))
    assert (amplitude > 0).all()
    # u ≤ 0.9 lasts u^(−1/α) frames, at least one: long at small α, so few regimes
    changes = (amplitude.diff(dim=1) != 0).float().sum(1).view(400, 3).mean(0)
    assert changes[0] < changes[1] < changes[2]
    # regimes of d frames have u in ((d+1)^−α, d^−α], and amplitudes in the order of u
    row = amplitude[2::3]
    longest = 0
    for a in row.tolist():
        edges = [0, *[i for i in range(1, len(a)) if a[i] != a[i - 1]], len(a)]
        runs = [(edges[i + 1] - edges[i], a[edges[i]]) for i in range(len(edges) - 2)]
        for d, x in runs:
            for e, y in runs:
                if d > e:  # lasts longer, so it is slower
                    assert x <= y
                    longest = max(longest, d)
    assert longest > 20


# --- motion within n points


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_no_walk_without_a_jump_where_one_is_asked_for(alpha: float) -> None:
    within = torch.arange(2, 52).repeat(200)
    steps, _ = simulate_steps(
        CTRW,
        len(within),
        60,
        generator=_generator(),
        alpha=torch.full((len(within),), alpha),
        moves_within=within,
    )
    first = (steps != 0).any(-1).float().argmax(1)
    assert (steps != 0).any(-1).any(-1).all()
    assert (first < within - 1).all()


@pytest.mark.parametrize("u", [0.0, 1 - 2**-24])
def test_the_extreme_random_numbers_move_too(monkeypatch, u: float) -> None:
    """`torch.rand` gives multiples of 2⁻²⁴ in [0, 1)."""
    monkeypatch.setattr(simulate, "_rand", lambda _, *shape: torch.full(shape, u))
    for alpha in (0.1, 0.13, 0.3, 0.9):
        within = torch.arange(2, 1001)
        steps, _ = simulate_steps(
            CTRW,
            len(within),
            1000,
            generator=_generator(),
            alpha=torch.full((len(within),), alpha),
            moves_within=within,
        )
        still = [
            int(n) for n, s in zip(within, steps, strict=True) if not (s[: int(n) - 1] != 0).any()
        ]
        assert still == []


def test_the_first_jump_has_the_law_of_rejection_sampling() -> None:
    alpha, within, n = 0.3, 20, 20000
    steps, _ = simulate_steps(
        CTRW,
        n,
        40,
        generator=_generator(1),
        alpha=torch.full((n,), alpha),
        moves_within=torch.full((n,), within),
    )
    first = (steps != 0).any(-1).float().argmax(1).numpy()
    # P(floor of the wait is k | it ends within) for k = 1 … within − 1, in step k − 1
    k = np.arange(1, within)
    expected = (k**-alpha - (k + 1.0) ** -alpha) / (1 - within**-alpha)
    found = np.bincount(first, minlength=within - 1)
    assert chisquare(found, n * expected).pvalue > 1e-4
    # drawn again until it moves, at the same exponent
    drawn, alphas = simulate_steps(CTRW, 4000, 40, generator=_generator(2))
    generator = _generator(3)
    for _ in range(500):
        still = (drawn[:, : within - 1] == 0).all(-1).all(-1).nonzero()[:, 0]
        if len(still) == 0:
            break
        drawn[still] = simulate_steps(
            CTRW, len(still), 40, generator=generator, alpha=alphas[still]
        )[0]
    ours, _ = simulate_steps(
        CTRW, 4000, 40, generator=_generator(4), moves_within=torch.full((4000,), within)
    )
    for size in (within - 1, 39):  # within, and beyond
        values = _p_values(_statistics(ours[:, :size]), _statistics(drawn[:, :size]))
        assert min(values.values()) > 1e-4


def test_without_it_walks_rest_as_often_as_their_law_says() -> None:
    alpha, n = 0.5, 20000
    steps, _ = simulate_steps(CTRW, n, 26, generator=_generator(), alpha=torch.full((n,), alpha))
    still = (steps == 0).all(-1).all(-1).float().mean().item()
    assert still == pytest.approx(26**-alpha, abs=0.011)  # no jump before frame 26


# --- motion blur


@pytest.mark.parametrize("e", [0.2, 0.6, 1.0])
def test_blurred_brownian_motion_has_the_known_covariance(e: float) -> None:
    """Berglund 2010, doi:10.1103/PhysRevE.82.011917: 1 − e/3, then e/6, then nothing."""
    n = 6000
    steps, _ = simulate_steps(BM, n, 102, generator=_generator(), exposure=torch.full((n,), e))
    for lag, expected in enumerate([1 - e / 3, e / 6, 0, 0]):
        found = (steps[:, lag:] * steps[:, : 101 - lag]).mean().item()
        assert found == pytest.approx(expected, abs=0.006), f"lag {lag}"


def _msd_by_integration(lag: float, alpha: float, e: float) -> float:
    """⟨(X̄(t+τ) − X̄(t))²⟩ of means over e, by integrating over the two times within e."""

    def mean_of(shift: float) -> float:  # of |shift + u − v|^α, u and v uniform in (0, e)
        def density(w: float) -> float:  # of w = u − v
            return (e - abs(w)) / e**2 * abs(shift + w) ** alpha

        cuts = sorted({-e, 0.0, e, *([-shift] if shift < e else [])})
        parts = [
            integrate.quad(density, a, b, epsabs=1e-13, epsrel=1e-11)[0]
            for a, b in itertools.pairwise(cuts)
        ]
        return sum(parts)

    return mean_of(lag) - mean_of(0)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 1.5, 1.9])
def test_blurred_msd_is_the_double_integral(alpha: float) -> None:
    lags = [0, 1, 2, 3, 6, 7, 8, 9, 20, 513]
    exposures = [0.002, 0.1, 0.5, 0.999, 1.0]
    found = blurred_msd(
        torch.arange(514, dtype=torch.float64),
        torch.full((len(exposures),), alpha, dtype=torch.float64),
        torch.tensor(exposures, dtype=torch.float64),
    )[:, lags].numpy()
    expected = [[_msd_by_integration(lag, alpha, e) for lag in lags] for e in exposures]
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1e-8)


def test_the_integral_over_differences_is_the_one_over_both_times() -> None:
    """What the last test compares with, itself against a plain double integral."""
    e, alpha, lag = 0.7, 1.4, 2
    moved = integrate.dblquad(lambda u, v: (lag + u - v) ** alpha, 0, e, 0, e)[0] / e**2
    rest = 2 * integrate.dblquad(lambda u, v: (v - u) ** alpha, 0, e, 0, lambda v: v)[0] / e**2
    assert _msd_by_integration(lag, alpha, e) == pytest.approx(moved - rest, rel=1e-7)


@pytest.mark.parametrize("alpha", [0.3, 1.7])
def test_blurred_fbm_has_the_covariance_of_the_integral(alpha: float) -> None:
    n, e = 20000, 0.8
    steps = fbm_steps(torch.full((n,), alpha), 50, _generator(1), torch.full((n,), e))
    msd = np.array([_msd_by_integration(abs(lag), alpha, e) for lag in range(-1, 7)])
    for lag in range(6):
        expected = 0.5 * (msd[lag + 2] - 2 * msd[lag + 1] + msd[lag])
        found = (steps[:, : 49 - lag] * steps[:, lag:]).mean().item()
        assert found == pytest.approx(expected, abs=0.012), f"lag {lag}"


FINE = 16
"""Instants of a frame in the finely simulated paths that follow."""


def _averaged(fine: np.ndarray, e: float) -> torch.Tensor:
    """Displacements of the mean over the first share e of each frame.

    `fine`, (n, frames · FINE + 1, 2), holds the path at every instant; the mean is by trapezoids.
    """
    instants = round(e * FINE)
    frames = fine.shape[1] // FINE
    means = []
    for k in range(frames):
        piece = fine[:, k * FINE : k * FINE + instants + 1]
        means.append((piece[:, 1:] + piece[:, :-1]).mean(axis=1) / 2)
    return torch.from_numpy(np.diff(np.stack(means, axis=1), axis=1))


def _fine_path(index: int, alpha: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return positions at every instant of `frames` frames, independently of the code tested."""
    n, kind = len(alpha), CLASSES[index].model
    instants = frames * FINE
    times = np.arange(instants + 1) / FINE
    if kind in ("bm", "sbm"):  # from time 1 on, as the official simulator has it
        deviation = np.sqrt(np.diff((1 + times[None]) ** alpha[:, None], axis=1))
    elif kind == "attm":  # regimes last whole frames; their law is compared elsewhere
        frame = attm_amplitude(torch.from_numpy(alpha).float(), frames + 1, _generator(77))
        deviation = np.repeat(frame.double().numpy(), FINE, axis=1) / np.sqrt(FINE)
    elif kind == "fbm":  # self-similar: the unit of time does not matter
        steps = fbm_steps(torch.from_numpy(alpha).float(), instants + 1, _generator(78))
        return np.concatenate([np.zeros((n, 1, 2)), steps.double().numpy().cumsum(1)], axis=1)
    elif kind == "ctrw":
        waits = (1 - rng.random((n, frames + 2))) ** (-1 / alpha[:, None])
        ends = waits.cumsum(1)
        jumps = rng.normal(size=(n, frames + 2, 2))
        path = np.zeros((n, instants + 1, 2))
        for i in range(n):  # from time 1 on: no wait is shorter
            done = np.searchsorted(ends[i], 1 + times, side="right")
            path[i] = np.concatenate([[[0.0, 0.0]], jumps[i].cumsum(0)])[done]
        return path
    else:
        speed = 10 * rng.random(n)
        path = np.zeros((n, instants + 1, 2))
        for i in range(n):
            lasts = np.floor((1 - rng.random(frames + 2)) ** (-1 / (3 - alpha[i])))
            lasts[0] -= 1  # the official simulator discards the first frame
            angle = 2 * np.pi * rng.random(frames + 2)
            corners = np.concatenate([[0.0], lasts.cumsum()])
            for axis, way in enumerate((np.cos(angle), np.sin(angle))):
                at = np.concatenate([[0.0], (lasts * speed[i] * way).cumsum()])
                path[i, :, axis] = np.interp(times, corners, at)
        return path
    steps = deviation[..., None] * rng.normal(size=(n, instants, 2))
    return np.concatenate([np.zeros((n, 1, 2)), steps.cumsum(1)], axis=1)


@pytest.mark.parametrize("e", [0.5, 1.0])
@pytest.mark.parametrize("index", range(8), ids=CLASS_NAMES)
def test_blur_is_the_average_of_a_path_within_the_frame(index: int, e: float) -> None:
    n, frames = 1500, 31
    kind = CLASSES[index]
    rng = np.random.default_rng(index)
    alpha = rng.uniform(kind.alpha_low, kind.alpha_high, n)
    explicit = _averaged(_fine_path(index, alpha, frames, rng), e)
    ours, _ = simulate_steps(
        index,
        n,
        frames,
        generator=_generator(index),
        alpha=torch.from_numpy(alpha).float(),
        exposure=torch.full((n,), e),
    )
    found = _p_values(_statistics(ours), _statistics(explicit))
    for name, p in found.items():
        # 112 comparisons again
        assert p > 1e-5, f"{name} differs (p = {p:.1e})"


@pytest.mark.parametrize("index", range(8), ids=CLASS_NAMES)
def test_blur_makes_a_difference_that_the_comparison_sees(index: int) -> None:
    n = 1500
    sharp, _ = simulate_steps(index, n, 31, generator=_generator(1))
    blurred, _ = simulate_steps(index, n, 31, generator=_generator(2), exposure=torch.ones(n))
    assert min(_p_values(_statistics(sharp), _statistics(blurred)).values()) < 1e-6


@pytest.mark.parametrize("index", range(8), ids=CLASS_NAMES)
def test_no_exposure_is_no_blur(index: int) -> None:
    n = 1500
    sharp, _ = simulate_steps(index, n, 31, generator=_generator(1))
    for e in (0.0, 1e-5):
        still, _ = simulate_steps(
            index, n, 31, generator=_generator(2), exposure=torch.full((n,), e)
        )
        assert min(_p_values(_statistics(sharp), _statistics(still)).values()) > 1e-5


def test_exposures_belong_to_their_trajectories() -> None:
    """One call with two exposures: each trajectory has its own."""
    e = torch.tensor([0.0, 1.0]).repeat(3000)
    for index in (BM, CLASS_NAMES.index("SubFBM"), CLASS_NAMES.index("SupSBM")):
        steps, _ = simulate_steps(
            index, 6000, 40, generator=_generator(5), exposure=e, alpha=torch.ones(6000)
        )
        variance = (steps**2).mean((1, 2)).view(3000, 2).mean(0)
        np.testing.assert_allclose(variance[1] / variance[0], 2 / 3, atol=0.02)
