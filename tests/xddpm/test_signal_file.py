import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.xddpm.signal_file import read_signals

TWO = [("exp/a.tif", 3), ("exp/b.ome.tif", 2)]


def _write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


PER_FRAME = "movie,frame,area\na.tif,0,1.5\na.tif,1,2\na.tif,2,3\nb.ome.tif,0,4\nb.ome.tif,1,5\n"


def _check(found):
    assert found.names == ("area",)
    assert (found.per, found.kind) == ("frame", "number")
    np.testing.assert_array_equal(found.each[0], [[1.5], [2], [3]])
    np.testing.assert_array_equal(found.each[1], [[4], [5]])


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t,
        lambda t: t.replace("\n", "\r\n"),
        lambda t: "\ufeff" + t + "\n\n",
        lambda t: t.replace(",", "\t"),
        lambda t: t.replace(",", ";").replace("1.5", "1,5"),
        lambda t: t.replace("movie,frame", "File Name,Slice").replace("b.ome.tif", "b"),
        lambda t: t.replace("a.tif", "D:\\data\\exp\\A.TIF"),
        lambda t: t.replace("a.tif", "./exp/a"),
        lambda t: t.replace("a.tif", '"a.tif"'),
        lambda t: "# made by hand\n" + t,
        lambda t: t.replace("movie,frame,area", "movie,frame,area,").replace("\n", ",\n", 1),
        lambda t: "\n".join([t.split("\n")[0], *t.split("\n")[:0:-1]]) + "\n",
    ],
)
def test_ways_to_write_the_same_table(tmp_path, change):
    text = change(PER_FRAME)
    _check(read_signals(_write(tmp_path / "s.csv", text), TWO))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_encodings(tmp_path, encoding):
    _check(read_signals(_write(tmp_path / "s.csv", PER_FRAME, encoding), TWO))


def test_parquet(tmp_path):
    import io

    import pandas as pd

    pd.read_csv(io.StringIO(PER_FRAME)).to_parquet(tmp_path / "s.parquet")
    _check(read_signals(tmp_path / "s.parquet", TWO))


def test_frames_may_be_missing_and_may_count_from_1(tmp_path):
    text = "movie,frame,area\na,3,9\na,1,7\nb,1,\n"
    found = read_signals(_write(tmp_path / "s.csv", text), TWO)
    np.testing.assert_array_equal(found.each[0], [[7], [np.nan], [9]])
    assert np.isnan(found.each[1]).all()
    assert any("from 1" in note for note in found.notes)
    assert any("3 of 5 frames" in note for note in found.notes)


def test_one_value_for_each_movie_several_columns_and_categories(tmp_path):
    text = "movie,class,d,n\na,wild type,0.5,3\nb,mutant,0.7,4\n"
    path = _write(tmp_path / "s.csv", text)
    found = read_signals(path, TWO)
    assert (found.names, found.per, found.kind) == (("d", "n"), "movie", "number")
    np.testing.assert_array_equal(found.each, [[0.5, 3], [0.7, 4]])
    assert any("class" in note for note in found.notes)
    found = read_signals(path, TWO, columns=["class"])
    assert (found.names, found.kind) == (("class",), "category")
    assert [str(one) for one in found.each] == ["wild type", "mutant"]
    found = read_signals(path, TWO, columns=["N"])
    assert found.names == ("n",)
    found = read_signals(path, TWO, columns=["n"], kind="category")
    assert found.kind == "category"


def test_one_movie_needs_no_column_movie(tmp_path):
    found = read_signals(_write(tmp_path / "s.csv", "frame,ca\n0,1\n2,3\n"), TWO[:1])
    np.testing.assert_array_equal(found.each[0], [[1], [np.nan], [3]])
    # a trace without a column frame, one column only; Fiji's row numbers have no name
    found = read_signals(_write(tmp_path / "s.csv", "ca\n1\n2\n3\n"), TWO[:1])
    np.testing.assert_array_equal(found.each[0], [[1], [2], [3]])
    assert any("order" in note for note in found.notes)
    found = read_signals(_write(tmp_path / "s.csv", " ,Mean\n1,5\n2,6\n3,7\n"), TWO[:1])
    assert found.names == ("Mean",)
    found = read_signals(_write(tmp_path / "s.csv", "time [s],t,ca\n0,0,1\n0.5,1,2\n"), TWO[1:])
    assert found.names == ("time [s]", "ca")


