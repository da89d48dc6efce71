import json
import re

import numpy as np
import pandas as pd
import pytest

FAST = ("--device", "cpu", "--length", "10-40")


@pytest.fixture
def labelled(tmp_path):
    """Two Brownian tracks and one that does not exist in nature."""
    rng = np.random.default_rng(0)
    rows = ["particle,frame,x,y,class"]
    for i, name in enumerate(("BM", "BM", "SubFBM")):
        walk = rng.normal(size=(60, 2)).cumsum(axis=0)
        rows += [f"{i},{t},{x:.4f},{y:.4f},{name}" for t, (x, y) in enumerate(walk)]
    path = tmp_path / "lab.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_simulated_test_with_figures(run, tmp_path):
    out = tmp_path / "out"
    done = run("evaluate", *FAST, "--tracks", 8, "--noise", "0,1", "-o", out)
    assert done.code == 0
    assert done.out == ""
    for words in ("weights", "device", "1 simulated tracks of each of 8 classes", "1/SNR", "→"):
        assert words in done.err
    assert {path.suffix for path in out.iterdir()} == {".csv", ".json", ".png", ".svg"}
    assert pd.read_csv(out / "by_noise.csv")["n"].tolist() == [8, 8]
    made = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))["provenance"]
    assert made["command"][0] == "spt-explain"
    assert made["data"]["simulated"]["length"] == [10, 40]
    assert made["weights"]["sha256"]


def test_labelled_file_and_json(run, labelled):
    done = run("evaluate", "--data", labelled, "--device", "cpu", "--no-plot", "--json", "--quiet")
    assert done.code == 0
    assert done.err == ""
    summary = json.loads(done.out)
    assert summary["overall"]["n"] == 3
    assert len(summary["outputs"]) == 8
    assert labelled.with_name("lab.evaluation").is_dir()
    table = pd.read_csv(labelled.with_name("lab.evaluation") / "by_class.csv")
    assert table.set_index("class")["n"].to_dict()["BM"] == 2


def test_nothing_is_written_over(run, labelled, tmp_path):
    arguments = ("evaluate", "--data", labelled, "--device", "cpu", "--no-plot", "-q")
    out = tmp_path / "out"
    assert run(*arguments, "-o", out).code == 0
    again = run(*arguments, "-o", out)
    assert again.code == 2
    assert "--overwrite" in again.err
    assert run(*arguments, "-o", out, "--overwrite").code == 0
    folder = run(*arguments, "-o", tmp_path, "--overwrite")
    assert folder.code == 2
    assert labelled.exists()


def test_standard_input(run, labelled, tmp_path):
    text = labelled.read_bytes()
    done = run(
        "evaluate",
        "--data",
        "-",
        "--device",
        "cpu",
        "--no-plot",
        "-o",
        tmp_path / "out",
        stdin=text,
    )
    assert done.code == 0, done.err
    assert "3 labelled tracks" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--noise", "0;1"), "--noise 0,0.5,1"),
        (("--noise", "nan"), "--noise"),
        (("--noise", "-1"), "1/SNR"),
        (("--noise", ""), "--noise"),
        (("--length", "ten"), "--length 10-1000"),
        (("--length", "50-10"), "--length"),
        (("--tracks", "0"), "--tracks"),
        (("--missing", "1"), "--missing"),
        (("--weights", "nonesuch"), "nonesuch"),
        (("--label-column", "x"), "--label-column is for --data"),
        (("--gaps", "keep"), "--gaps is for --data"),
        (("--data", "lab.csv", "--length", "10"), "--length is for simulated"),
        (("--data", "none.csv"), "none.csv"),
        (("--data", "lab.csv", "--label-column", "kind"), "no column"),
        (("-o", "-"), "--json"),
        (("-o", "no/such/folder"), "not there"),
    ],
)
def test_what_can_not_be_used_is_one_line_and_leaves_nothing(
    run, labelled, monkeypatch, arguments, words
):
    monkeypatch.chdir(labelled.parent)
    done = run("evaluate", "--device", "cpu", *arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert [path.name for path in labelled.parent.iterdir()] == ["lab.csv"]


def test_the_help_states_every_default(run):
    from spt_explain.cli.evaluate import command

    for option in command.params:
        text = getattr(option, "help", None) or ""
        if option.is_flag or option.name == "columns":
            continue
        assert option.show_default or "Default" in text, option.name
    text = re.sub(r"\s+", " ", run("evaluate", "--help").out)
    assert "two to three minutes" in text


def test_defaults_are_those_of_the_function():
    from inspect import signature

    from spt_explain.cli.evaluate import command
    from spt_explain.training.options import EvaluateOptions
    from spt_explain.training.testing import evaluate

    given = command.make_context("evaluate", []).params
    for name, parameter in signature(evaluate).parameters.items():
        if name == "length":
            assert EvaluateOptions(length=given[name]).length == parameter.default
        elif name in given and name != "data":
            assert given[name] == parameter.default or given[name] is None, name
