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
_SHORTEST_EXPOSURE = 1e-3
"""Share of a frame below which blur is neglected."""
_NEAR_LAGS = 8
"""Lags from which on the blurred mean squared displacement is taken from its expansion."""


def simulate_steps(
    class_index: int,
    n: int,
    n_points: int,
    *,
    generator: torch.Generator,
    alpha: torch.Tensor | None = None,
    exposure: torch.Tensor | None = None,
    moves_within: torch.Tensor | None = None,
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
    exposure : torch.Tensor, shape (n,), optional
        Share of each frame, 0 to 1, over which the position is averaged while the shutter is
        open (motion blur). By default the shutter is open for an instant.
    moves_within : torch.Tensor, shape (n,), optional
        Points within which the first jump of a continuous-time random walk happens, as if
        trajectories without one had been drawn again at the same α. No effect on other classes.

    Returns
    -------
    steps : torch.Tensor, shape (n, n_points - 1, 2), float32
        Displacements, in arbitrary units; of the blurred positions where there is an `exposure`.
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
    if kind.model == "fbm":
        return fbm_steps(alpha, n_points, generator, exposure), alpha
    more = n_points if exposure is None else n_points + 1
    if kind.model in ("sbm", "bm"):
        amplitude = sbm_amplitude(alpha, more, generator.device)
    elif kind.model == "attm":
        amplitude = attm_amplitude(alpha, more, generator)
    else:
        steps = (
            ctrw_steps(alpha, more, generator, moves_within)
            if kind.model == "ctrw"
            else levy_walk_steps(alpha, more, generator)
        )
        if exposure is None:
            return steps, alpha
        return _blur(steps, exposure, kind.model, None, generator), alpha
    steps = amplitude[..., None] * _randn(generator, n, more - 1, 2)
    if exposure is None:
        return steps, alpha
    return _blur(steps, exposure, kind.model, amplitude, generator), alpha


def _blur(
    steps: torch.Tensor,
    exposure: torch.Tensor,
    model: str,
    amplitude: torch.Tensor | None,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return the displacements of positions averaged over the exposure, one frame fewer.

    Given a frame's displacement Δ, the mean of the path over the first share e of the frame is

    - eΔ/2 where the particle flies straight (Lévy walk);
    - (1 − u/e)⁺ Δ where it jumps once, at a time u uniform in the frame (CTRW);
    - eΔ/2 + N(0, s²(e/3 − e²/4)) where it diffuses freely with the frame's amplitude s
      (a Brownian bridge; BM, SBM, ATTM).
    """
    e = exposure[:, None, None]
    if model == "ctrw":
        u = _rand(generator, *steps.shape[:2], 1)
        within = (1 - u / e.clamp(min=1e-6)).clamp(min=0) * steps
    else:
        within = e / 2 * steps
    if amplitude is not None:
        bridge = amplitude[..., None] * _randn(generator, *steps.shape)
        within = within + (e / 3 - e**2 / 4).sqrt() * bridge
    return steps[:, :-1] + within.diff(dim=1)


def fbm_steps(
    alpha: torch.Tensor,
    n_points: int,
    generator: torch.Generator,
    exposure: torch.Tensor | None = None,
) -> torch.Tensor:
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
    exposure : torch.Tensor, shape (n,), optional
        Share of each frame over which the position is averaged; see `blurred_msd`.

    Returns
    -------
    torch.Tensor, shape (n, n_points - 1, 2), float32
        Displacements, of unit variance without an `exposure`.
    """
    import torch

    device = generator.device
    half = 1 << (n_points - 2).bit_length()
    lag = torch.arange(half + 2, device=device, dtype=torch.float64)
    msd = lag ** alpha.double()[:, None] if exposure is None else blurred_msd(lag, alpha, exposure)
    msd = torch.cat([msd[:, 1:2], msd], dim=1)  # lags −1 … half + 1
    covariance = 0.5 * msd.diff(n=2, dim=1)  # (n, half + 1)
    circulant = torch.cat([covariance, covariance[:, 1:half].flip(1)], dim=1)
    eigenvalues = torch.fft.rfft(circulant).real.clamp(min=0)
    eigenvalues = torch.cat([eigenvalues, eigenvalues[:, 1:half].flip(1)], dim=1)
    noise = _randn(generator, len(alpha), 2 * half, 2)
    spectrum = torch.view_as_complex(noise) * (eigenvalues / (2 * half)).sqrt().float()
    return torch.view_as_real(torch.fft.fft(spectrum))[:, : n_points - 1].contiguous()


def blurred_msd(lag: torch.Tensor, alpha: torch.Tensor, exposure: torch.Tensor) -> torch.Tensor:
    """Mean squared displacement of fractional Brownian motion averaged over an exposure.

    For the mean of the path over a share e of the frame, with p = α + 2,
    ``[(τ+e)^p + |τ−e|^p − 2τ^p − 2e^p] / (e² (α+1)(α+2))``, from the double integral of the
    covariance of fractional Brownian motion (Mandelbrot & Van Ness 1968, doi:10.1137/1010093).

    Parameters
    ----------
    lag : torch.Tensor, shape (t,), float64
        Lags τ in frames, 0, 1, 2, ….
    alpha, exposure : torch.Tensor, shape (n,)
        Anomalous exponents, and e in 0…1.

    Returns
    -------
    torch.Tensor, shape (n, t), float64
        In units of the squared displacement of one frame without blur.
    """
    import torch

    a = alpha.double()[:, None]
    e = exposure.double()[:, None].clamp(min=_SHORTEST_EXPOSURE)
    offset = 2 * e**a / ((a + 1) * (a + 2))
    near = lag[:_NEAR_LAGS]
    p = a + 2
    direct = ((near + e) ** p + (near - e).abs() ** p - 2 * near**p) / (e**2 * (a + 1) * p)
    # Far away the three terms nearly cancel; the expansion in (e/τ)² does not.
    far = lag[_NEAR_LAGS:]
    squared = (e / far) ** 2
    series = 1 + a * (a - 1) / 12 * squared * (1 + (a - 2) * (a - 3) / 30 * squared)
    msd = torch.cat([direct, far**a * series], dim=1) - offset
    return torch.where(exposure[:, None] < _SHORTEST_EXPOSURE, lag**a, msd)


def sbm_amplitude(alpha: torch.Tensor, n_points: int, device: torch.device) -> torch.Tensor:
    """Scaled Brownian motion, D(t) ∝ t^(α−1); plain Brownian motion where α is 1.

    Lim & Muniandy 2002, doi:10.1103/PhysRevE.66.021114. Step *k* (from 0) has the variance
    ``(k + 2)^α − (k + 1)^α``, as in ``andi_datasets``, which discards the first.

    Parameters
    ----------
    alpha : torch.Tensor, shape (n,)
        Anomalous exponents.
    n_points : int
        Points of each trajectory.
    device : torch.device
        Where to compute.

    Returns
    -------
    torch.Tensor, shape (n, n_points - 1), float32
        Standard deviation of each step, per axis.
    """
    import torch

    t = torch.arange(1, n_points + 1, device=device, dtype=torch.float64)
    msd = t ** alpha.double()[:, None]
    return msd.diff(dim=1).sqrt().float()


def ctrw_steps(
    alpha: torch.Tensor,
    n_points: int,
    generator: torch.Generator,
    moves_within: torch.Tensor | None = None,
) -> torch.Tensor:
    """Continuous-time random walk: Gaussian jumps between waits with P(wait > t) = t^(−α), t ≥ 1.

    Scher & Montroll 1975, doi:10.1103/PhysRevB.12.2455. A trajectory without a jump is all zero.

    Parameters, returns
    -------------------
    As for `fbm_steps`, without exposure; `moves_within` as for `simulate_steps`.
    """
    n_steps = n_points - 1
    ends = _event_times(alpha, n_points, generator, whole=False, first_before=moves_within)
    jumps = _scatter_ones((ends - 1).clamp(max=n_steps), n_steps + 1)[:, :n_steps]
    return jumps[..., None] * _randn(generator, len(alpha), n_steps, 2)


def levy_walk_steps(alpha: torch.Tensor, n_points: int, generator: torch.Generator) -> torch.Tensor:
    """Lévy walk: straight flights at one speed, their durations with P(d > t) = t^(−(3−α)), t ≥ 1.

    Klafter & Zumofen 1994, doi:10.1103/PhysRevE.49.4873. The speed is uniform in 0…10 a frame, one
    for each trajectory, the direction of each flight uniform; durations are whole frames.

    Parameters, returns
    -------------------
    As for `fbm_steps`, without exposure; steps in units of distance a frame.
    """
    import torch

    n = len(alpha)
    ends = _event_times(3 - alpha, n_points, generator, whole=True)
    flight = _scatter_ones(ends.clamp(max=n_points), n_points + 1)[:, :n_points].cumsum(1).long()
    angles = _rand(generator, n, n_points) * (2 * torch.pi)
    angle = angles.gather(1, flight.clamp(max=n_points - 1))[:, 1:]
    speed = 10 * _rand(generator, n, 1, 1)
    return speed * torch.stack([angle.cos(), angle.sin()], dim=-1)


def attm_amplitude(alpha: torch.Tensor, n_points: int, generator: torch.Generator) -> torch.Tensor:
    """Annealed transient time motion: Brownian motion whose D changes at random and lasts D^(−γ).

    Massignan et al. 2014, doi:10.1103/PhysRevLett.112.150603, regime 1 of ``andi_datasets``:
    σ uniform in (0.03, 3.3) where σ < γ = σ/α < σ + 1, that is up to α/(1−α);
    D = u^(1/σ) with u uniform in (0.01, 0.9), kept for u^(−1/α) frames.

    Parameters
    ----------
    alpha : torch.Tensor, shape (n,)
        Anomalous exponents.
    n_points : int
        Points of each trajectory.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    torch.Tensor, shape (n, n_points - 1), float32
        √D in each frame. Each trajectory is scaled by its largest √D, so that the smallest, which
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
    return log_amplitude.clamp(min=_LOG_AMPLITUDE_FLOOR).exp()


def _event_times(
    tail: torch.Tensor,
    n_points: int,
    generator: torch.Generator,
    *,
    whole: bool,
    first_before: torch.Tensor | None = None,
) -> torch.Tensor:
    """Frames at which waits with tail exponent `tail` end, at most `n_points` of them, as int64.

    The first ends before the frame `first_before`, if that is given.
    """
    import torch

    u = 1 - _rand(generator, len(tail), n_points)  # in (0, 1]
    if first_before is not None:
        least = first_before**-tail  # P(wait > first_before)
        u[:, 0] = least + (1 - least) * u[:, 0]
    waits = (u ** (-1 / tail[:, None])).clamp(max=n_points + 1.0)
    if first_before is not None:  # rounding can reach it
        waits[:, 0] = torch.minimum(waits[:, 0], first_before - 0.001)
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
