"""A relevance model of tracks as files: parameters in safetensors, all else in a JSON card."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spt_explain.errors import SptError
from spt_explain.version import __version__
from spt_explain.xddpm.signals import Signal
from spt_explain.xddpm.sufficiency import Curve
from spt_explain.xddpm.tracks.model import TrackFitted, TrackRelevanceModel
from spt_explain.xddpm.tracks.network import TrackMask, TrackRegressor, TrackShape
from spt_explain.xddpm.tracks.removal import Removal

if TYPE_CHECKING:
    from torch import nn

CARD = "track-relevance.json"
_MOST_BYTES = 16 * 2**20
"""Of a card."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _ShapeCard(_Strict):
    outputs: int = Field(ge=1, le=256)
    width: int = Field(ge=1, le=512)
    depth: int = Field(ge=1, le=9)
    mask: Literal["dilated", "unet1d"]
    mask_width: int = Field(ge=1, le=512)


class _RemovalCard(_Strict):
    removed: Literal["brownian", "rest"]
    noise: float = Field(gt=0)
    kind: Literal["gates", "soft"]


class _SignalCard(_Strict):
    names: tuple[str, ...] = Field(min_length=1, max_length=1)
    per: Literal["clip"]
    kind: Literal["number", "category"]
    categories: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class _CurveCard(_Strict):
    kept: tuple[float, ...] = Field(min_length=1)
    thresholds: tuple[float, ...]
    r2: tuple[float, ...]
    keep_r2: float
    chosen: int = Field(ge=0)

    @model_validator(mode="after")
    def _fits(self) -> _CurveCard:
        count = len(self.kept)
        if not len(self.thresholds) == len(self.r2) == count or self.chosen >= count:
            raise ValueError("its sufficiency curve is incomplete")
        return self


class _FittedCard(_Strict):
    r2: float
    shuffled_r2: float
    train_r2: float
    removed_r2: float
    accuracy: float | None
    tracks: int
    held_out: str
    regressor_steps: int
    seconds: float
    mean_mask: float
    curve: _CurveCard
    random_r2: tuple[float, ...]
    lengths: tuple[int, int]
    recipe: dict[str, Any]
    source: dict[str, Any]


class _Card(_Strict):
    format: Literal["spt-explain track relevance 1"] = "spt-explain track relevance 1"
    made_by: str
    name: str
    files: dict[str, str] = Field(min_length=1, max_length=1)
    shape: _ShapeCard
    removal: _RemovalCard
    signal: _SignalCard
    scale: Literal["track", "axis", "all"]
    spread: float = Field(ge=0)
    unit: str
    longest: int = Field(ge=16, le=4096)
    fitted: _FittedCard | None

    @model_validator(mode="after")
    def _fits(self) -> _Card:
        signal = self.signal
        if signal.kind == "category":
            whole = len(signal.categories) == self.shape.outputs >= 2
        else:
            whole = len(signal.mean) == len(signal.std) == self.shape.outputs == 1
            whole = whole and signal.std[0] > 0
        if not whole:
            raise ValueError("its signal is incomplete")
        if self.scale == "all" and not self.spread:
            raise ValueError("its scale is missing")
        return self


