"""Samplers: stock ones of diffusers without clipping, the paper's, and the clipped one."""

from __future__ import annotations

import math
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from spt_explain.errors import SptError, option
from spt_explain.xddpm.generator.network import spare_imports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from spt_explain.xddpm.generator.recipe import BetaSchedule, Objective
    from spt_explain.xddpm.options import Sampler

    Denoise = Callable[[Tensor, int], tuple[Tensor, Tensor]]
    """Of x_t and t: the noise and the mask, each of the shape of x_t."""

_STEPS = {"dpm-solver": 100, "ddim": 100}
"""Of the samplers that skip some, where none are given: the next number that divides the chain."""
_TRIED = 4096
"""Pixels that an expected standard deviation is measured on, 1 % exact."""


def betas(schedule: BetaSchedule, timesteps: int) -> Tensor:
    """Return β of each step, as diffusers has it."""
    return torch.as_tensor(_scheduler("ddpm", schedule, timesteps).betas).double()


@cache
def kept(schedule: BetaSchedule, timesteps: int) -> Tensor:
    """Return ᾱ of each step, float32."""
    return torch.as_tensor(_scheduler("ddpm", schedule, timesteps).alphas_cumprod).float()


def default_sampler(objective: Objective) -> Sampler:
    """Return the sampler that leaves irrelevant pixels at a standard deviation of 1."""
    return "ddpm" if objective == "eps-mask" else "dpm-solver"


def steps_of(sampler: Sampler, timesteps: int, steps: int | None) -> int:
    """Return the steps to take, after a check that they divide the chain evenly.

    Raises
    ------
    SptError
        If they don't, or the paper's samplers are to skip some.
    """
    fitting = [n for n in range(1, timesteps + 1) if timesteps % n == 0]
    if steps is None:
        wanted = _STEPS.get(sampler, timesteps)
        return next(n for n in fitting if n >= min(wanted, timesteps))
    if sampler in ("paper", "clip") and steps != timesteps:
        raise SptError(
            f"sampler {sampler} takes all {timesteps} steps; leave {option('steps')} out.",
            code="conflict",
            option="steps",
        )
    if not 1 <= steps <= timesteps or timesteps % steps:
        near = sorted(sorted(fitting, key=lambda n: abs(n - steps))[:3])
        raise SptError(
            f"{steps} steps don't divide the {timesteps} steps of the chain evenly; take "
            f"{', '.join(map(str, near[:-1]))} or {near[-1]}."
        )
    return steps


def _scheduler(
    sampler: Sampler, schedule: BetaSchedule, timesteps: int, steps: int | None = None
) -> Any:
    spare_imports()
    import diffusers

    library: Any = diffusers
    shared = {
        "num_train_timesteps": timesteps,
        "beta_schedule": "linear" if schedule == "linear" else "squaredcos_cap_v2",
        "timestep_spacing": "trailing",
    }
    if sampler == "dpm-solver":
        made = library.DPMSolverMultistepScheduler(final_sigmas_type="zero", **shared)
    elif sampler == "ddim":
        made = library.DDIMScheduler(clip_sample=False, **shared)
    else:
        clipped = sampler == "clip"
        made = library.DDPMScheduler(variance_type="fixed_large", clip_sample=clipped, **shared)
    if steps is not None:
        with warnings.catch_warnings():  # DPM-Solver hands tensors to NumPy 2 in the old way
            warnings.simplefilter("ignore", DeprecationWarning)
            made.set_timesteps(steps)
    return made


@torch.no_grad()
def chain(
    denoise: Denoise,
    start: Tensor,
    *,
    objective: Objective,
    sampler: Sampler,
    schedule: BetaSchedule,
    timesteps: int,
    steps: int | None = None,
    generators: Sequence[torch.Generator] | torch.Generator | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Tensor:
    """Go down the chain from noise.

    With the objective eps-mask and a stock sampler, the denoiser's ε_θ, which is 0 where nothing
    is relevant, is completed to ε = ε_θ + (1 - m̂) √(1 - ᾱ_t) x_t. With σ_t² = β_t (ddpm) an
    irrelevant pixel of variance 1 then keeps it exactly: x_{t-1} = √α_t x_t + √β_t η.

    Parameters
    ----------
    denoise : callable
        Of x_t and t; gives ε_θ and m̂.
    start : torch.Tensor, shape (batch, frames, height, width)
        N(0, 1).
    objective : {"w", "eps-mask", "plain"}
    sampler : {"dpm-solver", "ddim", "ddpm", "paper", "clip"}
        dpm-solver: deterministic, DPM-Solver++ of the second order (Lu et al. 2022,
        arXiv:2211.01095). ddim: deterministic, of the first order. ddpm: ancestral, σ² = β. paper:
        Eq. 11 with ε_θ as it is. clip: the same with the estimate of x₀ clipped to [-1, 1] at each
        step.
    schedule : {"linear", "cosine"}
    timesteps : int
        T.
    steps : int, optional
        Of the sampler; must divide T.
    generators : torch.Generator or one for each clip, optional
    tick : callable
        Called after each step.
    """
    taken = steps_of(sampler, timesteps, steps)
    scheduler = _scheduler(sampler, schedule, timesteps, taken)
    literal = sampler in ("paper", "clip") or objective != "eps-mask"
    alphas = scheduler.alphas_cumprod.double()
    x = start
    drawn: Any = list(generators) if isinstance(generators, (list, tuple)) else generators
    for t in map(int, scheduler.timesteps):
        noise, mask = denoise(x, t)
        if not literal:
            noise = noise + (1 - mask) * math.sqrt(1 - float(alphas[t])) * x
        x = scheduler.step(noise, t, x, generator=drawn, return_dict=False)[0]
        tick()
    return x


def expected_std(
    sampler: Sampler,
    objective: Objective,
    schedule: BetaSchedule = "linear",
    timesteps: int = 1000,
    steps: int | None = None,
) -> float:
    """Return the standard deviation of an irrelevant pixel with a perfect denoiser.

    Of eps-mask, that denoiser says ε_θ = 0 and m̂ = 0; of w, the mean of ε given x_t, √(1 - ᾱ_t)
    x_t. Eq. 11 as printed is linear, and its variance follows in closed form; the others are tried
    on 4,096 pixels.
    """
    if sampler == "paper":
        variance = 1.0
        for beta in reversed(betas(schedule, timesteps).tolist()):
            variance = variance / (1 - beta) + beta
        return math.sqrt(variance)
    alphas = kept(schedule, timesteps).double()

    def perfect(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        share = 0.0 if objective == "eps-mask" else math.sqrt(1 - float(alphas[t]))
        return share * x, torch.zeros_like(x)

    generator = torch.Generator().manual_seed(1)
    start = torch.randn((1, _TRIED, 1, 1), generator=generator)
    start = start / start.std()
    ended = chain(
        perfect,
        start,
        objective=objective,
        sampler=sampler,
        schedule=schedule,
        timesteps=timesteps,
        steps=steps,
        generators=generator,
    )
    return float(ended.std())
