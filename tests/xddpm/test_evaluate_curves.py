import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.curves import insertion_deletion

RNG = np.random.default_rng(0)
TRUTH = np.zeros((6, 2, 10, 10), bool)
TRUTH[:, :, :2] = True  # a fifth of the pixels
CLIPS = RNG.uniform(1, 2, TRUTH.shape).astype(np.float32)


def relevant_sum(clips):
    return clips[:, :, :2].sum(axis=(1, 2, 3))[:, None]


def test_an_oracle_is_done_after_a_fifth():
    found = insertion_deletion(relevant_sum, CLIPS, TRUTH, 0.0)
    np.testing.assert_allclose(found.insertion[:, 4:], 1, atol=1e-9)
    after = found.deletion[:, 4:]
    np.testing.assert_allclose(after, after[:, -1:].repeat(after.shape[1], 1), atol=1e-9)
    # on average over videos nothing is left, by the choice of unit
    assert found.deletion[:, -1].mean() == pytest.approx(0, abs=1e-6)


def test_ends_and_the_order_of_methods():
    maps = {"oracle": TRUTH, "random": RNG.random(TRUTH.shape), "worst": ~TRUTH}
    found = {k: insertion_deletion(relevant_sum, CLIPS, v, 0.0, seed=2) for k, v in maps.items()}
    for each in found.values():
        np.testing.assert_allclose(each.insertion[:, -1], 1)
        np.testing.assert_allclose(each.deletion[:, 0], 1)
        np.testing.assert_allclose(each.insertion[:, 0], each.deletion[:, -1])
    insertion = [found[k].insertion_area.mean() for k in maps]
    deletion = [found[k].deletion_area.mean() for k in maps]
    assert insertion == sorted(insertion, reverse=True)
    assert deletion == sorted(deletion)


def test_area_by_hand():
    # one frame of four pixels, all relevant and equal: fidelity after k of 4 is 1 - (1 - k/4)²
    clip = np.ones((1, 1, 2, 2), np.float32)
    found = insertion_deletion(
        lambda c: c.sum(axis=(1, 2, 3)), clip, clip, 0.0, shares=(0, 0.25, 0.5, 0.75, 1)
    )
    np.testing.assert_allclose(found.insertion[0], [0, 7 / 16, 12 / 16, 15 / 16, 1])
    assert found.insertion_area[0] == pytest.approx((0 / 2 + 7 + 12 + 15 + 16 / 2) / 16 / 4)


def test_ties_are_broken_by_seed_and_alike_for_all():
    flat = np.ones(TRUTH.shape)
    one, two = (insertion_deletion(relevant_sum, CLIPS, flat, 0.0, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.insertion, two.insertion)
    other = insertion_deletion(relevant_sum, CLIPS, flat, 0.0, seed=5)
    assert (one.insertion != other.insertion).any()


def test_refused():
    with pytest.raises(SptError, match="rise from 0 to 1"):
        insertion_deletion(relevant_sum, CLIPS, TRUTH, 0.0, shares=(0, 0.5))
    with pytest.raises(SptError, match="empty clip"):
        insertion_deletion(lambda c: np.ones((len(c), 1)), CLIPS, TRUTH, 0.0)
