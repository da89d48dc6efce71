import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.explain.erasure import (
    FAILED,
    PASSED,
    UNCHECKED,
    Check,
    check,
    erase,
    shifted,
    top_frames,
)
from spt_explain.resandi.classifier import Classifier


def made(lengths, seed):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return rng.normal(size=(offsets[-1], 2)).cumsum(0), offsets


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.sampled_from(["cut", "rest", "line"]),
    st.integers(0, 1000),
)
def test_erasing_by_hand(lengths, how, seed):
    rng = np.random.default_rng(seed)
    positions, offsets = made(lengths, seed)
    mask = rng.random(len(positions)) < 0.4
    found, ends = erase(positions, offsets, mask, how)
    assert len(ends) == len(offsets)
    for i, n in enumerate(lengths):
        path, gone = (
            positions[offsets[i] : offsets[i + 1]],
            mask[offsets[i] : offsets[i + 1]].copy(),
        )
        gone[0] = False
        got = found[ends[i] : ends[i + 1]]
        steps = np.diff(path, axis=0)
        if how == "cut":
            steps = steps[~gone[1:]]
        elif how == "rest":
            steps = np.where(gone[1:, None], 0, steps)
        else:
            gone[-1] = False
            at = np.arange(n)
            line = [np.interp(at, at[~gone], path[~gone, axis]) for axis in (0, 1)]
            steps = np.diff(np.stack(line, 1), axis=0)
        expected = np.concatenate([path[:1], path[:1] + np.cumsum(steps, axis=0)])
        np.testing.assert_allclose(got, expected, atol=1e-9)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.floats(0.05, 0.95))
def test_the_top_frames_are_the_top_frames(lengths, share):
    rng = np.random.default_rng(len(lengths))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    score = rng.normal(size=offsets[-1])
    chosen = top_frames(score, offsets, share)
    for i, n in enumerate(lengths):
        own, mine = score[offsets[i] : offsets[i + 1]], chosen[offsets[i] : offsets[i + 1]]
        k = int(np.rint(share * n))
        assert mine.sum() == k
        assert set(np.flatnonzero(mine)) == set(np.argsort(-own)[:k])


def test_ties_are_ranked_by_the_second_score():
    score, then = np.array([1.0, 1, 1, 0]), np.array([0.0, 2, 1, 9])
    chosen = top_frames(score, np.array([0, 4]), 0.5, then=then)
    assert chosen.tolist() == [False, True, True, False]


@given(st.lists(st.integers(2, 40), min_size=1, max_size=5), st.integers(0, 99))
def test_random_erasures_have_the_same_pattern_elsewhere(lengths, seed):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    mask = rng.random(offsets[-1]) < 0.3
    moved = shifted(mask, offsets, rng)
    for i in range(len(lengths)):
        a, b = mask[offsets[i] : offsets[i + 1]], moved[offsets[i] : offsets[i + 1]]
        assert any(np.array_equal(np.roll(a, k), b) for k in range(1, len(a)))


def test_losses_are_those_of_the_network_asked_again(install, walks):
    classifier = Classifier(install("masked"), device="cpu", jobs=1)
    positions, offsets = walks([100, 60, 30, 2])
    prediction = classifier.predict(positions, offsets)
    p = prediction.probabilities
    target, every = p.argmax(1), np.arange(4)
    score = np.random.default_rng(0).normal(size=len(positions))
    found = check(
        classifier, positions, offsets, score, target, p[every, target], prediction.recording,
        draws=3, seed=4,
    )  # fmt: skip
    mask = top_frames(score, offsets, 0.2)
    left = classifier.predict(
        *erase(positions, offsets, mask), recording=prediction.recording
    ).probabilities
    np.testing.assert_allclose(found.top[:3], (p - left)[every, target][:3], atol=1e-6)
    rng = np.random.default_rng(4)
    losses = []
    for _ in range(3):
        away = erase(positions, offsets, shifted(mask, offsets, rng))
        again = classifier.predict(*away, recording=prediction.recording).probabilities
        losses.append((p - again)[every, target])
    np.testing.assert_allclose(found.random[:3], np.mean(losses, 0)[:3], atol=1e-6)
    np.testing.assert_allclose(found.random_sd[:3], np.std(losses, 0, ddof=1)[:3], atol=1e-6)
    assert np.isnan(found.top[3])  # a fifth of two frames is none
    assert found.verdicts()[3] == UNCHECKED


def test_the_words_of_the_check():
    top = np.array([0.3, 0.3, 1e-9, np.nan])
    more = np.array([0.0, 0.2, 0.0, np.nan])
    found = Check(top, top, top, more).verdicts()
    assert found.tolist() == [PASSED, FAILED, FAILED, UNCHECKED]


@pytest.mark.parametrize(
    ("draws", "allowed"), [(3, 0), (18, 0), (19, 0), (20, 0), (39, 1), (99, 4)]
)
def test_five_per_cent_of_maps_that_point_nowhere_may_pass(draws, allowed):
    """The rank of the loss among draws + 1 losses is uniform where a map says nothing."""
    top = np.full(draws + 1, 0.3)
    found = Check(top, top, top, np.arange(draws + 1) / draws, draws).verdicts()
    assert (found == PASSED).sum() == allowed + 1
    if draws >= 19:
        assert (found == PASSED).mean() <= 0.05


def test_no_draws_are_no_check(install, walks):
    classifier = Classifier(install("masked"), device="cpu", jobs=1)
    positions, offsets = walks([40])
    found = check(
        classifier,
        positions,
        offsets,
        positions[:, 0],
        np.array([0]),
        np.array([0.5]),
        None,
        draws=0,
    )
    assert found.verdicts().tolist() == [UNCHECKED]


def test_other_ways_to_erase_are_refused():
    with pytest.raises(SptError, match="cut, rest or line"):
        erase(np.zeros((4, 2)), np.array([0, 4]), np.zeros(4, bool), "burn")
