from types import SimpleNamespace

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
from spt_explain.explain.sequential import Plan
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
        draws=3, seed=4, stop_early=False,
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
    losses = np.array([[0.3, 0.3, np.nan], [0.1, 0.4, np.nan], [0.3, np.nan, np.nan]])
    found = Check.of(losses, np.array([2, 1, 0]), np.array([True, False, False]))
    assert found.verdicts().tolist() == [PASSED, FAILED, UNCHECKED]
    np.testing.assert_allclose(found.random, [0.2, 0.4, np.nan])
    np.testing.assert_allclose(found.random_sd, [0.1 * 2**0.5, np.nan, np.nan])


class Lottery:
    """A network whose probability of class 0 depends on the length and the shape of a track."""

    def __init__(self, spread):
        self.spread = spread

    def predict(self, positions, offsets, *, recording=None):
        ends, starts = positions[offsets[1:] - 1, 0], positions[offsets[:-1], 0]
        sure = np.sin(1e4 * (ends - starts)) * self.spread
        p = 1 / (1 + np.exp(-sure - 1))
        return SimpleNamespace(probabilities=np.stack([p, 1 - p], axis=1))


def draw_check(tracks, spread=1.0, **options):
    """Check maps that point nowhere: the network does not care where frames are erased."""
    positions, offsets = made([150] * tracks, 3)
    score = np.random.default_rng(5).normal(size=len(positions))
    target = np.zeros(tracks, np.int64)
    return check(
        Lottery(spread), positions, offsets, score, target, np.full(tracks, 0.8), None, **options
    )


@pytest.mark.parametrize("draws", [3, 18, 20, 39])
def test_stopping_where_no_map_can_pass_any_more_changes_no_verdict(draws, monkeypatch):
    """Futility alone: the verdicts of the full test, from the first of the same draws."""
    monkeypatch.setattr("spt_explain.explain.sequential.LOOKS", ((1, -np.inf, np.inf),))
    early, full = (draw_check(400, draws=draws, stop_early=stop) for stop in (True, False))
    np.testing.assert_array_equal(early.verdicts(), full.verdicts())
    np.testing.assert_allclose(early.top, full.top, atol=1e-9)
    assert (full.draws == draws).all()
    assert early.draws.mean() < 0.8 * draws
    same = early.draws == draws
    np.testing.assert_allclose(early.random[same], full.random[same], atol=1e-9)


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.0])
def test_maps_that_point_nowhere_pass_in_five_per_cent(spread):
    found = draw_check(4000, spread)
    share = (found.verdicts() == PASSED).mean()
    assert share <= 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5
    assert found.draws.mean() < 5


def test_draws_do_not_depend_on_who_stops():
    """With more draws the first ones are the same, and a clear case ends as early."""
    some, more = draw_check(50, draws=20), draw_check(50, draws=30)
    np.testing.assert_allclose(some.top, more.top, atol=1e-9)
    done = some.draws < 20
    assert done.any()
    np.testing.assert_allclose(some.random[done], more.random[done], atol=1e-9)


def test_a_map_that_points_at_the_reason_passes_early():
    """A network that looks at one stretch only: nothing else costs anything."""

    class Looks:
        def predict(self, positions, offsets, *, recording=None):
            steps = np.abs(np.diff(positions[:, 0], prepend=0.0))
            most = np.maximum.reduceat(steps, offsets[:-1])
            p = np.where(most > 50, 0.95, 0.2)
            return SimpleNamespace(probabilities=np.stack([p, 1 - p], axis=1))

    positions, offsets = made([60] * 30, 1)
    for first in offsets[:-1]:
        positions[first + 30 : first + 60, 0] += 100
    positions[:, 0] -= np.repeat(positions[offsets[:-1], 0], 60)
    score = np.zeros(len(positions))
    score[offsets[:-1] + 30] = 1
    found = check(
        Looks(), positions, offsets, score, np.zeros(30, np.int64), np.full(30, 0.95), None,
        then=-np.abs(np.tile(np.arange(60), 30) - 30.0), share=0.1,
    )  # fmt: skip
    passed = found.verdicts() == PASSED
    assert passed.mean() > 0.5
    assert found.draws[passed].mean() < 8


@pytest.mark.parametrize(
    ("draws", "allowed"), [(3, 0), (18, 0), (19, 0), (20, 0), (39, 1), (99, 4)]
)
def test_five_per_cent_of_maps_that_point_nowhere_may_pass(draws, allowed):
    """The rank of the loss among draws + 1 losses is uniform where a map says nothing."""
    plan = Plan.of(draws, stop_early=False)
    assert (plan.looks, plan.allowed) == ((draws,), allowed)
    costlier = np.arange(draws)[:, None] < np.arange(draws + 1)
    losses = np.concatenate([np.full((1, draws + 1), 0.3), np.where(costlier, 0.4, 0.2)])
    passed, failed = plan.decide(0, losses, np.full(draws + 1, 0.9))
    assert passed.sum() == allowed + 1
    assert (failed == ~passed).all()
    if draws >= 19:
        assert passed.mean() <= 0.05


def test_what_costs_nothing_does_not_pass():
    losses = np.array([[1e-9], [0.0], [0.0]])
    passed, failed = Plan.of(2).decide(1, losses, np.array([0.9]))
    assert (passed.tolist(), failed.tolist()) == ([False], [True])


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
