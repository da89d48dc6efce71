import os

import pytest

from spt_explain.errors import SptError
from spt_explain.report.folders import refuse_folder, whole_folder


def _write_and_fail(part, error):
    (part / "a.csv").write_text("new")
    raise error


def ours(name):
    return name == "a.csv"


def test_a_folder_appears_with_all_its_files(tmp_path):
    target = tmp_path / "out"
    with whole_folder(target) as part:
        (part / "a.csv").write_text("1")
        assert not target.exists()
    assert (target / "a.csv").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_a_failure_the_old_one_is_as_it_was(tmp_path, error):
    target = tmp_path / "out"
    for there in (False, True):
        if there:
            target.mkdir()
            (target / "a.csv").write_text("old")
        with pytest.raises(error), whole_folder(target) as part:
            _write_and_fail(part, error)
        assert target.exists() == there
        assert len(list(tmp_path.iterdir())) == there
    assert (target / "a.csv").read_text() == "old"


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "a.csv").write_text("old")
    with whole_folder(target) as part:
        (part / "b.csv").write_text("new")
    assert [path.name for path in target.iterdir()] == ["b.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_interruption_between_the_renames_brings_the_old_one_back(tmp_path, monkeypatch):
    target = tmp_path / "out"
    target.mkdir()
    (target / "a.csv").write_text("old")
    rename = type(target).rename

    def interrupted(path, to):
        if path.name.endswith(".part"):
            raise KeyboardInterrupt
        return rename(path, to)

    monkeypatch.setattr(type(target), "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), whole_folder(target) as part:
        (part / "a.csv").write_text("new")
    assert (target / "a.csv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_is_told(tmp_path):
    with pytest.raises(SptError, match="No space left") as error, whole_folder(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    assert error.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_refused_without_overwrite(tmp_path):
    target = tmp_path / "out"
    refuse_folder(target, overwrite=False, ours=ours)
    target.mkdir()
    refuse_folder(target, overwrite=False, ours=ours)  # empty: nothing to lose
    (target / "a.csv").write_text("1")
    with pytest.raises(SptError, match="overwrite=True"):
        refuse_folder(target, overwrite=False, ours=ours)
    refuse_folder(target, overwrite=True, ours=ours)


def test_other_peoples_files_are_never_lost(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "thesis.tex").write_text("1")
    for overwrite in (False, True):  # nobody is told to overwrite what can't be
        with pytest.raises(SptError, match=r"thesis\.tex"):
            refuse_folder(target, overwrite=overwrite, ours=ours)
    (target / "thesis.tex").rename(target / "a.csv")
    with pytest.raises(SptError, match="the input"):
        refuse_folder(target, [target / "a.csv"], overwrite=True, ours=ours)


def test_places_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("1")
    with pytest.raises(SptError, match="is a file"):
        refuse_folder(tmp_path / "file", overwrite=True, ours=ours)
    with pytest.raises(SptError, match="not there"):
        refuse_folder(tmp_path / "no" / "out", overwrite=True, ours=ours)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(SptError, match="as a whole"):
        refuse_folder(tmp_path / "link", overwrite=True, ours=ours)
    if hasattr(os, "geteuid") and os.geteuid():
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(SptError, match="can't be written"):
            refuse_folder(closed / "out", overwrite=False, ours=ours)
