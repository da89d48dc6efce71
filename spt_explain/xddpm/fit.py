"""The fit: regressor, control with shuffled signal, then the mask, and a judge of what it keeps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.errors import SptError
from spt_explain.training.loop import run
from spt_explain.xddpm.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from spt_explain.xddpm.model import RelevanceModel
    from spt_explain.xddpm.recipe import RelevanceRecipe
    from spt_explain.xddpm.state import RelevanceProgress


def fit(
    clips: NDArray[np.generic],
    values: ArrayLike,
    groups: Sequence[str],
    recipe: RelevanceRecipe,
    *,
    names: tuple[str, ...] = (),
    device: str = "cpu",
    checkpoint: Path | None = None,
    resume: bool = False,
    stop_after_s: float = math.inf,
    report: Callable[[RelevanceProgress], None] = lambda _: None,
    report_every_s: float = 2.0,
    save_every_s: float = 60.0,
) -> RelevanceModel | None:
    """Fit a relevance model, or go on from `checkpoint`.

    Stage 1 trains the regressor on clips with added noise, and a second one on shuffled signals.
    If held-out clips can't be predicted, or the shuffled signal can as well, that is said and
    nothing follows. Stage 2 freezes the regressor and trains the mask before it: the mask starts
    open and closes while the prediction keeps `keep_r2` of the regressor's own R² (GECO, Rezende
    & Viola 2018). Where the recipe says minutes, the first steps of a stage measure its speed; the
    number of its steps is then fixed and written to the checkpoint, and from then on nothing
    depends on the clock.

    Parameters
    ----------
    clips : numpy.ndarray, shape (clips, frames, height, width)
        Pixel values.
    values : array_like
        The signal; see `Signal.fit`.
    groups : sequence of str
        The movie or field of each clip: they are held out whole.
    recipe : RelevanceRecipe
    names : tuple of str, optional
        Of the signal's values.
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
    RelevanceModel or None
        None if `stop_after_s` came first.

    Raises
    ------
    SptError
        If clips and signal don't fit together, the signal can't be predicted, or the checkpoint is
        damaged or of another fit.
    """
    task = Run(_checked(clips, values, groups), values, groups, recipe, names, device)
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


def _checked(
    clips: NDArray[np.generic], values: ArrayLike, groups: Sequence[str]
) -> NDArray[np.generic]:
    clips = np.asarray(clips)
    if clips.ndim != 4 or 0 in clips.shape:
        raise SptError(
            f"the clips have the shape {clips.shape}; expected (clips, frames, height, width)."
        )
    rows = len(np.asarray(values)) if np.ndim(values) else 0
    if not len(clips) == rows == len(groups):
        raise SptError(
            f"there are {len(clips)} clips, {rows} rows of the signal and {len(groups)} names of "
            "movies; expected as many of each."
        )
    return clips
