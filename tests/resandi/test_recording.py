import numpy as np
import pytest
from scipy import optimize, special, stats

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.recording import (
    PRIOR_TRACKS,
    class_probabilities,
    estimate_recording,
    training_shares,
)

ARCHITECTURE = Architecture(noise_edges=(0.05, 0.5), exposure_edges=(0.001,), classes=("a", "b"))
SHARES = np.array([0.25, 0.05, 0.3, 0.1, 0.2, 0.1])
# what a "network" sees: a number whose mean depends on class and condition alike, so that class a
# under one condition looks like class b under another, and one that hints at the condition
MEANS = np.array([[0.0, 0.5, 1.0, 1.5, 2.0, 2.5], [2.0, 2.5, 3.0, 3.5, 4.0, 4.5]])
HINTS = 0.4 * np.arange(6)
WIDTH = 0.8


def _joint(x):
    """The exact posterior of class and condition under the training data's shares."""
    first, second = x.T[:, :, None, None]
    joint = stats.norm.pdf(first, MEANS, WIDTH) * stats.norm.pdf(second, HINTS) * SHARES / 2
    return joint / joint.sum(axis=(1, 2), keepdims=True)


def _draw(n, condition, seed, share_of_b=0.5):
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < share_of_b).astype(int)
    first = rng.normal(MEANS[label, condition], WIDTH)
    return np.stack([first, rng.normal(HINTS[condition], 1, n)], axis=1), label


@pytest.mark.parametrize("condition", range(6))
def test_many_tracks_show_their_condition_and_get_the_right_probabilities(condition):
    x, _ = _draw(4000, condition, 1)
    recording = estimate_recording(_joint(x), SHARES, ARCHITECTURE)
    found = class_probabilities(_joint(x), SHARES, recording)
    density = stats.norm.pdf(x[:, :1], MEANS[:, condition], WIDTH)
    exact = density / density.sum(axis=1, keepdims=True)
    alone = _joint(x).sum(axis=2)
    assert np.abs(found - exact).mean() < 0.06
    assert np.abs(found - exact).mean() < 0.5 * np.abs(alone - exact).mean()
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize(("n", "share_of_b"), [(30, 0.5), (700, 0.1), (12_000, 0.7)])
def test_the_shares_are_the_most_probable_ones(n, share_of_b):
    """No worse than what scipy finds by another method, without slopes of ours."""
    rng = np.random.default_rng(n)
    condition = rng.choice(6, size=n, p=[0.05, 0.4, 0.05, 0.3, 0.1, 0.1])
    label = (rng.random(n) < share_of_b).astype(int)
    x = np.stack([rng.normal(MEANS[label, condition], WIDTH), rng.normal(HINTS[condition])], axis=1)
    joint = _joint(x)
    ratio = (joint / SHARES).reshape(n, -1)

    def depth(logits, q=None):
        fractions = special.softmax(np.append(logits[:1], 0))
        q = special.softmax(np.append(logits[1:], 0)) if q is None else q
        likelihood = np.log(ratio @ (fractions[:, None] * q).ravel()).sum()
        return -likelihood - PRIOR_TRACKS * (SHARES @ np.log(q))

    found = estimate_recording(joint, SHARES, ARCHITECTURE).shares
    ours = optimize.minimize_scalar(lambda logit: depth(np.array([logit]), found))
    best = optimize.minimize(depth, np.zeros(6), method="SLSQP", options={"ftol": 1e-9 * n})
    assert ours.fun <= best.fun + 0.05


def test_outputs_that_are_no_numbers_are_left_out():
    joint = _joint(_draw(300, 1, 1)[0])
    expected = estimate_recording(joint[1:], SHARES, ARCHITECTURE).shares
    joint[0] = np.nan
    np.testing.assert_array_equal(estimate_recording(joint, SHARES, ARCHITECTURE).shares, expected)
    none = estimate_recording(np.full((3, 2, 6), np.nan), SHARES, ARCHITECTURE)
    np.testing.assert_array_equal(none.shares, SHARES)


