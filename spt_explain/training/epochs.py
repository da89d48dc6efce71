"""Training on a fixed data set in epochs, with early stopping, as the paper does."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from spt_explain.errors import SptError, option
from spt_explain.resandi.network import BatchNorm, ResAnDi
from spt_explain.training.augment import choose, score, transformed
from spt_explain.training.batches import seeded
from spt_explain.training.checkpoint import load_checkpoint, save_checkpoint
from spt_explain.training.dataset import (
    Dataset,
    Trajectories,
    dataset_batches,
    join_trajectories,
    shape_batch,
    simulated_dataset,
)
from spt_explain.training.fitting import FitProgress, FitState, Kept, batch_losses, fingerprint
from spt_explain.training.interrupts import Interrupts
from spt_explain.training.processes import Processes
from spt_explain.training.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spt_explain.training.recipe import Recipe

__all__ = ["FitProgress", "FitState", "dataset_batches", "fit"]

_EVALUATED_AT_ONCE = 512
_LOOK_EVERY = 16
"""Steps between looks at the clock on a GPU, and between agreements of several processes."""
_VALIDATED_SHARE = 0.3
"""With minutes: trajectories validated on, per trajectory trained on; each costs a third."""
_FEWEST_VALIDATED = 512


def fit(
    recipe: Recipe,
    *,
    device: str,
    checkpoint: Path | None = None,
    data: Dataset | None = None,
    first: dict[str, torch.Tensor] | None = None,
    stop_after_s: float = math.inf,
    report: Callable[[FitProgress], None] = lambda _: None,
    report_every_s: float = 5.0,
    save_every_s: float = 120.0,
) -> tuple[ResAnDi, FitState]:
    """Train on a fixed data set, or go on from `checkpoint`.

    Adam on the cross-entropy; the rate is halved every few epochs; training stops when the
    validation loss has not fallen by more than a given amount for a number of epochs, and the
    parameters of the best epoch are kept. With ``fixed.minutes`` the rate is annealed to zero over
    that time instead (or over the most epochs, if they take less), and nothing stops it early.

    With ``augment = "random"``, copies of some trajectories are added to the training set before.
    With ``"gradcam"`` there are two phases: a network is trained on the training set (and the extra
    trajectories, if any); its best epoch scores the training set; copies of the trajectories of the
    highest score are added, and a new network is trained.

    All order follows from the seed, the phase and the epoch, and the copies from the seed, so a run
    that is stopped and taken up again passes through the same steps as one that is not: on the CPU
    to the last bit (with minutes, once the steps are fixed). Ctrl-C is obeyed between two steps.

    Under ``torchrun``, batches and the validation set are divided among the processes; gradients
    and running statistics are averaged.

    Parameters
    ----------
    recipe : Recipe
        With a ``[fixed]`` section.
    device : str
        A torch device.
    checkpoint : pathlib.Path, optional
        Safetensors file to go on from, if it is there, and to write: after every epoch, every
        `save_every_s`, and when the run ends or is interrupted. It appears whole or not at all.
    data : Dataset, optional
        What to train on; simulated by the recipe by default.
    first : dict of str to torch.Tensor, optional
        Parameters and statistics that each phase begins with; drawn at random by default.
    stop_after_s : float
        Leave after about this many seconds, finished or not.
    report : callable
        Called every `report_every_s` and after every epoch.
    report_every_s, save_every_s : float
        Seconds.

    Returns
    -------
    network : ResAnDi
        The best epoch's, on `device`, in evaluation mode.
    state : FitState

    Raises
    ------
    SptError
        If the checkpoint is damaged or of another run, or the training diverges.
    """
    run = _Fit(recipe, device, checkpoint, data, first)
    run.report, run.report_every_s = report, report_every_s
    run.save_every_s, run.stop_after_s = save_every_s, stop_after_s
    with Interrupts() as interrupts:
        run.interrupts = interrupts
        run.go()
    return run.result()


class _Fit:
    """One run; `go` goes through its phases."""

    report: Callable[[FitProgress], None]
    report_every_s: float
    save_every_s: float
    stop_after_s: float
    interrupts: Interrupts

    def __init__(
        self,
        recipe: Recipe,
        device: str,
        checkpoint: Path | None,
        data: Dataset | None,
        first: dict[str, torch.Tensor] | None,
    ) -> None:
        if recipe.fixed is None:
            raise ValueError("the recipe has no fixed data set")
        self.recipe, self.fixed = recipe, recipe.fixed
        self.device, self.checkpoint, self.first = device, checkpoint, first
        self.processes = Processes.of_environment()
        self.data = (data or simulated_dataset(recipe, device=device)).to(device)
        more = 0 if self.data.extra is None else len(self.data.extra)
        self.schedule = Schedule(recipe.fixed, len(self.data.training), more)
        self.kept = Kept(recipe, len(self.data.training)).to(device)
        self.cuda = device.startswith("cuda")
        if self.cuda:
            torch.backends.cudnn.benchmark = True
            self.kept.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.state = FitState(data=fingerprint(recipe, self.data))
        self.begin()
        if checkpoint is not None and checkpoint.exists():
            self.resume(checkpoint)
        self.started = self.saved = self.ticked = time.monotonic()
        self.sums = torch.zeros(4, dtype=torch.float64, device=device)
        self.mark()

    def go(self) -> None:
        """Train until the run is over, or it is time to leave."""
        while True:
            trajectories = self.trajectories()
            if not self.train(trajectories):
                return
            if self.state.best_epoch < 0:
                raise SptError(
                    "the training diverged: the validation loss was never a number. "
                    "Lower learning_rate in [fixed].",
                    exit_code=1,
                    code="failed",
                )
            if self.state.phase + 1 == self.schedule.phases:
                break
            self.choose()
            self.state.phase += 1
            self.begin()
            self.save()
        self.state.finished = True
        self.state.trained_on = trajectories
        self.save()

    def result(self) -> tuple[ResAnDi, FitState]:
        """Return the best epoch's network; the last one's if none has ended."""
        found = self.kept.best if self.state.best_epoch >= 0 else self.kept.now
        return found.eval(), self.state

    def begin(self) -> None:
        """Set up a phase: new parameters, new optimiser, nothing done yet."""
        scoring = self.state.phase + 1 < self.schedule.phases
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed + scoring)
            fresh = ResAnDi(self.recipe.architecture).state_dict()
        self.kept.now.load_state_dict(fresh if self.first is None else self.first)
        self.optimizer = torch.optim.Adam(
            self.kept.now.parameters(), lr=self.fixed.learning_rate, fused=self.cuda
        )
        self.processes.begin_alike(self.kept.now)
        old = self.state
        self.state = FitState(
            phase=old.phase,
            samples=old.samples,
            elapsed_s=old.elapsed_s,
            data=old.data,
            history=old.history,
        )

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint."""
        try:
            values = load_checkpoint(checkpoint, self.kept, self.optimizer)
            state = FitState(**values)
        except (TypeError, ValueError) as error:
            raise SptError(
                f"the checkpoint {checkpoint} is damaged. Start anew without "
                f"{option('resume', True)}.",
                code="unreadable",
                option="resume",
            ) from error
        if state.data != self.state.data:
            raise SptError(
                f"the checkpoint {checkpoint} was begun with another recipe or other data. Give "
                f"the same ones, or start anew without {option('resume', True)}.",
                code="conflict",
                option="resume",
            )
        self.state = state
        self.state.finished = False

    def trajectories(self) -> Trajectories:
        """Return what this phase trains on."""
        training, fixed, seed = self.data.training, self.fixed, self.recipe.seed
        if self.state.phase + 1 < self.schedule.phases:
            if self.data.extra is None:
                return training
            return join_trajectories([training, self.data.extra])
        if fixed.augment == "none":
            return training
        if fixed.augment == "random":
            repeats = fixed.augment_repeats
            index = choose(training.label, fixed.augment_share, seed=seed, repeats=repeats)
        else:
            index = torch.nonzero(self.kept.chosen.cpu())[:, 0]
        copies = transformed(
            training,
            index,
            fixed.augment_by,
            seed=seed,
            noise_max=fixed.augment_noise_max,
            gap_max=fixed.augment_gap_max,
        )
        return join_trajectories([training, copies])

    def choose(self) -> None:
        """Let the best network so far score the training set, and keep what it chooses."""
        training = self.data.training
        scores = score(self.kept.best.eval(), training, of=self.fixed.score_of)
        index = choose(
            training.label, self.fixed.augment_share, seed=self.recipe.seed, scores=scores
        )
        chosen = torch.zeros(len(training), dtype=torch.int32)
        chosen[index] = 1
        self.kept.chosen.copy_(chosen)

    def train(self, trajectories: Trajectories) -> bool:
        """Train until the phase is over; return whether it is."""
        state, size = self.state, self.fixed.batch_size
        steps = -(-len(trajectories) // size)
        if not self.fixed.minutes:
            state.total = self.fixed.epochs * steps
        while not self.schedule.over(state):
            generator = seeded("cpu", self.recipe.seed, "order", state.phase, state.epoch)
            order = torch.randperm(len(trajectories), generator=generator)
            self.kept.now.train()
            self.sums.copy_(torch.tensor(state.sums, dtype=torch.float64))
            self.mark()
            self.ticked = time.monotonic()
            while state.epoch_step < steps and not (state.total and state.step >= state.total):
                if self.leaving(always=False):
                    return False
                rate = self.schedule.learning_rate(self.state)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                self.step(trajectories, order[state.epoch_step * size :][:size])
                self.look(steps)
            if self.leaving() or not self.end_epoch(len(trajectories)):
                return False
        return True

    def step(self, trajectories: Trajectories, index: torch.Tensor) -> None:
        """Take one step on the trajectories `index`, this process's share of them."""
        count = self.processes.count
        self.state.step += 1
        self.state.epoch_step += 1
        if len(index) < count:
            return
        batch = shape_batch(
            trajectories, index[self.processes.rank :: count], self.recipe.architecture
        )
        with self.autocast():
            outputs = self.kept.now(*batch.groups)
        loss, sums = batch_losses(outputs.float(), batch, self.recipe)
        # gradients are averaged over processes whose shares may differ by one
        weight = len(batch.label) * count / len(index)
        (loss * weight).backward()  # type: ignore[no-untyped-call]
        self.processes.average_gradients(self.kept.now)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.sums += sums * count
        self.state.seen += len(index)
        self.state.samples += len(index)

    def autocast(self) -> torch.autocast:
        """Return the precision of the forward pass, as a context."""
        return torch.autocast(
            self.device.split(":")[0], dtype=torch.bfloat16, enabled=self.cuda and self.fixed.bf16
        )

    def look(self, steps: int) -> None:
        """Look at the clock: fix the steps, report, save; an epoch has so many `steps`."""
        state, fixed = self.state, self.fixed
        if state.step % _LOOK_EVERY and self.cuda:
            return
        self.tick()
        if fixed.minutes and not state.total:
            spent = self.processes.agree(state.phase_s)
            if self.schedule.fix_steps(state, spent, steps):
                self.saved = -math.inf
        now = time.monotonic()
        if now - self.reported[0] >= self.report_every_s:
            self.report(self.progress(now))
            self.mark()
        if now - self.saved >= self.save_every_s:
            self.save()

    def tick(self) -> None:
        """Count the time since the last look."""
        if self.cuda:
            torch.cuda.synchronize()
        now = time.monotonic()
        self.state.phase_s += now - self.ticked
        self.state.elapsed_s += now - self.ticked
        self.ticked = now

    def leaving(self, *, always: bool = True) -> bool:
        """Save and leave where that was asked for, by Ctrl-C or the time; all processes alike."""
        several = self.processes.count > 1
        if several and not always and self.state.step % _LOOK_EVERY:
            return False
        asked = float(self.interrupts.asked)
        late = float(time.monotonic() - self.started >= self.stop_after_s)
        if several:
            both = torch.tensor([asked, late], device=self.device)
            distributed.all_reduce(both, distributed.ReduceOp.MAX)
            asked, late = both.tolist()
        if asked or late:
            self.save()
        if asked:
            raise KeyboardInterrupt
        return bool(late)

    def end_epoch(self, trained: int) -> bool:
        """Validate, keep the parameters if they are the best; return False to leave instead."""
        state, fixed = self.state, self.fixed
        self.share_statistics()
        found = self.validate(trained)
        if found is None:
            return False
        loss, accuracy = found
        self.tick()
        seen, (loss_sum, hits, *_) = max(state.seen, 1), self.sums.tolist()
        state.history.append(
            {
                "phase": state.phase,
                "epoch": state.epoch,
                "learning_rate": self.schedule.learning_rate(self.state),
                "loss": loss_sum / seen,
                "accuracy": hits / seen,
                "validation_loss": loss,
                "validation_accuracy": accuracy,
            }
        )
        if math.isfinite(loss) and (state.best_epoch < 0 or loss <= state.best_loss - fixed.delta):
            state.best_epoch, state.best_loss, state.best_accuracy = state.epoch, loss, accuracy
            state.stale = 0
            self.kept.best.load_state_dict(self.kept.now.state_dict())
        else:
            state.stale += 1
        self.report(self.progress(time.monotonic()))
        state.epoch += 1
        state.epoch_step = state.seen = 0
        self.sums.zero_()
        self.save()
        return True

    @torch.no_grad()
    def validate(self, trained: int) -> tuple[float, float] | None:
        """Return mean loss and accuracy on the validation set; None to leave.

        With minutes, on no more of it than costs a tenth of the training.
        """
        validation, processes = self.data.validation, self.processes
        order = torch.randperm(
            len(validation), generator=seeded("cpu", self.recipe.seed, "validate")
        )
        if self.fixed.minutes:
            share = min(trained, self.state.total * self.fixed.batch_size or trained)
            order = order[: max(_FEWEST_VALIDATED, round(_VALIDATED_SHARE * share))]
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        network = self.kept.now.eval()
        own = order[processes.rank :: processes.count]
        for index in torch.split(own, _EVALUATED_AT_ONCE):
            if processes.count == 1 and self.leaving():
                return None
            batch = shape_batch(validation, index, self.recipe.architecture)
            with self.autocast():
                outputs = network(*batch.groups)
            sums += batch_losses(outputs.float(), batch, self.recipe)[1][:2]
        if processes.count > 1:
            distributed.all_reduce(sums)
        loss, accuracy = (sums / len(order)).tolist()
        return loss, accuracy

    def share_statistics(self) -> None:
        """Average the running statistics over the processes."""
        if self.processes.count == 1:
            return
        for module in self.kept.now.modules():
            if isinstance(module, BatchNorm):
                for values in (module.running_mean, module.running_var):
                    distributed.all_reduce(values)
                    values /= self.processes.count

    def save(self) -> None:
        """Write a checkpoint, from one of the processes."""
        self.saved = time.monotonic()
        self.state.sums = self.sums.tolist()
        if self.checkpoint is not None and self.processes.rank == 0:
            save_checkpoint(self.checkpoint, self.kept, self.optimizer, self.state.to_dict())

    def mark(self) -> None:
        """Remember where the next report begins."""
        self.reported = (time.monotonic(), self.state.seen, self.sums.tolist())

    def progress(self, now: float) -> FitProgress:
        """Return the means since the last report; of the epoch where nothing is new since."""
        state, fixed = self.state, self.fixed
        since, seen, before = self.reported
        if state.seen == seen:
            seen, before = 0, [0.0] * 4
        n = max(state.seen - seen, 1)
        loss, hits, error, known = (a - b for a, b in zip(self.sums.tolist(), before, strict=True))
        per_second = n / max(now - since, 1e-9)
        if state.total:
            left = (state.total - state.step) * fixed.batch_size / per_second
        else:
            left = self.schedule.budget(state.phase) - state.phase_s
        last: dict[str, Any] = state.history[-1] if state.history else {}
        if last.get("phase") != state.phase:
            last = {}
        return FitProgress(
            step=state.step,
            total=state.total,
            loss=loss / n,
            accuracy=hits / n,
            alpha_error=error / known if known else math.nan,
            per_second=per_second,
            left_s=max(left, 0.0),
            learning_rate=self.schedule.learning_rate(self.state),
            phase=state.phase + 1,
            phases=self.schedule.phases,
            epoch=state.epoch + 1,
            epochs=0 if fixed.minutes else fixed.epochs,
            validation_loss=last.get("validation_loss", math.nan),
            validation_accuracy=last.get("validation_accuracy", math.nan),
            best_epoch=state.best_epoch + 1,
        )
