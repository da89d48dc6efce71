import json
from dataclasses import fields
from pathlib import Path

import pytest

from spt_explain.xddpm.simulate import blocks
from spt_explain.xddpm.simulate.kinds import KINDS

SMALL = ["--movies", "3", "--frames", "3", "--size", "16", "--seed", "1"]


def test_movies_are_simulated(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("simulate", "tension", *SMALL)
    assert done.code == 0
    assert not done.out
    assert "signal  area, one per frame" in done.err
    assert "→ simulated-tension" in done.err
    assert len(list(Path("simulated-tension").glob("movie-*.tif"))) == 3
    done = run("simulate", "tension", *SMALL)
    assert done.code == 2
    assert "--overwrite" in done.err
    assert run("simulate", "tension", *SMALL, "--overwrite", "--quiet").err == ""


def test_every_option_reaches_the_library(run, tmp_path):
    done = run("simulate", "--quiet", "Two-Cells", *SMALL, "--set", "dim=0.3..0.4", "--json",
               "--set", "signal-from=bright", "-o", tmp_path / "m")  # fmt: skip
    assert done.code == 0
    assert not done.err
    said = json.loads(done.out)
    assert said["exit_code"] == 0
    assert (said["movies"], said["frames"], said["size"], said["seed"]) == (3, 3, 16, 1)
    assert said["settings"]["dim"] == [0.3, 0.4]
    assert said["settings"]["signal_from"] == "bright"
    assert said["folder"] == str(tmp_path / "m")
    settings = json.loads((tmp_path / "m" / "settings.json").read_text(encoding="utf-8"))
    assert settings["settings"] == said["settings"]


def test_a_kind_is_no_value_of_an_option(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("simulate", "-o", "tension", "spots", *SMALL).code == 0
    assert (tmp_path / "tension" / "signals-per-movie.csv").exists()
    done = run("simulate", "BM", "--tracks", "2", "--length", "12-14", "-o", "spots.csv")
    assert done.code == 0


def test_what_is_stopped_is_gone_on_with(run, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "MOST_MOVIES", 2)
    target = ["-o", tmp_path / "m"]
    done = run("simulate", "spots", *SMALL, *target, "--minutes", "1e-6", "--json")
    assert done.code == 0
    assert "2 of 3" in done.err
    assert "--resume goes on" in done.err
    assert json.loads(done.out)["finished"] is False
    done = run("simulate", "spots", *SMALL, *target, "--resume")
    assert done.code == 0
    assert (tmp_path / "m" / "movie-0002.tif").exists()
    done = run("simulate", "spots", *SMALL, *target, "--resume")
    assert "nothing was made" in done.err


def test_an_interruption_says_what_is_kept(run, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "MOST_MOVIES", 2)
    real = blocks._write_block

    def interrupted(labelled, part, names, number):
        if number:
            raise KeyboardInterrupt
        real(labelled, part, names, number)

    monkeypatch.setattr(blocks, "_write_block", interrupted)
    done = run("simulate", "spots", *SMALL, "-o", tmp_path / "m")
    assert done.code == 130
    assert "--resume" in done.err


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_help(run, kind):
    done = run("simulate", kind, "--help")
    assert done.code == 0
    words = " ".join(done.out.split())
    for word in (f"simulate {kind}", "Example:", "--set", "default:", "Signals:"):
        assert word in words
    for field in fields(KINDS[kind]):
        assert field.name in words
    assert kind in run("simulate", "--help").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tensoin"], "Did you mean tension?"),
        (["BM,Spots:0.4"], "spots is a kind of movies, which are simulated by themselves"),
        (["tension", "--set", "radius=5"], "or one for all: numbers from 0.04 to 0.4"),
        (["tension", "--movies", "0"], "--movies 0: expected a whole number, 1 to 10,000,000"),
        (["tension", "--movies", "many"], "many"),
        (["tension", "--size", "9"], "--size 9: expected a whole number of pixels, 16 to 1,024"),
        (["tension", "--size", "1024", "--frames", "2000"], "GB"),
        (["tension", "--movies", "9999999", "--size", "1024"], "disk"),
        (["tension", "--set", "radius"], "NAME=VALUE"),
        (["tension", "--set", "mobile=3"], "tension has no setting 'mobile'"),
        (["tension", "--set", "radius=0.1..9"], "from 0.04 to 0.4"),
        (["tension", "--set", "circumference=miles"], "pixels or length"),
        (["tension", "--tracks", "3"], "--tracks"),
        (["tension", "spots"], "spots"),
        (["tension", "--seed", "-1"], "--seed -1: expected a whole number, 0 or more"),
        (["tension", "--recipe", "no.toml"], "was not found"),
        (["tension", "--minutes", "0"], "--minutes 0.0: expected a number, above 0 (minutes)"),
        (["tension", "-o", "taken"], "taken is no folder"),
        (["tension", "-o", "no/where"], "there is no folder"),
    ],
)
def test_bad_use_is_one_message_and_exit_code_2(run, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("mine")
    done = run("simulate", *arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
