"""The one training loop: time budget, reports, checkpoints, Ctrl-C; a `Fit` says what a step is."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from spt_explain.errors import SptError, option
from spt_explain.training.checkpoint import load_checkpoint, read_state, save_checkpoint
from spt_explain.training.interrupts import Interrupts
from spt_explain.training.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

_LOOK_EVERY = 16
"""Steps between looks at the clock on a GPU, where each waits for the queued work, and of several
processes, where each is an exchange."""


@dataclass
class State:
    """How far a fit has come; a checkpoint holds all of it.

    Attributes
    ----------
    fingerprint : str
        Digest of what the fit depends on; a checkpoint with another one is refused.
    step, total : int
        Steps of the current stage, done and in all; the total is 0 until it is known.
    samples : int
        Examples seen in all stages, over all processes.
    stage_s, elapsed_s : float
        Seconds of training in the current stage and in all stages, over all resumes.
    finished : bool
        Whether all stages are over.
    """

    fingerprint: str = ""
    step: int = 0
    total: int = 0
    samples: int = 0
    stage_s: float = 0.0
    elapsed_s: float = 0.0
    finished: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a checkpoint."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.init}

    @classmethod
    def restored(cls, values: dict[str, Any], source: Path) -> Self:
        """Return the state that `to_dict` gave for a checkpoint.

        Raises
        ------
        SptError
            If the values are not those of such a state.
        """
        if values.keys() != cls().to_dict().keys() or not cls.is_valid(values):
            raise SptError(
                f"the checkpoint {source} is damaged: it does not say how far the fit has come. "
                f"Start anew without {option('resume', True)}.",
                code="unreadable",
                option="resume",
            )
        return cls(**values)

    @classmethod
    def is_valid(cls, values: dict[str, Any]) -> bool:
        """Whether values have the types of the defaults, are finite where those are, and ≥ 0."""
        for name, default in cls().to_dict().items():
            value = values[name]
            if not isinstance(value, type(default)):
                return False
            if isinstance(value, float) and math.isfinite(default) and not math.isfinite(value):
                return False
        return all(
            values[name] >= 0 for name in ("step", "total", "samples", "stage_s", "elapsed_s")
        )


@dataclass(frozen=True)
class Progress:
    """What is reported while a fit goes on: means since the last report.

    Attributes
    ----------
    step, total : int
        Steps of the current stage, done and in all; the total is 0 while unknown.
    loss : float
        Mean loss.
    left_s : float
        Seconds left for the stage.
    """

    step: int
    total: int
    loss: float
    left_s: float


@dataclass(frozen=True)
class Interval:
    """The time between two reports.

    Attributes
    ----------
    steps : int
        Steps taken.
    seconds : float
        Seconds that they took.
    left_s : float
        Seconds left for the stage at that speed, or of its budget.
    """

    steps: int
    seconds: float
    left_s: float


class Fit(ABC):
    """A fit in one or more stages, as `run` drives it.

    Attributes
    ----------
    state : State
        How far the fit has come. `run` counts the steps and the time.
    networks : torch.nn.Module
        The networks in the checkpoint.
    optimizer : torch.optim.Optimizer
        The optimiser of the current stage.
    device : str or torch.device
    processes : Processes
        The processes that train together.
    data_name : str
        What is learnt from, for messages: movies, tracks.
    known_share : float
        Share of a stage's time after which its speed is known and its steps are fixed; infinity:
        never, and the stage ends by the clock.
    warm_up : int
        First steps after the start or a resume that are left out of the measured speed; 0: the
        speed is the mean of the whole stage, so that the share done does not jump.
    compiles : bool
        Whether the first step compiles: it does not count against the budget, and no report,
        checkpoint or interruption follows it.
    evaluation_counts : bool
        Whether an evaluation belongs to the training: its time counts against the budget, and a
        report and a checkpoint follow it.
    """

    state: State
    networks: nn.Module
    optimizer: torch.optim.Optimizer
    device: str | torch.device
    processes: Processes = Processes()
    data_name: ClassVar[str] = "data"
    known_share: ClassVar[float] = math.inf
    warm_up: ClassVar[int] = 0
    compiles: ClassVar[bool] = False
    evaluation_counts: ClassVar[bool] = False

    @abstractmethod
    def step(self) -> int:
        """Take one step of the optimiser; return the number of examples it saw."""

    @abstractmethod
    def progress(self, interval: Interval) -> Progress:
        """Return the means of an interval, and begin the next one."""

    @property
    @abstractmethod
    def budget_s(self) -> float:
        """Seconds of the current stage; read only while its number of steps is unknown."""

    @property
    @abstractmethod
    def rate_name(self) -> str:
        """The learning rate to lower if the current stage diverges, as a recipe names it."""

    @property
    def share_done(self) -> float:
        """Share of the current stage that is done, while its number of steps is unknown."""
        return self.state.stage_s / self.budget_s

    @property
    def step_limits(self) -> tuple[float, float]:
        """Least and most steps of a stage whose steps follow from its speed."""
        return 0, math.inf

    @property
    def is_over(self) -> bool:
        """Whether the current stage is over."""
        return bool(self.state.total) and self.state.step >= self.state.total

    @property
    def evaluation_due(self) -> bool:
        """Whether an evaluation comes before the next step."""
        return False

    def evaluate(self, is_leaving: Callable[[], bool]) -> bool:  # noqa: ARG002
        """Evaluate on held-out data; return False if `is_leaving` said so before the end."""
        return True

    def prepare(self) -> None:  # noqa: B027
        """Set up what the steps of the current stage need, at its start and after a resume."""

    def finish_stage(self) -> None:
        """Measure the stage's result, and go to the next stage or finish."""
        self.state.finished = True

    def is_finite(self) -> bool:
        """Whether the result of the current stage consists of finite numbers."""
        return all(bool(torch.isfinite(p).all()) for p in self.networks.parameters())

    def adopt(self, state: State) -> None:
        """Take the state of a checkpoint, before its tensors are loaded."""
        self.state = state
        # A finished fit goes on if the recipe now allows more steps.
        state.finished = False

    def state_dict(self) -> dict[str, Any]:
        """Return the plain values of the state, for a checkpoint."""
        return self.state.to_dict()


