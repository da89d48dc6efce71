import gzip
import io
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.readers import read_tracks

SCRAMBLED = np.random.default_rng(11)

# header, how its columns are made of a table's, µm in one unit of length, s in one unit of time
DIALECTS = {
    "trackpy": ("{},y,x,mass,ecc,frame,particle", "iyx11fp"),
    "sasspt": ("trajectory,frame,y,x", "pfyx"),
    "mosaic": (" ,Trajectory,Frame,x,y,m0,NPscore", "ipfxy11"),
    "andi2": ("traj_idx,frame,x,y", "pfxy"),
    "gemspa": ("{},track_id,frame,z,y,x", "ipf0yx"),
    "deepspt": ("x,y,z,particle,frame", "xy0pf"),
    "tracksegnet": ("x,y,frame,track_id", "xyfp"),
    "extrack": ("X,Y,frame,track_ID,p0", "xyfp1"),
    "swift": ("id,x [nm],y [nm],frame,track.id,seg.id,id", "iXYfp1i"),
    "dom": (" ,X_(px),Y_(px),Frame_Number,X_(nm),Y_(nm),Track_ID,Particle_ID", "i11fXYp1"),
    "spoton": ("frame,t,trajectory,x,y", "ftpxy"),
    "trait2d": ("t,x,y,id", "txyp"),
    "btrack": ("ID,t,x,y,z,parent,root,label", "pfxy0pp1"),
    "unknown": ("Track,Frame,Pos X,Pos Y", "pfxy"),
}
NM = {"swift", "dom"}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "table.csv"


@st.composite
def tables(draw):
    """Return a track table with gaps, first frames of any size, and rows in any order."""
    n_tracks = draw(st.integers(1, 5))
    first = draw(st.sampled_from([0, 1, 29_984]))
    # Two neighbouring frames somewhere, or times could not tell the interval.
    rows = [(first, first), (first, first + 1)]
    for particle in range(1, n_tracks):
        frames = draw(st.lists(st.integers(0, 40), min_size=1, max_size=8, unique=True))
        rows += [(particle + first, first + frame) for frame in frames]
    table = pd.DataFrame(rows, columns=["particle", "frame"])
    positions = st.floats(-1e4, 1e4, allow_nan=False).map(lambda value: round(value, 6))
    for axis in "xy":
        table[axis] = draw(st.lists(positions, min_size=len(table), max_size=len(table)))
    table = table.sort_values(["particle", "frame"], ignore_index=True)
    order = draw(st.permutations(range(len(table))))
    return table, list(order)


