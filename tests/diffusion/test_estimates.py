import numpy as np
import pandas as pd
import pytest

from spt_explain.diffusion.covariance import estimate_covariance
from spt_explain.diffusion.estimates import estimate_motion
from spt_explain.errors import SptError
from spt_explain.tracks import Calibration, QualityPolicy, Source, Tracks, apply_policy
from spt_explain.tracks.quality import Segments

MICRONS = Calibration("um", "given", 0.05, "given")


def tracks(calibration, gap=None):
    """One Brownian track of 40 points, with frames lost after frame 10 if asked."""
    path = np.random.default_rng(0).normal(size=(40, 2)).cumsum(axis=0)
    kept = np.ones(40, dtype=bool)
    if gap:
        kept[11 : 11 + gap] = False
    table = pd.DataFrame(
        {
            "particle": 1,
            "frame": np.arange(40)[kept],
            "x": path[kept, 0],
            "y": path[kept, 1],
        }
    )
    return Tracks(table, calibration, Source("a.csv", "made"))


def motion(calibration=MICRONS, gap=None, exposure=1.0, **policy):
    return estimate_motion(
        apply_policy(tracks(calibration, gap), QualityPolicy(**policy)),
        calibration,
        exposure=exposure,
    )


def test_columns_need_units():
    assert list(motion()) == ["alpha_msd", "D_um2_s", "sigma_loc_um"]
    assert list(motion(Calibration("um", "given"))) == ["alpha_msd", "sigma_loc_um"]
    assert list(motion(Calibration())) == ["alpha_msd"]
    assert list(motion(Calibration("px", "", 0.05, "given"))) == ["alpha_msd"]


def test_d_is_per_second():
    one = tracks(MICRONS).table
    found = estimate_covariance(
        one["frame"].to_numpy(), one["x"].to_numpy(), one["y"].to_numpy(), np.array([0])
    )
    assert motion()["D_um2_s"][0] == pytest.approx(found.d[0] / 0.05)


@pytest.mark.parametrize("gaps", ["fill", "keep"])
def test_filled_points_are_no_measurements(gaps):
    one = tracks(MICRONS, gap=2).table
    found = estimate_covariance(
        one["frame"].to_numpy(), one["x"].to_numpy(), one["y"].to_numpy(), np.array([0])
    )
    assert found.n_steps[0] == 36
    ours = motion(gap=2, gaps=gaps)
    assert ours["D_um2_s"][0] == pytest.approx(found.d[0] / 0.05)
    assert ours["alpha_msd"][0] == pytest.approx(motion()["alpha_msd"][0], abs=0.2)


def test_a_segment_of_which_only_filled_points_are_left_has_no_estimates():
    points = tracks(MICRONS).table.assign(interpolated=False, segment_id=0)
    three = [points.assign(segment_id=i, interpolated=i > 0) for i in range(3)]
    offsets = np.array([0, 40, 80, 120])
    segments = Segments(pd.concat(three, ignore_index=True), offsets, pd.DataFrame(), {})
    found = estimate_motion(segments, MICRONS)
    for name, values in motion().items():
        assert found[name][0] == values[0]
        assert np.isnan(found[name][1:]).all()


def test_each_segment_of_a_split_track_has_its_own():
    both = motion(gap=5)
    assert len(both["D_um2_s"]) == 2
    assert both["D_um2_s"][0] != both["D_um2_s"][1]


@pytest.mark.parametrize("exposure", [-0.1, 1.5, float("nan")])
def test_an_exposure_that_is_no_share_is_refused(exposure):
    with pytest.raises(SptError, match="exposure="):
        motion(exposure=exposure)
