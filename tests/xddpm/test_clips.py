import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.tracks.table import Calibration
from spt_explain.xddpm.clips import Film, find_films, plan_places, read_clips
from spt_explain.xddpm.layout import Layout

PX = Calibration("px", "not given", None, "not given", None)


def _film(frames, height, width, name="a.tif"):
    return Film(name, name, frames, height, width, PX)


def _cells(places, size, frames):
    """Return each clip's box as a set of (frame, row, column)."""
    for i in range(len(places)):
        box = (
            (places.start[i], places.start[i] + frames),
            (places.y[i], places.y[i] + size[0]),
            (places.x[i], places.x[i] + size[1]),
        )
        yield int(places.movie[i]), int(places.group[i]), box


def _apart(places, size, frames):
    """Whether clips of different groups of one movie share no pixel."""
    boxes = list(_cells(places, size, frames))
    for i, (movie, group, box) in enumerate(boxes):
        for other_movie, other_group, other in boxes[:i]:
            if (
                movie == other_movie
                and group != other_group
                and all(a < d and c < b for (a, b), (c, d) in zip(box, other, strict=True))
            ):
                return False
    return True


@pytest.mark.parametrize("size", [(512, 512), (70, 131), (64, 64), (33, 140)])
@pytest.mark.parametrize("stride", [None, 3])
def test_one_movie_is_divided_into_fields_that_don_t_overlap(size, stride):
    layout = Layout(32, 10, 1, 1)
    places, layout, how = plan_places([_film(60, *size)], layout, stride=stride, most=400)
    assert "by field" in how
    assert 4 <= len(set(places.group)) <= 16
    assert _apart(places, (32, 32), 10)
    assert (places.y + 32 <= size[0]).all()
    assert (places.x + 32 <= size[1]).all()
    assert (places.y >= 0).all()
    assert (places.start + 10 <= 60).all()
    assert layout.stride == 3 if stride else layout.stride <= 10


@pytest.mark.parametrize("frames", [50, 60, 100, 777])
def test_whole_frames_of_one_movie_are_held_out_by_stretches_with_gaps(frames):
    places, layout, how = plan_places(
        [_film(frames, 40, 50)], Layout(None, 20, 1, 1), stride=None, most=5000
    )
    assert "stretch of time" in how
    names = sorted(set(places.group))
    assert 2 <= len(names) <= 10
    for a in names:
        for b in names:
            if a < b:
                end = places.start[places.group == a].max() + 20
                assert places.start[places.group == b].min() - end >= 10
    assert (places.start + 20 <= frames).all()
    assert layout.stride >= 1


def test_several_movies_are_held_out_by_movie():
    films = [_film(40, 40, 40, "a.tif"), _film(25, 40, 40, "b.tif")]
    places, _, how = plan_places(films, Layout(32, 20, 1, 1), stride=20, most=100)
    assert "2 movies" in how
    assert set(places.groups) == {"a.tif", "b.tif"}
    assert (places.group == places.movie).all()


def test_long_movies_are_thinned_in_time_evenly():
    places, layout, _ = plan_places(
        [_film(2000, 512, 512)], Layout(32, 20, 1, 1), stride=None, most=2000
    )
    assert layout.stride == 20
    assert 1000 < len(places) <= 2100
    starts = np.unique(places.start)
    assert starts.max() > 1500
    assert len(set(places.group)) == 16


def test_too_short():
    with pytest.raises(SptError, match=r"a.tif has 12 frames.*frames=2 or less"):
        plan_places([_film(12, 64, 64)], Layout(None, 20, 1, 1), stride=None, most=9)
    with pytest.raises(SptError, match=r"one movie of 30 frames.*frames=6 or less, or several"):
        plan_places([_film(30, 32, 32)], Layout(None, 20, 1, 1), stride=None, most=9)


def _write(path, frames, axes="TYX"):
    import tifffile

    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": axes})


@pytest.fixture
def movie(tmp_path):
    frames = np.random.default_rng(3).integers(0, 60_000, (30, 70, 90), np.uint16)
    _write(tmp_path / "m.tif", frames)
    return tmp_path / "m.tif", frames


@pytest.mark.parametrize("size", [1, 2])
def test_clips_hold_the_movie_s_pixels(movie, size):
    path, frames = movie
    films, _ = find_films([path])
    layout = Layout(16, 5, 1, size)
    places, layout, _ = plan_places(films, layout, stride=None, most=100)
    clips = read_clips(films, places, layout, (16, 16))
    assert clips.shape == (len(places), 5, 16, 16)
    assert clips.dtype == np.float32
    for i in range(0, len(places), 7):
        t, y, x = places.start[i], places.y[i] * size, places.x[i] * size
        cut = frames[t : t + 5, y : y + 16 * size, x : x + 16 * size].astype(float)
        cut = cut.reshape(5, 16, size, 16, size).mean((2, 4))
        np.testing.assert_allclose(clips[i], cut, rtol=1e-6)


def test_a_frame_is_read_once(movie, monkeypatch):
    from spt_explain.movies.stack import Stack

    films, _ = find_films([movie[0]])
    places, layout, _ = plan_places(films, Layout(16, 5, 1, 1), stride=2, most=10_000)
    read = []
    own = Stack.frame
    monkeypatch.setattr(Stack, "frame", lambda self, i: read.append(i) or own(self, i))
    told = []
    read_clips(films, places, layout, (16, 16), progress=lambda *a: told.append(a))
    assert read == sorted(set(read))
    assert told[-1] == (len(read), len(read))


def test_smaller_frames_are_filled_up_with_their_background(tmp_path):
    frames = np.full((6, 20, 20), 50, np.uint16)
    frames[:, 8:12, 8:12] = 200
    _write(tmp_path / "a.tif", frames)
    films, _ = find_films([tmp_path / "a.tif"])
    places, layout, _ = plan_places(films * 2, Layout(None, 3, 1, 1), stride=None, most=10)
    clips = read_clips(films * 2, places, layout, (24, 30))
    assert (clips[:, :, 20:] == 50).all()
    assert (clips[:, :, :, 20:] == 50).all()
    assert clips.max() == 200


def test_clips_that_take_too_much_memory(movie):
    films, _ = find_films([movie[0]])
    places, layout, _ = plan_places(films, Layout(16, 5, 1, 1), stride=1, most=10_000)
    with pytest.raises(SptError, match="GB"):
        read_clips(films, places, layout, (10_000, 10_000))


def test_channels_and_simulated_folders(tmp_path):
    two = np.zeros((5, 2, 12, 12), np.uint16)
    two[:, 1] = 7
    _write(tmp_path / "two.tif", two, "TCYX")
    films, _ = find_films([tmp_path / "two.tif"])
    assert (films[0].frames, films[0].height) == (5, 12)
    places, layout, _ = plan_places(
        films * 2, Layout(None, 5, 1, 1, channel=2), stride=None, most=10
    )
    assert (read_clips(films * 2, places, layout, (12, 12)) == 7).all()
    with pytest.raises(SptError, match="channel="):
        find_films([tmp_path / "two.tif"], channel=3)
    with pytest.raises(SptError, match="no movie was given"):
        find_films([])
