"""Training on a fixed data set in epochs, with early stopping, as the paper does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from spt_explain.resandi.network import BatchNorm, ResAnDi
from spt_explain.training.augment import choose, score, transformed
from spt_explain.training.batches import seeded
from spt_explain.training.dataset import (
    Dataset,
    Trajectories,
    dataset_batches,
    join_trajectories,
    shape_batch,
    simulated_dataset,
)
from spt_explain.training.fitting import FitProgress, FitState, Kept, batch_losses, fingerprint
from spt_explain.training.loop import Fit, Interval, run
from spt_explain.training.processes import Processes
from spt_explain.training.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spt_explain.training.recipe import Recipe

__all__ = ["FitProgress", "FitState", "dataset_batches", "fit"]

_EVALUATED_AT_ONCE = 512
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
    task = _EpochFit(recipe, device, data, first)
    run(
        task,
        checkpoint=checkpoint,
        stop_after_s=stop_after_s,
        report=report,
        report_every_s=report_every_s,
        save_every_s=save_every_s,
    )
    return task.result()


class _EpochFit(Fit):
    """Training on a fixed data set; a stage of the loop is a phase."""

    known_share = 0.05
    evaluation_counts = True
    device: str
    state: FitState
    ended: tuple[float, float, float] | None
    """Means of the epoch that has just ended, until they are reported."""

    def __init__(
        self,
        recipe: Recipe,
        device: str,
        data: Dataset | None,
        first: dict[str, torch.Tensor] | None,
    ) -> None:
        if recipe.fixed is None:
            raise ValueError("the recipe has no fixed data set")
        self.recipe, self.fixed = recipe, recipe.fixed
        self.device, self.first = device, first
        self.processes = Processes.of_environment()
        self.data = (data or simulated_dataset(recipe, device=device)).to(device)
        more = 0 if self.data.extra is None else len(self.data.extra)
        self.schedule = Schedule(recipe.fixed, len(self.data.training), more)
        self.networks: Kept = Kept(recipe, len(self.data.training)).to(device)
        self.cuda = device.startswith("cuda")
        if self.cuda:
            torch.backends.cudnn.benchmark = True
            self.networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.sums = torch.zeros(4, dtype=torch.float64, device=device)
        self.state = FitState(fingerprint=fingerprint(recipe, self.data))
        self.begin()

    @property
    def budget_s(self) -> float:
        """Seconds of the phase."""
        return self.schedule.budget(self.state.phase)

    @property
    def share_done(self) -> float:
        """Share of the phase's time, or of its most epochs, that is over."""
        return max(self.state.stage_s / self.budget_s, self.state.epoch / self.fixed.epochs)

    @property
    def step_limits(self) -> tuple[float, float]:
        """Least and most steps of the phase."""
        return 0, self.fixed.epochs * self.steps

    @property
    def rate_name(self) -> str:
        """The learning rate to lower if the training diverges."""
        return "learning_rate in [fixed]"

    @property
    def is_over(self) -> bool:
        """Whether the phase is over."""
        return self.schedule.over(self.state)

    @property
    def evaluation_due(self) -> bool:
        """Whether an epoch ends here."""
        state = self.state
        ends = bool(state.total) and state.step >= state.total
        return state.epoch_step > 0 and (state.epoch_step >= self.steps or ends)

    def is_finite(self) -> bool:
        """Whether the validation loss was ever a number: the best epoch's parameters are kept."""
        return self.state.best_epoch >= 0

    def result(self) -> tuple[ResAnDi, FitState]:
        """Return the best epoch's network; the last one's if none has ended."""
        found = self.networks.best if self.state.best_epoch >= 0 else self.networks.now
        return found.eval(), self.state

    def begin(self) -> None:
        """Set up a phase: new parameters, new optimiser, nothing done yet."""
        scoring = self.state.phase + 1 < self.schedule.phases
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed + scoring)
            fresh = ResAnDi(self.recipe.architecture).state_dict()
        self.networks.now.load_state_dict(fresh if self.first is None else self.first)
        self.optimizer = torch.optim.Adam(
            self.networks.now.parameters(), lr=self.fixed.learning_rate, fused=self.cuda
        )
        self.processes.begin_alike(self.networks.now)
        old = self.state
        self.state = FitState(
            phase=old.phase,
            samples=old.samples,
            elapsed_s=old.elapsed_s,
            fingerprint=old.fingerprint,
            history=old.history,
        )

    def prepare(self) -> None:
        """Choose the trajectories of the phase, and go on where its epoch was left."""
        self.training = self.trajectories()
        self.steps = -(-len(self.training) // self.fixed.batch_size)
        if not self.fixed.minutes:
            self.state.total = self.fixed.epochs * self.steps
        self.sums.copy_(torch.tensor(self.state.sums, dtype=torch.float64))
        self.mark()
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Draw the order of the epoch."""
        state = self.state
        generator = seeded("cpu", self.recipe.seed, "order", state.phase, state.epoch)
        self.order = torch.randperm(len(self.training), generator=generator)
        self.networks.now.train()

    def finish_stage(self) -> None:
        """Choose what the next phase adds, or finish."""
        if self.state.phase + 1 == self.schedule.phases:
            self.state.finished = True
            self.state.trained_on = self.training
            return
        self.choose()
        self.state.phase += 1
        self.begin()

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
            index = torch.nonzero(self.networks.chosen.cpu())[:, 0]
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
        scores = score(self.networks.best.eval(), training, of=self.fixed.score_of)
        index = choose(
            training.label, self.fixed.augment_share, seed=self.recipe.seed, scores=scores
        )
        chosen = torch.zeros(len(training), dtype=torch.int32)
        chosen[index] = 1
        self.networks.chosen.copy_(chosen)

    def step(self) -> int:
        """Take one step on the next trajectories, of which this process has a share."""
        state, size, count = self.state, self.fixed.batch_size, self.processes.count
        rate = self.schedule.learning_rate(state)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        index = self.order[state.epoch_step * size :][:size]
        state.epoch_step += 1
        if len(index) < count:
            return 0
        batch = shape_batch(
            self.training, index[self.processes.rank :: count], self.recipe.architecture
        )
        network = self.networks.now
        with self.autocast():
            outputs = network(*batch.groups)
        loss, sums = batch_losses(outputs.float(), batch, self.recipe)
        # gradients are averaged over processes whose shares may differ by one
        weight = len(batch.label) * count / len(index)
        (loss * weight).backward()  # type: ignore[no-untyped-call]
        self.processes.average_gradients(network)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.sums += sums * count
        state.seen += len(index)
        return len(index)

    def autocast(self) -> torch.autocast:
        """Return the precision of the forward pass, as a context."""
        return torch.autocast(
            self.device.split(":")[0], dtype=torch.bfloat16, enabled=self.cuda and self.fixed.bf16
        )

    def evaluate(self, is_leaving: Callable[[], bool]) -> bool:
        """Validate, and keep the parameters if they are the best."""
        state, fixed = self.state, self.fixed
        self.share_statistics()
        found = self.validate(is_leaving)
        if found is None:
            return False
        loss, accuracy = found
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
            self.networks.best.load_state_dict(self.networks.now.state_dict())
        else:
            state.stale += 1
        ended = self.means()
        state.epoch += 1
        state.epoch_step = state.seen = 0
        self.sums.zero_()
        self.mark()
        self.ended = ended
        self.begin_epoch()
        return True

    @torch.no_grad()
    def validate(self, is_leaving: Callable[[], bool]) -> tuple[float, float] | None:
        """Return mean loss and accuracy on the validation set; None to leave.

        With minutes, on no more of it than costs a tenth of the training.
        """
        validation, processes = self.data.validation, self.processes
        order = torch.randperm(
            len(validation), generator=seeded("cpu", self.recipe.seed, "validate")
        )
        if self.fixed.minutes:
            trained = len(self.training)
            share = min(trained, self.state.total * self.fixed.batch_size or trained)
            order = order[: max(_FEWEST_VALIDATED, round(_VALIDATED_SHARE * share))]
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        network = self.networks.now.eval()
        own = order[processes.rank :: processes.count]
        for index in torch.split(own, _EVALUATED_AT_ONCE):
            if processes.count == 1 and is_leaving():
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
        for module in self.networks.now.modules():
            if isinstance(module, BatchNorm):
                for values in (module.running_mean, module.running_var):
                    distributed.all_reduce(values)
                    values /= self.processes.count

    def state_dict(self) -> dict[str, Any]:
        """Return the state with the sums of the epoch so far."""
        self.state.sums = self.sums.tolist()
        return super().state_dict()

    def mark(self) -> None:
        """Begin the means of the next report."""
        self.ended = None
        self.reported = (self.state.seen, self.sums.tolist())

    def means(self) -> tuple[float, float, float]:
        """Return loss, accuracy and error of α since the last report; else of the epoch."""
        seen, before = self.reported
        if self.state.seen == seen:
            seen, before = 0, [0.0] * 4
        n = max(self.state.seen - seen, 1)
        loss, hits, error, known = (a - b for a, b in zip(self.sums.tolist(), before, strict=True))
        return loss / n, hits / n, error / known if known else math.nan

    def progress(self, interval: Interval) -> FitProgress:
        """Return the means since the last report."""
        state, fixed = self.state, self.fixed
        # An evaluation ends the epoch, whose sums are gone.
        loss, accuracy, alpha_error = self.ended or self.means()
        self.mark()
        last: dict[str, Any] = state.history[-1] if state.history else {}
        if last.get("phase") != state.phase:
            last = {}
        return FitProgress(
            step=state.step,
            total=state.total,
            loss=loss,
            left_s=interval.left_s,
            accuracy=accuracy,
            alpha_error=alpha_error,
            per_second=interval.steps * fixed.batch_size / interval.seconds,
            learning_rate=self.schedule.learning_rate(state),
            phase=state.phase + 1,
            phases=self.schedule.phases,
            epoch=max(state.epoch + (state.epoch_step > 0), 1),
            epochs=0 if fixed.minutes else fixed.epochs,
            validation_loss=last.get("validation_loss", math.nan),
            validation_accuracy=last.get("validation_accuracy", math.nan),
            best_epoch=state.best_epoch + 1,
        )
