"""Training data without end: trajectories simulated, measured and shaped on the training device.

A pool of trajectories is simulated at a time and used several times over, each time rotated and
disturbed anew, so that simulation does not dominate a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spt_explain.diffusion.classes import CLASSES
from spt_explain.diffusion.simulate import simulate_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spt_explain.resandi.architecture import InputKind
    from spt_explain.training.recipe import Recipe

_TINY = 1e-6


@dataclass(frozen=True)
class Pool:
    """Simulated trajectories: steps (n, window − 1, 2), label, length in points, α, each (n,)."""

    steps: torch.Tensor
    label: torch.Tensor
    length: torch.Tensor
    alpha: torch.Tensor


def draw_lengths(
    n: int, low: int, high: int, short_share: float, generator: torch.Generator
) -> torch.Tensor:
    """Draw lengths in points: uniform in low…high, a share of them log-uniform; int64, (n,)."""
    device = generator.device
    u = torch.rand(3, n, generator=generator, device=device)
    uniform = low + u[0] * (high + 1 - low)
    ratio = torch.tensor((high + 1) / low, device=device)
    logarithmic = low * ratio ** u[1]
    return torch.where(u[2] < short_share, logarithmic, uniform).long().clamp(low, high)


def simulate_pool(recipe: Recipe, generator: torch.Generator) -> Pool:
    """Simulate a pool of trajectories, as many of each class; none without any motion."""
    steps, labels, lengths, alphas = [], [], [], []
    per_class = recipe.pool // len(CLASSES)
    for index in range(len(CLASSES)):
        length = draw_lengths(
            per_class, recipe.min_points, recipe.window, recipe.short_share, generator
        )
        step, alpha = simulate_steps(index, per_class, recipe.window, generator=generator)
        if CLASSES[index].model == "ctrw":
            step, alpha = _redraw_still(index, step, alpha, length, generator)
        steps.append(step)
        labels.append(torch.full_like(length, index))
        lengths.append(length)
        alphas.append(alpha)
    return Pool(torch.cat(steps), torch.cat(labels), torch.cat(lengths), torch.cat(alphas))


def _redraw_still(
    index: int,
    steps: torch.Tensor,
    alpha: torch.Tensor,
    length: torch.Tensor,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Replace trajectories without any jump within their length, at the same length and α."""
    for _ in range(200):
        first = (steps != 0).any(-1).float().argmax(1) + (steps == 0).all(-1).all(-1) * steps.size(
            1
        )
        still = (first >= length - 1).nonzero()[:, 0]
        if len(still) == 0:
            break
        steps[still] = simulate_steps(
            index, len(still), steps.size(1) + 1, generator=generator, alpha=alpha[still]
        )[0]
    return steps, alpha


