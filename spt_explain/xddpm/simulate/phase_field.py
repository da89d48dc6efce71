"""Cells as a phase field: Allen-Cahn with a fixed volume, a wetted wall and neighbours, in torch.

The phase φ (0 outside, 1 inside) follows ::

    ∂φ/∂t = m (∇²φ - φ (1 - φ) (1 - 2 φ) / w²) + λ(t) φ (1 - φ)

whose interface has the profile 1 / (1 + exp(-x / w)) and moves at m times its curvature
(S. M. Allen, J. W. Cahn 1979, doi:10.1016/0001-6160(79)90196-2). λ keeps Σφ at the wanted volume;
it acts at the interface only (M. Brassel, E. Bretin 2011, doi:10.1002/mma.1426). At the wall ∂φ/∂n
is cos θ · φ (1 - φ) / w, the natural condition of a wall energy between the two phases whose
difference is -σ cos θ (Young's equation) with the interface's tension σ = 1 / (6 w).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LARGEST_STEP = 0.2
"""Time of one step in px² / m; explicit steps are stable up to about 0.29 at w = 0.8 px."""


class PhaseField:
    """A batch of frames with one or more cells each.

    Parameters
    ----------
    phase : torch.Tensor of float32, shape (n, cells, H, W)
        Where to begin; copied.
    step : torch.Tensor of float32, shape (n,)
        Time of a step of each frame in px² / m; at most `LARGEST_STEP`.
    width : float
        Width w of the interface in px; from 10 to 90 % it takes 4.4 w.
    contact : torch.Tensor of float32, shape (n,), optional
        cos θ at the lower edge of the frame. The other edges, and this one without it, have a
        contact angle of 90°.
    repulsion : float
        How strongly the cells of a frame displace each other, in units of the double well.
    fixed_volume : bool
        Whether λ is there; without it the cells shrink under their tension.
    """

    def __init__(
        self,
        phase: torch.Tensor,
        step: torch.Tensor,
        *,
        width: float,
        contact: torch.Tensor | None = None,
        repulsion: float = 1.0,
        fixed_volume: bool = True,
    ) -> None:
        import torch

        n, cells, height, width_px = phase.shape
        # One border of ghost pixels: all arithmetic then runs over flat memory, at full speed; what
        # it leaves in the border is overwritten before each step.
        self._padded = torch.zeros(
            (n, cells, height + 2, width_px + 2), dtype=torch.float32, device=phase.device
        )
        self.phase = self._padded[..., 1:-1, 1:-1]
        self.phase.copy_(phase)
        self._stride = width_px + 2
        self._step = (
            step.to(torch.float32)[:, None, None, None].expand_as(self._padded).contiguous()
        )
        self._wall = None if contact is None else (contact / width)[:, None, None]
        self._sharp = 1 / width**2
        self._repulsion = repulsion if cells > 1 else 0.0
        self._fixed_volume = fixed_volume
        size, margin = self._padded.numel(), self._stride + 1
        self._inner = slice(margin, size - margin)
        self._near = torch.zeros_like(self._padded)
        self._along = torch.empty(size - 2, device=phase.device)
        self._change = torch.empty(size - 2 * margin, device=phase.device)
        self._other = torch.empty_like(self._change)

    def volume(self) -> torch.Tensor:
        """Return Σφ of each cell, shape (n, cells), in px²."""
        return self.phase.sum(dim=(-2, -1))

    def advance(self, steps: int, volume: torch.Tensor) -> None:
        """Make `steps` steps during which the volumes go linearly from what they are to `volume`.

        Parameters
        ----------
        steps : int
            Number of steps.
        volume : torch.Tensor, shape (n, cells)
            Σφ of each cell at the end, in px².
        """
        before = self.volume()
        for i in range(steps):
            self._advance(before + (volume - before) * ((i + 1) / steps))

    def _advance(self, volume: torch.Tensor) -> None:
        import torch

        self._fill_border()
        flat, stride = self._padded.view(-1), self._stride
        here = flat[self._inner]
        # Isotropic 9-point Laplacian: outer([1 4 1], [1 4 1]) / 6 - 6 δ
        along, change = self._along, self._change
        torch.add(flat[:-2], flat[2:], out=along).add_(flat[1:-1], alpha=4)
        torch.add(along[: -2 * stride], along[2 * stride :], out=change)
        change.add_(along[stride:-stride], alpha=4).mul_(1 / 6).add_(here, alpha=-6)
        near = self._near.view(-1)[self._inner]
        torch.addcmul(here, here, here, value=-1, out=near)
        torch.addcmul(near, near, here, value=-2, out=self._other)
        change.add_(self._other, alpha=-self._sharp)
        if self._repulsion:
            others = self._padded.sum(dim=1, keepdim=True) - self._padded
            push = (others * others).view(-1)[self._inner]
            change.addcmul_(push, here, value=-self._repulsion * self._sharp)
        here.addcmul_(self._step.view(-1)[self._inner], change)
        if self._fixed_volume:
            room = self._near[..., 1:-1, 1:-1].sum(dim=(-2, -1))
            lack = (volume - self.volume()) / room.clamp_(min=1e-6)
            self._padded.addcmul_(lack[..., None, None], self._near)

    def _fill_border(self) -> None:
        padded = self._padded
        padded[..., 0, :] = padded[..., 1, :]
        padded[..., -1, :] = padded[..., -2, :]
        if self._wall is not None:
            last = padded[..., -2, :]
            padded[..., -1, :].addcmul_(self._wall, last * (1 - last))
        padded[..., 0] = padded[..., 1]
        padded[..., -1] = padded[..., -2]
