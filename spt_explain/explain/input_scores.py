"""Scores of the input's frames: gradient times input, integrated gradients, occlusion.

All compare a track with a particle that never leaves its first position. The first two need the
gradient of the network's output with respect to its input; one forward pass serves the score and
the contrast, with a backward pass for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Scores = tuple[torch.Tensor, torch.Tensor]

STEPS = (3, 9, 27)
"""Steps of the integral: three times as many keep the gradients of those before."""
COMPLETENESS = 0.2
"""Error of the integral that is accepted, relative to the difference between the track and the
particle at rest. With the default weights on 120 tracks of 10 to 120 points, the ranks of the
frames then correlate with those of 81 steps by 0.96 at 17 steps on average (0.84, 0.95 and 0.99
with 3, 9 and 27 for all); the top fifth costs as much with 8 steps as with 32."""
OCCLUSION_SHARE = 0.1
"""Length of the occluded stretch, in parts of the trajectory; it moves by half of its length."""


@dataclass(frozen=True)
class Inputs:
    """A batch of tracks, and what is asked of the network about them.

    Attributes
    ----------
    values, still : torch.Tensor, shape (n, series, frames)
        The network's input of each track, and that of a particle that never leaves its first
        position; without the mask.
    ask : callable
        Returns score and contrast, (n, 2), of values, (n, series, frames), for some of the tracks.
    """

    values: torch.Tensor
    still: torch.Tensor
    ask: Callable[[torch.Tensor, torch.Tensor | slice], torch.Tensor]

    @classmethod
    def of(
        cls,
        x: torch.Tensor,
        lengths: NDArray[np.int64],
        *,
        masked: bool,
        ask: Callable[[torch.Tensor, torch.Tensor | slice], torch.Tensor],
    ) -> Inputs:
        """Return a batch of inputs, (n, channels, frames), with their particles at rest.

        Parameters
        ----------
        x : torch.Tensor, shape (n, channels, frames)
        lengths : numpy.ndarray, shape (n,)
            Points of each track, the last frames of its input.
        masked : bool
            Whether the last channel marks the frames inside the track.
        ask : callable
            As the attribute, of inputs with the mask.
        """
        series = x.size(1) - masked
        values, mask = x[:, :series].contiguous(), x[:, series:]
        still = torch.zeros_like(values)
        start = torch.from_numpy(values.size(2) - lengths).to(x.device)
        still[:, :2] = values[:, :2].gather(2, start[:, None, None].expand(-1, 2, 1))
        if masked:
            still[:, :2] *= mask
        return cls(values, still, lambda v, rows: ask(torch.cat([v, mask[rows]], 1), rows))

    def slopes(self, values: torch.Tensor, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return the products of gradient and distance from rest, summed over the series.

        Parameters
        ----------
        values : torch.Tensor, shape (k, series, frames)
            Where the gradients are taken.
        rows : torch.Tensor, shape (k,), or slice
            Tracks that they belong to.

        Returns
        -------
        torch.Tensor, shape (2, k, frames)
            Of score and contrast.
        """
        away = self.values[rows] - self.still[rows]
        with torch.enable_grad():
            at = values.detach().requires_grad_()
            told = self.ask(at, rows)
            first = torch.autograd.grad(told[:, 0].sum(), at, retain_graph=True)[0]
            second = torch.autograd.grad(told[:, 1].sum(), at)[0]
        return torch.stack([(first * away).sum(1), (second * away).sum(1)])


def input_x_gradient(batch: Inputs) -> Scores:
    """Return the products of the gradient at the track and its distance from a particle at rest.

    Shrikumar et al. 2016, arXiv:1605.01713: what each frame adds to the score, to first order.

    Returns
    -------
    score, contrast : torch.Tensor, shape (n, frames)
    """
    score, contrast = batch.slopes(batch.values, slice(None))
    return score, contrast


