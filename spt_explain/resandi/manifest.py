"""What a set of weights is called and consists of: a card and files, each with its SHA-256."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifest.json"
CARD = "card.json"
FORMAT = "spt-explain weights 1"
MAX_JSON_BYTES = 4 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.safetensors")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# names that Windows gives to devices, whatever follows a dot
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{kind}{digit}" for kind in ("COM", "LPT") for digit in range(10)
}


def is_name(name: str) -> bool:
    """Whether a text can name a set of weights, and so a folder on every system."""
    return (
        _NAME.fullmatch(name) is not None
        and not name.endswith(".")
        and name.split(".")[0].upper() not in _DEVICES
    )


def check_name(name: str) -> str:
    """Return `name` if it can name a set of weights.

    Raises
    ------
    SptError
        If it can't.
    """
    if not is_name(name):
        raise SptError(
            f"{name!r} can't name weights: expected up to 64 letters (a-z), digits, '-', '_' and "
            "'.', a letter or digit first, no '.' last, and none of Windows' own names (con, aux…)."
        )
    return name


def is_file_name(name: str) -> bool:
    """Whether a text is a bare ``….safetensors`` name, without any way out of its folder."""
    return _FILE.fullmatch(name) is not None and name.split(".")[0].upper() not in _DEVICES


@dataclass(frozen=True)
class Manifest:
    """The list of what belongs to one set of weights.

    Attributes
    ----------
    name : str
        Name of the set.
    card_sha256 : str
        SHA-256 of ``card.json``.
    files : dict of str to str
        Names of the safetensors files, in order, and the SHA-256 of each.
    """

    name: str
    card_sha256: str
    files: dict[str, str]

    def to_bytes(self) -> bytes:
        """Return the manifest as it is written."""
        return dump_json(
            {
                "format": FORMAT,
                "name": self.name,
                "card": {"file": CARD, "sha256": self.card_sha256},
                "files": self.files,
            },
            MANIFEST,
        )

    @classmethod
    def from_bytes(cls, data: bytes, source: str) -> Manifest:
        """Return what `to_bytes` wrote.

        Parameters
        ----------
        data : bytes
            Content of ``manifest.json``.
        source : str
            What to call it in errors.

        Raises
        ------
        SptError
            If it is something else, of a later version, or names files outside its folder.
        """
        values = parse_json(data, source)
        stated = values.get("format") if isinstance(values, dict) else None
        if stated != FORMAT:
            if isinstance(stated, str) and stated.startswith(FORMAT.rstrip("0123456789")):
                raise SptError(
                    f"{source} says {stated[:40]!r}; this version reads {FORMAT!r}. "
                    "Update spt-explain."
                )
            if isinstance(values, dict) and isinstance(values.get("weights"), dict):
                raise SptError(
                    f"{source} lists several sets of weights, as spt-explain's own folder does. "
                    "Name the card of one of them (NAME.json) instead."
                )
            raise SptError(f"{source} does not list weights: expected its format to be {FORMAT!r}.")
        name, card, files = (values.get(key) for key in ("name", "card", "files"))
        if not isinstance(name, str) or not is_name(name):
            raise SptError(f"{source} has no usable name for the weights ({name!r:.60}).")
        if not isinstance(card, dict) or card.get("file") != CARD or not _is_hash(card):
            raise SptError(f"{source} does not give the SHA-256 of {CARD}.", code="unreadable")
        if not isinstance(files, dict) or not files:
            raise SptError(f"{source} lists no files of weights.", code="no-data")
        for file, sha256 in files.items():
            if not is_file_name(file):
                raise SptError(f"{source} lists {file!r:.80}; expected bare .safetensors names.")
            if not _is_hash({"sha256": sha256}):
                raise SptError(f"{source} does not give the SHA-256 of {file}.", code="unreadable")
        if len({file.casefold() for file in files}) < len(files):
            raise SptError(f"{source} lists files that differ in upper and lower case only.")
        return cls(name, card["sha256"], files)


def parse_json(data: bytes, source: str) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    SptError
        If it is not JSON in UTF-8, or holds NaN or infinity.
    """
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise SptError(
            f"{source} is not readable as JSON ({type(error).__name__}): it is damaged, or "
            "something else.",
            code="unreadable",
        ) from error


def dump_json(value: Any, source: str) -> bytes:
    """Return a value as indented JSON in UTF-8; numpy's values become plain ones.

    Raises
    ------
    SptError
        If something in it has no place in JSON (NaN, infinity, other objects).
    """
    try:
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=_plain)
        return (text + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SptError(f"{source} can't be written as JSON: {error}.", code="unreadable") from error


def read_limited(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """Return a small file's bytes.

    Raises
    ------
    OSError
        If it can't be read.
    SptError
        If it is larger than `limit` bytes.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise SptError(f"{path} is larger than {limit >> 20} MiB, too large for a card or list.")
    return data


def _is_hash(entry: dict[str, Any]) -> bool:
    value = entry.get("sha256")
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number in JSON")


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy and torch
        return value.tolist()
    if hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} has no place in it")
