import os
from pathlib import Path

import pytest

from spt_explain.errors import SptError
from spt_explain.readers import find_inputs
from spt_explain.readers.folders import one_spelling


@pytest.fixture
def tree(tmp_path):
    for name in (
        *("a10.csv", "a2.csv", "b.xml", "movie.tif", ".hidden.csv", "~$lock.xlsx", "Thumbs.db"),
        *("a2.verdicts.csv", "a2.verdicts.parquet", "a2.verdicts.json", "a2.reasons.csv"),
        *("a2.verdicts.csv.json", "run.params.json", "sub/c.csv", ".git/d.csv", "big.zarr/0.0"),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    return tmp_path


def names(found, root):
    return [Path(item.name).relative_to(root).as_posix() for item in found]


def test_folder_in_natural_order_without_own_outputs(tree):
    found = find_inputs([str(tree)])
    assert names(found, tree) == ["a2.csv", "a10.csv", "b.xml", "movie.tif", "sub/c.csv"]
    assert not any(item.explicit for item in found)


def test_folder_not_recursive(tree):
    assert "sub/c.csv" not in names(find_inputs([str(tree)], recursive=False), tree)


def test_pattern(tree):
    found = find_inputs([str(tree / "a*.csv")])
    assert names(found, tree) == ["a2.csv", "a10.csv"]
    assert not found[0].explicit


def test_pattern_over_folders(tree):
    found = find_inputs([str(tree / "**" / "*.csv")])
    assert names(found, tree) == ["a2.csv", "a10.csv", "sub/c.csv"]


def test_named_files_are_explicit_even_our_own(tree):
    found = find_inputs([str(tree / "a2.verdicts.csv"), "-"])
    assert [item.explicit for item in found] == [True, True]
    assert found[1].name == "-"


def test_the_same_file_once(tree, monkeypatch):
    monkeypatch.chdir(tree)
    found = find_inputs([".", "a2.csv", str(tree / "a2.csv"), "sub/../a2.csv", "-", "-"])
    assert [item.name for item in found].count("a2.csv") == 1
    assert [item.name for item in found].count("-") == 1
    assert {item.name: item.explicit for item in found}["a2.csv"] is True
    assert len(found) == 6
    assert {item.name: item.again for item in found} == {
        **{item.name: () for item in found},
        "a2.csv": ("a2.csv", str(tree / "a2.csv"), "sub/../a2.csv"),
        "-": ("-",),
    }


def test_one_spelling_of_each_folder(tree, monkeypatch):
    monkeypatch.chdir(tree)
    names = ["-", "sub/c.csv", str(tree / "sub" / "c.xml"), "a2.csv", "sub/../a2.xml", "no/x.csv"]
    assert one_spelling(names) == ["-", "sub/c.csv", "sub/c.xml", "a2.csv", "a2.xml", "no/x.csv"]


def test_a_file_called_like_a_pattern(tmp_path):
    path = tmp_path / "cell[1].csv"
    path.write_text("x")
    assert find_inputs([str(path)])[0].explicit


def test_explanations_are_not_read_as_tracks(tree):
    ours = ("a2.reasons", "x"), ("a2.relevance", "x"), ("mine", "reasons.json")
    for folder, sidecar in (*ours, ("maps", "explain.json")):
        (tree / folder).mkdir()
        (tree / folder / "checks.json").write_text("x")
        (tree / folder / "frames.csv").write_text("x")
        (tree / folder / sidecar).write_text("x")
    plain = ["a2.csv", "a10.csv", "b.xml", "movie.tif", "sub/c.csv"]
    assert names(find_inputs([str(tree)]), tree) == plain
    everything = sorted(str(path) for path in tree.iterdir())  # as a shell writes for *
    found = names(find_inputs([name for name in everything if "verdicts" not in name]), tree)
    assert set(plain) <= set(found)
    own = ("a2.reasons/", "a2.relevance/", "mine/", "maps/")
    assert not [name for name in found if name.startswith(own)]
    assert set(plain) <= set(names(find_inputs([str(tree / "*")]), tree))
    assert not names(find_inputs([str(tree / "[am]*")]), tree)[3:]
    assert "mine/frames.csv" not in names(find_inputs([str(tree / "**" / "*.csv")]), tree)
    with pytest.raises(SptError, match="own results"):
        find_inputs([str(tree / "mine")])
    assert len(find_inputs([str(tree / "mine" / "frames.csv")])) == 1  # named: wanted


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_that_form_a_loop(tree):
    (tree / "sub" / "up").symlink_to(tree, target_is_directory=True)
    assert names(find_inputs([str(tree)]), tree).count("a2.csv") == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing/*.csv", "matches no file"),
        ("a2.cvs", "Did you mean"),
        ("nowhere/x.csv", "no folder"),
        ("zzz", "was not found"),
        ("bad\0name", "was not found"),
    ],
)
def test_what_is_not_there(tree, monkeypatch, name, words):
    monkeypatch.chdir(tree)
    with pytest.raises(SptError, match=words):
        find_inputs([name])


def test_empty_folder(tmp_path):
    (tmp_path / "x.verdicts.csv").write_text("x")
    with pytest.raises(SptError, match="without files to read"):
        find_inputs([str(tmp_path)])
