"""Whether a relevance model, and its map of a movie, can be believed: each check in one line."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from spt_explain.xddpm.model import Fitted, RelevanceModel
    from spt_explain.xddpm.sufficiency import Curve

LEAST_R2, MOST_GAP, MOST_EXCESS = 0.5, 0.3, 0.05
"""Below it the regressor is weak; more between clips known and held out is learnt by heart; more R²
with pixels removed than with all is a code in the mask."""
LEAST_STEPS = 200
"""Steps below which a mask has hardly begun to close."""
MOST_OF_KNEE, LEAST_OF_KNEE = 0.3, 0.75
"""A map that singles out no sufficient set still says much, if so few pixels keep so much of R²."""
MUCH_NOISE = 0.3
"""Noise in training, over the range of grey values, that a faint texture is lost in."""
MOST_LEFT = 0.5
"""Rank correlation with the map of random weights above which a map shows the image, not what was
learnt."""
MOST_RATIO, MOST_SHIFT = 3.0, 0.5
"""A movie whose range of grey values is so many times that of the movies learnt from, or whose
background lies so much of their range away, is of another kind."""
_CURVE = tuple(float(x) for x in np.linspace(0, 1, 11))
_MOST_CLIPS, _MOST_RANDOMISED, _MOST_PROBED, _LEAST_PROBED = 32, 8, 256, 24
_PROBED_SIDE, _PROBED_BATCH = 32, 16
"""A code is as well read from maps of so many px a side, in a fraction of the time."""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    name : str
        For programs.
    what : str
        For people.
    value : float
    expected : str
        What a good value is.
    good : bool or None
        None where the check could not be made, or where only the user can tell.
    meaning : str
        What follows if it is not good, or why it could not be made.
    numbers : dict
        Further numbers behind it.
    """

    name: str
    what: str
    value: float
    expected: str
    good: bool | None
    meaning: str = ""
    numbers: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON; numbers that are none become null."""
        return {key: _plain(value) for key, value in asdict(self).items() if value is not None}


def checks_of_fit(fitted: Fitted, *, kind: str = "number") -> list[Check]:
    """Return what the fit itself measured, on movies or fields held out."""
    score = "R²" if kind == "number" else "McFadden's R²"
    lead = fitted.r2 - max(fitted.shuffled_r2, 0.0)
    gap = fitted.train_r2 - fitted.r2
    curve = fitted.curve
    return [
        Check(
            "held_out_r2", f"{score} on clips held out", fitted.r2, f"≥ {LEAST_R2:g}",
            fitted.r2 >= LEAST_R2,
            "the signal is predicted in part only: the map shows where that part comes from"
            + _of_noise(fitted),
        ),
        Check(
            "shuffled_r2", f"{score} with the signal shuffled", fitted.shuffled_r2,
            "far below that", lead >= 0.5 * max(fitted.r2, 0.0),
            "clips held out seem to show what clips trained on show",
        ),
        Check(
            "known_gap", f"{score} on clips trained on, more than on those held out", gap,
            f"≤ {MOST_GAP:g}", gap <= MOST_GAP,
            "the regressor knows its clips by heart: more movies would help",
        ),
        Check(
            "encoding_excess", f"{score} gained by removing pixels", curve.excess,
            f"≤ {MOST_EXCESS:g}", curve.excess <= MOST_EXCESS,
            "which pixels are kept tells the regressor what the pixels do not: not a map to read",
        ),
        Check(
            "mask_steps", "steps in which the mask closed", fitted.mask_steps,
            f"≥ {LEAST_STEPS}", fitted.mask_steps >= LEAST_STEPS,
            f"the mask had no time to close: give more {option('minutes')}",
            {"open_r2": fitted.open_r2, "kept_r2": fitted.kept_r2},
        ),
        Check(
            "sufficient_share", f"share of pixels that keeps {100 * curve.keep_r2:g} % of {score}",
            curve.share, "< 1", curve.share < 0.9, _of_knee(curve, score),
        ),
    ]  # fmt: skip


def _of_noise(fitted: Fitted) -> str:
    """Return what a faint signal may need: the noise of training can drown it."""
    level = fitted.recipe.get("regressor", {}).get("noise_max", 0.0)
    if level < MUCH_NOISE:
        return ""
    return f"; is it faint? The recipe's regressor.noise_max = {level:g} may drown it: try 0.15"


def _of_knee(curve: Curve, score: str) -> str:
    """Return what it means that nearly all pixels are needed: some maps say much even so."""
    kept, all_of_it = curve.r2[curve.knee], curve.r2[-1]
    if curve.kept[curve.knee] >= MOST_OF_KNEE or kept < LEAST_OF_KNEE * all_of_it:
        return "nearly all pixels are needed: the map says little"
    return (
        f"nearly all pixels are needed for that; the most relevant {100 * curve.kept[curve.knee]:g}"
        f" % keep {kept:.2f} of {score} {all_of_it:.2f}: the map shows where that comes from"
    )


def check_of_scale(model: RelevanceModel, clips: NDArray[np.generic]) -> Check:
    """Return whether a movie's brightness is that of the movies that were learnt from."""
    from spt_explain.xddpm.scale import Scale

    what = "range of grey values over that of the movies learnt from"
    recipe = model.fitted.recipe if model.fitted is not None else {}
    kind = recipe.get("data", {}).get("scale", "fluorescence")
    try:
        own = Scale.fit(clips, kind)
    except SptError as error:
        return _not_made("scale", what, str(error).splitlines()[0])
    ratio = own.spread / model.scale.spread
    shift = (own.reference - model.scale.reference) / model.scale.spread
    good = 1 / MOST_RATIO <= ratio <= MOST_RATIO and abs(shift) <= MOST_SHIFT
    return Check(
        "scale", what, ratio, f"{1 / MOST_RATIO:.2g} to {MOST_RATIO:g}, background alike", good,
        "its grey values are others than those learnt from: another exposure, bit depth or "
        "channel",
        {
            "background": own.reference, "range": own.spread, "shift": shift,
            "background_learnt": model.scale.reference, "range_learnt": model.scale.spread,
        },
    )  # fmt: skip


