"""Movies of the pressure around a jellyfish's two wings; the force on them is the signal.

The wings are those of appendix A.9 of the paper (Lily-Pad there, `flow.Flow` here): ellipses whose
ends meet at a fixed head and whose angle to the axis goes from its widest to its narrowest and back
along half cosines, closing in another share of the period than opening.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spt_explain.errors import SptError
from spt_explain.xddpm.simulate.cells import Made
from spt_explain.xddpm.simulate.pressure import ellipse, force

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    import torch

    from spt_explain.xddpm.simulate.settings import Jellyfish

    Numbers = npt.NDArray[np.float64]

SPONGE = 20.0
"""Largest rate per period at which the flow beyond the frame is stilled."""
_BEYOND = 0.125
"""Least width of the square beyond each side of the frame, in sides of the frame."""
_EDGE_CELLS = 1.0
_CELLS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Strokes:
    """How the wings of each jellyfish move; angles in radians, times in periods.

    Attributes
    ----------
    mean, amplitude, closing : numpy.ndarray, shape (n,)
        Mean angle, how far it goes to either side, and the share of the period in which the wings
        close.
    """

    mean: Numbers
    amplitude: Numbers
    closing: Numbers

    def angle(self, time: float) -> Numbers:
        """Return the angle between a wing and the axis, shape (n,)."""
        import numpy as np

        phase, _ = self._phase(time)
        return np.asarray(self.mean + self.amplitude * np.cos(math.pi * phase))

    def rate(self, time: float) -> Numbers:
        """Return the angle's change per period."""
        import numpy as np

        phase, rate = self._phase(time)
        return np.asarray(-math.pi * rate * self.amplitude * np.sin(math.pi * phase))

    def _phase(self, time: float) -> tuple[Numbers, Numbers]:
        """Return the phase (0 to 1 while closing, 1 to 2 while opening) and its change."""
        import numpy as np

        share = time % 1.0
        opening = 1 - self.closing
        closes = share < self.closing
        phase = np.where(closes, share / self.closing, 1 + (share - self.closing) / opening)
        return phase, np.where(closes, 1 / self.closing, 1 / opening)


