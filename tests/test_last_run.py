import json
from pathlib import Path

import pytest

from spt_explain.last_run import NAME, recall, remember
from spt_explain.resandi.weights import data_folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(folder))
    return folder


def test_no_test_writes_to_the_users_own_folder():
    import platformdirs

    users = Path(platformdirs.user_data_dir("spt-explain", appauthor=False))
    assert data_folder() != users
    assert users not in data_folder().parents


def test_nothing_was_classified_yet(home):
    assert recall() == ([], {})
    assert not home.exists()


def test_what_was_classified_is_known_from_any_folder(home, tmp_path, monkeypatch):
    (tmp_path / "ä b.csv").write_text("x")
    monkeypatch.chdir(tmp_path)
    remember(["ä b.csv", "-"], {"min_length": 12, "columns": ["x=X"], "weights": None})
    monkeypatch.chdir("/")
    inputs, settings = recall()
    assert inputs == [str(tmp_path / "ä b.csv")]
    assert settings == {"min_length": 12, "columns": ["x=X"], "weights": None}
    assert [path.name for path in home.iterdir()] == [NAME]


def test_the_last_one_counts_and_what_is_no_file_is_none(home, tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x")
        remember([str(tmp_path / name)], {})
    remember(["-"], {})
    remember([str(tmp_path), "gone.csv"], {})
    assert recall()[0] == [str(tmp_path / "b.csv")]


def test_a_file_that_is_gone_is_still_told(home, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x")
    remember([str(path)], {})
    path.unlink()
    assert recall()[0] == [str(path)]


def test_a_link_stays_a_link(home, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.csv").write_text("x")
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "deep" / "a.csv")
    remember([str(link)], {})
    assert recall()[0] == [str(link)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{[",
        b"[1]",
        b"null",
        b"\xff\xfe",
        b'{"inputs": "a.csv", "settings": {}}',
        b'{"inputs": [1], "settings": {}}',
        b'{"inputs": [], "settings": []}',
        b'{"inputs": []}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_note_is_none(home, content):
    home.mkdir()
    (home / NAME).write_bytes(content)
    assert recall() == ([], {})


@pytest.mark.parametrize("where", ["file", "~no-such-user-at-all/x"])
def test_where_nothing_can_be_noted_nothing_happens(tmp_path, monkeypatch, where):
    (tmp_path / "file").write_text("mine")
    path = tmp_path / "a.csv"
    path.write_text("x")
    place = str(tmp_path / where) if where == "file" else where
    monkeypatch.setenv("SPT_EXPLAIN_DATA", place)
    remember([str(path)], {})
    assert recall() == ([], {})
    assert (tmp_path / "file").read_text() == "mine"


def test_an_interruption_leaves_the_old_note_and_nothing_else(home, tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("x")
    remember([str(path)], {"min_length": 10})

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remember([str(path)], {"min_length": 20})
    assert json.loads((home / NAME).read_text())["settings"] == {"min_length": 10}
    assert [entry.name for entry in home.iterdir()] == [NAME]
