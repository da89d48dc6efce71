"""Models as files: parameters in safetensors, all else in a JSON card that has their hash."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from spt_explain.core.files import atomic_file, report_unwritable
from spt_explain.errors import SptError
from spt_explain.recipe_file import first_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

_MOST_BYTES = 16 * 2**20
"""Of a card."""
_COUNTS = ".num_batches_tracked"
"""Of batch normalisation, which does without."""


class StrictCard(BaseModel):
    """Part of a card: no unknown keys, no infinite numbers."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class FilesCard(StrictCard):
    """A card that names its files with their SHA-256; there is one."""

    files: dict[str, str]


CardT = TypeVar("CardT", bound=FilesCard)


@dataclass(frozen=True)
class CardKind(Generic[CardT]):
    """One kind of model on disk.

    Attributes
    ----------
    card : type
        What its card holds.
    name : str
        Name of the card's file.
    stem : str
        What the names of its parameters' files begin with.
    what : str
        What it is called: model, generator.
    absent : callable
        Returns what is said where there is none, from the card's path.
    """

    card: type[CardT]
    name: str
    stem: str
    what: str
    absent: Callable[[Path], str]

    def write(
        self,
        folder: Path,
        networks: Mapping[str, nn.Module],
        card: Mapping[str, Any],
        *,
        overwrite: bool,
        hint: str,
    ) -> Path:
        """Write networks and card into a folder and return the card's path.

        The parameters' file is named by its hash and the card is put in place last, so that the
        folder holds the old model or the new one, whole, at any time.

        Parameters
        ----------
        folder : pathlib.Path
        networks : mapping of str to torch.nn.Module
            By the name of their part.
        card : mapping
            All but ``files``.
        overwrite : bool
            Whether to replace what is there.
        hint : str
            What to do if there is one already and it is not to be replaced.

        Raises
        ------
        SptError
            If there is one already, or the folder can't be written.
        """
        from safetensors.torch import save as to_bytes

        path = folder / self.name
        if path.exists() and not overwrite:
            raise SptError(f"{folder} holds a {self.what} already. {hint}", code="exists")
        data = to_bytes(
            {
                f"{part}.{name}": value.detach().cpu().contiguous()
                for part, network in networks.items()
                for name, value in network.state_dict().items()
                if not name.endswith(_COUNTS)
            }
        )
        digest = hashlib.sha256(data).hexdigest()
        file = f"{self.stem}-{digest[:12]}.safetensors"
        checked = self.card.model_validate({**card, "files": {file: digest}})
        with report_unwritable(f"the {self.what} in {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            _put(folder / file, data)
            text = json.dumps(
                checked.model_dump(mode="json"), indent=1, allow_nan=False, ensure_ascii=False
            )
            _put(path, text.encode("utf-8", "backslashreplace"))
            for old in folder.glob(f"{self.stem}-*.safetensors"):
                if old.name != file:
                    old.unlink(missing_ok=True)
        return path

    def read(self, folder: Path) -> tuple[CardT, dict[str, dict[str, Tensor]], Path]:
        """Return card, parameters by the name of their part, and the path of the latter's file.

        Parameters
        ----------
        folder : pathlib.Path
            The folder, or the card in it.

        Raises
        ------
        SptError
            If there is none, or it is damaged or was changed.
        """
        path = folder / self.name if folder.is_dir() or not folder.suffix else folder
        card = self._card(path)
        if len(card.files) != 1:
            raise self.damaged(path, "it names another number of files than one")
        ((file, expected),) = card.files.items()
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise self.damaged(path, f"it names {file!r}")
        weights = path.parent / file
        try:
            data = weights.read_bytes()
        except OSError as error:
            raise self.damaged(weights, error.strerror or str(error)) from error
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            raise self.damaged(weights, f"it has SHA-256 {found[:12]}…, expected {expected[:12]}…")
        return card, self._parts(data, weights), weights

    def fill(
        self,
        networks: Mapping[str, nn.Module],
        parts: Mapping[str, Mapping[str, Tensor]],
        weights: Path,
    ) -> None:
        """Put parameters into networks, which may be on the device "meta" and have none yet.

        Raises
        ------
        SptError
            If they are of other networks.
        """
        if parts.keys() != networks.keys():
            raise self.damaged(weights, "it holds other networks")
        for name, network in networks.items():
            try:
                absent, other = network.load_state_dict(
                    dict(parts[name]), strict=False, assign=True
                )
            except (RuntimeError, ValueError, TypeError) as error:
                raise self.damaged(weights, _line(error)) from error
            if other or any(not key.endswith(_COUNTS) for key in absent):
                raise self.damaged(weights, f"its {name} is of another network")
            for module in network.modules():
                if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm3d):
                    module.num_batches_tracked = torch.zeros((), dtype=torch.long)

    def damaged(self, path: Path, said: str) -> SptError:
        """Return the error for a file that is not what was written."""
        return SptError(
            f"the {self.what} {path} is damaged or was changed: {said}. Fit it again, or copy it "
            "again.",
            exit_code=1,
            code="unreadable",
        )

    def _card(self, path: Path) -> CardT:
        try:
            with path.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
        except FileNotFoundError as error:
            raise SptError(self.absent(path), code="not-found") from error
        except OSError as error:
            raise SptError(
                f"{path} can't be read ({error.strerror or error}).", code="unreadable"
            ) from error
        try:
            if len(data) > _MOST_BYTES:
                raise ValueError("it is too large for a card")
            return self.card.model_validate(json.loads(data.decode("utf-8-sig")))
        except ValidationError as error:
            raise self.damaged(path, first_fault(error)) from error
        except (ValueError, RecursionError) as error:
            raise self.damaged(path, f"it is not a card: {_line(error)}") from error

    def _parts(self, data: bytes, weights: Path) -> dict[str, dict[str, Tensor]]:
        from safetensors import SafetensorError
        from safetensors.torch import load as from_bytes

        parts: dict[str, dict[str, Tensor]] = {}
        try:
            for name, tensor in from_bytes(data).items():
                if tensor.dtype != torch.float32 or not math.isfinite(float(tensor.abs().sum())):
                    raise ValueError(f"{name} holds something else than finite float32 numbers")
                part, _, key = name.partition(".")
                parts.setdefault(part, {})[key] = tensor
        except (SafetensorError, ValueError, RuntimeError, TypeError) as error:
            raise self.damaged(weights, _line(error)) from error
        return parts


def _put(path: Path, data: bytes) -> None:
    with atomic_file(path, single_writer=True) as part:
        part.write_bytes(data)


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
