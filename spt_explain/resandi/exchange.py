"""Weights as one file that can be sent: exported to a zip, and taken in again with every check."""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from spt_explain.core.files import atomic_file
from spt_explain.errors import SptError, option
from spt_explain.resandi.check import check_card
from spt_explain.resandi.manifest import (
    CARD,
    MANIFEST,
    MAX_JSON_BYTES,
    Manifest,
    dump_json,
    is_file_name,
    is_name,
    parse_json,
    read_limited,
)
from spt_explain.resandi.store import finish, install_files, refuse, staging
from spt_explain.resandi.weights import file_sha256, find_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spt_explain.resandi.weights import Weights

MAX_BYTES = 1024**3
"""Largest set that is taken in: the published network is 19 MiB as stored, 75 MiB in float32."""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say: the same set gives the same file
_CHUNK = 1 << 20
_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})")
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
)


def export_weights(
    name: str | None = None, output: str | Path | None = None, *, overwrite: bool = False
) -> Path:
    """Write a set of weights to one zip file: manifest, card and safetensors.

    The same weights always give the same bytes.

    Parameters
    ----------
    name : str, optional
        Which; the shipped default if not given.
    output : str or pathlib.Path, optional
        The file, or a folder for ``NAME.zip``; ``NAME.zip`` in the current folder by default.
    overwrite : bool
        Replace the file if it exists.

    Returns
    -------
    pathlib.Path
        The file, which appears whole or not at all.

    Raises
    ------
    SptError
        If the weights are unknown or damaged, or the file exists or can't be written.
    """
    weights = find_weights(name)
    path = _target(weights.name, output, overwrite)
    weights.verify()
    card = dump_json({**weights.card, "name": weights.name}, f"the card of {weights.name}")
    manifest = Manifest(weights.name, hashlib.sha256(card).hexdigest(), weights.files)
    with (
        atomic_file(path, option="output") as part,
        zipfile.ZipFile(part, "x", zipfile.ZIP_STORED) as archive,
    ):
        for member, data in ((MANIFEST, manifest.to_bytes()), (CARD, card)):
            archive.writestr(_info(member), data)
        for file in weights.files:
            info = _info(file)
            info.file_size = (weights.folder / file).stat().st_size
            with (weights.folder / file).open("rb") as source, archive.open(info, "w") as out:
                shutil.copyfileobj(source, out, _CHUNK)
    return path


