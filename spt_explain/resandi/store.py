"""Weights in the user's data folder: installed and removed, whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.core.files import report_unwritable
from spt_explain.errors import SptError, option
from spt_explain.resandi.check import COUNTER, check_card, check_files, check_tensors
from spt_explain.resandi.manifest import (
    CARD,
    MANIFEST,
    Manifest,
    check_name,
    dump_json,
    is_file_name,
)
from spt_explain.resandi.weights import (
    DATA_VARIABLE,
    Weights,
    file_sha256,
    find_own,
    generations,
    own_folder,
    own_names,
    shipped_names,
    unknown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

_STAGE = ".stage-"
_TRASH = ".trash-"
_ATTEMPTS = 100
_ABANDONED_S = 24 * 3600
"""A stage older than this was left by a process that was killed."""


def install_weights(
    name: str,
    tensors: Mapping[str, NDArray[np.float32]],
    card: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> Weights:
    """Store a trained network under a name; from then on `find_weights` knows it.

    Parameters
    ----------
    name : str
        Its name; that of no shipped weights.
    tensors : dict of str to numpy.ndarray
        Parameters and running statistics by their torch names, float32; stored as
        `quantise.write_weights` does.
    card : dict
        What is known of it. It must have ``architecture`` (`Architecture.to_dict`). ``name`` is
        set; ``version`` ("1.0") and ``created`` (now, UTC) are added where they lack; all other
        keys are kept.
    overwrite : bool
        Replace own weights of that name.

    Returns
    -------
    Weights

    Raises
    ------
    SptError
        If the name can't be taken, the tensors don't fit the card, or the disk is full or
        read-only; then nothing has changed.
    """
    from spt_explain.resandi.quantise import write_weights

    refuse(name, overwrite=overwrite)
    card = {
        "name": name,
        "version": "1.0",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **card,
    }
    source = f"the new weights {name}"
    architecture = check_card(card, source)
    kept = {key: value for key, value in tensors.items() if not key.endswith(COUNTER)}
    check_tensors(kept, architecture, source)
    with staging() as stage:
        files = [path.name for path in write_weights(kept, stage, name)]
        return finish(stage, name, files, card, overwrite=overwrite, source=source)


def install_files(
    name: str, files: Sequence[str | Path], card: Mapping[str, Any], *, overwrite: bool = False
) -> Weights:
    """Store copies of safetensors files, with their card, under a name.

    Parameters
    ----------
    name : str
        Its name; that of no shipped weights.
    files : sequence of str or pathlib.Path
        Files that hold the network's tensors together, float or int8 with scales.
    card : dict
        What is known of it; it must have ``version`` and ``architecture``.
    overwrite : bool
        Replace own weights of that name.

    Returns
    -------
    Weights

    Raises
    ------
    SptError
        If the name can't be taken, a file can't be read, the tensors don't fit the card, or the
        disk is full or read-only; then nothing has changed.
    """
    refuse(name, overwrite=overwrite)
    paths = [Path(file) for file in files]
    if not paths:
        raise SptError(f"there are no files to store as weights {name}.", code="no-data")
    source = str(paths[0].parent if len(paths) > 1 else paths[0])
    if len({path.name.casefold() for path in paths}) < len(paths):
        raise SptError(
            f"{source}: two of the files for weights {name} have the same name.", code="conflict"
        )
    for path in paths:
        if not is_file_name(path.name):
            raise SptError(
                f"{path.name!r:.80} can't be stored: expected a name of letters (a-z), digits, "
                "'-', '_' and '.', ending in .safetensors."
            )
        if not path.is_file():
            raise SptError(f"{path} is not there, or is not a file.", code="not-found")
        try:
            path.open("rb").close()
        except OSError as error:
            raise SptError(
                f"{path} can't be read ({error.strerror or error}).", code="unreadable"
            ) from error
    check_card(dict(card), source)
    with staging() as stage:
        for path in paths:
            shutil.copyfile(path, stage / path.name)
        names = [path.name for path in paths]
        return finish(stage, name, names, card, overwrite=overwrite, source=source)


def remove_weights(name: str) -> None:
    """Delete one of the user's own sets of weights.

    Raises
    ------
    SptError
        If the name is unknown or that of shipped weights, or the folder can't be changed.
    """
    folder = check_removable(name)
    try:
        # the highest number counts, so it goes last: an older set never comes to light
        trash = [_discard(folder / str(number)) for number in generations(folder)]
    except OSError as error:
        raise SptError(
            f"weights {name} could not be removed from {folder} ({error.strerror or error}).",
            exit_code=1,
            code="unwritable",
        ) from error
    _tidy(folder, trash)


def check_removable(name: str) -> Path:
    """Return the folder of one of the user's own sets of weights.

    Raises
    ------
    SptError
        If the name is unknown or that of shipped weights.
    """
    if name not in own_names():
        if name in shipped_names():
            raise SptError(f"{name} is part of spt-explain and can't be removed.")
        raise unknown(name)
    return own_folder() / name


def refuse(name: str, *, overwrite: bool) -> None:
    """Check, before any work, that a name can be taken.

    Raises
    ------
    SptError
        If it can't name weights, is that of shipped ones, or is taken and `overwrite` is false.
    """
    check_name(name)
    if name.casefold() in {known.casefold() for known in shipped_names()}:
        raise SptError(
            f"{name} is the name of weights that are part of spt-explain. Give another one with "
            f"{option('name')}.",
            option="name",
        )
    for known in own_names():
        if known == name and not overwrite:
            raise _exists(name)
        if known != name and known.casefold() == name.casefold():
            raise SptError(
                f"there are weights called {known}, and some systems can't tell {name} from them. "
                f"Give another name with {option('name')}.",
                option="name",
            )


@contextmanager
def staging() -> Iterator[Path]:
    """Make a hidden folder beside the sets of weights, to fill and then `finish`.

    It is gone at the end, whatever happens; what it could not write is raised as `SptError`.
    """
    from safetensors import SafetensorError

    parent = own_folder()
    stage = parent / f"{_STAGE}{secrets.token_hex(6)}"
    with report_unwritable(
        f"the weights in {parent}",
        remedy=f"name another data folder in the environment variable {DATA_VARIABLE}",
        errors=(OSError, SafetensorError),
    ):
        try:
            parent.mkdir(parents=True, exist_ok=True)
            _sweep(parent)
            stage.mkdir()
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def finish(
    stage: Path,
    name: str,
    files: Sequence[str],
    card: Mapping[str, Any],
    *,
    overwrite: bool,
    source: str,
) -> Weights:
    """Check the files in a stage, write card and manifest, and make it the set called `name`.

    Parameters
    ----------
    stage : pathlib.Path
        A folder from `staging` that holds the files.
    name : str
        Name of the weights.
    files : sequence of str
        Names of the safetensors files, in order.
    card : dict
        The card; its ``name`` is set.
    overwrite : bool
        Replace own weights of that name.
    source : str
        Where the files come from, for errors.

    Returns
    -------
    Weights
        The set in its place.
    """
    card = {**card, "name": name}
    architecture = check_card(card, source)
    check_files([stage / file for file in files], architecture, source)
    (stage / CARD).write_bytes(dump_json(card, f"the card of {name}"))
    manifest = Manifest(
        name, file_sha256(stage / CARD), {file: file_sha256(stage / file) for file in files}
    )
    (stage / MANIFEST).write_bytes(manifest.to_bytes())
    for path in stage.iterdir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())
    _commit(stage, name, overwrite=overwrite)
    return find_own(name)


def _commit(stage: Path, name: str, *, overwrite: bool) -> None:
    folder = own_folder() / name
    try:
        _number(stage, folder, overwrite)
    except BaseException:
        with suppress(OSError):  # it goes if it is empty
            folder.rmdir()
        raise
    trash = []
    with suppress(OSError):
        # looked at again: a number freed meanwhile may have been taken, below what is newest now
        for number in generations(folder)[:-1]:
            with suppress(OSError):  # superseded, whether it goes or stays
                trash.append(_discard(folder / str(number)))
    _tidy(None, trash)


def _number(stage: Path, folder: Path, overwrite: bool) -> None:
    """Rename a stage to the next number in its folder."""
    for left in reversed(range(_ATTEMPTS)):
        numbers = generations(folder)
        if numbers and not overwrite:
            raise _exists(folder.name)
        try:
            folder.mkdir(exist_ok=True)
            # Unlike `core.files`: nothing is replaced, and another process may take the number.
            stage.rename(folder / str(max(numbers, default=0) + 1))
        except OSError as error:
            # another process took the number, or removed the set: look again
            if error.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY) or not left:
                raise
        else:
            return


def _discard(folder: Path) -> Path:
    """Rename a folder so that no one finds it any more; return where it went."""
    trash = own_folder() / f"{_TRASH}{secrets.token_hex(6)}"
    with suppress(FileNotFoundError):  # another process has just done so
        folder.rename(trash)
    return trash


def _tidy(folder: Path | None, trash: Sequence[Path]) -> None:
    if folder is not None:
        with suppress(OSError):  # what was put there meanwhile stays
            folder.rmdir()
    for path in trash:
        shutil.rmtree(path, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Delete what killed processes left behind."""
    for path in parent.iterdir():
        if path.name.startswith(_TRASH) or (path.name.startswith(_STAGE) and _abandoned(path)):
            shutil.rmtree(path, ignore_errors=True)


def _abandoned(stage: Path) -> bool:
    try:
        return time.time() - stage.stat().st_mtime > _ABANDONED_S
    except FileNotFoundError:
        return False  # its process has just finished


def _exists(name: str) -> SptError:
    return SptError(
        f"weights called {name} are there already. Give another name with {option('name')}, or "
        f"{option('overwrite', True)} to replace them.",
        code="exists",
        option="name",
    )