def checks_of_clips(
    model: RelevanceModel,
    clips: NDArray[np.generic],
    values: ArrayLike | None = None,
    groups: Sequence[str] = (),
    *,
    seed: int = 0,
    ask_r2: bool = True,
    probe_steps: int = 0,
) -> list[Check]:
    """Check the maps of some clips.

    Parameters
    ----------
    model : RelevanceModel
    clips : numpy.ndarray, shape (clips, frames, height, width)
        Pixel values, of the model's own size.
    values : array_like, optional
        Their signal, where it is known.
    groups : sequence of str
        Movie or field of each clip.
    seed : int
        Of what is drawn.
    ask_r2 : bool
        Whether R² is measured, where it is not known already.
    probe_steps : int
        Steps of the fresh regressors that look at masks alone; 0 leaves that check out.

    Returns
    -------
    list of Check
    """
    found: list[Check] = []
    scaled = model.scale.apply(np.asarray(clips))
    if values is not None and ask_r2:
        found += _known(model, clips, values)
    some = _spread(len(scaled), _MOST_CLIPS)
    found.append(_deletion(model, scaled[some], seed))
    found.append(_randomisation(model, scaled[_spread(len(scaled), _MOST_RANDOMISED)], seed))
    if values is not None and probe_steps:
        found.append(_encoding(model, scaled, values, groups, seed, probe_steps))
    return found


def _known(model: RelevanceModel, clips: NDArray[np.generic], values: ArrayLike) -> list[Check]:
    try:
        r2 = float(model.r2(clips, values))
    except SptError as error:
        return [_not_made("movie_r2", "R² on this movie", str(error).splitlines()[0])]
    if not math.isfinite(r2):
        said = "the signal is the same in all of its clips"
        return [_not_made("movie_r2", "R² on this movie", said)]
    return [
        Check(
            "movie_r2", "R² on this movie", r2, f"≥ {LEAST_R2:g}", r2 >= LEAST_R2,
            "the model does not predict the signal of this movie: its map says little here",
            {"clips": len(clips)},
        )
    ]  # fmt: skip


def _deletion(model: RelevanceModel, scaled: NDArray[np.float32], seed: int) -> Check:
    from spt_explain.xddpm.evaluate.curves import insertion_deletion
    from spt_explain.xddpm.evaluate.probes import as_predict

    what = "prediction lost by removing relevant pixels first, against random ones"
    maps = model.maps_of_scaled(scaled).contribution
    chance = np.random.default_rng([seed, 11]).random(maps.shape, np.float32)
    predict = as_predict(model.regressor)
    try:
        own, random = (
            insertion_deletion(predict, scaled, each, 0.0, shares=_CURVE, seed=seed)
            for each in (maps, chance)
        )
    except SptError as error:
        return _not_made("deletion", what, str(error).splitlines()[0])
    areas = {
        "deletion_area": float(np.mean(own.deletion_area)),
        "deletion_area_random": float(np.mean(random.deletion_area)),
        "insertion_area": float(np.mean(own.insertion_area)),
        "insertion_area_random": float(np.mean(random.insertion_area)),
        "clips": len(scaled),
    }
    lead = areas["deletion_area_random"] - areas["deletion_area"]
    return Check(
        "deletion", what, lead, "> 0", lead > 0,
        "pixels called relevant matter less to the prediction than pixels at random", areas,
    )  # fmt: skip


