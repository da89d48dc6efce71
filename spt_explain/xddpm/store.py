"""A relevance model as files: parameters in safetensors, all else in a JSON card with hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field, model_validator

from spt_explain.device_check import wrong_rows
from spt_explain.errors import option
from spt_explain.version import __version__
from spt_explain.xddpm.bottleneck import Bottleneck
from spt_explain.xddpm.cards import CardKind, FilesCard, StrictCard
from spt_explain.xddpm.layout import LEAST_TILE, Layout
from spt_explain.xddpm.model import Fitted, RelevanceModel
from spt_explain.xddpm.network import MaskNetwork, Regressor, Shape
from spt_explain.xddpm.scale import Scale
from spt_explain.xddpm.signals import Signal
from spt_explain.xddpm.sufficiency import Curve

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

CARD = "relevance.json"
FORMAT = "spt-explain relevance 1"


class _ShapeCard(StrictCard):
    outputs: int = Field(ge=1, le=65536)
    per_frame: bool
    width: int = Field(ge=1, le=512)
    mask_width: int = Field(ge=1, le=512)
    coordinates: bool
    norm: Literal["batch", "group"]


class _BottleneckCard(StrictCard):
    kind: Literal["fixed", "iba", "paper"]
    noise: float = Field(gt=0)


class _ScaleCard(StrictCard):
    reference: float
    spread: float = Field(gt=0)


class _SignalCard(StrictCard):
    names: tuple[str, ...] = Field(min_length=1)
    per: Literal["clip", "frame"]
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
    clips: int
    held_out: tuple[str, ...]
    regressor_steps: int
    seconds: float
    mean_mask: float
    curve: _CurveCard
    recipe: dict[str, Any]
    mask_steps: int = 0
    open_r2: float = 0.0
    kept_r2: float = 0.0


class _LayoutCard(StrictCard):
    tile: int | None = Field(ge=LEAST_TILE, le=100_000)
    frames: int = Field(ge=1, le=100_000)
    stride: int = Field(ge=1)
    bin: int = Field(ge=1, le=100_000)
    channel: int | None = Field(None, ge=1)
    z: Literal["max", "mean"] | Annotated[int, Field(ge=1)] = "max"


class _Card(FilesCard):
    format: Literal["spt-explain relevance 1"]
    made_by: str
    name: str
    frames: int = Field(ge=1, le=100_000)
    size: tuple[int, int]
    shape: _ShapeCard
    bottleneck: _BottleneckCard
    scale: _ScaleCard
    signal: _SignalCard
    fitted: _FittedCard | None
    layout: _LayoutCard | None = None
    judge: bool = False
    symmetric: bool = False

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


_KIND = CardKind(
    _Card,
    CARD,
    "relevance",
    "model",
    lambda path: f"{path} was not found: expected a model that `spt-explain relevance fit` wrote.",
)


def save(model: RelevanceModel, folder: Path, *, overwrite: bool = False) -> Path:
    """Write a model into a folder and return the card's path; see `CardKind.write`.

    Raises
    ------
    SptError
        If there is a model already and it is not to be overwritten, or the folder can't be written.
    """
    networks: dict[str, nn.Module] = {"regressor": model.regressor, "mask": model.masker}
    if model.judge is not None:
        networks["judge"] = model.judge
    fitted = None
    if model.fitted is not None:
        fitted = vars(model.fitted) | {"curve": model.fitted.curve.to_dict()}
    card = {
        "format": FORMAT,
        "made_by": f"spt-explain {__version__}",
        "name": model.name,
        "frames": model.frames,
        "size": list(model.size),
        "shape": model.regressor.shape.to_dict(),
        "bottleneck": {"kind": model.bottleneck.kind, "noise": model.bottleneck.noise},
        "scale": {"reference": model.scale.reference, "spread": model.scale.spread},
        "signal": model.signal.to_dict(),
        "fitted": fitted,
        "judge": model.judge is not None,
        "symmetric": model.symmetric,
        "layout": None if model.layout is None else model.layout.to_dict(),
    }
    hint = f"Add {option('overwrite', True)}, or name another folder."
    return _KIND.write(folder, networks, card, overwrite=overwrite, hint=hint)


def load(folder: Path, *, device: str = "cpu") -> RelevanceModel:
    """Read a model, after checking its card and its hash.

    Raises
    ------
    SptError
        If there is none, or it is damaged or was changed.
    """
    card, parts, weights = _KIND.read(folder)
    shape = Shape(**card.shape.model_dump())
    with torch.device("meta"):  # a card alone allocates nothing
        regressor, masker = Regressor(shape), MaskNetwork(shape)
        judge = Regressor(shape) if card.judge else None
    networks: dict[str, nn.Module] = {"regressor": regressor, "mask": masker}
    _KIND.fill(networks | ({} if judge is None else {"judge": judge}), parts, weights)
    fitted = None
    if card.fitted is not None:
        values = card.fitted.model_dump()
        values["curve"] = Curve(**values["curve"])
        fitted = Fitted(**values)
    device, note = _trusted(
        device, [one for one in (regressor, masker, judge) if one], (card.frames, *card.size)
    )
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
        symmetric=card.symmetric,
        note=note,
    )


_BATCHES = (64, 32)
"""Clips at a time: of `RelevanceModel.outputs_of_scaled` and `maps_of_scaled`."""
_ROUNDING = 0.02
"""Difference from float64, in parts of the largest output, that is taken as rounding (TF32)."""


def _trusted(device: str, networks: list[nn.Module], clip: tuple[int, int, int]) -> tuple[str, str]:
    """Return the device, or the CPU where it computes wrongly, and then why."""
    if device == "cpu":
        return device, ""
    generator = torch.Generator().manual_seed(1)
    few = torch.randn((4, *clip), generator=generator)

    def run(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
        found = network(x)
        return found if isinstance(found, torch.Tensor) else torch.cat(list(found), dim=1)

    for network in networks:
        for size in _BATCHES:
            wrong, most = wrong_rows(network, few, size, device, tolerance=_ROUNDING, run=run)
            if wrong:
                return "cpu", (
                    f"{device} gives wrong outputs for {wrong} of {size} test clips (off by up to "
                    f"{most:.2g} of the largest output): the CPU is used instead."
                )
    return device, ""
