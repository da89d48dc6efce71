"""Several files that belong together: all of them appear whole, or none does."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@contextmanager
def appear_together(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Give temporary names to write to; when all is written, they get their real names.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        The files to make, in folders that exist.

    Yields
    ------
    list of pathlib.Path
        Where to write them; these are gone after an error or an interruption.

    Raises
    ------
    SptError
        If the disk is full or a folder can't be written to.
    """
    parts = [path.with_name(f".{path.name}.{secrets.token_hex(4)}.part") for path in paths]
    try:
        yield parts
        for part, path in zip(parts, paths, strict=True):
            part.replace(path)
    except OSError as error:
        named = ", ".join(str(path) for path in paths)
        raise SptError(
            f"{named} could not be written ({error.strerror or error}). Check the disk's space and "
            f"the folder's permissions, or choose another with {option('output')}.",
            exit_code=1,
            code="unwritable",
            option="output",
        ) from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
