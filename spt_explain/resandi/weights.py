"""Sets of weights by name, shipped and one's own: cards, hashes; loaded without pickle."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError, command
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.check import check_card
from spt_explain.resandi.manifest import CARD, MANIFEST, Manifest, is_name, parse_json, read_limited
from spt_explain.resources import shipped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DATA_VARIABLE = "SPT_EXPLAIN_DATA"
"""Environment variable that names the folder for the user's data."""
_STATISTICS = (".scale", ".running_mean", ".running_var")


@dataclass(frozen=True)
class Weights:
    """One set of weights that is known to be whole once `load` or `verify` has returned.

    Attributes
    ----------
    name : str
        Its name, for ``--weights``.
    folder : pathlib.Path
        Where its files are.
    files : dict of str to str
        File names, in order, and the SHA-256 each must have.
    card : dict
        What is known of it: version, architecture, data, recipe, seed, accuracy.
    card_sha256 : str
        SHA-256 that the file of the card must have; empty for shipped weights, which have none.
    own : bool
        Whether it is in the user's data folder rather than part of spt-explain.
    """

    name: str
    folder: Path
    files: dict[str, str]
    card: dict[str, Any]
    card_sha256: str = ""
    own: bool = False

    @property
    def version(self) -> str:
        """Version of the weights."""
        return str(self.card["version"])

    @property
    def architecture(self) -> Architecture:
        """Shape of the network they belong to."""
        return Architecture.from_dict(self.card["architecture"])

    @property
    def sha256(self) -> str:
        """One hash for the set: SHA-256 over the files' hashes, in order."""
        return hashlib.sha256("".join(self.files.values()).encode()).hexdigest()

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the test protocol without noise, from the card; None if unknown."""
        value = self.card.get("accuracy", {}).get("by_noise", {}).get("0.0")
        return None if value is None else float(value)

    @property
    def size(self) -> int:
        """Bytes of the files, as far as they are there."""
        paths = [self.folder / name for name in self.files]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def describe(self) -> str:
        """Return name, version, hash and accuracy in one line."""
        text = f"{self.name} {self.version} (sha256 {self.sha256[:8]}…)"
        if self.accuracy is not None:
            text += f", {100 * self.accuracy:.1f} % on the test protocol"
        return text

    def verify(self) -> None:
        """Check every file against its SHA-256.

        Raises
        ------
        SptError
            If a file is missing or its hash differs.
        """
        expectations = dict(self.files)
        if self.card_sha256:
            expectations[CARD] = self.card_sha256
        for name, expected in expectations.items():
            path = self.folder / name
            if not path.is_file():
                raise SptError(
                    f"weights {self.name}: {path} is missing. {_remedy(self.own)}",
                    exit_code=1,
                    code="not-found",
                )
            try:
                found = file_sha256(path)
            except OSError as error:
                raise SptError(
                    f"weights {self.name}: {path} can't be read ({error.strerror or error}).",
                    exit_code=1,
                    code="unreadable",
                ) from error
            if found != expected:
                raise SptError(
                    f"weights {self.name}: {path} has SHA-256 {found[:12]}…, expected "
                    f"{expected[:12]}…: the file is damaged or was changed. {_remedy(self.own)}",
                    exit_code=1,
                    code="unreadable",
                )

    def load(self) -> dict[str, NDArray[np.float32]]:
        """Verify and return the parameters by their torch names, float32."""
        from safetensors.numpy import load_file

        from spt_explain.resandi.quantise import dequantise

        self.verify()
        tensors: dict[str, NDArray[np.generic]] = {}
        for name in self.files:
            tensors.update(load_file(self.folder / name))
        return dequantise(tensors)

    def count_parameters(self) -> int:
        """Return the number of trained values, from the files' headers.

        Raises
        ------
        SptError
            If a file is missing or damaged.
        """
        from math import prod

        from safetensors import SafetensorError, safe_open

        total = 0
        for name in self.files:
            try:
                with safe_open(self.folder / name, framework="np") as file:
                    total += sum(
                        prod(file.get_slice(key).get_shape())
                        for key in file.keys()  # noqa: SIM118 - not a dict
                        if not key.endswith(_STATISTICS)
                    )
            except (SafetensorError, OSError) as error:
                raise SptError(
                    f"weights {self.name}: {self.folder / name} can't be read ({error}). "
                    f"{_remedy(self.own)}",
                    exit_code=1,
                    code="unreadable",
                ) from error
        return total


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a weights folder's manifest: ``default`` and, for each name, ``card`` and ``files``.

    Raises
    ------
    SptError
        If it is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        manifest["default"], manifest["weights"]
    except (OSError, ValueError, KeyError) as error:
        raise SptError(
            f"{path} is missing or damaged ({type(error).__name__}). Install spt-explain again.",
            exit_code=1,
            code="unreadable",
        ) from error
    return manifest


def data_folder() -> Path:
    """Return the folder for the user's data: that of the system, or ``SPT_EXPLAIN_DATA``.

    Raises
    ------
    SptError
        If the variable begins with ``~`` and there is no such home.
    """
    given = os.environ.get(DATA_VARIABLE, "").strip()
    if given:
        try:
            return Path(given).expanduser().absolute()
        except RuntimeError as error:
            raise SptError(
                f"{DATA_VARIABLE} is {given!r}; there is no such home folder."
            ) from error
    import platformdirs

    return Path(platformdirs.user_data_dir("spt-explain", appauthor=False))


def own_folder() -> Path:
    """Return where the user's own weights are, whether it exists or not.

    Each set is ``NAME/NUMBER/`` with a manifest, a card and safetensors files. A folder gets its
    number by being renamed, which no system does by halves, so a set is there whole or not at all;
    the highest number counts, so that a set is replaced at one stroke too.
    """
    return data_folder() / "weights"


def generations(folder: Path) -> list[int]:
    """Return the numbers that the folder of one set holds, ascending; none if it is not there.

    Raises
    ------
    OSError
        If it can't be read.
    """
    try:
        entries = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(
        int(entry.name) for entry in entries if entry.name.isascii() and entry.name.isdecimal()
    )


def shipped_names() -> list[str]:
    """Return the names of the shipped weights, the default first."""
    manifest = read_manifest(shipped("weights"))
    names = sorted(manifest["weights"])
    names.sort(key=lambda name: name != manifest["default"])
    return names


def own_names() -> list[str]:
    """Return the names of the weights in the user's data folder.

    Raises
    ------
    SptError
        If the folder is there and can't be read.
    """
    folder = own_folder()
    try:
        entries = sorted(folder.iterdir())
        return [e.name for e in entries if is_name(e.name) and generations(e)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SptError(
            f"the folder of your own weights, {folder}, can't be read "
            f"({error.strerror or error}). Mend it, or name another data folder in the environment "
            f"variable {DATA_VARIABLE}.",
            exit_code=1,
            code="unreadable",
        ) from error


def list_weights() -> list[str]:
    """Return the names of all weights: the default, the other shipped ones, the user's own."""
    names = shipped_names()
    return names + [name for name in own_names() if name not in names]


