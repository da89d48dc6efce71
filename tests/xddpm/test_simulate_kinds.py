import numpy as np
import pytest
import torch
from scipy.ndimage import label

from spt_explain.errors import SptError
from spt_explain.xddpm.simulate import KINDS, simulate
from spt_explain.xddpm.simulate.measures import ring

QUICK = {"jellyfish": {"grid": 32, "steps": 40, "settle": 0.2}}
CELLS = ("tension", "wetting", "two-cells", "textured")


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_types_and_determinism(kind):
    made = simulate(kind, 5, frames=6, size=24, seed=11, settings=QUICK.get(kind))
    assert made.clips.shape == (5, 6, 24, 24)
    assert made.clips.dtype == np.float32
    assert np.isfinite(made.clips).all()
    assert made.signals.keys() == made.truth.keys()
    for name, signal in made.signals.items():
        assert signal.shape in ((5,), (5, 6))
        assert signal.dtype == np.float32
        assert made.truth[name].shape == made.clips.shape
        assert made.truth[name].dtype == np.bool_
        assert signal.std() > 0
    again = simulate(kind, 5, frames=6, size=24, seed=11, settings=QUICK.get(kind))
    other = simulate(kind, 5, frames=6, size=24, seed=12, settings=QUICK.get(kind))
    np.testing.assert_array_equal(made.clips, again.clips)
    for name, signal in made.signals.items():
        np.testing.assert_array_equal(signal, again.signals[name])
        np.testing.assert_array_equal(made.truth[name], again.truth[name])
    assert np.abs(made.clips - other.clips).max() > 0.3


def test_settings_say_how_to_make_the_same_again():
    made = simulate("two-cells", 3, frames=3, settings={"dim": [0.3, 0.4], "noise": 0.1})
    told = dict(made.settings)
    assert told["settings"]["dim"] == (0.3, 0.4)
    again = simulate(
        told["kind"], told["n"], frames=told["frames"], size=told["size"], seed=told["seed"],
        settings=told["settings"],
    )  # fmt: skip
    np.testing.assert_array_equal(made.clips, again.clips)


def test_the_number_of_threads_changes_nothing():
    before = torch.get_num_threads()
    try:
        clips = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            clips.append(simulate("tension", 6, frames=3, seed=3).clips)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*clips)


@pytest.mark.parametrize("kind", CELLS)
def test_signals_are_the_numbers_of_pixels_in_the_truth(kind):
    made = simulate(kind, 8, frames=5, seed=2)
    for name in ("area", "circumference"):
        np.testing.assert_array_equal(made.signals[name], made.truth[name].sum(axis=(2, 3)))
    np.testing.assert_array_equal(made.truth["circumference"], ring(made.truth["area"]))
    _, pieces = label(made.truth["area"][0, -1])
    assert pieces == 1


def test_tension_and_wetting_show_the_phase_itself():
    for kind in ("tension", "wetting"):
        made = simulate(kind, 6, frames=5, seed=2)
        np.testing.assert_array_equal(made.clips >= 0.5, made.truth["area"])
        volume = made.clips.sum(axis=(2, 3))
        np.testing.assert_allclose(volume, volume[:, :1].repeat(5, axis=1), rtol=1e-4)


def test_cells_round_up_under_tension():
    made = simulate("tension", 60, seed=4, settings={"rounding": 1.0, "circumference": "length"})
    volume = made.clips[:, 0].sum(axis=(1, 2))
    excess = made.signals["circumference"] / np.sqrt(4 * np.pi * volume)[:, None] - 1
    assert (np.diff(excess.mean(axis=0)) < 0).all()
    assert excess[:, 0].mean() > 2 * excess[:, -1].mean()
    assert excess.min() > -0.06  # a circle has the shortest outline (isoperimetric inequality)


@pytest.mark.parametrize(("kind", "most"), [("tension", 0.8), ("wetting", 0.7), ("textured", 0.8)])
def test_area_and_circumference_are_decorrelated(kind, most):
    made = simulate(kind, 300, seed=5)
    for frame in (0, 10, 19):
        area, around = (made.signals[name][:, frame] for name in ("area", "circumference"))
        assert np.corrcoef(area, around)[0, 1] < most
        assert area.std() / area.mean() > 0.1
        assert around.std() / around.mean() > 0.1


def test_a_cell_spreads_further_on_a_wall_that_it_likes():
    feet = []
    for angle in (60, 90, 130):
        settings = {"contact_angle_deg": angle, "rounding": 3.0}
        made = simulate("wetting", 20, seed=6, settings=settings)
        feet.append(made.truth["area"][:, -1, -1].sum(axis=1).mean())
    assert feet[0] > feet[1] + 2 > feet[2] + 4
    assert feet[2] > 2  # and none has left


def test_the_signals_of_two_cells_come_from_the_one_that_is_asked_for():
    for which, low, high in (("dim", 0.35, 0.56), ("bright", 0.7, 1.01)):
        settings = {"signal_from": which, "noise": 0.0}
        made = simulate("two-cells", 30, frames=4, seed=7, settings=settings)
        cell = made.truth["area"]
        for clip, mask in zip(made.clips, cell, strict=True):
            assert low < clip[mask].max() < high
        # both are there, apart, and of the same sizes
        pieces = [label(clip[-1] > 0.25)[1] for clip in made.clips]
        assert np.mean(np.array(pieces) == 2) > 0.9
        light = np.where(cell, made.clips, 0).sum(axis=(2, 3))
        np.testing.assert_allclose(made.signals["intensity"], light, rtol=0.02)


