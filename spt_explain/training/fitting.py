"""Training on a fixed data set: how far a run has come, what is told of it, what it minimises."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from spt_explain.resandi.network import ResAnDi
from spt_explain.training.loop import State
from spt_explain.training.simulating import TrainingProgress, pinball

if TYPE_CHECKING:
    from spt_explain.training.batches import Batch
    from spt_explain.training.dataset import Dataset, Trajectories
    from spt_explain.training.recipe import Recipe


@dataclass
class FitState(State):
    """How far a run has come; see `State`. Steps and their total are those of the phase.

    Attributes
    ----------
    phase : int
        0, and 1 where the first phase trained the network that scores the trajectories.
    epoch, epoch_step : int
        Epochs done, and steps done of the one that goes on.
    best_epoch : int
        Number of the epoch (from 0) whose parameters are kept; −1 before the first.
    best_loss, best_accuracy : float
        Of the validation set after it.
    stale : int
        Epochs since.
    seen, sums : int, list of float
        Trajectories of the epoch that goes on; sums over them of the loss, the hits, the absolute
        error of α, and the number whose α is known.
    history : list of dict
        For every epoch: phase, epoch, learning_rate, loss, accuracy, validation_loss,
        validation_accuracy.
    trained_on : Trajectories or None
        The training set of the last phase with its copies; not stored.
    """

    phase: int = 0
    epoch: int = 0
    epoch_step: int = 0
    best_epoch: int = -1
    best_loss: float = math.inf
    best_accuracy: float = math.nan
    stale: int = 0
    seen: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)
    history: list[dict[str, Any]] = field(default_factory=list)
    trained_on: Trajectories | None = field(default=None, init=False, repr=False, compare=False)


@dataclass(frozen=True)
class FitProgress(TrainingProgress):
    """What is reported while a run goes on; see `TrainingProgress`.

    The total and the time left are those to the last epoch allowed; a run usually stops earlier.

    Attributes
    ----------
    phase, phases : int
        Which training it is, from 1, of how many: Grad-CAM augmentation needs two.
    epoch, epochs : int
        Epoch under way, from 1, and the most there can be (0: as many as the time allows).
    validation_loss, validation_accuracy : float
        After the last epoch; NaN before the first.
    best_epoch : int
        Epoch of the lowest validation loss, from 1; 0 before the first.
    """

    phase: int = 1
    phases: int = 1
    epoch: int = 1
    epochs: int = 0
    validation_loss: float = math.nan
    validation_accuracy: float = math.nan
    best_epoch: int = 0


def batch_losses(
    outputs: torch.Tensor, batch: Batch, recipe: Recipe
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is minimised, and sums over the batch as in `FitState.sums`, float64."""
    shape, n = recipe.architecture, len(batch.label)
    joint = outputs[:, : shape.n_logits].view(n, -1, shape.n_conditions)
    logits = joint.logsumexp(2)
    cross = nn.functional.cross_entropy(logits, batch.label)
    hits = (logits.argmax(1) == batch.label).sum()
    loss = cross
    if shape.n_conditions > 1:
        # where the condition is not known, any will do
        own = joint[torch.arange(n, device=joint.device), batch.label]
        of_condition = own.gather(1, batch.condition.clamp(min=0)[:, None])[:, 0]
        wanted = torch.where(batch.condition < 0, own.logsumexp(1), of_condition)
        loss = (joint.flatten(1).logsumexp(1) - wanted).mean()
    error = known = torch.zeros_like(cross)
    if shape.alpha_levels:
        with_alpha = torch.nonzero(batch.alpha.isfinite())[:, 0]
        if len(with_alpha):
            raw, alpha = outputs[with_alpha, shape.n_logits :], batch.alpha[with_alpha]
            share = recipe.schedule.alpha_weight * len(with_alpha) / n
            loss = loss + share * pinball(raw, alpha, shape.alpha_levels)
            error = (raw[:, 1] + 1 - alpha).abs().sum()
            known = known + len(with_alpha)
    parts = (cross * n, hits, error, known)
    return loss, torch.stack([part.detach().double() for part in parts])


class Kept(nn.Module):
    """What a checkpoint holds: the network, its best epoch, and the copies chosen."""

    chosen: torch.Tensor

    def __init__(self, recipe: Recipe, n: int) -> None:
        super().__init__()
        self.now = ResAnDi(recipe.architecture)
        self.best = ResAnDi(recipe.architecture)
        self.register_buffer("chosen", torch.zeros(n, dtype=torch.int32))


def fingerprint(recipe: Recipe, data: Dataset) -> str:
    """Return a digest of all that a run depends on but the most epochs."""
    values = json.loads(recipe.model_dump_json())
    values["fixed"].pop("epochs")
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for part in (data.training, data.validation):
        some = part.positions[:: max(1, len(part.positions) // 10_000)]
        for tensor in (part.offsets, part.label, some):
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