def find_weights(name: str | None = None) -> Weights:
    """Return a set of weights by name; the default one if no name is given.

    A shipped set comes before one of the user's own with the same name.

    Raises
    ------
    SptError
        If there is none of that name, or its card is damaged.
    """
    folder = shipped("weights")
    manifest = read_manifest(folder)
    name = name or str(manifest["default"])
    entry = manifest["weights"].get(name)
    if entry is None:
        if name in own_names():
            return find_own(name)
        raise unknown(name)
    card_path = folder / entry["card"]
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SptError(
            f"the card {card_path} is missing or damaged. {_remedy(False)}",
            exit_code=1,
            code="unreadable",
        ) from error
    return Weights(name, folder, dict(entry["files"]), card)


def find_own(name: str) -> Weights:
    """Return a set of the user's own weights.

    Raises
    ------
    SptError
        If there is none of that name, or it is damaged.
    """
    if name not in own_names():
        raise unknown(name)
    folder = own_folder() / name
    numbers = generations(folder)
    while numbers:
        try:
            return _open_own(name, folder / str(numbers[-1]))
        except SptError:
            again = generations(folder)  # another process may have just replaced the set
            if again == numbers:
                raise
            numbers = again
    raise unknown(name)


def unknown(name: str) -> SptError:
    """Return the error for a name that no weights have."""
    known = list_weights()
    if name.lower().endswith((".zip", ".safetensors")):
        hint = f" If it is a file: {command('weights import', name)}"
    else:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
    return SptError(
        f"no weights are called {name!r}; there are: {', '.join(known)}.{hint}", code="not-found"
    )


def _open_own(name: str, folder: Path) -> Weights:
    path = folder / MANIFEST
    try:
        manifest = Manifest.from_bytes(read_limited(path), str(path))
        path = folder / CARD
        card = parse_json(read_limited(path), str(path))
        check_card(card, str(path))
    except (OSError, SptError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise SptError(
            f"weights {name}: {path} is missing or damaged ({said}). {_remedy(True)}",
            exit_code=1,
            code="unreadable",
        ) from error
    return Weights(name, folder, manifest.files, card, manifest.card_sha256, own=True)


def _remedy(own: bool) -> str:
    if own:
        return (
            f"Import them again ({command('weights import', 'FILE', overwrite=True)}), or train "
            "them again."
        )
    return "Install spt-explain again."
