"""A relevance fit in stages: its steps, rates and budgets; subclasses say what is learnt."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import nn

from spt_explain.errors import SptError
from spt_explain.training.loop import Fit, Interval, State
from spt_explain.xddpm.state import RelevanceProgress, RelevanceState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from spt_explain.xddpm.recipe import ScheduleRecipe
    from spt_explain.xddpm.signals import Signal
    from spt_explain.xddpm.state import Stage

_LEAST_STEPS = 20
"""Of a stage whose steps are a share of the regressor's."""
_LEAST_TIMED = 100
"""Steps that a stage takes at least where the recipe gives minutes, even if they are over."""


@dataclass
class Sums:
    """What was lost, and how open the mask was, since the last report."""

    loss: Tensor
    mask: Tensor

    @classmethod
    def none(cls, device: str) -> Sums:
        """Return sums of nothing."""
        zero = torch.zeros((), device=device)
        return cls(zero, zero.clone())


class StagedRun(Fit):
    """One fit: regressor, control with shuffled signal, mask, and what may follow.

    Attributes
    ----------
    stages : tuple of str
        In order; the last is "done".
    """

    known_share = 0.08
    warm_up = 3
    stages: ClassVar[tuple[Stage, ...]]
    device: str
    state: RelevanceState
    networks: nn.ModuleDict
    optimizer: torch.optim.AdamW
    signal: Signal
    seed: int
    schedule: ScheduleRecipe
    shares: dict[Stage, float]
    """Of stages whose steps are a share of the regressor's."""

    @abstractmethod
    def _begin(self) -> torch.optim.AdamW:
        """Return the optimiser of the current stage."""

    @abstractmethod
    def _prepare(self) -> None:
        """Do what comes before the first step of the current stage."""

    @abstractmethod
    def _losses(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the loss of a batch, that of its prediction, and the mean of the mask."""

    @abstractmethod
    def _measure(self) -> None:
        """Measure what the current stage gave."""

    @property
    def budget_s(self) -> float:
        """Seconds of the current stage: the mask has what the stages before it left."""
        schedule = self.schedule
        seconds = 60 * schedule.minutes
        first = seconds * schedule.regressor_share / (1 + self.shares["control"])
        if self.state.stage != "mask":
            return first
        left = seconds - self.state.before_s - self.shares.get("judge", 0.0) * first
        return max(left, seconds * (1 - schedule.regressor_share) / 2)

    @property
    def step_limits(self) -> tuple[float, float]:
        """Least steps of a stage, even if the minutes are over; there is no most."""
        return _LEAST_TIMED, math.inf

    @property
    def rate_name(self) -> str:
        """The learning rate to lower if the stage diverges."""
        return f"the learning rate of the stage {self.state.stage} in the recipe"

    def adopt(self, state: State) -> None:
        """Take the state of a checkpoint, and the optimiser of its stage."""
        is_finished = state.finished
        super().adopt(state)
        # After the last stage there is nothing to go on with.
        state.finished = is_finished
        self.optimizer = self._begin()

    def prepare(self) -> None:
        """Set up the stage; measure what it needs before its first step."""
        state = self.state
        if not state.total:
            state.total = self._known_total()
        if not state.step:
            self._prepare()
        self.sums = Sums.none(self.device)

    def step(self) -> int:
        """Take one step on a batch; return its size."""
        loss, said, mask = self._losses(self._generator())
        loss.backward()  # type: ignore[no-untyped-call]
        self.sums.loss += said.detach()
        if mask is not None:
            self.sums.mask += mask.detach()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self.schedule.clip_norm)
        share = self._share_of_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return self.schedule.batch

    def progress(self, interval: Interval) -> RelevanceProgress:
        """Return the means of an interval."""
        state, sums, steps = self.state, self.sums, max(interval.steps, 1)
        self.sums = Sums.none(self.device)
        return RelevanceProgress(
            step=state.step,
            total=state.total,
            loss=sums.loss.item() / steps,
            left_s=interval.left_s,
            stage=state.stage,
            mask=sums.mask.item() / steps if state.stage == "mask" else math.nan,
        )

    def finish_stage(self) -> None:
        """Measure what the stage gave, and go to the next."""
        state = self.state
        self.networks.eval()
        self._measure()
        following = self.stages[self.stages.index(state.stage) + 1 :]
        state.stage = next(stage for stage in following if self.shares.get(stage, 1.0))
        state.step = state.total = 0
        state.stage_s = 0.0
        state.finished = state.stage == "done"
        self.optimizer = self._begin()

    def _known_total(self) -> int:
        stage, schedule = self.state.stage, self.schedule
        if stage in self.shares:
            return max(_LEAST_STEPS, round(self.shares[stage] * self.state.regressor_steps))
        return (schedule.regressor_steps if stage == "regressor" else schedule.mask_steps) or 0

    def _done(self) -> float:
        """Return how much of the stage is done, above 0."""
        state = self.state
        if state.total:
            return (state.step + 1) / state.total
        return max(min(self.share_done, 1.0), 1e-3)

    def _share_of_rate(self) -> float:
        """Return a linear warm-up, then half a cosine to zero."""
        done, warmup = self._done(), self.schedule.warmup_share
        if done < warmup:
            return done / warmup
        return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) + 1e-4

    def _optimizer(self, modules: Iterable[tuple[Iterable[Tensor], float]]) -> torch.optim.AdamW:
        """Return AdamW for parameters, each with the peak of their rate; vectors don't decay."""
        groups = []
        for parameters, peak in modules:
            every = list(parameters)
            for decays in (True, False):
                chosen = [p for p in every if (p.ndim > 1) is decays]
                decay = self.schedule.weight_decay if decays else 0.0
                groups.append({"params": chosen, "weight_decay": decay, "lr": peak, "peak": peak})
        return torch.optim.AdamW(groups)

    def _generator(self) -> torch.Generator:
        """Return the generator of this step, which does not depend on the steps before."""
        state = self.state
        words = np.random.SeedSequence([self.seed, self.stages.index(state.stage), state.step])
        first, second = words.generate_state(2)
        return torch.Generator(self.device).manual_seed(int(first) << 31 | int(second) >> 1)

    def _rng(self) -> np.random.Generator:
        """Return another one, of what the batch is drawn with."""
        state = self.state
        return np.random.default_rng([self.seed, 2, self.stages.index(state.stage), state.step])

    @staticmethod
    def _finite(r2: float) -> float:
        return r2 if math.isfinite(r2) else -1.0

    def _insist(self, least: float, held_out: str, *, leads: str, fails: str) -> None:
        """Refuse to go on where the signal is not predicted, or the shuffled one is as well.

        Parameters
        ----------
        least : float
            Least R², and least lead over the shuffled signal.
        held_out : str
            What it was measured on.
        leads, fails : str
            What mends a small lead, and a small R².
        """
        state = self.state
        what = "R²" if self.signal.kind == "number" else "McFadden's R²"
        found = (
            f"the signal can't be predicted from the {self.data_name}: {what} is {state.r2:.2f} on "
            f"{held_out} and {state.shuffled_r2:.2f} with the signal shuffled; expected "
        )
        if state.r2 < least:
            raise SptError(f"{found}at least {least:g}. {fails}", exit_code=1, code="failed")
        if state.r2 <= state.chance_r2:
            chance = f"more than chance, which reaches {state.chance_r2:.2f} with so few"
            raise SptError(f"{found}{chance}. {fails}", exit_code=1, code="failed")
        if state.r2 - max(state.shuffled_r2, 0.0) < least:
            raise SptError(
                f"{found}a lead of at least {least:g}. {leads}", exit_code=1, code="failed"
            )
