"""From links between spots to the rows of tracks, and to the tracks that are not one path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Links:
    """Links as a file lists them, one each index.

    Attributes
    ----------
    track : (n,) int array
        Track of the link.
    source, target : (n,) int array
        Ids of the two spots, in any order of time.
    """

    track: Ints
    source: Ints
    target: Ints


@dataclass(frozen=True)
class Paths:
    """Rows of tracks, sorted by track, then frame.

    Attributes
    ----------
    track, spot : (m,) int array
        Track of each row, and index of its spot among all spots.
    linked : (n_spots,) bool array
        Whether a spot is part of any track, kept or not.
    branching : dict of int to str
        Tracks that are not one path, and why.
    links : pandas.DataFrame or None
        Links of those: columns ``particle``, ``source``, ``target`` (row numbers).
    n_broken : int
        Links of kept tracks from a spot to itself or to a spot that is not there.
    n_repeated : int
        Spots whose id an earlier spot has.
    """

    track: Ints
    spot: Ints
    linked: Bools
    branching: dict[int, str]
    links: pd.DataFrame | None
    n_broken: int
    n_repeated: int

    @property
    def n_tracks(self) -> int:
        """Number of tracks with at least one row."""
        import numpy as np

        return len(np.unique(self.track))


def paths(ids: Ints, frames: Ints, links: Links, kept: Ints) -> Paths:
    """Order the spots of each track by frame and find the tracks that split or merge.

    Parameters
    ----------
    ids, frames : (n_spots,) int array
        Id and frame of each spot.
    links : Links
        Links of all tracks.
    kept : int array
        Tracks to return.

    Returns
    -------
    Paths
        Rows, and what is special about them. A track is one path if each of its links leads from
        one row to the next.
    """
    import numpy as np
    import pandas as pd

    order = np.argsort(ids, kind="stable")
    n_repeated = len(ids) - len(np.unique(ids))
    source, target = (_find(ids, order, ends) for ends in (links.source, links.target))
    linked = np.zeros(len(ids), dtype=bool)
    linked[source[source >= 0]] = True
    linked[target[target >= 0]] = True

    mine = np.isin(links.track, kept)
    track, source, target = links.track[mine], source[mine], target[mine]
    members = pd.DataFrame(
        {"track": np.concatenate([track, track]), "spot": np.concatenate([source, target])}
    )
    members = members[members["spot"] >= 0].drop_duplicates()
    member_frames = frames[members["spot"].to_numpy()]
    by_frame = np.lexsort((members["spot"].to_numpy(), member_frames, members["track"].to_numpy()))
    members = members.iloc[by_frame].reset_index(drop=True)

    real = (source >= 0) & (target >= 0) & (source != target)
    edges = _edges(members, frames, track[real], source[real], target[real])
    branching = _branching(edges)
    chosen = edges[edges["particle"].isin(list(branching))].reset_index(drop=True)
    return Paths(
        track=members["track"].to_numpy(dtype=np.int64),
        spot=members["spot"].to_numpy(dtype=np.int64),
        linked=linked,
        branching=branching,
        links=chosen if branching else None,
        n_broken=int((~real).sum()),
        n_repeated=n_repeated,
    )


def _find(ids: Ints, order: Ints, wanted: Ints) -> Ints:
    """Return the index of each wanted id among `ids` (sorted by `order`), or −1."""
    import numpy as np

    if len(ids) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    found = order[place]
    return np.where(ids[found] == wanted, found, -1)


def _edges(
    members: pd.DataFrame, frames: Ints, track: Ints, source: Ints, target: Ints
) -> pd.DataFrame:
    """Return each link once, forward in time, as row numbers of `members`."""
    import numpy as np
    import pandas as pd

    forward = frames[source] <= frames[target]
    edges = pd.DataFrame(
        {
            "particle": track,
            "from": np.where(forward, source, target),
            "to": np.where(forward, target, source),
        }
    ).drop_duplicates()
    rows = members.reset_index(names="row")
    for spot, row in (("from", "source"), ("to", "target")):
        edges = edges.merge(
            rows.rename(columns={"track": "particle", "spot": spot, "row": row}),
            on=["particle", spot],
        )
    return edges[["particle", "source", "target"]].sort_values(
        ["particle", "source", "target"], ignore_index=True
    )


def _branching(edges: pd.DataFrame) -> dict[int, str]:
    skipping = edges.loc[edges["target"] - edges["source"] != 1, "particle"].unique()
    some = edges[edges["particle"].isin(skipping)]
    splits, merges = (
        (some.groupby(["particle", end]).size() > 1).groupby(level="particle").sum()
        for end in ("source", "target")
    )
    return {
        particle: _reason(int(splits.get(particle, 0)), int(merges.get(particle, 0)))
        for particle in sorted(skipping.tolist())
    }


def _reason(splits: int, merges: int) -> str:
    said = [
        f"{verb} {n} time{'s' if n > 1 else ''}"
        for verb, n in (("splits", splits), ("merges", merges))
        if n
    ]
    if said:
        return f"it {' and '.join(said)}, so its spots do not form one path"
    return "its pieces overlap in time, so its spots do not form one path"
