import numpy as np
import pytest

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.studies.sources import TrackSource, Watcher, split


@pytest.fixture
def labelled(tmp_path, tracks):
    one = tracks((60, 30, 40, 50))
    path = tmp_path / "lab.npz"
    np.savez(path, positions=one.positions, offsets=one.offsets, label=np.array([3, 1, 3, 1]))
    return path


def _open(source, **keys):
    return source.open(CLASS_NAMES, **{"tracks": 16, "length": (20, 30), **keys})


def test_simulated_tracks_come_class_by_class_in_batches_that_hold_all():
    opened = _open(TrackSource(seed=3))
    batches = list(opened.batches(points=100))
    assert len(batches) > 3
    assert sum(map(len, batches)) == len(opened) == 16
    whole = next(iter(opened.batches()))
    assert np.array_equal(np.concatenate([b.positions for b in batches]), whole.positions)
    assert [label for label, _ in opened.by_class()] == list(range(8))
    assert all((part.label == label).all() for label, part in opened.by_class())
    assert (
        "2 simulated tracks of each of 8 classes without noise, 20–30 points; seed 3"
        in opened.words
    )
    assert opened.data["simulated"]["seed"] == 3


def test_a_class_in_several_batches_comes_in_one_piece(monkeypatch):
    from spt_explain.training import simulated

    opened = _open(TrackSource(tracks=40))
    together = [part.positions for _, part in opened.by_class()]
    monkeypatch.setattr(simulated, "_POINTS_AT_ONCE", 60)
    again = [part for _, part in opened.by_class()]
    assert [len(part) for part in again] == [5] * 8
    assert len(together) == 8


def test_files_are_read_and_chosen_from(labelled):
    told = []

    class Watcher:
        def read(self, tracks):
            told.append(len(tracks))

    opened = _open(TrackSource((str(labelled),), tracks=2), watcher=Watcher())
    assert told == [4]
    assert len(opened) == 2
    assert sorted(next(iter(opened.batches())).label) == [1, 3]
    assert "labelled tracks" in opened.words
    assert opened.data["files"][0]["sha256"]
    assert [label for label, _ in _open(TrackSource((str(labelled),))).by_class()] == [1, 3]


def test_noise_is_added_once(labelled, tmp_path, tracks):
    plain = next(iter(_open(TrackSource((str(labelled),))).batches()))
    noisy = next(iter(_open(TrackSource((str(labelled),), noise=0.5)).batches()))
    assert (noisy.noise == 0.5).all()
    assert not np.allclose(plain.positions, noisy.positions)
    path = tmp_path / "noisy.npz"
    np.savez(path, positions=plain.positions, offsets=plain.offsets, label=plain.label,
             noise=np.full(4, 0.2))  # fmt: skip
    with pytest.raises(SptError, match="noise="):
        _open(TrackSource((str(path),), noise=0.5))


@pytest.mark.parametrize(
    "keys", [{"noise": -1.0}, {"noise": float("nan")}, {"tracks": 0}, {"length": (30, 20)},
             {"exposure": 2.0}, {"missing": 1.0}, {"seed": -1}],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(keys):
    with pytest.raises(SptError, match=rf"^{next(iter(keys))}=.+: expected"):
        TrackSource(**keys)


def test_no_track_is_cut_where_a_part_is_full(tracks):
    parts = list(split(tracks((50, 5, 10, 10)), 20))
    assert [part.length.tolist() for part in parts] == [[50, 5], [10, 10]]


def test_the_progress_of_a_part_is_that_of_all():
    said = []

    class Listening(Watcher):
        def progress(self, what, done, total):
            said.append((what, done, total))

    report = Listening().part("scoring", 10, 20, 40)
    report(1, 4)
    report(4, 4)
    assert said == [("scoring", 15, 40), ("scoring", 30, 40)]
