"""Training data without end: trajectories simulated, measured and shaped on the training device.

Trajectories for many steps are simulated at a time and used several times over, each time turned
and disturbed anew, so that simulation does not dominate a step. Every random number follows from
the seed, the process and the step, so that a run can be taken up anywhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch

from spt_explain.diffusion.classes import CLASSES
from spt_explain.diffusion.measurement import fill_frames, leave_sums_uncompiled, record
from spt_explain.diffusion.simulate import simulate_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spt_explain.resandi.architecture import Architecture, InputKind, PaddingKind
    from spt_explain.training.conditions import Conditions
    from spt_explain.training.recipe import Recipe


@dataclass(frozen=True)
class Pool:
    """Simulated trajectories: steps (n, t − 1, 2), label, length in points, α, exposure, (n,)."""

    steps: torch.Tensor
    label: torch.Tensor
    length: torch.Tensor
    alpha: torch.Tensor
    exposure: torch.Tensor

    def __getitem__(self, rows: torch.Tensor | slice) -> Pool:
        """Return the trajectories of some rows."""
        return Pool(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Batch:
    """What one step is trained on.

    Attributes
    ----------
    groups : list of torch.Tensor, shape (n_i, channels, length_i)
        The network's inputs, by padded length.
    label : torch.Tensor, shape (n,), int64
        Classes, in the order of the groups.
    alpha : torch.Tensor, shape (n,)
        Anomalous exponents.
    length : torch.Tensor, shape (n,), int64
        Points.
    condition : torch.Tensor, shape (n,), int64
        Level of noise and exposure, in the order of `Architecture.condition_values`.
    """

    groups: list[torch.Tensor]
    label: torch.Tensor
    alpha: torch.Tensor
    length: torch.Tensor
    condition: torch.Tensor


def seeded(device: torch.device | str, *parts: object) -> torch.Generator:
    """Return a generator whose seed follows from `parts` and from nothing else."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    generator = torch.Generator(device=device)
    generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return generator


def simulate_pool(
    n: int,
    length: torch.Tensor,
    n_points: int,
    blur_share: float,
    generator: torch.Generator,
    exposure: torch.Tensor | None = None,
) -> Pool:
    """Simulate trajectories, as many of each class; none without any motion.

    Parameters
    ----------
    n : int
        Trajectories, a multiple of eight.
    length : torch.Tensor, shape (n,)
        Points of each that will be used.
    n_points : int
        Points that are simulated.
    blur_share : float
        Share of them with motion blur.
    generator : torch.Generator
        Source of randomness.
    exposure : torch.Tensor, shape (m,), optional
        Exposures to draw from, as shares of the frame; uniform in 0…1 by default.

    Returns
    -------
    Pool
    """
    per_class = n // len(CLASSES)
    device = generator.device
    blurred = round(blur_share * per_class)
    steps, alphas, exposures = [], [], []
    for index, own in enumerate(length.view(len(CLASSES), per_class)):
        open_for = torch.rand(blurred, generator=generator, device=device)
        if exposure is not None:
            open_for = exposure.to(device)[(open_for * len(exposure)).long()]
        sharp = per_class - blurred
        for part, blur in ((own[:sharp], None), (own[sharp:], open_for)):
            if len(part):
                step, alpha = simulate_steps(
                    index,
                    len(part),
                    n_points,
                    generator=generator,
                    exposure=blur,
                    moves_within=part,
                )
                steps.append(step)
                alphas.append(alpha)
                exposures.append(torch.zeros(len(part), device=device) if blur is None else blur)
    label = torch.arange(len(CLASSES), device=device).repeat_interleave(per_class)
    return Pool(torch.cat(steps), label, length, torch.cat(alphas), torch.cat(exposures))


def build_inputs(
    positions: torch.Tensor,
    length: torch.Tensor,
    kind: InputKind,
    padding: PaddingKind = "start",
    padded: int | None = None,
) -> torch.Tensor:
    """Shape positions into the network's channels; the same as `resandi.inputs`, on tensors.

    Parameters
    ----------
    positions : torch.Tensor, shape (n, t, 2)
        Positions from the first frame on; those from `length` on are ignored.
    length : torch.Tensor, shape (n,)
        Points of each trajectory.
    kind : {"positions", "positions+displacements"}
        Which series.
    padding : {"start", "masked"}
        What lies before a trajectory.
    padded : int, optional
        Points of the input, at least t, which is the default.

    Returns
    -------
    torch.Tensor, shape (n, channels, padded), float32
    """
    n, points, _ = positions.shape
    t = padded or points
    device = positions.device
    shift = torch.arange(t, device=device) - (t - length)[:, None]  # frame at each input node
    inside = (shift >= 0)[..., None]
    index = shift.clamp(0, points - 1)[..., None].expand(n, t, 2)
    path = (positions - positions[:, :1]).gather(1, index) * inside
    low, high = path.amin(1, keepdim=True), path.amax(1, keepdim=True)
    span = high - low
    scaled = (path - low) / torch.where(span > 0, span, 1.0)
    series = [scaled if padding == "start" else scaled * inside]
    if kind != "positions":
        steps = torch.nn.functional.pad(path.diff(dim=1), (0, 0, 1, 0))
        count = (length - 1).clamp(min=1)[:, None, None]
        rms = ((steps**2).sum(1, keepdim=True) / count).sqrt()
        series.append(steps / torch.where(rms > 0, rms, 1.0))
    if padding == "masked":
        series.append(inside.to(path.dtype))
    return torch.cat(series, dim=-1).transpose(1, 2).contiguous()


