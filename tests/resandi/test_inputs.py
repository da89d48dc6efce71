import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.inputs import build_inputs
from spt_explain.training.batches import build_inputs as build_on_device

KINDS = pytest.mark.parametrize("kind", ["positions", "positions+displacements"])
PADDINGS = pytest.mark.parametrize("padding", ["start", "masked"])


def _one_by_one(positions, starts, stops, window, displacements, masked):
    """The definition, spelt out for one trajectory at a time."""
    out = []
    for start, stop in zip(starts, stops, strict=True):
        path = positions[start:stop] - positions[start]
        padded = np.concatenate([np.zeros((window - len(path), 2)), path])
        inside = np.arange(window) >= window - len(path)
        channels = []
        for axis in (0, 1):
            low, high = padded[:, axis].min(), padded[:, axis].max()
            scaled = (padded[:, axis] - low) / ((high - low) or 1)
            channels.append(scaled * inside if masked else scaled)
        if displacements:
            for axis in (0, 1):
                steps = np.zeros(window)
                moved = np.diff(path[:, axis])
                rms = np.sqrt((moved**2).mean()) if len(moved) else 0.0
                if len(moved):
                    steps[-len(moved) :] = moved / (rms or 1)
                channels.append(steps)
        if masked:
            channels.append(inside)
        out.append(channels)
    return np.asarray(out, np.float32)


@PADDINGS
@KINDS
def test_matches_the_definition(kind, padding):
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(300, 2)).cumsum(0)
    starts = np.array([0, 10, 40, 140, 141])
    stops = np.array([10, 40, 140, 141, 300])
    found = build_inputs(positions, starts, stops, window=200, kind=kind, padding=padding)
    displacements, masked = kind != "positions", padding == "masked"
    expected = _one_by_one(positions, starts, stops, 200, displacements, masked)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    architecture = Architecture(inputs=kind, window=200, padding=padding)
    assert found.shape == (5, architecture.channels, 200)


@KINDS
def test_masked_padding_is_zero_whatever_its_length(kind):
    rng = np.random.default_rng(3)
    positions = rng.normal(size=(100, 2)).cumsum(0) + 7
    starts, stops = np.array([0, 40, 41]), np.array([40, 41, 100])
    short = build_inputs(positions, starts, stops, window=64, kind=kind, padding="masked")
    for window in (128, 1024):
        long = build_inputs(positions, starts, stops, window=window, kind=kind, padding="masked")
        np.testing.assert_array_equal(long[..., -64:], short)
        assert not long[..., :-64].any()
    np.testing.assert_array_equal(short[:, -1].sum(1), [40, 1, 59])


@pytest.mark.parametrize("padded", [64, 128, 256, 512, 1024])
@PADDINGS
@KINDS
def test_training_sees_the_same_inputs(kind, padding, padded):
    rng = np.random.default_rng(1)
    lengths = np.array([2, 10, 37, padded // 2 + 1, padded])
    positions = rng.normal(size=(lengths.sum(), 2)).cumsum(0)
    stops = lengths.cumsum()
    for points in (padded, padded + 40):  # positions may reach beyond the last point
        given = np.full((5, points, 2), 50, np.float32)
        for i, (start, stop) in enumerate(zip(stops - lengths, stops, strict=True)):
            given[i, : stop - start] = positions[start:stop]
        theirs = build_on_device(
            torch.from_numpy(given), torch.from_numpy(lengths), kind, padding, padded
        )
        ours = build_inputs(
            positions, stops - lengths, stops, window=padded, kind=kind, padding=padding
        )
        np.testing.assert_allclose(theirs.numpy(), ours, atol=1e-4)


def test_without_a_padded_length_training_pads_to_the_positions():
    path = torch.randn(3, 40, 2, generator=torch.Generator().manual_seed(0)).cumsum(1)
    length = torch.tensor([10, 40, 3])
    args = (path, length, "positions", "masked")
    assert torch.equal(build_on_device(*args), build_on_device(*args, padded=40))


@given(
    arrays(np.float64, (20, 2), elements=st.floats(-1e4, 1e4, width=32)),
    st.floats(1e-3, 1e3),
)
def test_unit_and_origin_do_not_matter(positions, scale):
    starts, stops = np.array([0, 8]), np.array([8, 20])
    # steps far below the positions' own rounding carry nothing
    positions = np.round(positions, 1)
    moved = positions * scale + 7 * scale
    args = {"window": 32, "kind": "positions+displacements"}
    np.testing.assert_allclose(
        build_inputs(positions, starts, stops, **args),
        build_inputs(moved, starts, stops, **args),
        atol=1e-4,
    )


@pytest.mark.parametrize("scale", [1e-250, 1e250])
def test_absurd_units_do_not_matter_either(scale):
    positions = np.random.default_rng(2).normal(size=(30, 2)).cumsum(axis=0)
    args = (np.array([0]), np.array([30]))
    kwargs = {"window": 32, "kind": "positions+displacements"}
    np.testing.assert_allclose(
        build_inputs(positions * scale, *args, **kwargs),
        build_inputs(positions, *args, **kwargs),
        atol=1e-6,
    )


def test_a_still_axis_gives_zeros_not_nan():
    positions = np.column_stack([np.arange(12.0), np.full(12, 3.0)])
    found = build_inputs(
        positions, np.array([0]), np.array([12]), window=16, kind="positions+displacements"
    )
    assert np.isfinite(found).all()
    assert (found[0, 1] == 0).all()
    assert (found[0, 3] == 0).all()
    np.testing.assert_allclose(found[0, 2, -11:], 1)


def test_too_long_a_stretch_is_refused():
    with pytest.raises(ValueError, match="expected 1 to 8"):
        build_inputs(np.zeros((9, 2)), np.array([0]), np.array([9]), window=8, kind="positions")


def test_no_tracks_no_rows():
    none = np.zeros(0, np.int64)
    assert build_inputs(np.zeros((0, 2)), none, none, window=8, kind="positions").shape == (0, 2, 8)
