import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest


def test_writes_a_table_and_how_it_was_made(run, tracks_csv):
    done = run("classify", tracks_csv)
    assert done.code == 0
    assert done.out == ""  # standard output is for data
    table = pd.read_csv(tracks_csv.with_name("tracks.verdicts.csv"))
    assert table["particle"].tolist() == [0, 1, 2]
    assert set(table["file"]) == {str(tracks_csv)}
    made = json.loads(tracks_csv.with_name("tracks.verdicts.json").read_text())
    assert made["weights"]["sha256"]
    assert made["policy"]["min_length"] == 10
    assert made["inputs"][0]["sha256"] == hashlib.sha256(tracks_csv.read_bytes()).hexdigest()
    assert made["device"].startswith(("cpu", "cuda"))
    for words in ("trackpy", "weights", "device", "median probability", "→"):
        assert words in done.err


def test_nothing_is_written_over(run, tracks_csv):
    assert run("classify", tracks_csv, "--quiet").code == 0
    before = tracks_csv.with_name("tracks.verdicts.csv").read_bytes()
    again = run("classify", tracks_csv)
    assert again.code == 2
    assert "--overwrite" in again.err
    assert run("classify", tracks_csv, "--overwrite", "--min-length", 5).code == 0
    assert tracks_csv.with_name("tracks.verdicts.csv").read_bytes() == before


def test_the_input_is_never_the_output(run, tracks_csv):
    before = tracks_csv.read_bytes()
    done = run("classify", tracks_csv, "-o", tracks_csv, "--overwrite")
    assert done.code == 2
    assert "never written over" in done.err
    assert tracks_csv.read_bytes() == before


@pytest.mark.parametrize("fmt", ["csv", "json"])
def test_standard_output_holds_only_the_table(run, tracks_csv, fmt):
    done = run("classify", tracks_csv, "-o", "-", "--format", fmt)
    if fmt == "csv":
        assert done.out.splitlines()[0].startswith("file,particle,segment,")
        assert len(done.out.splitlines()) == 4
    else:
        assert len(json.loads(done.out)["verdicts"]) == 3
    assert not list(tracks_csv.parent.glob("*.verdicts.*"))


def test_standard_input_compressed_or_not(run, tracks_csv):
    plain = run("classify", "-", stdin=tracks_csv.read_bytes())
    packed = run("classify", "-", stdin=gzip.compress(tracks_csv.read_bytes(), mtime=0))
    assert plain.code == packed.code == 0
    assert plain.out == packed.out
    assert plain.out.count("\n") == 4


def test_quiet_says_nothing(run, tracks_csv):
    done = run("classify", tracks_csv, "--quiet")
    assert (done.out, done.err) == ("", "")


def test_json_summary(run, tracks_csv):
    done = run("classify", tracks_csv, "--json", "--quiet")
    summary = json.loads(done.out)
    assert summary["exit_code"] == 0
    entry = summary["files"][0]
    assert entry["tracks"] == entry["rows"] == 3
    assert (
        sum(c["count"] for c in entry["classes"].values())
        + sum(n for s, n in entry["status"].items() if s != "classified")
        == 3
    )
    assert set(entry["seconds"]) == {
        "start-up", "reading", "backend", "quality", "network", "judging", "table",
        "summary", "writing", "hashing", "other",
    }  # fmt: skip


def test_fractions_are_printed_stored_and_in_the_json_summary(run, tracks_csv):
    done = run("classify", tracks_csv, "--json")
    told = json.loads(done.out)["files"][0]["populations"]
    made = json.loads(tracks_csv.with_name("tracks.verdicts.json").read_text())
    assert made["inputs"][0]["populations"] == told
    assert sum(f["fraction"] for f in told["fractions"].values()) == pytest.approx(1, abs=1e-3)
    assert told["n_tracks"] == 3
    assert "fraction (95 %)" in done.err
    assert "only 3 tracks" in done.err
    best = max(told["fractions"], key=lambda name: told["fractions"][name]["fraction"])
    assert f"{100 * told['fractions'][best]['fraction']:.0f} % (" in done.err


def test_columns_in_units_where_there_are_units(run, tracks_csv):
    assert run("classify", tracks_csv).code == 0
    plain = pd.read_csv(tracks_csv.with_name("tracks.verdicts.csv"))
    assert plain.columns[-1] == "alpha_msd"
    units = ("--pixel-size-um", 0.1, "--frame-interval-s", 0.02, "--overwrite")
    assert run("classify", tracks_csv, *units).code == 0
    table = pd.read_csv(tracks_csv.with_name("tracks.verdicts.csv"))
    assert table.columns[-3:].tolist() == ["alpha_msd", "D_um2_s", "sigma_loc_um"]
    assert table["alpha_msd"].tolist() == plain["alpha_msd"].tolist()
    # steps of 1 pixel a frame: D = 0.1² / (2 · 0.02) = 0.25; three tracks of 30 points
    assert table["D_um2_s"].mean() == pytest.approx(0.25, rel=0.5)
    assert run("classify", tracks_csv, *units, "--exposure", 0).code == 0
    sharp = pd.read_csv(tracks_csv.with_name("tracks.verdicts.csv"))
    assert sharp["D_um2_s"].tolist() == table["D_um2_s"].tolist()
    blurred = table["sigma_loc_um"].dropna()
    assert len(blurred)
    assert (sharp["sigma_loc_um"][blurred.index].fillna(0) < blurred).all()
    made = json.loads(tracks_csv.with_name("tracks.verdicts.json").read_text())
    assert made["exposure"] == 0


