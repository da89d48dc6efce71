import numpy as np
import pandas as pd
import pytest

from spt_explain.movies.drift import measure_drift, subtract_drift

N_FRAMES = 200


def walkers(n=40, step=0.5, n_frames=N_FRAMES, seed=0):
    """Free particles; columns particle, frame, x, y in px."""
    rng = np.random.default_rng(seed)
    path = rng.uniform(0, 200, (n, 1, 2)) + np.cumsum(rng.normal(0, step, (n, n_frames, 2)), axis=1)
    return pd.DataFrame(
        {
            "particle": np.repeat(np.arange(n), n_frames),
            "frame": np.tile(np.arange(n_frames), n),
            "x": path[..., 0].ravel(),
            "y": path[..., 1].ravel(),
        }
    )


def stage(n_frames=N_FRAMES):
    """A stage that moves to the right, and to and fro."""
    t = np.arange(n_frames)
    return np.stack([0.1 * t, 4 * np.sin(2 * np.pi * t / 150)], axis=1)


def moved(table, path):
    result = table.copy()
    result[["x", "y"]] += path[table["frame"]]
    return result


def step_variance(table):
    ordered = table.sort_values(["particle", "frame"])
    return ordered.groupby("particle")[["x", "y"]].diff().var().to_numpy()


def test_a_known_drift_is_found_and_its_subtraction_leaves_the_diffusion():
    still = walkers()
    drift, note = measure_drift(moved(still, stage()), N_FRAMES)
    assert drift["frame"].tolist() == list(range(N_FRAMES))
    error = drift[["x", "y"]].to_numpy() - stage()
    # n particles leave a random walk of step 0.5/√n: at most 0.5 √(200/40) = 1.1 px at the end
    assert np.sqrt(np.mean(error**2)) < 1.1
    assert "40 particles a frame" in note
    assert "averaged over" in note
    corrected = subtract_drift(moved(still, stage()), drift)
    np.testing.assert_allclose(step_variance(corrected), step_variance(still), rtol=0.01)
    long = corrected.groupby("particle")[["x", "y"]].agg(lambda v: v.iloc[-1] - v.iloc[0])
    # the whole stage path would add 20² to the x displacement of 0.5² × 199 ≈ 50
    assert (long**2).to_numpy().mean() == pytest.approx(50, rel=0.4)


def test_without_averaging_it_is_the_mean_step_of_particles():
    table = moved(walkers(n=12), stage())
    drift, note = measure_drift(table, N_FRAMES, smoothing=1)
    steps = table.groupby("particle")[["x", "y"]].diff()
    expected = steps.groupby(table["frame"]).mean().fillna(0).cumsum()
    np.testing.assert_allclose(drift[["x", "y"]], expected, atol=1e-9)
    assert "averaged" not in note


def test_averaging_removes_less_of_the_particles_own_motion():
    still = walkers(n=8)
    jumps = {}
    for span in (1, 21):
        drift, _ = measure_drift(moved(still, stage()), N_FRAMES, smoothing=span)
        jumps[span] = step_variance(subtract_drift(moved(still, stage()), drift)).mean()
    # one frame's mean step holds 1/8 of each particle's own
    assert jumps[1] == pytest.approx(0.25 * (1 - 1 / 8), rel=0.05)
    assert jumps[21] == pytest.approx(0.25, rel=0.05)


def test_the_average_is_centred():
    t = np.arange(N_FRAMES)
    quadratic = np.stack([0.002 * t**2, 0 * t], axis=1)
    drift, _ = measure_drift(moved(walkers(step=0.0), quadratic), N_FRAMES, smoothing=21)
    # a centred mean keeps a velocity that rises evenly; one over the frames before would lag
    inner = np.diff(drift["x"])[15:-15]
    np.testing.assert_allclose(inner, np.diff(quadratic[:, 0])[15:-15], atol=1e-9)


def test_frames_without_links_take_the_velocity_of_their_neighbours():
    table = moved(walkers(step=0.0), np.stack([0.1 * np.arange(N_FRAMES)] * 2, axis=1))
    holes = table[~table["frame"].isin([0, 60, 61, 62, 199])]
    drift, note = measure_drift(holes, N_FRAMES, smoothing=1)
    np.testing.assert_allclose(drift["x"], 0.1 * np.arange(N_FRAMES), atol=1e-9)
    assert "velocity of their neighbours" in note
    np.testing.assert_allclose(
        subtract_drift(holes, drift).groupby("particle")["x"].std(), 0, atol=1e-6
    )


def test_particles_that_come_and_go_do_not_count_as_drift():
    table = moved(walkers(n=60, step=0.1), stage())
    rng = np.random.default_rng(1)
    some = table[rng.random(len(table)) < 0.7]
    drift, _ = measure_drift(some, N_FRAMES)
    error = drift[["x", "y"]].to_numpy() - stage()
    assert np.abs(error).max() < 0.5


def test_too_few_particles_are_said_and_nothing_is_subtracted():
    drift, note = measure_drift(moved(walkers(n=4), stage()), N_FRAMES)
    assert drift is None
    assert "4.0 particles a frame" in note
    drift, note = measure_drift(walkers(n=40, n_frames=2), 2)
    assert drift is None
    drift, _ = measure_drift(moved(walkers(n=4), stage()), N_FRAMES, min_particles=2)
    assert drift is not None


def test_particles_that_share_nothing_have_no_drift():
    found = [measure_drift(walkers(seed=seed), N_FRAMES)[0] for seed in range(10)]
    spurious = [
        float(drift[["x", "y"]].abs().to_numpy().max()) for drift in found if drift is not None
    ]
    assert len(spurious) <= 6  # a coin's luck at worst …
    assert max(spurious, default=0.0) < 4  # … and then no more than the walk of the mean


def test_rows_order_and_other_columns_stay():
    table = moved(walkers(n=10), stage()).sample(frac=1, random_state=0)
    table["mass"] = np.arange(len(table))
    drift, _ = measure_drift(table, N_FRAMES)
    corrected = subtract_drift(table, drift)
    pd.testing.assert_frame_equal(
        corrected[["particle", "frame", "mass"]], table[["particle", "frame", "mass"]]
    )
    back = corrected["x"].to_numpy() + drift["x"].to_numpy()[table["frame"]]
    np.testing.assert_allclose(back, table["x"])
    with pytest.raises(ValueError, match="does not cover"):
        subtract_drift(table, drift.iloc[:50])
