import ast
import errno
import os
import stat
from pathlib import Path

import pytest

import spt_explain
from spt_explain.core.files import (
    UnwritableError,
    atomic_file,
    atomic_files,
    atomic_folder,
    replace_folder,
    report_unwritable,
    unwritable,
)
from spt_explain.errors import SptError

FULL = OSError(errno.ENOSPC, "No space left on device")
needs_permissions = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)


def write_file(path, text="new", error=None):
    with atomic_file(path, option="output") as part:
        part.write_text(text[:1])
        if error is not None:
            raise error
        part.write_text(text)


def write_pair(paths, error=None):
    with atomic_files(paths) as parts:
        for part in parts:
            part.write_text("new")
        if error is not None:
            raise error


def write_folder(path, error=None):
    with atomic_folder(path, option="output") as part:
        (part / "inner").mkdir()
        (part / "inner" / "a").write_text("new")
        if error is not None:
            raise error


def contents(folder):
    """Return what is in a folder, hidden files too, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fail_to_rename(monkeypatch, error, *, to):
    """Let renaming to one name fail, for temporary files only."""
    for name in ("rename", "replace"):
        plain = getattr(Path, name)

        def renamed(self, target, plain=plain):
            if Path(target).name == to and self.name.endswith(".part"):
                raise error
            return plain(self, target)

        monkeypatch.setattr(Path, name, renamed)


def test_only_this_module_renames():
    """Elsewhere it would be done in another way; sets of weights are numbered, never replaced."""
    package, found = Path(spt_explain.__file__).parent, set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(ast.Attribute(_, "replace" | "rename"), [arg], []):
                    renames = not isinstance(arg, ast.Constant)  # a column, of pandas
                case ast.Call(ast.Attribute(ast.Name("os" | "shutil"), name)):
                    renames = name in {"rename", "renames", "replace", "move"}
                case ast.Attribute(ast.Name("tempfile"), name):
                    renames = name != "TemporaryFile"  # has no name to give
                case _:
                    renames = False
            if renames:
                found.add(path.relative_to(package).as_posix())
    assert found == {"core/files.py", "resandi/store.py"}


# ---- what is written


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with atomic_file(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.parent == tmp_path  # renaming works within a file system only
    assert contents(tmp_path) == {"a.csv": "new"}


def test_files_appear_together(tmp_path):
    paths = [tmp_path / "a.csv", tmp_path / "b.tif"]
    paths[0].write_text("old")
    with atomic_files(paths) as parts:
        for part in parts:
            part.write_text("new")
        assert contents(tmp_path)["a.csv"] == "old"
        assert not paths[1].exists()
    assert contents(tmp_path) == {"a.csv": "new", "b.tif": "new"}


def test_a_folder_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "out"
    with atomic_folder(target) as part:
        (part / "a").write_text("1")
        assert not target.exists()
    assert contents(tmp_path) == {"out/a": "1"}


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "b").write_text("old")
    write_folder(target)
    assert contents(tmp_path) == {"out/inner/a": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_relative_folder_stays_where_it_was_begun(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with atomic_folder(Path("out")) as part:
        (part / "a").write_text("1")
        os.chdir("elsewhere")
    assert contents(tmp_path) == {"out/a": "1"}


def test_two_processes_do_not_share_a_temporary_file_unless_there_is_one_writer(tmp_path):
    path = tmp_path / "a"
    with atomic_file(path) as first, atomic_file(path) as second:
        first.write_text("1")
        second.write_text("2")
        assert first != second
    assert contents(tmp_path) == {"a": "1"}
    (tmp_path / ".a.part").write_text("left by a killed process")
    with atomic_file(path, single_writer=True) as part:
        part.write_text("3")
    assert contents(tmp_path) == {"a": "3"}


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_are_those_of_any_new_file(tmp_path):
    path, folder = tmp_path / "a", tmp_path / "out"
    before = os.umask(0o027)
    try:
        path.write_text("old")
        path.chmod(0o400)
        write_file(path)
        write_folder(folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_a_link_is_replaced_and_what_it_points_to_is_not(tmp_path):
    real, folder = tmp_path / "real", tmp_path / "folder"
    real.write_text("mine")
    folder.mkdir()
    (folder / "b").write_text("mine")
    links = [tmp_path / "link", tmp_path / "also"]
    for link, target in zip(links, (real, real), strict=True):
        link.symlink_to(target)
    write_file(links[0])
    write_pair(links)
    (tmp_path / "out").symlink_to(folder)
    write_folder(tmp_path / "out")
    assert not any(path.is_symlink() for path in tmp_path.iterdir())
    assert contents(tmp_path) == {
        "real": "mine", "folder/b": "mine", "link": "new", "also": "new", "out/inner/a": "new",
    }  # fmt: skip


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names are UTF-8")
def test_names_that_are_not_utf8(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    write_file(path)
    assert path.read_text() == "new"
    path.unlink()
    write_folder(path)
    assert [os.fsencode(each.name) for each in tmp_path.iterdir()] == [b"caf\xe9"]
    with pytest.raises(SptError, match=r"caf\\xe9 could not be written"):
        write_folder(path, FULL)


def test_one_file_is_replaced_in_one_step(tmp_path, monkeypatch):
    """Whatever ends the process, one of the two has the name."""
    path = tmp_path / "a"
    path.write_text("old")
    plain, steps = Path.replace, []

    def noted(self, to):
        steps.append((self.name.endswith(".part"), to))
        return plain(self, to)

    monkeypatch.setattr(Path, "replace", noted)
    monkeypatch.delattr(Path, "hardlink_to")
    write_file(path)
    assert steps == [(True, path)]


# ---- what goes wrong

ERRORS = [FULL, ValueError("other"), KeyboardInterrupt()]


def expected(error):
    return UnwritableError if isinstance(error, OSError) else type(error)


@pytest.mark.parametrize("step", ["write", "rename"])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("before", [False, True])
def test_a_file_that_fails_leaves_the_old_one(tmp_path, monkeypatch, step, error, before):
    path = tmp_path / "a.csv"
    if before:
        path.write_text("old")
    if step == "rename":
        fail_to_rename(monkeypatch, error, to="a.csv")
    with pytest.raises(expected(error)):
        write_file(path, error=error if step == "write" else None)
    assert contents(tmp_path) == ({"a.csv": "old"} if before else {})


@pytest.mark.parametrize("step", ["write", "a", "b", "c"])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("links", [True, False])
def test_of_several_files_none_is_replaced(tmp_path, monkeypatch, step, error, links):
    paths = [tmp_path / name for name in "abc"]
    old = {"a": "old", "c": "old"}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    if not links:

        def refuse(*_):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    if step != "write":
        fail_to_rename(monkeypatch, error, to=step)
    with pytest.raises(expected(error)):
        write_pair(paths, error if step == "write" else None)
    assert contents(tmp_path) == old
    monkeypatch.undo()
    write_pair(paths)
    assert contents(tmp_path) == dict.fromkeys("abc", "new")


def test_links_are_put_back_as_links(tmp_path, monkeypatch):
    (tmp_path / "real").write_text("mine")
    for name in "ab":
        (tmp_path / name).symlink_to("real")
    fail_to_rename(monkeypatch, FULL, to="b")
    with pytest.raises(UnwritableError):
        write_pair([tmp_path / name for name in "ab"])
    assert [str((tmp_path / name).readlink()) for name in "ab"] == ["real", "real"]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("step", ["write", "rename"])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("before", [False, True])
def test_a_folder_that_fails_leaves_the_old_one(tmp_path, monkeypatch, step, error, before):
    target = tmp_path / "out"
    if before:
        target.mkdir()
        (target / "b").write_text("old")
    if step == "rename":
        fail_to_rename(monkeypatch, error, to="out")
    with pytest.raises(expected(error)):
        write_folder(target, error if step == "write" else None)
    assert contents(tmp_path) == ({"out/b": "old"} if before else {})
    assert [path.name for path in tmp_path.iterdir()] == ["out"] * before


def test_an_interruption_right_after_the_last_rename_leaves_the_new_one(tmp_path, monkeypatch):
    target = tmp_path / "out"
    target.mkdir()
    (target / "b").write_text("old")
    plain = Path.rename

    def renamed(self, to):
        plain(self, to)
        if Path(to) == target:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", renamed)
    with pytest.raises(KeyboardInterrupt):
        write_folder(target)
    assert contents(tmp_path) == {"out/inner/a": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("write", [write_folder, lambda path: write_pair([path, Path(f"{path}2")])])
def test_what_can_not_be_put_back_is_not_lost(tmp_path, monkeypatch, write):
    target = tmp_path / "out"
    if write is write_folder:
        target.mkdir()
        (target / "b").write_text("old")
    else:
        target.write_text("old")
    moved = ("rename", "replace")

    def only_away(plain):
        def renamed(self, to):
            if Path(to).name == "out":
                raise OSError(errno.EIO, "Input/output error")
            return plain(self, to)

        return renamed

    for name in moved:
        monkeypatch.setattr(Path, name, only_away(getattr(Path, name)))
    with pytest.raises(UnwritableError, match=r"what was there before is now .*\.out\.\w+\.old"):
        write(target)
    assert "old" in contents(tmp_path).values()


def test_the_part_of_a_folder_stays_where_its_maker_keeps_it(tmp_path, monkeypatch):
    part, target = tmp_path / "begun.part", tmp_path / "out"
    for folder, text in ((part, "new"), (target, "old")):
        folder.mkdir()
        (folder / "a").write_text(text)
    fail_to_rename(monkeypatch, FULL, to="out")
    with pytest.raises(OSError, match="No space left"):
        replace_folder(part, target)
    assert contents(tmp_path) == {"begun.part/a": "new", "out/a": "old"}


def test_a_file_that_was_not_written_is_an_error(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("old")
    with pytest.raises(UnwritableError, match="No such file"), atomic_files(paths) as parts:
        parts[0].write_text("new")
    assert contents(tmp_path) == dict.fromkeys("abc", "old")


@pytest.mark.parametrize("others", [[], ["a.csv"]])
def test_a_folder_is_never_replaced_by_a_file(tmp_path, others):
    target = tmp_path / "out"
    target.mkdir()
    (target / "b").write_text("mine")
    paths = [*(tmp_path / name for name in others), target]
    with pytest.raises(UnwritableError, match="Is a directory"):
        write_pair(paths)
    assert contents(tmp_path) == {"out/b": "mine"}


def test_a_file_is_never_replaced_by_a_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UnwritableError):
        write_folder(tmp_path / "out")
    assert contents(tmp_path) == {"out": "mine"}


@pytest.mark.parametrize("write", [write_file, write_folder, lambda path: write_pair([path])])
@pytest.mark.parametrize("above", ["absent", "file"])
def test_a_place_that_is_not_there(tmp_path, write, above):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UnwritableError, match="out could not be written"):
        write(tmp_path / above / "out")
    assert contents(tmp_path) == {"file": "mine"}


@needs_permissions
@pytest.mark.parametrize("write", [write_file, write_folder])
@pytest.mark.parametrize("before", [False, True])
def test_a_folder_that_may_not_be_written_to(tmp_path, write, before):
    closed = tmp_path / "closed"
    closed.mkdir()
    target = closed / "out"
    if before:
        write(target)
    old = contents(tmp_path)
    closed.chmod(0o500)
    try:
        with pytest.raises(UnwritableError, match="Permission denied"):
            write(target)
    finally:
        closed.chmod(0o700)
    assert contents(tmp_path) == old


# ---- what is said of it


def test_the_message_names_place_reason_and_remedy():
    error = unwritable(Path("a/b.csv"), FULL, option="output")
    assert str(error) == (
        "a/b.csv could not be written (No space left on device). Check the disk's space and the "
        "folder's permissions, or choose another with output=."
    )
    assert (error.code, error.option, error.exit_code) == ("unwritable", "output", 1)
    assert "choose another folder." in str(unwritable("a", FULL))
    assert unwritable("a", FULL).option is None
    assert str(unwritable("a", FULL, remedy="wait")).endswith("or wait.")
    assert "(ValueError)" in str(unwritable("a", ValueError()))
    assert "(first)" in str(unwritable("a", ValueError("first\nsecond")))


def test_the_cause_is_kept_and_other_errors_pass(tmp_path):
    with pytest.raises(UnwritableError) as caught:
        write_file(tmp_path / "a", error=FULL)
    assert caught.value.__cause__ is FULL
    with pytest.raises(SptError) as caught:
        write_file(tmp_path / "a", error=SptError("another thing", code="no-data"))
    assert caught.value.code == "no-data"


def test_errors_of_a_library_count_where_they_are_named(tmp_path):
    def write(**named):
        with atomic_file(tmp_path / "a", **named):
            raise ZeroDivisionError("disk full")

    with pytest.raises(ZeroDivisionError):
        write()
    with pytest.raises(UnwritableError, match=r"\(disk full\)"):
        write(errors=(OSError, ZeroDivisionError))


def test_an_error_within_a_folder_names_the_folder(tmp_path):
    with (
        pytest.raises(UnwritableError) as caught,
        atomic_folder(tmp_path / "out", option="output") as part,
        atomic_file(part / "a"),
    ):
        raise FULL
    assert str(caught.value).startswith(f"{tmp_path / 'out'} could not be written (No space left")
    assert caught.value.option == "output"
    assert caught.value.__cause__ is FULL
    assert contents(tmp_path) == {}


def test_an_error_that_has_lost_its_cause_stays_as_it_is():
    alone = UnwritableError("no", code="unwritable")
    with pytest.raises(UnwritableError) as caught, report_unwritable("place"):
        raise alone
    assert caught.value is alone
