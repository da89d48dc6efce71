"""A fit in stages: its steps, its clock, its checkpoints; what is learnt is told by others."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import nn

from spt_explain.errors import SptError, option
from spt_explain.training.checkpoint import load_checkpoint, save_checkpoint
from spt_explain.training.interrupts import Interrupts
from spt_explain.xddpm.state import Progress, State, peek

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from torch import Tensor

    from spt_explain.xddpm.recipe import ScheduleRecipe
    from spt_explain.xddpm.signals import Signal
    from spt_explain.xddpm.state import Stage

_RATE_SHARE = 0.08
"""Share of a stage's time after which its speed is taken as known, and its steps are fixed."""
_WARM_UP = 3
"""First steps, which take longer than others and tell nothing of the speed."""
_LEAST_STEPS = 20
"""Of a stage whose steps are a share of the regressor's."""
_LEAST_TIMED = 100
"""Steps that a stage takes at least where the recipe gives minutes, even if they are over."""


@dataclass
class Sums:
    """What was lost, and how open the mask was, since the last report."""

    loss: Tensor
    mask: Tensor
    steps: int = 0
    since: float = field(default_factory=time.monotonic)

    @classmethod
    def none(cls, device: str) -> Sums:
        """Return sums of nothing."""
        zero = torch.zeros((), device=device)
        return cls(zero, zero.clone())


@dataclass
class Clock:
    """When to report, to save and to leave."""

    checkpoint: Path | None
    stop_after_s: float
    report: Callable[[Progress], None]
    report_every_s: float
    save_every_s: float
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)


