from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.diffusion.simulate import simulate_steps
from spt_explain.diffusion.statistics import STATISTICS, window_statistics


def kappa4(values):
    """Fourth cumulant of the sample, from scipy's central moments."""
    return stats.moment(values, 4) - 3 * stats.moment(values, 2) ** 2


def by_the_equations(path, n=4, epsilon=1e-6, unit=None):
    """Eqs. 3–8 for one window, without min-max; `unit` is the track's root mean square step."""
    steps = np.diff(path, axis=0)
    unit = np.sqrt((steps**2).mean()) if unit is None else unit
    ac = np.mean([((d[:-1] * d[1:]).mean() - d.mean() ** 2) / stats.moment(d, 2) for d in steps.T])
    length = np.linalg.norm(steps, axis=1)
    cosine = (steps[:-1] * steps[1:]).sum(axis=1) / (length[:-1] * length[1:])
    turn = np.sqrt(stats.moment(np.arccos(np.clip(cosine, -1, 1)) / np.pi, 2))
    cuts = [len(steps) * i // n for i in range(n + 1)]
    parts = [[d[a:b] for a, b in pairwise(cuts)] for d in steps.T]
    ng = abs(np.mean([kappa4(p) / stats.moment(p, 2) ** 2 for axis in parts for p in axis]))
    scaled = steps / unit + epsilon
    ratio = max(np.sqrt(stats.moment(d[1:] / d[:-1], 2)) for d in scaled.T)
    vd = np.mean(
        [(axis[-1].std() - axis[0].std()) / d.std() for axis, d in zip(parts, steps.T, strict=True)]
    )
    return {"AC": ac, "turn": turn, "NG": ng, "SG": ratio * ng, "VD": vd / n * ng}


def one_window(path, **options):
    found = window_statistics(path, np.array([0]), np.array([len(path)]), np.array([0]), **options)
    return {name: values[0] for name, values in found.items()}


@pytest.mark.parametrize("seed", range(3))
def test_the_equations_by_scipys_moments_in_ragged_overlapping_windows(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(80, 200, size=4)
    offsets = np.concatenate([[0], lengths.cumsum()])
    steps = rng.standard_t(4, size=(offsets[-1], 2)) * [1.0, 2.5] + [0.2, 0.0]
    positions = steps.cumsum(axis=0) * 1e-3 + 40.0
    starts, stops, track = [], [], []
    for i, length in enumerate(lengths):
        for begin in range(0, length - 40, 13):
            starts.append(offsets[i] + begin)
            stops.append(offsets[i] + min(begin + int(rng.integers(35, 60)), length))
            track.append(i)
    # the track's unit is that of what its windows reach
    reach = [
        (min(s for s, t in zip(starts, track, strict=True) if t == i),
         max(s for s, t in zip(stops, track, strict=True) if t == i))
        for i in range(len(lengths))
    ]  # fmt: skip
    arrays = (np.array(starts), np.array(stops), np.array(track))
    found = window_statistics(positions, *arrays, min_max=())
    for i, (a, b, t) in enumerate(zip(starts, stops, track, strict=True)):
        unit = np.sqrt((np.diff(positions[slice(*reach[t])], axis=0) ** 2).mean())
        expected = by_the_equations(positions[a:b], unit=unit)
        expected["CS"] = expected["AC"] * expected.pop("turn")
        for name in STATISTICS:
            assert found[name][i] == pytest.approx(expected[name], rel=1e-7, abs=1e-9), name


def test_unbiased_cumulants_agree_in_large_samples():
    """scipy's k-statistics estimate the cumulants without bias; the sample's own approach them."""
    rng = np.random.default_rng(0)
    path = rng.laplace(size=(200_001, 2)).cumsum(axis=0)
    d = np.diff(path, axis=0)
    expected = np.mean([stats.kstat(a, 4) / stats.kstat(a, 2) ** 2 for a in d.T])
    assert one_window(path, subintervals=1)["NG"] == pytest.approx(expected, rel=1e-3)
    assert expected == pytest.approx(3, abs=0.2)  # of the Laplace distribution


def test_horizontal_line_is_min_max_over_the_windows_of_a_track():
    rng = np.random.default_rng(1)
    positions = rng.normal(size=(400, 2)).cumsum(axis=0)
    starts = np.array([0, 50, 100, 150, 200, 250, 300])
    track = np.array([0, 0, 0, 1, 1, 1, 1])
    spans = (starts, starts + 50, track)
    plain = window_statistics(positions, *spans, min_max=())
    lined = window_statistics(positions, *spans)
    for name in ("AC", "NG", "SG", "VD"):
        np.testing.assert_array_equal(plain[name], lined[name])
    for t in (0, 1):
        turn = (plain["CS"] / plain["AC"])[track == t]
        expected = (turn - turn.min()) / (turn.max() - turn.min())
        np.testing.assert_allclose((lined["CS"] / lined["AC"])[track == t], expected, atol=1e-9)


def test_signs_that_the_paper_gives():
    """Negative AC of SubFBM, positive of SupFBM and SupLW; VD down for SubSBM, up for SupSBM."""
    generator = torch.Generator().manual_seed(3)
    mean = {}
    for name in ("SubFBM", "SupFBM", "SupLW", "SubSBM", "SupSBM", "BM", "SubCTRW"):
        alpha = {"Sub": 0.4, "Sup": 1.5}.get(name[:3], 1.0)
        steps, _ = simulate_steps(
            CLASS_NAMES.index(name), 60, 225, generator=generator, alpha=torch.full((60,), alpha)
        )
        path = steps.double().numpy().cumsum(axis=1)
        n, t, _ = path.shape
        starts = np.arange(n) * t
        found = window_statistics(path.reshape(-1, 2), starts, starts + t, np.arange(n))
        mean[name] = {
            k: np.nanmean(v) if np.isfinite(v).any() else np.nan for k, v in found.items()
        }
    assert mean["SubFBM"]["AC"] == pytest.approx(2**0.4 / 2 - 1, abs=0.03)  # (2^α − 2)/2
    assert mean["SupFBM"]["AC"] == pytest.approx(2**1.5 / 2 - 1, abs=0.1)
    assert mean["SupLW"]["AC"] > 0.5
    assert abs(mean["BM"]["AC"]) < 0.03
    assert mean["SubSBM"]["VD"] < -0.01 < 0.001 < mean["SupSBM"]["VD"]
    assert mean["SubCTRW"]["NG"] > 10 * mean["BM"]["NG"]


def test_windows_without_motion_have_no_statistics():
    still = np.full((50, 2), 3.7)
    straight = np.arange(50)[:, None] * [0.1, 0.3] + 1e3  # rounded positions
    jump = np.where(np.arange(50)[:, None] < 44, [1.0, 2.0], [1.5, 2.0])
    for path in (still, straight):
        assert all(np.isnan(v) for v in one_window(path, min_max=()).values())
    found = one_window(jump, min_max=())  # one step along x, in the last subinterval
    assert found["AC"] == pytest.approx(-(1 / 49**2) / (1 / 49 - 1 / 49**2))
    assert np.isnan(found["CS"])  # no turn
    p = 1 / 13  # of steps in the last quarter; cumulants of Bernoulli's distribution
    assert found["NG"] == pytest.approx((1 - 6 * p * (1 - p)) / (p * (1 - p)))
    assert found["VD"] > 0


@pytest.mark.parametrize("n_points", [1, 2, 3, 10])
def test_windows_of_few_points(n_points):
    path = np.random.default_rng(0).normal(size=(n_points, 2))
    found = one_window(path, min_max=())
    assert np.isnan([found[name] for name in ("NG", "SG", "VD")]).all()
    assert np.isfinite(found["AC"]) == (n_points > 3)


def test_a_single_window_has_no_range():
    path = np.random.default_rng(0).normal(size=(60, 2)).cumsum(axis=0)
    assert np.isnan(one_window(path)["CS"])
    assert np.isfinite(one_window(path, min_max=())["CS"])


def test_variant_code_against_its_definitions():
    rng = np.random.default_rng(4)
    path = rng.normal(size=(300, 2)).cumsum(axis=0) * [3.0, 0.5] + 20
    starts = np.arange(0, 101, 20)
    found = window_statistics(path, starts, starts + 200, np.zeros(6, int), variant="code")
    unit = (path - path.min(axis=0)) / np.ptp(path, axis=0)
    parts = {name: [] for name in ("AC", "turn", "NG", "ratio", "VD")}
    for a in starts:
        d = np.diff(unit[a : a + 200], axis=0)
        parts["AC"].append(
            np.mean([stats.pearsonr(c[:-1], c[1:]).statistic for c in d.T])  # its own means
        )
        size = np.linalg.norm(d, axis=1)
        turn = np.arccos((d[1:] * d[:-1]).sum(axis=1) / (size[1:] * size[:-1])) / np.pi
        parts["turn"].append(turn.std())
        quarters = np.split(d[:196], 4) if len(d) == 196 else [
            d[199 * i // 4 : 199 * (i + 1) // 4] for i in range(4)
        ]  # fmt: skip
        parts["NG"].append(abs(np.mean([stats.kurtosis(q, axis=0) for q in quarters])))
        ratio = (np.abs(d[1:]) + 1e-6) / np.abs(d[:-1] + 1e-6)
        parts["ratio"].append(ratio.std(axis=0).max())
        rise = (quarters[3].std(axis=0) - quarters[0].std(axis=0)).mean() / 4
        parts["VD"].append(rise / d.std(axis=0).mean())
    for name in ("turn", "NG", "ratio"):
        v = np.array(parts[name])
        parts[name] = (v - v.min()) / np.ptp(v)
    np.testing.assert_allclose(found["AC"], parts["AC"], atol=1e-3)
    np.testing.assert_allclose(found["NG"], parts["NG"], atol=1e-9)
    np.testing.assert_allclose(found["SG"], parts["NG"] * parts["ratio"], atol=1e-9)
    np.testing.assert_allclose(found["VD"], parts["NG"] * parts["VD"], atol=1e-9)
    np.testing.assert_allclose(found["CS"] / found["AC"], parts["turn"], atol=1e-9)


def test_variant_code_has_numbers_where_nothing_moves():
    path = np.zeros((100, 2))
    path[60:] = np.random.default_rng(0).normal(size=(40, 2)).cumsum(axis=0)
    starts = np.array([0, 50])
    found = window_statistics(path, starts, starts + 50, np.zeros(2, int), variant="code")
    assert [found[name][0] for name in STATISTICS] == [1.0, 0.0, 0.0, 0.0, 0.0]


@given(
    hnp.arrays(np.float64, (40, 2), elements=st.floats(-1e300, 1e300)),
    st.sampled_from(["paper", "code"]),
)
def test_any_positions_give_numbers_or_nan(path, variant):
    starts = np.array([0, 5, 0, 39])
    stops = np.array([20, 40, 40, 40])
    found = window_statistics(path, starts, stops, np.array([0, 0, 1, 2]), variant=variant)
    for values in found.values():
        assert values.shape == (4,)
        assert not np.isinf(values).any()


@given(st.floats(1e-9, 1e9), st.floats(-1e3, 1e3))
def test_unit_and_origin_do_not_matter(scale, shift):
    path = np.random.default_rng(5).normal(size=(120, 2)).cumsum(axis=0)
    starts = np.array([0, 30, 60])
    spans = (starts, starts + 60, np.zeros(3, int))
    one = window_statistics(path, *spans)
    other = window_statistics((path + shift) * scale, *spans)
    for name in STATISTICS:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-3, atol=1e-9)


def test_no_windows_and_wrong_arguments():
    path, none = np.zeros((10, 2)), np.zeros(0, int)
    assert {
        k: len(v) for k, v in window_statistics(path, none, none, none).items()
    } == dict.fromkeys(STATISTICS, 0)
    one, ten, zero = np.array([0]), np.array([10]), np.array([0])
    for args, options, word in (
        ((path, one, ten, zero), {"variant": "other"}, "variant"),
        ((path, one, ten, zero), {"subintervals": 0}, "subintervals"),
        ((path, one, ten, zero), {"epsilon": 0}, "epsilon"),
        ((path, one, ten, zero), {"min_max": ("AC",)}, "min_max"),
        ((path, one, ten + 1, zero), {}, "beyond"),
        ((path, one, one, zero), {}, "at least one"),
        ((path, one, ten, none), {}, "one of each"),
        ((path[:, 0], one, ten, zero), {}, "shape"),
    ):
        with pytest.raises(ValueError, match=word):
            window_statistics(*args, **options)
