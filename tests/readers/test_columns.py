"""Every other column of a file arrives in the table, whichever program wrote it."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.readers import read_tracks
from spt_explain.readers.arrays import values_of
from spt_explain.readers.dialects import columns_of, find_column
from spt_explain.readers.inputs import Input
from spt_explain.readers.load import load
from spt_explain.readers.text import layout_of
from spt_explain.tracks.table import SourceColumn, Tracks

# Rows stand by frame, those of the table by particle: values must move with their rows.
PLACES = [(i, frame) for frame in range(4) for i in (7, 3)]


def read(path: Path, text: str, **options: Any) -> Tracks:
    path.write_text(text, encoding="utf-8")
    return read_tracks(path, **options)


def rows(line: str) -> str:
    """Return a line for each spot; its number is ten times the particle's, plus the frame."""
    return "".join(
        line.format(p=p, f=f, t=f / 4, x=1.5 * f + p, y=2.0 * f, n=10 * p + f) + "\n"
        for p, f in PLACES
    )


SPOTS = [30, 31, 32, 33, 70, 71, 72, 73]

FILES = {
    "trackpy": ("y,x,mass,size,frame,particle\n" + rows("{y},{x},{n},2.5,{f},{p}"), "mass"),
    "tsv": ("particle\tframe\tx\ty\tspot\n" + rows("{p}\t{f}\t{x}\t{y}\t{n}"), "spot"),
    "blanks": ("particle frame x y spot\n" + rows("{p}   {f}  {x}  {y} {n}"), "spot"),
    "semicolons": (
        "particle;frame;x;y;spot\n" + rows("{p};{f};{x};{y};{n}").replace(".", ","),
        "spot",
    ),
    "mosaic": (
        ",Trajectory,Frame,x,y,z,m0,NPscore\n" + rows("{n},{p},{f},{x},{y},0,{n},1.5"),
        "m0",
    ),
    "saspt": ("y,x,I0,frame,trajectory\n" + rows("{y},{x},{n},{f},{p}"), "I0"),
    "swift": (
        "x [nm],y [nm],frame,track.id,seg.id,spot\n" + rows("{x},{y},{f},{p},{p},{n}"),
        "spot",
    ),
    "dom": (
        "X_(nm),Y_(nm),Frame_Number,Track_ID,Amplitude\n" + rows("{x},{y},{f},{p},{n}"),
        "Amplitude",
    ),
    "btrack": ("ID,t,x,y,z,parent,root,spot\n" + rows("{p},{f},{x},{y},0,{p},{p},{n}"), "spot"),
    "times": ("particle,t,x,y,spot\n" + rows("{p},{t},{x},{y},{n}"), "spot"),
    "trackmate csv": (
        "LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,POSITION_T,FRAME\n"
        + rows("ID{n},{n},{p},{n},{x},{y},{t},{f}"),
        "QUALITY",
    ),
    "imaris": (
        "Position X,Position Y,Position Z,Unit,Category,Collection,Time,TrackID,ID\n"
        + rows("{x},{y},0,um,Spot,Position,{f},{p},{n}"),
        "ID",
    ),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("packed", [False, True])
def test_values_are_sorted_with_their_rows(tmp_path: Path, name: str, packed: bool) -> None:
    text, column = FILES[name]
    path = tmp_path / "t.csv"
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if packed else text.encode())
    tracks = read_tracks(path)
    assert tracks.table["particle"].tolist() == [3] * 4 + [7] * 4
    assert tracks.table["frame"].tolist() == [0, 1, 2, 3] * 2
    assert tracks.table[column].tolist() == SPOTS
    assert str(tracks.table[column].dtype) == "int64"
    # no column is lost: each is in the table by some name, those without values aside
    layout = layout_of(Input.of(path))
    assert [c.name for c in tracks.source.columns] == [c.name for c in columns_of(layout)]
    assert all(c.kept_as in tracks.table for c in tracks.source.columns)
    plain = read_tracks(path, keep_columns=False)
    assert plain.extra_columns == []
    pd.testing.assert_frame_equal(plain.table, tracks.table[list(plain.table)])
    assert plain.calibration == tracks.calibration
    assert plain.source.notes == tracks.source.notes


