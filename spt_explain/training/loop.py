"""The training loop on fresh trajectories: it ends annealed, and goes on where it was stopped."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from spt_explain.errors import SptError, option
from spt_explain.resandi.network import ResAnDi
from spt_explain.training.batches import batches
from spt_explain.training.checkpoint import load_checkpoint, save_checkpoint
from spt_explain.training.conditions import Conditions
from spt_explain.training.interrupts import Interrupts
from spt_explain.training.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spt_explain.training.batches import Batch
    from spt_explain.training.recipe import Recipe

_LOOK_EVERY = 16
"""Steps between looks at the clock: on a GPU, each waits for the work queued until then."""
_RATE_SHARE = 0.05
"""Share of the budget after which the speed is taken as known, and the steps are fixed."""


@dataclass
class State:
    """How far a run has come.

    Attributes
    ----------
    step, total : int
        Steps done, and steps in all; the total is 0 until it is known.
    samples : int
        Trajectories seen, over all processes.
    elapsed_s : float
        Time spent training, without compiling.
    finished : bool
        Whether the run is over.
    """

    step: int = 0
    total: int = 0
    samples: int = 0
    elapsed_s: float = 0.0
    finished: bool = False

    @classmethod
    def restored(cls, values: dict[str, Any], source: Path) -> State:
        """Return what `vars` gave for a checkpoint.

        Raises
        ------
        SptError
            If it is something else.
        """
        plain = vars(cls())
        if values.keys() != plain.keys() or not all(
            isinstance(values[name], type(value)) and 0 <= values[name] < math.inf
            for name, value in plain.items()
        ):
            raise SptError(
                f"the checkpoint {source} is damaged: it does not say how far the run has come. "
                f"Start anew without {option('resume', True)}.",
                code="unreadable",
                option="resume",
            )
        return cls(**values)


@dataclass(frozen=True)
class Progress:
    """What is reported while a run goes on: means since the last report.

    Attributes
    ----------
    step, total : int
        Steps done and in all (0 while unknown).
    loss, accuracy : float
        Of the batches since the last report.
    alpha_error : float
        Mean absolute error of α; NaN without that output.
    per_second : float
        Trajectories.
    left_s : float
        Time left.
    learning_rate : float
        At the last step.
    """

    step: int
    total: int
    loss: float
    accuracy: float
    alpha_error: float
    per_second: float
    left_s: float
    learning_rate: float


@dataclass
class _Sums:
    """Sums over the steps since the last report, kept on the device."""

    loss: torch.Tensor
    hits: torch.Tensor
    alpha: torch.Tensor
    steps: int = 0
    since: float = field(default_factory=time.monotonic)


def train(
    recipe: Recipe,
    *,
    device: str,
    checkpoint: Path | None = None,
    conditions: Conditions | None = None,
    first: dict[str, torch.Tensor] | None = None,
    stop_after_s: float = math.inf,
    report: Callable[[Progress], None] = lambda _: None,
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
    processes = Processes.of_environment()
    torch.manual_seed(recipe.seed)
    network = ResAnDi(recipe.architecture)
    if first is not None:
        network.load_state_dict(first)
    network.to(device)
    cuda = device.startswith("cuda")
    if cuda:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    optimizer = make_optimizer(recipe, network, fused=cuda)
    state = State()
    if checkpoint is not None and checkpoint.exists():
        state = State.restored(load_checkpoint(checkpoint, network, optimizer), checkpoint)
    if recipe.schedule.steps:
        state.total = recipe.schedule.steps
    run = _Run(recipe, network, optimizer, device, processes)
    stream = batches(
        recipe,
        conditions or Conditions(recipe.data),
        device,
        start=state.step,
        process=processes.rank,
    )
    network.train()
    before = state.elapsed_s
    budget = recipe.schedule.minutes * 60
    started = saved = time.monotonic()
    entered = state.step
    sums = run.no_sums()
    with Interrupts() as interrupts:
        while not (state.total and state.step >= state.total):
            progress = state.step / state.total if state.total else before_known(state, budget)
            rate = learning_rate(progress, recipe)
            run.step(next(stream), rate, sums)
            state.step += 1
            state.samples += recipe.batch_size * processes.count
            if state.step == entered + 1:
                # compiling is not training: it does not count against the budget
                run.wait()
                started = sums.since = time.monotonic()
                continue
            if state.step % _LOOK_EVERY and device != "cpu":
                continue
            run.wait()
            now = time.monotonic()
            state.elapsed_s = before + processes.agree(now - started)
            if not state.total and state.elapsed_s >= _RATE_SHARE * budget:
                state.total = max(
                    state.step + 1, round((state.step - 1) * budget / state.elapsed_s)
                )
                saved = -math.inf
            if now - sums.since >= report_every_s:
                report(run.summary(sums, state, rate, now))
                sums = run.no_sums()
            if processes.agree(float(interrupts.asked)) or state.elapsed_s - before >= stop_after_s:
                break
            if checkpoint is not None and now - saved >= save_every_s:
                run.save(checkpoint, state)
                saved = now
        state.finished = bool(state.total) and state.step >= state.total
        if checkpoint is not None:
            run.save(checkpoint, state)
    if processes.agree(float(interrupts.asked)):
        raise KeyboardInterrupt
    return network.eval(), state


def before_known(state: State, budget: float) -> float:
    """Return the share of the run that has passed while its steps are not fixed yet."""
    return min(state.elapsed_s / budget, 1.0)


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


class _Run:
    """The network and what trains it."""

    def __init__(
        self,
        recipe: Recipe,
        network: ResAnDi,
        optimizer: torch.optim.Optimizer,
        device: str,
        processes: Processes,
    ) -> None:
        self.recipe = recipe
        self.network = network
        self.optimizer = optimizer
        self.device = device
        self.processes = processes
        self.cuda = device.startswith("cuda")
        processes.begin_alike(network)
        self.forward: Callable[..., torch.Tensor] = network
        if self.cuda:  # one graph of all the small kernels
            self.forward = torch.compile(network, dynamic=False, mode="reduce-overhead")

    def step(self, batch: Batch, rate: float, sums: _Sums) -> None:
        """Take one step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.cuda:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16, enabled=self.cuda):
            outputs = self.forward(*batch.groups)
        outputs = outputs.float()
        shape = self.network.architecture
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
        self.processes.average_gradients(self.network)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.schedule.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        sums.hits += (logits.argmax(1) == batch.label).float().mean()
        sums.steps += 1

    def wait(self) -> None:
        """Wait until the device has done what was asked of it."""
        if self.cuda:
            torch.cuda.synchronize()

    def no_sums(self) -> _Sums:
        """Return sums of nothing."""
        zero = torch.zeros((), device=self.device)
        return _Sums(zero, zero.clone(), zero.clone())

    def summary(self, sums: _Sums, state: State, rate: float, now: float) -> Progress:
        """Return the means since the last report."""
        seconds = now - sums.since
        steps = max(sums.steps, 1)
        if state.total:
            left = (state.total - state.step) * seconds / steps
        else:
            left = self.recipe.schedule.minutes * 60 - state.elapsed_s
        with_alpha = bool(self.network.architecture.alpha_levels)
        return Progress(
            step=state.step,
            total=state.total,
            loss=sums.loss.item() / steps,
            accuracy=sums.hits.item() / steps,
            alpha_error=sums.alpha.item() / steps if with_alpha else math.nan,
            per_second=steps * self.recipe.batch_size * self.processes.count / seconds,
            left_s=max(left, 0.0),
            learning_rate=rate,
        )

    def save(self, path: Path, state: State) -> None:
        """Write a checkpoint, from one of the processes."""
        if self.processes.rank == 0:
            save_checkpoint(path, self.network, self.optimizer, vars(state))
