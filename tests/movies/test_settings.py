import math

import pytest

from spt_explain.errors import SptError
from spt_explain.movies.settings import TrackingSettings


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("diameter", 6, "diameter=6: expected an odd whole number of pixels, 3 or more."),
        ("diameter", 1, "diameter=1: expected an odd"),
        ("diameter", 7.0, "diameter=7.0: expected an odd"),
        ("minmass", -1.0, "minmass=-1.0: expected a number, 0 or more (grey values)."),
        ("minmass", math.nan, "minmass=nan"),
        ("search_range", 0.0, "search_range=0.0: expected a number, above 0 (px)."),
        ("search_range", math.inf, "search_range=inf"),
        ("memory", -1, "memory=-1: expected a whole number of frames, 0 or more."),
        ("channel", 0, "channel=0: expected a whole number, 1 or more."),
        ("z", 0, "z=0: expected max, mean or a whole number, 1 or more."),
        ("z", "least", "z='least': expected max, mean or a whole number, 1 or more."),
        ("dark", 1, "dark=1: expected true or false."),
    ],
)
def test_values_that_can_not_be_meant(option, value, message):
    with pytest.raises(SptError) as caught:
        TrackingSettings(**{option: value})
    assert str(caught.value).startswith(message)
    assert caught.value.option == option


def test_values_at_their_limits():
    TrackingSettings(memory=0)
    TrackingSettings(channel=1, z=1, diameter=7, minmass=0.0, search_range=2.5, memory=3)
