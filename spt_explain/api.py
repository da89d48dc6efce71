"""The commands as functions: the same names, the same defaults, nothing printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.errors import SptError, option
from spt_explain.movies import is_stack, track_movie, track_stack
from spt_explain.movies.settings import TrackingSettings
from spt_explain.readers import read_tracks as read_table
from spt_explain.readers.inputs import Input
from spt_explain.resandi import DEFAULT_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from spt_explain.explain.options import Erasure, Layer, Method, ScoreOf
    from spt_explain.explain.reasons import Reasons
    from spt_explain.tracks import QualityPolicy, Tracks

__all__ = ["classify", "explain", "read_tracks", "track_movie", "track_stack"]


def read_tracks(
    name: str | Path | Input,
    *,
    columns: dict[str, str] | None = None,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    override_units: bool = False,
    all_tracks: bool = False,
    keep_columns: bool = True,
    tracking: TrackingSettings | str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tracks:
    """Read tracks from any file that holds them; a microscopy stack is tracked first.

    Parameters
    ----------
    name : str, pathlib.Path or Input
        A file of tracks of any known program (gzip-compressed or not, opened already or not), a
        movie (TIFF, ND2, CZI), or ``"-"`` for standard input. The content decides, not the name.
    columns : dict of str to str, optional
        Column names for the roles ``particle``, ``frame``, ``x``, ``y``, ``z``, ``t`` where they
        can't be guessed.
    pixel_size_um, frame_interval_s : float, optional
        Pixel size in µm and time between frames in s, where the file does not hold them.
    override_units : bool
        Replace what the file says by the two above.
    all_tracks : bool
        TrackMate's save files: also the tracks that its filters hid.
    keep_columns : bool
        Keep every other column of the file beside the positions (see `Tracks.table`); without
        them, large files are read faster and take less memory.
    tracking : TrackingSettings, str or pathlib.Path, optional
        Stacks: how they are tracked, or a parameter file that ``spt-explain track`` wrote. What it
        leaves open is found from the stack.
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
                f"{source.label} is a stack that is compressed or comes through a pipe: "
                "expected a plain file. Unpack it, or save it as one, and name that.",
                code="wrong-kind",
            )
        settings = tracking_settings(tracking)
        return track_movie(source.plain_path, settings, progress=progress, **units).tracks
    tracks = read_table(
        source, columns=columns, all_tracks=all_tracks, keep_columns=keep_columns, **units
    )
    if tracking is not None:
        return tracks.with_notes(
            f"{option('tracking')} was ignored: the file holds tracks, and is no stack."
        )
    return tracks


def tracking_settings(given: TrackingSettings | str | Path | None) -> TrackingSettings | None:
    """Return how stacks are tracked, read from its file where one is named.

    Raises
    ------
    SptError
        If it is neither settings nor a file that holds some.
    """
    if given is None or isinstance(given, TrackingSettings):
        return given
    if not isinstance(given, (str, Path)):
        raise SptError(
            f"tracking is {given!r}: expected spt_explain.TrackingSettings, or the name of a "
            "parameter file that spt-explain track wrote."
        )
    from spt_explain.movies.parameter_file import read_parameters

    return read_parameters(given)


