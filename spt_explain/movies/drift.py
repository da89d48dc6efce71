"""Drift: the motion that all particles of a movie share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.movies.quiet import silence

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]

MIN_PARTICLES = 5.0
"""Particles a frame, on average, below which no drift is told from the particles' own motion."""
SPANS = (1, 3, 5, 9, 17, 33, 65, 129)
"""Frames that the velocity may be averaged over, where nothing is said."""
_MIN_STEPS = 3


def measure_drift(
    table: pd.DataFrame,
    n_frames: int,
    *,
    smoothing: int | None = None,
    min_particles: float = MIN_PARTICLES,
    seed: int = 0,
) -> tuple[pd.DataFrame | None, str]:
    """Measure how far all particles have moved together, by trackpy's `compute_drift`.

    trackpy leaves out frames that no particle is linked to, and averages over the frames before:
    here those frames take the velocity of their neighbours, and the average is centred. How many
    frames it spans is the number that lets one half of the particles foretell the other half best.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``particle``, ``frame``, ``x``, ``y`` in px.
    n_frames : int
        Frames of the movie.
    smoothing : int, optional
        Frames that the velocity is averaged over; chosen if not given.
    min_particles : float, optional
        Particles a frame that are needed, on average.
    seed : int, optional
        Of the halves.

    Returns
    -------
    drift : pandas.DataFrame or None
        Columns ``frame`` (0 … n_frames − 1), ``x``, ``y``: displacement since the first frame in
        px. None where too few particles tell, or nothing is shared.
    note : str
        A sentence: how large it is and how many particles it rests on, or why there is none.
    """
    import numpy as np
    import pandas as pd

    steps = _steps(table)
    per_frame = len(steps) / max(n_frames - 1, 1)
    if per_frame < min_particles or n_frames < _MIN_STEPS + 1:
        return None, (
            f"No drift was subtracted: it would rest on {per_frame:.1f} particles a frame, too few "
            f"to tell it from their own motion (at least {min_particles:g})."
        )
    halves = _halves(table, n_frames, seed)
    span = smoothing or _best_span(halves, n_frames)
    if smoothing is None and not _foretells(halves, span):
        return None, (
            "No drift was subtracted: particles have no motion in common (half of them don't "
            f"foretell the other half; {per_frame:.0f} particles a frame)."
        )
    velocity = _smoothed(_velocity(table, n_frames), span)
    drift = pd.DataFrame({"frame": np.arange(n_frames, dtype=np.int64)})
    drift[["x", "y"]] = np.concatenate([np.zeros((1, 2)), np.cumsum(velocity, axis=0)])
    reach = float(np.hypot(drift["x"], drift["y"]).max())
    over = "" if span == 1 else f", averaged over {span} frames"
    note = (
        f"Drift of up to {reach:.2g} px was subtracted, from {per_frame:.0f} particles a frame "
        f"on average{over}."
    )
    if np.bincount(steps, minlength=n_frames)[1:].min() == 0:
        note += " Frames without a linked particle took the velocity of their neighbours."
    return drift, note


def subtract_drift(
    table: pd.DataFrame, drift: pd.DataFrame, columns: Sequence[str] = ("x", "y")
) -> pd.DataFrame:
    """Return tracks without the drift; the order of rows and the other columns stay.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``frame``, and `columns` in px.
    drift : pandas.DataFrame
        From `measure_drift`; every frame of `table` must be in it.
    columns : sequence of str, optional
        Names of x and y.

    Raises
    ------
    ValueError
        If a frame of `table` is not in `drift`.
    """
    import pandas as pd

    frame = table["frame"].to_numpy()
    known = drift.set_index("frame")[["x", "y"]]
    at = known.index.get_indexer(pd.Index(frame))
    if (at < 0).any():
        raise ValueError("the tracks have frames that the drift does not cover")
    corrected = table.copy()
    corrected[list(columns)] = table[list(columns)].to_numpy() - known.to_numpy()[at]
    return corrected


def _steps(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the frame of each position whose particle was seen in the frame before, too."""
    import numpy as np

    ordered = table.sort_values(["particle", "frame"], kind="stable")
    particle, frame = ordered["particle"].to_numpy(), ordered["frame"].to_numpy(np.int64)
    steps: npt.NDArray[np.int64] = frame[1:][(np.diff(particle) == 0) & (np.diff(frame) == 1)]
    return steps


def _velocity(table: pd.DataFrame, n_frames: int) -> Floats:
    """Return the mean displacement from each frame to the next, (n_frames − 1, 2), gaps as nan."""
    import numpy as np

    with silence():
        import trackpy

        drift = trackpy.compute_drift(
            table[["particle", "frame", "x", "y"]], pos_columns=["x", "y"]
        )
    velocity = np.full((n_frames - 1, 2), np.nan)
    frames = drift.index.to_numpy(np.int64)
    velocity[frames - 1] = np.diff(drift[["x", "y"]].to_numpy(), axis=0, prepend=0.0)
    return velocity


def _smoothed(velocity: Floats, span: int) -> Floats:
    """Fill gaps by interpolation, then average over `span` frames, fewer at both ends."""
    import pandas as pd

    filled = pd.DataFrame(velocity).interpolate(limit_direction="both")
    if span > 1:
        filled = filled.rolling(span, center=True, min_periods=1).mean()
    result: Floats = filled.to_numpy()
    return result


def _halves(table: pd.DataFrame, n_frames: int, seed: int) -> tuple[Floats, Floats]:
    """Return the velocities of either half of the particles, drawn at random."""
    import numpy as np

    particle = table["particle"].to_numpy()
    ids = np.unique(particle)
    first = np.random.default_rng(seed).permutation(ids)[: len(ids) // 2]
    chosen = np.isin(particle, first)
    return _velocity(table[chosen], n_frames), _velocity(table[~chosen], n_frames)


def _miss(halves: tuple[Floats, Floats], span: int | None) -> float:
    """Return the mean squared error of foretelling either half by the other; None: by no drift."""
    import numpy as np

    total = []
    for known, asked in (halves, halves[::-1]):
        guess = np.zeros_like(asked) if span is None else _smoothed(known, span)
        total.append(np.nanmean((asked - guess) ** 2))
    return float(np.mean(total))


def _best_span(halves: tuple[Floats, Floats], n_frames: int) -> int:
    spans = [span for span in SPANS if span == 1 or span < n_frames]
    return min(spans, key=lambda span: _miss(halves, span))


def _foretells(halves: tuple[Floats, Floats], span: int) -> bool:
    return _miss(halves, span) < _miss(halves, None)
