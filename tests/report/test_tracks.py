"""Tables of tracks, read back by our readers and by pandas."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spt_explain.readers import read_tracks
from spt_explain.report.tracks import encode_tracks, with_units
from spt_explain.tracks import Calibration, Source, Tracks


def _tracks(unit: str = "um", interval: float | None = 0.02) -> Tracks:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "particle": np.repeat([0, 1, 2], 4),
            "frame": np.tile([0, 1, 3, 7], 3),
            "x": rng.normal(size=12).round(9),
            "y": rng.normal(size=12) * 1e5,
            "class": np.repeat(["BM", "immobile", "SupLW"], 4),
            "alpha": np.repeat([1.0, np.nan, 1.25], 4),
            "filled": [False, True] * 6,
        }
    )
    return Tracks(table, Calibration(unit, "", interval, ""), Source("t", "t"))  # type: ignore[arg-type]


@pytest.mark.parametrize("interval", [1e-6, 1 / 30, 0.02, 0.1, 1.0, 33.333333, 86400.0])
def test_our_reader_takes_units_and_every_digit_from_a_csv(tmp_path: Path, interval: float) -> None:
    tracks = _tracks(interval=interval)
    path = tmp_path / "t.csv"
    path.write_bytes(encode_tracks(tracks, "csv", {}))
    back = read_tracks(path)
    assert back.calibration.length_unit == "um"
    assert back.calibration.frame_interval_s == pytest.approx(interval, rel=1e-8)
    assert not back.source.notes
    others = back.table.pop("filled")
    assert others.tolist() == ["false", "true"] * 6
    assert back.table.pop("t [s]").tolist() == pytest.approx(back.table["frame"] * interval)
    wanted = tracks.table.drop(columns="filled").astype({"class": "str"})
    pd.testing.assert_frame_equal(back.table, wanted, check_exact=True)


def test_pixels_and_frames_stay_so(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(encode_tracks(_tracks("px", None), "csv", {}))
    assert path.read_text(encoding="utf-8").startswith("particle,frame,x [px],y [px],class,")
    back = read_tracks(path).calibration
    assert (back.length_unit, back.frame_interval_s) == ("px", None)


@pytest.mark.parametrize("fmt", ["csv", "parquet", "json"])
def test_pandas_reads_the_same_table_from_each_format(fmt: str) -> None:
    tracks = _tracks()
    data = encode_tracks(tracks, fmt, {"seed": 3})
    assert data == encode_tracks(tracks, fmt, {"seed": 3})
    if fmt == "json":
        document = json.loads(data)
        assert document["provenance"] == {"seed": 3}
        back = pd.DataFrame(document["tracks"])
    else:
        back = pd.read_csv(io.BytesIO(data)) if fmt == "csv" else pd.read_parquet(io.BytesIO(data))
    assert list(back.columns) == [
        "particle", "frame", "t [s]", "x [µm]", "y [µm]", "class", "alpha", "filled",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(back, with_units(tracks), check_dtype=False, rtol=1e-14)


def test_times_are_written_as_people_would() -> None:
    text = encode_tracks(_tracks(interval=0.1), "csv", {}).decode()
    assert text.splitlines()[3].startswith("0,3,0.3,")
    assert text.splitlines()[6].split(",")[5:] == ["immobile", "", "true"]


def test_text_of_a_source_is_quoted_and_its_names_are_not_doubled(tmp_path: Path) -> None:
    tracks = _tracks()
    tracks.table["note"] = ["a, b", 'say "c"', "two\nlines"] * 4
    tracks.table["x [µm]"] = range(12)
    tracks.table["t [s]"] = 0.5
    back = pd.read_csv(io.BytesIO(encode_tracks(tracks, "csv", {})))
    assert back["note"].tolist() == tracks.table["note"].tolist()
    assert back["x [µm]_source"].tolist() == list(range(12))
    assert back["t [s]_source"].tolist() == [0.5] * 12
    assert back["x [µm]"].tolist() == tracks.table["x"].tolist()
    assert with_units(tracks).columns.is_unique


def test_what_was_read_can_be_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        'cell,particle,frame,x [µm],y [µm],n\nb,2,0,1,2,\na,1,1,3,4,7\n"c, d",1,0,5,6,8\n',
        encoding="utf-8",
    )
    first = read_tracks(path)
    assert first.table["cell"].tolist() == ["c, d", "a", "b"]
    path.write_bytes(encode_tracks(first, "csv", {}))
    pd.testing.assert_frame_equal(read_tracks(path).table, first.table)
