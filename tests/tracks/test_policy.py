import subprocess
import sys

import pytest
from pydantic import ValidationError

from spt_explain.errors import SptError
from spt_explain.tracks import QualityPolicy


def test_defaults_are_the_stated_policy():
    policy = QualityPolicy().model_dump()
    assert (policy["min_length"], policy["gaps"], policy["max_gap"]) == (10, "fill", 2)
    assert policy["branches"] == "skip"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("min_length", 1, "min_length=1: expected a whole number of points, 2 or more."),
        ("min_length", 10.0, "min_length=10.0"),
        ("min_length", True, "min_length=True"),
        ("max_gap", -1, "max_gap=-1: expected a whole number of missing frames, 0 to 1,000,000."),
        ("max_gap", 10**30, "0 to 1,000,000"),
        ("gaps", "interpolate", "expected one of fill, split, keep, drop."),
        ("branches", "keep", "branches='keep': expected one of skip, split."),
        ("flag_immobile", 1, "expected true or false"),
        ("immobile_miss", 0.5, "above 0 and below 0.5"),
        ("immobile_miss", float("nan"), "above 0 and below 0.5"),
        ("immobile_guard", -1.0, "0 or more"),
        ("immobile_guard", float("nan"), "0 or more"),
        ("immobile_min_points", 2, "3 or more"),
    ],
)
def test_values_outside_are_refused_in_one_line(option, value, said):
    with pytest.raises(SptError) as error:
        QualityPolicy(**{option: value})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_is_frozen():
    with pytest.raises(ValidationError):
        QualityPolicy().min_length = 3


def test_importing_the_policy_loads_no_numpy():
    code = (
        "import sys; from spt_explain.tracks import QualityPolicy; QualityPolicy(); "
        "sys.exit('numpy' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_names_are_attribute_errors():
    import spt_explain.tracks as room

    with pytest.raises(AttributeError, match="no attribute 'segments'"):
        _ = room.segments
