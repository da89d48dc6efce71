"""The fit of a generator beside a relevance model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from spt_explain.training.loop import run
from spt_explain.xddpm.generator.run import GeneratorProgress, GeneratorRun, Speed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from spt_explain.xddpm.generator.generator import Generator
    from spt_explain.xddpm.generator.recipe import GeneratorRecipe
    from spt_explain.xddpm.model import RelevanceModel


FEW_CLIPS = 1000
"""With fewer to learn from the user is told."""


def notes_on(clips: int, device: str) -> list[str]:
    """Return what a user should know before a fit."""
    notes = []
    if clips < FEW_CLIPS:
        notes.append(
            f"A generator learns from {clips:,} clips: samples are good from about "
            f"{FEW_CLIPS:,} clips on."
        )
    if device == "cpu":
        notes.append("On a CPU a generator takes hours for good samples.")
    return notes


def fit_generator(
    model: RelevanceModel,
    clips: NDArray[np.generic],
    recipe: GeneratorRecipe,
    *,
    device: str = "cpu",
    groups: Sequence[str] | None = None,
    masks: NDArray[np.float32] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    stop_after_s: float = math.inf,
    report: Callable[[GeneratorProgress], None] = lambda _: None,
    report_every_s: float = 2.0,
    save_every_s: float = 60.0,
    measure_every: int = 200,
    speed: Speed = "auto",
) -> Generator | None:
    """Fit a generator, or go on from `checkpoint`.

    M comes from the model's mask network, which is frozen; only the denoiser learns.

    Parameters
    ----------
    model : RelevanceModel
    clips : numpy.ndarray, shape (clips, frames, height, width)
        Pixel values; of the size of the clips that the model was fitted on.
    recipe : GeneratorRecipe
    device : str
        A torch device.
    groups : sequence of str, optional
        The movie or field of each clip: they are held out whole. Each clip by itself otherwise.
    masks : numpy.ndarray, same shape as the clips, optional
        M instead of the model's.
    checkpoint : pathlib.Path, optional
        Safetensors file written every `save_every_s` and when interrupted.
    resume : bool
        Whether to go on from it if it is there; `steps` and `minutes` may differ.
    stop_after_s : float
        Leave after about this many seconds, finished or not.
    report : callable
        Called every `report_every_s`.
    report_every_s, save_every_s : float
        Seconds.
    measure_every : int
        Steps between two measurements on held-out clips; their time is not counted.
    speed : {"auto", "eager", "graphs", "compile"}
        CUDA graphs, or torch.compile; auto: graphs on a GPU. What can't be used is left out with
        a warning.

    Returns
    -------
    Generator or None
        None if `stop_after_s` came first.

    Raises
    ------
    SptError
        If clips and model don't fit together, or the checkpoint is damaged or of another fit.
    """
    task = GeneratorRun(model, clips, recipe, device, groups, speed, masks, measure_every)
    finished = run(
        task,
        checkpoint=checkpoint,
        resume=resume,
        stop_after_s=stop_after_s,
        report=report,
        report_every_s=report_every_s,
        save_every_s=save_every_s,
    )
    return task.generator() if finished else None
