import os

import pytest

from spt_explain.errors import SptError
from spt_explain.report.folders import refuse_folder


def ours(name):
    return name == "a.csv"


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
