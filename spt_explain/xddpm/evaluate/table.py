"""All measures of all methods in one table: methods, baselines, floors and the ceiling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.arrays import checked_truth
from spt_explain.xddpm.evaluate.curves import STEPS
from spt_explain.xddpm.evaluate.floors import CEILING, floors
from spt_explain.xddpm.evaluate.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    bootstrap_mean,
    bootstrap_ratio,
)
from spt_explain.xddpm.evaluate.measure import Bench, Videos
from spt_explain.xddpm.evaluate.overlap import CANDIDATES
from spt_explain.xddpm.evaluate.sensitivity import SHARES, SUBSETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from spt_explain.xddpm.evaluate.arrays import Predict
    from spt_explain.xddpm.evaluate.overlap import Threshold

Role = Literal["method", "baseline", "floor", "ceiling"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A method's maps of the validation and the test videos, for each seed.

    Attributes
    ----------
    validation, test : sequence of array_like, shape (videos, frames, height, width)
        One for each seed, in the same order. One alone stands for a method without a seed.
    role : {"method", "baseline", "floor", "ceiling"}
    """

    validation: Sequence[ArrayLike]
    test: Sequence[ArrayLike]
    role: Role = "method"


@dataclass(frozen=True, eq=False)
class Comparison:
    """What came out.

    Attributes
    ----------
    table : pandas.DataFrame
        See `table`.
    values : dict
        Method, then measure, to an array (seeds, videos): what the table averages.
    thresholds : dict
        Method to the thresholds of its seeds.
    settings : dict
        Of bootstrap and seed, for `ratio`.
    """

    table: pd.DataFrame
    values: dict[str, dict[str, NDArray[np.float64]]]
    thresholds: dict[str, list[Threshold]]
    settings: dict[str, float] = field(default_factory=dict)

    def ratio(self, method: str, other: str, measure: str = "iou") -> Interval:
        """Return how many times a method is as good as another, video by video, with interval.

        Raises
        ------
        SptError
            For methods or measures that are not there.
        """
        for name in (method, other):
            if name not in self.values or measure not in self.values[name]:
                raise SptError(
                    f"there is no {measure!r} of {name!r} in this comparison.", code="not-found"
                )
        return bootstrap_ratio(
            self.values[method][measure],
            self.values[other][measure],
            resamples=int(self.settings.get("resamples", RESAMPLES)),
            level=self.settings.get("level", LEVEL),
            seed=int(self.settings.get("seed", 0)),
        )

    def best(self, role: Role = "baseline", measure: str = "iou") -> str:
        """Return the name of the best of a role.

        Raises
        ------
        SptError
            If there is none.
        """
        rows = self.table[self.table["role"] == role]
        if measure not in rows or rows[measure].isna().all():
            raise SptError(
                f"there is no {measure!r} of any {role} in this comparison.", code="not-found"
            )
        rows = rows.sort_values(measure, ascending=measure == "deletion", kind="stable")
        return str(rows["method"].iloc[0])


