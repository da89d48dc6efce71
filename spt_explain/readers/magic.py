"""Files that are no tracks as text, told from their first bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spt_explain.errors import NotTracksError

if TYPE_CHECKING:
    from spt_explain.readers.inputs import Input


class StackError(NotTracksError):
    """The file is a microscopy stack (TIFF, ND2, CZI): `spt_explain.movies` can track it."""


_STACKS = {
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
    **dict.fromkeys((b"\xda\xce\xbe\x0a", b"\0\0\0\x0cjP  "), "Nikon ND2"),
    b"ZISRAWFILE": "Zeiss CZI",
}
_MOVIE = "Save the movie as TIFF (ImageJ: File, Save As, Tiff), or give its tracks."
_AS_CSV = "Save the table as CSV."
_UNPACK = "Unpack it first; of packed files, only .gz is read."
_STATEMENTS = (
    (b"\x70\0\0\0", "a Leica LIF movie", _MOVIE),
    (b"\x89PNG", "a PNG image", _MOVIE),
    (b"\xff\xd8\xff", "a JPEG image", _MOVIE),
    (b"GIF8", "a GIF image", _MOVIE),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM movie", _MOVIE),
    (b"SIMPLE  =", "a FITS image", _MOVIE),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Imaris, Picasso, MATLAB 7.3 and others use it)", _AS_CSV),
    (b"MATLAB ", "a MATLAB file", "In MATLAB, save the tracks as CSV: writetable or writematrix."),
    (b"\x93NUMPY", "a NumPy array", "In Python, save it as CSV: numpy.savetxt or pandas' to_csv."),
    (b"SQLite format 3\0", "an SQLite database (Mastodon and others use it)", _AS_CSV),
    (b"PAR1", "a Parquet table", "Save it as CSV: pandas.read_parquet(NAME).to_csv(…)."),
    (b"ARROW1", "an Arrow or Feather table", _AS_CSV),
    (b"%PDF", "a PDF document", "Give the tracks themselves, as CSV or XML."),
    (b"{\\rtf", "a formatted document (RTF)", "Save it as plain text or CSV."),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Office file", "In Excel, save it as CSV (UTF-8)."),
    (b"BZh", "packed with bzip2", _UNPACK),
    (b"\xfd7zXZ\0", "packed with xz", _UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x1f\x8b", "packed with gzip twice", "Unpack it once."),
)


def refuse_known_binary(source: Input) -> None:
    """Refuse files whose first bytes say that they are no text.

    Raises
    ------
    StackError
        For a TIFF, ND2 or CZI file.
    NotTracksError
        For other movies, images, archives, databases and documents; says which and what to do.
    """
    head = source.head
    stack = next((kind for magic, kind in _STACKS.items() if head.startswith(magic)), None)
    if stack is not None:
        raise StackError(
            f"{source.label} is a microscopy stack ({stack}), not a table of tracks. "
            "Track it first."
        )
    found = next(
        ((what, mend) for magic, what, mend in _STATEMENTS if head.startswith(magic)), None
    )
    if head[:4] == b"RIFF":
        found = ("an AVI movie" if head[8:11] == b"AVI" else "a media file (RIFF)", _MOVIE)
    elif head[4:8] == b"ftyp":
        found = ("an MP4 or QuickTime movie", _MOVIE)
    elif head[:4] == b"PK\x03\x04":
        found = _zip(head)
    elif head[:2] == b"\x80\x04" or head[:2] == b"\x80\x05":
        found = (
            "a Python pickle, which is never opened here because it can run programs",
            "In Python, save the table as CSV: table.to_csv(…).",
        )
    if found is not None:
        raise NotTracksError(
            f"{source.label} is {found[0]}; expected tracks as text (CSV, TSV, XML).\n{found[1]}"
        )


def refuse_other_text(source: Input) -> None:
    """Refuse web pages, JSON and XML that no reader took.

    Raises
    ------
    NotTracksError
        Says what was found and which export works.
    """
    from spt_explain.readers.text import decode, find_encoding
    from spt_explain.readers.wording import quoted

    encoding = find_encoding(source.head)
    if encoding is None:
        return
    text = decode(source.head, encoding).lstrip("\ufeff \t\r\n")
    start = text[:2000].lower()
    if start.startswith(("<!doctype html", "<html")) or re.search(r"^\s*<html[\s>]", start, re.M):
        raise NotTracksError(
            f"{source.label} is a web page (HTML), saved by mistake for the file behind it; "
            "expected tracks as CSV or XML.\nDownload the file itself (its raw or download link)."
        )
    if text.startswith("<"):
        root = re.search(r"<([A-Za-z_][\w.:-]*)", text)
        name = (
            f"its first element is <{quoted(root.group(1))[1:-1]}>"
            if root
            else "without an element"
        )
        raise NotTracksError(
            f"{source.label} is XML of another kind ({name}); expected TrackMate's tracks "
            '(<Tracks> or <TrackMate>).\nIn TrackMate: "Export tracks to XML file", or save.'
        )
    if re.match(r"[\[{]\s*[\"\[{\]}\d-]", text):
        raise NotTracksError(
            f"{source.label} is JSON; expected tracks as CSV, TSV or XML.\n{_AS_CSV}"
        )


def _zip(head: bytes) -> tuple[str, str]:
    if b"xl/" in head or b"[Content_Types].xml" in head:
        return "an Excel workbook (.xlsx)", "In Excel, save the sheet as CSV (UTF-8)."
    if b".npy" in head[:200]:
        return "a NumPy archive (.npz)", "In Python, save the array as CSV: numpy.savetxt."
    if b"mimetypeapplication/vnd.oasis" in head:
        return "an OpenDocument file", "Save the sheet as CSV."
    if b".class" in head or b"META-INF/" in head[:200]:
        return "a Java archive", "Give the tracks themselves, as CSV or XML."
    return "a ZIP archive", _UNPACK
