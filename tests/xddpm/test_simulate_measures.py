import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import binary_erosion

from spt_explain.xddpm.simulate.measures import inside, outline_length, ring


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)))
def test_ring_is_what_an_erosion_by_nine_pixels_takes_away(cell):
    eroded = binary_erosion(cell, np.ones((3, 3)), border_value=1)
    np.testing.assert_array_equal(ring(cell), cell & ~eroded)


@given(st.integers(2, 8), st.integers(2, 8))
def test_ring_of_a_rectangle(height, width):
    cell = np.zeros((2, 12, 12), bool)
    cell[1, 2 : 2 + height, 2 : 2 + width] = True
    np.testing.assert_array_equal(ring(cell).sum(axis=(1, 2)), [0, 2 * (height + width) - 4])


def test_where_a_cell_touches_the_frame_is_no_outline():
    cell = np.zeros((6, 6), bool)
    cell[3:, 1:5] = True
    expected = np.zeros_like(cell)
    expected[3, 1:5] = expected[3:, 1] = expected[3:, 4] = True
    np.testing.assert_array_equal(ring(cell), expected)


@pytest.mark.parametrize("radius", [5.0, 8.3, 12.0])
@pytest.mark.parametrize("width", [0.8, 1.5])
def test_area_and_circumference_of_a_circle(disc, radius, width):
    phase = disc(40, radius, width, (19.2, 19.7)).numpy()[0, 0]
    assert inside(phase).sum() == pytest.approx(np.pi * radius**2, rel=0.04)
    assert float(outline_length(phase)) == pytest.approx(2 * np.pi * radius, rel=0.015)


def test_length_does_not_depend_on_direction_and_the_wall_is_no_part_of_it():
    y, x = np.mgrid[:40, :40]
    lengths = []
    for angle in (0, np.pi / 8, np.pi / 5):
        along = (x - 19.5) * np.cos(angle) + (y - 19.5) * np.sin(angle)
        phase = 1 / (1 + np.exp(-along / 0.8))
        lengths.append(float(outline_length(phase.astype(np.float32))) * np.cos(angle))
    np.testing.assert_allclose(lengths, 40, rtol=0.02)
