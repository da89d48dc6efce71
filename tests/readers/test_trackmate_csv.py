import pytest

from spt_explain.errors import NotTracksError, SptError
from spt_explain.readers import read_tracks
from spt_explain.readers.inputs import Input
from spt_explain.readers.trackmate_csv import sniff

V6 = """Label,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,POSITION_Z,POSITION_T,FRAME,RADIUS,VIS
ID3,3,None,22.0,1.0,2.0,0,600,10,0.25,1
ID5,5,1,22.0,1.5,2.5,0,660,11,0.25,1
ID4,4,1,22.0,1.25,2.25,0,600,10,0.25,1
"""
V7 = """LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,POSITION_Z,POSITION_T,FRAME,SNR
Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame,Signal/Noise ratio
Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame,SNR
,,,(quality),({length}),({length}),({length}),({time}),,
ID5,5,1,22.0,1.5,2.5,0,5.5,11,Infinity
ID4,4,1,22.0,1.25,2.25,0,5.0,10,NaN
ID3,3,,22.0,1.0,2.0,0,5.0,10,
"""
HEADLESS = """\
ID,LABEL,TRACK_ID,TRACK_NAME,TRACK_VISIBLE,Q,POSITION_X,POSITION_Y,POSITION_Z,POSITION_T,FRAME
4,ID4,1,Track_1,1,22.0,1.25,2.25,0,5.0,10
5,ID5,1,Track_1,1,22.0,1.5,2.5,0,5.5,11
6,ID6,2,Track_2,0,22.0,1.5,2.5,0,5.5,11
3,ID3,ø,ø,ø,22.0,1.0,2.0,0,5.0,10
"""


def read(tmp_path, text, encoding="utf-8", **options):
    path = tmp_path / "spots.csv"
    path.write_bytes(text.encode(encoding))
    assert sniff(Input.of(path))
    return read_tracks(path, **options)


def check(tracks):
    assert tracks.table["particle"].tolist() == [1, 1]
    assert tracks.table["frame"].tolist() == [10, 11]
    assert tracks.table["x"].tolist() == [1.25, 1.5]
    assert tracks.table["y"].tolist() == [2.25, 2.5]
    assert tracks.source.counts["untracked_spots"] == 1


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_version_6(tmp_path, newline):
    tracks = read(tmp_path, V6.replace("\n", newline))
    check(tracks)
    assert "version 6" in tracks.source.format
    assert tracks.calibration.frame_interval_s is None  # 60, but of what is not written
    assert any("60 has no unit" in note for note in tracks.source.notes)


def test_version_6_with_row_numbers(tmp_path):
    lines = V6.splitlines()
    text = "\n".join([" ," + lines[0], *(f"{i},{line}" for i, line in enumerate(lines[1:], 1))])
    check(read(tmp_path, text))


@pytest.mark.parametrize(
    ("length", "time", "unit", "interval"),
    [
        ("micron", "sec", "um", 0.5),
        ("µm", "s", "um", 0.5),
        ("pixel", "frame", "px", None),
        ("pixels", "frames", "px", None),
        (" ", " ", "px", None),
        ("micron", "ms", "um", 0.0005),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_version_7(tmp_path, length, time, unit, interval, encoding):
    tracks = read(tmp_path, V7.format(length=length, time=time), encoding)
    check(tracks)
    assert "version 7" in tracks.source.format
    assert tracks.calibration.length_unit == unit
    assert tracks.calibration.frame_interval_s == (interval and pytest.approx(interval))


@pytest.mark.parametrize("left_out", [1, 2])
def test_version_7_leaves_out_a_repeated_header_row(tmp_path, left_out):
    lines = V7.format(length="micron", time="sec").splitlines(keepends=True)
    del lines[left_out]
    tracks = read(tmp_path, "".join(lines))
    check(tracks)
    assert tracks.calibration.length_source == "file: POSITION_X in micron"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_headless_exporter(tmp_path, encoding):
    tracks = read(tmp_path, HEADLESS, encoding)
    check(tracks)
    assert tracks.source.counts["hidden_spots"] == 1
    assert read(tmp_path, HEADLESS, encoding, all_tracks=True).n_tracks == 2


def test_columns_override(tmp_path):
    tracks = read(tmp_path, V6, columns={"particle": "ID"})
    assert tracks.table["particle"].tolist() == [3, 4, 5]


def test_all_hidden(tmp_path):
    with pytest.raises(SptError, match="hidden by filters"):
        read(tmp_path, HEADLESS.replace("Track_1,1", "Track_1,0").replace(",ø,22", ",0,22"))


def test_without_track_numbers(tmp_path):
    with pytest.raises(NotTracksError, match="3 spots without TRACK_ID"):
        read(tmp_path, V6.replace("TRACK_ID", "OTHER"))


def test_without_frames_and_times(tmp_path):
    with pytest.raises(SptError, match="without FRAME and POSITION_T"):
        read(tmp_path, V6.replace("FRAME", "A").replace("POSITION_T", "B"))


def test_a_single_track_that_branches_is_not_taken_for_lost_ids(tmp_path):
    rows = "".join(f"ID{i},{i},0,1,{i},2.5,0,{i // 2},{i // 2},0.25,1\n" for i in range(20))
    assert len(read(tmp_path, V6.splitlines()[0] + "\n" + rows).table) == 20
