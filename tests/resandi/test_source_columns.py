"""Verdict tables with the columns of the source that describe tracks."""

import numpy as np
import pandas as pd
import pytest

from spt_explain.resandi.verdict_table import with_source_columns
from spt_explain.tracks.table import Calibration, Source, Tracks


def _tracks() -> Tracks:
    table = pd.DataFrame(
        {
            "particle": np.repeat([2, 5, 9], 3),
            "frame": np.tile([0, 1, 2], 3),
            "x": 0.0,
            "y": 0.0,
            "cell": np.repeat(["a", None, "b"], 3),
            "dose": [0.1, np.nan, 0.1, 2.5, 2.5, 2.5, 0.1, 0.1, 0.1],
            "plate": np.repeat([3, 1, 2**60 + 1], 3),
            "class": np.repeat(["BM", "SupLW", "BM"], 3),
            "mass": np.arange(9),
        }
    )
    return Tracks(table, Calibration(), Source("t", "t"), without_points=(7,))


def test_values_go_to_every_row_of_their_track() -> None:
    verdicts = pd.DataFrame(
        {"file": "t", "particle": [2, 2, 5, 7, 9], "segment": [0, 1, 0, 0, 0], "class": "SubFBM"}
    )
    table, names = with_source_columns(verdicts, _tracks())
    assert names == ["cell", "dose", "plate", "class_source"]
    assert list(table) == [*verdicts, *names]
    pd.testing.assert_frame_equal(table[list(verdicts)], verdicts)
    assert table["cell"].fillna("-").tolist() == ["a", "a", "-", "-", "b"]
    np.testing.assert_array_equal(table["dose"], [0.1, 0.1, 2.5, np.nan, 0.1])
    assert str(table["plate"].dtype) == "Int64"
    assert table["plate"].fillna(-1).tolist() == [3, 3, 1, -1, 2**60 + 1]
    assert table["class_source"].fillna("-").tolist() == ["BM", "BM", "SupLW", "-", "BM"]


def test_whole_numbers_stay_whole_where_every_track_has_points() -> None:
    table, _ = with_source_columns(pd.DataFrame({"particle": [9, 2]}), _tracks())
    assert str(table["plate"].dtype) == "int64"
    assert table["plate"].tolist() == [2**60 + 1, 3]


@pytest.mark.parametrize("name", ["alpha", "p_BM", "reason", "D_um2_s", "label", "movie"])
def test_names_of_verdicts_are_never_taken(name: str) -> None:
    tracks = _tracks()
    tracks.table[name] = 1.5
    _, names = with_source_columns(pd.DataFrame({"particle": [2], "p_BM": [0.5]}), tracks)
    assert names[-1] == f"{name}_source"
