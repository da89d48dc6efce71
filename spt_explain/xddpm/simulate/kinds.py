"""Simulated movies by the name of their kind."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spt_explain.diffusion.population import check_seed
from spt_explain.errors import SptError
from spt_explain.xddpm.simulate.labelled import Labelled
from spt_explain.xddpm.simulate.settings import (
    Chosen,
    Jellyfish,
    Pressure,
    SomeFrames,
    Spots,
    Tension,
    Textured,
    TwoCells,
    Wetting,
    settings_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KINDS: dict[str, type[Chosen]] = {
    "tension": Tension,
    "wetting": Wetting,
    "spots": Spots,
    "two-cells": TwoCells,
    "textured": Textured,
    "some-frames": SomeFrames,
    "pressure": Pressure,
    "jellyfish": Jellyfish,
}
"""Kinds of movies and what can be set for each."""

SIZES = dict.fromkeys(KINDS, 32) | {"jellyfish": 64}
"""Side of a frame in px where none is given."""

MAX_FRAMES = 2_000
MIN_SIZE, MAX_SIZE = 16, 1_024
MAX_BYTES = 8_000_000_000
"""Largest number of bytes that movies and their truth may take in memory."""
_BYTES_PER_PIXEL = 8  # float32, masks, and the background of textured movies


def simulate(
    kind: str,
    n: int,
    *,
    frames: int = 20,
    size: int | None = None,
    seed: int | None = None,
    block: int = 0,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Labelled:
    """Simulate movies with their signals and the pixels that carry each signal.

    Parameters
    ----------
    kind : str
        One of `KINDS`: ``tension`` (a cell that rounds up: ``area``, ``circumference``),
        ``wetting`` (a cell that spreads on a wall or draws back: the same), ``spots`` (``count``,
        ``intensity``, ``msd-d`` of the mobile spots among immobile ones), ``two-cells`` (``area``,
        ``circumference``, ``intensity`` of the dimmer one), ``textured`` (a cell before a drifting
        texture: ``area``, ``circumference``), ``some-frames`` (mean ``area`` and ``intensity`` of
        some frames only, one number per movie), ``pressure`` (around a body: ``force-x`` and
        ``force-y`` on it), ``jellyfish`` (pressure of the flow around two beating wings:
        ``force-x`` and ``momentum-x``).
    n : int
        Number of movies.
    frames, size : int
        Frames of a movie, and the side of a frame in px (by default that in `SIZES`).
    seed : int, optional
        Same seed, kind, `n` and settings, same movies; drawn where not given, and kept in the
        settings of the result.
    block : int
        Other movies of the same seed, independent of those with another number.
    settings : mapping, optional
        What differs from the kind's defaults (the fields of its class in `KINDS`); of a range, one
        number stands for both ends.
    device : str
        Where torch moves phase fields and flows (``"cpu"``, ``"cuda"``).
    progress : callable, optional
        Called with movies done and their number.

    Returns
    -------
    Labelled

    Raises
    ------
    SptError
        If there is no such kind or setting, or a value can't be used.
    """
    import numpy as np

    from spt_explain.xddpm.simulate.cells import make_cells
    from spt_explain.xddpm.simulate.jellyfish import make_jellyfish
    from spt_explain.xddpm.simulate.pressure import make_pressure
    from spt_explain.xddpm.simulate.spots import make_spots

    chosen = checked(kind, n, frames=frames, size=size, settings=settings)
    size = SIZES[kind] if size is None else size
    needed = n * frames * size**2 * _BYTES_PER_PIXEL
    if needed > MAX_BYTES:
        raise SptError(
            f"{n:,} movies of {frames} frames with {size} × {size} px take {needed / 1e9:.1f} GB "
            f"of memory: at most {MAX_BYTES / 1e9:g} GB are made at once. "
            "Ask for fewer or smaller movies, with several seeds."
        )
    seed = check_seed(seed)
    words = [list(KINDS).index(kind), seed]
    # The first block is what no blocks gave; the others have their own spawn keys.
    rng = np.random.default_rng(np.random.SeedSequence(words, spawn_key=(block,) if block else ()))
    if isinstance(chosen, Spots):
        made = make_spots(chosen, n, frames=frames, size=size, rng=rng, progress=progress)
    elif isinstance(chosen, Pressure):
        made = make_pressure(chosen, n, frames=frames, size=size, rng=rng, progress=progress)
    elif isinstance(chosen, Jellyfish):
        made = make_jellyfish(
            chosen, n, frames=frames, size=size, rng=rng, device=device, progress=progress
        )
    else:
        made = make_cells(
            chosen, n, frames=frames, size=size, rng=rng, device=device, progress=progress
        )
    told: dict[str, Any] = {"kind": kind, "n": n, "frames": frames, "size": size, "seed": seed}
    if block:
        told["block"] = block
    told |= {"settings": asdict(chosen), "signals": list(made.signals)}
    return Labelled(made.clips, made.signals, made.truth, told)


def checked(
    kind: str,
    n: int,
    *,
    frames: int = 20,
    size: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Chosen:
    """Return the settings of a kind, all that `simulate` is given having been checked.

    Raises
    ------
    SptError
        As `simulate`.
    """
    if kind not in KINDS:
        raise SptError(f"there is no kind {kind!r} of movies: expected {', '.join(KINDS)}.")
    for what, value, least, most in (
        ("the number of movies", n, 1, 10_000_000),
        ("the number of frames", frames, 2, MAX_FRAMES),
        ("the side of a frame", SIZES[kind] if size is None else size, MIN_SIZE, MAX_SIZE),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise SptError(f"{what} is {value}: expected a whole number from {least} to {most:,}.")
    return settings_of(KINDS[kind], kind, settings or {})
