"""What a microscope does to trajectories: noise on every position, frames that are missed.

Motion blur happens within a frame and is part of the simulators (`simulate`).
"""

from __future__ import annotations

from typing import Any

import torch

_TINY = 1e-6


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
    sigma : torch.Tensor, shape (n,) or (n, 2)
        Standard deviation of the noise of a position, in units of the displacement's standard
        deviation (1/SNR); one for both axes, or one for each.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    torch.Tensor, shape (n, t, 2)
        Positions from the first frame on, constant after the last point.
    """
    n, t = steps.size(0), steps.size(1) + 1
    device = steps.device
    turn = torch.rand(n, generator=generator, device=device) * (2 * torch.pi)
    flip = torch.randint(0, 2, (n,), generator=generator, device=device) * 2.0 - 1
    noise = torch.randn(n, t, 2, generator=generator, device=device)
    return record(steps, length, turn, flip, noise * sigma.reshape(n, 1, -1))


def record(
    steps: torch.Tensor,
    length: torch.Tensor,
    turn: torch.Tensor,
    flip: torch.Tensor,
    noise: torch.Tensor,
) -> torch.Tensor:
    """Do what `measure` does, with random numbers that were drawn before.

    Parameters
    ----------
    steps : torch.Tensor, shape (n, t − 1, 2)
        Displacements.
    length : torch.Tensor, shape (n,)
        Points of each trajectory.
    turn : torch.Tensor, shape (n,)
        Angles of rotation, in radians.
    flip : torch.Tensor, shape (n,)
        −1 for trajectories that are mirrored, 1 for others.
    noise : torch.Tensor, shape (n, t, 2)
        Errors of the positions, in standard deviations of the displacement.

    Returns
    -------
    torch.Tensor, shape (n, t, 2)
    """
    t = steps.size(1) + 1
    frame = torch.arange(t, device=steps.device)
    inside = (frame[1:] < length[:, None])[..., None]
    steps = steps * inside
    steps = steps / steps.abs().amax((1, 2), keepdim=True).clamp(min=1e-37)
    x, y = steps[..., 0], steps[..., 1] * flip[:, None]
    c, s = turn.cos()[:, None], turn.sin()[:, None]
    steps = torch.stack([c * x - s * y, s * x + c * y], dim=-1)
    count = (length - 1).clamp(min=1)[:, None, None]
    mean = steps.sum(1, keepdim=True) / count
    square = (steps**2).sum(1, keepdim=True) / count
    deviation = (square - mean**2).clamp(min=0).sqrt()
    straight = deviation < 1e-3 * square.sqrt()
    scale = torch.where(straight, square.sqrt(), deviation).clamp(min=_TINY)
    path = torch.nn.functional.pad(_cumulate(steps / scale), (0, 0, 1, 0))
    return path + noise * (frame < length[:, None])[..., None]


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
    lost = torch.rand(n, t, generator=generator, device=positions.device) < missed[:, None]
    return fill_frames(positions, length, lost)


def fill_frames(positions: torch.Tensor, length: torch.Tensor, lost: torch.Tensor) -> torch.Tensor:
    """Replace lost positions by linear interpolation between those that are left.

    Parameters
    ----------
    positions : torch.Tensor, shape (n, t, 2)
        Positions.
    length : torch.Tensor, shape (n,)
        Points of each trajectory, the first and the last of which are never lost.
    lost : torch.Tensor, shape (n, t), bool
        Which frames are lost.

    Returns
    -------
    torch.Tensor, shape (n, t, 2)
    """
    n, t, _ = positions.shape
    frame = torch.arange(t, device=positions.device).expand(n, t)
    lost = lost & (frame > 0) & (frame < length[:, None] - 1)
    before = _highest(torch.where(lost, 0, frame))
    after = (t - 1 - _highest((t - 1 - torch.where(lost, t - 1, frame)).flip(1))).flip(1)
    weight = ((frame - before) / (after - before).clamp(min=1))[..., None]
    left = positions.gather(1, before[..., None].expand(n, t, 2))
    right = positions.gather(1, after[..., None].expand(n, t, 2))
    return torch.where(lost[..., None], left + weight * (right - left), positions)


def leave_sums_uncompiled() -> None:
    """Keep torch.compile from the sums, before what uses them is compiled.

    torch 2.11 can't compile them for short trajectories. To say so where they are defined would
    load torch's compiler, 1.6 s, for everyone who imports this.
    """
    global _cumulate, _highest
    plain: Any = torch.compiler.disable
    _cumulate, _highest = plain(_cumulate), plain(_highest)


def _cumulate(steps: torch.Tensor) -> torch.Tensor:
    """Sum along frames."""
    return steps.cumsum(1)


def _highest(frames: torch.Tensor) -> torch.Tensor:
    """Return the running maximum along frames."""
    return frames.cummax(1).values
