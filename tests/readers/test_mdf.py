import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.readers import mdf
from spt_explain.readers.inputs import HEAD_BYTES, Input, ReadOptions

# As MTrackJ 1.5 writes: display settings, colours, frames from 1, x and y in pixels.
FILE = """MTrackJ 1.5.1 Data File
Displaying true true true 1 2 0 4 100 10 0 0 0 2 1 12 0 true true true false
Assembly 1 FF0000
Cluster 1 FF0000
Track 4 FF0000 true
Point 1 111.3 126.1 1.0 1.0 1.0
Point 2 132.5 116.2 1.0 2.0 1.0
Point 3 147.1 108.6 1.0 4.0 1.0
Track 9 00FF00 true
Point 1 182.9 294.0 1.0 3.0 1.0
Point 2 156.8 272.2 1.0 4.0 1.0
End of MTrackJ Data File
"""


def message(source: Input) -> str:
    """What a user is told, or nothing if the file can be read."""
    try:
        mdf.read(source, ReadOptions())
    except SptError as error:
        return str(error)
    return ""


def held(data: bytes) -> Input:
    return Input("-", None, data[:HEAD_BYTES], _data=data)


def read(text: str | bytes, **options):
    source = held(text.encode() if isinstance(text, str) else text)
    assert mdf.sniff(source)
    return mdf.read(source, ReadOptions(**options))


def test_points_of_tracks():
    tracks = read(FILE)
    assert tracks.table["particle"].tolist() == [4, 4, 4, 9, 9]
    assert tracks.table["frame"].tolist() == [1, 2, 4, 3, 4]
    assert tracks.table["x"].tolist() == [111.3, 132.5, 147.1, 182.9, 156.8]
    assert tracks.table["y"].tolist() == [126.1, 116.2, 108.6, 294.0, 272.2]
    assert tracks.source.format == "MTrackJ 1.5.1 data file (MDF)"
    assert tracks.calibration.length_unit == "px"
    assert tracks.calibration.frame_interval_s is None
    assert tracks.labels is None
    assert tracks.source.notes == ()


def test_units_from_the_options():
    tracks = read(FILE, pixel_size_um=0.1, frame_interval_s=0.5)
    assert tracks.table["x"].tolist()[:2] == pytest.approx([11.13, 13.25])
    assert tracks.calibration.length_unit == "um"
    assert tracks.calibration.frame_interval_s == 0.5


def test_ids_that_start_anew_in_each_cluster():
    text = FILE.replace("Track 9", "Cluster 2\nTrack 4")
    tracks = read(text)
    assert tracks.table["particle"].tolist() == [0, 0, 0, 1, 1]
    assert tracks.labels.to_dict() == {0: "cluster 1, track 4", 1: "cluster 2, track 4"}
    assert "numbered anew" in tracks.source.notes[0]


def test_tracks_without_points_are_counted():
    tracks = read(FILE.replace("Track 9", "Track 5 0000FF true\nTrack 9"))
    assert tracks.table["particle"].unique().tolist() == [4, 9]
    assert tracks.source.counts == {"empty_tracks": 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.rstrip().encode(),
        lambda text: text.encode() + b"\n\n\x00",
        lambda text: b"\n\n" + text.replace("\n", "\n\n").encode(),
        lambda text: text.replace("Displaying", "Remark µ").encode("cp1252"),
        lambda text: "\n".join("   " + line for line in text.splitlines()).encode(),
    ],
)
def test_line_ends_and_encodings(change):
    tracks = read(change(FILE))
    assert tracks.table["frame"].tolist() == [1, 2, 4, 3, 4]
    assert tracks.source.format == "MTrackJ 1.5.1 data file (MDF)"


def test_channel_may_be_missing_and_points_unsorted():
    lines = FILE.replace(" 1.0\n", "\n").splitlines()
    lines[5:8] = lines[7:4:-1]
    tracks = read("\n".join(lines))
    assert tracks.table["frame"].tolist() == [1, 2, 4, 3, 4]
    assert tracks.table["x"].tolist()[:3] == [111.3, 132.5, 147.1]


def test_positions_that_are_none_are_dropped_and_counted():
    tracks = read(FILE.replace("132.5", "NaN"))
    assert tracks.table["frame"].tolist() == [1, 4, 3, 4]
    assert tracks.source.counts == {"missing_positions": 1}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("132.5 116.2 1.0 2.0 1.0", "132.5 116.2 2.0"),
        ("132.5", "132,5"),
        (" 2.0 1.0\n", " 27.78 1.0\n"),
        (" 2.0 1.0\n", " NaN 1.0\n"),
        (" 2.0 1.0\n", " 1e400 1.0\n"),
    ],
)
def test_point_that_is_none_names_the_line(old, new):
    with pytest.raises(SptError, match="line 7: a point"):
        read(FILE.replace(old, new, 1))


def test_point_before_any_track():
    with pytest.raises(SptError, match="before the first track"):
        read(FILE.replace("Track 4 FF0000 true\n", ""))


@pytest.mark.parametrize(
    "text",
    [
        "MTrackJ 1.5.1 Data File\nAssembly 1\nEnd of MTrackJ Data File\n",
        "MTrackJ 1.5.1 Data File\nCluster 1\nTrack 1\nEnd of MTrackJ Data File\n",
        "MTrackJ 1.5.1 Data File\nTrack 1\nPoint 1 NaN 1 1 1 1\nEnd of MTrackJ Data File\n",
    ],
)
def test_no_tracks_has_its_own_message(text):
    with pytest.raises(SptError, match="holds no tracks"):
        read(text)


def test_cut_at_every_byte_is_an_error_or_another_file():
    whole = FILE.rstrip().encode()
    for cut in range(1, len(whole)):
        source = held(whole[:cut])
        if mdf.sniff(source):
            with pytest.raises(SptError, match="cut off"):
                mdf.read(source, ReadOptions())
        else:
            assert cut < whole.index(b"\n")


@pytest.mark.parametrize("data", [b"x,y\n1,2\n", b"MTrackJ", b"Track 1\n", b"\x00MTrackJ"])
def test_other_files_are_left_alone(data):
    assert not mdf.sniff(held(data))


@given(data=st.data())
def test_damage_gives_a_message_and_no_traceback(data):
    damaged = bytearray(FILE.encode())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    source = held(bytes(damaged))
    if mdf.sniff(source):
        assert len(message(source).splitlines()) <= 2