def test_times_and_other_units_are_kept_as_they_stand(tmp_path: Path) -> None:
    head = "particle,frame,t [s],x [nm],y [nm],x [px],y [px],z [px]\n"
    tracks = read(tmp_path / "t.csv", head + rows("{p},{f},{t},{x},{y},{n},{n},{n}"))
    assert tracks.calibration.length_unit == "um"
    assert tracks.extra_columns == ["t [s]", "x [px]", "y [px]", "z [px]"]
    assert tracks.table["t [s]"].tolist() == [0, 0.25, 0.5, 0.75] * 2
    for name in ("x [px]", "z [px]"):
        assert tracks.table[name].tolist() == SPOTS
    assert any("z" in note and "another unit" in note for note in tracks.source.notes)


def test_a_z_that_is_left_out_is_not_lost(tmp_path: Path) -> None:
    text = "particle,frame,x,y,z\n" + rows("{p},{f},{x},{y},{n}").replace(",71\n", ",\n")
    tracks = read(tmp_path / "t.csv", text)
    assert tracks.extra_columns == ["z_source"]
    assert tracks.table["z_source"].isna().tolist() == [n == 71 for n in SPOTS]
    assert tracks.table["z_source"].dropna().tolist() == [n for n in SPOTS if n != 71]


def test_rows_that_are_left_out_take_their_values_with_them(tmp_path: Path) -> None:
    text = "particle,frame,x,y,spot,name\n" + rows("{p},{f},{x},{y},{n},s{n}")
    text = text.replace("3,1,4.5,", "3,1,,").replace("7,2,10.0,", ",2,10.0,")
    tracks = read(tmp_path / "t.csv", text)
    assert tracks.source.counts == {"missing_positions": 1, "untracked_spots": 1}
    left = [30, 32, 33, 70, 71, 73]
    assert tracks.table["spot"].tolist() == left
    assert tracks.table["name"].tolist() == [f"s{n}" for n in left]


def test_repeated_rows_keep_their_own_values(tmp_path: Path) -> None:
    text = "particle,frame,x,y,spot\n1,0,1,2,5\n1,1,1,2,6\n1,0,1,2,4\n1,2,1,2,8\n"
    assert read(tmp_path / "t.csv", text).table["spot"].tolist() == [5, 4, 6, 8]


def test_kinds_of_values(tmp_path: Path) -> None:
    head = "particle,frame,x,y,whole,gaps,number,text,mixed,empty,long,yes\n"
    lines = [
        "1,0,0,0,5,1,0.5,a,1,,123456789012345678901,True",
        "1,1,0,0,6,,nan,,b,,123456789012345678902,False",
        "1,2,0,0,-7,3,1e3,\"c, d\",2.0,,1,True",
    ]  # fmt: skip
    tracks = read(tmp_path / "t.csv", head + "\n".join(lines) + "\n")
    table = tracks.table
    kinds = table.dtypes.astype(str).to_dict()
    assert table["whole"].tolist() == [5, 6, -7]
    assert kinds["whole"] == "int64"
    assert kinds["gaps"] == "Int64"
    assert table["gaps"].isna().tolist() == [False, True, False]
    assert table["gaps"].dropna().tolist() == [1, 3]
    assert kinds["number"] == "float64"
    np.testing.assert_array_equal(table["number"], [0.5, np.nan, 1000])
    assert table["text"].fillna("-").tolist() == ["a", "-", "c, d"]
    assert table["mixed"].tolist() == ["1", "b", "2.0"]
    assert table["empty"].isna().all()
    assert table["long"].tolist() == ["123456789012345678901", "123456789012345678902", "1"]
    assert table["yes"].tolist() == ["True", "False", "True"]


