"""How far a fit has come, and what is reported of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from spt_explain.training.loop import Progress, State

Stage = Literal["regressor", "control", "mask", "judge", "done"]
STAGES: tuple[Stage, ...] = ("regressor", "control", "mask", "judge", "done")


@dataclass
class RelevanceState(State):
    """How far a fit has come; see `State`.

    Attributes
    ----------
    stage : {"regressor", "control", "mask", "judge", "done"}
    regressor_steps, mask_steps : int
        Steps that the regressor and the mask were given.
    open_r2, kept_r2 : float
        R² on training clips behind the open bottleneck, and behind the mask at its end.
    r2, shuffled_r2, train_r2 : float
        Of the regressor on held-out clips, of the control, of the regressor on the clips it knows.
    chance_r2 : float
        What outputs given to other held-out clips than their own reach once in a hundred times.
    plain_loss, open_loss : float
        Loss on training clips of the best constant, and behind an open bottleneck.
    log_weight, smoothed : float
        Logarithm of the prediction's weight, and its mean loss.
    """

    stage: Stage = "regressor"
    regressor_steps: int = 0
    mask_steps: int = 0
    open_r2: float = 0.0
    kept_r2: float = 0.0
    r2: float = 0.0
    shuffled_r2: float = 0.0
    train_r2: float = 0.0
    chance_r2: float = 0.0
    plain_loss: float = 0.0
    open_loss: float = 0.0
    log_weight: float = 0.0
    smoothed: float = 0.0

    @property
    def before_s(self) -> float:
        """Seconds of the stages before the current one."""
        return self.elapsed_s - self.stage_s

    @classmethod
    def is_valid(cls, values: dict[str, Any]) -> bool:
        """Whether the stage is one of `STAGES`, beside what `State` asks for."""
        return super().is_valid(values) and values["stage"] in STAGES


@dataclass(frozen=True)
class RelevanceProgress(Progress):
    """What is reported while a fit goes on; see `Progress`.

    Attributes
    ----------
    stage : str
    mask : float
        Mean M since the last report; NaN before the mask stage.
    """

    stage: Stage
    mask: float
