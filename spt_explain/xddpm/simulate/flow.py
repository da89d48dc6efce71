"""Plane flow around moving bodies, in torch: pseudo-spectral Navier-Stokes with penalisation.

A batch of flows on a periodic square follows ::

    ∂u/∂t + ω × u = -∇(p + u²/2) + ν ∇²u - χ (u - u_b) / η - σ (u - U),    ∇·u = 0

with the bodies' χ and velocity u_b (P. Angot, C.-H. Bruneau, P. Fabrie 1999,
doi:10.1007/s002110050401) and a sponge σ that takes the flow to U where the square ends, so that
what leaves on one side does not come back on the other. Derivatives are taken in Fourier space, the
products dealiased by the 2/3 rule; viscosity is exact, the rest a third-order Runge-Kutta step
(C.-W. Shu, S. Osher 1988, doi:10.1016/0021-9991(88)90177-5), after which the bodies act implicitly.
Density 1; rows are y, columns are x, vectors are (x, y).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LARGEST_COURANT = 0.7
"""Largest (|u| + |v|) Δt / Δx; the Runge-Kutta step is stable up to √3 · 3 / 2π = 0.83."""


class Flow:
    """Flows on periodic squares, all with the same grid and viscosity, at rest at first.

    Parameters
    ----------
    n, grid : int
        Number of flows, and cells along a side.
    side : float
        Length of a side.
    viscosity : float
        ν.
    stream : torch.Tensor, shape (n, 2), optional
        U, with which all begins; 0 by default.
    sponge : torch.Tensor, shape (grid, grid), optional
        σ, the rate at which the flow is taken to U; nowhere by default.
    held : bool
        Whether the mean velocity is held at U, by an even force.
    dtype : torch.dtype, optional
        float32 by default.
    device : str
        Where it is computed.

    Attributes
    ----------
    time : float
        Time since the beginning.
    """

    def __init__(
        self,
        n: int,
        grid: int,
        *,
        side: float = 1.0,
        viscosity: float,
        stream: torch.Tensor | None = None,
        sponge: torch.Tensor | None = None,
        held: bool = False,
        dtype: torch.dtype | None = None,
        device: str = "cpu",
    ) -> None:
        import torch

        dtype = dtype or torch.float32
        self.grid, self.cell, self.time = grid, side / grid, 0.0
        wave = 2 * math.pi / side * torch.fft.fftfreq(grid, 1 / grid, dtype=torch.float64)
        half = 2 * math.pi / side * torch.fft.rfftfreq(grid, 1 / grid, dtype=torch.float64)
        kx, ky = half.expand(grid, -1), wave[:, None].expand(-1, len(half))
        squared = kx**2 + ky**2
        kept = 2 / 3 * wave.abs().max()
        self._low = ((kx.abs() < kept) & (ky.abs() < kept)).to(dtype).to(device)
        self._damping = (viscosity * squared).to(dtype).to(device)
        squared[0, 0] = math.inf
        self._inverse = (1 / squared).to(dtype).to(device)
        self._k = torch.stack([kx, ky]).to(dtype).to(device)
        if stream is None:
            stream = torch.zeros(n, 2)
        self._stream = stream.to(dtype).to(device)[:, :, None, None]
        self._sponge = None if sponge is None else sponge.to(dtype).to(device)
        self._held = held
        start = self._stream.expand(-1, -1, grid, grid)
        self._spectrum = torch.fft.rfft2(start)
        self._impulse: torch.Tensor | None = None
        self._fastest: float | None = None

    @property
    def velocity(self) -> torch.Tensor:
        """The velocity, shape (n, 2, grid, grid)."""
        return self._real(self._spectrum)

    @velocity.setter
    def velocity(self, values: torch.Tensor) -> None:
        import torch

        self._spectrum = self._solenoidal(torch.fft.rfft2(values)) * self._low
        self._impulse = self._fastest = None

    def vorticity(self) -> torch.Tensor:
        """Return ∂v/∂x - ∂u/∂y, shape (n, grid, grid)."""
        return self._real(self._curl(self._spectrum))

    def advance(
        self,
        time: float,
        body: torch.Tensor | None = None,
        speed: torch.Tensor | None = None,
        *,
        eta: float = 0.0,
    ) -> torch.Tensor:
        """Go on by `time`, in as many steps as are stable.

        Parameters
        ----------
        time : float
            How long.
        body : torch.Tensor, shape (n, grid, grid), optional
            χ: 1 in a body, 0 in the fluid.
        speed : torch.Tensor, shape (n, 2, grid, grid), optional
            u_b; at rest by default.
        eta : float
            Time η in which the fluid takes on the velocity of the body; 0: at once.

        Returns
        -------
        torch.Tensor, shape (n, 2)
            Momentum that the fluid gave the bodies, over `time`: with the rate at which that of the
            fluid in the body's place changes, the force on the body. 0 without a body.
        """
        if self._fastest is None:
            self._fastest = float(self.velocity.abs().sum(dim=1).amax())
        if not math.isfinite(self._fastest):
            raise FloatingPointError("the flow grew without bound")
        steps = max(1, math.ceil(self._fastest * time / self.cell / LARGEST_COURANT))
        given = self._stream.new_zeros(self._stream.shape[:2])
        step = time / steps
        for _ in range(steps):
            self._move(step)
            if body is not None:
                given = given + self._penalise(step, body, speed, eta)
        self.time += time
        return given

    def pressure(self) -> torch.Tensor:
        """Return p, shape (n, grid, grid), with mean 0.

        It solves ∇²p = ∇·f - ∇·(u·∇u), with f the forces of bodies (as they acted in the last
        step) and sponge.
        """
        import torch

        u = self.velocity
        force = self._forces(self._spectrum, u)
        if self._impulse is not None:
            force = force + self._impulse
        k = self._k
        source = 1j * (k * torch.fft.rfft2(force)).sum(dim=1)
        total = self._real(-source * self._inverse)
        p = total - 0.5 * (u**2).sum(dim=1)
        return p - p.mean(dim=(-2, -1), keepdim=True)

    def _move(self, step: float) -> None:
        """Make one step without bodies."""
        import torch

        half = torch.exp(-0.5 * step * self._damping)
        old = self._spectrum
        first = half**2 * (old + step * self._rate(old))
        second = 0.75 * half * old + 0.25 * (first + step * self._rate(first)) / half
        last = half**2 * old + 2 * half * (second + step * self._rate(second))
        self._spectrum = last / 3
        self._hold()

    def _penalise(
        self, step: float, body: torch.Tensor, speed: torch.Tensor | None, eta: float
    ) -> torch.Tensor:
        import torch

        u = self.velocity
        share = body * step / (eta + body * step) if eta else body
        change = share[:, None] * ((0 if speed is None else speed) - u)
        self._impulse = change / step
        self._spectrum = self._solenoidal(self._spectrum + torch.fft.rfft2(change)) * self._low
        self._hold()
        self._fastest = float((u + change).abs().sum(dim=1).amax())
        return -change.sum(dim=(-2, -1)) * self.cell**2

    def _hold(self) -> None:
        if self._held:
            self._spectrum[..., 0, 0] = self._stream[..., 0, 0] * self.grid**2

    def _rate(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Return the Fourier transform of ∂u/∂t without viscosity and bodies."""
        import torch

        force = self._forces(spectrum, self._real(spectrum))
        return self._solenoidal(torch.fft.rfft2(force) * self._low)

    def _forces(self, spectrum: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return -ω × u and the sponge's force."""
        import torch

        omega = self._real(self._curl(spectrum))
        force = torch.stack([omega * u[:, 1], -omega * u[:, 0]], dim=1)
        if self._sponge is not None:
            force -= self._sponge * (u - self._stream)
        return force

    def _curl(self, spectrum: torch.Tensor) -> torch.Tensor:
        kx, ky = self._k
        curl: torch.Tensor = 1j * (kx * spectrum[:, 1] - ky * spectrum[:, 0])
        return curl

    def _solenoidal(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Return the part without divergence."""
        along = (self._k * spectrum).sum(dim=1, keepdim=True) * self._inverse
        rest: torch.Tensor = spectrum - self._k * along
        return rest

    def _real(self, spectrum: torch.Tensor) -> torch.Tensor:
        import torch

        values: torch.Tensor = torch.fft.irfft2(spectrum, s=(self.grid, self.grid))
        return values
