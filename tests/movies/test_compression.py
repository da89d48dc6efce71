import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import uniform_filter1d

from spt_explain.movies.compression import (
    BLOCK_PX,
    faithful_every,
    find_blocks,
    step_correlation,
)

Render = Callable[..., tuple[np.ndarray, np.ndarray]]


def _jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    held = io.BytesIO()
    Image.fromarray(frame).save(held, "JPEG", quality=quality)
    return np.asarray(Image.open(held), dtype=float)


@pytest.fixture(scope="module")
def frames(render: Render) -> np.ndarray:
    movie, _ = render(n_frames=6, noise=6.0, spacing=27.0)
    return (movie - 250).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("shift", [0, 3])
def test_blocks_of_a_compressed_movie_are_seen(frames: np.ndarray, shift: int) -> None:
    """Wherever the lattice begins, as a region may have been cut out since."""
    packed = [_jpeg(frame, 25)[shift:, shift:] for frame in frames]
    blocks = find_blocks(packed)
    assert blocks is not None
    assert "compressed as video" in blocks.describe()


def test_a_camera_makes_no_blocks(frames: np.ndarray) -> None:
    assert find_blocks(list(frames.astype(float))) is None


def test_stripes_of_a_camera_are_no_blocks(frames: np.ndarray) -> None:
    striped = frames.astype(float)
    striped[:, :, ::BLOCK_PX] += 25.0
    assert find_blocks(list(striped)) is None


def test_noise_is_rarely_taken_for_blocks() -> None:
    rng = np.random.default_rng(0)
    taken = [find_blocks(list(rng.poisson(20, (2, 96, 96)).astype(float))) for _ in range(100)]
    assert not any(taken)


def test_frames_too_small_to_tell() -> None:
    assert find_blocks([np.random.default_rng(0).normal(size=(20, 20))]) is None


def _walks(smooth: int, n: int = 60, length: int = 60) -> pd.DataFrame:
    steps = np.random.default_rng(1).normal(size=(n, length, 2))
    paths = uniform_filter1d(steps, smooth, axis=1).cumsum(axis=1)
    return pd.DataFrame(
        {
            "particle": np.repeat(np.arange(n), length),
            "frame": np.tile(np.arange(length), n),
            "x": paths[..., 0].ravel(),
            "y": paths[..., 1].ravel(),
        }
    )


def test_correlation_of_smoothed_steps_is_that_of_the_filter() -> None:
    """Means over three steps share two of three with the next one, one of three after two."""
    table = _walks(3)
    for lag, expected in ((1, 2 / 3), (2, 1 / 3), (3, 0.0)):
        value, n_pairs = step_correlation(table, lag)
        assert value == pytest.approx(expected, abs=0.04)
        assert n_pairs == 60 * 2 * (59 - lag)


def test_pairs_never_reach_over_gaps_or_into_other_tracks() -> None:
    table = pd.DataFrame(
        {"particle": [0, 0, 0, 0, 1, 1], "frame": [0, 1, 3, 4, 5, 6], "x": 0.0, "y": 1.0}
    )
    assert step_correlation(table, 1)[1] == 0
    assert step_correlation(table.assign(frame=[0, 1, 2, 3, 4, 5]), 1)[1] == 4


@pytest.mark.parametrize(("smooth", "every"), [(1, 1), (3, 3), (20, 1)])
def test_motion_is_faithful_once_steps_no_longer_correlate(smooth: int, every: int) -> None:
    """Where they always correlate, the motion is persistent, and left alone."""
    assert faithful_every(_walks(smooth)) == every


def test_too_few_steps_tell_nothing() -> None:
    assert faithful_every(_walks(3, n=2)) == 1