def test_a_folder_with_a_good_a_broken_and_a_foreign_file(run, tmp_path, write_csv):
    write_csv(tmp_path / "good.csv")
    (tmp_path / "notes.txt").write_text("We measured on Monday.\nAll went well.\n")
    write_csv(tmp_path / "short.csv", length=4)
    done = run("classify", tmp_path, "--json")
    assert done.code == 3
    summary = json.loads(done.out)
    assert [f["name"] for f in summary["files"]] == [str(tmp_path / "good.csv")]
    assert [f["name"] for f in summary["failed"]] == [str(tmp_path / "short.csv")]
    assert [f["name"] for f in summary["skipped"]] == [str(tmp_path / "notes.txt")]
    assert not (tmp_path / "short.verdicts.csv").exists()
    again = run("classify", tmp_path, "--overwrite", "--json")  # finds none of our own outputs
    assert len(json.loads(again.out)["files"]) == 1


def test_one_table_for_all_inputs_and_a_new_folder(run, tmp_path, write_csv):
    a, b = write_csv(tmp_path / "a.csv"), write_csv(tmp_path / "b.csv", n_tracks=2, seed=1)
    assert run("classify", a, b, "-o", tmp_path / "all.parquet").code == 0
    table = pd.read_parquet(tmp_path / "all.parquet")
    assert table.groupby("file").size().to_dict() == {str(a): 3, str(b): 2}
    assert run("classify", a, b, "-o", f"{tmp_path}/new/").code == 0
    names = sorted(p.name for p in (tmp_path / "new").iterdir())
    assert names == [
        "a.verdicts.csv", "a.verdicts.json", "b.verdicts.csv", "b.verdicts.json",
    ]  # fmt: skip


def test_columns_by_name(run, tmp_path, write_csv):
    path = tmp_path / "own.csv"
    good = write_csv(tmp_path / "g.csv").read_text()
    path.write_text(good.replace("y,x,mass,frame,particle", '"b (1, 2)",a,m,slice,who'))
    assert run("classify", path).code == 2
    done = run("classify", path, "--columns", "particle=who,frame=slice,x=a,y=b (1, 2)")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["classify", "missing.csv"], "was not found"),
        (["classify"], "Missing argument"),
        (["clasify"], "Did you mean classify"),
        (["classify", "x.csv", "--gap", "none"], "No such option"),
        (["classify", "{csv}", "--gaps", "none"], "not one of"),
        (["classify", "{csv}", "--columns", "id=3"], "ROLE=NAME"),
        (["classify", "{csv}", "--columns", "particle=nobody"], "nobody"),
        (["classify", "{csv}", "--min-length", "1"], "--min-length"),
        (["classify", "{csv}", "--threshold", "7"], "0 to 1"),
        (["classify", "{csv}", "--exposure", "20"], "exposure time divided by frame interval"),
        (["classify", "{csv}", "--weights", "best"], "there are:"),
        (["classify", "{csv}", "--json", "-o", "-"], "standard output"),
        (["classify", "{csv}", "-o", "out.xlsx"], ".parquet"),
        (["classify", "{csv}", "-o", "no/such/out.csv"], "Create it"),
        (["classify", "{csv}", "--override-units"], "--override-units"),
        (["classify", "{csv}", "--pixel-size-um", "-1"], "--pixel-size-um"),
    ],
)
def test_what_a_user_may_mistype(run, tracks_csv, arguments, words):
    done = run(*(str(a).format(csv=tracks_csv) for a in arguments))
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert not list(tracks_csv.parent.glob("*.verdicts.*"))


def test_a_command_left_out_is_proposed(run, tracks_csv):
    done = run(tracks_csv)
    assert done.code == 2
    assert f"spt-explain classify {tracks_csv}" in done.err


