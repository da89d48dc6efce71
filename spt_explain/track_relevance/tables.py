"""A row for each track and for each frame: what the model says, and the classifier beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError
from spt_explain.track_relevance.words import MOST_RANK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from spt_explain.tracks import QualityPolicy, Tracks
    from spt_explain.xddpm.tracks.model import TrackRelevanceModel

PASSED, FAILED, FLAT = "passed", "failed", "flat"
LEAST_SPREAD = 0.02
"""Standard deviation of the contribution along a track below which its map says nothing."""


def segments(
    tracks: Tracks, policy: QualityPolicy, only: Sequence[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row for each segment that can be explained, and one for each of its frames."""
    import pandas as pd

    from spt_explain.tracks import apply_policy
    from spt_explain.tracks.quality import require_some
    from spt_explain.xddpm.tracks.steps import FEWEST_STEPS

    found = apply_policy(tracks, policy)
    require_some(found, tracks)
    chosen = found.summary[found.summary["segment_id"] >= 0].sort_values("segment_id")
    lengths = np.diff(found.offsets)
    use = lengths > FEWEST_STEPS
    if only:
        missing = sorted(set(only) - set(chosen["particle"].tolist()))
        if missing:
            raise SptError(
                f"{tracks.source.name} has no particle {missing[0]} that can be explained; "
                "expected numbers of its particle column.",
                code="not-found",
            )
        use &= chosen["particle"].isin(list(only)).to_numpy()
    if not use.any():
        raise SptError(
            f"{tracks.source.name}: all tracks are shorter than {FEWEST_STEPS + 1} points; "
            "expected longer ones."
        )
    rows = np.repeat(use, lengths)
    table = pd.DataFrame(
        {
            "file": tracks.source.name,
            "particle": chosen["particle"].to_numpy(np.int64)[use],
            "segment": chosen["segment"].to_numpy(np.int64)[use],
            "n_points": lengths[use],
        }
    )
    points = found.points[rows]
    keys = np.repeat(np.arange(len(table)), lengths[use])
    frames = table[["file", "particle", "segment"]].take(keys).reset_index(drop=True)
    for name in ("frame", "x", "y"):
        frames[name] = points[name].to_numpy()
    frames["filled"] = points["interpolated"].to_numpy()
    return table, frames


def relevance(
    table: pd.DataFrame,
    frames: pd.DataFrame,
    model: TrackRelevanceModel,
    share: float,
    draws: int,
    seed: int,
    progress: Callable[[str, int, int], None] | None,
) -> dict[str, Any]:
    """Add what the model says to both tables, and return it in short."""
    from spt_explain.tracks.runs import offsets_of, run_sums

    lengths = table["n_points"].to_numpy(np.int64)
    offsets = offsets_of(lengths)
    if progress is not None:
        progress("relevance", 0, len(table))
    steps = model.steps(frames[["x", "y"]].to_numpy(np.float64), offsets)
    said = model.predict(steps)
    if model.signal.kind == "category":
        names = np.asarray(model.signal.categories, dtype=object)
        table["predicted"] = names[said.argmax(1)]
        table["probability"] = said.max(1).astype(np.float64)
    else:
        table["predicted"] = said[:, 0].astype(np.float64)
    maps = model.maps(steps)
    starts = steps.offsets[:-1]
    count = steps.lengths
    contribution = maps.contribution.astype(np.float64)
    mean = run_sums(contribution, starts) / count
    spread = np.sqrt(np.maximum(run_sums(contribution**2, starts) / count - mean**2, 0))
    relevant = maps.contribution >= model.threshold if model.fitted else maps.contribution >= 0.5
    table["contribution"] = mean
    table["information_nats"] = run_sums(maps.information.astype(np.float64), starts)
    table["relevant"] = run_sums(relevant, starts) / count
    if progress is not None:
        progress("checking", 0, len(table))
    deletion = model.deletion(steps, maps, share=share, draws=draws, seed=seed)
    table["loss_top"], table["loss_random"] = deletion.top, deletion.random
    table["loss_random_sd"] = deletion.random_sd
    check = np.where(deletion.rank <= max(MOST_RANK, 1 / (draws + 1)), PASSED, FAILED)
    check = np.where(deletion.top > 0.01, check, FAILED).astype(object)
    check[spread < LEAST_SPREAD] = FLAT
    table["check"] = check
    inside = np.ones(len(frames), dtype=bool)
    inside[offsets[:-1]] = False
    for name, values in (("contribution", contribution), ("information_nats", maps.information)):
        column = np.full(len(frames), np.nan)
        column[inside] = values
        frames[name] = column
    flags = np.zeros(len(frames), dtype=bool)
    flags[inside] = relevant
    frames["relevant"] = flags
    frames["filled"] = frames.pop("filled")
    if progress is not None:
        progress("checking", len(table), len(table))
    return {
        "tracks": len(table),
        "contribution": float(contribution.mean()),
        "checks": {word: int((check == word).sum()) for word in (PASSED, FAILED, FLAT)},
    }


def lay_beside(
    table: pd.DataFrame,
    frames: pd.DataFrame,
    reason_tracks: pd.DataFrame,
    reason_frames: pd.DataFrame,
    model: TrackRelevanceModel,
) -> None:
    """Add the classifier's class and scores to both tables, and their rank correlation."""
    from spt_explain.tracks.runs import offsets_of
    from spt_explain.xddpm.tracks.compare import likeness

    keys = ["particle", "segment"]
    scores = reason_frames[[*keys, "frame", "score"]]
    merged = frames[[*keys, "frame"]].merge(scores, on=[*keys, "frame"], how="left", validate="1:1")
    frames["score"] = merged["score"].to_numpy(np.float64)
    verdicts = table[keys].merge(
        reason_tracks[[*keys, "explained", "probability", "remark"]], on=keys, how="left"
    )
    table["class"] = verdicts["explained"].to_numpy(dtype=object)
    table["class_probability"] = verdicts["probability"].to_numpy(np.float64)
    if set(model.signal.categories) & set(table["class"].dropna()):
        table["agrees"] = table["class"].to_numpy() == table["predicted"].to_numpy()
    offsets = offsets_of(table["n_points"].to_numpy(np.int64))
    contribution, score = frames["contribution"].to_numpy(), frames["score"].to_numpy()
    found = []
    for i in range(len(table)):
        part = slice(offsets[i], offsets[i + 1])
        found.append(likeness(contribution[part], score[part]))
    table["rho"] = [one.rho for one in found]
    table["p"] = [one.p for one in found]
    table["remark"] = verdicts["remark"].fillna("").to_numpy(dtype=object)


def likeness_in_numbers(table: pd.DataFrame) -> dict[str, Any]:
    """Return how alike both maps are over all tracks: nothing if there is but one."""
    if "rho" not in table:
        return {}
    rho = table["rho"].to_numpy(np.float64)
    known = np.isfinite(rho)
    return {
        "rho_median": float(np.median(rho[known])) if known.any() else None,
        "rho_tracks": int(known.sum()),
        "rho_beyond_chance": int((table["p"].to_numpy(np.float64)[known] <= MOST_RANK).sum()),
    }