def compare(
    validation: Videos,
    test: Videos,
    candidates: Mapping[str, Candidate],
    *,
    predict: Predict | None = None,
    reference: ArrayLike = 0.0,
    shares: Sequence[float] = SHARES,
    n_subsets: int = SUBSETS,
    curves: bool = True,
    steps: Sequence[float] = STEPS,
    most_predicted: int | None = None,
    thresholds: int = CANDIDATES,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Measure methods, floors and the ceiling on the same videos.

    Parameters
    ----------
    validation : Videos
        On which each threshold is chosen, for each seed.
    test : Videos
        Others, which all figures are from.
    candidates : mapping of str to Candidate
        Methods and baselines by name. Floors and the ceiling join them.
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
    resamples, level
        Of the bootstrap over videos and seeds.
    seed : int
        Of subsets, floors, ties and bootstrap.
    progress : callable, optional
        Called with maps measured (a method's of each seed) and their number.

    Returns
    -------
    Comparison

    Raises
    ------
    SptError
    """
    entries = _with_floors(validation, test, candidates, reference, seed)
    bench = Bench(
        validation,
        test,
        predict,
        reference,
        shares=shares,
        n_subsets=n_subsets,
        curves=curves,
        steps=steps,
        most_predicted=most_predicted,
        thresholds=thresholds,
        seed=seed,
    )
    measured = bench.measure(
        {
            (name, at): pair
            for name, each in entries.items()
            for at, pair in enumerate(zip(each.validation, each.test, strict=True))
        },
        progress=progress,
    )
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    chosen: dict[str, list[Threshold]] = {}
    for name, each in entries.items():
        seeds = [measured[name, at] for at in range(len(each.test))]
        chosen[name] = [one.threshold for one in seeds if one.threshold is not None]
        found[name] = {
            measure: np.stack([one.of_videos[measure] for one in seeds])
            for measure in seeds[0].of_videos
        }
    roles = {name: each.role for name, each in entries.items()}
    return comparison(found, chosen, roles, {"resamples": resamples, "level": level, "seed": seed})


def comparison(
    values: dict[str, dict[str, NDArray[np.float64]]],
    thresholds: dict[str, list[Threshold]],
    roles: Mapping[str, Role],
    settings: dict[str, float] | None = None,
) -> Comparison:
    """Make a table of what was measured, perhaps at several times and places.

    Parameters
    ----------
    values : dict
        Method, then measure, to an array (seeds, videos).
    thresholds : dict
        Method to the thresholds of its seeds.
    roles : mapping
        Method to its role.
    settings : dict, optional
        ``resamples``, ``level`` and ``seed`` of the bootstrap.
    """
    chosen: dict[str, float] = {"resamples": RESAMPLES, "level": LEVEL, "seed": 0}
    chosen |= settings or {}
    return Comparison(_table(values, thresholds, roles, chosen), values, thresholds, chosen)


def table(
    validation: Videos, test: Videos, candidates: Mapping[str, Candidate], **options: object
) -> pd.DataFrame:
    """Return the table of `compare`, with the same parameters.

    Returns
    -------
    pandas.DataFrame
        A row for each method, then baselines, floors and the ceiling: ``method``, ``role``,
        ``n_seeds``, ``n_videos``, ``tau`` (median over seeds) and ``scaling``; then for each
        measure its mean and interval (``…_low``, ``…_high``): ``iou`` (threshold chosen on the
        validation videos), ``auprc``, ``top_iou``, ``sensitivity_n`` (mean over shares; each share
        by itself as ``sensitivity_n_50`` if there are several), ``insertion`` and ``deletion``
        (areas; less is better for the latter). The last three ask the regressor: where it is poor
        they are low for the true map too, beside which they are to be read.

    Raises
    ------
    SptError
    """
    return compare(validation, test, candidates, **options).table  # type: ignore[arg-type]


def _with_floors(
    validation: Videos,
    test: Videos,
    candidates: Mapping[str, Candidate],
    reference: ArrayLike,
    seed: int,
) -> dict[str, Candidate]:
    """Return candidates by role, floors and the ceiling behind them."""
    for name, each in candidates.items():
        if len(each.validation) != len(each.test) or not len(each.test):
            raise SptError(
                f"{name}: maps of {len(each.validation)} seeds to validate with and of "
                f"{len(each.test)} to test; there must be as many, and at least one."
            )
    both = [
        floors(each.clips, each.truth, reference=reference, cell=each.cell, seed=seed + at)
        for at, each in enumerate((validation, test))
    ]
    last: dict[str, Candidate] = {
        name: Candidate([both[0][name]], [both[1][name]], "floor") for name in both[0]
    }
    if validation.truth is not None and test.truth is not None:
        true = [checked_truth(each).astype(np.float32) for each in (validation.truth, test.truth)]
        last[CEILING] = Candidate([true[0]], [true[1]], "ceiling")
    taken = sorted({f"floor: {name}" for name in last} & set(candidates))
    if taken:
        raise SptError(f"the name {taken[0]!r} is that of a floor; call the method otherwise.")
    named = {
        (name if each.role == "ceiling" else f"floor: {name}"): each for name, each in last.items()
    }
    if CEILING in candidates:
        raise SptError(f"the name {CEILING!r} is that of the ceiling; call the method otherwise.")
    order: tuple[Role, ...] = ("method", "baseline", "floor", "ceiling")
    mine = sorted(candidates.items(), key=lambda item: order.index(item[1].role))
    return {**dict(mine), **named}


def _table(
    found: Mapping[str, Mapping[str, NDArray[np.float64]]],
    chosen: Mapping[str, Sequence[Threshold]],
    roles: Mapping[str, Role],
    settings: Mapping[str, float],
) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for name, measures in found.items():
        scalings = sorted({one.scaling for one in chosen[name]})
        if not measures:
            raise SptError("without true pixels and without a regressor nothing can be measured.")
        n_seeds, n_videos = next(iter(measures.values())).shape
        row: dict[str, object] = {
            "method": name,
            "role": roles[name],
            "n_seeds": n_seeds,
            "n_videos": n_videos,
            "tau": float(np.median([one.tau for one in chosen[name]])) if chosen[name] else np.nan,
            "scaling": " and ".join(scalings),
        }
        for measure, values in measures.items():
            at = bootstrap_mean(
                values,
                resamples=int(settings["resamples"]),
                level=settings["level"],
                seed=int(settings["seed"]),
            )
            row |= {measure: at.mean, f"{measure}_low": at.low, f"{measure}_high": at.high}
        rows.append(row)
    return pd.DataFrame(rows)
