import pytest

from spt_explain.errors import SptError
from spt_explain.training.options import EvaluateOptions, LabelledOptions, RetrainOptions


@pytest.mark.parametrize(
    ("given", "points"),
    [("12", (12, 12)), (" 20 – 30", (20, 30)), ("10..20", (10, 20)), ((2, 100_000), (2, 100_000))],
)
def test_points_are_a_number_or_a_range(given, points):
    assert EvaluateOptions(length=given).length == points


@pytest.mark.parametrize("given", ["ten", "1,2", 5, (10, 20, 30), (30, 20), (1, 5), None])
def test_other_points_are_refused(given):
    with pytest.raises(SptError, match="expected") as caught:
        EvaluateOptions(length=given)
    assert caught.value.option == "length"
    assert "\n" not in str(caught.value)


def test_noise_levels_are_sorted_each_once():
    assert EvaluateOptions(noise="1, 0,0.5,1").noise == (0, 0.5, 1)
    assert EvaluateOptions(noise=[0.5, 0]).noise == (0, 0.5)
    assert EvaluateOptions().noise is None


@pytest.mark.parametrize("given", ["", "0;1", "0,x", [-1], [float("nan")], [1e9], 0.5])
def test_other_levels_are_refused(given):
    with pytest.raises(SptError, match="expected levels from 0 to 1000") as caught:
        EvaluateOptions(noise=given)
    assert caught.value.option == "noise"


def test_several_values_are_any_sequence_but_a_text():
    assert LabelledOptions(data=["a.csv", "b.csv"]).data == ("a.csv", "b.csv")
    with pytest.raises(SptError, match=r"data='a.csv': expected several values"):
        LabelledOptions(data="a.csv")


def test_others_options_are_handed_back():
    options, rest = RetrainOptions.split_from({"epochs": 3, "jobs": 2})
    assert (options.epochs, rest) == (3, {"jobs": 2})
    with pytest.raises(SptError, match="there is no option jobs"):
        RetrainOptions(jobs=2)
