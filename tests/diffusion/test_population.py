"""What is recorded of simulated particles, against the formulas of measurement theory."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from spt_explain.diffusion.classes import CLASS_NAMES, CLASSES
from spt_explain.diffusion.population import TRUTH, check_seed, simulate, simulate_recording
from spt_explain.diffusion.recording import Recording
from spt_explain.errors import SptError
from spt_explain.tracks import QualityPolicy, apply_policy
from spt_explain.tracks.immobile import assess_immobility

D, DT = 0.3, 0.05
UNITS = {"diffusion_coefficient_um2_s": D, "frame_interval_s": DT}


def _steps(table: pd.DataFrame, n: int, length: int) -> np.ndarray:
    """Return displacements of tracks of one length, (n, length − 1, 2)."""
    return np.diff(table[["x", "y"]].to_numpy().reshape(n, length, 2), axis=1)


def _near(found: np.ndarray, expected: float) -> None:
    """Compare the mean over tracks with its expectation, to 4 standard errors."""
    error = found.std() / np.sqrt(len(found))
    assert error < 0.1 * abs(expected) + 1e-12
    assert found.mean() == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize(
    ("exposure", "noise", "anisotropy"), [(0, 0.7, 1), (0.6, 0.5, 2), (1, 0, 1)]
)
def test_variance_and_covariance_of_steps_are_berglunds(
    exposure: float, noise: float, anisotropy: float
) -> None:
    """Berglund 2010, doi:10.1103/PhysRevE.82.011917, Eqs. 6–8, for each axis.

    Var = 2 D Δt (1 − 2R) + 2 σ², Cov of neighbours = 2 D Δt R − σ², 0 beyond. R = e/6 where the
    shutter is open for the first share e of each frame: R = (1/Δt) ∫ S(t) [1 − S(t)] dt with
    S(t) = t/(e Δt) up to e Δt and 1 after.
    """
    n, length = 1500, 60
    table = simulate(
        "BM", tracks=n, length=length, noise=noise, exposure=exposure, anisotropy=anisotropy,
        seed=4, **UNITS,
    ).table  # fmt: skip
    steps = _steps(table, n, length)
    r = exposure / 6
    for axis, ratio in enumerate((1, anisotropy)):
        sigma2 = (noise * ratio) ** 2 * 2 * D * DT
        along = steps[..., axis]
        _near((along**2).mean(1), 2 * D * DT * (1 - 2 * r) + 2 * sigma2)
        _near((along[:, 1:] * along[:, :-1]).mean(1), 2 * D * DT * r - sigma2)
        beyond = (along[:, 2:] * along[:, :-2]).mean(1)
        assert abs(beyond.mean()) < 4 * beyond.std() / np.sqrt(n)
    np.testing.assert_allclose(table["sigma_loc_um"], noise * np.sqrt(2 * D * DT), rtol=1e-6)


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_the_mean_squared_displacement_of_one_frame_is_4_d_dt(name: str) -> None:
    n, length = 2500, 25
    steps = _steps(simulate(name, tracks=n, length=length, seed=2, **UNITS).table, n, length)
    squares = (steps**2).sum(-1).mean(-1)
    error = squares.std() / np.sqrt(n)
    assert squares.mean() == pytest.approx(4 * D * DT, abs=4 * error + 1e-6)


def test_noise_scatters_around_the_same_paths_with_its_own_deviation() -> None:
    settings = {"tracks": 40, "length": "10-60", "seed": 9, **UNITS}
    sharp = simulate("all", **settings).table
    noisy = simulate("all", noise="0.2-0.8", anisotropy="0.5-2", **settings).table
    pd.testing.assert_frame_equal(sharp[["particle", "frame", "class", "alpha"]],
                                  noisy[["particle", "frame", "class", "alpha"]])  # fmt: skip
    error = noisy[["x", "y"]] - sharp[["x", "y"]]
    error -= error.groupby(noisy["particle"]).transform("mean")  # tracks may be placed elsewhere
    length = noisy.groupby("particle")["frame"].transform("size")
    error = error.div(noisy["sigma_loc_um"] * np.sqrt(1 - 1 / length), axis=0)
    error["y"] /= noisy["anisotropy"]
    n = len(error)
    for axis in "xy":
        assert (error[axis] ** 2).mean() == pytest.approx(1, abs=4 * np.sqrt(2 / n))
    assert abs((error["x"] * error["y"]).mean()) < 4 / np.sqrt(n)
    assert noisy["noise"].between(0.2, 0.8).all()
    assert noisy["anisotropy"].between(0.5, 2).all()


def test_truth_is_constant_over_a_track_and_within_what_was_asked() -> None:
    table = simulate(
        "SubFBM:1,SupLW:3,BM:2", tracks=120, length="5-9", noise="0-1", exposure="0.2-0.4",
        missing="0-0.5", immobile=0.25, diffusion_coefficient_um2_s="0.01-10", seed=1,
    ).table  # fmt: skip
    assert list(table.columns) == ["particle", "frame", "x", "y", *TRUTH]
    groups = table.groupby("particle")
    one = groups.first()
    for name in TRUTH:
        pd.testing.assert_series_equal(
            table[name], one[name].loc[table["particle"]], check_index=False
        )
    assert one["class"].value_counts().to_dict() == {
        "SupLW": 45, "BM": 30, "immobile": 30, "SubFBM": 15,
    }  # fmt: skip
    still = one["class"] == "immobile"
    assert one.loc[still, "alpha"].isna().all()
    assert (one.loc[still, "D_um2_s"] == 0).all()
    assert (one.loc[still, "sigma_loc_um"] > 0).all()
    for kind in CLASSES:
        alpha = one.loc[one["class"] == kind.name, "alpha"]
        assert alpha.between(kind.alpha_low, kind.alpha_high).all()
    moving = one[~still]
    assert moving["D_um2_s"].between(0.01, 10).all()
    assert 0.2 < (moving["D_um2_s"] < 0.316).mean() < 0.8  # uniform in the logarithm
    assert one["exposure"].between(0.2, 0.4).all()
    assert one["missing"].between(0, 0.5).all()
    assert (one["class"].iloc[:30].nunique()) > 2  # classes are not in blocks


def test_alpha_is_asked_for_and_brownian_motion_keeps_its_own() -> None:
    table = simulate("SubFBM,BM", tracks=20, length=5, alpha="0.3-0.4", seed=1).table
    assert table.loc[table["class"] == "SubFBM", "alpha"].between(0.3, 0.4).all()
    assert (table.loc[table["class"] == "BM", "alpha"] == 1).all()
    with pytest.raises(SptError, match="can't be had from SupFBM"):
        simulate("all", tracks=8, alpha="0.3-0.4")
    with pytest.raises(SptError, match="can't be had from BM"):
        simulate("BM", tracks=8, alpha="0.3-0.4")


def test_missed_frames_are_missing_rows_at_the_given_rate() -> None:
    table = simulate("BM", tracks=200, length=52, missing=0.1, seed=3).table
    lost = 200 * 52 - len(table)
    low, high = binom.ppf([1e-5, 1 - 1e-5], 200 * 50, 0.1)
    assert low <= lost <= high
    ends = table.groupby("particle")["frame"].agg(["min", "max"])
    assert (ends["min"] == 0).all()
    assert (ends["max"] == 51).all()


def test_filled_frames_are_those_that_classify_would_fill() -> None:
    settings = {"tracks": 60, "length": "10-40", "missing": "0-0.3", "noise": 0.5, "seed": 8}
    gappy = simulate("all", **settings)
    filled = simulate("all", fill_missing=True, **settings).table
    segments = apply_policy(gappy, QualityPolicy(gaps="fill", max_gap=100, min_length=2))
    np.testing.assert_allclose(
        filled[["x", "y"]].to_numpy(), segments.points[["x", "y"]], atol=1e-6
    )
    assert filled["filled"].sum() == len(filled) - len(gappy.table)
    assert filled["filled"].any()


def test_immobile_particles_are_told_by_the_quality_policy() -> None:
    """`immobile_miss` is 4 %: that share of noise-only tracks is not flagged, by construction."""
    n = 1500
    table = simulate("BM", tracks=2 * n, length=100, noise=0.5, anisotropy=1, immobile=0.5,
                     seed=6).table  # fmt: skip
    starts = np.flatnonzero(table["frame"].to_numpy() == 0)
    found = assess_immobility(
        *(table[name].to_numpy() for name in ("frame", "x", "y")), starts
    ).noise_like
    still = table["class"].to_numpy()[starts] == "immobile"
    assert still.sum() == n
    low, high = binom.ppf([1e-5, 1 - 1e-5], n, 0.04)
    assert low <= (~found[still]).sum() <= high
    assert found[~still].sum() == 0


def test_same_seed_same_tracks_other_seed_other_tracks() -> None:
    settings = {"tracks": 16, "length": "5-20", "noise": 0.3, "missing": 0.1}
    first = simulate("all", seed=5, **settings)
    pd.testing.assert_frame_equal(first.table, simulate("all", seed=5, **settings).table)
    assert first.source.counts["seed"] == 5
    other = simulate("all", seed=6, **settings).table
    assert len(other) != len(first.table) or not np.allclose(other["x"], first.table["x"])
    drawn = simulate("BM", tracks=2, length=5)
    again = simulate("BM", tracks=2, length=5, seed=drawn.source.counts["seed"])
    pd.testing.assert_frame_equal(drawn.table, again.table)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_that_cannot_be_are_refused(seed: int) -> None:
    with pytest.raises(SptError, match=f"seed= is {seed}: expected"):
        check_seed(seed)


def test_tracks_are_calibrated_sorted_and_apart() -> None:
    recording = Recording(length="5-30", pixel_size_um=0.2, noise=1, **UNITS)
    made = simulate_recording("all", 50, recording, seed=1)
    tracks = made.tracks
    assert tracks.n_tracks == 50
    assert tracks.calibration.length_unit == "um"
    assert tracks.calibration.frame_interval_s == DT
    assert tracks.calibration.pixel_size_um == 0.2
    table = tracks.table
    assert [str(t) for t in table.dtypes.iloc[:4]] == ["int64", "int64", "float64", "float64"]
    pd.testing.assert_frame_equal(
        table, table.sort_values(["particle", "frame"], ignore_index=True)
    )
    pixels = table[["x", "y"]] / 0.2
    assert (pixels >= 10).all(axis=None)
    assert (pixels <= [made.field.width_px - 10, made.field.height_px - 10]).all(axis=None)
    boxes = pixels.groupby(table["particle"]).agg(["min", "max"]).to_numpy()
    for i in range(len(boxes)):
        others = np.delete(boxes, i, axis=0)
        x0, x1, y0, y1 = boxes[i]
        apart = np.maximum.reduce(
            [others[:, 0] - x1, x0 - others[:, 1], others[:, 2] - y1, y0 - others[:, 3]]
        )
        assert apart.min() > 9.99


def test_a_class_may_get_no_track_and_one_track_is_enough() -> None:
    made = simulate_recording("all", 1, Recording(length=2), seed=0)
    assert made.counts == {"SubATTM": 1}
    assert len(made.tracks.table) == 2
