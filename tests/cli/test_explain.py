import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from inspect import signature
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FAST = ("--weights", "resandi-small", "--draws", 2, "--device", "cpu")
PLAIN = ["frames.csv", "reasons.json", "tracks.csv"]


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """Nothing was classified yet."""
    folder = tmp_path_factory.mktemp("home") / "data"
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(folder))
    return folder


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def strict(text):
    """Read JSON as other programs do, which know no NaN."""

    def refuse(name):
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


def test_writes_a_folder_and_says_what_is_in_it(run, tracks_csv):
    done = run("explain", tracks_csv, *FAST)
    assert done.code == 0, done.err
    assert done.out == ""  # standard output is for data
    folder = tracks_csv.with_name("tracks.reasons")
    assert listed(folder) == PLAIN
    for words in ("weights", "device", "explained", "at random", "score for each frame", "→"):
        assert words in done.err
    tracks = pd.read_csv(folder / "tracks.csv", keep_default_na=False)
    assert tracks["particle"].tolist() == [0, 1, 2]
    assert set(tracks["check"]) <= {"passed", "no better than random"}
    frames = pd.read_csv(folder / "frames.csv")
    source = pd.read_csv(tracks_csv)
    assert frames[["particle", "frame", "x", "y"]].equals(source[["particle", "frame", "x", "y"]])
    made = strict((folder / "reasons.json").read_text("utf-8"))
    assert made["explanation"]["draws"] == 2
    (note,) = made["inputs"][0]["notes"]
    assert note.startswith("--draws is 2: ")
    assert done.err.count("1 in 3 passes") == 1
    assert made["command"][0] == "spt-explain"


