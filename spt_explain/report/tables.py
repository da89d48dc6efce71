"""Tables on disk: CSV, Parquet or JSON, and how they were made; whole or not at all."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from spt_explain.core.files import atomic_files
from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from typing import TypeAlias

    import pandas as pd

    Provenance: TypeAlias = dict[str, Any] | Callable[[], dict[str, Any]]

FORMATS = ("csv", "parquet", "json")
_DIGITS = 7
"""Significant digits in text: diffusion coefficients may be far below 1."""


def format_of(path: str | Path, default: str = "csv") -> str:
    """Return the table format a path's ending asks for, or `default`."""
    suffix = Path(path).suffix.lower().lstrip(".")
    return suffix if suffix in FORMATS else default


def verdicts_path(source: str, fmt: str, *, folder: Path | None = None, full: bool = False) -> Path:
    """Return where the verdicts on `source` go: ``tracks.csv`` → ``tracks.verdicts.csv``.

    Parameters
    ----------
    source : str
        The input file.
    fmt : str
        One of `FORMATS`, the new ending.
    folder : pathlib.Path, optional
        Put it there instead of beside the input.
    full : bool
        Keep the input's ending in the name (``tracks.xml.verdicts.csv``), for inputs that differ
        in nothing else.
    """
    path = Path(source)
    stem = path.name
    if not full:
        stem = path.name.removesuffix(".gz")
        stem = stem[: -len(Path(stem).suffix)] if Path(stem).suffix else stem
    return (folder or path.parent) / f"{stem}.verdicts.{fmt}"


def sidecar_path(table: Path) -> Path:
    """Return where a table's provenance goes: ``tracks.verdicts.csv`` → ``tracks.verdicts.json``.

    A JSON table holds its own provenance and has no sidecar.
    """
    return table.with_suffix(".json")


def refuse_to_overwrite(
    paths: Iterable[Path], inputs: Iterable[Path], *, overwrite: bool, field: str = "output"
) -> None:
    """Check, before any work, that nothing of the user's would be lost.

    Parameters
    ----------
    paths, inputs : iterable of pathlib.Path
        What is written, and what is read.
    overwrite : bool
        Whether files that exist are replaced.
    field : str
        The option that names the outputs, for the messages.

    Raises
    ------
    SptError
        If an output is one of the inputs, exists and `overwrite` is false, is a folder, or lies in
        a folder that is not there.
    """
    sources = {path.resolve() for path in inputs}
    for path in paths:
        if path.resolve() in sources:
            raise SptError(
                f"the output {path} is one of the inputs, and inputs are never written over. Give "
                f"another name with {option(field)}."
            )
        if path.is_dir():
            raise SptError(
                f"the output {path} is a folder; expected a file name. Change {option(field)}.",
                code="wrong-kind",
            )
        if not path.parent.is_dir():
            raise SptError(
                f"the folder {path.parent} for the output is not there. Create it, or give another "
                f"one with {option(field)}.",
                code="not-found",
            )
        if not os.access(path.parent, os.W_OK):
            raise SptError(
                f"the folder {path.parent} can't be written to. Give another one with "
                f"{option(field)}.",
                code="unwritable",
            )
        if path.exists() and not overwrite:
            raise SptError(
                f"{path} exists and is not written over. Give {option('overwrite', True)}, or "
                f"another name with {option(field)}.",
                code="exists",
                option="overwrite",
            )


def write_table(
    table: pd.DataFrame,
    path: Path,
    provenance: Provenance,
    *,
    exact: Collection[str] = (),
    jobs: int | None = None,
) -> list[Path]:
    """Write a table and its sidecar; both appear whole, or neither does.

    Parameters
    ----------
    table : pandas.DataFrame
        What to write. Numbers get seven significant digits in CSV.
    path : pathlib.Path
        Where; the ending decides the format (see `format_of`).
    provenance : dict, or callable that returns one
        How it was made; for CSV and Parquet it goes to `sidecar_path`, JSON holds it. It is called
        once the table is written, so that it can tell how long that took; for JSON, before.
    exact : collection of str
        Columns whose numbers keep all their digits.
    jobs : int, optional
        Threads; one for each core by default.

    Returns
    -------
    list of pathlib.Path
        The files written.

    Raises
    ------
    SptError
        If the disk is full or the folder can't be written to.
    """
    fmt = format_of(path)
    places = [path] if fmt == "json" else [path, sidecar_path(path)]
    with atomic_files(places, option="output") as parts:
        with parts[0].open("wb") as stream:  # pyarrow takes no names that are not UTF-8
            if fmt == "parquet":
                table.to_parquet(stream, index=False)
            else:
                stream.writelines(_pieces(table, fmt, provenance, exact, jobs))
        for part in parts[1:]:
            said = provenance() if callable(provenance) else provenance
            text = json.dumps(said, indent=2, ensure_ascii=False, default=str) + "\n"
            part.write_bytes(text.encode())
    return places


def encode(
    table: pd.DataFrame,
    fmt: str,
    provenance: dict[str, Any],
    *,
    exact: Collection[str] = (),
    jobs: int | None = None,
) -> bytes:
    """Return a table as the bytes of a CSV, Parquet or JSON file; see `write_table`."""
    if fmt == "parquet":
        stream = io.BytesIO()
        table.to_parquet(stream, index=False)
        return stream.getvalue()
    return b"".join(_pieces(table, fmt, provenance, exact, jobs))


def _pieces(
    table: pd.DataFrame,
    fmt: str,
    provenance: Provenance,
    exact: Collection[str],
    jobs: int | None,
) -> Iterator[bytes]:
    """Yield the text of a table, some rows at a time."""
    from spt_explain.report.table_text import csv_pieces, json_pieces

    if fmt == "csv":
        return csv_pieces(table, _DIGITS, exact=exact, jobs=jobs)
    return json_pieces(table, provenance() if callable(provenance) else provenance)


def write_stdout(data: bytes, stream: BinaryIO) -> None:
    """Write to a standard stream; a reader that has gone away ends the run quietly."""
    try:
        stream.write(data)
        stream.flush()
    except BrokenPipeError:
        os.close(stream.fileno())
