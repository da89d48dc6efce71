import pytest

from spt_explain.errors import NotTracksError
from spt_explain.readers import read_tracks

HEAD = "\nPosition\n==================== \n"
NAMES = "Position X,Position Y,Position Z,Unit,Category,Collection,Time,TrackID,ID,\n"
ROWS = """1.5,2,3,um,Spot,Position,2,1000000007,1,
1,2,3,um,Spot,Position,1,1000000007,0,
5,6,3,um,Spot,Position,1,,2,
"""


def read(tmp_path, text, **options):
    path = tmp_path / "spots_Position.csv"
    path.write_text(text, encoding="utf-8")
    return read_tracks(path, **options)


@pytest.mark.parametrize("head", [HEAD, "", "Position,,,,,,,,,\n====================,,,,,,,,,\n"])
def test_positions(tmp_path, head):
    tracks = read(tmp_path, head + NAMES + ROWS)
    assert tracks.table.to_numpy().tolist() == [
        [1000000007, 1, 1, 2, 3, "um", "Spot", "Position", 0],
        [1000000007, 2, 1.5, 2, 3, "um", "Spot", "Position", 1],
    ]
    assert tracks.extra_columns == ["Unit", "Category", "Collection", "ID"]
    assert list(read(tmp_path, head + NAMES + ROWS, keep_columns=False).table) == [
        "particle", "frame", "x", "y", "z",
    ]  # fmt: skip
    assert tracks.source.format.startswith("Imaris")
    assert tracks.calibration.length_unit == "um"
    assert tracks.calibration.frame_interval_s is None
    assert tracks.source.counts == {"untracked_spots": 1}


def test_unit_of_the_column(tmp_path):
    tracks = read(tmp_path, HEAD + NAMES + ROWS.replace("um", "nm"))
    assert tracks.table["x"].tolist() == pytest.approx([0.001, 0.0015])


def test_times_instead_of_time_points(tmp_path):
    rows = ROWS.replace("Position,2", "Position,0.5").replace("Position,1", "Position,0.25")
    tracks = read(tmp_path, HEAD + NAMES + rows)
    assert tracks.table["frame"].tolist() == [0, 1]


def test_spots_that_were_not_tracked(tmp_path):
    text = HEAD + NAMES.replace("TrackID,", "") + "1,2,3,um,Spot,Position,1,0,\n" * 2
    with pytest.raises(NotTracksError, match="without TrackID"):
        read(tmp_path, text)


def test_another_statistic(tmp_path):
    names = "Speed,Unit,Category,Time,TrackID,ID,\n"
    with pytest.raises(NotTracksError, match='"Position"'):
        read(tmp_path, "\nSpeed\n====\n" + names + "1,um/s,Spot,1,1000000000,0,\n" * 2)
