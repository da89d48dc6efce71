"""Which tracks of each class to look at: the most typical, doubtful and surprising ones.

Of the tracks of a class, those that were classified are taken; where none was, the undetermined
ones.

- typical: the highest probability of the class.
- doubtful: the smallest lead of the class over the runner-up, in probability.
- surprising: the verdict is at odds with the track's displacements, as the rest of its file judges
  them. Of the same file, the tracks most alike in α of the mean squared displacement and in length
  (both as ranks) are taken; the surprise is how many times rarer the class is among those than in
  the file, as a binary logarithm, times the track's probability. 0 is no surprise, 2 a certain
  verdict four times rarer among such tracks. There is no table of what α a class should have,
  which would be wrong in practice: noise and motion blur shift α, and that of a single CTRW, ATTM
  or SBM track is near 1 whatever its exponent. Those who are alike are shifted alike. Short tracks,
  whose α scatters, are compared with short ones, and where α can't tell a class nothing is called
  surprising. That a class is rare in the file is no surprise by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]

WHY = ("typical", "doubtful", "surprising")
NEIGHBOURS = 50
"""Tracks that each is compared with, at most; in small files a quarter of the others."""
LEAST_SURPRISE = 1.0
"""Tracks with a smaller surprise are not called surprising."""
_FEWEST = 3
_COLUMNS = (
    "class", "why", "place", "file", "particle", "segment", "probability", "runner_up", "lead",
    "alpha_msd", "surprise",
)  # fmt: skip


def pick_tracks(
    tracks: pd.DataFrame,
    n: int = 3,
    *,
    neighbours: int = NEIGHBOURS,
    least_surprise: float = LEAST_SURPRISE,
) -> pd.DataFrame:
    """Choose the most typical, doubtful and surprising tracks of each class.

    No track is chosen twice: each kind in turn takes its next best one, so that a class of few
    tracks shows something of each.

    Parameters
    ----------
    tracks : pandas.DataFrame
        Verdicts, a row a track.
    n : int
        Tracks of each kind and class, at most.
    neighbours : int
        Tracks that the surprise of each is measured against.
    least_surprise : float
        Least surprise of a surprising track.

    Returns
    -------
    pandas.DataFrame
        Columns ``class``, ``why`` (one of `WHY`), ``place`` (1…n), ``file``, ``particle``,
        ``segment``, ``probability``, ``runner_up``, ``lead``, ``alpha_msd`` and ``surprise``
        (NaN where not known); in the order of the table's columns ``p_<class>``, then of `WHY`,
        with the index of `tracks`.
    """
    classes = class_names(tracks)
    table = tracks.copy(deep=False)
    table["lead"] = lead(tracks, classes)
    table["surprise"] = surprise(tracks, neighbours=neighbours)
    table["probability"] = _numbers(tracks, "probability")
    table["alpha_msd"] = _numbers(tracks, "alpha_msd")
    absent: dict[str, int | str] = {
        "file": "", "segment": 0, "runner_up": "", "status": "classified"
    }  # fmt: skip
    for name, value in absent.items():
        if name not in table:
            table[name] = value
    table["_row"] = np.arange(len(table))
    rows: list[int] = []
    marks: list[tuple[str, int]] = []
    for name in classes:
        members = table[(table["class"] == name).fillna(False).astype(bool)]
        sure = members[members["status"] == "classified"]
        members = sure if len(sure) else members[members["status"] == "undetermined"]
        queues = {
            "typical": members.sort_values("probability", ascending=False, kind="stable"),
            "doubtful": members.sort_values("lead", kind="stable").dropna(subset="lead"),
            "surprising": members[members["surprise"] >= least_surprise].sort_values(
                "surprise", ascending=False, kind="stable"
            ),
        }
        chosen = _in_turn({why: queue["_row"].tolist() for why, queue in queues.items()}, n)
        for why in WHY:
            rows += chosen[why]
            marks += [(why, place) for place in range(1, len(chosen[why]) + 1)]
    picks = table.iloc[rows].copy()
    picks["why"] = [why for why, _ in marks]
    picks["place"] = [place for _, place in marks]
    return picks[list(_COLUMNS)]


def class_names(tracks: pd.DataFrame) -> list[str]:
    """Return the classes of a table: those of its columns ``p_<class>``, then any others."""
    known = [str(name)[2:] for name in tracks.columns if str(name).startswith("p_")]
    found = tracks["class"].dropna().astype(str)
    others = sorted(name for name in set(found) if name and name not in known)
    return [*known, *others]


def lead(tracks: pd.DataFrame, classes: Sequence[str]) -> Floats:
    """Return each track's probability of the best class less that of the second, (m,)."""
    p = _probabilities(tracks, classes)
    if p.shape[1] < 2:
        return np.full(len(tracks), np.nan)
    highest = np.sort(np.where(np.isfinite(p), p, -np.inf), axis=1)[:, -2:]
    with np.errstate(invalid="ignore"):
        ahead = highest[:, 1] - highest[:, 0]
    return np.where(np.isfinite(ahead), ahead, np.nan)


