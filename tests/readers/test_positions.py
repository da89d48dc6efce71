from array import array

import numpy as np
import pandas as pd

from spt_explain.readers.positions import drop_missing, sizes_of

NAN = float("nan")


def test_complete_tables_stay_as_they_are():
    table = pd.DataFrame({"particle": [0, 1], "x": [1.0, 2.0], "y": [1.0, 2.0], "z": [0.0, 1.0]})
    notes, counts = [], {}
    pd.testing.assert_frame_equal(drop_missing(table.copy(), notes, counts), table)
    assert notes == []
    assert counts == {}


def test_incomplete_rows_are_dropped_and_counted():
    table = pd.DataFrame(
        {"particle": [0, 0, 1, 2], "x": [1.0, NAN, np.inf, 4.0], "y": [1.0, 2.0, 3.0, NAN]}
    )
    notes, counts = [], {}
    left = drop_missing(table, notes, counts)
    assert left.to_dict("list") == {"particle": [0], "x": [1.0], "y": [1.0]}
    assert counts == {"missing_positions": 3, "tracks_without_positions": 2}
    assert "3 detections" in notes[0]
    assert "2 tracks" in notes[0]


def test_depth_is_left_out_where_it_is_incomplete():
    table = pd.DataFrame({"particle": [0, 0], "x": [1.0, 2.0], "y": [1.0, 2.0], "z": [NAN, 1.0]})
    notes = []
    assert drop_missing(table, notes, {}).columns.tolist() == ["particle", "x", "y"]
    assert "1 detection:" in notes[0]
    notes = []
    assert "z" not in drop_missing(table.assign(z=NAN), notes, {}).columns
    assert notes == []


def test_sizes():
    assert sizes_of(array("q", [3, 3, 7])).tolist() == [3, 0, 4]
    assert sizes_of(array("q")).tolist() == []