def test_conditions_that_were_rare_in_training_are_found():
    shares = np.array([0.2, 1e-5, 0.3, 0.2, 0.2, 0.1])
    shares /= shares.sum()
    x, _ = _draw(2000, 1, 4)
    joint = _joint(x) / SHARES * shares
    joint /= joint.sum(axis=(1, 2), keepdims=True)
    assert estimate_recording(joint, shares, ARCHITECTURE).shares[1] > 0.5


@pytest.mark.parametrize("jobs", [2, 5])
def test_threads_do_not_change_what_is_found(jobs):
    joint = _joint(_draw(11_000, 3, 5)[0])
    one, more = (estimate_recording(joint, SHARES, ARCHITECTURE, jobs=n) for n in (1, jobs))
    np.testing.assert_array_equal(one.shares, more.shares)


def test_the_classes_shares_do_not_enter_a_verdict():
    x, label = _draw(4000, 2, 2, share_of_b=0.95)
    recording = estimate_recording(_joint(x), SHARES, ARCHITECTURE)
    found = class_probabilities(_joint(x), SHARES, recording)
    density = stats.norm.pdf(x[:, :1], MEANS[:, 2], WIDTH)
    exact = density / density.sum(axis=1, keepdims=True)  # both classes as likely beforehand
    assert np.abs(found - exact).mean() < 0.1
    assert label.mean() > 0.9


def test_one_track_is_judged_as_the_training_data_would_have_it():
    joint = _joint(np.array([[1.0, 1.0]]))
    recording = estimate_recording(joint, SHARES, ARCHITECTURE)
    found = class_probabilities(joint, SHARES, recording)
    np.testing.assert_allclose(found, joint.sum(axis=2), atol=2 / PRIOR_TRACKS)


def test_nothing_is_estimated_from_no_tracks():
    recording = estimate_recording(np.zeros((0, 2, 6)), SHARES, ARCHITECTURE)
    np.testing.assert_array_equal(recording.shares, SHARES)
    assert class_probabilities(np.zeros((0, 2, 6)), SHARES, recording).shape == (0, 2)


def test_conditions_that_training_never_had_get_nothing():
    shares = np.array([0.5, 0, 0.5, 0, 0, 0])
    joint = np.full((50, 2, 6), 1 / 12)
    recording = estimate_recording(joint, shares, ARCHITECTURE)
    assert recording.shares[[1, 3, 4, 5]].sum() == 0
    assert np.isfinite(class_probabilities(joint, shares, recording)).all()


def test_noise_and_exposure_are_the_means_over_the_shares():
    noise, exposure = ARCHITECTURE.condition_values()
    np.testing.assert_allclose(noise, [0, 0, 0.275, 0.275, 0.5, 0.5])
    np.testing.assert_allclose(exposure, [0, 0.5005, 0, 0.5005, 0, 0.5005])
    x, _ = _draw(4000, 4, 3)
    recording = estimate_recording(_joint(x), SHARES, ARCHITECTURE)
    assert recording.noise == pytest.approx(recording.shares @ noise)
    assert recording.exposure == pytest.approx(recording.shares @ exposure)


@pytest.mark.parametrize(
    "card",
    [
        {"condition_shares": [1, 2]},
        {"condition_shares": [-1, 1, 1, 1, 1, 1]},
        {"condition_shares": [0] * 6},
        {"condition_shares": [float("nan")] * 6},
    ],
)
def test_a_card_with_other_shares_is_refused(card):
    with pytest.raises(ValueError, match="condition_shares"):
        training_shares(ARCHITECTURE, card)


def test_shares_come_from_the_card():
    np.testing.assert_allclose(training_shares(ARCHITECTURE, {}), 1 / 6)
    found = training_shares(ARCHITECTURE, {"condition_shares": [2, 0, 0, 0, 0, 2]})
    np.testing.assert_allclose(found, [0.5, 0, 0, 0, 0, 0.5])
