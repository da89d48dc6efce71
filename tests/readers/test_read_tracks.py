"""Other programs' real files, read as their folder's README says, checked by other means."""

import csv

import numpy as np
import pandas as pd
import pytest

from spt_explain.errors import NotTracksError
from spt_explain.readers import FORMATS, find_inputs, read_tracks

SAME = ["same455-mosaic.csv", "same455-trackpy.txt", "same455-gemspa.txt"]

# file: how pandas reads it, what it calls particle, frame, x, y
TABLES = {
    "same455-mosaic.csv": ({}, "Trajectory", "Frame", "x", "y"),
    "same455-trackpy.txt": ({"sep": "\t"}, "particle", "frame", "x", "y"),
    "same455-gemspa.txt": ({"sep": "\t"}, "track_id", "frame", "x", "y"),
    "saspt.csv": ({}, "trajectory", "frame", "x", "y"),
    "quot-small.csv": ({}, "trajectory", "frame", "x", "y"),
    "faketracks-trackpy.csv": ({}, "particle", "frame", "x", "y"),
    "mosaic-tab-separated.csv": ({"sep": "\t"}, "Trajectory", "Frame", "x", "y"),
    "trackpy-renamed.tsv": ({"sep": "\t"}, "track_id", "frame", "x", "y"),
    "trackmate-v4-spots.csv": (
        {"na_values": ["None"]},
        *("TRACK_ID", "FRAME", "POSITION_X", "POSITION_Y"),
    ),
    "trackmate-v7-spots.csv": (
        {"skiprows": [1, 2, 3]},
        *("TRACK_ID", "FRAME", "POSITION_X", "POSITION_Y"),
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_positions_as_pandas_reads_them(shared_tracks, name):
    how, *names = TABLES[name]
    text = pd.read_csv(shared_tracks / name, dtype=str, **how)  # Python's float() is exact
    text = text[names].set_axis(["particle", "frame", "x", "y"], axis=1).dropna(subset="particle")
    expected = text.map(float).astype({"particle": "int64", "frame": "int64"})
    expected = expected.sort_values(["particle", "frame"], kind="stable", ignore_index=True)
    found = read_tracks(shared_tracks / name).table[["particle", "frame", "x", "y"]]
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize(
    ("name", "tracks", "lengths"),
    [
        ("trackmate-v4-spots.csv", 157, None),
        ("trackmate-v7-spots.csv", 580, (2, 6, 34)),
        ("same455-mosaic.csv", 455, (2, 5, 34)),
        ("same455-trackpy.txt", 455, (2, 5, 34)),
        ("same455-gemspa.txt", 455, (2, 5, 34)),
        ("saspt.csv", 1000, None),
        ("quot-small.csv", 46, None),
        ("faketracks-trackpy.csv", 6, None),
        ("mosaic-tab-separated.csv", 6, None),
        ("trackpy-renamed.tsv", 494, (3, 5, 59)),
        ("trackmate-v4-simple.xml", 176, None),
        ("bacteria-trackmate-v7.7-simple.xml", 2321, (2, 3, 646)),
    ],
)
def test_counts_of_the_readme(shared_tracks, name, tracks, lengths):
    found = read_tracks(shared_tracks / name)
    assert found.n_tracks == tracks
    if lengths:
        sizes = found.table.groupby("particle").size()
        assert (sizes.min(), sizes.median(), sizes.max()) == lengths


def test_the_same_tracks_in_three_formats(shared_tracks):
    first, *others = (read_tracks(shared_tracks / name).table for name in SAME)
    for other in others:
        for column in ("particle", "frame", "x", "y", "z"):
            assert np.array_equal(first[column], other[column])


def test_units_of_trackmate(shared_tracks):
    new = read_tracks(shared_tracks / "trackmate-v7-spots.csv")
    assert new.calibration.length_unit == "um"
    assert new.calibration.frame_interval_s == pytest.approx(1)
    old = read_tracks(shared_tracks / "trackmate-v4-spots.csv", frame_interval_s=0.06)
    assert old.calibration.length_unit == "px"
    assert old.calibration.frame_interval_s == 0.06
    with (shared_tracks / "trackmate-v4-spots.csv").open() as file:
        untracked = sum(row["TRACK_ID"] == "None" for row in csv.DictReader(file))
    assert old.source.counts == {"untracked_spots": untracked} == {"untracked_spots": 398}


def test_a_log_named_xml(shared_tracks):
    with pytest.raises(NotTracksError, match="plain text"):
        read_tracks(shared_tracks / "not-really-xml.xml")


def test_every_file_of_the_folder_is_found(shared_tracks):
    found = find_inputs([str(shared_tracks)])
    assert len(found) == sum(1 for path in shared_tracks.iterdir() if path.is_file())


def test_columns_are_ignored_where_the_format_is_plain(shared_tracks):
    tracks = read_tracks(shared_tracks / "trackmate-v4-simple.xml", columns={"x": "a"})
    assert any("columns= was ignored" in note for note in tracks.source.notes)


def test_formats_are_told_with_their_readers():
    from importlib import import_module

    for known in FORMATS:
        module = import_module(f"spt_explain.readers.{known.module}")
        assert callable(module.sniff)
        assert callable(module.read)
