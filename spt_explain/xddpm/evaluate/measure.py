"""All measures of one method's maps on videos whose relevant pixels are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.arrays import checked_clips, checked_maps, checked_truth
from spt_explain.xddpm.evaluate.curves import STEPS, insertion_deletion
from spt_explain.xddpm.evaluate.overlap import (
    CANDIDATES,
    average_precision,
    choose_threshold,
    iou_at,
    top_iou,
)
from spt_explain.xddpm.evaluate.sensitivity import SHARES, SUBSETS, Occlusions, occlude

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from spt_explain.xddpm.evaluate.arrays import Predict
    from spt_explain.xddpm.evaluate.overlap import Threshold


@dataclass(frozen=True, eq=False)
class Videos:
    """Clips, perhaps such whose relevant pixels are known.

    Attributes
    ----------
    clips : numpy.ndarray, shape (videos, frames, height, width)
        On the regressor's scale.
    truth : numpy.ndarray of bool, same shape, optional
        Without it what needs none is measured: Sensitivity-n, insertion and deletion.
    cell : numpy.ndarray of bool, same shape, optional
        Where cells are; by Otsu's threshold without it.
    """

    clips: NDArray[np.float32]
    truth: NDArray[np.bool_] | None = None
    cell: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """What one seed of a method came to.

    Attributes
    ----------
    threshold : Threshold, optional
        Chosen on the validation videos, where the truth is known.
    of_videos : dict of str to numpy.ndarray, shape (videos,)
        Measure to its value of each test video; NaN where it was not taken.
    """

    threshold: Threshold | None
    of_videos: dict[str, NDArray[np.float64]]


@dataclass(eq=False)
class Bench:
    """Where maps are measured: the same videos, sets and regressor for all methods.

    Attributes
    ----------
    validation : Videos
        On which each threshold is chosen, for each method and seed.
    test : Videos
        Others, which all figures are from.
    predict : callable, optional
        A regressor fitted with random pixels missing (`probes.fit_random_masks`), for
        Sensitivity-n and the curves, which are left out without it.
    reference : float or array_like
        What a missing pixel holds.
    shares, n_subsets
        See `sensitivity.occlude`.
    curves : bool
        Whether to insert and delete: for each method and seed as many clips as twice the `steps`.
    steps : sequence of float
        Of the curves.
    most_predicted : int, optional
        Use only this many of the test videos, the first, for what `predict` is needed for.
    thresholds : int
        See `overlap.choose_threshold`.
    seed : int
        Of sets and ties.
    answers : Occlusions, optional
        What the regressor answered to sets of pixels missing, if it was asked before.
    """

    validation: Videos
    test: Videos
    predict: Predict | None = None
    reference: ArrayLike = 0.0
    shares: Sequence[float] = SHARES
    n_subsets: int = SUBSETS
    curves: bool = True
    steps: Sequence[float] = STEPS
    most_predicted: int | None = None
    thresholds: int = CANDIDATES
    seed: int = 0
    answers: Occlusions | None = None
    _clips: NDArray[np.float32] = field(init=False, repr=False)
    _truth: NDArray[np.bool_] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._clips = checked_clips(self.test.clips)
        if (self.test.truth is None) is not (self.validation.truth is None):
            raise SptError("the true pixels of all videos must be known, or of none.")
        self._truth = None if self.test.truth is None else checked_truth(self.test.truth)

    @property
    def some(self) -> slice:
        """Test videos that the regressor is asked about."""
        n = len(self._clips)
        return slice(0, n if self.most_predicted is None else min(self.most_predicted, n))

    @cached_property
    def occlusions(self) -> Occlusions:
        """What the regressor answers to sets of pixels missing; asked once.

        Raises
        ------
        SptError
            Without a regressor, or if answers were given that are of other videos.
        """
        clips = self._clips[self.some]
        if self.answers is not None:
            if self.answers.shape != clips.shape:
                raise SptError(
                    f"the answers to sets of missing pixels are of videos {self.answers.shape}, "
                    f"these have {clips.shape}."
                )
            return self.answers
        if self.predict is None:
            raise SptError("Sensitivity-n needs a regressor, and there is none.")
        return occlude(
            self.predict,
            clips,
            self.reference,
            shares=self.shares,
            n_subsets=self.n_subsets,
            seed=self.seed,
        )

    def measure(
        self,
        maps: Mapping[tuple[str, int], tuple[ArrayLike, ArrayLike]],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[tuple[str, int], Measured]:
        """Measure maps, all that there are at once: sets of pixels are drawn only once for them.

        Parameters
        ----------
        maps : mapping of (str, int) to (array_like, array_like)
            Method and number of the seed to maps of the validation and of the test videos.
        progress : callable, optional
            Called with maps measured and their number.

        Raises
        ------
        SptError
        """
        for (name, _), (_, tested) in maps.items():
            checked_maps(tested, self._clips, f"the maps of {name}")
        answers: dict[tuple[str, int], NDArray[np.float64]] = {}
        if self.predict is not None:
            answers = self.occlusions.correlate(
                {key: np.asarray(tested)[self.some] for key, (_, tested) in maps.items()}
            )
        found = {}
        for done, (key, (chosen_on, tested)) in enumerate(maps.items()):
            threshold, values = None, {}
            if self._truth is not None and self.validation.truth is not None:
                threshold = choose_threshold(
                    chosen_on, self.validation.truth, candidates=self.thresholds
                )
                values = {
                    "iou": iou_at(tested, self._truth, threshold),
                    "auprc": average_precision(tested, self._truth),
                    "top_iou": top_iou(tested, self._truth),
                }
            if self.predict is not None:
                values |= _sensitivities(answers[key], self.occlusions.shares)
                if self.curves:
                    values |= self._curves(self.predict, tested)
            n = len(self._clips)
            found[key] = Measured(threshold, {k: _padded(v, n) for k, v in values.items()})
            if progress is not None:
                progress(done + 1, len(maps))
        return found

    def _curves(self, predict: Predict, maps: ArrayLike) -> dict[str, NDArray[np.float64]]:
        drawn = insertion_deletion(
            predict,
            self._clips[self.some],
            np.asarray(maps)[self.some],
            self.reference,
            shares=self.steps,
            seed=self.seed,
        )
        return {"insertion": drawn.insertion_area, "deletion": drawn.deletion_area}


def _sensitivities(
    values: NDArray[np.float64], shares: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    found = {"sensitivity_n": values.mean(axis=1)}
    if len(shares) > 1:
        for at, share in enumerate(shares):
            found[f"sensitivity_n_{100 * share:g}"] = values[:, at]
    return found


def _padded(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return np.pad(values, (0, n - len(values)), constant_values=np.nan)
