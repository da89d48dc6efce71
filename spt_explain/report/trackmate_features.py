"""What TrackMate measures on links and tracks, by its definitions, and what it calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from spt_explain.errors import SptError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.tracks.table import Tracks

    Ints = npt.NDArray[np.int64]


class Feature(NamedTuple):
    """A declaration: TrackMate's key and names, its dimension, and whether it is a whole number."""

    key: str
    name: str
    short: str
    dimension: str
    whole: bool = False


SPOT_FEATURES = [
    Feature("QUALITY", "Quality", "Quality", "QUALITY"),
    Feature("POSITION_X", "X", "X", "POSITION"),
    Feature("POSITION_Y", "Y", "Y", "POSITION"),
    Feature("POSITION_Z", "Z", "Z", "POSITION"),
    Feature("POSITION_T", "T", "T", "TIME"),
    Feature("FRAME", "Frame", "Frame", "NONE", True),
    Feature("RADIUS", "Radius", "R", "LENGTH"),
    Feature("VISIBILITY", "Visibility", "Visibility", "NONE", True),
]
"""What every spot has; some readers want each declared feature on each spot."""
EDGE_FEATURES = [
    Feature("SPOT_SOURCE_ID", "Source spot ID", "Source ID", "NONE", True),
    Feature("SPOT_TARGET_ID", "Target spot ID", "Target ID", "NONE", True),
    Feature("SPEED", "Speed", "Speed", "VELOCITY"),
    Feature("DISPLACEMENT", "Displacement", "Disp.", "LENGTH"),
    Feature("EDGE_TIME", "Edge time", "Edge T", "TIME"),
]
"""What every link has."""
TRACK_FEATURES = [
    Feature("TRACK_INDEX", "Track index", "Index", "NONE", True),
    Feature("TRACK_ID", "Track ID", "ID", "NONE", True),
    Feature("NUMBER_SPOTS", "Number of spots in track", "N spots", "NONE", True),
    Feature("NUMBER_GAPS", "Number of gaps", "N gaps", "NONE", True),
    Feature("NUMBER_SPLITS", "Number of split events", "N splits", "NONE", True),
    Feature("NUMBER_MERGES", "Number of merge events", "N merges", "NONE", True),
    Feature("NUMBER_COMPLEX", "Number of complex points", "N complex", "NONE", True),
    Feature("LONGEST_GAP", "Longest gap", "Lgst gap", "NONE", True),
    Feature("TRACK_DURATION", "Track duration", "Duration", "TIME"),
    Feature("TRACK_START", "Track start", "Track start", "TIME"),
    Feature("TRACK_STOP", "Track stop", "Track stop", "TIME"),
    Feature("TRACK_DISPLACEMENT", "Track displacement", "Track disp.", "LENGTH"),
    Feature("TRACK_X_LOCATION", "Track mean X", "Track X", "POSITION"),
    Feature("TRACK_Y_LOCATION", "Track mean Y", "Track Y", "POSITION"),
    Feature("TRACK_Z_LOCATION", "Track mean Z", "Track Z", "POSITION"),
    Feature("TRACK_MEAN_SPEED", "Track mean speed", "Mean sp.", "VELOCITY"),
    Feature("TRACK_MAX_SPEED", "Track max speed", "Max speed", "VELOCITY"),
    Feature("TRACK_MIN_SPEED", "Track min speed", "Min speed", "VELOCITY"),
    Feature("TRACK_MEDIAN_SPEED", "Track median speed", "Med. speed", "VELOCITY"),
    Feature("TRACK_STD_SPEED", "Track std speed", "Std speed", "VELOCITY"),
    Feature("TRACK_MEAN_QUALITY", "Track mean quality", "Mean Q", "QUALITY"),
]
"""What every track has."""


