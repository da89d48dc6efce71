"""The commands as functions: the same names, the same defaults, nothing printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.errors import SptError
from spt_explain.movies import is_stack, track_stack
from spt_explain.readers import read_tracks as read_table
from spt_explain.readers.inputs import Input
from spt_explain.resandi import DEFAULT_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from spt_explain.tracks import QualityPolicy, Tracks

__all__ = ["classify", "read_tracks", "track_stack"]


def read_tracks(
    name: str | Path | Input,
    *,
    columns: dict[str, str] | None = None,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    override_units: bool = False,
    all_tracks: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Tracks:
    """Read tracks from any file that holds them; a microscopy stack is tracked first.

    Parameters
    ----------
    name : str, pathlib.Path or Input
        A file of tracks of any known program (gzip-compressed or not, opened already or not), a
        TIFF stack, or ``"-"`` for standard input. The content decides, not the extension.
    columns : dict of str to str, optional
        Column names for the roles ``particle``, ``frame``, ``x``, ``y``, ``z``, ``t`` where they
        can't be guessed.
    pixel_size_um, frame_interval_s : float, optional
        Pixel size in µm and time between frames in s, where the file does not hold them.
    override_units : bool
        Replace what the file says by the two above.
    all_tracks : bool
        TrackMate's save files: also the tracks that its filters hid.
    progress : callable, optional
        Called with frames done and their number while a stack is tracked.

    Returns
    -------
    Tracks

    Raises
    ------
    SptError
        If the file can't be read as tracks; one line says what was found, what was expected and
        what mends it.
    """
    units: dict[str, Any] = {
        "pixel_size_um": pixel_size_um,
        "frame_interval_s": frame_interval_s,
        "override_units": override_units,
    }
    source = name if isinstance(name, Input) else Input.of(name)
    if is_stack(source.head):
        if source.plain_path is None:
            raise SptError(
                f"{source.label} is a TIFF stack that is compressed or comes through a pipe: "
                "expected a plain file. Unpack it, or save it as one, and name that."
            )
        return track_stack(source.name, progress=progress, **units)
    return read_table(source, columns=columns, all_tracks=all_tracks, **units)


def classify(
    tracks: Tracks | str | Path,
    policy: QualityPolicy | None = None,
    *,
    weights: str | None = None,
    backend: str = "onnx",
    device: str = "auto",
    batch_size: int | None = None,
    jobs: int | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    alone: bool = False,
    exposure: float = DEFAULT_EXPOSURE,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Classify the mechanism of anomalous diffusion of every track.

    To classify many files, make one `spt_explain.Classifier` and use its ``classify``.

    Parameters
    ----------
    tracks : Tracks, str or pathlib.Path
        What `read_tracks` returned, or a file for it.
    policy : QualityPolicy, optional
        Minimum length, gaps, branches.
    weights : str, optional
        Name of the weights; the shipped default if not given.
    backend : {"onnx", "torch"}
        What runs the network.
    device : {"auto", "cuda", "mps", "cpu"}
        Where.
    batch_size, jobs : int, optional
        Windows at a time; CPU threads.
    threshold : float
        Probability below which a track is ``undetermined``.
    alone : bool
        Judge each track without what the file's others show of noise and motion blur.
    exposure : float
        Share of the frame that the shutter was open, for the localisation error.
    progress : callable, optional
        Called with windows done and their number.

    Returns
    -------
    pandas.DataFrame
        The verdict table, one row for each track or segment.

    Raises
    ------
    SptError
        If the file can't be read, the device can't be used, or not one track can be classified.
    """
    from spt_explain.resandi.classifier import Classifier
    from spt_explain.tracks import Tracks

    if not isinstance(tracks, Tracks):
        tracks = read_tracks(tracks)
    classifier = Classifier(
        weights,
        backend=backend,
        device=device,
        batch_size=batch_size,
        jobs=jobs,
        threshold=threshold,
        alone=alone,
    )
    return classifier.classify(tracks, policy, exposure=exposure, progress=progress).table
