import subprocess
import sys

import pytest

import spt_explain
from spt_explain.cli import _COMMANDS

HEAVY = (
    "torch",
    "onnxruntime",
    "onnx",
    "pandas",
    "numpy",
    "matplotlib",
    "trackpy",
    "pyarrow",
    "rich",
)


def _modules_after(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy():
    helps = [["--version"], ["--help"], *([name, "--help"] for name in _COMMANDS)]
    code = (
        "from spt_explain.cli import main\n"
        f"for a in {helps}:\n"
        "    try: main(a)\n"
        "    except SystemExit: pass"
    )
    assert not _modules_after(code) & set(HEAVY)


def test_importing_the_package_imports_nothing_heavy():
    assert not _modules_after("import spt_explain") & set(HEAVY)


def test_classifying_with_onnx_runtime_does_not_import_torch(tmp_path, write_csv):
    path = write_csv(tmp_path / "t.csv", n_tracks=1)
    code = (
        "from spt_explain.cli import main\n"
        f"try: main(['classify', {str(path)!r}, '--device', 'cpu'])\n"
        "except SystemExit as left: assert not left.code"
    )
    loaded = _modules_after(code)
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "trackpy", "matplotlib", "captum"}


@pytest.mark.parametrize("command", list(_COMMANDS))
def test_every_command_has_help_with_an_example(run, command):
    done = run(command, "--help")
    assert done.code == 0
    assert f"spt-explain {command}" in done.out
    assert "Example:" in done.out


def test_every_option_of_classify_says_its_default_or_that_it_is_a_switch():
    from spt_explain.cli.classify import command

    for option in command.params:
        text = getattr(option, "help", None)
        if option.name == "inputs" or option.is_flag:
            continue
        assert text
        assert option.show_default or "Default" in text or "where the file does not" in text


def test_version(run):
    assert run("--version").out.strip() == f"spt-explain, version {spt_explain.__version__}"


def test_public_names_exist():
    for name in spt_explain.__all__:
        assert getattr(spt_explain, name) is not None
    with pytest.raises(AttributeError):
        _ = spt_explain.nothing
