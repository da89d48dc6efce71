import json
import re

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def _weights(tmp_path_factory):
    import torch

    from spt_explain.resandi.architecture import Architecture
    from spt_explain.resandi.network import ResAnDi
    from spt_explain.resandi.store import install_weights

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    architecture = Architecture(inputs="positions", width=2)
    state = ResAnDi(architecture).state_dict()
    tensors = {name: np.asarray(value.numpy(), np.float32) for name, value in state.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPT_EXPLAIN_DATA", str(folder))
        card = {"version": "0.1", "architecture": architecture.to_dict()}
        install_weights("tiny", tensors, card)
    return folder


@pytest.fixture
def tiny(_weights, monkeypatch):
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(_weights))
    return ("--weights", "tiny", "--device", "cpu")


@pytest.fixture
def labelled(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["particle,frame,x,y,class"]
    for i, name in enumerate(("BM", "SupLW", "SubFBM", "BM")):
        walk = rng.normal(size=(100, 2)).cumsum(axis=0)
        rows += [f"{i},{t},{x:.4f},{y:.4f},{name}" for t, (x, y) in enumerate(walk)]
    path = tmp_path / "lab.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_erasure_on_simulated_tracks(run, tiny, tmp_path):
    out = tmp_path / "out"
    done = run("study", "erasure", *tiny, "--tracks", 8, "--length", "10-60", "--method", "gradcam",
               "--protocol", "cut", "--protocol", "paper", "--draws", 2, "--by-length",
               "--figure-format", "svg", "-o", out)  # fmt: skip
    assert done.code == 0, done.err
    assert done.out == ""
    for words in ("weights", "device", "1 simulated tracks of each of 8", "lowest erased", "→"):
        assert words in done.err
    names = {path.name for path in out.iterdir()}
    assert {"methods.csv", "deciles.csv", "study.json", "fig3-accuracy-by-decile.svg"} <= names
    assert len(pd.read_csv(out / "deciles.csv").query("points == 'all'")) == 30
    made = json.loads((out / "study.json").read_text(encoding="utf-8"))["provenance"]
    assert made["command"][0] == "spt-explain"
    assert made["data"]["simulated"]["length"] == [10, 60]
    assert made["weights"]["name"] == "tiny"
    assert made["settings"]["draws"] == 2


def test_correlation_on_a_labs_own_tracks_as_json(run, tiny, labelled, monkeypatch):
    monkeypatch.chdir(labelled.parent)
    done = run("study", "correlation", *tiny, "--data", "lab.csv", "--resamples", 0, "--no-plot",
               "--json", "-q")  # fmt: skip
    assert done.code == 0, done.err
    assert done.err == ""
    summary = json.loads(done.out)
    assert {row["class"] for row in summary["correlations"]} == {"BM", "SupLW", "SubFBM"}
    assert len(summary["outputs"]) == 2
    assert (labelled.parent / "correlation.study" / "correlations.csv").exists()
    made = json.loads((labelled.parent / "correlation.study" / "study.json").read_text("utf-8"))
    assert made["provenance"]["policy"]["min_length"]
    again = run("study", "correlation", *tiny, "--data", "lab.csv", "--no-plot", "-q")
    assert again.code == 2
    assert "--overwrite" in again.err


def test_the_other_studies_run(run, tiny, tmp_path):
    fast = ("--no-plot",)
    some = ("--tracks", 32, "--length", "90-100")
    for name, options, words in (
        ("sensitivity", ("--every", 200, "--no-untrained"), "90 % in"),
        ("embedding", (*some, "--no-maps"), "silhouette"),
        ("gallery", (*some, "--samples", 1), "remarks hold"),
    ):
        done = run("study", name, *tiny, *options, *fast, "-o", tmp_path / name)
        assert done.code == 0, done.err
        assert words in done.err
        assert (tmp_path / name / "study.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("erasures",), "no study 'erasures'"),
        (("erasure", "--method", "gradcan"), "--method"),
        (("erasure", "--protocol", "cuts"), "cuts"),
        (("erasure", "--draws", "-1"), "--draws"),
        (("erasure", "--length", "ten"), "--length"),
        (("erasure", "--noise", "nan"), "--noise"),
        (("erasure", "--tracks", "0"), "--tracks"),
        (("erasure", "--label-column", "x"), "--label-column is for --data"),
        (("erasure", "--data", "lab.csv", "--length", "10"), "--length is for simulated"),
        (("erasure", "--data", "none.csv"), "none.csv"),
        (("gallery", "--data", "lab.csv", "--label-column", "kind"), "no column"),
        (("embedding", "--neighbours", "0"), "--neighbours"),
        (("sensitivity", "--every", "0"), "--every"),
        (("correlation", "--weights", "nonesuch"), "nonesuch"),
        (("gallery", "-o", "-"), "--json"),
        (("gallery", "-o", "no/such/folder"), "not there"),
        (("gallery", "-o", "."), "other files"),
    ],
)
def test_what_can_not_be_used_is_one_line_and_leaves_nothing(
    run, tiny, labelled, monkeypatch, arguments, words
):
    monkeypatch.chdir(labelled.parent)
    extra = () if "nonesuch" in arguments or arguments[0] == "erasures" else tiny
    extra = (*extra, "--overwrite") if "." in arguments else extra
    done = run("study", *arguments, *extra)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert [path.name for path in labelled.parent.iterdir()] == ["lab.csv"]


def test_the_help_states_every_default(run):
    from spt_explain.cli.study import command

    assert set(command.commands) == {
        "erasure", "sensitivity", "embedding", "correlation", "gallery"
    }  # fmt: skip
    for name, one in command.commands.items():
        text = re.sub(r"\s+", " ", run("study", name, "--help").out)
        assert "Example:" in text
        for option in one.params:
            said = getattr(option, "help", None) or ""
            if option.is_flag or option.name == "columns":
                continue
            assert option.show_default or "Default" in said, (name, option.name)


@pytest.mark.parametrize("name", ["erasure", "sensitivity", "embedding", "correlation", "gallery"])
def test_defaults_are_those_of_the_function(name):
    from spt_explain.cli.study import command
    from spt_explain.studies import options
    from spt_explain.studies.sources import TrackSource

    given = command.commands[name].make_context(name, []).params
    model = getattr(options, f"{name.title()}Options")
    for key, value in dict(model()).items():
        assert given[key] == value, key
    source = TrackSource()
    for key in ("noise", "even_lengths", "exposure", "missing", "seed", "tracks", "label_column"):
        if key in given and (name != "sensitivity"):
            assert given[key] == getattr(source, key), key