def run(
    fit: Fit,
    *,
    checkpoint: Path | None = None,
    resume: bool = True,
    stop_after_s: float = math.inf,
    report: Callable[[Any], None] = lambda _: None,
    report_every_s: float = 5.0,
    save_every_s: float = 60.0,
) -> bool:
    """Run a fit to its end, or go on from `checkpoint`.

    Where a stage has a time budget, its first steps measure the speed; the number of steps is then
    fixed and written to the checkpoint, and from then on nothing depends on the clock.

    Ctrl-C is obeyed between two steps, after a checkpoint is written; a second one at once.

    Parameters
    ----------
    fit : Fit
    checkpoint : pathlib.Path, optional
        Safetensors file written every `save_every_s`, after each stage, at the end, and when
        interrupted. It appears whole or not at all.
    resume : bool
        Whether to go on from the checkpoint if there is one.
    stop_after_s : float
        Leave after about this many seconds, finished or not.
    report : callable
        Called with a `Progress` every `report_every_s`.
    report_every_s, save_every_s : float
        Seconds.

    Returns
    -------
    bool
        Whether the fit is finished; False if `stop_after_s` came first.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C; the checkpoint is written before.
    SptError
        If the checkpoint is damaged or of another fit (codes "unreadable" and "conflict", option
        "resume"), or if the fit diverges (code "failed").
    """
    if resume and checkpoint is not None and checkpoint.exists():
        restore(fit, checkpoint)
    with Interrupts() as interrupts:
        loop = _Loop(
            fit, checkpoint, interrupts, stop_after_s, report, report_every_s, save_every_s
        )
        while not fit.state.finished and loop.run_stage():
            pass
        if not fit.state.finished:
            loop.save()
    if fit.processes.any(interrupts.asked):
        raise KeyboardInterrupt
    return fit.state.finished


def restore(fit: Fit, path: Path) -> None:
    """Put a checkpoint into a fit.

    Raises
    ------
    SptError
        If the checkpoint is damaged or of another fit.
    """
    state = type(fit.state).restored(read_state(path), path)
    if state.fingerprint != fit.state.fingerprint:
        raise SptError(
            f"the checkpoint {path} belongs to another recipe or other {fit.data_name}. Give the "
            f"same ones, or start anew without {option('resume', True)}.",
            code="conflict",
            option="resume",
        )
    # The state says of which stage the optimiser is that the tensors belong to.
    fit.adopt(state)
    load_checkpoint(path, fit.networks, fit.optimizer)