def surprise(tracks: pd.DataFrame, *, neighbours: int = NEIGHBOURS) -> Floats:
    """Return how much each track's class is at odds with its displacements; see this module.

    Parameters
    ----------
    tracks : pandas.DataFrame
        Verdicts, with ``alpha_msd``.
    neighbours : int
        Tracks of the same file to compare with, at most.

    Returns
    -------
    numpy.ndarray, shape (m,)
        In bits, negative where the displacements suggest the class; NaN for tracks without a class
        or α, and in files of too few tracks (13).
    """
    classes = class_names(tracks)
    p = _probabilities(tracks, classes)
    alpha = _numbers(tracks, "alpha_msd")
    length = _numbers(tracks, "n_points")
    index = {name: k for k, name in enumerate(classes)}
    own = np.array([index.get(name, -1) for name in tracks["class"].astype(object)], dtype=int)
    usable = np.isfinite(alpha) & (own >= 0) & np.isfinite(p).all(axis=1)
    found = np.full(len(tracks), np.nan)
    files = tracks["file"].astype(str).to_numpy() if "file" in tracks else np.zeros(len(tracks))
    for file in dict.fromkeys(files):
        rows = np.flatnonzero(usable & (files == file))
        k = min(neighbours, (len(rows) - 1) // 4)
        if k < _FEWEST:
            continue
        near = _nearest(alpha[rows], length[rows], k)
        said = p[rows, own[rows]]
        in_file = (p[rows].sum(axis=0)[own[rows]] - said) / (len(rows) - 1)
        alike = p[rows[near], own[rows][:, None]].sum(axis=1)
        expected = (alike + in_file) / (k + 1)  # one track more, as the file is: never 0
        with np.errstate(divide="ignore", invalid="ignore"):
            rarer = np.log2(in_file / expected)
        found[rows] = said * np.where(in_file > 0, rarer, 0.0)
    return found


def _nearest(alpha: Floats, length: Floats, k: int) -> npt.NDArray[np.intp]:
    """Return the k others nearest to each track in the ranks of both, (m, k)."""
    import pandas as pd
    from scipy.spatial import KDTree

    ranks = pd.DataFrame({"alpha": alpha, "length": length}).rank(pct=True).fillna(0.5).to_numpy()
    near = np.asarray(KDTree(ranks).query(ranks, k + 1)[1])
    itself = near == np.arange(len(near))[:, None]
    itself[~itself.any(axis=1), -1] = True  # many tracks in the very same place
    return np.asarray(near[~itself].reshape(-1, k))


def _in_turn(queues: dict[str, list[int]], n: int) -> dict[str, list[int]]:
    taken: set[int] = set()
    chosen: dict[str, list[int]] = {why: [] for why in queues}
    for _ in range(n):
        for why, queue in queues.items():
            following = next((row for row in queue if row not in taken), None)
            if following is not None:
                chosen[why].append(following)
                taken.add(following)
    return chosen


def _probabilities(tracks: pd.DataFrame, classes: Sequence[str]) -> Floats:
    columns = [_numbers(tracks, f"p_{name}") for name in classes]
    return np.array(columns, dtype=np.float64).reshape(len(classes), len(tracks)).T


def _numbers(tracks: pd.DataFrame, name: str) -> Floats:
    import pandas as pd

    if name not in tracks:
        return np.full(len(tracks), np.nan)
    column: Any = pd.to_numeric(tracks[name], errors="coerce")
    return np.asarray(column.to_numpy(np.float64, na_value=np.nan))