def test_text_that_comes_late_in_a_file_of_numbers(tmp_path: Path) -> None:
    many = "".join(f"{p},{f},{f}.5,0,{f},{f}\n" for p in range(40) for f in range(20))
    tracks = read(tmp_path / "t.csv", f"particle,frame,x,y,a,b\n{many}40,0,0,0,007 b,0.25\n")
    assert tracks.table["a"].tolist()[:3] == ["0", "1", "2"]
    assert tracks.table["a"].iloc[-1] == "007 b"
    assert tracks.table["b"].tolist()[:3] == [0, 1, 2]
    assert tracks.table["b"].iloc[-1] == 0.25


def test_names_that_are_ours_get_a_suffix(tmp_path: Path) -> None:
    head = "track,slice,x,y,frame,particle,sigma_static,mass,mass,\n"
    tracks = read(
        tmp_path / "t.csv", head + rows("{p},{f},{x},{y},{n},a,0.5,1,2,"),
        columns={"particle": "track", "frame": "slice"},
    )  # fmt: skip
    assert tracks.extra_columns == [
        "frame_source", "particle_source", "sigma_static_source", "mass", "mass_2",
    ]  # fmt: skip
    assert tracks.table["frame_source"].tolist() == SPOTS
    kept = {c.name: c.kept_as for c in tracks.source.columns}
    assert kept["track"] == "particle"
    assert kept["10"] == ""  # a separator at the end of each line


def test_row_numbers_without_a_name_go_by_their_place(tmp_path: Path) -> None:
    tracks = read(tmp_path / "t.csv", ",particle,frame,x,y\n" + rows("{n},{p},{f},{x},{y}"))
    assert tracks.table["1"].tolist() == SPOTS


def test_hidden_spots_and_whether_they_were(tmp_path: Path) -> None:
    head = "TRACK_ID,FRAME,POSITION_X,POSITION_Y,TRACK_VISIBLE,ID\n"
    text = head + rows("{p},{f},{x},{y},true,{n}").replace("3,1,4.5,2.0,true", "3,1,4.5,2.0,false")
    left = [n for n in SPOTS if n != 31]
    tracks = read(tmp_path / "t.csv", text)
    assert tracks.table["ID"].tolist() == left
    assert tracks.table["TRACK_VISIBLE"].tolist() == ["true"] * 7
    whole = read(tmp_path / "t.csv", text, all_tracks=True).table
    assert whole["ID"].tolist() == SPOTS
    assert whole["TRACK_VISIBLE"].tolist() == ["true", "false", *["true"] * 6]


def save_file(spots: str) -> str:
    edges = "".join(f'<Edge SPOT_SOURCE_ID="{a}" SPOT_TARGET_ID="{a + 1}"/>' for a in (10, 11, 12))
    return (
        '<TrackMate version="7.6.0"><Model spatialunits="px" timeunits="frame"><AllSpots>'
        f"{spots}</AllSpots><AllTracks>"
        f'<Track TRACK_ID="4">{edges}</Track></AllTracks>'
        '<FilteredTracks><TrackID TRACK_ID="4"/></FilteredTracks></Model></TrackMate>'
    )


def spot(number: int, frame: int, more: str, z: str = "0.0") -> str:
    return (
        f'<SpotsInFrame frame="{frame}"><Spot ID="{number}" name="s{number}" FRAME="{frame}" '
        f'POSITION_X="{frame}.5" POSITION_Y="1.0" POSITION_Z="{z}" {more}/></SpotsInFrame>'
    )


def test_features_of_trackmates_spots(tmp_path: Path) -> None:
    lonely = spot(99, 0, 'QUALITY="9" CELL="z"')
    spots = [
        spot(13, 3, 'QUALITY="3.5" CELL="b &amp; c"'),
        spot(10, 0, 'QUALITY="0.5" x="7"'),
        spot(12, 2, 'QUALITY="NaN" CELL="b"'),
        spot(11, 1, 'CELL="7" x="8"'),
    ]
    tracks = read(tmp_path / "t.xml", save_file(lonely + "".join(spots)))
    table = tracks.table
    assert tracks.extra_columns == ["ID", "name", "QUALITY", "CELL", "x_source"]
    assert table["ID"].tolist() == [10, 11, 12, 13]
    assert table["name"].tolist() == ["s10", "s11", "s12", "s13"]
    np.testing.assert_array_equal(table["QUALITY"], [0.5, np.nan, np.nan, 3.5])
    assert table["CELL"].fillna("-").tolist() == ["-", "7", "b", "b & c"]
    assert table["x_source"].dropna().tolist() == [7, 8]
    assert find_column(tracks.source.columns, "POSITION_X") == SourceColumn("POSITION_X", "x")
    assert read_tracks(tmp_path / "t.xml", keep_columns=False).extra_columns == []


