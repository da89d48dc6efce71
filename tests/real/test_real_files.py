"""Other programs' real files, through the whole command; skipped where they are absent."""

import json

import pandas as pd
import pytest

from spt_explain.cli import main

COUNTS = {
    "bacteria-trackmate-v7.7-simple.xml": 2321,
    "faketracks-trackmate-v7.6-full.xml": 2,
    "faketracks-trackmate-v7.10-simple-branching.xml": 4,
    "faketracks-trackpy.csv": 6,
    "mosaic-tab-separated.csv": 6,
    "quot-small.csv": 46,
    "same455-gemspa.txt": 455,
    "same455-mosaic.csv": 455,
    "same455-trackpy.txt": 455,
    "saspt.csv": 1000,
    "trackmate-full-branching.xml": 4,
    "trackmate-full-gaps.xml": 5,
    "trackmate-v4-simple.xml": 176,
    "trackmate-v4-spots.csv": 157,
    "trackmate-v7-spots.csv": 580,
    "trackpy-renamed.tsv": 494,
}


@pytest.fixture(scope="module")
def folder_run(shared_tracks, tmp_path_factory):
    """Every file of the folder in one run: exit code, summary, table, what was said."""
    import contextlib
    import io

    out = tmp_path_factory.mktemp("real") / "all.csv"
    said, printed = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(printed),
        pytest.raises(SystemExit) as left,
    ):
        main(["classify", str(shared_tracks), "-o", str(out), "--json"])
    table = pd.read_csv(out)
    table["file"] = table["file"].str.split("/").str[-1]
    return left.value.code, json.loads(printed.getvalue()), table, said.getvalue()


def test_every_track_of_every_file_has_a_row(folder_run):
    _, _, table, _ = folder_run
    found = table.groupby("file")["particle"].nunique()
    assert {name: int(found[name]) for name in COUNTS} == COUNTS


def test_what_holds_no_usable_tracks_is_listed_with_its_reason(folder_run):
    code, summary, _, _ = folder_run
    assert code == 3
    failed = {entry["name"].split("/")[-1]: entry["error"] for entry in summary["failed"]}
    assert set(failed) == {"faketracks-trackmate-v3-full.xml"}  # two tracks of 6 points
    assert "--min-length" in failed["faketracks-trackmate-v3-full.xml"]
    skipped = {entry["name"].split("/")[-1] for entry in summary["skipped"]}
    assert skipped == {"README.md", "not-really-xml.xml"} & (skipped | {"not-really-xml.xml"})


def test_same_tracks_from_three_formats_get_identical_verdicts(folder_run):
    _, _, table, _ = folder_run
    names = ["same455-gemspa.txt", "same455-mosaic.csv", "same455-trackpy.txt"]
    one, two, three = (
        table[table["file"] == name].drop(columns="file").reset_index(drop=True) for name in names
    )
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    pd.testing.assert_frame_equal(one, three, check_exact=True)


def test_branching_is_reported_and_the_full_xml_can_be_split(
    folder_run, shared_tracks, tmp_path, capsys
):
    _, _, table, _ = folder_run
    for name in ("faketracks-trackmate-v7.10-simple-branching.xml", "trackmate-full-branching.xml"):
        branched = table[(table["file"] == name) & (table["status"] == "branched")]
        assert len(branched) > 0
        assert branched["reason"].str.len().gt(20).all()
    out = tmp_path / "split.csv"
    with pytest.raises(SystemExit) as left:
        main(
            ["classify", str(shared_tracks / "trackmate-full-branching.xml"), "-o", str(out),
             "--branches", "split"]
        )  # fmt: skip
    assert not left.value.code
    assert "cut into" in capsys.readouterr().err
    assert "branched" not in set(pd.read_csv(out)["status"])


def test_a_log_called_xml_gets_its_message(shared_tracks, capsys):
    with pytest.raises(SystemExit) as left:
        main(["classify", str(shared_tracks / "not-really-xml.xml"), "-o", "-"])
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert "neither XML nor a table" in error
    assert "Traceback" not in error


def test_a_movie_is_tracked_and_classified(shared_stacks, tmp_path):
    out = tmp_path / "movie.csv"
    with pytest.raises(SystemExit) as left:
        main(["classify", str(shared_stacks / "faketracks.tif"), "-o", str(out), "--quiet"])
    assert not left.value.code
    assert (pd.read_csv(out)["status"] != "too short").sum() >= 4
