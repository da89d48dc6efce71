import numpy as np
import pytest

from spt_explain.movies.render import Optics, expected_photons
from spt_explain.xddpm.simulate import simulate, spots

QUIET = {"noise": 0.0, "flicker": 0.0}


def test_a_spot_looks_as_the_renderer_of_movies_draws_it(monkeypatch):
    kept = []
    paths = spots._paths
    monkeypatch.setattr(spots, "_paths", lambda *a: kept.append(paths(*a)) or kept[-1])
    made = simulate(
        "spots", 3, frames=4, size=24, seed=1,
        settings=QUIET | {"mobile": 2, "immobile": 1, "brightness": 1.0, "sigma_px": 1.2},
    )  # fmt: skip
    light = made.signals["intensity"][0, 0] / 2  # of each of two mobile spots
    optics = Optics(spot_sigma_px=1.2, photons=float(light), background=0.0)
    for clip, places in zip(made.clips, kept[0], strict=True):
        for t in range(4):
            expected = expected_photons(places[:, t, ::-1], 24, 24, optics)
            np.testing.assert_allclose(clip[t], expected, atol=1e-4)


def test_intensity_is_the_light_of_the_mobile_spots_alone():
    made = simulate("spots", 40, size=48, seed=3, settings={"noise": 0.0, "immobile": 0})
    # nothing else shines; little light is lost beyond the frame
    total = made.clips.sum(axis=(2, 3))
    lost = 1 - total / made.signals["intensity"]
    assert lost.min() > -1e-4
    assert np.median(lost) < 0.05
    more = simulate("spots", 40, size=48, seed=3, settings={"noise": 0.0, "immobile": 5})
    excess = more.clips.sum(axis=(2, 3)) - more.signals["intensity"]
    assert excess.min() > 5  # five more spots, each of 0.5 or more at its middle


def test_msd_d_is_the_diffusion_coefficient_and_holds_still_spots_out():
    made = simulate(
        "spots", 60, frames=40, size=96, seed=5,
        settings={"mobile": 20, "immobile": 20, "diffusion": 0.5, "noise": 0.0},
    )  # fmt: skip
    d = made.signals["msd-d"]
    assert d.mean() == pytest.approx(0.5, rel=0.03)
    # 20 spots x 39 steps x 2 axes: relative standard error sqrt(2 / 1560)
    assert d.std() / d.mean() == pytest.approx(np.sqrt(2 / 1560), rel=0.3)


def test_still_spots_carry_nothing():
    made = simulate(
        "spots", 30, seed=6, settings=QUIET | {"mobile": 1, "immobile": 6, "diffusion": 0.3}
    )
    truth = made.truth["count"]
    # one disc of two radii: π 2² pixels, or fewer at the frame's edge
    sizes = truth.sum(axis=(2, 3))
    assert sizes.max() <= 16
    assert sizes.mean() == pytest.approx(np.pi * 4, rel=0.1)
    changes = made.clips.std(axis=1)  # only what moves changes, and all of it lies in the truth
    assert (changes[~truth.any(axis=1)] < 0.15).all()
    assert (made.signals["count"] == 1).all()


def test_spots_stay_in_the_frame():
    made = simulate(
        "spots", 10, frames=200, size=16, seed=7,
        settings=QUIET | {"mobile": 1, "immobile": 0, "diffusion": 20.0},
    )  # fmt: skip
    assert made.truth["count"].any(axis=(2, 3)).all()
    assert made.clips.max(axis=(2, 3)).min() > 0.3


def test_numbers_of_mobile_and_immobile_spots_are_unrelated():
    made = simulate("spots", 300, frames=2, seed=8, settings=QUIET | {"brightness": 1.0})
    per_spot = made.signals["intensity"][:, 0] / made.signals["count"]
    everything = made.clips[:, 0].sum(axis=(1, 2)) / per_spot
    still = everything - made.signals["count"]
    assert abs(np.corrcoef(still, made.signals["count"])[0, 1]) < 0.15
    assert set(made.signals["count"].tolist()) == set(range(1, 9))