def import_weights(
    source: str | Path,
    *,
    name: str | None = None,
    overwrite: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Weights:
    """Take in weights from elsewhere.

    Nothing in them is run: only JSON and safetensors are read, every SHA-256 of the manifest is
    checked, and the tensors must be those of the network on the card.

    Parameters
    ----------
    source : str or pathlib.Path
        A zip from `export_weights`; that zip's content in a folder; or, without hashes, safetensors
        beside a JSON card of the same name (one of them, or a folder with nothing else like it).
    name : str, optional
        Name for them here; that on their card by default.
    overwrite : bool
        Replace own weights of that name.
    max_bytes : int
        Largest set that is taken in.

    Returns
    -------
    Weights

    Raises
    ------
    SptError
        If it is something else, incomplete, changed or too large, the name can't be taken, or the
        disk is full or read-only; then nothing has changed.
    """
    path = Path(source)
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
    except FileNotFoundError as error:
        raise SptError(
            f"{path} is not there. Expected a file from spt-explain weights export.",
            code="not-found",
        ) from error
    except (OSError, ValueError) as error:
        said = (error.strerror if isinstance(error, OSError) else None) or error
        raise SptError(f"{path} can't be read ({said}).", code="unreadable") from error
    if stat.S_ISDIR(mode):
        if (path / MANIFEST).is_file():
            return _import_folder(path, name, overwrite, max_bytes)
        return _import_loose(*_loose_in_folder(path), name, overwrite, max_bytes)
    if not stat.S_ISREG(mode):
        raise SptError(
            f"{path} is not a file. Expected one from spt-explain weights export.",
            code="wrong-kind",
        )
    if path.suffix.lower() in (".safetensors", ".json"):
        if path.name == MANIFEST:
            return import_weights(path.parent, name=name, overwrite=overwrite, max_bytes=max_bytes)
        return _import_loose(*_loose(path), name, overwrite, max_bytes)
    return _import_zip(path, name, overwrite, max_bytes)


def _target(name: str, output: str | Path | None, overwrite: bool) -> Path:
    path = Path(f"{name}.zip") if output is None else Path(output)
    try:
        if path.is_dir() or str(output or "").endswith(("/", "\\")):
            path = path / f"{name}.zip"
        if path.is_dir():
            raise SptError(
                f"{path} is a folder; expected a file name. Change {option('output')}.",
                code="wrong-kind",
                option="output",
            )
        if not path.parent.is_dir():
            raise SptError(
                f"the folder {path.parent} is not there. Create it, or give another one with "
                f"{option('output')}.",
                code="not-found",
                option="output",
            )
        if path.exists() and not overwrite:
            raise SptError(
                f"{path} exists and is not written over. Give {option('overwrite', True)}, or "
                f"another name with {option('output')}.",
                code="exists",
                option="overwrite",
            )
    except OSError as error:
        raise SptError(
            f"{path} can't be written ({error.strerror or error}). Give another one with "
            f"{option('output')}.",
            code="unwritable",
            option="output",
        ) from error
    return path


def _info(member: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(member, _EPOCH)
    info.create_system = 3  # Unix, also where it is written on Windows
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _import_zip(path: Path, name: str | None, overwrite: bool, max_bytes: int) -> Weights:
    try:
        archive = zipfile.ZipFile(path)
    except _UNREADABLE as error:
        with path.open("rb") as start:
            begins = start.read(4)
        if begins == b"PK\x03\x04":
            raise SptError(
                f"{path} is an incomplete or damaged zip file. Copy it again.", code="unreadable"
            ) from error
        raise SptError(
            f"{path} is not a zip file. Expected one from spt-explain weights export, or a "
            ".safetensors file with a card (.json) beside it.",
            code="unreadable",
        ) from error
    with archive:
        members = _members(archive, path, max_bytes)
        manifest = Manifest.from_bytes(
            _read(archive, members[MANIFEST], path), f"{path}: {MANIFEST}"
        )
        wanted = {MANIFEST, CARD, *manifest.files}
        for said, odd in (
            ("lacks", sorted(wanted - set(members))),
            ("also holds, against its manifest,", sorted(set(members) - wanted)),
        ):
            if odd:
                raise SptError(f"{path} {said} {', '.join(odd[:3])}. Ask for it to be sent again.")
        data = _read(archive, members[CARD], path)
        _check_hash(CARD, hashlib.sha256(data).hexdigest(), manifest.card_sha256, path)
        card = parse_json(data, f"{path}: {CARD}")
        check_card(card, f"{path}: {CARD}")
        name = name or manifest.name
        refuse(name, overwrite=overwrite)
        with staging() as stage:
            for file, sha256 in manifest.files.items():
                with (stage / file).open("xb") as out:
                    found = _extract(archive, members[file], out, path)
                _check_hash(file, found, sha256, path)
            return finish(
                stage, name, list(manifest.files), card, overwrite=overwrite, source=str(path)
            )


def _members(archive: zipfile.ZipFile, path: Path, max_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name once none of them can do harm."""
    members: dict[str, zipfile.ZipInfo] = {}
    infos = archive.infolist()
    if any(info.filename.endswith("data.pkl") for info in infos):
        raise SptError(
            f"{path} is a checkpoint of PyTorch, which is a program as much as data (pickle) and "
            "is never loaded. Expected a file from spt-explain weights export, or safetensors.",
            code="wrong-kind",
        )
    if MANIFEST not in {info.filename for info in infos}:
        raise SptError(
            f"{path} does not come from spt-explain weights export: it has no {MANIFEST}. "
            "If it was unpacked and packed again, unpack it and import the folder.",
            code="wrong-kind",
        )
    total = 0
    for info in infos:
        # `orig_filename` is what the file says, before zipfile cuts it at a NUL or turns slashes
        member = info.orig_filename
        if member not in (MANIFEST, CARD) and not is_file_name(member):
            raise SptError(
                f"{path} holds {member!r:.80}; expected {MANIFEST}, {CARD} and .safetensors "
                "files, without folders. Nothing was unpacked.",
                code="wrong-kind",
            )
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise SptError(
                f"{path}: {member} is a link or no plain file. Nothing was unpacked.",
                code="wrong-kind",
            )
        if info.flag_bits & 0x1:
            raise SptError(f"{path} is encrypted. Expected it without a password.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise SptError(f"{path} is compressed in an unusual way. Expected stored or deflated.")
        if member.casefold() in {known.casefold() for known in members}:
            raise SptError(f"{path} holds {member} twice. Nothing was unpacked.", code="wrong-kind")
        if member in (MANIFEST, CARD) and info.file_size > MAX_JSON_BYTES:
            raise SptError(f"{path}: {member} is larger than {MAX_JSON_BYTES >> 20} MiB.")
        total += info.file_size
        if total > max_bytes:
            raise _too_large(path, max_bytes)
        members[member] = info
    if CARD not in members:
        raise SptError(f"{path} lacks {CARD}. Ask for it to be sent again.", code="not-found")
    return members


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    import io

    out = io.BytesIO()
    _extract(archive, info, out, path)
    return out.getvalue()


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, out: IO[bytes], path: Path) -> str:
    """Copy a member, no more than the size it states, and return its SHA-256."""
    digest = hashlib.sha256()
    left = info.file_size
    try:
        member = archive.open(info)
    except _UNREADABLE as error:
        raise _damaged(path, info) from error
    with member:
        while True:
            try:
                chunk = member.read(min(_CHUNK, left + 1))
            except _UNREADABLE as error:
                raise _damaged(path, info) from error
            if not chunk:
                break
            left -= len(chunk)
            if left < 0:
                raise _damaged(path, info)
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest()


def _import_folder(path: Path, name: str | None, overwrite: bool, max_bytes: int) -> Weights:
    try:
        manifest = Manifest.from_bytes(read_limited(path / MANIFEST), str(path / MANIFEST))
        data = read_limited(path / CARD)
    except OSError as error:
        raise SptError(
            f"{error.filename or path} can't be read ({error.strerror or error}).",
            code="unreadable",
        ) from error
    _check_hash(CARD, hashlib.sha256(data).hexdigest(), manifest.card_sha256, path)
    card = parse_json(data, str(path / CARD))
    check_card(card, str(path / CARD))
    name = name or manifest.name
    refuse(name, overwrite=overwrite)
    files = [path / file for file in manifest.files]
    _check_sizes(files, path, max_bytes)
    with staging() as stage:
        for file, sha256 in manifest.files.items():
            shutil.copyfile(path / file, stage / file)
            _check_hash(file, file_sha256(stage / file), sha256, path)
        return finish(
            stage, name, list(manifest.files), card, overwrite=overwrite, source=str(path)
        )


def _loose(path: Path) -> tuple[Path, list[Path]]:
    """Return the card and the safetensors that belong to one of them."""
    stem = path.stem
    shard = _SHARD.fullmatch(stem)
    if shard and path.suffix.lower() == ".safetensors":
        stem = shard["stem"]
    card = path.with_name(f"{stem}.json")
    if not card.is_file():
        card = path.with_name(CARD)
    files = sorted(
        file
        for file in path.parent.glob("*.safetensors")
        if file.stem == stem
        or ((parts := _SHARD.fullmatch(file.stem)) is not None and parts["stem"] == stem)
    )
    if not card.is_file():
        raise SptError(
            f"{path} has no card beside it: expected {stem}.json, which says what network it is."
        )
    if not files:
        raise SptError(
            f"{path} has no weights beside it: expected {stem}.safetensors, or "
            f"{stem}-00001-of-00002.safetensors and so on.",
            code="not-found",
        )
    return card, files


def _loose_in_folder(path: Path) -> tuple[Path, list[Path]]:
    try:
        cards = sorted(path.glob("*.json"))
        files = sorted(path.glob("*.safetensors"))
    except OSError as error:
        raise SptError(
            f"the folder {path} can't be read ({error.strerror or error}).", code="unreadable"
        ) from error
    if not files or not cards:
        what = "safetensors" if cards else "card (.json)" if files else "weights"
        raise SptError(
            f"the folder {path} holds no {what}. Expected the files of spt-explain weights export, "
            "or safetensors and their card (.json).",
            code="no-data",
        )
    if len(cards) > 1:
        names = ", ".join(card.name for card in cards[:4])
        raise SptError(
            f"the folder {path} holds several .json files ({names}). Name the one that is "
            "the card.",
            code="wrong-kind",
        )
    return cards[0], files


def _import_loose(
    card_path: Path, files: Sequence[Path], name: str | None, overwrite: bool, max_bytes: int
) -> Weights:
    try:
        data = read_limited(card_path)
    except OSError as error:
        raise SptError(
            f"{card_path} can't be read ({error.strerror or error}).", code="unreadable"
        ) from error
    card: Any = parse_json(data, str(card_path))
    check_card(card, str(card_path))
    stated = card.get("name")
    if name is None:
        name = stated if isinstance(stated, str) and is_name(stated) else card_path.stem
    _check_sizes(files, card_path.parent, max_bytes)
    return install_files(name, files, card, overwrite=overwrite)


def _check_sizes(files: Sequence[Path], path: Path, max_bytes: int) -> None:
    for file in files:
        if not file.is_file():
            raise SptError(
                f"{path} lacks {file.name}, or it is not a plain file.", code="not-found"
            )
    if sum(file.stat().st_size for file in files) > max_bytes:
        raise _too_large(path, max_bytes)


def _check_hash(member: str, found: str, expected: str, path: Path) -> None:
    if found != expected:
        raise SptError(
            f"{path}: {member} has SHA-256 {found[:12]}…, its manifest says {expected[:12]}…: it "
            "is damaged or was changed. Ask for it to be sent again.",
            code="unreadable",
        )


def _damaged(path: Path, info: zipfile.ZipInfo) -> SptError:
    return SptError(f"{path}: {info.filename} is damaged. Copy the file again.", code="unreadable")


def _too_large(path: Path, max_bytes: int) -> SptError:
    return SptError(
        f"{path} holds more than {max_bytes / 2**20:,.0f} MiB, more than is taken in. "
        "In Python, spt_explain.resandi.exchange.import_weights has max_bytes.",
        code="wrong-kind",
    )
