"""A relevance model of tracks as files: parameters in safetensors, all else in a JSON card."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from spt_explain.errors import option
from spt_explain.version import __version__
from spt_explain.xddpm.cards import CardKind, FilesCard, StrictCard
from spt_explain.xddpm.signals import Signal
from spt_explain.xddpm.sufficiency import Curve
from spt_explain.xddpm.tracks.model import TrackFitted, TrackRelevanceModel
from spt_explain.xddpm.tracks.network import TrackMask, TrackRegressor, TrackShape
from spt_explain.xddpm.tracks.removal import Removal

if TYPE_CHECKING:
    from pathlib import Path

CARD = "track-relevance.json"


class _ShapeCard(StrictCard):
    outputs: int = Field(ge=1, le=256)
    width: int = Field(ge=1, le=512)
    depth: int = Field(ge=1, le=9)
    mask: Literal["dilated", "unet1d"]
    mask_width: int = Field(ge=1, le=512)
    mask_time: bool


class _RemovalCard(StrictCard):
    removed: Literal["brownian", "rest"]
    noise: float = Field(gt=0)
    kind: Literal["gates", "soft"]


class _SignalCard(StrictCard):
    names: tuple[str, ...] = Field(min_length=1, max_length=1)
    per: Literal["clip"]
    kind: Literal["number", "category"]
    categories: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class _CurveCard(StrictCard):
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


class _FittedCard(StrictCard):
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


class _Card(FilesCard):
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


_KIND = CardKind(
    _Card,
    CARD,
    "track-relevance",
    "model",
    lambda path: (
        f"{path} was not found: expected a model that `spt-explain relevance fit` wrote for tracks."
    ),
)


def save(model: TrackRelevanceModel, folder: Path, *, overwrite: bool = False) -> Path:
    """Write a model into a folder and return the card's path; see `CardKind.write`.

    Raises
    ------
    SptError
        If there is a model already and it is not to be overwritten, or the folder can't be written.
    """
    fitted = None
    if model.fitted is not None:
        fitted = vars(model.fitted) | {"curve": model.fitted.curve.to_dict()}
        fitted["source"] = json.loads(json.dumps(fitted["source"], default=str))
    card = {
        "made_by": f"spt-explain {__version__}",
        "name": model.name,
        "shape": model.regressor.shape.to_dict(),
        "removal": vars(model.removal),
        "signal": model.signal.to_dict(),
        "scale": model.scale,
        "spread": model.spread,
        "unit": model.unit,
        "longest": model.longest,
        "fitted": fitted,
    }
    networks = {"regressor": model.regressor, "mask": model.masker}
    hint = f"Add {option('overwrite', True)}, or name another folder."
    return _KIND.write(folder, networks, card, overwrite=overwrite, hint=hint)


def load(folder: Path, *, device: str = "cpu") -> TrackRelevanceModel:
    """Read a model, after checking its card and its hash.

    Raises
    ------
    SptError
        If there is none, or it is damaged or was changed.
    """
    card, parts, weights = _KIND.read(folder)
    shape = TrackShape(**card.shape.model_dump())
    regressor, masker = TrackRegressor(shape), TrackMask(shape)
    _KIND.fill({"regressor": regressor, "mask": masker}, parts, weights)
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
