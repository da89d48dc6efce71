import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.xddpm.layout import Layout, bin_for, binned


def test_binning_is_the_mean_of_squares_and_of_what_is_left_at_the_edge():
    frame = np.arange(35, dtype=np.uint16).reshape(5, 7)
    small = binned(frame, 3)
    assert small.shape == (2, 3)
    assert small.dtype == np.float32
    assert small[0, 0] == frame[:3, :3].mean()
    assert small[1, 2] == frame[3:, 6:].mean()
    np.testing.assert_array_equal(binned(frame, 1), frame)
    np.testing.assert_array_equal(binned(frame[None], 3)[0], small)


def test_sixteen_bit_frames_don_t_overflow():
    assert binned(np.full((64, 64), 65535, np.uint16), 64) == 65535


def test_maps_come_back_to_the_pixels_they_were_made_of():
    layout = Layout(None, 4, 4, 3)
    small = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    large = layout.spread(small, 5, 7)
    assert large.shape == (1, 5, 7)
    assert (large[0, :3, :3] == 0).all()
    assert (large[0, 3:, 6:] == 5).all()
    # what is counted is shared: the sum over the movie's pixels is that over the squares
    assert (large * layout.share(5, 7)).sum() == pytest.approx(small.sum())


def test_whole_frames_are_at_most_64_px_a_side():
    assert bin_for(512, 512) == 8
    assert bin_for(64, 20) == 1
    assert bin_for(65, 20) == 2


@pytest.mark.parametrize(
    "values", [(4, 20, 20, 1), (32, 0, 20, 1), (32, 20, 0, 1), (32, 20, 20, 0)]
)
def test_layouts_that_can_t_be_cut(values):
    with pytest.raises(SptError, match="expected at least"):
        Layout(*values)
