import json
import sys
import zipfile

import numpy as np
import pytest

from spt_explain.cli.weights import command
from spt_explain.resandi.weights import find_weights, list_weights, own_folder, shipped_names


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(folder))
    return folder


@pytest.fixture
def install():
    """Return a function that installs a small untrained network."""
    import torch

    from spt_explain.resandi.architecture import Architecture
    from spt_explain.resandi.network import ResAnDi
    from spt_explain.resandi.store import install_weights

    def make(name="mine", **keys):
        torch.manual_seed(0)
        architecture = Architecture(width=4, window=64)
        state = ResAnDi(architecture).state_dict()
        tensors = {key: np.asarray(value.numpy(), np.float32) for key, value in state.items()}
        card = {"version": "0.3", "architecture": architecture.to_dict(), **keys}
        return install_weights(name, tensors, card)

    return make


class _Terminal:
    """A standard input that is a terminal, on which something is typed."""

    def __init__(self, typed):
        self.typed = typed

    def isatty(self):
        return True

    def readline(self, *args):
        return self.typed


@pytest.mark.parametrize("name", sorted(command.commands))
def test_every_subcommand_has_help_with_an_example_and_defaults(run, name):
    done = run("weights", name, "--help")
    assert done.code == 0
    assert "Example:" in done.out
    assert f"spt-explain weights {name}" in done.out
    for parameter in command.commands[name].params:
        if parameter.param_type_name == "option" and not parameter.is_flag:
            assert "Default" in parameter.help


def test_the_group_says_where_own_weights_are_and_what_moves_them(run):
    done = run("weights", "--help")
    assert "SPT_EXPLAIN_DATA" in done.out
    assert set(command.commands) == {"list", "show", "verify", "export", "import", "remove"}
    assert run("weights").code == 2
    assert "Did you mean" in run("weights", "lst").err


def test_list_has_a_line_for_each_set_the_default_first(run, install):
    install(created="2026-11-22T01:02:03Z", accuracy={"by_noise": {"0.0": 0.756}})
    lines = run("weights", "list").out.splitlines()
    assert lines[0].split() == ["name", "version", "from", "size", "accuracy", "date"]
    assert [line.split()[0] for line in lines[1:]] == list_weights()
    assert "shipped, default" in lines[1]
    assert lines[-1].split()[1:3] == ["0.3", "own"]
    assert lines[-1].endswith("75.6 %  2026-11-22")
    rows = json.loads(run("weights", "list", "--json").out)
    assert [row["name"] for row in rows] == list_weights()
    assert [row["default"] for row in rows] == [True] + [False] * (len(rows) - 1)
    assert rows[-1] | {"own": True, "accuracy": 0.756, "version": "0.3"} == rows[-1]
    assert rows[-1]["sha256"] == find_weights("mine").sha256


def test_a_damaged_set_is_listed_as_such_and_spares_the_others(run, install):
    weights = install()
    (weights.folder / "card.json").write_text("{")
    done = run("weights", "list")
    assert done.code == 1
    assert "own               damaged" in done.out
    assert "mport them again" in done.out
    assert shipped_names()[0] in done.out
    assert json.loads(run("weights", "list", "--json").out)[-1]["problem"]


def test_show_says_what_the_card_says(run, install):
    weights = install(
        recipe={"file": "quick.toml", "steps": 1200, "nested": {"a": 1}},
        training={"device": "cpu, 2 threads", "seconds": 3725.2},
        accuracy={
            "protocol": "held out",
            "by_noise": {"0.0": 0.5, "1.0": 0.25},
            "by_length": {"10-19": 0.125},
            "confusion": [[1.0]],
        },
        unknown="kept",
    )
    done = run("weights", "show", "mine")
    assert done.code == 0
    for words in (
        "mine 0.3 · your own", "width 4", "file quick.toml · steps 1,200", "--json",
        "cpu, 2 threads", "1 h 2 min 5 s", "held out", "50.0 %", "25.0 %", "12.5 %", "10-19",
        "unknown       kept", weights.sha256, next(iter(weights.files)), str(weights.folder),
        f"{weights.count_parameters():,}",
    ):  # fmt: skip
        # long paths are wrapped to the width of the terminal
        assert "".join(words.split()) in "".join(done.out.split())
    assert "confusion" not in done.out
    assert json.loads(run("weights", "show", "mine", "--json").out) == weights.card


def test_show_without_a_name_is_the_default(run):
    name = shipped_names()[0]
    assert run("weights", "show").out == run("weights", "show", name).out
    assert f"{name} " in run("weights", "show").out


def test_show_lets_no_card_steer_the_terminal(run, install):
    install(note="a\x1b[2Jb\nc", **{"k\x1b[0m": 1})
    done = run("weights", "show", "mine")
    assert "\x1b" not in done.out
    assert "a?[2Jb c" in done.out


def test_show_survives_odd_cards_and_damaged_files(run, install):
    weights = install(
        recipe=[1, [2]], trained=3, seed=None, accuracy={"by_noise": {}, "by_length": 5}
    )
    next(weights.folder.glob("*.safetensors")).write_bytes(b"x")
    done = run("weights", "show", "mine")
    assert done.code == 0
    assert "parameters    unknown" in done.out


