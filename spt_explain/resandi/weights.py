"""Sets of weights: the shipped ones by name, their cards, their hashes; loaded without pickle."""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError
from spt_explain.resandi.architecture import Architecture
from spt_explain.resources import shipped

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

MANIFEST = "manifest.json"


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
    """

    name: str
    folder: Path
    files: dict[str, str]
    card: dict[str, Any]

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
        for name, expected in self.files.items():
            path = self.folder / name
            if not path.is_file():
                raise SptError(
                    f"weights {self.name}: {path} is missing. Install spt-explain again.",
                    exit_code=1,
                )
            found = file_sha256(path)
            if found != expected:
                raise SptError(
                    f"weights {self.name}: {path} has SHA-256 {found[:12]}…, expected "
                    f"{expected[:12]}…: the file is damaged or was changed. "
                    "Install spt-explain again.",
                    exit_code=1,
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
        ) from error
    return manifest


def list_weights() -> list[str]:
    """Return the names of the shipped weights, the default first."""
    manifest = read_manifest(shipped("weights"))
    names = sorted(manifest["weights"])
    names.sort(key=lambda name: name != manifest["default"])
    return names


def find_weights(name: str | None = None) -> Weights:
    """Return a set of weights by name; the default one if no name is given.

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
        known = sorted(manifest["weights"])
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise SptError(f"no weights are called {name!r}; there are: {', '.join(known)}.{hint}")
    card_path = folder / entry["card"]
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SptError(
            f"the card {card_path} is missing or damaged. Install spt-explain again.", exit_code=1
        ) from error
    return Weights(name, folder, dict(entry["files"]), card)
