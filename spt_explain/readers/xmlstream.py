"""Walking through large XML files one element at a time, whatever their state."""

from __future__ import annotations

import math
import re
import zlib
from array import array
from typing import IO, TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from spt_explain.errors import SptError
from spt_explain.readers.arrays import Words, as_typed, values_of
from spt_explain.readers.text import is_missing
from spt_explain.readers.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from spt_explain.readers.inputs import Input

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_ROOT = re.compile(rb"<([A-Za-z_][\w.:-]*)(?=[\s/>])")
# libxml2's numbers for bytes that don't fit the declared encoding and for unknown encodings.
_ENCODING_ERRORS = frozenset({9, 32, 81, 6003})
# Differences of two such numbers still fit into 64 bits.
_LARGEST = 2**62 - 1
# Never fails, keeps the Latin letters and µ of CP1252, and all of the numbers and tags.
_FALLBACK_ENCODING = "iso-8859-1"


class Handler(Protocol):
    """What takes the elements of a file as they end.

    Attributes
    ----------
    tags : tuple of str
        Names of the elements to take; all others are passed over.
    """

    tags: tuple[str, ...]

    def take(self, element: Any) -> None:
        """Read a complete element; it is emptied afterwards."""

    def progress(self) -> str:
        """Say how much was read so far, e.g. ``"12 tracks"``."""


