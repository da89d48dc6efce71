"""Opening what a user names: a path, a gzip file, standard input; and a first look at its bytes."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from spt_explain.errors import SptError, printable

HEAD_BYTES = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class ReadOptions:
    """What a user may say about a file that its content does not.

    Attributes
    ----------
    columns : dict of str to str or None
        Roles (``particle``, ``frame``, ``x``, ``y``, ``z``, ``t``) to column names, from
        ``--columns``.
    pixel_size_um : float or None
        Size of a pixel in µm.
    frame_interval_s : float or None
        Time between frames in s.
    override_units : bool
        Whether the two above replace what the file says, rather than only fill in.
    all_tracks : bool
        TrackMate full XML: read every track, not only those the user's filters kept.
    keep_columns : bool
        Whether the table gets every other column of the file, too. They take time and memory:
        what needs none of them leaves them unread.
    """

    columns: dict[str, str] | None = None
    pixel_size_um: float | None = None
    frame_interval_s: float | None = None
    override_units: bool = False
    all_tracks: bool = False
    keep_columns: bool = True


@dataclass
class Input:
    """One thing to read, opened as often as needed, decompressed on the way.

    Attributes
    ----------
    name : str
        The name as the user gave it (``"-"`` for standard input), for people: what is no UTF-8 in
        it can be printed.
    path : pathlib.Path or None
        The file; None for standard input, whose bytes are held in memory.
    head : bytes
        The first 64 KiB after decompression.
    compressed : bool
        Whether the bytes come out of gzip.
    memory : dict
        What sniffers found out about this input, so that each looks once.
    """

    name: str
    path: Path | None
    head: bytes
    compressed: bool = False
    _data: bytes | None = field(default=None, repr=False)
    memory: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, name: str | Path) -> Input:
        """Open `name` and look at its first bytes.

        Raises
        ------
        SptError
            If there is no such file, it is a folder, can't be opened, is empty, or is a damaged
            gzip file.
        """
        name = str(name)
        if name == "-":
            this = cls._held("-", None, sys.stdin.buffer.read())
        else:
            path, name = Path(name), printable(name)
            try:
                if path.is_dir():
                    raise IsADirectoryError
                if path.is_fifo():  # <(command) in a shell: can be read only once
                    this = cls._held(name, path, path.read_bytes())
                else:
                    with path.open("rb") as raw:
                        compressed = raw.read(2) == _GZIP_MAGIC
                    this = cls(name, path, b"", compressed)
                    with this.open() as stream:
                        this.head = stream.read(HEAD_BYTES)
            except FileNotFoundError as error:
                raise SptError(
                    f"{name} was not found: expected a file or folder of tracks. "
                    "Check the spelling and the folder you are in."
                ) from error
            except IsADirectoryError as error:
                raise SptError(f"{name} is a folder; expected a file.") from error
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise damaged(name, error) from error
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                raise SptError(
                    f"{name} can't be opened ({why}): expected a readable file. "
                    "Check its permissions, or copy it to a local folder."
                ) from error
        if not this.head.strip():
            raise SptError(
                f"{this.label} is empty: expected tracks. Export it again, and check that the "
                "export had finished.",
                code="no-data",
            )
        return this

    @classmethod
    def _held(cls, name: str, path: Path | None, data: bytes) -> Input:
        """Return an input that can be read only once and is therefore held in memory."""
        compressed = data[:2] == _GZIP_MAGIC
        if compressed:
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error) as error:
                raise damaged("standard input" if name == "-" else name, error) from error
        return cls(name, path, data[:HEAD_BYTES], compressed, data)

    @property
    def label(self) -> str:
        """The name for messages."""
        return "standard input" if self.name == "-" else self.name

    @property
    def plain_path(self) -> Path | None:
        """The file, if its bytes can be read from disk as they are."""
        return None if self.compressed or self._data is not None else self.path

    @property
    def size(self) -> int | None:
        """Bytes on disk (compressed, if it is), or None for standard input."""
        return self.path.stat().st_size if self.path is not None else None

    def open(self) -> IO[bytes]:
        """Return a fresh binary stream of the decompressed content."""
        if self._data is not None:
            return io.BytesIO(self._data)
        assert self.path is not None
        if self.compressed:
            return cast("IO[bytes]", gzip.open(self.path, "rb"))
        return self.path.open("rb")


def damaged(name: str, error: Exception) -> SptError:
    """Return the error for a gzip file that can't be decompressed to its end."""
    return SptError(
        f"{name} is a damaged or truncated gzip file ({error}): expected a complete one. "
        "Copy or compress it again."
    )