@dataclass(frozen=True)
class Wings:
    """Both wings of each jellyfish; lengths in sides of the frame, its corner is (0, 0).

    Attributes
    ----------
    strokes : Strokes
    head : numpy.ndarray, shape (n, 2)
        Where they meet, x and y.
    heading : numpy.ndarray, shape (n,)
        Direction from head to tail, in radians from x to y.
    length : numpy.ndarray, shape (n,)
    slenderness : float
        Short over long axis.
    """

    strokes: Strokes
    head: Numbers
    heading: Numbers
    length: Numbers
    slenderness: float

    def take(self, index: slice) -> Wings:
        """Return some of them."""
        strokes = self.strokes
        part = Strokes(strokes.mean[index], strokes.amplitude[index], strokes.closing[index])
        return Wings(
            part, self.head[index], self.heading[index], self.length[index], self.slenderness
        )

    def body(
        self, time: float, size: int, edge: float, offset: float = 0.0, side: float = 1.0
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return χ of both wings, and the velocity of the wing to which each point belongs.

        Where both wings are, it is the mean of theirs, 0.

        Parameters
        ----------
        time : float
            In periods.
        size : int
            Number of pixels (or cells) along a side of the square.
        edge : float
            Width over which χ goes from 0 to 1, in pixels.
        offset, side : float
            How far the square goes beyond the frame's corner, and its side.

        Returns
        -------
        chi : numpy.ndarray of float32, shape (n, size, size)
        velocity : numpy.ndarray of float32, shape (n, 2, size, size)
            Along x and y, in sides of the frame per period.
        """
        import numpy as np

        pixel = side / size
        opening = self.strokes.angle(time)
        half = self.length / 2
        axes = np.stack([half * self.slenderness, half], axis=-1) / pixel
        each = []
        for way in (1, -1):
            tilt = self.heading + way * opening
            along = np.stack([np.sin(tilt), np.cos(tilt)], axis=-1)  # row, column
            middle = self.head[:, ::-1] + half[:, None] * along + offset
            each.append(ellipse(middle / pixel - 0.5, axes, tilt - np.pi / 2, size, edge))
        place = (np.arange(size) + 0.5) * pixel - offset
        from_x = place[None, None, :] - self.head[:, 0, None, None]
        from_y = place[None, :, None] - self.head[:, 1, None, None]
        turn = self.strokes.rate(time)[:, None, None] * np.sign(each[0] - each[1])
        velocity = np.stack([-turn * from_y, turn * from_x], axis=1)
        return np.maximum(*each), velocity.astype(np.float32)


def make_jellyfish(
    settings: Jellyfish,
    n: int,
    *,
    frames: int,
    size: int,
    rng: np.random.Generator,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Simulate the pressure around jellyfish.

    The unit of pressure is ρ (wing's length / period)². Signals, one per frame: ``force-x``, S =
    Σ p ∇χ over the frame's pixels with χ the wings in the frame (for wings that are seen, see
    `spt_explain.xddpm.simulate.pressure.force`), and ``momentum-x``, the whole force on the wings,
    friction too, from the momentum that they take from the fluid; both in units of pressure times
    pixel, positive to the right (thrust is negative at heading 0). Where headings differ from 0,
    ``force-y`` and ``momentum-y`` too. All are carried by the wings' edge, |∇χ| > 0: exactly so
    for S.

    Parameters
    ----------
    settings : Jellyfish
        What is set.
    n, frames, size : int
        Number of movies, their frames, and the side of a frame in px.
    rng : numpy.random.Generator
        Source of all randomness.
    device : str
        Where torch computes the flow.
    progress : callable, optional
        Called with movies done and their number.

    Returns
    -------
    Made

    Raises
    ------
    SptError
        If a wing leaves the frame, or the flow can't be computed.
    """
    import numpy as np

    wings, stream = _draw(settings, n, rng)
    clips = np.empty((n, frames, size, size), np.float32)
    truth = np.empty(clips.shape, np.bool_)
    pull, given = np.empty((2, n, frames), np.float32), np.empty((2, n, frames), np.float32)
    factor = -(-settings.grid // size)
    at_once = max(1, _CELLS_AT_ONCE // (factor * size) ** 2)
    for begin in range(0, n, at_once):
        at = slice(begin, min(begin + at_once, n))
        some = wings.take(at)
        times, pressures, momentum = _flow(settings, some, stream[at], frames, size, device)
        unit = (some.length**2)[:, None, None]
        given[:, at] = (momentum / unit * size).transpose(2, 0, 1)
        for frame, time in enumerate(times):
            body, _ = some.body(time, size, settings.edge_px)
            shown = (pressures[:, frame] / unit).astype(np.float32)
            if settings.wings == "seen":
                shown *= 1 - body
            pull[:, at, frame], slope = force(shown, body)
            clips[at, frame], truth[at, frame] = shown, slope > 0
        if progress is not None:
            progress(at.stop, n)
    if settings.wings == "hidden":
        pull /= 2
    if not np.isfinite(clips).all():
        raise SptError(
            "jellyfish: the flow grew without bound. Set more steps.", exit_code=1, code="failed"
        )
    if settings.noise:
        for clip in clips:  # one movie at a time: memory
            clip += settings.noise * rng.standard_normal(clip.shape, np.float32)
    signals = {"force-x": pull[0], "momentum-x": given[0]}
    if settings.heading_deg != (0.0, 0.0):
        signals |= {"force-y": pull[1], "momentum-y": given[1]}
    return Made(clips, signals, dict.fromkeys(signals, truth))


def _draw(settings: Jellyfish, n: int, rng: np.random.Generator) -> tuple[Wings, Numbers]:
    """Return the wings, and the velocity of the fluid far away, shape (n, 2)."""
    import numpy as np

    mean = rng.uniform(*settings.mean_deg, n)
    most = np.minimum(mean, settings.widest_deg - mean)
    if most.min() <= 0:
        raise SptError(
            f"jellyfish: mean_deg goes up to {settings.mean_deg[1]:g}, widest_deg is "
            f"{settings.widest_deg:g}: expected a mean below the widest angle."
        )
    low, high = (np.minimum(end, most) for end in settings.amplitude_deg)
    strokes = Strokes(
        np.deg2rad(mean), np.deg2rad(rng.uniform(low, high)), rng.uniform(*settings.closing, n)
    )
    heading = np.deg2rad(rng.uniform(*settings.heading_deg, n))
    head = np.stack([rng.uniform(*settings.head_x, n), rng.uniform(*settings.head_y, n)], axis=-1)
    cos, sin = np.cos(heading), np.sin(heading)
    x, y = (head - 0.5).T
    head = 0.5 + np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
    wings = Wings(strokes, head, heading, rng.uniform(*settings.wing, n), settings.slenderness)
    _insist_on_frame(wings)
    speed = rng.uniform(*settings.stream, n)
    return wings, speed[:, None] * np.stack([cos, sin], axis=-1)


def _insist_on_frame(wings: Wings) -> None:
    """Raise if a wing leaves the frame at any time."""
    import numpy as np

    strokes = wings.strokes
    for share in np.linspace(-1, 1, 17):
        angle = strokes.mean + share * strokes.amplitude
        for way in (1, -1):
            tilt = wings.heading + way * angle
            tip = wings.head + wings.length[:, None] * np.stack([np.cos(tilt), np.sin(tilt)], -1)
            if tip.min() < 0 or tip.max() > 1:
                raise SptError(
                    "jellyfish: with these settings a wing leaves the frame. Shorten it (wing), or "
                    "move its head (head_x, head_y)."
                )


def _flow(
    settings: Jellyfish, wings: Wings, stream: Numbers, frames: int, size: int, device: str
) -> tuple[list[float], npt.NDArray[np.float32], Numbers]:
    """Return the frames' times, their pressure (n, frames, size, size), and forces (n, frames, 2).

    Pressure is 0 on average along the frame's rim. The force is the mean over the step before.
    """
    import numpy as np
    import torch

    from spt_explain.xddpm.simulate.flow import Flow

    n = len(stream)
    factor = -(-settings.grid // size)
    inner = factor * size
    grid = _fast(inner + 2 * math.ceil(_BEYOND * inner))
    before = (grid - inner) // 2
    side, offset = grid / inner, before / inner
    flow = Flow(
        n,
        grid,
        side=side,
        viscosity=settings.viscosity,
        stream=torch.from_numpy(stream),
        sponge=_sponge(grid, before),
        device=device,
    )
    substeps = max(1, round(settings.steps * settings.frame_interval))
    step = settings.frame_interval / substeps
    start = max(1, math.ceil(settings.settle / step - 1e-9))
    pressures = np.empty((n, frames, size, size), np.float32)
    forces = np.empty((n, frames, 2))
    times: list[float] = []
    own = torch.zeros((n, 2), device=device)
    for i in range(1, start + (frames - 1) * substeps + 1):
        time = i * step
        body, speed = wings.body(time, grid, _EDGE_CELLS, offset, side)
        chi, velocity = torch.from_numpy(body).to(device), torch.from_numpy(speed).to(device)
        before_step = own
        own = (chi[:, None] * velocity).sum(dim=(-2, -1)) * flow.cell**2
        try:
            given = flow.advance(step, chi, velocity)
        except FloatingPointError as error:
            raise SptError(
                "jellyfish: the flow grew without bound. Set more steps.",
                exit_code=1,
                code="failed",
            ) from error
        if i < start or (i - start) % substeps:
            continue
        frame = len(times)
        times.append(time)
        forces[:, frame] = ((given + own - before_step) / step).cpu().numpy()
        inside = slice(before, before + inner)
        shown = flow.pressure()[:, inside, inside]
        shown = torch.nn.functional.avg_pool2d(shown[:, None], factor)[:, 0]
        rim = torch.cat([shown[:, 0], shown[:, -1], shown[:, :, 0], shown[:, :, -1]], dim=1)
        pressures[:, frame] = (shown - rim.mean(dim=1)[:, None, None]).cpu().numpy()
    return times, pressures, forces


def _fast(least: int) -> int:
    """Return the next even number whose prime factors are 2, 3 and 5."""
    number = least + least % 2
    while True:
        rest = number
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return number
        number += 2


def _sponge(grid: int, width: int) -> torch.Tensor:
    """Return the rate of the sponge, which begins smoothly at the frame's rim."""
    import torch

    place = torch.arange(grid, dtype=torch.float64)
    beyond = torch.maximum(width - 0.5 - place, place - (grid - width - 0.5)) / width
    level = torch.maximum(beyond[:, None], beyond[None]).clamp(0, 1)
    return SPONGE * torch.sin(0.5 * math.pi * level) ** 2