def test_the_same_run_gives_the_same_tables(run, tracks_csv):
    for name in ("a", "b"):
        run("explain", tracks_csv, *FAST, "-o", tracks_csv.with_name(name), "-q")
    for name in ("tracks.csv", "frames.csv"):
        first, second = (tracks_csv.with_name(f) / name for f in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()


def test_nothing_is_written_over(run, tracks_csv):
    before = tracks_csv.read_bytes()
    folder = tracks_csv.with_name("tracks.reasons")
    assert run("explain", tracks_csv, *FAST, "-q").code == 0
    again = run("explain", tracks_csv, *FAST)
    assert again.code == 2
    assert "--overwrite" in again.err
    assert run("explain", tracks_csv, *FAST, "--overwrite", "--format", "parquet").code == 0
    assert listed(folder) == ["frames.parquet", "reasons.json", "tracks.parquet"]
    (folder / "notes.txt").write_text("mine")
    foreign = run("explain", tracks_csv, *FAST, "--overwrite")
    assert foreign.code == 2
    assert "notes.txt" in foreign.err
    assert (folder / "notes.txt").read_text() == "mine"
    assert tracks_csv.read_bytes() == before


def test_quiet_says_nothing(run, tracks_csv):
    done = run("explain", tracks_csv, *FAST, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_json_summary(run, tmp_path, write_csv):
    good, short = write_csv(tmp_path / "good.csv"), write_csv(tmp_path / "short.csv", length=4)
    (tmp_path / "notes.txt").write_text("We measured on Monday.\nAll went well.\n")
    done = run("explain", tmp_path, *FAST, "--json")
    assert done.code == 3
    told = strict(done.out)
    assert told["exit_code"] == 3
    (entry,) = told["files"]
    assert entry["name"] == str(good)
    assert entry["outputs"] == [str(tmp_path / "good.reasons")]
    assert entry["explained"] == sum(row["tracks"] for row in entry["by_class"].values()) == 3
    assert {"reading", "explaining", "writing"} == set(entry["seconds"])
    assert [one["name"] for one in told["failed"]] == [str(short)]
    assert [one["name"] for one in told["skipped"]] == [str(tmp_path / "notes.txt")]
    assert told["problems"] == []
    assert "skipped: " in done.err
    assert done.err.count("all its 3 tracks are too short") == 1  # each failure is said once
    assert "1 of 3 files failed" in done.err


def test_only_immobile_tracks(run, tmp_path):
    rng = np.random.default_rng(0)
    rows = ["particle,frame,x,y"]
    for i in range(2):
        rows += [f"{i},{t},{x:.3f},{y:.3f}" for t, (x, y) in enumerate(rng.normal(size=(60, 2)))]
    rows += [f"2,{t},1,1" for t in range(20)]
    path = tmp_path / "still.csv"
    path.write_text("\n".join(rows) + "\n")
    done = run("explain", path, *FAST, "--json", "--plot", "--report", tmp_path / "r.html")
    assert done.code == 0, done.err
    (entry,) = strict(done.out)["files"]  # no fraction is known, and none is NaN
    assert entry["status"] == {"immobile": 3}
    assert entry["left_out"] == {"immobile": 1}
    assert "not explained: 1 immobile" in done.err
    strict((tmp_path / "still.reasons" / "reasons.json").read_text("utf-8"))
    again = run("classify", path, "--weights", "resandi-small", "--json", "-q")
    assert strict(again.out)["files"][0]["populations"]["n_tracks"] == 0


def test_standard_input_compressed_or_not(run, tracks_csv, monkeypatch):
    monkeypatch.chdir(tracks_csv.parent)
    assert run("explain", "-", *FAST, stdin=tracks_csv.read_bytes()).code == 0
    packed = gzip.compress(tracks_csv.read_bytes(), mtime=0)
    assert run("explain", "-", *FAST, "-o", "packed", stdin=packed).code == 0
    first, second = (Path(name) / "frames.csv" for name in ("stdin.reasons", "packed"))
    assert first.read_bytes() == second.read_bytes()


def test_same_names_in_two_folders(run, tmp_path, write_csv):
    for name, seed in (("x", 0), ("y", 1)):
        (tmp_path / name).mkdir()
        write_csv(tmp_path / name / "a.csv", n_tracks=1, seed=seed)
    inputs = (tmp_path / "x" / "a.csv", tmp_path / "y" / "a.csv")
    assert run("explain", *inputs, *FAST, "-o", tmp_path / "out").code == 0
    tables = [pd.read_csv(f / "tracks.csv") for f in sorted((tmp_path / "out").iterdir())]
    assert [table["file"][0] for table in tables] == [str(path) for path in inputs]


def test_names_with_spaces_and_signs(run, tmp_path, write_csv):
    folder = tmp_path / "ünï ☃ (2)"
    folder.mkdir()
    path = write_csv(folder / "cell [1] & <b>.csv", n_tracks=1)
    page = folder / "wh ÿ.html"
    done = run("explain", path, *FAST, "--plot", "--report", page)
    assert done.code == 0, done.err
    assert (folder / "cell [1] & <b>.reasons" / "track-0.png").exists()
    assert str(page) in done.err
    text = page.read_text("utf-8")
    assert "cell [1] &amp; &lt;b&gt;.csv" in text


def test_a_particle_and_a_class(run, tracks_csv):
    done = run(
        "explain", tracks_csv, *FAST, "--particle", 1, "--class", "SubFBM", "--against", "BM",
        "--plot", "--figure-format", "svg",
    )  # fmt: skip
    assert done.code == 0, done.err
    folder = tracks_csv.with_name("tracks.reasons")
    assert listed(folder) == [*PLAIN[:2], "track-1.svg", PLAIN[2]]
    tracks = pd.read_csv(folder / "tracks.csv")
    assert tracks[["particle", "explained", "against"]].to_numpy().tolist() == [[1, "SubFBM", "BM"]]


def test_without_a_check(run, tracks_csv):
    arguments = ("--weights", "resandi-small", "--device", "cpu", "--draws", 0)
    done = run("explain", tracks_csv, *arguments, "--method", "gradcam")
    assert done.code == 0, done.err
    assert "gradcam at block4: a score for every 32 frames, 3 tracks" in done.err
    assert "3 tracks without an overlay" in done.err  # 30 points are one node
    tracks = pd.read_csv(tracks_csv.with_name("tracks.reasons") / "tracks.csv")
    assert tracks["loss_top"].isna().all()
    assert set(tracks["check"]) == {"not checked"}


def test_a_page_that_fails_is_said_and_the_folder_stays(run, tracks_csv, monkeypatch):
    from spt_explain.report import page

    def broken(*_, **__):
        raise ValueError("broken")

    monkeypatch.setattr(page, "write_page", broken)
    arguments = ("explain", tracks_csv, *FAST, "--report", tracks_csv.with_name("r.html"), "-q")
    done = run(*arguments)
    assert done.code == 1
    assert "r.html could not be made" in done.err
    assert "Traceback" not in done.err
    assert listed(tracks_csv.parent) == ["tracks.csv", "tracks.reasons"]
    told = json.loads(run(*arguments, "--overwrite", "--json").out)
    assert told["exit_code"] == 1
    assert len(told["problems"]) == 1
    from spt_explain.cli import main
    from spt_explain.errors import SptError

    with pytest.raises(SptError) as error:
        main([*map(str, arguments), "--overwrite", "--debug"])
    assert isinstance(error.value.__cause__, ValueError)


def test_what_was_last_classified(run, tmp_path, write_csv):
    names = [write_csv(tmp_path / f"{name}.csv", length=12) for name in "ab"]
    options = ("--min-length", 11, "--weights", "resandi-small", "--gaps", "split")
    assert run("classify", *names, *options, "-q").code == 0
    done = run("explain", "--draws", 0, "--gaps", "drop")
    assert done.code == 0, done.err
    assert f"what was last classified: {names[0]} and 1 more" in done.err
    made = json.loads((tmp_path / "b.reasons" / "reasons.json").read_text("utf-8"))
    assert made["policy"]["min_length"] == 11  # as for classify
    assert made["policy"]["gaps"] == "drop"  # as said now
    assert made["weights"]["name"] == "resandi-small"
    names[0].unlink()
    done = run("explain", "--draws", 0, "--overwrite")
    assert done.code == 0
    assert f"not there any more: {names[0]}" in done.err
    names[1].unlink()
    done = run("explain", "--draws", 0, "--overwrite")
    assert done.code == 2
    assert str(names[0]) in done.err
    assert "Name what to explain" in done.err


def test_where_nothing_was_classified_the_example_is_explained(run, tmp_path, monkeypatch):
    import spt_explain.resources

    few = tmp_path / "shipped"
    few.mkdir()
    original = spt_explain.resources.shipped("recipes") / "quickstart.csv"
    rows = original.read_text().splitlines(keepends=True)
    (few / "quickstart.csv").write_text("".join(rows[:400]))
    monkeypatch.setattr(spt_explain.resources, "shipped", lambda _: few)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    done = run("explain", *FAST)
    assert done.code == 0, done.err
    assert "nothing was classified here yet" in done.err
    assert listed(here) == ["quickstart.reasons"]  # here, and not in the program's own folder
    assert listed(few) == ["quickstart.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.csv"], "was not found"),
        (["*.xml"], "matches no file"),
        (["tracks.csv", "--class", "Brownian"], "it knows SubATTM"),
        (["tracks.csv", "--against", "Brownian"], "it knows SubATTM"),
        (["tracks.csv", "--class", "BM", "--against", "BM"], "both BM"),
        (["tracks.csv", "--particle", "99"], "no particle 99"),
        (["tracks.csv", "--particle", "0", "--min-length", "31"], "too short"),
        (["tracks.csv", "--layer", "block2"], "--method gradcam"),
        (["tracks.csv", "--method", "occlusion", "--layer", "block4"], "--method gradcam"),
        (["tracks.csv", "--method", "lime"], "not one of"),
        (["tracks.csv", "--draws", "-1"], "--draws"),
        (["tracks.csv", "--share", "1.5"], "--share"),
        (["tracks.csv", "--share", "nan"], "--share"),
        (["tracks.csv", "--seed", "-1"], "--seed"),
        (["tracks.csv", "--picks", "2"], "--plot"),
        (["tracks.csv", "--picks", "0", "--plot"], "at least 1"),
        (["tracks.csv", "--figure-format", "pdf"], "--plot"),
        (["tracks.csv", "--animate", "gif"], "--movie"),
        (["tracks.csv", "--movie", "tracks.csv"], "no TIFF stack"),
        (["tracks.csv", "--movie", "film.tif"], "is not there"),
        (["tracks.csv", "--report", "why.pdf"], ".html"),
        (["tracks.csv", "--report", "tracks.csv", "--overwrite"], ".html"),
        (["tracks.csv", "--report", "no/why.html"], "with --report"),
        (["tracks.csv", "-o", "tracks.csv"], "is a file"),
        (["tracks.csv", "-o", "tracks.csv/"], "it is a file"),
        (["tracks.csv", "-o", ".", "--overwrite"], "other files (tracks.csv)"),
        (["tracks.csv", "-o", "."], "other files (tracks.csv)"),
        (["tracks.csv", "-o", "-"], "--json"),
        (["tracks.csv", "-o", "no/such"], "Create it"),
        (["tracks.csv", "--exposure", "20"], "exposure time divided by frame interval"),
        (["tracks.csv", "--threshold", "7"], "0 to 1"),
        (["tracks.csv", "--weights", "best"], "there are:"),
        (["tracks.csv", "--min-length", "1"], "--min-length"),
        (["tracks.csv", "--min-length", "31"], "--min-length"),
        (["tracks.csv", "--columns", "id=3"], "ROLE=NAME"),
        (["tracks.csv", "--pixel-size-um", "nan"], "--pixel-size-um"),
        (["tracks.csv", "--override-units"], "--override-units"),
        (["tracks.csv", "--gap", "none"], "No such option"),
    ],
)
def test_what_a_user_may_mistype(run, tracks_csv, monkeypatch, arguments, words):
    monkeypatch.chdir(tracks_csv.parent)
    before = tracks_csv.read_bytes()
    done = run("explain", *arguments, "--device", "cpu", "-q")
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert "should not" not in done.err
    assert listed(tracks_csv.parent) == ["tracks.csv"]
    assert tracks_csv.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may everything")