def test_features_where_spots_are_dropped_and_z_is_incomplete(tmp_path: Path) -> None:
    spots = [spot(n, n - 10, f'QUALITY="{n}"', z=str(n)) for n in (13, 11, 10)]
    spots.append(spot(12, 2, 'QUALITY="12"').replace('POSITION_X="2.5"', 'POSITION_X="NaN"'))
    spots[0] = spots[0].replace('POSITION_Z="13"', 'POSITION_Z="NaN"')
    table = read(tmp_path / "t.xml", save_file("".join(spots))).table
    assert table["QUALITY"].tolist() == [10, 11, 13]
    assert "z" not in table
    np.testing.assert_array_equal(table["POSITION_Z"], [10, 11, np.nan])


def test_ids_and_channels_of_mtrackj(tmp_path: Path) -> None:
    text = (
        "MTrackJ 1.5.1 Data File\nAssembly 1\nCluster 1\nTrack 4\nPoint 2 1 1 1 2 3\n"
        "Point 1 0 0 1 1 1.0\nPoint 3 2 NaN 1 3 1\nTrack 2\nPoint 1 5 6 1 9 2\n"
        "End of MTrackJ Data File\n"
    )
    tracks = read(tmp_path / "t.mdf", text)
    assert tracks.extra_columns == ["id", "c"] == list(tracks.table)[-2:]
    assert tracks.table["particle"].tolist() == [2, 4, 4]
    assert tracks.table["id"].tolist() == [1, 1, 2]


def test_the_simple_xml_has_no_further_columns(tmp_path: Path) -> None:
    spots = "".join(f'<detection t="{t}" x="{t}" y="0" z="0"/>' for t in range(4))
    text = f'<Tracks nTracks="1" spaceUnits="px"><particle nSpots="4">{spots}</particle></Tracks>'
    tracks = read(tmp_path / "t.xml", text)
    assert tracks.extra_columns == []
    assert tracks.source.columns == ()


fields = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.floats(allow_infinity=False).map(repr),
    st.text("abzé µ;|'", max_size=4),
    st.sampled_from(["", "None", "007", "1e5", "-0.0", "true", str(2**70)]),
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("columns") / "t.csv"


@settings(max_examples=150, deadline=None)
@given(st.lists(fields, min_size=1, max_size=12), st.randoms())
def test_any_column_comes_back(scratch: Path, values: list[str], random: Any) -> None:
    """By both ways of reading, numbers are equal and text is what stands in the file."""
    frames = list(range(len(values)))
    random.shuffle(frames)
    lines = [f"1,{f},{f}.25,{f}.5,{v}" for f, v in zip(frames, values, strict=True)]
    scratch.write_bytes(("particle,frame,x,y,more\n" + "\n".join(lines) + "\n").encode())
    try:
        table = read_tracks(scratch).table
    except SptError:
        assert len(values) < 2
        return
    source = Input.of(scratch)
    layout = layout_of(source)
    column = {"#4": columns_of(layout)[4], "x": columns_of(layout)[2]}
    careful = values_of(load(source, layout, column, carefully=True)["#4"])
    careful = pd.Series(careful).take(np.argsort(frames)).reset_index(drop=True)
    pd.testing.assert_series_equal(careful, table["more"], check_names=False)
    written = [v.strip() for _, v in sorted(zip(frames, values, strict=True))]
    for word, value in zip(written, table["more"].tolist(), strict=True):
        if pd.isna(value):
            assert word.lower() in ("", "none", "nan")
        elif isinstance(value, str):
            assert value == word
        else:
            assert (int(word) if isinstance(value, int) else float(word)) == value
