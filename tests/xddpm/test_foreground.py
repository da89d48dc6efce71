import numpy as np
import pytest

from spt_explain.xddpm.foreground import find_foreground, noise_of

Y, X = np.mgrid[:160, :160]


def _disc(radius, contrast, seed=0, sign=1):
    rng = np.random.default_rng(seed)
    cell = 1 / (1 + np.exp((np.hypot(Y - 80.3, X - 75.7) - radius) / 0.7))
    return [100 + sign * 10 * contrast * cell + 10 * rng.normal(size=cell.shape) for _ in range(4)]


@pytest.mark.parametrize(
    ("radius", "contrast", "within"),
    [(4, 20, 0.1), (10, 4, 0.05), (10, 20, 0.03), (30, 2, 0.02), (30, 20, 0.01), (60, 1, 0.03)],
)
def test_the_area_of_a_disc_in_noise(radius, contrast, within):
    frames = _disc(radius, contrast)
    level = find_foreground(frames)
    area = np.mean([level.cell(frame).sum() for frame in frames])
    assert area == pytest.approx(np.pi * radius**2, rel=within)
    assert level.background == pytest.approx(100, abs=0.5)
    assert level.threshold == pytest.approx(100 + 5 * contrast, rel=0.1)


def test_dark_cells_are_the_same_turned_over():
    frames = _disc(30, 4, sign=-1)
    assert find_foreground(frames).fills(frames)
    level = find_foreground(frames, dark=True)
    assert not level.fills(frames)
    assert level.cell(frames[0]).sum() == pytest.approx(np.pi * 900, rel=0.02)
    assert "below" in level.in_words()


@pytest.mark.parametrize("seed", range(4))
def test_noise_alone_has_no_cells(seed):
    rng = np.random.default_rng(seed)
    assert find_foreground([rng.normal(100, 10, (128, 128)) for _ in range(4)]) is None
    assert find_foreground([rng.poisson(3, (128, 128)).astype(float) for _ in range(4)]) is None


def test_blank_frames_and_a_hot_pixel():
    blank = np.full((40, 40), 7.0)
    assert find_foreground([blank]) is None
    assert find_foreground([np.ones((1, 1))]) is None
    rng = np.random.default_rng(1)
    hot = rng.normal(100, 3, (128, 128))
    hot[5, 5] = 60_000
    assert find_foreground([hot, hot]) is None


def test_a_given_threshold_is_taken():
    frames = _disc(30, 20)
    level = find_foreground(frames, threshold=180.0)
    assert level.threshold == 180
    assert find_foreground(frames, threshold=1e6) is None


def test_the_noise_is_measured_whatever_is_in_the_frame():
    frame = _disc(40, 30)[0] + 0.5 * X
    assert noise_of(frame) == pytest.approx(10, rel=0.05)
