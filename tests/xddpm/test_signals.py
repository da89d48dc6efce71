import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, r2_score

from spt_explain.errors import SptError
from spt_explain.xddpm.signals import Signal


def _values(*shape, seed=1):
    return np.random.default_rng(seed).normal(50, 7, shape)


@pytest.mark.parametrize(
    ("shape", "per"),
    [((30,), "clip"), ((30, 2), "clip"), ((30, 5), "frame"), ((30, 5, 2), "frame")],
)
def test_decode_undoes_encode(shape, per):
    values = _values(*shape)
    signal = Signal.fit(values, per=per)
    targets = signal.encode(values)
    assert targets.dtype == np.float32
    np.testing.assert_allclose(targets.mean(0), 0, atol=1e-5)
    columns = values.reshape(30, -1)
    np.testing.assert_allclose(signal.decode(targets), columns, rtol=1e-5)


def test_several_values_of_each_frame_lie_frame_by_frame():
    values = np.zeros((4, 3, 2))
    values[..., 0] = np.arange(4)[:, None]
    values[..., 1] = -10.0 * np.arange(4)[:, None]
    targets = Signal.fit(values, per="frame").encode(values)
    np.testing.assert_allclose(targets[:, ::2], np.tile(targets[:, :1], 3))
    np.testing.assert_allclose(targets[:, 1::2], -targets[:, ::2], atol=1e-6)


def test_r2_is_that_of_scikit_learn():
    signal = Signal.fit(_values(40, 3))
    rng = np.random.default_rng(2)
    targets = signal.encode(_values(25, 3, seed=3))
    outputs = (targets + rng.normal(0, 0.5, targets.shape)).astype(np.float32)
    expected = r2_score(targets, outputs, multioutput="variance_weighted")
    found = signal.skill(torch.from_numpy(outputs), torch.from_numpy(targets))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("count", [12, 60])
def test_chance_is_beaten_by_what_knows_and_hardly_by_what_does_not(count):
    values = _values(count)
    signal = Signal.fit(values)
    targets = torch.from_numpy(signal.encode(values))
    rng = np.random.default_rng(4)
    knows = targets + 0.3 * torch.from_numpy(rng.normal(size=targets.shape))
    assert signal.skill(knows, targets) > signal.chance(knows, targets)
    ignorant = [0.5 * torch.from_numpy(rng.normal(size=targets.shape)) for _ in range(60)]
    passed = [signal.skill(one, targets) > signal.chance(one, targets) for one in ignorant]
    assert np.mean(passed) < 0.05


def test_a_trend_over_the_frames_explains_nothing():
    values = 100.0 * np.arange(6) + _values(50, 6)
    signal = Signal.fit(values, per="frame")
    targets = torch.from_numpy(signal.encode(values))
    assert signal.skill(torch.zeros_like(targets), targets) == pytest.approx(0, abs=1e-6)


def test_unknown_values_count_for_nothing():
    values = _values(20, 2)
    values[3, 0] = values[7, 1] = np.nan
    signal = Signal.fit(values)
    targets = torch.from_numpy(signal.encode(values))
    outputs = torch.zeros_like(targets, requires_grad=True)
    loss = signal.loss(outputs, targets)
    loss.backward()
    assert torch.isfinite(outputs.grad).all()
    assert outputs.grad[3, 0] == 0
    known = targets[torch.isfinite(targets)]
    assert loss.item() == pytest.approx((known**2).mean().item(), rel=1e-5)


def test_categories_are_predicted_by_cross_entropy():
    labels = np.array(["a", "b", "b", "c", "", "a", "b"])
    signal = Signal.fit(labels, kind="category")
    assert signal.categories == ("a", "b", "c")
    assert signal.outputs == 3
    targets = torch.from_numpy(signal.encode(labels))
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=(7, 3)))
    known = labels != ""
    shares = torch.softmax(logits, 1).numpy()[known]
    expected = log_loss(labels[known], shares, labels=["a", "b", "c"])
    assert signal.loss(logits, targets).item() == pytest.approx(expected)
    counts = np.array([2, 3, 1]) / 6
    plain = -(counts * np.log(counts)).sum()
    assert signal.plain_loss(targets) == pytest.approx(plain)
    assert signal.skill(logits, targets) == pytest.approx(1 - expected / plain)


def test_categories_of_each_frame():
    labels = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 0]])
    signal = Signal.fit(labels, per="frame", kind="category")
    targets = torch.from_numpy(signal.encode(labels))
    assert targets.shape == (3, 3)
    logits = 50 * torch.nn.functional.one_hot(targets.long(), 2).double().flatten(1)
    assert signal.skill(logits, targets) == pytest.approx(1)


def test_whole_numbers_and_text_name_the_same_category():
    signal = Signal.fit([0, 1, 2], kind="category")
    np.testing.assert_array_equal(signal.encode(["2", "0"])[:, 0], [2, 0])
    np.testing.assert_array_equal(signal.encode([1.0, math.nan])[:, 0], [1, -1])


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        (np.full(9, 3.0), {}, "the same in all clips"),
        (["high", "low"], {}, "holds text"),
        ([1.0, math.inf], {}, "infinite"),
        ([[math.nan, 1], [math.nan, 2]], {}, "nowhere given"),
        (np.zeros((3, 2, 2)), {}, "shape"),
        (np.zeros(3), {"per": "frame"}, "shape"),
        (["x", "x"], {"kind": "category"}, "at least 2"),
        (np.arange(1000), {"kind": "category"}, "at most 256"),
        (np.zeros((4, 2)), {"kind": "category"}, "one category for each clip"),
    ],
)
def test_signals_that_can_t_be_used(values, options, said):
    with pytest.raises(SptError, match=said):
        Signal.fit(values, **options)


def test_other_categories_and_other_frames_are_refused():
    with pytest.raises(SptError, match="'z'"):
        Signal.fit(["a", "b"], kind="category").encode(["z"])
    with pytest.raises(SptError, match="shape"):
        Signal.fit(_values(9, 5), per="frame").encode(_values(9, 6))
