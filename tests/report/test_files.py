from pathlib import Path

import pytest

from spt_explain.errors import SptError
from spt_explain.report.files import appear_together


def test_files_get_their_names_when_all_are_written(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.tif"]
    paths[0].write_text("old")
    with appear_together(paths) as parts:
        for part in parts:
            part.write_text("new")
        assert paths[0].read_text() == "old"
        assert not paths[1].exists()
    assert [path.read_text() for path in paths] == ["new", "new"]
    assert len(list(tmp_path.iterdir())) == 2


def _fail(folder: Path, error: BaseException) -> None:
    with appear_together([folder / "a.csv", folder / "b.tif"]) as parts:
        parts[0].write_text("new")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_after_an_error_nothing_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        _fail(tmp_path, error())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(SptError, match=r"b\.tif could not be written \(No space left") as refused:
        _fail(tmp_path, OSError(28, "No space left on device"))
    assert refused.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []
