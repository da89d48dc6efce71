import json

import pandas as pd
import pytest

from spt_explain.explain.reasons import Reasons
from spt_explain.report.reason_counts import count_reasons


def reasons(**changes):
    tracks = pd.DataFrame(
        {
            "file": "a.csv",
            "particle": [1, 2, 3],
            "segment": 0,
            "explained": ["BM", "BM", "SubFBM"],
            "method": "gradcam",
            "layer": "block4",
            "resolution_frames": 32,
            "loss_top": [0.5, 0.3, float("nan")],
            "loss_random": [0.1, 0.2, float("nan")],
            "check": ["passed", "no better than random", "not checked"],
            "overlay": [True, False, True],
        }
    )
    timeline = pd.DataFrame(
        {"file": "a.csv", "particle": [1, 1, 1, 2], "segment": 0,
         "change": [False, True, True, False]}
    )  # fmt: skip
    empty = pd.DataFrame()
    tables = {"tracks": tracks, "frames": empty, "windows": empty, "correlations": empty,
              "timeline": timeline}  # fmt: skip
    return Reasons(**(tables | changes), classes=("BM", "SubFBM"), unit="pixel",
                   frame_interval_s=None)  # fmt: skip


def test_checks_and_losses_by_class():
    found = count_reasons(reasons(), None)
    assert found["explained"] == 3
    brown = found["by_class"]["BM"]
    assert (brown["tracks"], brown["passed"], brown["no better than random"]) == (2, 1, 1)
    assert (brown["loss_top"], brown["loss_random"]) == pytest.approx((0.4, 0.15))
    assert brown["overlay"] == 1
    assert found["by_class"]["SubFBM"]["not checked"] == 1
    assert found["by_class"]["SubFBM"]["loss_top"] is None
    json.dumps(found, allow_nan=False)  # plain values, no NaN


def test_methods_and_long_tracks():
    found = count_reasons(reasons(), None)
    assert found["methods"] == [
        {"method": "gradcam", "layer": "block4", "resolution_frames": 32, "tracks": 3}
    ]
    assert (found["long_tracks"], found["changes"]) == (2, 2)
    found = count_reasons(reasons(timeline=pd.DataFrame()), None)
    assert (found["long_tracks"], found["changes"]) == (0, 0)
