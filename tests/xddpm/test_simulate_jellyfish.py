import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.xddpm.simulate import simulate
from spt_explain.xddpm.simulate.jellyfish import Strokes, Wings, _draw
from spt_explain.xddpm.simulate.pressure import force
from spt_explain.xddpm.simulate.settings import Jellyfish

FAST = {"grid": 48, "steps": 60, "viscosity": 1e-3}


def _strokes():
    return Strokes(np.deg2rad([30.0, 25.0]), np.deg2rad([20.0, 15.0]), np.array([0.3, 0.7]))


def _wings(heading=0.0):
    return Wings(
        _strokes(), np.array([[0.4, 0.5], [0.35, 0.45]]), np.array([heading, heading + 0.3]),
        np.array([0.3, 0.4]), 0.15,
    )  # fmt: skip


def test_wings_close_and_open_as_appendix_a9_says():
    strokes = _strokes()
    np.testing.assert_allclose(np.rad2deg(strokes.angle(0.0)), [50, 40])
    assert np.rad2deg(strokes.angle(0.3))[0] == pytest.approx(10)
    assert np.rad2deg(strokes.angle(0.7))[1] == pytest.approx(10)
    np.testing.assert_allclose(np.rad2deg(strokes.angle(0.15))[0], 30)
    np.testing.assert_allclose(strokes.angle(2.37), strokes.angle(0.37))
    for time in (0.1, 0.29, 0.31, 0.69, 0.71, 0.95):
        slope = (strokes.angle(time + 1e-6) - strokes.angle(time - 1e-6)) / 2e-6
        np.testing.assert_allclose(strokes.rate(time), slope, atol=1e-4)


def test_strokes_are_drawn_from_the_ranges_of_appendix_a9():
    wings, stream = _draw(Jellyfish(), 4000, np.random.default_rng(1))
    mean, amplitude = np.rad2deg(wings.strokes.mean), np.rad2deg(wings.strokes.amplitude)
    assert (20 <= mean).all()  # noqa: SIM300
    assert (mean <= 40).all()
    assert amplitude.min() == pytest.approx(10, abs=0.1)
    assert (amplitude <= np.minimum(mean, 60 - mean) + 1e-9).all()
    assert amplitude.max() > 28
    closing = wings.strokes.closing
    assert (closing.min(), closing.max()) == pytest.approx((0.2, 0.8), abs=0.01)
    np.testing.assert_allclose(wings.head, [[0.2, 0.5]] * 4000)
    assert not stream.any()


def test_wings_are_ellipses_from_head_to_tip():
    chi, _ = _wings().body(0.0, 256, 2.0)
    # the two wings overlap near the head only
    area = np.pi / 4 * 0.15 * np.array([0.3, 0.4]) ** 2
    np.testing.assert_allclose(chi.sum(axis=(1, 2)) / 256**2, 2 * area, rtol=0.06)
    y, x = np.nonzero(chi[0] > 0.5)
    assert (x.min() + 0.5) / 256 == pytest.approx(0.4, abs=0.02)
    assert (x.max() + 0.5) / 256 == pytest.approx(0.4 + 0.3 * np.cos(np.deg2rad(50)), abs=0.02)
    assert (y.max() + 0.5) / 256 == pytest.approx(0.5 + 0.3 * np.sin(np.deg2rad(50)), abs=0.02)
    wide, _ = _wings().body(0.0, 320, 2.0, offset=0.125, side=1.25)
    np.testing.assert_allclose(wide[:, 32:-32, 32:-32], chi, atol=1e-6)


@pytest.mark.parametrize("heading", [0.0, 2.0])
def test_wings_are_carried_by_their_own_velocity(heading):
    wings, size, time, step = _wings(heading), 256, 0.2, 1e-3
    after, _ = wings.body(time + step, size, 8.0)
    before, _ = wings.body(time - step, size, 8.0)
    chi, velocity = wings.body(time, size, 8.0)
    change = (after - before) / (2 * step)
    dy, dx = np.gradient(chi, 1 / size, axis=(1, 2))
    carried = -(velocity[:, 0] * dx + velocity[:, 1] * dy)
    # where both wings meet, χ is the larger of two and has a kink
    assert np.corrcoef(change.ravel(), carried.ravel())[0, 1] > 0.98
    assert np.abs(change).sum() == pytest.approx(np.abs(carried).sum(), rel=0.1)


@pytest.fixture(scope="module")
def made():
    return simulate("jellyfish", 3, frames=12, size=48, seed=4, settings=FAST)


