"""Batched simulators of the eight classes, in torch, on any device.

Every function returns *steps*: the displacements between consecutive frames of 2-D trajectories
that start at the origin, shape ``(n, n_points - 1, 2)``. A trajectory of any shorter length is a
prefix of a longer one, in law, for all of these models, so one batch serves all lengths.

The laws are those of ``andi_datasets`` (Muñoz-Gil et al. 2021, doi:10.1038/s41467-021-26320-w),
class ``models_theory``, in two dimensions; tests compare the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.diffusion.classes import CLASSES

if TYPE_CHECKING:
    import torch

_LOG_AMPLITUDE_FLOOR = -60.0
"""Smallest log of a step's amplitude against the largest of its trajectory (float32 holds it)."""


def simulate_steps(
    class_index: int,
    n: int,
    n_points: int,
    *,
    generator: torch.Generator,
    alpha: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Simulate `n` trajectories of one class.

    Parameters
    ----------
    class_index : int
        Position in `CLASSES`.
    n, n_points : int
        Number of trajectories, and points of each (at least 2).
    generator : torch.Generator
        Source of randomness; its device is where the work is done.
    alpha : torch.Tensor, shape (n,), optional
        Anomalous exponents; drawn uniformly from the class's range by default.

    Returns
    -------
    steps : torch.Tensor, shape (n, n_points - 1, 2), float32
        Displacements, in arbitrary units.
    alpha : torch.Tensor, shape (n,), float32
        The exponents used.
    """
    import torch

    kind = CLASSES[class_index]
    if n_points < 2:
        raise ValueError(f"n_points is {n_points}; a trajectory needs at least 2 points")
    if alpha is None:
        u = torch.rand(n, generator=generator, device=generator.device)
        alpha = kind.alpha_low + (kind.alpha_high - kind.alpha_low) * u
    simulator = {
        "attm": attm_steps,
        "ctrw": ctrw_steps,
        "fbm": fbm_steps,
        "sbm": sbm_steps,
        "lw": levy_walk_steps,
        "bm": sbm_steps,
    }[kind.model]
    return simulator(alpha, n_points, generator), alpha


def fbm_steps(alpha: torch.Tensor, n_points: int, generator: torch.Generator) -> torch.Tensor:
    """Fractional Brownian motion, exactly, by circulant embedding of fractional Gaussian noise.

    One complex transform gives both coordinates, its real and imaginary part being independent
    (Davies & Harte 1987, doi:10.1093/biomet/74.1.95).

    Parameters
    ----------
    alpha : torch.Tensor, shape (n,)
        Anomalous exponents, twice the Hurst exponent, in (0, 2).
    n_points : int
        Points of each trajectory.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    torch.Tensor, shape (n, n_points - 1, 2), float32
        Displacements of unit variance.
    """
    import torch

    device = generator.device
    half = 1 << (n_points - 2).bit_length()
    lag = torch.arange(half + 1, device=device, dtype=torch.float64)
    exponent = alpha.double()[:, None]
    covariance = 0.5 * (
        (lag + 1) ** exponent - 2 * lag**exponent + (lag - 1).abs() ** exponent
    )  # (n, half + 1)
    circulant = torch.cat([covariance, covariance[:, 1:half].flip(1)], dim=1)
    eigenvalues = torch.fft.rfft(circulant).real.clamp(min=0)
    eigenvalues = torch.cat([eigenvalues, eigenvalues[:, 1:half].flip(1)], dim=1)
    noise = _randn(generator, len(alpha), 2 * half, 2)
    spectrum = torch.view_as_complex(noise) * (eigenvalues / (2 * half)).sqrt().float()
    return torch.view_as_real(torch.fft.fft(spectrum))[:, : n_points - 1].contiguous()


def sbm_steps(alpha: torch.Tensor, n_points: int, generator: torch.Generator) -> torch.Tensor:
    """Scaled Brownian motion, D(t) ∝ t^(α−1); plain Brownian motion where α is 1.

    Lim & Muniandy 2002, doi:10.1103/PhysRevE.66.021114. Step *k* (from 0) has the variance
    ``(k + 2)^α − (k + 1)^α``, as in ``andi_datasets``, which discards the first.

    Parameters, returns
    -------------------
    As for `fbm_steps`.
    """
    import torch

    t = torch.arange(1, n_points + 1, device=generator.device, dtype=torch.float64)
    msd = t ** alpha.double()[:, None]
    amplitude = msd.diff(dim=1).sqrt().float()
    return amplitude[..., None] * _randn(generator, len(alpha), n_points - 1, 2)


def ctrw_steps(alpha: torch.Tensor, n_points: int, generator: torch.Generator) -> torch.Tensor:
    """Continuous-time random walk: Gaussian jumps between waits with P(wait > t) = t^(−α), t ≥ 1.

    Scher & Montroll 1975, doi:10.1103/PhysRevB.12.2455. A trajectory without a jump is all zero.

    Parameters, returns
    -------------------
    As for `fbm_steps`.
    """
    n_steps = n_points - 1
    ends = _event_times(alpha, n_points, generator, whole=False)
    jumps = _scatter_ones((ends - 1).clamp(max=n_steps), n_steps + 1)[:, :n_steps]
    return jumps[..., None] * _randn(generator, len(alpha), n_steps, 2)


def levy_walk_steps(alpha: torch.Tensor, n_points: int, generator: torch.Generator) -> torch.Tensor:
    """Lévy walk: straight flights at one speed, their durations with P(d > t) = t^(−(3−α)), t ≥ 1.

    Klafter & Zumofen 1994, doi:10.1103/PhysRevE.49.4873. The speed is uniform in 0…10 a frame, one
    for each trajectory, the direction of each flight uniform; durations are whole frames.

    Parameters, returns
    -------------------
    As for `fbm_steps`; steps in units of distance a frame.
    """
    import torch

    n = len(alpha)
    ends = _event_times(3 - alpha, n_points, generator, whole=True)
    flight = _scatter_ones(ends.clamp(max=n_points), n_points + 1)[:, :n_points].cumsum(1).long()
    angles = _rand(generator, n, n_points) * (2 * torch.pi)
    angle = angles.gather(1, flight.clamp(max=n_points - 1))[:, 1:]
    speed = 10 * _rand(generator, n, 1, 1)
    return speed * torch.stack([angle.cos(), angle.sin()], dim=-1)


def attm_steps(alpha: torch.Tensor, n_points: int, generator: torch.Generator) -> torch.Tensor:
    """Annealed transient time motion: Brownian motion whose D changes at random and lasts D^(−γ).

    Massignan et al. 2014, doi:10.1103/PhysRevLett.112.150603, regime 1 of ``andi_datasets``:
    σ uniform in (0.03, 3.3) where σ < γ = σ/α < σ + 1, that is up to α/(1−α);
    D = u^(1/σ) with u uniform in (0.01, 0.9), kept for u^(−1/α) frames.

    Parameters, returns
    -------------------
    As for `fbm_steps`. Each trajectory is scaled by its largest √D, so that the smallest, which
    can be 10⁻³³ of it, stay within float32.
    """
    import torch

    n, n_steps = len(alpha), n_points - 1
    top = torch.minimum(torch.full_like(alpha, 3.3), alpha / (1 - alpha))
    sigma = 0.03 + (top - 0.03) * _rand(generator, n)
    u = 0.01 + 0.89 * _rand(generator, n, n_steps)
    durations = (u ** (-1 / alpha[:, None])).clamp(max=n_points).floor()
    ends = durations.cumsum(1).clamp(max=n_steps).long()
    regime = _scatter_ones(ends, n_steps + 1)[:, :n_steps].cumsum(1).long()
    log_amplitude = 0.5 * u.log() / sigma[:, None]
    log_amplitude = log_amplitude.gather(1, regime.clamp(max=n_steps - 1))
    log_amplitude = log_amplitude - log_amplitude.amax(1, keepdim=True)
    amplitude = log_amplitude.clamp(min=_LOG_AMPLITUDE_FLOOR).exp()
    return amplitude[..., None] * _randn(generator, n, n_steps, 2)


def _event_times(
    tail: torch.Tensor, n_points: int, generator: torch.Generator, *, whole: bool
) -> torch.Tensor:
    """Frames at which waits with tail exponent `tail` end, at most `n_points` of them, as int64."""
    u = 1 - _rand(generator, len(tail), n_points)  # in (0, 1]
    waits = (u ** (-1 / tail[:, None])).clamp(max=n_points + 1.0)
    if whole:
        waits = waits.floor()
    return waits.cumsum(1).clamp(max=n_points + 1.0).floor().long()


def _scatter_ones(index: torch.Tensor, width: int) -> torch.Tensor:
    """Return (n, width) float32 with ones at the given columns."""
    import torch

    out = torch.zeros(len(index), width, device=index.device)
    return out.scatter_(1, index, 1.0)


def _rand(generator: torch.Generator, *shape: int) -> torch.Tensor:
    import torch

    return torch.rand(*shape, generator=generator, device=generator.device)


def _randn(generator: torch.Generator, *shape: int) -> torch.Tensor:
    import torch

    return torch.randn(*shape, generator=generator, device=generator.device)
