import numpy as np
import pytest

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.resandi.confusions import Confusions, features


def card(**changes):
    values = {
        "noise": [0.0, 1.0],
        "systematic": 0.004,
        "coefficients": np.random.default_rng(0).normal(size=(35, 16)).tolist(),
        **changes,
    }
    return {"architecture": {"classes": list(CLASS_NAMES)}, "confusions": values}


def probabilities(n):
    return np.random.default_rng(1).dirichlet(np.ones(8), n)


def test_joint_probabilities_are_the_softmax_of_the_linear_form():
    confusions = Confusions.from_card(card())
    p, n_points = probabilities(5), np.array([10, 20, 30, 80, 2000])
    joint = confusions.joint(p, n_points)
    assert joint.shape == (5, 8, 2)
    np.testing.assert_allclose(joint.sum(axis=(1, 2)), 1)
    score = features(p, n_points) @ confusions.coefficients
    ratio = np.log(joint[:, 3, 1] / joint[:, 0, 0])
    np.testing.assert_allclose(ratio, score[:, 3 * 2 + 1] - score[:, 0])


def test_a_probability_of_zero_is_no_trouble():
    p = np.eye(8)
    assert np.isfinite(features(p, np.full(8, 30))).all()
    assert np.isfinite(Confusions.from_card(card()).joint(p, np.full(8, 30))).all()
    assert Confusions.from_card(card()).joint(p[:0], np.zeros(0, int)).shape == (0, 8, 2)


def test_a_card_gives_back_what_was_put_in():
    one = Confusions.from_card(card())
    two = Confusions.from_card({**card(), "confusions": one.to_dict()})
    np.testing.assert_allclose(two.coefficients, one.coefficients, rtol=1e-4)
    assert (two.noise, two.systematic) == (one.noise, one.systematic)
    assert Confusions.from_card({"architecture": {}}) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"coefficients": [[1.0]]},
        {"coefficients": "x"},
        {"noise": []},
        {"noise": [0.0, 0.5, 1.0]},
        {"systematic": None},
        {"coefficients": np.full((35, 16), np.nan).tolist()},
    ],
)
def test_a_damaged_card_is_named(changes):
    with pytest.raises(SptError, match="'confusions'"):
        Confusions.from_card(card(**changes))
