import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spt_explain.errors import SptError
from spt_explain.report import tables
from spt_explain.report.tables import (
    format_of,
    refuse_to_overwrite,
    sidecar_path,
    verdicts_path,
    write_table,
)

TABLE = pd.DataFrame(
    {
        "file": ["a,b.csv", "µ.csv"],
        "particle": [1, 2],
        "class": ["BM", None],
        "probability": [0.123456789, np.nan],
    }
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("tracks.csv", "tracks.verdicts.csv"),
        ("a/b.tracks.xml", "a/b.tracks.verdicts.csv"),
        ("tracks.csv.gz", "tracks.verdicts.csv"),
        ("noending", "noending.verdicts.csv"),
    ],
)
def test_name_beside_the_input(source, expected):
    assert verdicts_path(source, "csv") == Path(expected)


def test_formats_hold_the_same_values(tmp_path):
    for fmt in ("csv", "parquet", "json"):
        path = tmp_path / f"t.verdicts.{fmt}"
        written = write_table(TABLE, path, {"version": "1"})
        if fmt == "csv":
            back = pd.read_csv(path)
        elif fmt == "parquet":
            back = pd.read_parquet(path)
        else:
            document = json.loads(path.read_text(encoding="utf-8"))
            assert document["provenance"] == {"version": "1"}
            assert written == [path]
            back = pd.DataFrame(document["verdicts"])
        assert back["file"].tolist() == TABLE["file"].tolist()
        assert back["probability"][0] == pytest.approx(0.123457, abs=1e-6)
        assert pd.isna(back["class"][1])
        if fmt != "json":
            assert json.loads(sidecar_path(path).read_text()) == {"version": "1"}
            sidecar_path(path).unlink()


def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch):
    real = Path.write_bytes

    def full(self, data):
        if "json" in self.name:
            raise OSError(28, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SptError, match="No space left"):
        write_table(TABLE, tmp_path / "t.csv", {})
    assert list(tmp_path.iterdir()) == []


def test_an_old_table_survives_a_failed_replacement(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("old")

    def fail(*_):
        raise SptError("no")

    monkeypatch.setattr(tables, "_pieces", fail)
    with pytest.raises(SptError):
        write_table(TABLE, path, {})
    assert path.read_text() == "old"


def test_the_provenance_may_be_asked_for_once_the_table_is_written(tmp_path):
    path = tmp_path / "t.csv"
    assert write_table(TABLE, path, lambda: {"parts": len(list(tmp_path.iterdir()))})
    assert json.loads(sidecar_path(path).read_text()) == {"parts": 1}
    assert write_table(TABLE, tmp_path / "u.json", lambda: {"version": "1"})
    assert json.loads((tmp_path / "u.json").read_text())["provenance"] == {"version": "1"}


def test_inputs_and_existing_files_are_safe(tmp_path):
    here = tmp_path / "a.csv"
    here.write_text("x")
    with pytest.raises(SptError, match="is one of the inputs"):
        refuse_to_overwrite([here], [here], overwrite=True)
    with pytest.raises(SptError, match="overwrite=True"):
        refuse_to_overwrite([here], [], overwrite=False)
    refuse_to_overwrite([here], [], overwrite=True)
    with pytest.raises(SptError, match="Create it"):
        refuse_to_overwrite([tmp_path / "no" / "b.csv"], [], overwrite=False)
    with pytest.raises(SptError, match="is a folder"):
        refuse_to_overwrite([tmp_path], [], overwrite=True)


def test_format_from_the_ending():
    assert format_of("A.PARQUET") == "parquet"
    assert format_of("a.txt") == "csv"
