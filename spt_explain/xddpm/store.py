"""A relevance model as files: parameters in safetensors, all else in a JSON card with hashes."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spt_explain.errors import SptError
from spt_explain.version import __version__
from spt_explain.xddpm.bottleneck import Bottleneck
from spt_explain.xddpm.layout import LEAST_TILE, Layout
from spt_explain.xddpm.model import Fitted, RelevanceModel
from spt_explain.xddpm.network import MaskNetwork, Regressor, Shape
from spt_explain.xddpm.scale import Scale
from spt_explain.xddpm.signals import Signal
from spt_explain.xddpm.sufficiency import Curve

if TYPE_CHECKING:
    from torch import nn

CARD = "relevance.json"
FORMAT = "spt-explain relevance 1"
_MOST_BYTES = 16 * 2**20
"""Of a card."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _ShapeCard(_Strict):
    outputs: int = Field(ge=1, le=65536)
    per_frame: bool
    width: int = Field(ge=1, le=512)
    mask_width: int = Field(ge=1, le=512)
    coordinates: bool
    norm: Literal["batch", "group"]


class _BottleneckCard(_Strict):
    kind: Literal["fixed", "iba", "paper"]
    noise: float = Field(gt=0)


class _ScaleCard(_Strict):
    reference: float
    spread: float = Field(gt=0)


class _SignalCard(_Strict):
    names: tuple[str, ...] = Field(min_length=1)
    per: Literal["clip", "frame"]
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
    clips: int
    held_out: tuple[str, ...]
    regressor_steps: int
    seconds: float
    mean_mask: float
    curve: _CurveCard
    recipe: dict[str, Any]


class _LayoutCard(_Strict):
    tile: int | None = Field(ge=LEAST_TILE, le=100_000)
    frames: int = Field(ge=1, le=100_000)
    stride: int = Field(ge=1)
    bin: int = Field(ge=1, le=100_000)
    channel: int | None = Field(None, ge=1)
    z: Literal["max", "mean"] | Annotated[int, Field(ge=1)] = "max"


class _Card(_Strict):
    format: Literal["spt-explain relevance 1"]
    made_by: str
    name: str
    files: dict[str, str] = Field(min_length=1, max_length=1)
    frames: int = Field(ge=1, le=100_000)
    size: tuple[int, int]
    shape: _ShapeCard
    bottleneck: _BottleneckCard
    scale: _ScaleCard
    signal: _SignalCard
    fitted: _FittedCard | None
    layout: _LayoutCard | None = None
    judge: bool = False

    @model_validator(mode="after")
    def _fits(self) -> _Card:
        signal = self.signal
        if not all(0 < side <= 100_000 for side in self.size):
            raise ValueError("the size of its clips is impossible")
        if self.shape.per_frame != (signal.per == "frame"):
            raise ValueError("network and signal differ")
        if self.layout is not None:
            tile = self.layout.tile
            if self.layout.frames != self.frames or (tile and self.size != (tile, tile)):
                raise ValueError("its clips and their layout differ")
        if signal.kind == "category":
            whole = len(signal.categories) == self.shape.outputs >= 2 and len(signal.names) == 1
        else:
            columns = len(signal.names) * (self.frames if signal.per == "frame" else 1)
            whole = (
                len(signal.names) == len(signal.std) == self.shape.outputs
                and len(signal.mean) == columns
                and all(value > 0 for value in signal.std)
            )
        if not whole:
            raise ValueError("its signal is incomplete")
        return self


def save(model: RelevanceModel, folder: Path, *, overwrite: bool = False) -> Path:
    """Write a model into a folder and return the card's path.

    The parameters' file is named by its hash and the card is put in place last, so that the folder
    holds the old model or the new one, whole, at any time.

    Raises
    ------
    SptError
        If there is a model already and it is not to be overwritten, or the folder can't be written.
    """
    from safetensors.torch import save as to_bytes

    card_path = folder / CARD
    if card_path.exists() and not overwrite:
        raise SptError(f"{folder} holds a model already. Add --overwrite, or name another folder.")
    networks: dict[str, nn.Module] = {"regressor": model.regressor, "mask": model.masker}
    if model.judge is not None:
        networks["judge"] = model.judge
    tensors = {
        f"{part}.{name}": value.detach().cpu().contiguous()
        for part, network in networks.items()
        for name, value in network.state_dict().items()
        if not name.endswith(".num_batches_tracked")  # counts only; torch does without
    }
    data = to_bytes(tensors)
    digest = hashlib.sha256(data).hexdigest()
    file = f"relevance-{digest[:12]}.safetensors"
    fitted = None
    if model.fitted is not None:
        fitted = vars(model.fitted) | {"curve": model.fitted.curve.to_dict()}
    card = {
        "format": FORMAT,
        "made_by": f"spt-explain {__version__}",
        "name": model.name,
        "files": {file: digest},
        "frames": model.frames,
        "size": list(model.size),
        "shape": model.regressor.shape.to_dict(),
        "bottleneck": {"kind": model.bottleneck.kind, "noise": model.bottleneck.noise},
        "scale": {"reference": model.scale.reference, "spread": model.scale.spread},
        "signal": model.signal.to_dict(),
        "fitted": fitted,
        "judge": model.judge is not None,
        "layout": None if model.layout is None else model.layout.to_dict(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _put(folder / file, data)
        text = json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False)
        _put(card_path, text.encode("utf-8", "backslashreplace"))
        for old in folder.glob("relevance-*.safetensors"):
            if old.name != file:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise SptError(
            f"the model can't be written to {folder} ({error.strerror or error}).", exit_code=1
        ) from error
    return card_path


def load(folder: Path, *, device: str = "cpu") -> RelevanceModel:
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
    shape = Shape(**card.shape.model_dump())
    with torch.device("meta"):
        regressor, masker = Regressor(shape), MaskNetwork(shape)
        judge = Regressor(shape) if card.judge else None
    networks: dict[str, nn.Module] = {"regressor": regressor, "mask": masker}
    _fill(networks | ({} if judge is None else {"judge": judge}), data, weights)
    fitted = None
    if card.fitted is not None:
        values = card.fitted.model_dump()
        values["curve"] = Curve(**values["curve"])
        fitted = Fitted(**values)
    return RelevanceModel(
        regressor=regressor.to(device).eval(),
        masker=masker.to(device).eval(),
        bottleneck=Bottleneck(card.bottleneck.kind, card.bottleneck.noise),
        scale=Scale(card.scale.reference, card.scale.spread),
        signal=Signal(**card.signal.model_dump()),
        frames=card.frames,
        size=card.size,
        name=card.name,
        fitted=fitted,
        layout=None if card.layout is None else Layout(**card.layout.model_dump()),
        judge=None if judge is None else judge.to(device).eval(),
    )


def _read_card(path: Path) -> _Card:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise SptError(
            f"{path} was not found: expected a model that `spt-explain relevance fit` wrote."
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
    """Put parameters into networks that have no memory yet: a card alone allocates none."""
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
            network.load_state_dict(own, assign=True)
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