def test_verify_says_what_holds_and_leaves_with_1_otherwise(run, install):
    weights = install()
    done = run("weights", "verify")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == list_weights()
    assert done.out.count("hashes hold") == len(list_weights())
    file = next(weights.folder.glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    done = run("weights", "verify")
    assert done.code == 1
    assert done.out.count("hashes hold") == len(list_weights()) - 1
    assert "was changed" in done.out
    assert run("weights", "verify", shipped_names()[0]).code == 0
    assert run("weights", "verify", "mine", "mine").out.count("mine  damaged") == 1
    rows = json.loads(run("weights", "verify", "mine", "--json").out)
    assert [row["healthy"] for row in rows] == [False]
    quiet = run("weights", "verify", "--quiet")
    assert (quiet.code, quiet.out) == (1, "")
    assert "was changed" in quiet.err
    assert run("weights", "verify", "mine", "nope").code == 2


def test_doctor_shows_own_weights_and_their_damage(run, install, data):
    weights = install()
    done = run("doctor", "--json")
    report = json.loads(done.out)
    row = report["weights"][-1]
    assert (row["name"], row["own"], row["healthy"], row["default"]) == ("mine", True, True, False)
    assert report["folders"]["data"] == str(data)
    (weights.folder / "manifest.json").unlink()
    done = run("doctor")
    assert done.code == 1
    assert "mport them again" in done.out
    assert "hashes hold" in done.out


def test_doctor_says_that_the_data_folder_can_not_be_read(run, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path / "file"))
    done = run("doctor")
    assert done.code == 1
    assert "no own weights" in done.out
    assert "hashes hold" in done.out


def test_weights_travel_from_one_machine_to_another(run, install, tmp_path, monkeypatch, write_csv):
    sha256 = install().sha256
    done = run("weights", "export", "mine", "-o", tmp_path / "mine.zip")
    assert done.code == 0
    assert done.out == ""
    assert str(tmp_path / "mine.zip") in done.err
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path / "elsewhere"))
    assert run("weights", "show", "mine").code == 2
    done = run("weights", "import", tmp_path / "mine.zip", "--name", "theirs")
    assert done.code == 0
    assert done.out == ""
    assert "--weights theirs" in done.err
    tracks = write_csv(tmp_path / "t.csv", n_tracks=2)
    done = run("classify", tracks, "--weights", "theirs", "--device", "cpu", "--json")
    assert done.code == 0
    assert f"theirs 0.3 (sha256 {sha256[:8]}" in done.err
    assert sha256 in (tmp_path / "t.verdicts.json").read_text()


def test_json_and_quiet(run, install, tmp_path):
    weights = install()
    path = tmp_path / "m.zip"
    document = json.loads(run("weights", "export", "mine", "-o", path, "--json").out)
    assert document == {"name": "mine", "output": str(path), "bytes": path.stat().st_size}
    done = run("weights", "import", path, "--name", "b", "--json")
    assert json.loads(done.out)["sha256"] == weights.sha256
    for arguments in (
        ("export", "mine", "-o", path, "--overwrite"),
        ("import", path, "--overwrite"),
        ("remove", "mine", "--yes"),
    ):
        done = run("weights", *arguments, "--quiet")
        assert (done.code, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "nope"), "no weights are called 'nope'"),
        (("export", "nope"), "no weights are called 'nope'"),
        (("export", "mine", "-o", "-"), "not written to standard output"),
        (("export", "mine", "-o", "no/such/x.zip"), "is not there"),
        (("import", "none.zip"), "none.zip is not there"),
        (("import", "text.zip"), "not a zip file"),
        (("import", "foreign.zip"), "does not come from"),
        (("import", "."), "holds no weights"),
        (("import", "good.zip"), "are there already"),
        (("import", "good.zip", "--name", "../x"), "can't name weights"),
        (("import", "good.zip", "--name", "resandi-robust"), "part of spt-explain"),
        (("remove", "nope"), "no weights are called 'nope'"),
        (("remove", "resandi-robust", "--yes"), "can't be removed"),
        (("remove", "mine"), "--yes"),
    ],
)
def test_wrong_inputs_are_one_line_with_code_2(
    run, install, tmp_path, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    install()
    run("weights", "export", "mine", "-o", "good.zip")
    (tmp_path / "text.zip").write_text("hello")
    with zipfile.ZipFile("foreign.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    monkeypatch.setattr(sys, "stdin", None)
    done = run("weights", *arguments)
    assert done.code == 2
    assert said in done.err
    assert done.err.startswith("Error: ")
    assert len(done.err.splitlines()) == 1
    assert "mine" in list_weights()


@pytest.mark.parametrize(
    ("typed", "gone", "code"), [("y\n", True, 0), ("n\n", False, 0), ("\n", False, 0)]
)
def test_remove_asks_on_a_terminal(run, install, monkeypatch, typed, gone, code):
    install()
    monkeypatch.setattr(sys, "stdin", _Terminal(typed))
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda prompt: typed.strip())
    done = run("weights", "remove", "mine")
    assert done.code == code
    assert ("mine" not in list_weights()) == gone
    assert ("Nothing was removed" in done.err) != gone


def test_remove_with_yes_does_not_ask(run, install, monkeypatch):
    install()
    monkeypatch.setattr(sys, "stdin", None)
    assert run("weights", "remove", "mine", "--yes").code == 0
    assert list(own_folder().iterdir()) == []


def test_debug_shows_the_traceback(install):
    from spt_explain.cli import main
    from spt_explain.errors import SptError

    with pytest.raises(SptError):
        main(["weights", "show", "nope", "--debug"])


def test_help_and_list_load_no_torch():
    import subprocess

    code = (
        "from spt_explain.cli import main\n"
        "for a in (['weights', '--help'], ['weights', 'list'], ['weights', 'import', '--help']):\n"
        "    try: main(a)\n"
        "    except SystemExit: pass\n"
        "import sys; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "onnxruntime", "pandas"} & set(done.stdout.splitlines()[-1].split())
