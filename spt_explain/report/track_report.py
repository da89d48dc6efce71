"""What tracking a movie gave, as plain values for sidecars, summaries and pictures."""

from __future__ import annotations

from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

from spt_explain.movies.parameters import Parameters

if TYPE_CHECKING:
    from spt_explain.movies.look import Look
    from spt_explain.movies.tracked import Tracked

LONG_TRACK = 10
"""Tracks of so many points or more are counted by themselves: the least that is classified."""
LIBRARIES = ("trackpy", "scipy", "numba", "tifffile", "imagecodecs", "nd2", "pylibCZIrw")
"""Other people's code that tracks may depend on; those installed are named in the sidecar."""

COLUMNS = {
    "particle": "number of the track, from 0",
    "frame": "number of the frame, from 0",
    "t [s]": "time of the frame, where the frame interval is known",
    "x [µm], y [µm]": "position, in px where the size of a pixel is not known; the middle of the "
    "first pixel is 0; after drift was subtracted, if it was",
    "x_px, y_px": "position in the movie in px, before drift is subtracted",
    "mass": "grey values above background, summed over the spot",
    "sigma_static": "static localisation error of this spot, per axis, in the unit of x; empty "
    "where not known",
}
"""What the columns of the table mean."""


def describe_tracked(tracked: Tracked) -> dict[str, Any]:
    """Return what tracking a movie gave, as plain values.

    Units and their sources, settings and reasons, counts, and what was measured.

    Parameters
    ----------
    tracked : Tracked
    """
    import numpy as np

    table = tracked.tracks.table
    lengths = table.groupby("particle").size().to_numpy()
    spots = np.asarray(tracked.spots_per_frame)
    pixel = tracked.tracks.calibration.pixel_size_um
    error = tracked.static_error_px
    drift = tracked.drift_px
    return {
        **tracked.tracks.describe(),
        "settings": _plain(dict(tracked.settings)),
        "reasons": dict(tracked.reasons),
        "frames": len(spots),
        "spots": len(table),
        "spots_per_frame": {
            "mean": round(float(spots.mean()), 2),
            "median": float(np.median(spots)),
            "least": int(spots.min()),
            "most": int(spots.max()),
            "densest_frame": int(spots.argmax()),
            "frames_without": int((spots == 0).sum()),
        },
        "tracks": len(lengths),
        "points": {
            "median": float(np.median(lengths)) if len(lengths) else None,
            "most": int(lengths.max(initial=0)),
        },
        f"tracks_of_{LONG_TRACK}_points": int((lengths >= LONG_TRACK).sum()),
        "bias": None
        if tracked.bias is None
        else {**_plain(asdict(tracked.bias)), "said": tracked.bias.describe()},
        "drift_px": None
        if drift is None
        else {
            "end": [round(float(drift[axis].iloc[-1]), 3) for axis in "xy"],
            "most": round(float(np.hypot(drift["x"], drift["y"]).max()), 3),
        },
        "static_error_px": None if error is None else float(f"{error:.4g}"),
        "static_error_um": None
        if error is None or pixel is None
        else float(f"{error * pixel:.4g}"),
    }


def describe_look(look: Look) -> dict[str, Any]:
    """Return what a look at a movie gave, as plain values."""
    calibration = look.calibration
    return {
        "format": look.format,
        "notes": list(look.notes),
        "length_unit": calibration.length_unit,
        "length_source": calibration.length_source,
        "frame_interval_s": calibration.frame_interval_s,
        "time_source": calibration.time_source,
        "pixel_size_um": calibration.pixel_size_um,
        "settings": _plain(dict(look.settings)),
        "reasons": dict(look.reasons),
        "frames": look.n_frames,
        "frames_looked_at": look.n_looked,
        "spots_in": {str(frame.index): len(frame.spots) for frame in look.frames},
    }


def unsaid_notes(tracked: Tracked) -> list[str]:
    """Return the notes on a movie but those that repeat its parameters and counts."""
    settings = tracked.settings
    names = (
        "diameter", "minmass", "lone_mass", "search_range", "memory", "dark", "peak", "adaptive",
    )  # fmt: skip
    values = {name: getattr(settings, name) for name in names}
    said = set(Parameters(**values, reasons=tracked.reasons).sentences())
    counted = f"{len(tracked.tracks.table):,} spots in "
    return [
        note
        for note in tracked.tracks.source.notes
        if note not in said and not note.startswith(counted)
    ]


def _plain(value: Any) -> Any:
    """Return values as JSON takes them, without numpy's types."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.item() if getattr(value, "ndim", None) == 0 else value


def versions() -> dict[str, str]:
    """Return the versions of those `LIBRARIES` that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
