import gzip
import io
import sqlite3
import zipfile

import numpy as np
import pytest

from spt_explain.errors import NotTracksError
from spt_explain.readers import StackError, read_tracks

STACKS = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\xda\xce\xbe\x0a", b"ZISRAWFILE"]


@pytest.mark.parametrize("magic", STACKS)
def test_a_movie_is_a_stack(tmp_path, magic):
    path = tmp_path / "tracks.csv"
    path.write_bytes(magic + bytes(100))
    with pytest.raises(StackError, match="microscopy stack"):
        read_tracks(path)


def test_real_stack(shared_stacks):
    with pytest.raises(StackError):
        read_tracks(shared_stacks / "faketracks.tif")


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return buffer.getvalue()


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"RIFF\x10\0\0\0AVI LIST", "AVI"),
        (b"\0\0\0\x18ftypmp42" + bytes(99), "MP4"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "PNG"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "Excel"),
        (zipped("tracks.csv"), "ZIP"),
        (zipped("arr_0.npy"), "NumPy archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        (b"MATLAB 5.0 MAT-file, Platform" + bytes(99), "MATLAB"),
        (saved(np.zeros((3, 4))), "NumPy"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PAR1" + bytes(99), "Parquet"),
        (b"\x80\x04\x95" + bytes(99), "pickle"),
        (gzip.compress(gzip.compress(b"particle,frame,x,y\n", mtime=0), mtime=0), "gzip twice"),
        (b"\xfd7zXZ\0" + bytes(99), "xz"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "HTML"),
        (b"\n<html lang='en'>\n", "HTML"),
        (b"<?xml version='1.0'?>\n<!-- note --><kml xmlns='x'><a/></kml>", "XML of another kind"),
        (b'{"tracks": [1, 2]}', "JSON"),
        (b"[[1, 2], [3, 4]]", "JSON"),
    ],
)
def test_other_files_are_named(tmp_path, data, what):
    path = tmp_path / "tracks.csv"
    path.write_bytes(data)
    with pytest.raises(NotTracksError, match=what) as caught:
        read_tracks(path)
    assert not isinstance(caught.value, StackError)
    assert str(caught.value).count("\n") <= 1


def test_database(tmp_path):
    path = tmp_path / "tracks.csv"
    with sqlite3.connect(path) as base:
        base.execute("create table tracks (x)")
    base.close()
    with pytest.raises(NotTracksError, match="SQLite"):
        read_tracks(path)
