"""Movies of cells: tension, wetting, and the planted distractors made from cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spt_explain.errors import SptError
from spt_explain.xddpm.simulate.measures import inside, outline_length, ring
from spt_explain.xddpm.simulate.outlines import Outlines, draw_outlines
from spt_explain.xddpm.simulate.phase_field import LARGEST_STEP, PhaseField
from spt_explain.xddpm.simulate.settings import Cell, SomeFrames, Textured, TwoCells, Wetting
from spt_explain.xddpm.simulate.texture import drifting_texture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import numpy.typing as npt
    import torch

    from spt_explain.xddpm.simulate.labelled import Clips, Signal, Truth

    Index = npt.NDArray[np.intp]
    Numbers = npt.NDArray[np.float64]

BURN_IN = 20
"""Steps before the first frame, in which the drawn outline becomes a phase field's."""
_PIXELS_AT_ONCE = 1 << 18
_MARGIN_PX = 1.5
_SHIFT = 0.3  # widths by which growth may move an outline in a step; from 1 on φ can leave [0, 1]


@dataclass(frozen=True)
class Made:
    """Clips, signals and truth, as in `Labelled`."""

    clips: Clips
    signals: dict[str, Signal]
    truth: dict[str, Truth]


@dataclass(frozen=True)
class _Start:
    """What each movie begins with; all arrays have movies first, cells second."""

    outlines: Outlines
    middle: Numbers
    rounding: Numbers
    contact: Numbers | None = None
    volume: Numbers | None = None


