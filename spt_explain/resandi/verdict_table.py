"""The table of verdicts: one row for each track or segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import option
from spt_explain.tracks.columns import RESERVED, constant_in_tracks, take, unique_names
from spt_explain.tracks.reasons import worded
from spt_explain.tracks.runs import run_starts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.resandi.judging import Prediction
    from spt_explain.tracks.table import Tracks

_NEAR_HALF = 1e-9


def verdict_table(
    tracks: Tracks,
    summary: pd.DataFrame,
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
    summary : pandas.DataFrame
        What the policy made of them; see `Segments.summary`.
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

    names = pd.array(list(classes), dtype="str")
    index = summary["segment_id"].to_numpy()
    known = index >= 0
    judged = index[known]
    p = np.full((len(summary), len(classes)), np.nan, order="F")
    p[known] = probabilities[judged]
    best, second = (np.full(len(summary), -1) for _ in range(2))
    first = probabilities.argmax(axis=1)
    best[known] = first[judged]
    top = np.full(len(summary), np.nan)
    top[known] = probabilities[judged, best[known]]
    others = probabilities.copy()
    others[np.arange(len(others)), first] = -1
    second[known] = others.argmax(axis=1)[judged]
    status = summary["status"].to_numpy(dtype=object).copy()
    reason = summary["reason"].to_numpy(dtype=object).copy()
    sure = known & (status == "")
    undetermined = sure & (top < threshold)
    status[sure] = "classified"
    status[undetermined] = "undetermined"
    reason[undetermined] = _below(top[undetermined], threshold)
    many = np.zeros(len(summary), dtype=bool)
    many[known] = windows[judged] > 1
    before, number = pd.factorize(reason[many])[::-1]

    def word(which: int, n_windows: int) -> str:
        said = f"{n_windows} overlapping windows combined"
        if every > 1:
            said = f"judged by every {every} frames"
        return f"{before[which]}; {said}" if before[which] else said

    reason[many] = worded(word, number, windows[index[many]])
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
        "class": names.take(best, allow_fill=True),
        "probability": top,
        "runner_up": names.take(second, allow_fill=True),
        **{f"p_{name}": p[:, i] for i, name in enumerate(classes)},
    }
    if prediction.alpha is not None:
        alpha = np.full((len(summary), 3), np.nan)
        alpha[known] = prediction.alpha[judged]
        columns |= {"alpha": alpha[:, 1], "alpha_low": alpha[:, 0], "alpha_high": alpha[:, 2]}
    for name, values in motion.items():
        columns[name] = np.full(len(summary), np.nan)
        columns[name][known] = values[judged]
    return pd.DataFrame(columns, index=pd.RangeIndex(len(summary)), copy=False)


VERDICT_COLUMNS = frozenset(
    (
        *("file", "particle", "label", "segment", "n_points", "first_frame", "last_frame"),
        *("n_gaps", "status", "reason", "class", "probability", "runner_up"),
        *("alpha", "alpha_low", "alpha_high", "alpha_msd", "D_um2_s", "sigma_loc_um", "inv_snr"),
        *("fit", "p_other", "other", "n_measured", "outlier_frames"),
    )
)
"""Names with a meaning of ours in a verdict table, whether a table has them or not."""


def with_source_columns(table: pd.DataFrame, tracks: Tracks) -> tuple[pd.DataFrame, list[str]]:
    """Return the verdict table with those columns of the source that describe tracks.

    Parameters
    ----------
    table : pandas.DataFrame
        Verdicts on `tracks`.
    tracks : Tracks
        With their further columns.

    Returns
    -------
    table : pandas.DataFrame
        With each further column of the tracks that has one value in all rows of each track (but
        those where it is missing), after the others. A name that a verdict table has gets the
        suffix ``_source``.
    names : list of str
        Of the columns that were added.
    """
    import pandas as pd

    particle = tracks.table["particle"].to_numpy(dtype=np.int64)
    first = np.flatnonzero(run_starts(particle))
    found = {}
    for name in tracks.extra_columns:
        values = constant_in_tracks(tracks.table[name], first)
        if values is not None:
            found[name] = values
    ids, wanted = particle[first], table["particle"].to_numpy(dtype=np.int64)
    place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    place[ids[place] != wanted] = -1  # no point of the track had a position
    names = unique_names(list(found), RESERVED | VERDICT_COLUMNS | set(table.columns))
    added = {
        new: take(pd.Series(values, copy=False), place)
        for new, values in zip(names, found.values(), strict=True)
    }
    columns = {str(name): table[name].array for name in table}
    return pd.DataFrame(columns | added, index=table.index, copy=False), names


def _below(top: NDArray[np.float64], threshold: float) -> NDArray[np.object_]:
    """Word the reasons of undetermined rows, from the probabilities of their best classes."""

    def word(value: float) -> str:
        return f"best class {value:.2f}, below {threshold:g} ({option('threshold')})"

    hundredths = np.rint(top * 100)
    # Near a half, the product may be rounded to the other side of it than the value lies on.
    doubtful = np.abs(np.abs(top * 100 - np.trunc(top * 100)) - 0.5) < _NEAR_HALF
    words = np.array([word(i / 100) for i in range(101)], dtype=object)
    out: NDArray[np.object_] = words[hundredths.astype(np.intp)]
    out[doubtful] = [word(value) for value in top[doubtful].tolist()]
    return out