def links_of(tracks: Tracks) -> tuple[Ints, Ints]:
    """Return the links between positions: successive ones, or those of particles that branch.

    Parameters
    ----------
    tracks : Tracks
        The tracks.

    Returns
    -------
    source, target : numpy.ndarray of int64, shape (m,)
        Rows of the table, the earlier frame first; sorted by particle, then source.

    Raises
    ------
    SptError
        If a particle is twice in a frame, or splits and its links are not known.
    """
    import numpy as np

    particle = tracks.table["particle"].to_numpy(np.int64)
    frame = tracks.table["frame"].to_numpy(np.int64)
    branching = np.isin(particle, np.fromiter(tracks.branching, dtype=np.int64))
    if branching.any() and tracks.links is None:
        raise SptError(
            f"Particle {particle[branching][0]} splits or merges, and its links are not in "
            f"{tracks.source.name}: expected them, for TrackMate's file. Read TrackMate's own save "
            "file (full XML) instead."
        )
    source = np.flatnonzero((particle[1:] == particle[:-1]) & ~branching[1:])
    target = source + 1
    twice = frame[source] == frame[target]
    if twice.any():
        row = source[twice][0]
        raise SptError(
            f"Particle {particle[row]} has two positions in frame {frame[row]}: expected one, for "
            "TrackMate's file. Remove one of them, or link the spots again."
        )
    if tracks.links is not None:
        ends = tracks.links[["source", "target"]].to_numpy(np.int64)
        ends = ends[branching[ends[:, 0]]]
        late = frame[ends[:, 0]] > frame[ends[:, 1]]
        ends[late] = ends[late][:, ::-1]
        source, target = np.append(source, ends[:, 0]), np.append(target, ends[:, 1])
    order = np.lexsort((target, source))
    return source[order], target[order]


def track_features(
    spots: pd.DataFrame, source: Ints, target: Ints
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure links and tracks as TrackMate does.

    Parameters
    ----------
    spots : pandas.DataFrame
        Columns ``particle``, ``frame``, ``t``, ``x``, ``y``, ``z``, ``quality`` in TrackMate's
        units, sorted by particle, then frame.
    source, target : numpy.ndarray of int64, shape (m,)
        Links between rows of `spots`, the earlier frame first.

    Returns
    -------
    links : pandas.DataFrame, m rows
        Features of the links, but for the ids of their spots.
    tracks : pandas.DataFrame, indexed by particle
        Features of the tracks that have a link, but for their id and index. A gap is a link
        that spans more than one frame; its length is the number of frames between. The median of
        an even number of speeds is the upper of the two in the middle, as TrackMate has it.
    """
    import numpy as np
    import pandas as pd

    t, x, y = (spots[key].to_numpy(np.float64) for key in ("t", "x", "y"))
    span = np.diff(spots["frame"].to_numpy()[[source, target]], axis=0)[0]
    step = np.hypot(x[target] - x[source], y[target] - y[source])
    with np.errstate(all="ignore"):
        speed = step / (t[target] - t[source])
    links = pd.DataFrame(
        {"SPEED": speed, "DISPLACEMENT": step, "EDGE_TIME": (t[source] + t[target]) / 2}
    )
    later, earlier = (np.bincount(ends, minlength=len(spots)) for ends in (source, target))
    kinds = spots.assign(
        splits=(later > 1) & (earlier <= 1),
        merges=(earlier > 1) & (later <= 1),
        complex=(later > 1) & (earlier > 1),
    )[(later > 0) | (earlier > 0)]
    of_spots = kinds.groupby("particle", sort=True)
    of_links = links.assign(
        particle=spots["particle"].to_numpy()[source], gap=span > 1, missing=span - 1
    ).groupby("particle", sort=True)
    first, last = of_spots[["x", "y", "z"]].first(), of_spots[["x", "y", "z"]].last()
    means = of_spots[["x", "y", "z", "quality"]].mean()
    start, stop = of_spots["t"].min(), of_spots["t"].max()
    speeds = of_links["SPEED"]
    tracks = pd.DataFrame(
        {
            "NUMBER_SPOTS": of_spots.size(),
            "NUMBER_GAPS": of_links["gap"].sum(),
            "NUMBER_SPLITS": of_spots["splits"].sum(),
            "NUMBER_MERGES": of_spots["merges"].sum(),
            "NUMBER_COMPLEX": of_spots["complex"].sum(),
            "LONGEST_GAP": of_links["missing"].max(),
            "TRACK_DURATION": stop - start,
            "TRACK_START": start,
            "TRACK_STOP": stop,
            "TRACK_DISPLACEMENT": np.sqrt(((last - first) ** 2).sum(axis=1)),
            "TRACK_X_LOCATION": means["x"],
            "TRACK_Y_LOCATION": means["y"],
            "TRACK_Z_LOCATION": means["z"],
            "TRACK_MEAN_SPEED": speeds.mean(),
            "TRACK_MAX_SPEED": speeds.max(),
            "TRACK_MIN_SPEED": speeds.min(),
            "TRACK_MEDIAN_SPEED": speeds.quantile(0.5, interpolation="higher"),
            "TRACK_STD_SPEED": speeds.std(),
            "TRACK_MEAN_QUALITY": means["quality"],
        }
    )
    return links, tracks