def measure(
    steps: torch.Tensor, length: torch.Tensor, sigma: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Turn simulated steps into a recording: rotated, scaled, with localisation noise.

    Parameters
    ----------
    steps : torch.Tensor, shape (n, t − 1, 2)
        Displacements.
    length : torch.Tensor, shape (n,)
        Points of each trajectory; steps beyond are ignored.
    sigma : torch.Tensor, shape (n,)
        Standard deviation of the noise of a position, in units of the displacement's standard
        deviation (1/SNR).
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    torch.Tensor, shape (n, t, 2)
        Positions from the first frame on, constant after the last point.
    """
    n, t = steps.size(0), steps.size(1) + 1
    device = steps.device
    frame = torch.arange(t, device=device)
    inside = (frame[1:] < length[:, None])[..., None]
    steps = steps * inside
    steps = steps / steps.abs().amax((1, 2), keepdim=True).clamp(min=1e-37)
    turn = torch.rand(n, generator=generator, device=device) * (2 * torch.pi)
    flip = torch.randint(0, 2, (n,), generator=generator, device=device) * 2.0 - 1
    x, y = steps[..., 0], steps[..., 1] * flip[:, None]
    c, s = turn.cos()[:, None], turn.sin()[:, None]
    steps = torch.stack([c * x - s * y, s * x + c * y], dim=-1)
    count = (length - 1).clamp(min=1)[:, None, None]
    mean = steps.sum(1, keepdim=True) / count
    square = (steps**2).sum(1, keepdim=True) / count
    deviation = (square - mean**2).clamp(min=0).sqrt()
    straight = deviation < 1e-3 * square.sqrt()
    scale = torch.where(straight, square.sqrt(), deviation).clamp(min=_TINY)
    steps = steps / scale
    path = torch.cat([torch.zeros(n, 1, 2, device=device), steps.cumsum(1)], dim=1)
    noise = torch.randn(n, t, 2, generator=generator, device=device)
    return path + noise * sigma[:, None, None] * (frame < length[:, None])[..., None]


def lose_frames(
    positions: torch.Tensor, length: torch.Tensor, missed: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Lose frames at random and fill them by linear interpolation, as `classify` does.

    Parameters
    ----------
    positions : torch.Tensor, shape (n, t, 2)
        Positions; the first and the last point of each trajectory are always kept.
    length : torch.Tensor, shape (n,)
        Points of each trajectory.
    missed : torch.Tensor, shape (n,)
        Probability of missing a frame.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    torch.Tensor, shape (n, t, 2)
    """
    n, t, _ = positions.shape
    frame = torch.arange(t, device=positions.device).expand(n, t)
    lost = torch.rand(n, t, generator=generator, device=positions.device) < missed[:, None]
    lost = lost & (frame > 0) & (frame < length[:, None] - 1)
    before = torch.where(lost, 0, frame).cummax(1).values
    after = torch.where(lost, t - 1, frame).flip(1).cummin(1).values.flip(1)
    weight = ((frame - before) / (after - before).clamp(min=1))[..., None]
    left = positions.gather(1, before[..., None].expand(n, t, 2))
    right = positions.gather(1, after[..., None].expand(n, t, 2))
    return torch.where(lost[..., None], left + weight * (right - left), positions)


def build_inputs(positions: torch.Tensor, length: torch.Tensor, kind: InputKind) -> torch.Tensor:
    """Shape positions into the network's channels; the same as `resandi.inputs`, on tensors.

    Parameters
    ----------
    positions : torch.Tensor, shape (n, window, 2)
        Positions from the first frame on; those from `length` on are ignored.
    length : torch.Tensor, shape (n,)
        Points of each trajectory.
    kind : {"positions", "positions+displacements"}
        Which channels.

    Returns
    -------
    torch.Tensor, shape (n, channels, window), float32
    """
    n, t, _ = positions.shape
    device = positions.device
    shift = torch.arange(t, device=device) - (t - length)[:, None]  # frame at each input node
    inside = (shift >= 0)[..., None]
    index = shift.clamp(min=0)[..., None].expand(n, t, 2)
    path = (positions - positions[:, :1]).gather(1, index) * inside
    low, high = path.amin(1, keepdim=True), path.amax(1, keepdim=True)
    span = high - low
    scaled = (path - low) / torch.where(span > 0, span, 1.0)
    if kind == "positions":
        return scaled.transpose(1, 2).contiguous()
    steps = torch.nn.functional.pad(path.diff(dim=1), (0, 0, 1, 0))
    count = (length - 1).clamp(min=1)[:, None, None]
    rms = ((steps**2).sum(1, keepdim=True) / count).sqrt()
    steps = steps / torch.where(rms > 0, rms, 1.0)
    return torch.cat([scaled, steps], dim=-1).transpose(1, 2).contiguous()


def _draw_share(n: int, share: float, most: float, generator: torch.Generator) -> torch.Tensor:
    """Draw, for each of n trajectories, 0…most for a share of them and zero for the rest."""
    u = torch.rand(2, n, generator=generator, device=generator.device)
    return torch.where(u[0] < share, u[1] * most, 0.0)


def batches(
    recipe: Recipe, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (inputs, labels) without end."""
    while True:
        pool = simulate_pool(recipe, generator)
        for _ in range(recipe.reuse):
            order = torch.randperm(len(pool.label), generator=generator, device=generator.device)
            for chosen in torch.split(order, recipe.batch_size):
                if len(chosen) < recipe.batch_size:
                    continue
                length = pool.length[chosen]
                sigma = _draw_share(
                    len(chosen), 1 - recipe.clean_share, recipe.noise_max, generator
                )
                positions = measure(pool.steps[chosen], length, sigma, generator)
                missed = _draw_share(len(chosen), recipe.gap_share, recipe.gap_max, generator)
                positions = lose_frames(positions, length, missed, generator)
                yield build_inputs(positions, length, recipe.inputs), pool.label[chosen]
