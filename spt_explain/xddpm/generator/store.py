"""A generator as files in its model's folder: parameters in safetensors, the rest in a card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from spt_explain.errors import command, option
from spt_explain.version import __version__
from spt_explain.xddpm.cards import CardKind, FilesCard, StrictCard
from spt_explain.xddpm.generator.generator import Generator, Range, Trained
from spt_explain.xddpm.generator.network import Denoiser, DenoiserShape

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

CARD = "generator.json"
FORMAT = "spt-explain generator 1"
_MOST_SIDE = 100_000


class Start(nn.Module):
    """The mean that samples start from, as a part of the file."""

    mean: Tensor

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)


class _ShapeCard(StrictCard):
    frames: int = Field(ge=1, le=_MOST_SIDE)
    width: int = Field(ge=8, le=512, multiple_of=8)
    multipliers: tuple[int, ...] = Field(min_length=1, max_length=6)
    layers: int = Field(ge=1, le=8)
    attention: bool

    @model_validator(mode="after")
    def _fits(self) -> _ShapeCard:
        if not all(1 <= m <= 64 for m in self.multipliers):
            raise ValueError("its multipliers are impossible")
        return self


class _RangeCard(StrictCard):
    middle: float
    half: float = Field(gt=0)


class _TrainedCard(StrictCard):
    steps: int
    seconds: float
    clips: int
    loss: float
    relevant_loss: float
    history: tuple[tuple[int, float, float, float], ...]
    recipe: dict[str, Any]
    model: str


class _Card(FilesCard):
    format: Literal["spt-explain generator 1"]
    made_by: str
    name: str
    objective: Literal["w", "eps-mask", "plain"]
    output: Literal["v", "eps"]
    schedule: Literal["linear", "cosine"]
    timesteps: int = Field(ge=10, le=10_000)
    size: tuple[int, int]
    shape: _ShapeCard
    range: _RangeCard
    trained: _TrainedCard | None

    @model_validator(mode="after")
    def _fits(self) -> _Card:
        if not all(0 < side <= _MOST_SIDE for side in self.size):
            raise ValueError("the size of its clips is impossible")
        return self


_KIND = CardKind(
    _Card,
    CARD,
    "generator",
    "generator",
    lambda path: (
        f"the model {path.parent} has no generator. Fit one beside it:\n"
        + command("relevance generate", model=str(path.parent), movies="MOVIES")
    ),
)


def save(generator: Generator, folder: Path, *, overwrite: bool = False) -> Path:
    """Write a generator into a folder and return the card's path; see `CardKind.write`.

    Raises
    ------
    SptError
        If there is one already and it is not to be overwritten, or the folder can't be written.
    """
    card = {
        "format": FORMAT,
        "made_by": f"spt-explain {__version__}",
        "name": generator.name,
        "objective": generator.objective,
        "output": generator.output,
        "schedule": generator.schedule,
        "timesteps": generator.timesteps,
        "size": list(generator.size),
        "shape": generator.denoiser.shape.to_dict(),
        "range": vars(generator.range),
        "trained": None if generator.trained is None else vars(generator.trained),
    }
    networks: dict[str, nn.Module] = {"denoiser": generator.denoiser}
    if generator.mean is not None:
        networks["start"] = Start(generator.mean)
    hint = f"Add {option('overwrite', True)} to replace it."
    return _KIND.write(folder, networks, card, overwrite=overwrite, hint=hint)


def load(folder: Path, *, device: str = "cpu") -> Generator:
    """Read a generator, after checking its card and its hash.

    Raises
    ------
    SptError
        If there is none, or it is damaged or was changed.
    """
    card, parts, weights = _KIND.read(folder)
    with torch.device("meta"):  # a card alone allocates nothing
        denoiser = Denoiser(DenoiserShape(**card.shape.model_dump()))
    networks: dict[str, nn.Module] = {"denoiser": denoiser}
    start = None
    if "start" in parts:
        start = networks["start"] = Start(
            torch.zeros((card.shape.frames, *card.size), device="meta")
        )
    _KIND.fill(networks, parts, weights)
    return Generator(
        denoiser=denoiser.to(device).requires_grad_(False).eval(),
        range=Range(card.range.middle, card.range.half),
        objective=card.objective,
        output=card.output,
        schedule=card.schedule,
        timesteps=card.timesteps,
        size=card.size,
        name=card.name,
        trained=None if card.trained is None else Trained(**card.trained.model_dump()),
        mean=None if start is None else start.mean,
    )