def written(table, order, dialect, separator, newline, decimal):
    header, letters = DIALECTS[dialect]
    header = header.replace("{}", "")
    rows = []
    for i, row in enumerate(table.iloc[order].itertuples()):
        values = {
            "i": i,
            "p": row.particle,
            "f": row.frame,
            "x": row.x,
            "y": row.y,
            "X": row.x,
            "Y": row.y,
            "t": repr(0.05 * row.frame),
            "0": 0.0,
            "1": 1,
        }
        rows.append([str(values[letter]).replace(".", decimal) for letter in letters])
    lines = [header.split(","), *rows]
    return newline.join(separator.join(line) for line in lines) + newline


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=12, deadline=None)
@given(
    made=tables(),
    style=st.sampled_from([(",", "."), ("\t", "."), (";", "."), (";", ","), ("\t", ",")]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
)
def test_tables_of_every_program_come_back(scratch, dialect, made, style, newline, encoding):
    table, order = made
    separator, decimal = style
    text = written(table, order, dialect, separator, newline, decimal)
    scratch.write_bytes(text.encode(encoding))
    tracks = read_tracks(scratch)
    expected = table.copy()
    if dialect == "trait2d":
        expected["frame"] -= expected["frame"].min()
    if dialect in NM:
        expected[["x", "y"]] *= 1e-3
    found = tracks.table[["particle", "frame", "x", "y"]]
    pd.testing.assert_frame_equal(found, expected, check_exact=dialect not in NM)
    assert tracks.calibration.length_unit == ("um" if dialect in {*NM, "spoton"} else "px")
    if dialect in ("spoton", "trait2d"):
        assert tracks.calibration.frame_interval_s == pytest.approx(0.05)
    else:
        assert tracks.calibration.frame_interval_s is None


# ------------------------------------------------------------------------------ damaged files

SEEDS = [
    b"particle,frame,x,y\n0,0,1.5,2\n0,1,1,2\n1,0,3,4\n1,1,4,5\n",
    "particle\tframe\tx\ty\r\n0\t0\t1.5\t2\r\n0\t1\t1\t2\r\n".encode("utf-16"),
    b"particle;frame;x [nm];y [nm]\n0;0;1,5;2,25\n0;1;1;3\n",
    b"t,x,y,id\n0.0,1,2,0\n0.1,1,2,0\n0.3,1,2,0\n",
    b"\nPosition\n==== \nPosition X,Position Y,Position Z,Unit,Category,Collection,Time,TrackID,ID,"
    b"\n1,2,3,um,Spot,Position,1,1000000000,0,\n1,2.5,3,um,Spot,Position,2,1000000000,1,\n",
    b"LABEL,ID,TRACK_ID,POSITION_X,POSITION_Y,POSITION_T,FRAME\nLabel,Spot ID,Track ID,X,Y,T,Frame"
    b"\n,,,(micron),(micron),(sec),\nID1,1,0,1.5,2,0,0\nID2,2,0,1.5,2,0.5,1\nID3,3,,1,2,0.5,1\n",
]
JUNK = st.sampled_from(
    [
        *(
            b"",
            b"\0",
            b'"',
            b",",
            b"\n",
            b"\r",
            b"\xff",
            b"nan",
            b"-",
            b"1e400",
            b"9" * 25,
            b"\xc3",
        ),
        *(b"#", b";", b"\t", b"<", "ø".encode(), b"-9223372036854775808", "\u2028".encode()),
    ]
)


def readable_or_refused(path):
    """Read; any error must be one a user can mend, in two lines at most."""
    try:
        tracks = read_tracks(path)
    except SptError as error:
        message = str(error)
        assert message.count("\n") <= 1
        assert message.replace("\n", " ").isprintable()
        return
    table = tracks.table
    assert len(table)
    assert np.isfinite(table[["x", "y"]].to_numpy()).all()
    assert table.index.equals(pd.RangeIndex(len(table)))
    keys = list(zip(table["particle"], table["frame"], strict=True))
    assert keys == sorted(keys)


@settings(max_examples=150, deadline=None)
@given(seed=st.sampled_from(SEEDS), data=st.data())
def test_truncated_anywhere(scratch, seed, data):
    scratch.write_bytes(seed[: data.draw(st.integers(0, len(seed)))])
    readable_or_refused(scratch)


@settings(max_examples=250, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), JUNK), min_size=1, max_size=8),
)
def test_damaged_anywhere(scratch, seed, cuts):
    content = bytearray(seed)
    for where, length, junk in cuts:
        start = int(where * len(content))
        content[start : start + length] = junk
    scratch.write_bytes(content)
    readable_or_refused(scratch)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(scratch, content):
    scratch.write_bytes(content)
    readable_or_refused(scratch)


# --------------------------------------------------------------------------- one thing at a time


def read(tmp_path, text, **options):
    path = tmp_path / "f.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_tracks(path, **options)


