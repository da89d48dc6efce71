"""The fit to tracks: regressor, control with shuffled signal, then the mask."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from spt_explain.training.loop import run
from spt_explain.xddpm.tracks.run import TrackRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spt_explain.xddpm.state import RelevanceProgress
    from spt_explain.xddpm.tracks.labels import SignalTracks
    from spt_explain.xddpm.tracks.model import TrackRelevanceModel
    from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe


def fit(
    tracks: SignalTracks,
    recipe: TrackRelevanceRecipe,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    resume: bool = False,
    stop_after_s: float = math.inf,
    report: Callable[[RelevanceProgress], None] = lambda _: None,
    report_every_s: float = 2.0,
    save_every_s: float = 60.0,
) -> TrackRelevanceModel | None:
    """Fit a relevance model of tracks, or go on from `checkpoint`.

    As `spt_explain.xddpm.fit.fit` does with movies. Stage 1 trains the regressor on tracks of
    which displacements are removed at random, and a second one on shuffled signals; if tracks held
    out can't be predicted, that is said and nothing follows. Stage 2 freezes the regressor and
    trains the mask before it: it starts open and closes while the prediction keeps `keep_r2` of
    the regressor's own R².

    Parameters
    ----------
    tracks : SignalTracks
        Held out by file where there are several, else by track.
    recipe : TrackRelevanceRecipe
    device : str
        A torch device.
    checkpoint : pathlib.Path, optional
        Safetensors file written every `save_every_s`, after each stage and when interrupted.
    resume : bool
        Whether to go on from it if it is there.
    stop_after_s : float
        Leave after about this many seconds, finished or not.
    report : callable
        Called every `report_every_s`.
    report_every_s, save_every_s : float
        Seconds.

    Returns
    -------
    TrackRelevanceModel or None
        None if `stop_after_s` came first.

    Raises
    ------
    SptError
        If the signal can't be predicted, or the checkpoint is damaged or of another fit.
    """
    task = TrackRun(tracks, recipe, device)
    finished = run(
        task,
        checkpoint=checkpoint,
        resume=resume,
        stop_after_s=stop_after_s,
        report=report,
        report_every_s=report_every_s,
        save_every_s=save_every_s,
    )
    return task.model() if finished else None