class _Loop:
    """The clock of one call of `run`: when to report, to save and to leave."""

    def __init__(
        self,
        fit: Fit,
        checkpoint: Path | None,
        interrupts: Interrupts,
        stop_after_s: float,
        report: Callable[[Any], None],
        report_every_s: float,
        save_every_s: float,
    ) -> None:
        self.fit, self.checkpoint, self.interrupts = fit, checkpoint, interrupts
        self.stop_after_s = stop_after_s
        self.report, self.report_every_s = report, report_every_s
        self.save_every_s = save_every_s
        self.on_gpu = torch.device(fit.device).type == "cuda"
        self.looks_always = not self.on_gpu and fit.processes.count == 1
        self.has_compiled = not fit.compiles
        self.started = self.saved = time.monotonic()

    def run_stage(self) -> bool:
        """Finish the current stage; return False to leave before."""
        fit = self.fit
        fit.prepare()
        state = fit.state
        self._start_clock()
        self.first_step = self.reported_step = state.step
        # Steps and seconds of the stage from which its speed is measured.
        self.warm = None if fit.warm_up else (int(fit.compiles), 0.0)
        while not fit.is_over:
            # An evaluation that was interrupted is done again before the next step.
            if not fit.evaluation_due:
                state.samples += fit.step()
                state.step += 1
                if not self.has_compiled:
                    self.has_compiled = True
                    self._wait()
                    self._start_clock()
                    continue
                if not self._is_look_due():
                    continue
            if not self._look():
                return False
        if not fit.is_finite():
            raise SptError(
                "the fit diverged: its loss or its parameters are not finite. Lower "
                f"{fit.rate_name}.",
                exit_code=1,
                code="failed",
            )
        fit.finish_stage()
        self.save()
        return True

    def save(self) -> None:
        """Write the checkpoint, from one of the processes."""
        fit = self.fit
        if self.checkpoint is not None and fit.processes.rank == 0:
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            save_checkpoint(self.checkpoint, fit.networks, fit.optimizer, fit.state_dict())

    def _start_clock(self) -> None:
        """Count the time of the budget and of the next report from now on."""
        self.mark = self.reported = time.monotonic()

    def _is_look_due(self) -> bool:
        fit = self.fit
        due = self.looks_always or fit.state.step % _LOOK_EVERY == 0
        return due or fit.evaluation_due or fit.is_over

    def _look(self) -> bool:
        """Count the time, fix the steps, evaluate, report and save; return False to leave."""
        fit = self.fit
        self._wait()
        now = time.monotonic()
        self._count(now)
        is_fixed = self._fix_total()
        evaluated = fit.evaluation_due
        if evaluated:
            if not fit.evaluate(self._is_leaving):
                return False
            self._wait()
            later = time.monotonic()
            if fit.evaluation_counts:
                self._count(later)
            self.mark = later
            self.reported += later - now
            now = later
        follows = evaluated and fit.evaluation_counts
        steps = fit.state.step - self.reported_step
        if follows or (steps and now - self.reported >= self.report_every_s):
            self.report(fit.progress(self._interval(now)))
            self.reported, self.reported_step = now, fit.state.step
        if self._is_leaving(now):
            return False
        if is_fixed or follows or now - self.saved >= self.save_every_s:
            self.save()
            self.saved = now
        return True

    def _count(self, now: float) -> None:
        """Count the time since the last mark against the budget, in all processes alike."""
        state, seconds = self.fit.state, self.fit.processes.agree(now - self.mark)
        state.stage_s += seconds
        state.elapsed_s += seconds
        self.mark = now

    def _fix_total(self) -> bool:
        """Fix the steps of the stage if its speed is known; return whether they are fixed now."""
        fit, state = self.fit, self.fit.state
        if state.total or fit.known_share == math.inf:
            return False
        if self.warm is None:
            if state.step - self.first_step >= fit.warm_up:
                self.warm = (state.step, state.stage_s)
            return False
        if fit.share_done < fit.known_share or state.step == self.warm[0]:
            return False
        per_step = max((state.stage_s - self.warm[1]) / (state.step - self.warm[0]), 1e-9)
        # The step that compiled has no time of its own, and is one of the budget's steps.
        done = state.step - fit.compiles
        wanted = done + round((fit.budget_s - state.stage_s) / per_step)
        least, most = fit.step_limits
        state.total = int(max(least, state.step + 1, min(wanted, most)))
        return True

    def _interval(self, now: float) -> Interval:
        state = self.fit.state
        steps, seconds = state.step - self.reported_step, max(now - self.reported, 1e-9)
        if state.total:
            left = (state.total - state.step) * seconds / max(steps, 1)
        else:
            left = self.fit.budget_s - state.stage_s
        return Interval(steps, seconds, max(left, 0.0))

    def _is_leaving(self, now: float | None = None) -> bool:
        """Whether Ctrl-C or the time asks to leave, in any of the processes."""
        now = time.monotonic() if now is None else now
        late = now - self.started >= self.stop_after_s
        return self.fit.processes.any(self.interrupts.asked or late)

    def _wait(self) -> None:
        """Wait until the GPU has done what was asked of it."""
        if self.on_gpu:
            torch.cuda.synchronize()
