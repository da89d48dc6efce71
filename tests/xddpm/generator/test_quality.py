import numpy as np
import pytest
from scipy.spatial.distance import cdist

from spt_explain.xddpm.generator.generator import Range, Samples
from spt_explain.xddpm.generator.quality import (
    nearest,
    neighbours,
    noise_quality,
    quality,
    signal_distance,
)


def test_noise_is_told_from_what_is_not():
    rng = np.random.default_rng(1)
    w, masks = rng.normal(size=(4, 5, 50, 50)), np.zeros((4, 5, 50, 50))
    masks[..., :25] = 1
    w[..., :25] = 7  # relevant pixels don't count
    good = noise_quality(w, masks)
    assert good.share == pytest.approx(0.5)
    assert good.std == pytest.approx(1, abs=0.02)
    assert good.ks < 0.01
    # KS distance of N(0, 0.776²) from N(0, 1), by its densities crossing
    assert noise_quality(0.776 * w, masks).ks == pytest.approx(0.062, abs=0.01)
    assert np.isnan(noise_quality(w, np.ones_like(w)).std)


def test_the_distance_of_a_shifted_signal_is_its_shift():
    data = np.random.default_rng(2).normal(10, 2, (500, 2))
    found = signal_distance(data + np.array([1.0, 0.0]), data)
    assert found.each == pytest.approx((1 / data[:, 0].std(), 0))
    assert found.w1 == pytest.approx(0.5 / data[:, 0].std())
    assert found.samples_mean - found.data_mean == pytest.approx(0.5)


def test_nearest_neighbours_and_copies():
    rng = np.random.default_rng(3)
    train, held, fresh = (rng.normal(size=(300, 2, 4, 4)).astype(np.float32) for _ in range(3))
    flat = [part.reshape(300, -1) for part in (fresh, train)]
    np.testing.assert_allclose(nearest(fresh, train), cdist(*flat).min(1) / np.sqrt(32), rtol=1e-4)
    honest = neighbours(fresh, train, held)
    assert honest.ratio == pytest.approx(1, abs=0.05)
    assert honest.copies < 0.05
    copied = neighbours(train[:50] + np.float32(0.01), train, held)
    assert copied.ratio < 0.05
    assert copied.copies == 1


def test_samples_of_the_data_themselves_are_good_but_copies(model, clips):
    masks = model.maps(clips).contribution
    samples = Samples(clips, masks, clips, "ddim", 1, 0)
    found = quality(model, samples, clips, clips[:6])
    assert found.neighbours.samples == pytest.approx(0, abs=1e-3)
    same = quality(model, samples, clips, clips)
    assert same.signal.w1 == pytest.approx(0, abs=1e-5)
    assert set(found.to_dict()) == {"noise", "signal", "neighbours"}


def test_a_perfect_generator_has_the_signal_of_what_it_learns(model, clips):
    many = np.random.default_rng(5).normal(120, 30, (400, *clips.shape[1:])).astype(np.float32)
    masks, units = model.maps(many).contribution, Range(115.0, 90.0)
    noise = np.random.default_rng(6).normal(size=masks.shape).astype(np.float32)
    standard = masks * units.apply(many) + np.sqrt(1 - masks**2) * noise
    samples = Samples(units.invert(standard), masks, standard, "ddim", 1, 0)
    blind = quality(model, samples, many[:10], many)
    fair = quality(model, samples, many[:10], many, through=units)
    assert fair.signal.w1 < 0.15
    assert blind.signal.w1 > 2 * fair.signal.w1
    assert fair.neighbours == blind.neighbours
