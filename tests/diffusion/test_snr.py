import numpy as np
import pandas as pd
import pytest

from spt_explain.diffusion.snr import inverse_snr
from spt_explain.tracks import Calibration, QualityPolicy, Source, Tracks, apply_policy

STEP = 0.3


def recorded(noise, n=30, length=400, step=STEP, seed=0, unit=1.0):
    """Brownian tracks of a given step, each recorded with its own noise (1/SNR)."""
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.normal(0, step, (n, length, 2)), axis=1)
    sigma = np.broadcast_to(np.asarray(noise, float), n)[:, None] * step
    error = sigma * rng.uniform(0.5, 1.5, (n, length))
    path = (path + error[..., None] * rng.normal(size=path.shape)) * unit
    return pd.DataFrame(
        {
            "particle": np.repeat(np.arange(5, 5 + n), length),
            "frame": np.tile(np.arange(length), n),
            "x": path[..., 0].ravel(),
            "y": path[..., 1].ravel(),
            "sigma_static": error.ravel() * unit,
        }
    )


def found(table, every=1, **policy):
    tracks = Tracks(table.reset_index(drop=True), Calibration(), Source("a.csv", "made"))
    segments = apply_policy(tracks, QualityPolicy(**policy))
    return inverse_snr(segments, tracks, every=every)["inv_snr"]


@pytest.mark.parametrize("noise", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("unit", [1.0, 0.107])
def test_it_is_the_noise_that_tracks_were_recorded_with(noise, unit):
    values = found(recorded(noise, unit=unit))
    # root mean square of errors even over 0.5 … 1.5
    expected = noise * np.sqrt(1 + 1 / 12)
    assert np.median(values) == pytest.approx(expected, rel=0.05)
    assert values.std() < 0.15 * expected


def test_every_track_has_its_own():
    noise = np.linspace(0.1, 0.9, 30)
    values = found(recorded(noise))
    np.testing.assert_allclose(values, noise * np.sqrt(1 + 1 / 12), rtol=0.25)


def test_over_more_frames_noise_counts_less():
    table = recorded(0.6)
    ratio = found(table, every=3) / found(table)
    assert np.median(ratio) == pytest.approx(1 / np.sqrt(3), rel=0.05)


def test_tracks_without_errors_have_no_such_column():
    table = recorded(0.3).drop(columns="sigma_static")
    tracks = Tracks(table, Calibration(), Source("a.csv", "made"))
    assert inverse_snr(apply_policy(tracks), tracks) == {}


def test_particles_that_only_jitter_have_none():
    rng = np.random.default_rng(0)
    table = recorded(0.3, n=40, length=300)
    still = table["particle"] < 25
    jitter = table.loc[still, "sigma_static"].to_numpy()[:, None] * rng.normal(size=(6000, 2))
    table.loc[still, ["x", "y"]] = 0.8 * jitter  # less than the errors alone would give
    values = found(table, flag_immobile=False)
    assert np.isnan(values[:20]).all()
    assert np.isfinite(values[20:]).all()


@pytest.mark.parametrize("gaps", ["fill", "keep", "split"])
def test_filled_frames_and_steps_across_gaps_do_not_count(gaps):
    table = recorded(0.4, n=1, length=301)
    kept = table[~table["frame"].isin([100, 101, 200])]
    values = found(kept, gaps=gaps, max_gap=2)
    blocks = [kept] if gaps != "split" else [kept[:100], kept[100:198], kept[198:]]
    for value, block in zip(values, blocks, strict=True):
        steps = block[["x", "y"]].diff()[block["frame"].diff() == 1]
        variance = (block["sigma_static"] ** 2).mean()
        moved = (steps**2).to_numpy().mean() - 2 * variance
        assert value == pytest.approx(np.sqrt(variance / moved), rel=1e-9)


def test_errors_that_are_not_known_are_left_out():
    table = recorded(0.4, n=3)
    table.loc[(table["particle"] == 5) & (table["frame"] % 3 == 0), "sigma_static"] = np.nan
    table.loc[table["particle"] == 6, "sigma_static"] = np.nan
    values = found(table)
    assert values[0] == pytest.approx(0.4 * np.sqrt(1 + 1 / 12), rel=0.2)
    assert np.isnan(values[1])
    assert np.isfinite(values[2])


def test_tracks_left_out_in_between_and_repeated_rows_do_not_shift_it():
    table = recorded(np.linspace(0.2, 0.8, 6), n=6)
    whole = found(table)
    short = table[(table["particle"] != 7) | (table["frame"] < 4)]
    again = pd.concat([short, short[short["particle"] == 9][:3]])
    again = again.sort_values(["particle", "frame"], kind="stable")
    np.testing.assert_allclose(found(again), np.delete(whole, 2))
