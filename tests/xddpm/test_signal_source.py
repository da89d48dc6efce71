from pathlib import Path

import pytest

from spt_explain.errors import SptError
from spt_explain.xddpm.signal_source import SignalSource, signal_source


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "movies").mkdir()
    (tmp_path / "movies" / "dose.csv").write_text("movie,dose,area\na,1,2\n")
    (tmp_path / "movies" / "notes.txt").write_text("nothing of note")
    return tmp_path / "movies"


def test_what_is_measured_comes_before_columns_and_files(folder, monkeypatch):
    monkeypatch.chdir(folder)
    Path("area").write_text("movie,x\na,1\n")
    assert signal_source("Area", [folder]) == SignalSource(measured="area")
    assert signal_source(Path("area"), [folder]).path == Path("area")


def test_tables_their_columns_and_their_folders(folder):
    table = folder / "dose.csv"
    assert signal_source(table, []) == SignalSource(path=table)
    assert signal_source(f"{table}:dose, area", []).columns == ("dose", "area")
    assert signal_source(f"{folder}:dose", []) == SignalSource(path=table, columns=("dose",))
    assert signal_source("dose", [folder]) == SignalSource(path=table, columns=("dose",))


def test_a_file_whose_name_has_a_colon(folder):
    odd = folder / "a:b.csv"
    odd.write_text("movie,x\na,1\n")
    assert signal_source(odd, []) == SignalSource(path=odd)
    assert signal_source(f"{odd}:x", []) == SignalSource(path=odd, columns=("x",))


@pytest.mark.parametrize("signal", ["aera", "", "nowhere.csv", "C:\\x\\y.csv", "a\0b", "dose:x"])
def test_what_is_none_of_these(folder, signal):
    with pytest.raises(SptError) as error:
        signal_source(signal, [folder, "no such folder", "a.tif"])
    assert "\n" not in str(error.value)


def test_folders_of_several_tables(folder, tmp_path):
    with pytest.raises(SptError, match="holds 2 tables"):
        signal_source(folder, [])
    (folder / "notes.txt").unlink()
    assert signal_source(folder, []).path == folder / "dose.csv"
    (tmp_path / "empty").mkdir()
    with pytest.raises(SptError, match="holds no table"):
        signal_source(tmp_path / "empty", [])
    with pytest.raises(SptError, match="no table with that column"):
        signal_source(f"{folder}:volume", [])


def test_a_misspelt_signal_or_table_is_set_right(folder):
    with pytest.raises(SptError, match="Did you mean area"):
        signal_source("aera", [])
    with pytest.raises(SptError, match=r"Did you mean .*dose\.csv"):
        signal_source(str(folder / "dosis.csv:area"), [])
    with pytest.raises(SptError, match="Check the spelling"):
        signal_source(str(folder / "nothing" / "x.csv"), [])
