"""Training on fresh trajectories: it ends annealed, and goes on where it was stopped."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spt_explain.resandi.network import ResAnDi
from spt_explain.training.batches import batches
from spt_explain.training.conditions import Conditions
from spt_explain.training.loop import Fit, Interval, Progress, State, run
from spt_explain.training.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spt_explain.training.recipe import Recipe


@dataclass(frozen=True)
class TrainingProgress(Progress):
    """What is reported while a classifier is trained; see `Progress`.

    Attributes
    ----------
    accuracy : float
        Of the batches since the last report.
    alpha_error : float
        Mean absolute error of α; NaN without that output.
    per_second : float
        Trajectories.
    learning_rate : float
        At the last step.
    """

    accuracy: float
    alpha_error: float
    per_second: float
    learning_rate: float


@dataclass
class _Sums:
    """Sums over the steps since the last report, kept on the device."""

    loss: torch.Tensor
    hits: torch.Tensor
    alpha: torch.Tensor

    @classmethod
    def none(cls, device: str) -> _Sums:
        """Return sums of nothing."""
        zero = torch.zeros((), device=device)
        return cls(zero, zero.clone(), zero.clone())


def train(
    recipe: Recipe,
    *,
    device: str,
    checkpoint: Path | None = None,
    conditions: Conditions | None = None,
    first: dict[str, torch.Tensor] | None = None,
    stop_after_s: float = math.inf,
    report: Callable[[TrainingProgress], None] = lambda _: None,
    report_every_s: float = 5.0,
    save_every_s: float = 60.0,
) -> tuple[ResAnDi, State]:
    """Train, or go on from `checkpoint`, until the recipe's minutes (or steps) are used.

    Where the recipe says minutes, the first few per cent of them measure the speed; the number of
    steps is then fixed, written to the checkpoint, and the rate is annealed over them. From then
    on nothing depends on the clock: a run that is stopped and taken up again passes through the
    same steps as one that is not.

    Ctrl-C is obeyed between two steps, after a checkpoint is written; a second one at once.

    Under ``torchrun``, each process trains on its own trajectories and gradients are averaged.

    Parameters
    ----------
    recipe : Recipe
        What to train and on what.
    device : str
        A torch device.
    checkpoint : pathlib.Path, optional
        Safetensors file to go on from, if it is there, and to write: every `save_every_s`, when
        the run ends, and when it is interrupted. It appears whole or not at all.
    conditions : Conditions, optional
        Lengths, noise, gaps and blur; those of the recipe by default.
    first : dict of str to torch.Tensor, optional
        Parameters and statistics to begin with; drawn at random by default.
    stop_after_s : float
        Leave after about this many seconds, finished or not.
    report : callable
        Called every `report_every_s`.
    report_every_s, save_every_s : float
        Seconds.

    Returns
    -------
    network : ResAnDi
        On `device`, in evaluation mode.
    state : State

    Raises
    ------
    SptError
        If the checkpoint is damaged or of another network.
    """
    fit = _StreamFit(recipe, device, conditions, first)
    run(
        fit,
        checkpoint=checkpoint,
        stop_after_s=stop_after_s,
        report=report,
        report_every_s=report_every_s,
        save_every_s=save_every_s,
    )
    return fit.networks.eval(), fit.state


def make_optimizer(recipe: Recipe, network: ResAnDi, *, fused: bool) -> torch.optim.AdamW:
    """Return AdamW with decay on kernels only."""
    decay = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": decay, "weight_decay": recipe.schedule.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=recipe.schedule.learning_rate,
        fused=fused,
    )


def learning_rate(progress: float, recipe: Recipe) -> float:
    """Return the rate at a share of the run: a linear warm-up, then half a cosine to zero."""
    schedule = recipe.schedule
    if progress < schedule.warmup_share:
        return schedule.learning_rate * max(progress / schedule.warmup_share, 0.01)
    rest = (progress - schedule.warmup_share) / (1 - schedule.warmup_share)
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * min(rest, 1)))


def pinball(raw: torch.Tensor, alpha: torch.Tensor, levels: tuple[float, ...]) -> torch.Tensor:
    """Return the mean pinball loss of α's quantiles (Koenker & Bassett 1978, doi:10.2307/1913643).

    Parameters
    ----------
    raw : torch.Tensor, shape (n, 3)
        Outputs as `resandi.architecture.alpha_quantiles` takes them.
    alpha : torch.Tensor, shape (n,)
        Truth.
    levels : tuple of float
        Levels of low, median and high.
    """
    median = raw[:, 1] + 1
    softplus = torch.nn.functional.softplus
    found = torch.stack([median - softplus(raw[:, 0]), median, median + softplus(raw[:, 2])], 1)
    error = alpha[:, None] - found
    level = torch.tensor(levels, device=raw.device)
    return torch.maximum(level * error, (level - 1) * error).sum(1).mean()


class _StreamFit(Fit):
    """Training on trajectories that are simulated as it goes on."""

    known_share = 0.05
    compiles = True
    data_name = "trajectories"
    device: str
    networks: ResAnDi

    def __init__(
        self,
        recipe: Recipe,
        device: str,
        conditions: Conditions | None,
        first: dict[str, torch.Tensor] | None,
    ) -> None:
        self.recipe, self.device = recipe, device
        self.processes = Processes.of_environment()
        self.conditions = conditions or Conditions(recipe.data)
        torch.manual_seed(recipe.seed)
        network = ResAnDi(recipe.architecture)
        if first is not None:
            network.load_state_dict(first)
        network.to(device)
        self.cuda = device.startswith("cuda")
        if self.cuda:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.benchmark = True
        self.networks = network
        self.optimizer = make_optimizer(recipe, network, fused=self.cuda)
        # How long it goes on may change from one run to the next.
        plan = recipe.model_dump_json(exclude={"schedule": {"steps", "minutes"}})
        self.state = State(fingerprint=hashlib.sha256(plan.encode()).hexdigest())

    @property
    def budget_s(self) -> float:
        """Seconds of the training."""
        return self.recipe.schedule.minutes * 60

    @property
    def rate_name(self) -> str:
        """The learning rate to lower if the training diverges."""
        return "learning_rate in [schedule]"

    def prepare(self) -> None:
        """Compile the network, and begin the stream of batches at the current step."""
        if self.recipe.schedule.steps:
            self.state.total = self.recipe.schedule.steps
        self.processes.begin_alike(self.networks)
        self.forward: Callable[..., torch.Tensor] = self.networks
        if self.cuda:  # one graph of all the small kernels
            self.forward = torch.compile(self.networks, dynamic=False, mode="reduce-overhead")
        self.stream = batches(
            self.recipe,
            self.conditions,
            self.device,
            start=self.state.step,
            process=self.processes.rank,
        )
        self.networks.train()
        self.sums = _Sums.none(self.device)

    def step(self) -> int:
        """Take one step on a batch; return its size, over all processes."""
        batch, state = next(self.stream), self.state
        share = state.step / state.total if state.total else min(self.share_done, 1.0)
        self.rate = learning_rate(share, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        if self.cuda:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16, enabled=self.cuda):
            outputs = self.forward(*batch.groups)
        outputs = outputs.float()
        sums, shape = self.sums, self.networks.architecture
        joint = outputs[:, : shape.n_logits]
        truth = batch.label * shape.n_conditions + batch.condition
        loss = torch.nn.functional.cross_entropy(joint, truth)
        logits = joint.detach().view(len(truth), -1, shape.n_conditions).logsumexp(2)
        sums.loss += torch.nn.functional.cross_entropy(logits, batch.label)
        if shape.alpha_levels:
            raw = outputs[:, shape.n_logits :]
            quantiles = pinball(raw, batch.alpha, shape.alpha_levels)
            loss = loss + self.recipe.schedule.alpha_weight * quantiles
            sums.alpha += (raw[:, 1].detach() + 1 - batch.alpha).abs().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self.processes.average_gradients(self.networks)
        torch.nn.utils.clip_grad_norm_(self.networks.parameters(), self.recipe.schedule.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        sums.hits += (logits.argmax(1) == batch.label).float().mean()
        return self.recipe.batch_size * self.processes.count

    def progress(self, interval: Interval) -> TrainingProgress:
        """Return the means of an interval."""
        state, sums, steps = self.state, self.sums, max(interval.steps, 1)
        self.sums = _Sums.none(self.device)
        with_alpha = bool(self.networks.architecture.alpha_levels)
        samples = interval.steps * self.recipe.batch_size * self.processes.count
        return TrainingProgress(
            step=state.step,
            total=state.total,
            loss=sums.loss.item() / steps,
            left_s=interval.left_s,
            accuracy=sums.hits.item() / steps,
            alpha_error=sums.alpha.item() / steps if with_alpha else math.nan,
            per_second=samples / interval.seconds,
            learning_rate=self.rate,
        )
