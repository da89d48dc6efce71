import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.modules import RandomMask, SmallProbe
from spt_explain.xddpm.evaluate.probes import (
    Encoding,
    encoding_check,
    fit_probe,
    fit_random_masks,
    r_squared,
)

N, T, SIZE = 240, 2, 12


def spots(seed=0):
    """A bright square whose brightness is the signal, beside one whose brightness is none."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(N, 1))
    clips = np.zeros((N, T, SIZE, SIZE), np.float32)
    truth = np.zeros(clips.shape, bool)
    for at in range(N):
        y, x = rng.integers(0, SIZE - 4, 2)
        truth[at, :, y : y + 4, x : x + 4] = True
        clips[at][truth[at]] = 3 + signal[at, 0]
    return clips, truth, (signal - signal.mean()) / signal.std()


def small():
    return SmallProbe(T, 1, 8)


def test_r_squared_is_sklearns():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(50, 3))
    told = real + rng.normal(0, [0.1, 1, 3], (50, 3))
    assert r_squared(told, real) == pytest.approx(r2_score(real, told))
    real[:, 1] = 2  # does not vary
    assert r_squared(told, real) == pytest.approx(r2_score(real[:, [0, 2]], told[:, [0, 2]]))


def test_random_masks_only_while_training():
    class Whole(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1)

    wrapped = RandomMask(Whole(), 5.0, keep=(0.2, 0.4))
    x = torch.ones(200, 2, 10, 10)
    assert (wrapped.eval()(x) == 1).all()
    torch.manual_seed(0)
    told = wrapped.train()(x)
    assert set(told.unique().tolist()) == {1.0, 5.0}
    kept = (told == 1).float().mean(1)
    assert kept.mean().item() == pytest.approx(0.3, abs=0.02)
    # another share for each clip: 0.2 to 0.4, wider than chance's 0.032
    assert kept.std().item() == pytest.approx((0.2**2 / 12 + 0.21 / 200) ** 0.5, rel=0.15)


def test_features_are_centred_on_those_of_clips_with_holes():
    clips, _, _ = spots()
    x = torch.from_numpy(clips) + 10
    torch.manual_seed(0)
    probe = SmallProbe(T, 1, 8)
    wrapped = RandomMask(probe, 0.0)
    wrapped.calibrate(x)
    with torch.no_grad():
        pooled = probe.features(wrapped.holed(x)).mean((2, 3))
    z = ((pooled - probe.centre) / probe.spread)[:, probe.spread > 2e-3]
    assert z.mean().abs() < 0.2
    assert z.std().item() == pytest.approx(1, abs=0.2)
    RandomMask(torch.nn.Flatten(), 0.0).calibrate(x)  # has nothing to calibrate


def test_a_regressor_fitted_with_holes_bears_them():
    clips, _, signal = spots()
    predict = fit_random_masks(
        SmallProbe(T, 1, 8), clips[:200], signal[:200], 0.0, steps=150, seed=1
    )
    plain = fit_probe(SmallProbe(T, 1, 8), clips[:200], signal[:200], steps=150, seed=1)
    holes = np.random.default_rng(2).random(clips[200:].shape) < 0.5
    holed = np.where(holes, 0, clips[200:]).astype(np.float32)
    assert r_squared(predict(clips[200:]), signal[200:]) > 0.5
    assert r_squared(predict(holed), signal[200:]) > r_squared(plain(holed), signal[200:]) + 0.3


def test_fits_repeat():
    clips, _, signal = spots()
    told = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = SmallProbe(T, 1, 4)
        told.append(fit_probe(network, clips, signal, steps=10, seed=3)(clips[:5]))
    np.testing.assert_array_equal(*told)


def test_a_mask_that_points_and_one_that_encodes():
    clips, truth, signal = spots()
    points = encoding_check(truth, clips, signal, 0.0, truth=truth, network=small, steps=100)
    assert points.r2_masked > 0.9
    assert points.r2_map < 0.2
    assert not points.encodes()
    # as large as the signal, in a corner where nothing is
    code = np.zeros(clips.shape, np.float32)
    code[:, :, :2, :6] = 1 / (1 + np.exp(-signal))[:, :, None, None]
    encodes = encoding_check(code, clips, signal, 0.0, truth=truth, network=small, steps=100)
    assert encodes.r2_map > 0.8
    assert encodes.encodes()


def test_a_true_map_that_tells_its_signal_is_no_code():
    # an area: the true map tells it, and so may M
    assert not Encoding(0.95, 0.97, 0.97, 0.96).encodes()
    assert Encoding(0.95, 0.97, 0.97, 0.3).encodes()
    assert Encoding(0.95, 0.97, 0.97).encodes()
    assert not Encoding(0.05, 0.04, 0.97).encodes()


def test_refused():
    clips, truth, signal = spots()
    with pytest.raises(SptError, match="two clips or more"):
        encoding_check(truth[:3], clips[:3], signal[:3], 0.0)
    with pytest.raises(SptError, match="as many signals as clips"):
        encoding_check(truth, clips, signal[:9], 0.0)
    with pytest.raises(SptError, match="each clip needs one"):
        fit_probe(SmallProbe(T, 1), clips, signal[:9])
