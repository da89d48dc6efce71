import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spt_explain.diffusion.field import arrange


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=25),
    spacing=st.floats(1, 20),
    scale=st.floats(0, 30),
    seed=st.integers(0, 99),
)
def test_tracks_keep_their_shape_and_their_distance(
    lengths: list[int], spacing: float, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    counts = np.array(lengths)
    positions = rng.normal(scale=scale, size=(counts.sum(), 2)).cumsum(axis=0)
    placed, field = arrange(positions, counts, spacing)
    cuts = np.cumsum(counts)[:-1]
    before, after = np.split(positions, cuts), np.split(placed, cuts)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(np.diff(a, axis=0), np.diff(b, axis=0), atol=1e-7)
    size = np.array([field.width_px, field.height_px])
    assert (placed >= spacing - 1e-6).all()
    assert (placed <= size - 1 - spacing + 1e-6).all()
    boxes = [(b.min(axis=0), b.max(axis=0)) for b in after]
    for i, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:i]:
            apart = np.maximum(other_low - high, low - other_high)
            assert apart.max() >= spacing - 1e-6


def test_the_field_is_about_square_and_well_filled() -> None:
    rng = np.random.default_rng(0)
    lengths = np.full(200, 40)
    positions = rng.normal(size=(8000, 2)).cumsum(axis=0)
    _, field = arrange(positions, lengths, 10.0)
    assert field.width_px / field.height_px == pytest.approx(1, abs=0.35)
    boxes = [np.ptp(part, axis=0) + 10 for part in np.split(positions, 200)]
    assert sum(w * h for w, h in boxes) > 0.6 * field.width_px * field.height_px