def integrated_gradients(batch: Inputs, steps: int | None = None) -> Scores:
    """Return the integral of the gradients from a particle at rest to the track.

    Sundararajan et al. 2017, arXiv:1703.01365, by the midpoint rule. By their completeness axiom
    the scores sum to the difference of the network's output between the two ends: only tracks
    where the sum differs by more than `COMPLETENESS` of it go on to the next number of `STEPS`.

    Parameters
    ----------
    batch : Inputs
    steps : int, optional
        A number of steps for all tracks.

    Returns
    -------
    score, contrast : torch.Tensor, shape (n, frames)
    """
    n = len(batch.values)
    every = torch.arange(n, device=batch.values.device)
    total = batch.values.new_zeros((2, n, batch.values.size(2)))
    if steps is not None:
        _add_slopes(batch, total, every, _midpoints(steps))
        return total[0] / steps, total[1] / steps
    with torch.no_grad():
        ends = [batch.ask(v, slice(None))[:, 0] for v in (batch.values, batch.still)]
    expected = ends[0] - ends[1]
    done = torch.ones(n, device=total.device)
    rows = every
    for before, count in zip((1, *STEPS), STEPS, strict=False):
        nodes = _midpoints(count)
        # the midpoints of a third of the steps are every third of these
        new = nodes if before == 1 else [node for i, node in enumerate(nodes) if i % 3 != 1]
        _add_slopes(batch, total, rows, new)
        done[rows] = count
        error = (total[0, rows].sum(1) / count - expected[rows]).abs()
        rows = rows[error > COMPLETENESS * expected[rows].abs()]
        if not len(rows):
            break
    return total[0] / done[:, None], total[1] / done[:, None]


def _midpoints(steps: int) -> list[float]:
    return [(i + 0.5) / steps for i in range(steps)]


def _add_slopes(batch: Inputs, total: torch.Tensor, rows: torch.Tensor, nodes: list[float]) -> None:
    """Add the slopes at some nodes of the path for some tracks, in batches as large as theirs."""
    size = len(batch.values)
    track = rows.repeat(len(nodes))
    along = torch.tensor(nodes, dtype=total.dtype, device=total.device)
    along = along.repeat_interleave(len(rows))
    for first in range(0, len(track), size):
        some = track[first : first + size]
        share = along[first : first + size, None, None]
        values = batch.still[some] + share * (batch.values[some] - batch.still[some])
        total.index_add_(1, some, batch.slopes(values, some))


def occlusion(batch: Inputs, lengths: NDArray[np.int64], most: int) -> Scores:
    """Return what it costs that the particle rests for a tenth of the track (Captum).

    Zeiler & Fergus 2014, arXiv:1311.2901.

    Parameters
    ----------
    batch : Inputs
    lengths : numpy.ndarray, shape (n,)
        Points of each track.
    most : int
        Tracks at a time.

    Returns
    -------
    score, contrast : torch.Tensor, shape (n, frames)
    """
    from captum.attr import Occlusion

    series = batch.values.size(1)
    found: list[torch.Tensor] = []
    for output in (0, 1):
        parts = []
        for first in range(0, len(lengths), most):
            rows = slice(first, first + most)
            # the shortest of a batch decides: its stretch must fit
            width, step = occluded(int(lengths[rows].max()))

            def ask(values: torch.Tensor, rows: slice = rows, output: int = output) -> Any:
                return batch.ask(values, rows)[:, output]

            gone = Occlusion(ask).attribute(
                batch.values[rows],
                sliding_window_shapes=(series, width),
                strides=(series, step),
                baselines=batch.still[rows],
            )
            parts.append(gone.mean(1))
        found.append(torch.cat(parts).detach())
    return found[0], found[1]


def occluded(n_points: int) -> tuple[int, int]:
    """Return length and step of the occluded stretch, in frames."""
    width = max(2, round(OCCLUSION_SHARE * n_points))
    return width, max(1, width // 2)