def test_the_two_cells_know_nothing_of_each_other():
    dim = simulate("two-cells", 200, frames=2, seed=8)
    bright = simulate("two-cells", 200, frames=2, seed=8, settings={"signal_from": "bright"})
    # the same seed draws the same cells; the signal's cell is the first
    np.testing.assert_array_equal(dim.signals["area"], bright.signals["area"])
    both = dim.clips[:, 0].sum(axis=(1, 2))
    other = both - dim.signals["intensity"][:, 0]
    assert abs(np.corrcoef(other, dim.signals["area"][:, 0])[0, 1]) < 0.35


def test_a_texture_hides_the_cell_from_a_threshold():
    made = simulate("textured", 30, frames=4, seed=9)
    cell = made.truth["area"]
    best = max(
        (cell & (made.clips > tau)).sum() / (cell | (made.clips > tau)).sum()
        for tau in np.linspace(0, 1, 21)
    )
    assert best < 0.45
    assert made.clips[cell].mean() == pytest.approx(0.75, abs=0.06)
    assert made.clips[~cell].mean() == pytest.approx(0.5, abs=0.08)


def test_only_some_frames_carry_the_signal():
    made = simulate("some-frames", 150, seed=10, settings={"noise": 0.0})
    np.testing.assert_array_equal(
        made.truth["area"].any(axis=(0, 2, 3)), [t in (10, 11, 12, 13) for t in range(20)]
    )
    used = made.truth["area"][:, 10:14]
    np.testing.assert_allclose(made.signals["area"], used.sum(axis=(1, 2, 3)) / 4, rtol=1e-6)
    light = np.where(made.truth["area"], made.clips, 0).sum(axis=(1, 2, 3)) / 4
    np.testing.assert_allclose(made.signals["intensity"], light, rtol=1e-4)
    # what other frames show tells little
    light = made.clips.sum(axis=(2, 3))
    r = [np.corrcoef(light[:, t], made.signals["intensity"])[0, 1] for t in range(20)]
    assert max(abs(r[t]) for t in range(20) if not 10 <= t < 14) < 0.3 < min(r[10:14])
    first = simulate("some-frames", 3, frames=6, seed=10, settings={"first": 0, "last": 0})
    assert first.truth["area"].any(axis=(0, 2, 3)).tolist() == [True] + [False] * 5


def test_clips_can_be_taken_out():
    made = simulate("spots", 6, frames=3, size=16, seed=1)
    part = made.take(np.array([4, 1]))
    assert len(part) == 2
    np.testing.assert_array_equal(part.clips[1], made.clips[1])
    assert part.signals["count"].tolist() == made.signals["count"][[4, 1]].tolist()
    assert part.truth["count"] is part.truth["msd-d"]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("jelly", {}, "no kind 'jelly'"),
        ("spots", {"n": 0}, "from 1"),
        ("spots", {"frames": 1}, "number of frames is 1"),
        ("spots", {"size": 8}, "from 16"),
        ("spots", {"n": 100_000, "size": 64}, "GB"),
        ("spots", {"seed": -1}, "seed"),
        ("spots", {"settings": {"mobil": 3}}, "no setting 'mobil': expected one of brightness"),
        ("spots", {"settings": {"mobile": 0}}, "whole numbers from 1"),
        ("spots", {"settings": {"mobile": (2.5, 3)}}, "whole numbers"),
        ("spots", {"settings": {"diffusion": (2, 1)}}, "least and the greatest"),
        ("spots", {"settings": {"diffusion": float("nan")}}, "least and the greatest"),
        ("tension", {"settings": {"interface_px": "wide"}}, "a number from 0.7"),
        ("tension", {"settings": {"radius": 0.9}}, "from 0.04 to 0.4"),
        ("tension", {"settings": {"circumference": "miles"}}, "pixels or length"),
        ("two-cells", {"settings": {"signal_from": "left"}}, "dim or bright"),
        ("some-frames", {"settings": {"first": 3, "last": 1}}, "frames 3 to 1"),
        ("some-frames", {"settings": {"last": 20}}, "between 0 and 19"),
        ("some-frames", {"settings": {"first": -1}}, "number of a frame"),
    ],
)
def test_what_can_not_be_used_is_said_in_one_line(kind, options, words):
    with pytest.raises(SptError) as caught:
        simulate(kind, **({"n": 2} | options))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"radius": 0.4}, {"aspect": 6.0, "roughness": 0.6}])
@pytest.mark.parametrize("kind", ["tension", "wetting", "two-cells", "some-frames"])
def test_extreme_settings_give_numbers(kind, settings):
    made = simulate(kind, 6, frames=4, size=16, seed=1, settings=settings | {"noise": 0.0})
    assert np.isfinite(made.clips).all()
    assert made.clips.min() > -0.1
    assert made.clips.max() < 1.3


def test_large_cells_may_grow_and_shrink_fast():
    settings = {"swing": 0.6, "radius": 0.3, "noise": 0.0, "brightness": 1.0}
    made = simulate("some-frames", 12, frames=6, size=96, seed=1, settings=settings)
    assert made.clips.min() > -0.01
    assert made.clips.max() < 1.01
    volume = made.clips.sum(axis=(2, 3))
    assert (volume / volume.mean()).min() < 0.6
    assert (volume / volume.mean()).max() > 1.4