def batches(
    recipe: Recipe,
    conditions: Conditions,
    device: torch.device | str,
    *,
    start: int = 0,
    process: int = 0,
) -> Iterator[Batch]:
    """Yield the batches of step `start` and all that follow, without end.

    Parameters
    ----------
    recipe : Recipe
        What to simulate, and how many of each length.
    conditions : Conditions
        Lengths, noise, gaps and blur.
    device : torch.device or str
        Where.
    start : int
        First step.
    process : int
        Number of this process among several, which get other trajectories.
    """
    step = start
    steps, reuse = recipe.data.pool_steps, recipe.data.reuse
    shape = _compiled(_shape) if str(device).startswith("cuda") else _shape
    while True:
        index = step // (steps * reuse)
        generator = seeded(device, recipe.seed, process, "pool", index)
        pools = [
            simulate_pool(
                n * steps,
                conditions.draw_lengths(n * steps, low, high, generator),
                high,
                conditions.blur_share,
                generator,
                conditions.exposures,
            )
            for low, high, n in _groups(recipe)
        ]
        for use in range((step // steps) % reuse, reuse):
            shuffler = seeded(device, recipe.seed, process, "order", index, use)
            shuffled = [
                pool[torch.randperm(len(pool.label), generator=shuffler, device=device)]
                for pool in pools
            ]
            for row in range(step % steps, steps):
                parts = [
                    pool[row * n : (row + 1) * n]
                    for pool, (_, _, n) in zip(shuffled, _groups(recipe), strict=True)
                ]
                disturber = seeded(device, recipe.seed, process, "step", step)
                yield _batch(recipe, conditions, parts, disturber, shape)
                step += 1


def _compiled(function: Callable[..., list[torch.Tensor]]) -> Callable[..., list[torch.Tensor]]:
    """Compile for all groups: each has shapes of its own, more than torch allows by default."""
    import torch._dynamo.config as config

    config.recompile_limit = max(config.recompile_limit, 64)
    leave_sums_uncompiled()
    return torch.compile(function, dynamic=False)


def _groups(recipe: Recipe) -> list[tuple[int, int, int]]:
    """Return (shortest, longest, trajectories of a step) of each group.

    Trajectories whose margin is cut off at one padded length are in the group of the next as well,
    so that the network knows them with and without it.
    """
    least = recipe.data.min_points
    groups, low = [], least
    for padded in sorted(recipe.batch):
        groups.append((low, min(padded, recipe.network.window), recipe.batch[padded]))
        low = max(least, padded - recipe.network.margin + 1)
    return groups


def _batch(
    recipe: Recipe,
    conditions: Conditions,
    pools: list[Pool],
    generator: torch.Generator,
    shape: Callable[..., list[torch.Tensor]],
) -> Batch:
    """Draw all random numbers of a step at once, and disturb and shape its trajectories."""
    device = generator.device
    sizes = [len(pool.label) for pool in pools]
    rows = [len(pool.label) * (pool.steps.size(1) + 1) for pool in pools]
    n = sum(sizes)
    turn = torch.rand(n, generator=generator, device=device) * (2 * torch.pi)
    flip = torch.randint(0, 2, (n,), generator=generator, device=device) * 2.0 - 1
    noise = conditions.draw_noise(n, generator)
    groups = shape(
        recipe.network.inputs,
        recipe.network.padding,
        sorted(recipe.batch),
        [pool.steps for pool in pools],
        [pool.length for pool in pools],
        [torch.split(part, sizes) for part in (turn, flip)],
        torch.split(noise, sizes),
        torch.split(conditions.draw_missed(n, generator), sizes),
        torch.split(torch.randn(sum(rows), 2, generator=generator, device=device), rows),
        torch.split(torch.rand(sum(rows), generator=generator, device=device), rows),
    )
    label, alpha, length, exposure = (
        torch.cat([getattr(pool, name) for pool in pools])
        for name in ("label", "alpha", "length", "exposure")
    )
    architecture = recipe.architecture
    levels = condition_index(architecture, (noise**2).mean(1).sqrt(), exposure)
    return Batch(groups, label, alpha, length, levels)


def condition_index(
    architecture: Architecture, noise: torch.Tensor, exposure: torch.Tensor
) -> torch.Tensor:
    """Return the condition, int64, (n,), of trajectories with a noise (1/SNR) and an exposure."""
    device = noise.device
    level = torch.bucketize(noise, torch.tensor(architecture.noise_edges, device=device))
    open_for = torch.bucketize(exposure, torch.tensor(architecture.exposure_edges, device=device))
    return level * (len(architecture.exposure_edges) + 1) + open_for


def _shape(
    kind: InputKind,
    padding: PaddingKind,
    padded: list[int],
    steps: list[torch.Tensor],
    lengths: list[torch.Tensor],
    turns: list[tuple[torch.Tensor, ...]],
    sigma: tuple[torch.Tensor, ...],
    missed: tuple[torch.Tensor, ...],
    normal: tuple[torch.Tensor, ...],
    uniform: tuple[torch.Tensor, ...],
) -> list[torch.Tensor]:
    """Return the inputs of all groups; one function, so that it can be compiled as one."""
    groups = []
    for i, length in enumerate(lengths):
        n, t = len(length), steps[i].size(1) + 1
        noise = normal[i].view(n, t, 2) * sigma[i][:, None]
        positions = record(steps[i], length, turns[0][i], turns[1][i], noise)
        lost = uniform[i].view(n, t) < missed[i][:, None]
        positions = fill_frames(positions, length, lost)
        groups.append(build_inputs(positions, length, kind, padding, padded=padded[i]))
    return groups