def test_debug_shows_the_traceback():
    done = subprocess.run(
        [sys.executable, "-c", "from spt_explain.cli import main; main()", "classify",
         "missing.csv", "--debug"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" in done.stderr
    assert "was not found" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_interrupting_leaves_nothing_behind(tmp_path, write_csv):
    path = write_csv(tmp_path / "many.csv", n_tracks=4000, length=12)
    process = subprocess.Popen(
        [sys.executable, "-c", "from spt_explain.cli import main; main()", "classify", str(path),
         "--device", "cpu"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stderr:
        if line.startswith("device"):
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in rest
    assert "Traceback" not in rest
    assert [p.name for p in tmp_path.iterdir()] == ["many.csv"]


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_interrupting_twice_shows_no_traceback():
    code = """
import atexit, os, signal
from spt_explain import cli

def interrupted(*args, **options):
    raise KeyboardInterrupt

atexit.register(os.kill, os.getpid(), signal.SIGINT)  # Ctrl-C again, while libraries tidy up
cli.group.main = interrupted
cli.main(["classify"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


def test_tracks_named_by_text_keep_their_names_and_none_is_lost(run, tmp_path):
    rows = ["track,frame,x,y"]
    for name in ("cell B", "cell A"):
        rows += [f"{name},{t},{t * t % 7},{t * 3 % 5}" for t in range(12)]
    rows += [f"lost,{t},nan,nan" for t in range(12)]
    path = tmp_path / "named.csv"
    path.write_text("\n".join(rows) + "\n")
    done = run("classify", path, "--columns", "particle=track")
    assert done.code == 0, done.err
    table = pd.read_csv(tmp_path / "named.verdicts.csv")
    assert sorted(table["label"]) == ["cell A", "cell B", "lost"]
    lost = table[table["label"] == "lost"].iloc[0]
    assert (lost["status"], lost["n_points"]) == ("too short", 0)
    assert "no point with a position" in lost["reason"]
    assert pd.isna(lost["first_frame"])
    assert table[table["label"] == "cell A"]["first_frame"].tolist() == [0]


def test_numbered_tracks_without_positions_have_their_row(run, tmp_path):
    xml = ['<Tracks nTracks="3" spaceUnits="pixel" frameInterval="1" timeUnits="sec" from="x">']
    for x in ("t", "nan", ""):
        spots = [
            f'<detection t="{t}" x="{t * t if x == "t" else "NaN"}" y="{t}" z="0"/>'
            for t in range(12)
            if x
        ]
        xml.append(f'<particle nSpots="{len(spots)}">{"".join(spots)}</particle>')
    path = tmp_path / "t.xml"
    path.write_text("".join(xml) + "</Tracks>")
    assert run("classify", path, "-o", tmp_path / "o.csv").code == 0
    table = pd.read_csv(tmp_path / "o.csv")
    assert table["particle"].tolist() == [0, 1, 2]
    assert table["n_points"].tolist() == [12, 0, 0]


@pytest.fixture
def with_columns(write_csv, tmp_path):
    """Return a table whose tracks have a cell, an id that needs all digits, and a mass a row."""
    path = write_csv(tmp_path / "cells.csv")
    table = pd.read_csv(path).sample(frac=1, random_state=1)
    table["cell"] = table["particle"].map({0: "a, b", 1: 'say "c"'})
    table["well"] = 123456789.25 + table["particle"]
    table["class"] = "truth"
    table["mass"] = range(len(table))
    table.to_csv(path, index=False)
    return path


def test_columns_that_describe_tracks_are_kept_on_request(run, with_columns):
    plain = with_columns.with_name("plain.csv")
    assert run("classify", with_columns, "-o", plain).code == 0
    kept = with_columns.with_name("kept.csv")
    assert run("classify", with_columns, "-o", kept, "--keep-columns").code == 0
    before, table = pd.read_csv(plain), pd.read_csv(kept)
    assert list(table) == [*before, "cell", "well", "class_source"]
    pd.testing.assert_frame_equal(table[list(before)], before)
    assert table["cell"].fillna("-").tolist() == ["a, b", 'say "c"', "-"]
    assert table["well"].tolist() == [123456789.25, 123456790.25, 123456791.25]
    assert set(table["class_source"]) == {"truth"}
    made = [json.loads(path.with_suffix(".json").read_text()) for path in (plain, kept)]
    assert [one["reading"]["keep_columns"] for one in made] == [False, True]


def test_parquet_keeps_columns_unless_told_otherwise(run, with_columns):
    path = with_columns.with_name("t.parquet")
    assert run("classify", with_columns, "-o", path).code == 0
    table = pd.read_parquet(path)
    assert list(table)[-3:] == ["cell", "well", "class_source"]
    assert run("classify", with_columns, "-o", path, "--no-keep-columns", "--overwrite").code == 0
    assert list(pd.read_parquet(path)) == list(table)[:-3]


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_kept_columns_of_several_files_stand_together(run, with_columns, ending):
    other = with_columns.with_name("other.csv")
    table = pd.read_csv(with_columns).drop(columns=["class", "cell"])
    table.assign(well="text", day=3).to_csv(other, index=False)
    path = with_columns.with_name(f"all.{ending}")
    assert run("classify", with_columns, other, "-o", path, "--keep-columns").code == 0
    if ending == "json":
        joined = pd.DataFrame(json.loads(path.read_text())["verdicts"])
    else:
        joined = pd.read_csv(path) if ending == "csv" else pd.read_parquet(path)
    assert list(joined)[-4:] == ["cell", "well", "class_source", "day"]
    assert (
        joined["well"].tolist() == ["123456789.25", "123456790.25", "123456791.25"] + ["text"] * 3
    )
    assert joined["day"].isna().tolist() == [True] * 3 + [False] * 3
    assert joined["cell"].isna().tolist() == [False, False, *[True] * 4]
