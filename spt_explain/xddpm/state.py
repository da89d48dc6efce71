"""How far a fit has come, and what is reported of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from pathlib import Path

Stage = Literal["regressor", "control", "mask", "judge", "done"]
STAGES: tuple[Stage, ...] = ("regressor", "control", "mask", "judge", "done")


@dataclass
class State:
    """How far a fit has come; all of it is in the checkpoint.

    Attributes
    ----------
    fingerprint : str
        Of recipe and data.
    stage : {"regressor", "control", "mask", "judge", "done"}
    step, total : int
        Steps of this stage, done and in all; the total is 0 until it is known.
    elapsed_s, before_s : float
        Time spent on this stage and on those before.
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

    fingerprint: str = ""
    stage: Stage = "regressor"
    step: int = 0
    total: int = 0
    elapsed_s: float = 0.0
    before_s: float = 0.0
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

    @classmethod
    def restored(cls, values: dict[str, Any], source: Path) -> State:
        """Return what `vars` gave for a checkpoint.

        Raises
        ------
        SptError
            If it is something else.
        """
        plain = vars(cls())
        whole = values.keys() == plain.keys() and all(
            isinstance(values[name], type(value))
            and (isinstance(value, str) or math.isfinite(values[name]))
            for name, value in plain.items()
        )
        if not whole or values["stage"] not in STAGES:
            raise SptError(
                f"the checkpoint {source} is damaged: it does not say how far the fit has come. "
                f"Start anew without {option('resume', True)}.",
                code="unreadable",
                option="resume",
            )
        return cls(**values)


@dataclass(frozen=True)
class Progress:
    """What is reported while a fit goes on.

    Attributes
    ----------
    stage : str
    step, total : int
        Of this stage; the total is 0 while unknown.
    loss : float
        Mean loss of the prediction since the last report.
    mask : float
        Mean M since the last report; NaN before the mask stage.
    left_s : float
        Time left for this stage.
    """

    stage: Stage
    step: int
    total: int
    loss: float
    mask: float
    left_s: float


def peek(path: Path) -> dict[str, Any]:
    """Return the state in a checkpoint."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
        if not isinstance(state, dict):
            raise ValueError("it does not say how far the fit has come")
        return state
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise SptError(
            f"the checkpoint {path} is damaged ({str(error).splitlines()[0]}). Start anew without "
            f"{option('resume', True)}.",
            code="unreadable",
            option="resume",
        ) from error
