"""Training on a fixed data set: how fast it learns, and when a phase is over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spt_explain.training.fitting import FitState
    from spt_explain.training.recipe import FixedRecipe

_TRAINING_SHARE = 0.9
"""Share of the minutes for training; the rest is for validation."""


class Schedule:
    """Phases, their time and their learning rate.

    Parameters
    ----------
    fixed : FixedRecipe
        The ``[fixed]`` section of a recipe.
    training, extra : int
        Trajectories in the training set, and further ones for the network that scores it.
    """

    def __init__(self, fixed: FixedRecipe, training: int, extra: int = 0) -> None:
        self.fixed, self.training, self.extra = fixed, training, extra

    @property
    def phases(self) -> int:
        """How many networks are trained, one after the other."""
        return 2 if self.fixed.augment == "gradcam" else 1

    def over(self, state: FitState) -> bool:
        """Whether the phase is over."""
        fixed = self.fixed
        if state.epoch >= fixed.epochs:
            return True
        if fixed.minutes:
            return bool(state.total) and state.step >= state.total and state.epoch_step == 0
        return state.stale >= fixed.patience

    def learning_rate(self, state: FitState) -> float:
        """Return the rate of the next step."""
        fixed = self.fixed
        if fixed.minutes:
            spent = state.stage_s / self.budget(state.phase)
            share = state.step / state.total if state.total else spent
            return fixed.learning_rate * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
        return fixed.learning_rate * 0.5 ** (state.epoch // fixed.halve_every)

    def budget(self, phase: int) -> float:
        """Return the seconds of training of a phase; phases share by their trajectories."""
        minutes = self.fixed.minutes or 0.0
        last = self.training * (1 + self.fixed.augment_share * (self.fixed.augment != "none"))
        first = self.training + self.extra
        whole = last + (self.phases - 1) * first
        part = first if phase + 1 < self.phases else last
        return minutes * 60 * _TRAINING_SHARE * part / whole
