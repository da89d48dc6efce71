import numpy as np
import pytest

from spt_explain.diffusion.classes import CLASS_NAMES, CLASSES
from spt_explain.errors import SptError
from spt_explain.training.labelled import join
from spt_explain.training.simulated import Protocol, simulate_test


def simulated(noise=0.0, classes=CLASS_NAMES, **settings):
    return join(list(simulate_test(Protocol(**settings), noise, classes=classes)))


@pytest.fixture(scope="module")
def tracks():
    return simulated(tracks=801, length=(10, 120))


def steps_of(tracks):
    return [
        np.diff(tracks.positions[a:b], axis=0)
        for a, b in zip(tracks.offsets[:-1], tracks.offsets[1:], strict=True)
    ]


def test_every_class_has_the_same_number(tracks):
    assert np.bincount(tracks.label).tolist() == [101] * 8
    assert len(tracks.positions) == tracks.offsets[-1]


def test_lengths_and_exponents_are_the_papers(tracks):
    assert tracks.length.min() == 10
    assert tracks.length.max() == 120
    assert tracks.length.mean() == pytest.approx(65, abs=3.5 * 32 / np.sqrt(808))
    for label, kind in enumerate(CLASSES):
        alpha = tracks.alpha[tracks.label == label]
        assert alpha.min() >= kind.alpha_low - 1e-6
        assert alpha.max() <= kind.alpha_high + 1e-6
        middle = (kind.alpha_low + kind.alpha_high) / 2
        assert alpha.mean() == pytest.approx(middle, abs=3.5 * 0.23 / np.sqrt(101))


def test_displacements_have_unit_spread_and_every_track_moves(tracks):
    for steps in steps_of(tracks):
        spread = steps.std(axis=0)
        straight = spread < 0.99
        # a flight without a turn has a mean square of 1 instead
        square = np.sqrt((steps**2).mean(axis=0))
        assert np.where(straight, square, spread) == pytest.approx([1, 1], abs=1e-3)


def test_noise_is_added_to_every_position():
    clean, noisy = (simulated(noise, tracks=80, length=(1000, 1000)) for noise in (0.0, 2.0))
    brownian = [
        np.concatenate(steps_of(t.take(np.flatnonzero(t.label == 7)))) for t in (clean, noisy)
    ]
    assert brownian[0].var() == pytest.approx(1, rel=0.05)
    assert brownian[1].var() == pytest.approx(1 + 2 * 2.0**2, rel=0.05)
    assert set(noisy.noise) == {2.0}


def test_a_seed_and_a_level_decide_everything():
    first, again = (simulated(0.5, tracks=16, length=(10, 40)) for _ in range(2))
    np.testing.assert_array_equal(first.positions, again.positions)
    for other in (
        simulated(0.5, tracks=16, length=(10, 40), seed=2),
        simulated(0.6, tracks=16, length=(10, 40)),
    ):
        assert other.alpha.tolist() != first.alpha.tolist()


def test_even_lengths():
    tracks = simulated(tracks=8 * 20, length=(15, 150), even_lengths=True)
    edges = [15, 20, 50, 100, 151]  # the bands, as far as they are within the range
    counts, _ = np.histogram(tracks.length, edges)
    assert counts.tolist() == [40] * 4


def test_some_classes_only_in_another_order():
    tracks = simulated(tracks=10, length=(200, 200), classes=("BM", "SubCTRW"))
    at_rest = [(np.abs(steps).max(axis=1) == 0).mean() for steps in steps_of(tracks)]
    assert max(at_rest[:5]) == 0
    assert min(at_rest[5:]) > 0.1
    with pytest.raises(SptError, match="Confined"):
        simulated(classes=("BM", "Confined"))


def test_missed_frames_are_filled_by_lines():
    tracks = simulated(tracks=8, length=(300, 300), missing=0.5, classes=("BM",))
    second = np.concatenate([np.diff(steps, axis=0) for steps in steps_of(tracks)])
    straight = (np.abs(second).max(axis=1) < 1e-4).mean()
    assert straight == pytest.approx(0.5, abs=0.05)  # the middle frame is missed


def test_blur_makes_displacements_alike():
    tracks = simulated(tracks=20, length=(500, 500), exposure=1.0, classes=("BM",))
    steps = steps_of(tracks)
    correlation = np.mean([(s[1:] * s[:-1]).mean() / (s**2).mean() for s in steps])
    assert correlation == pytest.approx(0.25, abs=0.02)  # 1/6 over 2/3, Savin & Doyle 2005


def test_chunks_are_whole_tracks(monkeypatch):
    from spt_explain.training import simulated as module

    monkeypatch.setattr(module, "_POINTS_AT_ONCE", 500)
    parts = list(simulate_test(Protocol(tracks=80, length=(10, 100))))
    assert len(parts) > 3
    whole = join(parts)
    assert np.bincount(whole.label).tolist() == [10] * 8
    assert whole.length.max() <= 100


@pytest.mark.parametrize(
    "settings",
    [
        {"tracks": 0},
        {"length": (1, 10)},
        {"length": (20, 10)},
        {"length": (10, 10**9)},
        {"exposure": 1.5},
        {"exposure": float("nan")},
        {"missing": 1.0},
        {"missing": -0.1},
        {"seed": -1},
    ],
)
def test_settings_out_of_range(settings):
    with pytest.raises(SptError, match=rf"^{next(iter(settings))}=.+: expected"):
        Protocol(**settings)


def test_only_the_papers_own_protocol_is_compared_with_it():
    assert Protocol().published
    assert Protocol(tracks=8, seed=5).published
    for changed in ({"length": (10, 100)}, {"exposure": 0.5}, {"even_lengths": True}):
        assert not Protocol(**changed).published
