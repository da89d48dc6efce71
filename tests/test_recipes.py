"""The scripts in recipes/ run as they are."""

import os
import shutil
import stat
import subprocess
import sys

import pandas as pd
import pytest

from spt_explain.resources import shipped

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def environment(tmp_path):
    """PATH with a spt-explain that is this Python's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "spt-explain"
    script.write_text(f"#!{sys.executable}\nfrom spt_explain.cli import main\nmain()\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def _run(environment, name, *arguments, cwd=None, **variables):
    return subprocess.run(
        ["bash", str(shipped("recipes") / name), *map(str, arguments)],
        env={**environment, **variables}, capture_output=True, text=True, check=False, cwd=cwd,
    )  # fmt: skip


def test_a_folder_of_experiments(tmp_path, environment):
    source = shipped("recipes") / "quickstart.csv"
    for folder in ("a/day 1", "a/day 2"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(source, tmp_path / folder / "tracks.csv")
    done = _run(environment, "classify-folder.sh", tmp_path / "a", tmp_path / "out", "--quiet")
    assert done.returncode == 0, done.stderr
    for folder in ("day 1", "day 2"):
        table = pd.read_csv(tmp_path / "out" / folder / "tracks.verdicts.csv")
        assert table["particle"].nunique() == 41
    # a folder that fails does not keep the next one from being done, here over what was there
    (tmp_path / "a" / "day 1" / "tracks.csv").write_text("no,tracks\n1,2\n")
    again = tmp_path / "out" / "day 2" / "tracks.verdicts.csv"
    whole = again.read_bytes()
    again.write_bytes(b"old")
    done = _run(
        environment, "classify-folder.sh", tmp_path / "a", tmp_path / "out", "--quiet",
        "--overwrite",
    )  # fmt: skip
    assert done.returncode == 3
    assert again.read_bytes() == whole


def test_an_array_task_takes_its_own_line(tmp_path, environment):
    source = shipped("recipes") / "quickstart.csv"
    names = []
    for i in (1, 2):
        shutil.copy(source, tmp_path / f"f{i}.csv")
        names.append(str(tmp_path / f"f{i}.csv"))
    (tmp_path / "files.txt").write_text("\n".join(names) + "\n")
    (tmp_path / "verdicts").mkdir()
    done = _run(
        environment, "slurm-array.sh", "files.txt", "verdicts", cwd=tmp_path,
        SLURM_ARRAY_TASK_ID="2", SLURM_CPUS_PER_TASK="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "verdicts" / "2-f2.csv.verdicts.csv")
    assert set(table["file"]) == {names[1]}