def test_a_folder_that_can_not_be_written(run, tracks_csv):
    tracks_csv.parent.chmod(0o500)
    try:
        done = run("explain", tracks_csv, *FAST)
    finally:
        tracks_csv.parent.chmod(0o700)
    assert done.code == 2
    assert "can't be written" in done.err


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize("wait_s", [0.1, 0.5])
def test_interrupting_leaves_nothing_behind(tmp_path, write_csv, wait_s):
    """Ctrl-C of a terminal, which all processes get, while those of the figures start."""
    path = write_csv(tmp_path / "many.csv", n_tracks=2000, length=12)
    process = subprocess.Popen(
        [sys.executable, "-c", "from spt_explain.cli import main; main()", "explain", str(path),
         "--device", "cpu", "--plot", "--report", str(tmp_path / "why.html")],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    for line in process.stderr:
        if line.startswith("device"):
            break
    time.sleep(wait_s)
    os.killpg(process.pid, signal.SIGINT)
    # the pipe is closed once the last of them has ended
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in rest
    assert "Traceback" not in rest
    assert listed(tmp_path) == ["many.csv"]


def test_gaps_branches_and_pixels_on_real_files(run, shared_tracks, shared_stacks, tmp_path):
    gaps = shutil.copy(shared_tracks / "trackmate-full-gaps.xml", tmp_path)
    branches = shutil.copy(shared_tracks / "trackmate-full-branching.xml", tmp_path)
    arguments = (*FAST, "-o", tmp_path / "out", "--branches", "split")
    done = run("explain", gaps, branches, *arguments, "--report", tmp_path / "why.html")
    assert done.code == 0, done.err
    folder = tmp_path / "out" / "trackmate-full-gaps.reasons"
    frames, tracks = (pd.read_csv(folder / f"{name}.csv") for name in ("frames", "tracks"))
    assert frames["filled"].sum() == tracks["n_gaps"].sum() > 0
    # a row a frame, gaps filled: frames of a track follow one another
    steps = frames.groupby(["particle", "segment"])["frame"].diff().dropna()
    assert set(steps) == {1}
    pieces = pd.read_csv(tmp_path / "out" / "trackmate-full-branching.reasons" / "tracks.csv")
    assert pieces.groupby("particle")["segment"].nunique().max() > 1
    movie = run(
        "explain", gaps, *FAST, "--movie", shared_stacks / "faketracks.tif", "-q",
        "--figure-format", "pdf",
    )  # fmt: skip
    assert movie.code == 0, movie.err
    assert (tmp_path / "trackmate-full-gaps.reasons" / "movie.pdf").exists()
    several = run("explain", gaps, branches, *FAST, "--movie", shared_stacks / "faketracks.tif")
    assert several.code == 2
    assert "expected one" in several.err


def test_the_help_states_every_default():
    from spt_explain.cli.explain import command

    for option in command.params:
        text = getattr(option, "help", None) or ""
        if option.name == "inputs" or getattr(option, "is_flag", False):
            continue
        needs_none = option.name in {"only", "movie", "animate", "page"}
        said = "Default" in text or "where the file does not" in text
        assert option.show_default or said or needs_none, option.name


def test_defaults_are_those_of_the_function():
    import spt_explain as spt
    from spt_explain.cli.explain import command
    from spt_explain.explain.options import ExplainOptions

    given = command.make_context("explain", []).params
    parameters = signature(spt.explain).parameters
    for name, parameter in parameters.items():
        if name in given:
            assert given[name] == parameter.default or not given[name], name
    asked = {name: value for name, value in vars(ExplainOptions()).items() if name in given}
    assert len(asked) == 9
    for name, value in asked.items():
        assert (given[name] or "") == value, name
    network = {"weights", "backend", "device", "batch_size", "jobs", "threshold", "alone"}
    assert set(asked) | network | {"exposure", "only"} <= set(parameters)