def test_fiji_s_label_names_the_movie(tmp_path):
    text = " ,Label,Area,Slice\n1,a.tif,5,1\n2,a.tif,6,2\n3,a.tif,7,3\n4,b.ome.tif,8,1\n"
    found = read_signals(_write(tmp_path / "r.csv", text), TWO)
    assert found.names == ("Area",)
    np.testing.assert_array_equal(found.each[0][:, 0], [5, 6, 7])


def test_movies_of_one_name_in_several_folders(tmp_path):
    movies = [("1/a.tif", 2), ("2/a.tif", 2)]
    found = read_signals(_write(tmp_path / "s.csv", "movie,v\n1/a,5\n2/a.tif,6\n"), movies)
    assert [one.tolist() for one in found.each] == [[5], [6]]
    with pytest.raises(SptError, match=r"can be any of 1/a.tif, 2/a.tif"):
        read_signals(_write(tmp_path / "s.csv", "movie,v\na,5\n"), movies)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PER_FRAME.replace("b.ome.tif", "c.tif"), r"no row for 1 of 2 movies: exp/b.ome.tif"),
        (PER_FRAME.replace("a.tif", "x").replace("b.ome.tif", "y"), "has rows for x, y, and none"),
        (PER_FRAME.replace("a.tif,2", "a.tif,7"), "line 4 is frame 7 of exp/a.tif, which has"),
        (PER_FRAME.replace("a.tif,2", "a.tif,1"), "frame 1 of exp/a.tif is there twice .line 4"),
        (PER_FRAME.replace("a.tif,2", "a.tif,1.5"), '"1.5" in line 4'),
        (PER_FRAME.replace("a.tif,2", "a.tif,-1"), '"-1" in line 4'),
        (PER_FRAME.replace("1.5", "inf"), "infinite in line 2"),
        ("cell,frame,area\n1,0,5\n1,1,5\n2,0,5\n2,1,5\n", "no column movie"),
        (PER_FRAME.replace("a.tif,1,2\n", "a.tif,1\n"), "line 3 has 2 fields"),
        ("movie,frame\na,0\nb,0\n", "no values"),
        ("movie,frame,area\n", "nothing below"),
        ("1,2,3\n4,5,6\n", "no header row"),
        ("movie,area,area\na,1,2\n", "two columns named"),
        ("movie,area\na,1\na,2\nb,3\n", "2 rows for exp/a.tif, which has 3 frames"),
        ("", "is empty"),
        ("movie,k,l\na,x,y\nb,x,y\n", "several columns"),
    ],
)
def test_mismatches_are_said_in_one_line(tmp_path, text, said):
    with pytest.raises(SptError, match=said) as error:
        read_signals(_write(tmp_path / "s.csv", text), TWO)
    assert "\n" not in str(error.value)
    assert "s.csv" in str(error.value)


def test_columns_that_are_not_there_or_hold_text(tmp_path):
    path = _write(tmp_path / "s.csv", PER_FRAME.replace("1.5", "many"))
    with pytest.raises(SptError, match="it has movie, frame, area"):
        read_signals(path, TWO, columns=["volume"])
    with pytest.raises(SptError, match='"many" in line 2'):
        read_signals(path, TWO, kind="number")


@pytest.mark.parametrize(
    "junk",
    [b"\x00\x01\x02" * 50, b"PK\x03\x04junk", b"II*\0junk", b"PAR1junkPAR1", b"\xff\xfe\x00"],
)
def test_other_files(tmp_path, junk):
    (tmp_path / "s.csv").write_bytes(junk)
    with pytest.raises(SptError) as error:
        read_signals(tmp_path / "s.csv", TWO)
    assert "\n" not in str(error.value)
    with pytest.raises(SptError, match="not found"):
        read_signals(tmp_path / "none.csv", TWO)
    with pytest.raises(SptError, match="can't be opened"):
        read_signals(tmp_path, TWO)


@pytest.mark.parametrize("cut", range(0, len(PER_FRAME), 3))
def test_cut_off_anywhere(tmp_path, cut):
    path = _write(tmp_path / "s.csv", PER_FRAME[:cut])
    said = ""
    try:
        read_signals(path, TWO)
    except SptError as error:
        said = str(error)
    assert "\n" not in said


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_else(tmp_path, data):
    (tmp_path / "s.csv").write_bytes(b"movie,frame,v\n" + data)
    with contextlib.suppress(SptError):
        read_signals(tmp_path / "s.csv", TWO)
