"""Simulated recordings: tracks of one class or a mixture, each row with its truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spt_explain.diffusion.classes import CLASS_NAMES, CLASSES
from spt_explain.diffusion.field import Field, arrange
from spt_explain.diffusion.mixture import parse_mixture
from spt_explain.diffusion.recording import (
    Range,
    Recording,
    Span,
    alpha_range,
    check_size,
    draw,
    draw_lengths,
    lost_frames,
    shares_to_counts,
)
from spt_explain.errors import SptError, option
from spt_explain.tracks.table import Calibration, Source, Tracks

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from spt_explain.tracks.runs import Bools, Floats, Ints

IMMOBILE = "immobile"
"""The class of particles that don't move, in the truth."""
TRUTH = ("class", "alpha", "noise", "anisotropy", "exposure", "missing", "D_um2_s", "sigma_loc_um")
"""Columns of truth, each constant over a track."""
SPACING_PX = 10.0
"""Least distance between two tracks, beside `SPACING_STEPS`."""
SPACING_STEPS = 6.0
"""Least distance between two tracks in standard deviations of a frame's displacement."""

_NAMES = (*CLASS_NAMES, IMMOBILE)
_DIGITS_BELOW_STEP = 6
# A stream of random numbers for each thing drawn: asking for noise does not change the paths.
_STREAMS = (
    "order", "length", "alpha", "noise", "anisotropy", "exposure", "missing", "diffusion",
    "localisation", "lost",
)  # fmt: skip


@dataclass(frozen=True)
class Simulated:
    """A simulated recording.

    Attributes
    ----------
    tracks : Tracks
        Positions in µm; beyond the usual columns, `TRUTH`, and ``filled`` (bool) where missed
        frames were filled.
    field : Field
        The field of view that holds all tracks.
    recording : Recording
        The settings.
    counts : dict of str to int
        Tracks of each class.
    seed : int
        What the random numbers began with.
    """

    tracks: Tracks
    field: Field
    recording: Recording
    counts: dict[str, int]
    seed: int


_DEFAULT = Recording()


