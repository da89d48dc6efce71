"""Atomic writing: a file or a folder appears complete, or the former one stays as it was.

Everything is written under a temporary name in the target's own folder, so that the last step is a
rename within one file system. After an error or Ctrl-C the temporary files are deleted.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from spt_explain.errors import SptError
from spt_explain.errors import option as spelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class UnwritableError(SptError):
    """A file or folder could not be written; the cause is the error of the operating system."""


def unwritable(
    place: Path | str, error: Exception, *, option: str | None = None, remedy: str | None = None
) -> UnwritableError:
    """Return the error for a place that could not be written.

    Parameters
    ----------
    place : pathlib.Path or str
        What could not be written, for the message.
    error : Exception
        Why; of an `OSError` the system's words are used.
    option : str, optional
        The parameter that chooses another place.
    remedy : str, optional
        What to do beside checking space and permissions, instead of choosing another place.

    Returns
    -------
    UnwritableError
        With the code "unwritable" and the exit code 1.
    """
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    why = (why or type(error).__name__).splitlines()[0]
    if remedy is None:
        remedy = f"choose another with {spelled(option)}" if option else "choose another folder"
    return UnwritableError(
        f"{place} could not be written ({why}). Check the disk's space and the folder's "
        f"permissions, or {remedy}.",
        exit_code=1,
        code="unwritable",
        option=option,
    )


@contextmanager
def report_unwritable(
    place: Path | str,
    *,
    option: str | None = None,
    remedy: str | None = None,
    errors: tuple[type[Exception], ...] = (OSError,),
) -> Iterator[None]:
    """Turn an error of the operating system into one that names the place; see `unwritable`.

    Parameters
    ----------
    place, option, remedy
        As `unwritable`.
    errors : tuple of type, optional
        The exceptions that mean it: some libraries have one of their own.

    Raises
    ------
    UnwritableError
        Instead of any of `errors`.
    """
    try:
        yield
    except errors as error:
        raise unwritable(place, error, option=option, remedy=remedy) from error
    except UnwritableError as error:
        # It names a file in a temporary folder, which the user has never heard of.
        cause = error.__cause__
        if not isinstance(cause, Exception):
            raise
        raise unwritable(place, cause, option=option, remedy=remedy) from cause


@contextmanager
def atomic_file(
    path: Path,
    *,
    option: str | None = None,
    errors: tuple[type[Exception], ...] = (OSError,),
    single_writer: bool = False,
) -> Iterator[Path]:
    """Write one file atomically; see `atomic_files`.

    Yields
    ------
    pathlib.Path
        Where to write it.

    Examples
    --------
    >>> with atomic_file(path) as part:
    ...     part.write_bytes(data)
    """
    with atomic_files([path], option=option, errors=errors, single_writer=single_writer) as (part,):
        yield part


@contextmanager
def atomic_files(
    paths: Sequence[Path],
    *,
    option: str | None = None,
    errors: tuple[type[Exception], ...] = (OSError,),
    single_writer: bool = False,
) -> Iterator[list[Path]]:
    """Write files that belong together: all of them appear complete, or none does.

    Files of these names are replaced, links too (not what they point to): whether they may be is
    checked before.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        The files, in folders that exist.
    option : str, optional
        The parameter that chooses another place, for the message.
    errors : tuple of type, optional
        The exceptions that mean that a place can't be written to.
    single_writer : bool, optional
        Whether no other process writes the same file at the same time. Then the temporary name is
        always the same one, and what a killed process left there is written over.

    Yields
    ------
    list of pathlib.Path
        Where to write them, in the order of `paths`; all must be written and closed.

    Raises
    ------
    UnwritableError
        If the disk is full, a folder can't be written to, or a folder has the name of a file.
    """
    token = None if single_writer else secrets.token_hex(4)
    parts = [_temporary(path, token, "part") for path in paths]
    with report_unwritable(", ".join(map(str, paths)), option=option, errors=errors):
        try:
            yield parts
            _replace_files(parts, paths)
        finally:
            for part in parts:
                # An error here would hide the one that led here.
                with suppress(OSError):
                    part.unlink()


@contextmanager
def atomic_folder(folder: Path, *, option: str | None = None) -> Iterator[Path]:
    """Write a folder atomically, in place of a folder of that name.

    Whether a folder may be replaced is checked before.

    Parameters
    ----------
    folder : pathlib.Path
        The folder to make; the one above it must exist.
    option : str, optional
        The parameter that chooses another place, for the message.

    Yields
    ------
    pathlib.Path
        An empty folder, to be filled.

    Raises
    ------
    UnwritableError
        If the disk is full, the place can't be written to, or a file has that name.
    """
    place, folder = folder, folder.absolute()
    part = _temporary(folder, secrets.token_hex(4), "part")
    with report_unwritable(place, option=option):
        try:
            part.mkdir()
            yield part
            replace_folder(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def replace_folder(part: Path, folder: Path) -> None:
    """Rename a finished folder, in place of a folder of that name.

    Parameters
    ----------
    part : pathlib.Path
        The finished folder, on the same file system. It stays if renaming fails.
    folder : pathlib.Path
        Its name. What is there is deleted, or stays if renaming fails.

    Raises
    ------
    OSError
        If it can't be renamed.
    """
    former = _temporary(folder, secrets.token_hex(4), "old")
    try:
        # No system renames a folder over one that holds files: for a moment neither has the name.
        if folder.is_dir():
            folder.rename(former)
        part.rename(folder)
    finally:
        if os.path.lexists(former):
            if os.path.lexists(folder):
                _delete(former)
            else:
                _put_back(former, folder)


def _temporary(path: Path, token: str | None, ending: str) -> Path:
    """Return a hidden name in the same folder."""
    inner = "" if token is None else f"{token}."
    return path.with_name(f".{path.name}.{inner}{ending}")


def _replace_files(parts: Sequence[Path], paths: Sequence[Path]) -> None:
    """Rename files; those of these names stay if one of the renames fails."""
    for part, path in zip(parts, paths, strict=True):
        part.stat()  # from here on, a temporary file that is not there has been renamed
        if path.is_dir() and not path.is_symlink():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if len(paths) == 1:
        parts[0].replace(paths[0])
        return
    token = secrets.token_hex(4)
    formers = [_temporary(path, token, "old") for path in paths]
    try:
        for part, path, former in zip(parts, paths, formers, strict=True):
            if os.path.lexists(path):
                _keep(path, former)
            part.replace(path)
    except BaseException:
        for part, path, former in zip(parts, paths, formers, strict=True):
            if os.path.lexists(former):
                _put_back(former, path)
                _delete(former)  # two names of one file: renaming one to the other does nothing
            elif not os.path.lexists(part):
                path.unlink(missing_ok=True)
        raise
    for former in formers:
        _delete(former)


def _keep(path: Path, former: Path) -> None:
    """Give a file a second name, or only that one where the file system has no hard links."""
    if not path.is_symlink():  # systems differ in what a hard link to a link is
        with suppress(OSError, NotImplementedError):
            former.hardlink_to(path)
            return
    path.replace(former)


def _put_back(former: Path, path: Path) -> None:
    try:
        former.replace(path)
    except OSError as error:
        raise OSError(
            error.errno, f"{error.strerror or error}; what was there before is now {former}"
        ) from error


def _delete(former: Path) -> None:
    if former.is_dir() and not former.is_symlink():
        shutil.rmtree(former, ignore_errors=True)
    else:
        with suppress(OSError):
            former.unlink()
