"""``relevance fit`` and ``relevance explain`` as they are typed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile

import spt_explain.cli as cli

RECIPE = """
seed = 3
[regressor]
width = 2
min_r2 = 0.0
[mask]
width = 2
[schedule]
regressor_steps = 3
mask_steps = 3
batch = 4
"""


@pytest.fixture(autouse=True)
def there(monkeypatch):
    monkeypatch.setitem(cli._COMMANDS, "relevance", "")
    monkeypatch.setattr("spt_explain.xddpm.run.Run._insist_on_prediction", lambda _: None)
    monkeypatch.setattr("spt_explain.xddpm.staged._LEAST_STEPS", 3)
    monkeypatch.setattr("spt_explain.relevance_fitting.PROBE_STEPS", 2)


@pytest.fixture
def folder(tmp_path):
    movies = tmp_path / "movies"
    movies.mkdir()
    lines = ["movie;value"]
    for i in range(6):
        rng = np.random.default_rng(i)
        pixels = rng.poisson(100 + 40 * i, (6, 16, 16)).astype(np.uint16)
        tifffile.imwrite(movies / f"m{i}.tif", pixels, photometric="minisblack")
        lines.append(f"m{i}.tif;{40 * i}")
    (tmp_path / "values.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def model(run, folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = run(
        "relevance", "fit", "movies", "--signal", "values.csv", "--frames", 3, "--recipe",
        "tiny.toml", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    return done


def test_fit_says_what_was_found_and_where_it_is(model, folder):
    said = json.loads(model.out)
    assert said["command"][:3] == ["spt-explain", "relevance", "fit"] or said["command"]
    assert said["signal_names"] == ["value"]
    for words in ("clips", "value: a number for each clip", "tiny.toml", "R² on clips held out",
                  "→ model in model", "--model model"):  # fmt: skip
        assert words in model.err
    assert (folder / "model" / "relevance.json").is_file()


def test_explain_writes_beside_each_movie_and_goes_on_after_a_bad_one(run, model, folder):
    (folder / "movies" / "broken.tif").write_bytes(b"II*\0" + b"\0" * 40)
    done = run("relevance", "explain", "movies/m1.tif", "movies/broken.tif", "--model", "model",
               "--animation", "none", "--figure-format", "svg", "--json")  # fmt: skip
    assert done.code == 3, done.err
    said = json.loads(done.out)
    assert [one["movie"] for one in said["files"]] == ["movies/m1.tif"]
    assert said["failed"][0]["name"].endswith("broken.tif")
    assert "broken.tif" in done.err
    results = folder / "movies" / "m1.relevance"
    assert (results / "overlay.svg").is_file()
    assert not (results / "overlay.png").exists()
    again = run("relevance", "explain", "movies/m1.tif", "--model", "model")
    assert again.code == 2
    assert "--overwrite" in again.err
    quiet = run("relevance", "explain", "movies/m1.tif", "--model", "model", "--overwrite",
                "--no-plot", "-q")  # fmt: skip
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["movies"], "--signal FILE"),
        (["movies", "--signal", "nothing"], "nothing"),
        (["nowhere", "--signal", "area"], "nowhere"),
        (["movies", "--signal", "values.csv", "--bin", "half"], "auto"),
        (["movies", "--signal", "values.csv", "--minutes", "0"], "--minutes"),
        (["movies", "--signal", "values.csv", "--recipe", "none"], "recipes that ship"),
        (["movies", "--signal", "values.csv", "--frames", "50"], "--frames"),
        (
            ["movies", "--signal", "values.csv", "--frames", "3", "--z", "0"],
            "--z 0: expected max",
        ),
    ],
)
def test_what_can_t_be_used_is_said_in_a_line_or_two(run, folder, monkeypatch, arguments, words):
    monkeypatch.chdir(folder)
    done = run("relevance", "fit", *arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert not (folder / "model").exists()


def test_help_and_misspelt_commands(run):
    done = run("relevance", "--help")
    assert done.code == 0
    assert "fit" in done.out
    assert "Did you mean explain?" in run("relevance", "explian").err
    for name in ("fit", "explain"):
        text = run("relevance", name, "--help").out
        assert "Example:" in text
        assert "--overwrite" in text


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from click.testing import CliRunner; from spt_explain.cli.relevance import "
        "command; r = CliRunner().invoke(command, ['fit', '--help']); assert r.exit_code == 0, r; "
        "bad = {'torch', 'matplotlib', 'pandas', 'scipy'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def test_a_long_fit_of_what_measures_says_how_long_it_takes(monkeypatch):
    import io
    from types import SimpleNamespace

    from rich.console import Console

    from spt_explain.cli.console import make_progress
    from spt_explain.cli.relevance.fit import make_listener

    told = io.StringIO()
    console = Console(file=told, width=100)
    with make_progress(console) as progress:
        listener = make_listener(console, progress)
        now = iter(range(1000))
        clock = SimpleNamespace(monotonic=lambda: next(now))
        monkeypatch.setattr("spt_explain.cli.relevance.fit.time", clock)
        for done in range(1, 41):
            listener.probing(done, 40)
    lines = [line for line in told.getvalue().splitlines() if line.startswith("step ")]
    assert len(lines) == 10
    assert lines[-1] == "step 40/40 · 0 s left"
    seconds = [float(line.split("·")[1].split()[0]) for line in lines]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[0] > 30
