import numpy as np
import pytest

from spt_explain.resandi.populations import estimate
from spt_explain.training.confusions import fit, fit_confusions, simulate_recordings


def a_network_that_mistakes_noise(n, rng, level):
    """Probabilities of two classes by one that does not know the noise: x ~ N(±1 + noise, 1)."""
    label = rng.integers(2, size=n)
    x = rng.normal(2.0 * label - 1 + level)
    a = np.exp(-((x[:, None] - np.array([-1, 0])) ** 2) / 2).sum(axis=1)
    b = np.exp(-((x[:, None] - np.array([1, 2])) ** 2) / 2).sum(axis=1)
    p = np.stack([a, b], axis=1)
    return p / p.sum(axis=1, keepdims=True), label


def test_fractions_are_right_at_a_noise_that_the_network_cannot_see():
    rng = np.random.default_rng(0)
    level = rng.integers(2, size=20_000)
    p, label = a_network_that_mistakes_noise(20_000, rng, level)
    confusions = fit(p, np.full(20_000, 30), label, level, (0.0, 1.0))
    assert confusions.systematic < 0.03
    for noise in (0, 1):
        q, truth = a_network_that_mistakes_noise(12_000, rng, np.full(12_000, noise))
        few = np.concatenate([np.flatnonzero(truth == 0)[:3000], np.flatnonzero(truth == 1)[:1000]])
        joint = confusions.joint(q[few], np.full(4000, 30))
        fraction, _, _, levels = estimate(joint)
        blind = estimate(q[few][:, :, None])[0]
        assert fraction[1] == pytest.approx(0.25, abs=0.03)
        assert abs(blind[1] - 0.25) > 0.07
        assert levels[noise] > 0.8


def test_simulated_recordings_have_the_length_and_noise_asked_for():
    label = np.array([7, 2, 7, 1])
    length = np.array([400, 12, 300, 25])
    paths = simulate_recordings(label, length, np.array([0.0, 0.5, 2.0, 1.0]), seed=1)
    assert paths.shape == (length.sum(), 2)
    again = simulate_recordings(label, length, np.array([0.0, 0.5, 2.0, 1.0]), seed=1)
    np.testing.assert_array_equal(paths, again)
    clean, noisy = (np.diff(paths[a:b], axis=0) for a, b in ((0, 400), (412, 712)))
    # steps of unit variance, and of 1 + 2σ² with noise on both ends
    assert clean.var() == pytest.approx(1, rel=0.15)
    assert noisy.var() == pytest.approx(1 + 2 * 4, rel=0.25)


def test_a_classifier_is_asked_once_for_every_trajectory():
    class Network:
        class weights:  # noqa: N801
            name = "fake"

            class architecture:  # noqa: N801
                classes = ("BM", "SupLW")

        def predict(self, positions, offsets):
            starts, ends = positions[offsets[:-1]], positions[offsets[1:] - 1]
            reach = np.linalg.norm(ends - starts, axis=1) / np.diff(offsets)
            p = np.clip(reach / 2, 0.01, 0.99)

            class Prediction:
                probabilities = np.stack([1 - p, p], axis=1)

            return Prediction

    seen = []
    confusions = fit_confusions(
        Network(), tracks=601, noise=(0.0, 1.0), progress=lambda *at: seen.append(at)
    )
    assert seen[-1] == (602, 602)
    assert confusions.coefficients.shape == (11, 4)
    same = fit_confusions(Network(), tracks=601, noise=(0.0, 1.0))
    np.testing.assert_array_equal(confusions.coefficients, same.coefficients)