class StagedRun(ABC):
    """One fit: regressor, control with shuffled signal, mask, and what may follow.

    Where the recipe says minutes, the first steps of a stage measure its speed; the number of its
    steps is then fixed and written to the checkpoint, and from then on nothing depends on the
    clock.

    Attributes
    ----------
    what : str
        What is learnt from: movies, tracks.
    stages : tuple of str
        In order; the last is "done".
    """

    what: ClassVar[str]
    stages: ClassVar[tuple[Stage, ...]]
    device: str
    state: State
    networks: nn.ModuleDict
    optimizer: torch.optim.AdamW
    signal: Signal
    seed: int
    schedule: ScheduleRecipe
    shares: dict[Stage, float]
    """Of stages whose steps are a share of the regressor's."""

    def go(self, clock: Clock, *, resume: bool) -> bool:
        """Take all stages, or go on from the checkpoint; False if the time was up before.

        Raises
        ------
        KeyboardInterrupt
            If it was asked for; the checkpoint is written before.
        SptError
            If the checkpoint is damaged or of another fit, or the signal can't be predicted.
        """
        if resume and clock.checkpoint is not None and clock.checkpoint.exists():
            self.restore(clock.checkpoint)
        with Interrupts() as interrupts:
            while self.state.stage != "done" and self._take(clock, interrupts):
                pass
            if clock.checkpoint is not None:
                self.save(clock.checkpoint)
        if self.state.stage != "done" and interrupts.asked:
            raise KeyboardInterrupt
        return self.state.stage == "done"

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(path, self.networks, self.optimizer, vars(self.state))

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = State.restored(peek(path), path)
        if state.fingerprint != self.state.fingerprint:
            raise SptError(
                f"the checkpoint {path} belongs to another recipe or other {self.what}. Start anew "
                f"without {option('resume', True)}.",
                code="conflict",
                option="resume",
            )
        self.state = state
        self.optimizer = self._begin()
        load_checkpoint(path, self.networks, self.optimizer)

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

    def _take(self, clock: Clock, interrupts: Interrupts) -> bool:
        """Finish the current stage; False if the time was up before."""
        state = self.state
        if not state.total:
            state.total = self._known_total()
        if not state.step:
            self._prepare()
        before, started, sums = state.elapsed_s, time.monotonic(), Sums.none(self.device)
        warm: tuple[int, float] | None = None
        first = state.step
        while not (state.total and state.step >= state.total):
            if interrupts.asked or time.monotonic() - clock.started >= clock.stop_after_s:
                return False
            self._step(sums)
            state.step += 1
            if self.device != "cpu" and state.step % 8:
                continue
            if self.device.startswith("cuda"):
                torch.cuda.synchronize()
            now = time.monotonic()
            state.elapsed_s = before + now - started
            budget = self._budget()
            if warm is None:
                warm = (state.step, now) if state.step - first >= _WARM_UP else None
            elif not state.total and state.elapsed_s >= _RATE_SHARE * budget:
                per_step = max((now - warm[1]) / (state.step - warm[0]), 1e-9)
                more = round((budget - state.elapsed_s) / per_step)
                state.total = max(_LEAST_TIMED, state.step + 1, state.step + more)
                clock.saved = -math.inf
            if now - sums.since >= clock.report_every_s:
                clock.report(self._progress(sums, budget))
                sums = Sums.none(self.device)
            if clock.checkpoint is not None and now - clock.saved >= clock.save_every_s:
                self.save(clock.checkpoint)
                clock.saved = now
        self._finish()
        if clock.checkpoint is not None:
            self.save(clock.checkpoint)
        return True

    def _known_total(self) -> int:
        stage, schedule = self.state.stage, self.schedule
        if stage in self.shares:
            return max(_LEAST_STEPS, round(self.shares[stage] * self.state.regressor_steps))
        return (schedule.regressor_steps if stage == "regressor" else schedule.mask_steps) or 0

    def _budget(self) -> float:
        """Return the seconds of the current stage."""
        schedule = self.schedule
        seconds = 60 * schedule.minutes
        first = seconds * schedule.regressor_share / (1 + self.shares["control"])
        if self.state.stage != "mask":
            return first
        left = seconds - self.state.before_s - self.shares.get("judge", 0.0) * first
        return max(left, seconds * (1 - schedule.regressor_share) / 2)

    def _done(self) -> float:
        """Return how much of the stage is done, above 0."""
        state = self.state
        if state.total:
            return (state.step + 1) / state.total
        return max(min(state.elapsed_s / self._budget(), 1.0), 1e-3)

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

    def _step(self, sums: Sums) -> None:
        loss, said, mask = self._losses(self._generator())
        loss.backward()  # type: ignore[no-untyped-call]
        sums.loss += said.detach()
        if mask is not None:
            sums.mask += mask.detach()
        sums.steps += 1
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self.schedule.clip_norm)
        share = self._share_of_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _progress(self, sums: Sums, budget: float) -> Progress:
        state, steps = self.state, max(sums.steps, 1)
        if state.total:
            left = (state.total - state.step) * (time.monotonic() - sums.since) / steps
        else:
            left = budget - state.elapsed_s
        mask = sums.mask.item() / steps if state.stage == "mask" else math.nan
        return Progress(
            state.stage, state.step, state.total, sums.loss.item() / steps, mask, max(left, 0.0)
        )

    def _finish(self) -> None:
        """Measure what the stage gave, and go to the next."""
        state = self.state
        self.networks.eval()
        if not all(bool(torch.isfinite(p).all()) for p in self.networks.parameters()):
            raise SptError(
                f"the fit diverged (stage {state.stage}): its parameters are not finite. Lower the "
                "learning rate of that stage in the recipe.",
                exit_code=1,
                code="failed",
            )
        self._measure()
        following = self.stages[self.stages.index(state.stage) + 1 :]
        state.stage = next(stage for stage in following if self.shares.get(stage, 1.0))
        state.before_s += state.elapsed_s
        state.step = state.total = 0
        state.elapsed_s = 0.0
        self.optimizer = self._begin()

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
            f"the signal can't be predicted from the {self.what}: {what} is {state.r2:.2f} on "
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
