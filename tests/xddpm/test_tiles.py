from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spt_explain.xddpm.tiles import blend_frames, starts, window


def blend(movie, tile, function, **options):
    """Return the maps of a whole movie."""
    parts = [
        maps for _, maps in blend_frames(lambda i: movie[i], movie.shape, tile, function, **options)
    ]
    return np.concatenate(parts, 1)


@given(st.integers(1, 200), st.integers(1, 40), st.floats(0, 0.9))
def test_tiles_cover_an_axis_and_overlap_enough(size, tile, overlap):
    places = starts(size, tile, overlap)
    assert places[0] == 0
    assert places == sorted(set(places))
    if size > tile:
        assert places[-1] + tile == size
        step = max(1, round(tile * (1 - overlap)))
        assert max(np.diff(places)) <= step + 1
        covered = np.zeros(size, bool)
        for start in places:
            covered[start : start + tile] = True
        assert covered.all()


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(1, 23)] * 3), st.floats(0, 0.8), st.integers(1, 5))
def test_blending_of_what_is_the_same_everywhere_gives_the_movie(shape, overlap, batch):
    movie = np.random.default_rng(3).normal(size=shape).astype(np.float32)

    def same(tiles):
        assert tiles.shape[1:] == (4, 8, 6)
        return np.stack([tiles, -2 * tiles], 1)

    maps = blend(movie, (4, 8, 6), same, overlap=overlap, batch=batch)
    np.testing.assert_allclose(maps[0], movie, atol=1e-5)
    np.testing.assert_allclose(maps[1], -2 * movie, atol=1e-5)


def test_small_movies_are_filled_up():
    seen = []

    def note(tiles):
        seen.append(tiles.copy())
        return tiles[:, None]

    blend(np.ones((2, 3, 3), np.float32), (4, 4, 4), note, fill=-7.0)
    assert seen[0].shape == (1, 4, 4, 4)
    assert (seen[0] == -7).sum() == 64 - 18


def test_edges_of_tiles_leave_no_seams():
    """Each tile is off by its own constant; across any edge the blend changes by little."""
    rng = np.random.default_rng(5)

    def off(tiles):
        return np.ones_like(tiles)[:, None] * rng.normal(size=(len(tiles), 1, 1, 1, 1))

    maps = blend(np.zeros((1, 64, 64), np.float32), (1, 32, 32), off, overlap=0.75)[0, 0]
    hard = blend(np.zeros((1, 64, 64), np.float32), (1, 32, 32), off, overlap=0.0)[0, 0]
    assert np.abs(np.diff(maps, axis=0)).max() < 0.25 * np.abs(np.diff(hard, axis=0)).max()


def test_window_is_the_product_of_its_axes_and_nowhere_zero():
    weight = window((3, 4, 5))
    assert weight.shape == (3, 4, 5)
    assert weight.min() > 0
    np.testing.assert_allclose(weight, weight[::-1, ::-1, ::-1])
    assert weight[1, 1, 2] == pytest.approx(weight.max())


@pytest.mark.parametrize("shape", [(23, 21, 30), (4, 8, 8), (3, 5, 40), (9, 8, 5), (1, 1, 1)])
def test_a_stream_of_frames_gives_the_maps_of_the_whole_movie(shape):
    movie = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    tile = (4, 8, 8)

    def function(tiles):
        ramp = tiles * np.linspace(0, 1, 8, dtype=np.float32)
        return np.stack([ramp, tiles.cumsum(1)], 1)

    padded = np.pad(movie, [(0, max(0, t - s)) for s, t in zip(shape, tile, strict=True)])
    total, weights = np.zeros((2, *padded.shape)), np.zeros(padded.shape)
    for start in product(*(starts(s, t, 0.6) for s, t in zip(shape, tile, strict=True))):
        part = tuple(slice(a, a + t) for a, t in zip(start, tile, strict=True))
        total[(slice(None), *part)] += function(padded[part][None])[0] * window(tile)
        weights[part] += window(tile)
    whole = (total / weights)[:, : shape[0], : shape[1], : shape[2]]
    asked = []

    def frame(i):
        asked.append(i)
        return movie[i]

    told = []
    parts = []
    for first, maps in blend_frames(
        frame, shape, tile, function, overlap=0.6, progress=lambda *a: told.append(a)
    ):
        assert first == sum(part.shape[1] for part in parts)
        parts.append(maps)
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=2e-5, atol=2e-5)
    assert asked == list(range(shape[0]))
    assert told[-1] == (shape[0], shape[0])
