"""The numbers of an explanation that are printed and stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from spt_explain.explain.reasons import Reasons
    from spt_explain.resandi.weights import Weights


def count_reasons(reasons: Reasons, weights: Weights, only: Sequence[int] = ()) -> dict[str, Any]:
    """Return what a summary says of the explanations of one file.

    Parameters
    ----------
    reasons : Reasons
    weights : Weights
        That they were made with.
    only : sequence of int
        Particles that were asked for; for those that could not be explained the summary says why.

    Returns
    -------
    dict
        Plain values for JSON: the numbers of particles asked for (0: all), of tracks by class with
        checks and losses, of methods with their resolutions, of long tracks and their changes; and
        of the verdicts, the numbers by status, of all and of those not explained, the policy's
        counts and the fractions of the classes.
    """
    from spt_explain.explain.erasure import FAILED, PASSED, UNCHECKED
    from spt_explain.resandi.populations import describe_population

    tracks = reasons.tracks
    by_class = {}
    for name, some in tracks.groupby("explained", sort=False):
        by_class[str(name)] = {
            "tracks": len(some),
            **{word: int((some["check"] == word).sum()) for word in (PASSED, FAILED, UNCHECKED)},
            "loss_top": _mean(some["loss_top"]),
            "loss_random": _mean(some["loss_random"]),
            "overlay": int(some["overlay"].sum()),
        }
    methods = tracks.groupby(["method", "layer", "resolution_frames"], sort=False).size()
    verdicts = reasons.verdicts
    found: dict[str, Any] = {
        "explained": len(tracks),
        "asked_for": len(set(only)),
        "by_class": by_class,
        "methods": methods.reset_index(name="tracks").to_dict("records"),
        "long_tracks": int(reasons.timeline.groupby(["particle", "segment"]).ngroups)
        if len(reasons.timeline)
        else 0,
        "changes": int(reasons.timeline["change"].sum()) if len(reasons.timeline) else 0,
    }
    if verdicts is not None:
        table = verdicts.table
        found["status"] = _by_status(table)
        found["left_out"] = _by_status(table[table["class"].isna()])
        missing = table[table["particle"].isin(set(only) - set(tracks["particle"]))]
        found["not_explained"] = {
            int(particle): f"{status} ({reason})" if reason else str(status)
            for particle, status, reason in missing[["particle", "status", "reason"]].to_numpy()
        }
        found["policy_counts"] = verdicts.counts
        found["populations"] = describe_population(table, weights).to_dict()
    return found


def _by_status(table: pd.DataFrame) -> dict[str, int]:
    return {str(status): int(n) for status, n in table["status"].value_counts().items()}


def _mean(values: pd.Series[float]) -> float | None:
    known = values.dropna()
    return round(float(known.mean()), 4) if len(known) else None