def classify(
    tracks: Tracks | str | Path,
    policy: QualityPolicy | None = None,
    *,
    weights: str | None = None,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    jobs: int | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    alone: bool = False,
    exposure: float = DEFAULT_EXPOSURE,
    keep_columns: bool = False,
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
    backend : {"auto", "onnx", "torch"}
        What runs the network; "auto" is torch on an NVIDIA GPU, ONNX Runtime on the CPU.
    device : {"auto", "cuda", "mps", "cpu"}
        Where.
    precision : {"auto", "float16", "tf32", "float32"}
        Of the multiplications on a GPU; "auto" is float16.
    batch_size, jobs : int, optional
        Windows at a time; CPU threads.
    threshold : float
        Probability below which a track is ``undetermined``.
    alone : bool
        Judge each track without what the file's others show of noise and motion blur.
    exposure : float
        Share of the frame that the shutter was open, for the localisation error.
    keep_columns : bool
        Add those columns of the source that have one value in all rows of each track.
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
    from spt_explain.resandi.verdict_table import with_source_columns
    from spt_explain.tracks import Tracks

    if not isinstance(tracks, Tracks):
        tracks = read_tracks(tracks, keep_columns=keep_columns)
    classifier = Classifier(
        weights,
        backend=backend,
        device=device,
        precision=precision,
        batch_size=batch_size,
        jobs=jobs,
        threshold=threshold,
        alone=alone,
        points=len(tracks.table),
    )
    table = classifier.classify(tracks, policy, exposure=exposure, progress=progress).table
    return with_source_columns(table, tracks)[0] if keep_columns else table


def explain(
    tracks: Tracks | str | Path,
    verdicts: pd.DataFrame | None = None,
    policy: QualityPolicy | None = None,
    *,
    method: Method | Literal["auto"] = "auto",
    layer: Layer = "block4",
    class_name: str | None = None,
    against: str | None = None,
    of: ScoreOf = "log-odds",
    draws: int = 20,
    share: float = 0.2,
    erase: Erasure = "cut",
    seed: int = 1,
    weights: str | None = None,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    jobs: int | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    alone: bool = False,
    exposure: float = DEFAULT_EXPOSURE,
    only: Sequence[int] = (),
    statistics: bool = True,
    timeline: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> Reasons:
    """Say why the network says so: which frames of each track speak for its class.

    To explain many files, make one `spt_explain.Explainer` and use its ``explain``.

    Parameters
    ----------
    tracks : Tracks, str or pathlib.Path
        What `read_tracks` returned, or a file for it.
    verdicts : pandas.DataFrame, optional
        What `classify` returned, or some of its rows: only its particles are explained. The tracks
        are classified again, all of them, as each is judged by what the others show of noise and
        blur: give `policy` and the other options as to `classify`.
    policy : QualityPolicy, optional
        Minimum length, gaps, branches.
    method : str
        "auto", "input-x-gradient", "gradcam", "layercam", "integrated-gradients" or "occlusion".
        "auto" takes the finest that passes the check at the track's length.
    layer : {"block1", "block2", "block3", "block4"}
        Of "gradcam" and "layercam": a score for every 4, 8, 16 or 32 frames.
    class_name : str, optional
        Class to explain; each track's most probable one if not given.
    against : str, optional
        Class of the contrast; the most probable other one if not given.
    of : {"log-odds", "probability", "logit"}
        What a score is of.
    draws : int
        Most random erasures that each explanation is checked against; 0 for no check.
    share : float
        Share of a track's frames that the check erases.
    erase : {"cut", "rest", "line"}
        How: cut out, a particle at rest, or a straight line.
    seed : int
        Of the check.
    weights, backend, device, precision, batch_size, jobs, threshold, alone, exposure
        See `classify`.
    only : sequence of int
        Particles to explain; all by default.
    statistics, timeline : bool
        Whether to make the tables of windows and correlations, and of long tracks over time.
    progress : callable, optional
        Called with what is being done, how much of it is done, and of how much.

    Returns
    -------
    Reasons
        Tables: ``tracks``, ``frames``, ``windows``, ``correlations``, ``timeline``.

    Raises
    ------
    SptError
        If the file can't be read, an option can't be used, a particle is not there, or not one
        track can be classified.
    """
    from spt_explain.explain.reasons import Explainer, ExplainOptions
    from spt_explain.tracks import Tracks

    how = ExplainOptions(
        method=method,
        layer=layer,
        class_name=class_name or "",
        against=against or "",
        of=of,
        draws=draws,
        share=share,
        erase=erase,
        seed=seed,
    )
    if not isinstance(tracks, Tracks):
        tracks = read_tracks(tracks, keep_columns=False)
    if verdicts is not None:
        only = _particles(verdicts, only, tracks.source.name)
    explainer = Explainer(
        how,
        statistics=statistics,
        timeline=timeline,
        weights=weights,
        backend=backend,
        device=device,
        precision=precision,
        batch_size=batch_size,
        jobs=jobs,
        threshold=threshold,
        alone=alone,
    )
    return explainer.explain(tracks, policy, exposure=exposure, only=only, progress=progress)


def _particles(verdicts: pd.DataFrame, only: Sequence[int], name: str) -> list[int]:
    """Return the particles of one file that a table of verdicts has, those of `only` if given."""
    import pandas as pd

    if not isinstance(verdicts, pd.DataFrame) or "particle" not in verdicts:
        raise SptError("verdicts is not what classify returned: expected a table with particles.")
    if "file" in verdicts and len(set(verdicts["file"])) > 1:
        verdicts = verdicts[verdicts["file"] == name]
    # those that were not classified have nothing to explain, unless they are asked for
    known = verdicts["class"].notna() if "class" in verdicts else verdicts["particle"].notna()
    found = list(dict.fromkeys(int(one) for one in verdicts["particle"][known]))
    if only:
        found = [int(one) for one in dict.fromkeys(only)]
        missing = sorted(set(found) - set(verdicts["particle"]))
        if missing:
            raise SptError(
                f"particle {missing[0]} is not among the verdicts; expected one of them.",
                code="not-found",
            )
    if not found:
        raise SptError(
            f"the verdicts hold no classified track of {name}; expected what classify returned."
        )
    return found