def save(model: TrackRelevanceModel, folder: Path, *, overwrite: bool = False) -> Path:
    """Write a model into a folder and return the card's path.

    The parameters' file is named by its hash and the card is put in place last, so that the folder
    holds the old model or the new one, whole, at any time.

    Raises
    ------
    SptError
        If there is a model already and it is not to be overwritten, or the folder can't be written.
    """
    from safetensors.torch import save as to_bytes

    path = folder / CARD
    if path.exists() and not overwrite:
        raise SptError(f"{folder} holds a model already. Add --overwrite, or name another folder.")
    data = to_bytes(
        {
            f"{part}.{name}": value.detach().cpu().contiguous()
            for part, network in (("regressor", model.regressor), ("mask", model.masker))
            for name, value in network.state_dict().items()
            if not name.endswith(".num_batches_tracked")
        }
    )
    digest = hashlib.sha256(data).hexdigest()
    file = f"track-relevance-{digest[:12]}.safetensors"
    fitted = None
    if model.fitted is not None:
        fitted = vars(model.fitted) | {"curve": model.fitted.curve.to_dict()}
        fitted["source"] = json.loads(json.dumps(fitted["source"], default=str))
    card = _Card(
        made_by=f"spt-explain {__version__}",
        name=model.name,
        files={file: digest},
        shape=_ShapeCard(**model.regressor.shape.to_dict()),
        removal=_RemovalCard(**vars(model.removal)),
        signal=_SignalCard.model_validate(model.signal.to_dict()),
        scale=model.scale,
        spread=model.spread,
        unit=model.unit,
        longest=model.longest,
        fitted=None if fitted is None else _FittedCard.model_validate(fitted),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _put(folder / file, data)
        text = json.dumps(card.model_dump(mode="json"), indent=1, ensure_ascii=False)
        _put(path, text.encode("utf-8", "backslashreplace"))
        for old in folder.glob("track-relevance-*.safetensors"):
            if old.name != file:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise SptError(
            f"the model can't be written to {folder} ({error.strerror or error}).", exit_code=1
        ) from error
    return path


def load(folder: Path, *, device: str = "cpu") -> TrackRelevanceModel:
    """Read a model, after checking its card and its hash.

    Raises
    ------
    SptError
        If there is none, or it is damaged or was changed.
    """
    path = folder / CARD if folder.is_dir() else folder
    card = _read_card(path)
    ((file, expected),) = card.files.items()
    if Path(file).name != file or not file.endswith(".safetensors"):
        raise _damaged(path, f"it names {file!r}")
    weights = path.parent / file
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise _damaged(weights, error.strerror or str(error)) from error
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise _damaged(weights, f"it has SHA-256 {found[:12]}…, expected {expected[:12]}…")
    shape = TrackShape(**card.shape.model_dump())
    regressor, masker = TrackRegressor(shape), TrackMask(shape)
    _fill({"regressor": regressor, "mask": masker}, data, weights)
    fitted = None
    if card.fitted is not None:
        values = card.fitted.model_dump()
        values["curve"] = Curve(**values["curve"])
        fitted = TrackFitted(**values)
    return TrackRelevanceModel(
        regressor=regressor.to(device).eval().requires_grad_(False),
        masker=masker.to(device).eval().requires_grad_(False),
        removal=Removal(**card.removal.model_dump()),
        signal=Signal(**card.signal.model_dump()),
        scale=card.scale,
        spread=card.spread,
        unit=card.unit,
        longest=card.longest,
        name=card.name,
        fitted=fitted,
    )


def _read_card(path: Path) -> _Card:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise SptError(
            f"{path} was not found: expected a model that `spt-explain relevance fit` wrote for "
            "tracks."
        ) from error
    except OSError as error:
        raise SptError(f"{path} can't be read ({error.strerror or error}).") from error
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError("it is too large for a card")
        return _Card.model_validate(json.loads(data.decode("utf-8-sig")))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, f"{key + ': ' if key else ''}{first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"it is not a card: {error}") from error


def _fill(networks: dict[str, nn.Module], data: bytes, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    try:
        tensors = from_bytes(data)
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32 or not math.isfinite(float(tensor.abs().sum())):
                raise ValueError(f"{name} holds something else than finite float32 numbers")
        if not all(name.partition(".")[0] in networks for name in tensors):
            raise ValueError("it holds something else as well")
        for part, network in networks.items():
            own = {
                name.partition(".")[2]: tensor
                for name, tensor in tensors.items()
                if name.partition(".")[0] == part
            }
            missing, other = network.load_state_dict(own, strict=False)
            if other or any(not name.endswith(".num_batches_tracked") for name in missing):
                raise ValueError("it is of another network")
    except (SafetensorError, ValueError, RuntimeError, TypeError) as error:
        raise _damaged(path, (str(error) or type(error).__name__).splitlines()[0]) from error


def _put(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _damaged(path: Path, said: str) -> SptError:
    first = said.splitlines()[0] if said else "damaged"
    return SptError(
        f"the model {path} is damaged or was changed: {first}. Fit it again, or copy it again.",
        exit_code=1,
    )
