"""``relevance explain`` of tracks as a function."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.track_relevance.inputs import load_model
from spt_explain.track_relevance.tables import lay_beside, likeness_in_numbers, relevance, segments
from spt_explain.track_relevance.words import WHAT_IS_REMOVED, explained_in_words, in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from spt_explain.explain.options import Layer, Method
    from spt_explain.tracks import QualityPolicy, Tracks
    from spt_explain.xddpm.tracks.model import TrackRelevanceModel

SIDECAR = "relevance.json"


@dataclass(frozen=True)
class TrackRelevance:
    """Which frames of each track carry the signal.

    Attributes
    ----------
    tracks : pandas.DataFrame
        A row a track or segment: ``file, particle, segment, n_points, predicted`` (and its
        ``probability``, of categories, not calibrated), ``contribution`` (mean M),
        ``information_nats`` (sum), ``relevant`` (share of displacements at or above the
        threshold), ``loss_top``, ``loss_random``, ``loss_random_sd``, ``check`` ("passed": the most
        relevant fifth costs more than the same map shifted along the track does; "flat"), and
        beside the network's own map ``class``, ``agrees``, ``rho``, ``p``.
    frames : pandas.DataFrame
        A row a frame: ``file, particle, segment, frame, x, y, contribution, information_nats,
        relevant, score`` (of the classifier's map), ``filled``. Values are of the displacement that
        leads to the frame; the first of a track has none.
    document : dict
        Settings and what was found.
    folder : pathlib.Path or None
        Where they were written.
    files : list of pathlib.Path
    """

    tracks: pd.DataFrame
    frames: pd.DataFrame
    document: dict[str, Any]
    folder: Path | None = None
    files: list[Path] = field(default_factory=list)


def explain_track_relevance(
    tracks: Tracks | str | Path,
    model: TrackRelevanceModel | str | Path,
    output: str | Path | None = None,
    *,
    method: Method | Literal["none"] = "gradcam",
    layer: Layer = "block4",
    weights: str | None = None,
    policy: QualityPolicy | None = None,
    reading: Mapping[str, Any] | None = None,
    draws: int = 20,
    share: float = 0.2,
    seed: int = 1,
    only: Sequence[int] = (),
    picks: int = 6,
    formats: Sequence[str] = ("png",),
    device: str = "auto",
    overwrite: bool = False,
    command: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> TrackRelevance:
    """Say which frames of each track carry the signal, beside the classifier's Grad-CAM.

    Parameters
    ----------
    tracks : Tracks, str or pathlib.Path
        What `read_tracks` returned, or a file for it.
    model : TrackRelevanceModel or path
        What `fit_track_relevance` made.
    output : str or pathlib.Path, optional
        Folder of the results; nothing is written if not given.
    method : {"gradcam", "layercam", "integrated-gradients", "occlusion", "none"}
        What is laid beside it: a map of the classifier that ``explain`` knows, or nothing.
    layer : {"block1", "block2", "block3", "block4"}
        Of "gradcam" and "layercam".
    weights : str, optional
        Of the classifier.
    policy : QualityPolicy, optional
    reading : mapping, optional
        Keyword arguments of `read_tracks`.
    draws, share, seed
        Of the check: random shifts, share of displacements removed, seed.
    only : sequence of int
        Particles; all by default.
    picks : int
        Tracks with a figure of their own; all those of `only`.
    formats : sequence of str
        Of the figures; none for no figures.
    device : {"auto", "cuda", "cpu"}
    overwrite : bool
    command : sequence of str
    progress : callable, optional
        Called with what is done, how much of it, and of how much.

    Returns
    -------
    TrackRelevance

    Raises
    ------
    SptError
        If the tracks can't be read or none can be explained, or the model is of other units.
    """
    from spt_explain.api import read_tracks
    from spt_explain.report.folders import refuse_folder, write_results
    from spt_explain.report.provenance import made_by
    from spt_explain.report.style import FIGURE_FORMATS
    from spt_explain.tracks import QualityPolicy, Tracks
    from spt_explain.xddpm.tracks.model import TrackRelevanceModel

    wrong = [one for one in formats if one not in FIGURE_FORMATS]
    if wrong:
        raise SptError(f"figure format {wrong[0]!r}: expected one of {', '.join(FIGURE_FORMATS)}.")
    if not 0 < share < 1:
        raise SptError(
            f"{option('share')} is {share!r}; expected a share of the frames, between 0 and 1.",
            option="share",
        )
    if draws < 1:
        raise SptError(f"{option('draws')} is {draws}; expected at least 1.", option="draws")
    folder = None if output is None else Path(output)
    if folder is not None:
        inputs = [Path(tracks)] if isinstance(tracks, (str, Path)) else []
        refuse_folder(folder, inputs, overwrite=overwrite, ours=_ours)
    if not isinstance(model, TrackRelevanceModel):
        model = load_model(model, device)
    if not isinstance(tracks, Tracks):
        tracks = read_tracks(tracks, **{"keep_columns": False, **(reading or {})})
    policy = policy or QualityPolicy()
    unit = tracks.calibration.length_unit
    if model.unit and model.unit != unit:
        words = {"um": "µm", "px": "pixels"}
        raise SptError(
            f"{tracks.source.name} is in {words[unit]}, and the model was fitted to tracks in "
            f"{words[model.unit]}; expected the same unit. Give {option('pixel_size_um')}.",
            option="pixel_size_um",
        )
    table, frames = segments(tracks, policy, only)
    found = relevance(table, frames, model, share, draws, seed, progress)
    if method != "none":
        from spt_explain.api import explain

        reasons = explain(
            tracks,
            policy=policy,
            method=method,
            layer=layer,
            weights=weights,
            device=device,
            draws=0,
            only=only,
            statistics=False,
            timeline=False,
            progress=progress,
        )
        lay_beside(table, frames, reasons.tracks, reasons.frames, model)
    said = {
        **tracks.describe(),
        "model": model.name,
        "signal": model.signal.names[0],
        "removed": WHAT_IS_REMOVED[model.removal.removed],
        "settings": {
            "method": method,
            "layer": layer,
            "weights": weights,
            "policy": policy.model_dump(),
            "draws": draws,
            "share": share,
            "seed": seed,
            "only": list(only),
        },
        "found": {**found, **likeness_in_numbers(table)},
        "in_words": explained_in_words(table, draws, share),
        "fit": in_words(model),
    }
    document = made_by(said, command=command)
    result = TrackRelevance(table, frames, document)
    if folder is None:
        return result

    def figures() -> dict[str, Callable[[], Figure]]:
        from spt_explain.report.track_relevance import draw_fit, draw_track, pick_tracks

        chosen = pick_tracks(table, len(table) if only else picks)
        drawn: dict[str, Callable[[], Figure]] = {}
        for row in chosen:
            one: Any = table.loc[row]
            name = f"track-{one['particle']}" + (f"-{one['segment']}" if one["segment"] else "")
            drawn[name] = partial(
                draw_track, one, frames, unit=unit, method=method, threshold=model.threshold
            )
        if model.fitted is not None:
            fitted = model.fitted
            drawn["sufficiency"] = lambda: draw_fit(
                fitted.curve.kept, fitted.curve.r2, fitted.random_r2, fitted.curve.chosen,
                rho=table["rho"].to_numpy(np.float64) if "rho" in table else None,
            )  # fmt: skip
        return drawn

    files = write_results(
        folder, SIDECAR, document, {"tracks": table, "frames": frames}, figures, formats=formats
    )
    return TrackRelevance(table, frames, document, folder, files)


def _ours(name: str) -> bool:
    stem, _, ending = name.rpartition(".")
    if name == SIDECAR or name in ("tracks.csv", "frames.csv"):
        return True
    figure = ending in ("png", "svg", "pdf")
    return figure and (stem == "sufficiency" or stem.startswith("track-"))