class Texts:
    """A column of text that grows: its bytes one after the other, as little as they take.

    Rows without a value are missing.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])
        self._rows = array("q")

    def set(self, row: int, text: str) -> None:
        """Set the value of a row, which is later than those set before."""
        self._bytes += text.encode("utf-8", "replace")
        self._ends.append(len(self._bytes))
        self._rows.append(row)

    def column(self, rows: int) -> Any:
        """Return the column as numbers, where all its values are numbers, or else as text."""
        import numpy as np
        import pyarrow as pa

        ends = np.frombuffer(self._ends, dtype=np.int64)
        texts = pa.LargeStringArray.from_buffers(
            len(self._rows), pa.py_buffer(ends), pa.py_buffer(self._bytes)
        ).dictionary_encode()
        kept: dict[str, int] = {}
        words = [word.strip() for word in texts.dictionary.to_pylist()]
        codes = np.array(
            [-1 if is_missing(word) else kept.setdefault(word, len(kept)) for word in words] or [0],
            dtype=np.int64,
        )
        out = np.full(rows, -1, dtype=np.int64)
        out[np.frombuffer(self._rows, dtype=np.int64)] = codes[texts.indices.to_numpy()]
        return values_of(as_typed(Words(out, list(kept))))


HandlerT = TypeVar("HandlerT", bound=Handler)


def root_of(head: bytes) -> tuple[str, bytes] | None:
    """Return the name of the root element and all that follows its opening bracket.

    Parameters
    ----------
    head : bytes
        The first bytes of a file.

    Returns
    -------
    tuple of (str, bytes) or None
        None if these are not the first bytes of an XML file.
    """
    head = _as_utf8(head)
    start = _start(head)
    while True:
        if head.startswith(b"<?", start):
            end = head.find(b"?>", start) + 2
        elif head.startswith(b"<!--", start):
            end = head.find(b"-->", start) + 3
        elif head.startswith(b"<!DOCTYPE", start):
            inner = head.find(b"[", start)
            end = head.find(b">", start) + 1
            if 0 <= inner < end:
                end = head.find(b">", head.find(b"]", inner)) + 1
        else:
            break
        if end <= start:
            return None
        start = end + len(head[end:]) - len(head[end:].lstrip())
    found = _ROOT.match(head, start)
    return (found[1].decode(), head[found.end() :]) if found else None


def walk(source: Input, new_handler: Callable[[], HandlerT]) -> HandlerT:
    """Hand the elements of an XML file to a handler, in order, keeping none of them.

    A file whose bytes do not fit the encoding it declares (older TrackMate wrote in the platform's
    charset and declared UTF-8) is read again as Latin-1 with a new handler.

    Parameters
    ----------
    source : Input
        The file.
    new_handler : callable
        Makes a fresh handler.

    Returns
    -------
    Handler
        The handler that took the whole file.

    Raises
    ------
    SptError
        If the file is cut off or damaged, or defines entities (which no tracking program does).
    """
    head = _as_utf8(source.head)
    root = root_of(head)
    if b"<!DOCTYPE" in head[: len(head) - len(root[1] if root else b"")]:
        raise SptError(
            f"{source.label} has a document type definition (<!DOCTYPE>), which no tracking "
            "program writes: expected a plain XML file. Export it again."
        )
    handler = new_handler()
    if _run(source, handler, None):
        return handler
    handler = new_handler()
    _run(source, handler, _FALLBACK_ENCODING)
    return handler


def whole(text: str | None) -> int:
    """Return the whole number that `text` spells, also as ``"12.0"``.

    Raises
    ------
    ValueError
        If it is missing, no number, not whole, or beyond 64 bits.
    """
    if text is None:
        raise ValueError("missing")
    try:
        number = int(text)
    except ValueError:
        value = float(text)
        if not math.isfinite(value) or value != round(value):
            raise ValueError(f"{text} is not whole") from None
        number = round(value)
    if abs(number) > _LARGEST:
        raise ValueError(f"{text} is too large")
    return number


def number(text: str | None) -> float | None:
    """Return the number that `text` spells, or None where it spells none."""
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def bad_value(source: Input, element: Any, what: str, values: dict[str, str | None]) -> NoReturn:
    """Raise the error for an element whose attributes are not what they must be.

    Parameters
    ----------
    source : Input
        The file.
    element : lxml element
        Where the value stands.
    what : str
        The thing that has it, e.g. ``"a detection"``.
    values : dict of str to str or None
        Attributes by name, as they were found.

    Raises
    ------
    SptError
        Always.
    """
    shown = ", ".join(
        f"no {name}" if value is None else f"{name}={quoted(value)}"
        for name, value in values.items()
    )
    raise SptError(
        f"{source.label}, line {element.sourceline}: {what} has {shown}; expected numbers. "
        "Export the file again, or correct that line."
    )


def _as_utf8(head: bytes) -> bytes:
    return head.decode("utf-16", errors="ignore").encode() if head.startswith(_UTF16) else head


def _start(head: bytes) -> int:
    """Return where the first character that counts stands: after a BOM and blanks."""
    text = head.removeprefix(_BOM)
    return len(head) - len(text.lstrip())


def _run(source: Input, handler: Handler, encoding: str | None) -> bool:
    """Walk through the file; return False if its bytes do not fit its encoding."""
    from lxml import etree

    try:
        with source.open() as stream:
            if not source.head.startswith(_UTF16):
                stream.seek(_start(source.head))
            events = etree.iterparse(
                _Nameless(stream),
                events=("end",),
                tag=handler.tags,
                huge_tree=True,
                resolve_entities=False,
                load_dtd=False,
                no_network=True,
                recover=False,
                remove_comments=True,
                remove_pis=True,
                encoding=encoding,
            )
            for _, element in events:
                handler.take(element)
                _forget(element)
    except etree.XMLSyntaxError as error:
        if encoding is None and getattr(error, "code", 0) in _ENCODING_ERRORS:
            return False
        where = f"at line {error.lineno}" if error.lineno else "at its start"
        raise SptError(
            f"{source.label} is cut off or damaged {where} (read {handler.progress()} until "
            "there): expected a complete XML file. Export it again, or copy it again.",
            code="unreadable",
        ) from error
    except (EOFError, zlib.error, OSError) as error:
        raise SptError(
            f"{source.label} can't be read to its end ({error}; read {handler.progress()} until "
            "there): expected a complete file. Copy it again, or compress it again.",
            code="unreadable",
        ) from error
    return True


class _Nameless:
    """A stream that hides its file's name: lxml asks for it, and takes none that is not UTF-8."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.read = stream.read


def _forget(element: Any) -> None:
    """Empty an element and drop all that stands before it, so that memory stays flat."""
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while parent[0] is not element:
            del parent[0]