def test_forces_of_the_frame_and_of_the_momentum_agree(made):
    by_frame, whole = made.signals["force-x"], made.signals["momentum-x"]
    assert np.corrcoef(by_frame.ravel(), whole.ravel())[0, 1] > 0.97
    assert 0.8 < np.polyfit(by_frame.ravel(), whole.ravel(), 1)[0] < 1.6


def test_closing_wings_push_the_jellyfish_towards_its_head(made):
    settings = Jellyfish(**made.settings["settings"])
    words = np.random.SeedSequence([list(_kinds()).index("jellyfish"), 4])
    wings, _ = _draw(settings, 3, np.random.default_rng(words))
    times = 1 + 0.05 * np.arange(12)
    rates = np.stack([wings.strokes.rate(time) for time in times], axis=1)
    pull = made.signals["momentum-x"]
    for i in range(3):
        closes = rates[i] < -0.5
        assert pull[i, closes].mean() < min(pull[i, ~closes].mean(), 0)


def _kinds():
    from spt_explain.xddpm.simulate import KINDS

    return KINDS


def test_the_signal_is_the_sum_over_the_edge_of_the_frame(made):
    settings = Jellyfish(**made.settings["settings"])
    words = np.random.SeedSequence([list(_kinds()).index("jellyfish"), 4])
    wings, _ = _draw(settings, 3, np.random.default_rng(words))
    edge = made.truth["force-x"]
    for frame in (0, 5, 11):
        body, _ = wings.body(1 + 0.05 * frame, 48, settings.edge_px)
        only = np.where(edge[:, frame], made.clips[:, frame], 7)  # whatever lies elsewhere
        pull, slope = force(only, body)
        np.testing.assert_allclose(pull[0], made.signals["force-x"][:, frame], rtol=1e-4)
        np.testing.assert_array_equal(slope > 0, edge[:, frame])
    assert 0.01 < edge.mean() < 0.15
    assert made.truth["momentum-x"] is edge


def test_the_flow_is_even_about_the_axis_and_turns_with_the_jellyfish(made):
    mirrored = made.clips[:, :, ::-1]
    assert np.abs(made.clips - mirrored).max() < 0.02 * np.abs(made.clips).max()
    turned = simulate("jellyfish", 3, frames=4, size=48, seed=4,
                      settings=FAST | {"heading_deg": (180, 180)})  # fmt: skip
    np.testing.assert_allclose(
        turned.clips[..., ::-1, ::-1], made.clips[:, :4], atol=0.02 * made.clips.max()
    )
    scale = np.abs(made.signals["force-x"]).max()
    np.testing.assert_allclose(
        -turned.signals["force-x"], made.signals["force-x"][:, :4], atol=0.02 * scale
    )
    assert np.abs(turned.signals["force-y"]).max() < 0.02 * scale
    assert list(turned.signals) == ["force-x", "momentum-x", "force-y", "momentum-y"]


def test_wings_can_be_hidden(made):
    hidden = simulate("jellyfish", 3, frames=4, size=48, seed=4,
                      settings=FAST | {"wings": "hidden"})  # fmt: skip
    edge = made.truth["force-x"][:, :4]
    away = ~edge & (made.clips[:, :4] != 0)
    np.testing.assert_array_equal(hidden.clips[away], made.clips[:, :4][away])
    np.testing.assert_array_equal(hidden.signals["momentum-x"], made.signals["momentum-x"][:, :4])
    r = np.corrcoef(hidden.signals["force-x"].ravel(), made.signals["force-x"][:, :4].ravel())
    assert r[0, 1] > 0.95


def test_a_stream_drags_wings_that_hardly_move():
    still = FAST | {"amplitude_deg": 1, "settle": 2.0}
    rest, dragged = (
        simulate("jellyfish", 2, frames=2, size=48, seed=1, settings=still | {"stream": stream})
        for stream in (0.0, 0.5)
    )
    assert dragged.signals["momentum-x"].mean() > 5 * np.abs(rest.signals["momentum-x"]).max()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"head_x": 0.9}, "a wing leaves the frame"),
        ({"mean_deg": 70}, "below the widest angle"),
        ({"grid": 64.5}, "a whole number from 32"),
        ({"grid": 1e9}, "a whole number from 32"),
        ({"wings": "both"}, "seen or hidden"),
        ({"wing": float("inf")}, "from 0.1 to 0.5"),
    ],
)
def test_what_can_not_be_simulated_is_said_in_one_line(settings, words):
    with pytest.raises(SptError) as caught:
        simulate("jellyfish", 1, frames=2, size=16, settings=settings)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
