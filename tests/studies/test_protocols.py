from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.resandi.classifier import Classifier
from spt_explain.studies import protocols


def _offsets(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(0, 5))
def test_tenths_of_a_trajectory_are_even_and_in_order(lengths, seed):
    offsets = _offsets(lengths)
    score = np.random.default_rng(seed).integers(0, 9, offsets[-1]).astype(float)
    then = np.arange(offsets[-1], dtype=float)
    part = protocols.frame_parts(score, then, offsets)
    for a, b in pairwise(offsets):
        own, values = part[a:b], score[a:b]
        sizes = np.bincount(own, minlength=10)
        assert sizes.sum() == b - a
        assert sizes.max() - sizes.min() <= 1
        for low in range(10):
            below, above = values[own <= low], values[own > low]
            if len(below) and len(above):
                assert below.max() <= above.min()


def test_ten_times_ten_frames_are_split_as_numpy_splits_the_sorted():
    score = np.random.default_rng(0).normal(size=100)
    part = protocols.frame_parts(score, score, _offsets([100]))
    for number, rows in enumerate(np.array_split(np.argsort(score), 10)):
        assert set(np.flatnonzero(part == number)) == set(rows)


def test_whole_subintervals_are_ranked_by_their_mean():
    rng = np.random.default_rng(1)
    lengths = [1000, 20]
    score = rng.normal(size=1020)
    part = protocols.subinterval_parts(score, score, _offsets(lengths))
    pieces = np.array_split(np.arange(992), 32)  # 31 frames each, as near as numpy makes them
    long = protocols.subinterval_parts(score[:992], score[:992], _offsets([992]))
    means = [score[piece].mean() for piece in pieces]
    for piece, rank in zip(pieces, np.argsort(np.argsort(means)), strict=True):
        assert set(long[piece]) == {rank * 10 // 32}
    assert set(np.bincount(long)) == {3 * 31, 4 * 31}
    assert (part[1000:] == np.argsort(np.argsort(score[1000:])) * 10 // 20).all()  # frame by frame


def test_the_program_of_the_paper_erases_what_lies_strictly_between_two_deciles():
    score = np.random.default_rng(2).normal(size=(5, 32))
    part = protocols.padded_parts(score, 1000)
    piece = np.arange(1000) * 32 // 1000
    for row, own in zip(score, part, strict=True):
        for decile in range(10):
            low, high = np.percentile(row[piece], [10 * decile, 10 * decile + 10])
            assert set(np.flatnonzero(own == decile)) == {
                i for i in range(32) if low < row[i] < high
            }
        assert own[row.argmin()] == own[row.argmax()] == protocols.NONE
        assert set(np.bincount(own[own >= 0])) <= {2, 3}
    assert (protocols.padded_parts(np.ones((1, 32)), 1000) == protocols.NONE).all()


@pytest.mark.parametrize("name", ["published", "masked"])
@pytest.mark.parametrize("value", ["corner", "origin"])
def test_what_is_erased_is_gone_from_the_input_and_nothing_else(networks, tracks, name, value):
    one = tracks((40, 130))
    classifier = Classifier(name, device="cpu")
    ran = classifier.run(one.positions, one.offsets)
    mask = np.zeros(170, bool)
    mask[[3, 4, 60]] = True
    seen, before = [], []
    backend = classifier.backend

    class Looking:
        device, batch_size = backend.device, backend.batch_size

        def outputs(self, inputs):
            seen.append(inputs)
            return backend.outputs(inputs)

    classifier.backend = Looking()
    said = protocols.ask_erased(
        classifier, one.positions, ran, None, protocols.on_track(mask, ran), value
    )
    assert said.shape == (2,)
    for part, inputs in classifier.inputs(one.positions, ran.starts, ran.stops):
        before += [(int(w), row) for w, row in zip(part, inputs, strict=True)]
    after = [row for inputs in seen for row in inputs]
    for (window, was), now in zip(before, after, strict=True):
        a, b = one.offsets[window], one.offsets[window + 1]
        columns = was.shape[1] - (b - a) + np.flatnonzero(mask[a:b])
        changed = np.zeros(was.shape[1], bool)
        changed[columns] = True
        assert (now[:, ~changed] == was[:, ~changed]).all()
        start = was[:2, was.shape[1] - (b - a), None]
        assert (now[:2, changed] == (start if value == "origin" else 0)).all()
        if name == "masked":
            assert (now[2:4, changed] == 0).all()
            assert (now[4] == was[4]).all()


def test_padding_counts_as_what_the_paper_erases(networks, tracks):
    one = tracks((100, 1000))
    ran = Classifier("published", device="cpu").run(one.positions, one.offsets)
    part = np.full((2, 32), protocols.NONE)
    part[:, :3] = 0  # the first three of 32 pieces of 1000 columns
    part[:, 31] = 9
    erased, padding = protocols.erased_frames(part, ran, 1000)
    columns = np.arange(1000) * 32 // 1000
    assert erased[:, 0].tolist() == [(columns < 3).sum()] * 2
    assert padding[:, 0].tolist() == [(columns < 3).sum(), 0]
    assert padding[:, 9].tolist() == [0, 0]
    gone = protocols.on_input(part, 0, 1000)(np.array([0, 1]), 1000)
    assert gone.sum(axis=1).tolist() == erased[:, 0].tolist()
    assert (protocols.on_input(part, 9, 1000)(np.array([1]), 100)[0] == (columns[900:] == 31)).all()
