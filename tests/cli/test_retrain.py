import json
import os
import signal
import subprocess
import sys

import pytest

TINY = """
name = "tiny"
[network]
width = 4
window = 64
lengths = [64]
[data]
pool_steps = 4
[schedule]
steps = STEPS
[batch]
64 = 16
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("spt_explain.training.retrain.CALIBRATION_TRACKS", {"cpu": 64})
    monkeypatch.setattr("spt_explain.training.retrain.TEST_TRACKS", 8)
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace("STEPS", "4"))
    return path


def test_weights_are_made_and_used(run, recipe, tmp_path, write_csv):
    done = run("retrain", "--recipe", recipe, "--device", "cpu", "--name", "mine", "--json")
    assert done.code == 0, done.err
    assert "spt-explain classify tracks.csv --weights mine" in done.err
    assert json.loads(done.out)["name"] == "mine"
    tracks = write_csv(tmp_path / "t.csv", n_tracks=3)
    used = run("classify", tracks, "--weights", "mine")
    assert used.code == 0, used.err
    assert "mine 1.0" in used.err


def test_recordings_are_matched_and_others_said(run, recipe, tmp_path, write_csv):
    folder = tmp_path / "experiment"
    folder.mkdir()
    write_csv(folder / "t.csv", n_tracks=30)
    (folder / "notes.csv").write_text("a,b\n1,2\n")
    done = run("retrain", "--recipe", recipe, "--device", "cpu", "--match", folder)
    assert done.code == 0, done.err
    assert "30 tracks of" in done.err
    assert "skipped: " in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--match", "nowhere.csv"], "nowhere.csv"),
        (["--recipe", "nowhere.toml"], "recipes that ship"),
        (["--jobs", "0"], "--jobs 0: expected a whole number, 1 or more"),
        (["--minutes", "-1"], "--minutes -1.0: expected a number, above 0"),
        (["--data", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_wrong_things_are_one_line(run, recipe, arguments, said):
    given = arguments if "--recipe" in arguments else ["--recipe", recipe, *arguments]
    done = run("retrain", "--device", "cpu", *given)
    assert done.code == 2
    assert done.err.startswith("Error: ")
    assert said in done.err
    assert len(done.err.splitlines()) <= 2


def test_unknown_keys_of_a_recipe_are_errors(run, recipe):
    recipe.write_text(TINY.replace("STEPS", "4") + "\n[schedule2]\nx = 1\n")
    done = run("retrain", "--recipe", recipe, "--device", "cpu")
    assert done.code == 2
    assert "schedule2" in done.err


def test_ctrl_c_keeps_the_run_and_says_how_to_go_on(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace("STEPS", "100000"))
    command = [sys.executable, "-m", "spt_explain", "retrain", "--recipe", str(path)]
    home = tmp_path / "data"
    with subprocess.Popen(
        [*command, "--device", "cpu", "--jobs", "1"],
        env={**os.environ, "SPT_EXPLAIN_DATA": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said = ""
        for line in process.stderr:
            said += line
            if line.startswith("step "):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, said + rest
    assert "the same command with --resume" in rest
    assert (home / "training" / "tiny.safetensors").exists()
