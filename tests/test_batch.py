from pathlib import Path

import pytest

from spt_explain.batch import plan_outputs
from spt_explain.errors import SptError


def test_a_table_beside_each_input():
    plan = plan_outputs(["x/a.csv", "y/a.csv"], None, None)
    assert plan.paths == [Path("x/a.verdicts.csv"), Path("y/a.verdicts.csv")]


def test_inputs_that_differ_in_their_ending_keep_it():
    plan = plan_outputs(["a.csv", "a.xml"], None, "parquet")
    assert plan.paths == [Path("a.csv.verdicts.parquet"), Path("a.xml.verdicts.parquet")]


def test_same_names_in_one_folder_get_their_parents(tmp_path):
    plan = plan_outputs(["x/a.csv", "y/a.csv", "../y/a.csv"], str(tmp_path), None)
    assert len(set(plan.paths)) == 3
    assert all(path.parent == tmp_path for path in plan.paths)
    assert plan.paths[0].name == "x_a.csv.verdicts.csv"


@pytest.mark.parametrize(
    "names",
    [
        ["x/y/a.csv", "x_y/a.csv", "x/y_a.csv"],
        ["../a.csv", "up/a.csv", "a.csv"],
        ["x/a.csv", "y/A.csv"],  # one file on Windows and macOS
        ["x/a.csv", "y/a.csv", "x/a.csv-2", "x_a.csv", "-x/a.csv"],
        ["x/caf\udce9.csv", "x/caf\udce8.csv", "y/caf\udce9.csv"],
    ],
)
@pytest.mark.parametrize("fmt", ["csv", "json"])
def test_each_file_has_a_table_of_its_own(tmp_path, names, fmt):
    plan = plan_outputs(names, f"{tmp_path}/", fmt)
    assert list(plan.each) == names
    assert len({str(path).casefold() for path in plan.paths}) == len(names)
    assert all(path.parent == tmp_path for path in plan.paths)
    assert all(path.name.endswith(f".verdicts.{fmt}") for path in plan.paths)


def test_a_folder_spelled_in_two_ways_is_one_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("y").mkdir()
    names = ["y/a.csv", str(tmp_path / "y" / "a.xml"), "y/../y/b.csv"]
    found = {path.resolve() for path in plan_outputs(names, None, None).paths}
    assert found == {
        tmp_path / "y" / f"{name}.verdicts.csv" for name in ("a.csv", "a.xml", "b.csv")
    }


def test_standard_input_goes_to_standard_output():
    assert plan_outputs(["-"], None, None).stdout
    assert plan_outputs(["-"], "out.parquet", None).combined == Path("out.parquet")


@pytest.mark.parametrize(
    ("names", "output", "fmt", "words"),
    [
        (["-", "a.csv"], None, None, "-o"),
        (["a.csv"], "out.xlsx", None, ".csv, .parquet, .json"),
        (["a.csv"], "out.csv", "json", "contradicts"),
        (["a.csv"], "-", "parquet", "standard output"),
        (["-"], "folder/", None, "-o FILE"),
    ],
)
def test_contradictions_are_refused(names, output, fmt, words):
    with pytest.raises(SptError, match=words):
        plan_outputs(names, output, fmt)
