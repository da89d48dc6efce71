import numpy as np
import pandas as pd
import pytest

from spt_explain.errors import SptError
from spt_explain.tracks import QualityPolicy
from spt_explain.tracks.quality import apply_policy
from spt_explain.tracks.table import Calibration, Source, Tracks
from spt_explain.tracks.thinning import frames_apart, renumbered, thin


def _tracks(*lengths: int, every: int = 1) -> Tracks:
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {
                "particle": i,
                "frame": np.arange(5, 5 + n),
                "x": rng.normal(size=n).cumsum(),
                "y": rng.normal(size=n).cumsum(),
            }
        )
        for i, n in enumerate(lengths)
    ]
    table = pd.concat(parts, ignore_index=True)
    return Tracks(table, Calibration(), Source("t", "made up"), faithful_every=every)


@pytest.mark.parametrize("every", [1, 2, 3, 4])
def test_the_ways_to_begin_share_out_every_point_in_order(every: int) -> None:
    segments = apply_policy(_tracks(30, 41, 12))
    parts = [thin(segments, every, first) for first in range(every)]
    assert sum(len(part.points) for part in parts) == len(segments.points)
    for first, part in enumerate(parts):
        for i in range(len(segments)):
            whole = segments.points.iloc[segments.offsets[i] : segments.offsets[i + 1]]
            mine = part.points.iloc[part.offsets[i] : part.offsets[i + 1]]
            assert mine["x"].tolist() == whole["x"].tolist()[first::every]
            assert mine["frame"].tolist() == whole["frame"].tolist()[first::every]
            assert set(mine["segment_id"]) == {i}


@pytest.mark.parametrize("first", [0, 1, 2])
def test_renumbered_points_are_one_frame_apart(first: int) -> None:
    part = renumbered(thin(apply_policy(_tracks(30, 41)), 3, first), 3)
    steps = np.diff(part.points["frame"])[np.diff(part.points["segment_id"]) == 0]
    assert set(steps) == {1}


def test_what_was_asked_for_goes_before_what_the_tracks_say() -> None:
    assert frames_apart(_tracks(20), QualityPolicy()) == 1
    assert frames_apart(_tracks(20, every=3), QualityPolicy()) == 3
    assert frames_apart(_tracks(20, every=3), QualityPolicy(every=1)) == 1


@pytest.mark.parametrize("every", [0, -2, 1.5, True])
def test_what_is_no_number_of_frames_is_refused(every: object) -> None:
    with pytest.raises(SptError, match="every="):
        QualityPolicy(every=every)  # type: ignore[arg-type]