def _randomisation(model: RelevanceModel, scaled: NDArray[np.float32], seed: int) -> Check:
    from spt_explain.xddpm.evaluate.stability import randomisation_check

    def attribute(masker: Any) -> NDArray[np.float32]:
        one = replace(model, masker=masker, symmetric=False)  # one way up shows as much
        return one.maps_of_scaled(scaled).contribution

    table = randomisation_check(model.masker, attribute, seed=seed)
    left = table["spearman_abs"].fillna(0.0)
    value = abs(float(left.iloc[-1]))
    return Check(
        "randomisation", "rank correlation with the map of random weights", value,
        f"≤ {MOST_LEFT:g}", value <= MOST_LEFT,
        "the map looks the same without anything learnt: it shows the image",
        {"layers": table["layer"].tolist(), "spearman": [_plain(float(v)) for v in left]},
    )  # fmt: skip


def _encoding(
    model: RelevanceModel,
    scaled: NDArray[np.float32],
    values: ArrayLike,
    groups: Sequence[str],
    seed: int,
    steps: int,
) -> Check:
    from spt_explain.xddpm.evaluate.probes import encoding_check
    from spt_explain.xddpm.layout import bin_for, binned

    name, what = "encoding", "R² of a fresh regressor that sees the mask alone, not the pixels"
    targets = np.asarray(model.signal.encode(values), np.float64)
    known = np.isfinite(targets).all(1)
    if model.signal.kind == "category":
        known = (targets >= 0).all(1)
    chosen = np.flatnonzero(known)
    labels = np.asarray(groups if len(groups) else ["" for _ in scaled])
    _, alone = np.unique(labels[chosen], return_index=True)
    independent = len(alone) >= _LEAST_PROBED
    if independent:
        chosen = chosen[alone]
    if len(chosen) < _LEAST_PROBED:
        return _not_made(name, what, f"it needs {_LEAST_PROBED} clips; there are {len(chosen)}")
    chosen = chosen[_spread(len(chosen), _MOST_PROBED)]
    if model.signal.kind == "category":
        codes = targets[chosen].astype(int)
        told = np.eye(len(model.signal.categories))[codes].reshape(len(chosen), -1)
    else:
        told = targets[chosen]
    clips = scaled[chosen]
    maps = model.maps_of_scaled(clips).contribution
    height, width = clips.shape[-2:]
    size = bin_for(height, width, _PROBED_SIDE)
    try:
        found = encoding_check(
            binned(maps, size), binned(clips, size), told, 0.0, ask_clips=False, steps=steps,
            batch=_PROBED_BATCH, seed=seed, device=str(model.device),
        )  # fmt: skip
    except SptError as error:
        return _not_made(name, what, str(error).splitlines()[0])
    return Check(
        name, what, found.r2_map, f"< half of {found.r2_masked:.2f}, that with the pixels",
        None if found.encodes() else True,
        "the mask's own shape tells the signal: so it must where the signal is a shape (an area); "
        "else the mask is a code and no map",
        {
            "r2_map": found.r2_map, "r2_masked": found.r2_masked,
            "clips": len(chosen), "one_clip_a_movie": independent,
        },
    )  # fmt: skip


def in_words(checks: Iterable[Check]) -> list[str]:
    """Return a line for each check, and one more for what follows from a bad one."""
    rows = list(checks)
    width = max((len(check.what) for check in rows), default=0)
    lines = []
    for check in rows:
        made = math.isfinite(check.value)
        verdict = {True: "good", False: "BEWARE", None: "judge" if made else "not made"}[check.good]
        value = f"{check.value:7.3f}" if made else "      –"
        lines.append(f"{check.what:<{width}}  {value}  {verdict:<8}  ({check.expected})".rstrip())
        if not check.good and check.meaning:
            lines.append(f"    {check.meaning}")
    return lines


def _not_made(name: str, what: str, why: str) -> Check:
    return Check(name, what, math.nan, "–", None, why)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Return numbers of at most so many of some clips, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, np.generic):
        return value.item()
    return value
