"""Against trackpy, to the last bit."""

from collections.abc import Callable

import numpy as np
import pytest
import trackpy

from spt_explain.movies.locate import band_pass
from spt_explain.movies.peaks import centres, disc, highest_of_close, maxima

Render = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.mark.parametrize("percentile", [0, 64])
@pytest.mark.parametrize("separation", [3, 4, 5, 8])
def test_maxima(separation: int, percentile: float) -> None:
    frame = np.random.default_rng(separation).integers(0, 400, (60, 47)).astype(np.uint16)
    frame[20:30, 20:30] = 390  # a flat top
    frame[40:50, 10:30] = 0
    ours = maxima(frame, separation, percentile, 3)
    theirs = trackpy.find.grey_dilation(frame, separation, percentile, 3, precise=False)
    np.testing.assert_array_equal(ours, theirs)
    assert len(ours) > 20
    assert len(maxima(frame * 0, separation, percentile, 3)) == 0


@pytest.mark.parametrize("radius", range(1, 26))
def test_disc(radius: int) -> None:
    np.testing.assert_array_equal(disc(radius), trackpy.masks.binary_mask(radius, 2))


@pytest.mark.parametrize("seed", range(5))
def test_of_close_ones_the_highest_stays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    yx = np.concatenate([rng.uniform(0, 40, (150, 2)), rng.integers(0, 40, (150, 2))])
    height = rng.integers(0, 4, 300).astype(float)  # many as high
    left_out = np.flatnonzero(~highest_of_close(yx, 5, height))
    np.testing.assert_array_equal(left_out, trackpy.find.where_close(yx, (5, 5), height))
    assert 50 < len(left_out) < 300
    assert highest_of_close(yx[:0], 5, height[:0]).tolist() == []


@pytest.mark.parametrize("diameter", [5, 7, 11])
def test_centres(diameter: int, render: Render) -> None:
    movie, _ = render(n_frames=1, side=100)
    light = np.clip(band_pass(movie[0].astype(float), diameter), 0, None)
    whole = (60_000 / light.max() * light).astype(np.uint16)
    whole[40:60, 40:60] = 0
    radius = diameter // 2
    peaks = maxima(whole, 3, 0, radius)
    assert len(peaks) > 150
    # at the borders, and where there is no light, the mask stays
    peaks = np.vstack([peaks, [(50, 50), (radius, 99 - radius)]])
    yx, mass = centres(whole, peaks, diameter)
    args = {"engine": "python", "characterize": False}
    theirs = trackpy.refine.refine_com_arr(whole, whole, radius, peaks, **args)
    np.testing.assert_array_equal(np.column_stack([yx, mass]), theirs)
    assert (np.abs(yx - peaks) > 0.6).any()  # where the mask had to move
