"""A folder of results: whether it may be written, and its document, tables and figures."""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING, Any

from spt_explain.core.files import atomic_folder
from spt_explain.errors import SptError, option
from spt_explain.report.style import house_style, save_figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure


def refuse_folder(
    folder: Path, inputs: Iterable[Path] = (), *, overwrite: bool, ours: Callable[[str], bool]
) -> None:
    """Check, before any work, that a folder can be made without losing anything of the user's.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of results.
    inputs : iterable of pathlib.Path
        Files that are read.
    overwrite : bool
        Whether a folder that exists is replaced.
    ours : callable
        Whether a file name is one of our results; a folder that holds anything else is not
        replaced.

    Raises
    ------
    SptError
        If it can't be made, holds files that are not ours, or exists and `overwrite` is false.
    """
    parent = folder.absolute().parent
    if folder.exists() and not folder.is_dir():
        raise SptError(
            f"the output {folder} is a file; expected a folder. Change {option('output')}.",
            code="wrong-kind",
            option="output",
        )
    if not parent.is_dir():
        raise SptError(
            f"the folder {parent} for the output is not there. Create it, or give another one with "
            f"{option('output')}.",
            code="not-found",
            option="output",
        )
    if not os.access(parent, os.W_OK):
        raise SptError(
            f"the folder {parent} can't be written to. Give another one with {option('output')}.",
            code="unwritable",
            option="output",
        )
    if not folder.is_dir():
        return
    content = sorted(path.name for path in folder.iterdir())
    resolved = folder.resolve()
    foreign = [name for name in content if not ours(name)]
    if foreign or any(resolved in path.resolve().parents for path in inputs):
        raise SptError(
            f"the folder {folder} holds other files ({foreign[0] if foreign else 'the input'}), "
            "which would be lost with it: expected a folder of results or a new name. Change "
            f"{option('output')}.",
            code="unwritable",
            option="output",
        )
    if content and not overwrite:
        raise SptError(
            f"{folder} exists and is not written over. Give {option('overwrite', True)}, or "
            f"another name with {option('output')}.",
            code="exists",
            option="overwrite",
        )
    if folder.is_symlink() or resolved == parent.resolve() or os.path.ismount(folder):
        raise SptError(
            f"{folder} can't be replaced as a whole. Give a new name with {option('output')}.",
            option="output",
        )


def write_results(
    folder: Path,
    name: str,
    document: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    figures: Callable[[], Mapping[str, Callable[[], Figure]]],
    *,
    formats: Sequence[str] = (),
    digits: str = "%.7g",
) -> list[Path]:
    """Write a JSON document, tables as CSV, and figures; the folder appears whole or not at all.

    Parameters
    ----------
    folder : pathlib.Path
        Where; replaced if it is there (see `refuse_folder`).
    name : str
        Of the document.
    document : mapping
        What came out, and how it was made.
    tables : mapping of str to pandas.DataFrame
        By name, without its ending.
    figures : callable
        Returns what can be drawn, by name; each is drawn when called.
    formats : sequence of str
        Formats of the figures, some of `FIGURE_FORMATS`; none for no figures.
    digits : str
        Format of the numbers in the tables.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    SptError
        If the disk is full or the place can't be written to.
    """
    with atomic_folder(folder, option="output") as part:
        for title, table in tables.items():
            buffer = io.StringIO()
            table.to_csv(buffer, index=False, float_format=digits, lineterminator="\n")
            (part / f"{title}.csv").write_bytes(buffer.getvalue().encode())
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"
        (part / name).write_bytes(text.encode())
        if formats:
            with house_style():
                for title, draw in figures().items():
                    save_figure(draw(), part, title, formats)
        names = sorted(path.name for path in part.iterdir())
    return [folder / one for one in names]