def simulate(
    kind: str = "all",
    *,
    tracks: int = 200,
    length: Range = _DEFAULT.length,
    alpha: Range | None = None,
    noise: Range = _DEFAULT.noise,
    exposure: Range = _DEFAULT.exposure,
    missing: Range = _DEFAULT.missing,
    anisotropy: Range = _DEFAULT.anisotropy,
    immobile: float = _DEFAULT.immobile,
    diffusion_coefficient_um2_s: Range = _DEFAULT.diffusion_coefficient_um2_s,
    pixel_size_um: float = _DEFAULT.pixel_size_um,
    frame_interval_s: float = _DEFAULT.frame_interval_s,
    fill_missing: bool = _DEFAULT.fill_missing,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tracks:
    """Simulate tracks as a lab would record them, with their truth in further columns.

    A range is a number, a pair, or ``"A-B"``; a value is drawn from it for each track.

    Parameters
    ----------
    kind : str
        ``"all"``, a class, or several with or without shares: ``"SubFBM:0.3,BM:0.7"``.
    tracks : int
        Number of tracks.
    length : range
        Points from a track's first frame to its last.
    alpha : range, optional
        Anomalous exponent; by default the range of each class.
    noise : range
        Localisation noise as 1/SNR, in units of a frame's displacement along one axis.
    exposure : range
        Share of the frame over which positions are averaged (motion blur).
    missing : range
        Share of frames missed.
    anisotropy : range
        Noise along y over noise along x.
    immobile : float
        Share of immobile particles, class ``immobile``.
    diffusion_coefficient_um2_s : range
        D in µm²/s: the mean squared displacement of one frame is 4 D Δt; see `Recording`.
    pixel_size_um, frame_interval_s : float
        Pixel size in µm and time between frames in s.
    fill_missing : bool
        Fill missed frames by straight lines instead of leaving them out.
    seed : int, optional
        Same seed and settings, same tracks; drawn where not given (``source.counts["seed"]``).
    progress : callable, optional
        Called with tracks done and their number.

    Returns
    -------
    Tracks
        Positions in µm. Columns after ``y``: `TRUTH`, and ``filled`` where asked for.

    Raises
    ------
    SptError
        If an option can't be used; the message says what was expected.
    """
    asked: dict[str, Any] = {
        "length": length,
        "alpha": alpha,
        "noise": noise,
        "anisotropy": anisotropy,
        "exposure": exposure,
        "missing": missing,
        "immobile": immobile,
        "diffusion_coefficient_um2_s": diffusion_coefficient_um2_s,
        "pixel_size_um": pixel_size_um,
        "frame_interval_s": frame_interval_s,
        "fill_missing": fill_missing,
    }
    recording = Recording(**asked)
    return simulate_recording(kind, tracks, recording, seed=seed, progress=progress).tracks


def simulate_recording(
    kind: str,
    tracks: int,
    recording: Recording,
    *,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Simulated:
    """Simulate tracks; as `simulate`, from ready settings, with all that is known of them.

    Parameters
    ----------
    kind : str
        Which classes; see `parse_mixture`.
    tracks : int
        Number of tracks.
    recording : Recording
        The settings.
    seed : int, optional
        What the random numbers begin with; drawn where not given.
    progress : callable, optional
        Called with tracks done and their number.

    Raises
    ------
    SptError
        As `simulate`.
    """
    import numpy as np
    import pandas as pd

    from spt_explain.diffusion.paths import simulate_paths

    mixture = parse_mixture(kind)
    alphas = _alpha_ranges(list(mixture), recording.alpha)
    check_size(tracks, recording.length)
    seed = check_seed(seed)
    rng = {name: np.random.default_rng([i, seed]) for i, name in enumerate(_STREAMS, start=1)}
    counts = _counts(mixture, tracks, recording.immobile)
    label = np.repeat([_NAMES.index(name) for name in counts], list(counts.values()))
    label = rng["order"].permutation(label)
    lengths = draw_lengths(recording.length, tracks, rng["length"])
    truth = _draw_truth(label, alphas, recording, rng)

    path = simulate_paths(label, truth["alpha"], lengths, truth["exposure"], seed, progress)
    sigma = truth["sigma_loc_um"][:, None] * np.stack(
        [np.ones(tracks), truth["anisotropy"]], axis=1
    )
    step = np.sqrt(2 * truth["D_um2_s"] * recording.frame_interval_s)
    path *= np.repeat(step, lengths)[:, None]
    path += np.repeat(sigma, lengths, axis=0) * rng["localisation"].standard_normal(path.shape)
    pixel = recording.pixel_size_um
    spacing = SPACING_PX + SPACING_STEPS * recording.step_um / pixel
    placed, field = arrange(path / pixel, lengths, spacing)
    lost = lost_frames(lengths, truth["missing"], rng["lost"])
    if recording.fill_missing:
        placed = _filled(placed, lost)
    placed = np.round(placed * pixel, _decimals(recording))

    particle = np.repeat(np.arange(tracks), lengths)
    frame = np.arange(len(particle)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    table = pd.DataFrame(
        {"particle": particle, "frame": frame, "x": placed[:, 0], "y": placed[:, 1]}
    )
    table["class"] = np.array(_NAMES, dtype=object)[label][particle]
    for name in TRUTH[1:]:
        table[name] = truth[name][particle]
    if recording.fill_missing:
        table["filled"] = lost
    else:
        table = table[~lost].reset_index(drop=True)
    calibration = Calibration(
        "um", "simulated", recording.frame_interval_s, "simulated", recording.pixel_size_um
    )
    source = Source("simulated", "simulated tracks", (), {"seed": seed})
    return Simulated(Tracks(table, calibration, source), field, recording, counts, seed)


def check_seed(seed: int | None) -> int:
    """Return a seed that was given, or draw one.

    Raises
    ------
    SptError
        If it is negative or larger than 63 bits.
    """
    if seed is None:
        import secrets

        return secrets.randbelow(2**31)
    if not 0 <= seed < 2**63:
        raise SptError(
            f"{option('seed')} is {seed}: expected a whole number from 0 to 2^63 − 1.",
            option="seed",
        )
    return seed


def _decimals(recording: Recording) -> int:
    """Return the decimals of a position in µm: far below a frame's displacement."""
    import math

    return min(max(_DIGITS_BELOW_STEP - math.floor(math.log10(recording.step_um)), 3), 15)


def _alpha_ranges(names: list[str], wanted: Span | None) -> dict[str, Span]:
    """Return the exponents of each class; Brownian motion beside others keeps its own."""
    kinds = {kind.name: kind for kind in CLASSES}
    return {
        name: alpha_range(kinds[name], None if name == "BM" and len(names) > 1 else wanted)
        for name in names
    }


def _counts(mixture: dict[str, float], tracks: int, immobile: float) -> dict[str, int]:
    """Return the tracks of each class in the order of `_NAMES`, without those that have none."""
    still = round(immobile * tracks)
    split = shares_to_counts(list(mixture.values()), tracks - still)
    counts = {**dict(zip(mixture, split, strict=True)), IMMOBILE: still}
    return {name: counts[name] for name in _NAMES if counts.get(name)}


def _draw_truth(
    label: Ints, alphas: dict[str, Span], recording: Recording, rng: dict[str, np.random.Generator]
) -> dict[str, npt.NDArray[np.float64]]:
    """Draw what is true of each track; each value of shape (m,)."""
    import numpy as np

    n = len(label)
    truth = {
        name: draw(getattr(recording, name), n, rng[name])
        for name in ("noise", "anisotropy", "exposure", "missing")
    }
    diffusion = draw(recording.diffusion_coefficient_um2_s, n, rng["diffusion"], logarithmic=True)
    sigma = truth["noise"] * np.sqrt(2 * diffusion * recording.frame_interval_s)
    truth["sigma_loc_um"] = np.round(sigma, _decimals(recording))
    still = label == _NAMES.index(IMMOBILE)
    truth["D_um2_s"] = np.where(still, 0.0, diffusion)
    truth["alpha"] = np.full(n, np.nan)
    for name, span in alphas.items():
        members = label == _NAMES.index(name)
        truth["alpha"][members] = draw(span, int(members.sum()), rng["alpha"])
    return truth


def _filled(path: Floats, lost: Bools) -> Floats:
    """Return positions with the lost ones on straight lines; no track begins or ends with one."""
    import numpy as np

    row = np.arange(len(path))
    known = np.flatnonzero(~lost)
    return np.stack([np.interp(row, known, path[known, axis]) for axis in (0, 1)], axis=1)
