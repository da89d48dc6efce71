"""The table of verdicts: one row for each track or segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.resandi.classifier import Prediction
    from spt_explain.tracks.quality import Segments
    from spt_explain.tracks.table import Tracks


def verdict_table(
    tracks: Tracks,
    segments: Segments,
    prediction: Prediction,
    motion: Mapping[str, NDArray[np.float64]],
    *,
    classes: Sequence[str],
    threshold: float,
    every: int,
) -> pd.DataFrame:
    """Return one row for each track or segment, judged or not.

    Parameters
    ----------
    tracks : Tracks
    segments : Segments
        What the policy made of them.
    prediction : Prediction
        Of the segments that were judged.
    motion : mapping of str to numpy.ndarray, shape (segments,)
        Further columns, of the same segments.
    classes : sequence of str
        In the order of the probabilities.
    threshold : float
        Probability of the best class below which a row is undetermined.
    every : int
        Frames that the tracks were judged by: every so many.
    """
    import pandas as pd

    probabilities, windows = prediction.probabilities, prediction.windows

    names = np.asarray(classes, dtype=object)
    summary = segments.summary
    index = summary["segment_id"].to_numpy()
    known = index >= 0
    p = np.full((len(summary), len(names)), np.nan)
    p[known] = probabilities[index[known]]
    order = np.argsort(-probabilities, axis=1, kind="stable")
    best = np.full(len(summary), None, dtype=object)
    second = best.copy()
    best[known] = names[order[index[known], 0]]
    second[known] = names[order[index[known], 1]]
    top = np.full(len(summary), np.nan)
    top[known] = probabilities[index[known], order[index[known], 0]]
    status = summary["status"].to_numpy(dtype=object).copy()
    reason = summary["reason"].to_numpy(dtype=object).copy()
    undetermined = known & (status == "") & (top < threshold)
    status[undetermined] = "undetermined"
    for i in np.flatnonzero(undetermined):
        reason[i] = f"best class {top[i]:.2f}, below {threshold:g} (--threshold)"
    status[known & (status == "")] = "classified"
    many = np.zeros(len(summary), dtype=bool)
    many[known] = windows[index[known]] > 1
    for i in np.flatnonzero(many):
        said = f"{windows[index[i]]} overlapping windows combined"
        if every > 1:
            said = f"judged by every {every} frames"
        reason[i] = f"{reason[i]}; {said}" if reason[i] else said
    columns: dict[str, Any] = {
        "file": tracks.source.name,
        "particle": summary["particle"].to_numpy(),
    }
    if tracks.labels is not None:
        columns["label"] = summary["particle"].map(tracks.labels).to_numpy()
    columns |= {
        **{
            name: summary[name].array
            for name in ("segment", "n_points", "first_frame", "last_frame", "n_gaps")
        },
        "status": status,
        "reason": reason,
        "class": best,
        "probability": top,
        "runner_up": second,
        **{f"p_{name}": p[:, i] for i, name in enumerate(names)},
    }
    if prediction.alpha is not None:
        alpha = np.full((len(summary), 3), np.nan)
        alpha[known] = prediction.alpha[index[known]]
        columns |= {"alpha": alpha[:, 1], "alpha_low": alpha[:, 0], "alpha_high": alpha[:, 2]}
    for name, values in motion.items():
        columns[name] = np.full(len(summary), np.nan)
        columns[name][known] = values[index[known]]
    return pd.DataFrame(columns, index=pd.RangeIndex(len(summary)))