def test_standard_input(monkeypatch):
    content = b"particle,frame,x,y\n3,7,1.5,2\n3,8,1,2\n"
    for data in (content, gzip.compress(content, mtime=0)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        tracks = read_tracks("-")
        assert tracks.table["frame"].tolist() == [7, 8]
        assert tracks.source.name == "-"


def test_gzip_by_content(tmp_path):
    packed = gzip.compress(b"particle,frame,x,y\n3,7,1.5,2\n3,8,1,2\n", mtime=0)
    assert read(tmp_path, packed).table["x"].tolist() == [1.5, 1]


def test_columns_by_number_without_a_header(tmp_path):
    columns = {"particle": "4", "frame": "3", "x": "1", "y": "2"}
    tracks = read(tmp_path, "1.5,2,0,7\n1,2,1,7\n1,3,2,7\n", columns=columns)
    assert tracks.table.to_numpy().tolist() == [[7, 0, 1.5, 2], [7, 1, 1, 2], [7, 2, 1, 3]]


def test_columns_with_times(tmp_path):
    columns = {"particle": "a", "t": "b", "x": "c", "y": "d"}
    tracks = read(tmp_path, "a,b,c,d\n0,1,1,2\n0,2,2,3\n0,5,2,3\n", columns=columns)
    assert tracks.table["frame"].tolist() == [0, 1, 4]
    assert tracks.calibration.frame_interval_s == 1


def test_time_in_ms_by_the_header(tmp_path):
    tracks = read(tmp_path, "track,t [ms],x [um],y [um]\n0,40,1,2\n0,20,2,3\n0,100,2,3\n")
    assert tracks.table["frame"].tolist() == [0, 1, 4]
    assert tracks.calibration.frame_interval_s == pytest.approx(0.02)
    assert tracks.calibration.length_unit == "um"


def test_whole_numbers_in_t_are_frames(tmp_path):
    tracks = read(tmp_path, "track,t,x,y\n0,4,1,2\n0,5,2,3\n0,7,2,3\n")
    assert tracks.table["frame"].tolist() == [4, 5, 7]
    assert any("taken for frame numbers" in note for note in tracks.source.notes)


def test_options_fill_in_units(tmp_path):
    text = "particle,frame,x,y\n0,0,10,20\n0,1,11,20\n"
    tracks = read(tmp_path, text, pixel_size_um=0.1, frame_interval_s=0.05)
    assert tracks.table["x"].tolist() == pytest.approx([1, 1.1])
    assert tracks.calibration.frame_interval_s == 0.05
    assert tracks.calibration.length_source == "pixel_size_um=0.1"


def test_pixels_and_nm_are_not_scaled_twice(tmp_path):
    text = "particle,frame,x_px,y_px,x [nm],y [nm]\n0,0,10,20,1000,2000\n0,1,11,20,1100,2000\n"
    given = read(tmp_path, text, pixel_size_um=0.2)
    assert given.table["x"].tolist() == pytest.approx([1, 1.1])
    assert any("ignored" in note for note in given.source.notes)
    forced = read(tmp_path, text, pixel_size_um=0.2, override_units=True)
    assert forced.table["x"].tolist() == pytest.approx([2, 2.2])


def test_duplicates_are_kept_in_their_order(tmp_path):
    text = "particle,frame,x,y\n1,5,1,1\n0,3,2,2\n1,5,3,3\n0,3,4,4\n1,4,5,5\n"
    assert read(tmp_path, text).table["x"].tolist() == [2, 4, 5, 1, 3]


def test_names_as_ids(tmp_path):
    tracks = read(tmp_path, "track,frame,x,y\nb 2,0,1,2\nb 2,1,1,2\na 1,0,1,2\nNone,0,1,2\n")
    assert tracks.table["particle"].tolist() == [0, 0, 1]
    assert tracks.labels.to_dict() == {0: "b 2", 1: "a 1"}
    assert tracks.source.counts["untracked_spots"] == 1


def test_floats_as_ids_and_frames(tmp_path):
    tracks = read(tmp_path, ",particle,frame,y,x\n0,1.0,3.0,1,2\n1,1.0,4.0,1,2\n2,,4.0,1,2\n")
    assert tracks.table["particle"].tolist() == [1, 1]
    assert tracks.table.dtypes.astype(str).to_dict() == {
        "particle": "int64", "frame": "int64", "x": "float64", "y": "float64", "1": "int64",
    }  # fmt: skip
    assert tracks.labels is None


def test_negative_ids_are_unassigned_only_in_saspt(tmp_path):
    tracks = read(tmp_path, "trajectory,frame,y,x\n-1,0,1,2\n4,0,1,2\n4,1,1,2\n")
    assert tracks.table["particle"].tolist() == [4, 4]
    assert tracks.source.counts == {"unassigned_spots": 1}
    assert read(tmp_path, "particle,frame,y,x\n-1,0,1,2\n4,0,1,2\n4,1,1,2\n").n_tracks == 2


def test_rows_without_position_or_frame_are_counted(tmp_path):
    text = "particle,frame,x,y\n0,0,inf,2\n0,1,1,2\n0,2,,2\n0,,1,2\n0,4,1,nan\n0,5,1,2\n"
    tracks = read(tmp_path, text)
    assert tracks.table["frame"].tolist() == [1, 5]
    assert tracks.source.counts == {"missing_positions": 3, "missing_frames": 1}


def test_z_with_holes_is_left_out(tmp_path):
    tracks = read(tmp_path, "particle,frame,x,y,z\n0,0,1,2,3\n0,1,1,2,\n")
    assert "z" not in tracks.table
    assert any(note.startswith("z was left out") for note in tracks.source.notes)


def test_a_doubled_column_name(tmp_path):
    text = "id,particle,frame,x,y,id\n5,1,0,1,2,7\n6,1,1,1,2,8\n"
    tracks = read(tmp_path, text, columns={"particle": "id"})
    assert tracks.table["particle"].tolist() == [5, 6]
    assert any("2 columns are called" in note for note in tracks.source.notes)


def test_thousands_of_columns(tmp_path):
    names = [f"feature{i}" for i in range(3000)]
    lines = [",".join(["track", *names, "frame", "x", "y"])]
    lines += [",".join(["7", *["0.5"] * 3000, str(frame), "1.5", "2.5"]) for frame in range(5)]
    tracks = read(tmp_path, "\n".join(lines))
    assert tracks.table["frame"].tolist() == [0, 1, 2, 3, 4]
    assert tracks.table["y"].tolist() == [2.5] * 5


def test_units_in_a_row_below_the_names(tmp_path):
    tracks = read(tmp_path, "particle,frame,x,y\n,,um,um\n0,0,1,2\n0,1,1,2\n")
    assert tracks.calibration.length_unit == "um"
    assert tracks.table["x"].tolist() == [1, 1]