def make_cells(
    settings: Cell,
    n: int,
    *,
    frames: int,
    size: int,
    rng: np.random.Generator,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Simulate movies of cells.

    Parameters
    ----------
    settings : Tension, Wetting, TwoCells, Textured or SomeFrames
        The kind, and what is set for it.
    n, frames, size : int
        Number of movies, their frames, and the side of a frame in px.
    rng : numpy.random.Generator
        Source of all randomness.
    device : str
        Where torch does the work.
    progress : callable, optional
        Called with movies done and their number.

    Returns
    -------
    Made
    """
    import numpy as np

    start = _draw(settings, n, frames, size, rng)
    light = _brightness(settings, n, frames, rng)
    window = _window(settings, frames)
    background = None
    if isinstance(settings, Textured):
        background = drifting_texture(
            n,
            frames=frames,
            size=size,
            grain_px=settings.texture_px,
            drift_px=settings.drift_px,
            rng=rng,
        )
        background *= settings.contrast
        background += settings.texture_mean
    clips = np.empty((n, frames, size, size), np.float32)
    area_truth = np.empty(clips.shape, np.bool_)
    ring_truth = np.empty_like(area_truth)
    area, around, intensity = (np.empty((n, frames), np.float32) for _ in range(3))
    done = 0
    for chosen, phases in _movies(settings, start, frames, size, device):
        own = phases[:, :, 0]
        cell = inside(own)
        edge = ring(cell)
        lit = light[chosen, :, :, None, None] * phases
        clip = lit.sum(axis=2)
        if background is not None:
            clip += (1 - own) * background[chosen]
        clips[chosen] = clip
        area_truth[chosen], ring_truth[chosen] = cell, edge
        area[chosen] = cell.sum(axis=(-2, -1))
        intensity[chosen] = (lit[:, :, 0] * cell).sum(axis=(-2, -1))
        long = settings.circumference == "length"
        around[chosen] = outline_length(own) if long else edge.sum(axis=(-2, -1))
        done += len(chosen)
        if progress is not None:
            progress(done, n)
    if settings.noise:
        for clip in clips:  # one movie at a time: memory
            clip += settings.noise * rng.standard_normal(clip.shape, np.float32)
    if window is not None:
        first, last = window
        area_truth[:, :first] = False
        area_truth[:, last + 1 :] = False
        used = slice(first, last + 1)
        return Made(
            clips,
            {"area": area[:, used].mean(axis=1), "intensity": intensity[:, used].mean(axis=1)},
            {"area": area_truth, "intensity": area_truth},
        )
    signals = {"area": area, "circumference": around}
    truth = {"area": area_truth, "circumference": ring_truth}
    if isinstance(settings, TwoCells):
        signals["intensity"], truth["intensity"] = intensity, area_truth
    return Made(clips, signals, truth)


def _window(settings: Cell, frames: int) -> tuple[int, int] | None:
    """Return the first and the last frame that count, None where all do."""
    if not isinstance(settings, SomeFrames):
        return None
    first = frames // 2 if settings.first is None else settings.first
    last = first + max(1, round(frames / 5)) - 1 if settings.last is None else settings.last
    last = min(last, frames - 1) if settings.last is None else last
    if not 0 <= first <= last < frames:
        raise SptError(
            f"some-frames: the signal is to come from the frames {first} to {last}: expected "
            f"frames between 0 and {frames - 1}, first before last."
        )
    return first, last


def _draw(settings: Cell, n: int, frames: int, size: int, rng: np.random.Generator) -> _Start:
    import numpy as np

    cells = 2 if isinstance(settings, TwoCells) else 1
    room = 0.25 * size if cells == 2 else size / 2 - _MARGIN_PX
    outlines = draw_outlines(
        rng,
        (n, cells),
        radius=(settings.radius[0] * size, settings.radius[1] * size),
        aspect=settings.aspect,
        roughness=settings.roughness,
        room=room,
    )
    rounding = rng.uniform(*settings.rounding, n)
    centre = (size - 1) / 2
    slack = np.maximum(size / 2 - _MARGIN_PX - outlines.reach(), 0)
    shift = rng.uniform(-1, 1, (n, cells, 2))
    middle = centre + shift * slack[..., None]
    contact = volume = None
    if isinstance(settings, TwoCells):
        direction = rng.uniform(0, 2 * np.pi, n)
        offset = 0.25 * size * np.stack([np.sin(direction), np.cos(direction)], axis=-1)
        apart = np.stack([offset, -offset], axis=1)
        middle = centre + apart + shift * np.minimum(slack, 0.02 * size)[..., None]
    if isinstance(settings, Wetting):
        height = rng.uniform(*settings.height, (n, cells)) * outlines.radius
        middle[..., 0] = size - 0.5 - height
        contact = np.cos(np.deg2rad(rng.uniform(*settings.contact_angle_deg, n)))
        middle[..., 1] = centre + (middle[..., 1] - centre) * 0.5
    if isinstance(settings, SomeFrames):
        volume = 1 + settings.swing * rng.uniform(-1, 1, (n, cells, frames))
    return _Start(outlines, middle, rounding, contact, volume)


def _brightness(settings: Cell, n: int, frames: int, rng: np.random.Generator) -> Clips:
    """Return the brightness of each cell in each frame, shape (n, frames, cells)."""
    import numpy as np

    if isinstance(settings, TwoCells):
        dim, bright = rng.uniform(*settings.dim, n), rng.uniform(*settings.bright, n)
        first, second = (dim, bright) if settings.signal_from == "dim" else (bright, dim)
        light = np.stack([first, second], axis=-1)[:, None].repeat(frames, axis=1)
    elif isinstance(settings, Textured):
        light = rng.uniform(*settings.brightness, (n, 1, 1)).repeat(frames, axis=1)
    elif isinstance(settings, SomeFrames):
        light = rng.uniform(*settings.brightness, (n, frames, 1))
    else:
        light = np.ones((n, frames, 1))
    return light.astype(np.float32)


def _movies(
    settings: Cell, start: _Start, frames: int, size: int, device: str
) -> Iterator[tuple[Index, Clips]]:
    """Yield the numbers of some movies and their phases, shape (m, frames, cells, H, W)."""
    import numpy as np
    import torch

    n, cells = start.middle.shape[:2]
    width = settings.interface_px
    least = 1
    if start.volume is not None:
        reach = np.sqrt(start.volume.max()) - np.sqrt(start.volume.min())
        least = int(np.ceil(reach * start.outlines.radius.max() / (_SHIFT * width)))
    # The time between frames: of an outline's bump of two periods, exp(-rounding) is left at the
    # end (curvature flow at fixed volume around a circle).
    relaxing = (start.outlines.radius**2).mean(axis=1) / 3
    between = start.rounding * relaxing / max(frames - 1, 1)
    # Movies of like pace together: a batch makes as many steps as its fastest needs.
    order = np.argsort(between, kind="stable")
    at_once = max(1, _PIXELS_AT_ONCE // (cells * (size + 2) ** 2))
    for begin in range(0, n, at_once):
        chosen = order[begin : begin + at_once]
        steps = max(int(np.ceil(between[chosen].max() / LARGEST_STEP)), least)
        step = torch.tensor(between[chosen] / steps, dtype=torch.float32, device=device)
        contact = None
        if start.contact is not None:
            contact = torch.tensor(start.contact[chosen], dtype=torch.float32, device=device)
        phase, rest = _first_phase(start, chosen, size, width, device)
        field = PhaseField(phase, step, width=width, contact=contact)
        wanted = rest[..., None].expand(-1, -1, frames)
        if start.volume is not None:
            factor = torch.tensor(start.volume[chosen], dtype=torch.float32, device=device)
            wanted = wanted * factor
        out = torch.empty((len(chosen), frames, cells, size, size), device=device)
        field.advance(max(BURN_IN, least), wanted[..., 0])
        out[:, 0] = field.phase
        for frame in range(1, frames):
            field.advance(steps, wanted[..., frame])
            out[:, frame] = field.phase
        yield chosen, out.cpu().numpy()


def _first_phase(
    start: _Start, chosen: Index, size: int, width: float, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw cells of volume π R² within the frame; return them, (m, cells, H, W), and the volumes.

    A wall cuts part of a cell off, and deep notches fill up: cells are drawn, and drawn again
    larger by what lacks, so that the volume depends on the radius alone and not on the shape.
    """
    import numpy as np
    import torch

    outlines, middle = start.outlines.take(chosen), start.middle[chosen].copy()
    wanted = np.pi * outlines.radius**2
    wall = size - 0.5
    for _ in range(2):
        volume = outlines.phase(middle, size, width, device).sum(dim=(-2, -1)).cpu().numpy()
        grow = np.sqrt(wanted / np.maximum(volume, 1e-3))
        outlines = outlines.scaled(grow)
        if start.contact is not None:
            middle[..., 0] = wall - (wall - middle[..., 0]) * grow
    phase = outlines.phase(middle, size, width, device)
    return phase, torch.tensor(wanted, dtype=torch.float32, device=device)
