"""A training recipe: every number that makes a set of weights, read strictly from TOML."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from pathlib import Path


class Recipe(BaseModel):
    """Numbers of one training run; an unknown key in the file is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Name of the weights it makes.")
    inputs: Literal["positions", "positions+displacements"] = Field(
        "positions+displacements", description="Input channels of the network."
    )
    width: int = Field(64, gt=0, description="Channels of the first stage.")
    window: int = Field(1000, ge=64, description="Points of the network's input.")
    min_points: int = Field(10, ge=3, description="Shortest trajectory.")
    short_share: float = Field(
        0.0, ge=0, le=1, description="Share of lengths drawn log-uniformly; the rest uniformly."
    )
    noise_max: float = Field(
        1.2, ge=0, description="Largest noise, in standard deviations of the displacement (1/SNR)."
    )
    clean_share: float = Field(0.2, ge=0, le=1, description="Share of trajectories without noise.")
    gap_share: float = Field(
        0.25, ge=0, le=1, description="Share of trajectories that miss frames, filled linearly."
    )
    gap_max: float = Field(0.15, ge=0, lt=1, description="Largest share of frames missed.")
    batch_size: int = Field(1024, gt=0)
    learning_rate: float = Field(2e-3, gt=0, description="Peak rate of AdamW, annealed to 0.")
    weight_decay: float = Field(0.01, ge=0)
    warmup_share: float = Field(0.01, ge=0, lt=1, description="Share of the run that warms up.")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    pool: int = Field(131072, gt=0, description="Trajectories simulated at a time.")
    reuse: int = Field(3, gt=0, description="Times each is used, rotated and disturbed anew.")
    minutes: float = Field(8.0, gt=0, description="Training time, which the schedule follows.")
    steps: int | None = Field(
        None, gt=0, description="Optimiser steps, which the schedule follows instead of the clock."
    )
    seed: int = 20261121

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe from a TOML file.

        Raises
        ------
        SptError
            If the file is missing, not TOML, or holds unknown keys or values out of range.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
            return cls(**values)
        except FileNotFoundError as error:
            raise SptError(f"{path} was not found: expected a recipe (TOML).") from error
        except tomllib.TOMLDecodeError as error:
            raise SptError(f"{path} is not valid TOML: {error}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise SptError(f"{path}: {key}: {first['msg']}.") from error
