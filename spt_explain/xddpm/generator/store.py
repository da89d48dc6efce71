"""A generator as files in its model's folder: parameters in safetensors, the rest in a card."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spt_explain.errors import SptError
from spt_explain.version import __version__
from spt_explain.xddpm.generator.generator import Generator, Range, Trained
from spt_explain.xddpm.generator.network import Denoiser, DenoiserShape

CARD = "generator.json"
FORMAT = "spt-explain generator 1"
_MOST_BYTES = 16 * 2**20
"""Of a card."""
_MOST_SIDE = 100_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _ShapeCard(_Strict):
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


class _RangeCard(_Strict):
    middle: float
    half: float = Field(gt=0)


class _TrainedCard(_Strict):
    steps: int
    seconds: float
    clips: int
    loss: float
    relevant_loss: float
    history: tuple[tuple[int, float, float, float], ...]
    recipe: dict[str, Any]
    model: str


class _Card(_Strict):
    format: Literal["spt-explain generator 1"]
    made_by: str
    name: str
    files: dict[str, str] = Field(min_length=1, max_length=1)
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


def save(generator: Generator, folder: Path, *, overwrite: bool = False) -> Path:
    """Write a generator into a folder and return the card's path.

    The parameters' file is named by its hash and the card is put in place last, so that the folder
    holds the old generator or the new one, whole, at any time.

    Raises
    ------
    SptError
        If there is one already and it is not to be overwritten, or the folder can't be written.
    """
    from safetensors.torch import save as to_bytes

    card_path = folder / CARD
    if card_path.exists() and not overwrite:
        raise SptError(f"{folder} holds a generator already. Add --overwrite to replace it.")
    data = to_bytes(
        {
            name: value.detach().cpu().contiguous()
            for name, value in generator.denoiser.state_dict().items()
        }
    )
    digest = hashlib.sha256(data).hexdigest()
    file = f"generator-{digest[:12]}.safetensors"
    card = {
        "format": FORMAT,
        "made_by": f"spt-explain {__version__}",
        "name": generator.name,
        "files": {file: digest},
        "objective": generator.objective,
        "output": generator.output,
        "schedule": generator.schedule,
        "timesteps": generator.timesteps,
        "size": list(generator.size),
        "shape": generator.denoiser.shape.to_dict(),
        "range": vars(generator.range),
        "trained": None if generator.trained is None else vars(generator.trained),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _put(folder / file, data)
        text = json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False)
        _put(card_path, text.encode("utf-8", "backslashreplace"))
        for old in folder.glob("generator-*.safetensors"):
            if old.name != file:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise SptError(
            f"the generator can't be written to {folder} ({error.strerror or error}).", exit_code=1
        ) from error
    return card_path


def load(folder: Path, *, device: str = "cpu") -> Generator:
    """Read a generator, after checking its card and its hash.

    Raises
    ------
    SptError
        If there is none, or it is damaged or was changed.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    path = folder / CARD
    card = _read_card(path)
    ((file, expected),) = card.files.items()
    if Path(file).name != file or not file.endswith(".safetensors"):
        raise _damaged(path, f"it names {file!r}")
    weights = folder / file
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise _damaged(weights, error.strerror or str(error)) from error
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise _damaged(weights, f"it has SHA-256 {found[:12]}…, expected {expected[:12]}…")
    try:
        tensors = from_bytes(data)
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32 or not math.isfinite(float(tensor.abs().sum())):
                raise ValueError(f"{name} holds something else than finite float32 numbers")
        with torch.device("meta"):  # a card alone allocates nothing
            denoiser = Denoiser(DenoiserShape(**card.shape.model_dump()))
        denoiser.load_state_dict(tensors, assign=True)
    except (SafetensorError, ValueError, RuntimeError, TypeError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise _damaged(weights, said) from error
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
    )


def _read_card(path: Path) -> _Card:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise SptError(
            f"the model {path.parent} has no generator. Fit one beside it:\n"
            f"spt-explain relevance generate --model {path.parent} --movies MOVIES"
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
        f"the generator {path} is damaged or was changed: {first}. Fit it again, or copy it again.",
        exit_code=1,
    )
