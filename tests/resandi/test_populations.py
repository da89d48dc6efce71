import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.resandi.populations import (
    FEW_TRACKS,
    describe_population,
    estimate,
    populations,
)
from spt_explain.resandi.weights import find_weights

CENTRES = np.array([0.0, 1.5, 3.0, 4.0])


@pytest.fixture(scope="module")
def weights():
    """The default weights, without what their card says of confusions."""
    found = find_weights(None)
    card = {k: v for k, v in found.card.items() if k != "confusions"}
    return dataclasses.replace(found, card=card)


def gaussians(fraction, n, rng, shift=0.0):
    """Exact probabilities of four overlapping normal classes, as if all were equally common."""
    label = rng.choice(4, n, p=fraction)
    x = rng.normal(CENTRES[label] + shift)
    p = np.exp(-((x[:, None] - CENTRES) ** 2) / 2)
    return p / p.sum(axis=1, keepdims=True)


def log_likelihood(p, fraction):
    return float(np.log(p @ fraction).sum())


def best_by_scipy(p, fixed=None, value=0.0):
    """The highest log likelihood, with one fraction fixed or none; by BFGS on a softmax."""
    k = p.shape[1]
    free = [i for i in range(k) if i != fixed]

    def fractions(theta):
        e = np.exp(theta - theta.max())
        out = np.zeros(k)
        out[free] = e / e.sum() * (1 - value)
        if fixed is not None:
            out[fixed] = value
        return out

    found = minimize(lambda t: -log_likelihood(p, fractions(t)), np.zeros(len(free)), tol=1e-9)
    return -found.fun, fractions(found.x)


def test_fractions_and_intervals_are_scipys():
    p = gaussians([0.4, 0.3, 0.2, 0.1], 400, np.random.default_rng(0))
    fraction, low, high, _ = estimate(p[:, :, None])
    top, expected = best_by_scipy(p)
    np.testing.assert_allclose(fraction, expected, atol=2e-3)
    for k in range(4):
        for end in (low[k], high[k]):
            drop = 2 * (top - best_by_scipy(p, k, end)[0])
            assert drop == pytest.approx(3.841, abs=0.06)  # the 95 % point of chi squared


def test_an_interval_at_the_edge_is_one_sided():
    rng = np.random.default_rng(1)
    p = gaussians([1.0, 0, 0, 0], 200, rng)
    _, low, high, _ = estimate(p[:, :, None])
    top, _ = best_by_scipy(p)
    assert high[0] == pytest.approx(1, abs=0.01)
    assert (low[1:] == 0).all()
    assert (high[1:] > 0.005).all()  # a bootstrap's would end at 0
    drop = 2 * (top - best_by_scipy(p, 2, high[2])[0])
    assert drop == pytest.approx(3.841, abs=0.06)


@pytest.mark.parametrize("fraction", [[0.55, 0.25, 0.15, 0.05], [0.5, 0, 0.5, 0], [0, 0, 0, 1]])
def test_intervals_hold_the_truth_as_often_as_they_say(fraction):
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(60):
        _, low, high, _ = estimate(gaussians(fraction, 300, rng)[:, :, None])
        inside.append((low <= np.array(fraction) + 1e-9) & (high >= np.array(fraction) - 1e-9))
    assert np.mean(inside) > 0.92  # 240 intervals, correlated in fours


def test_counting_would_be_wrong_where_this_is_right():
    rng = np.random.default_rng(3)
    true = np.array([0.0, 0.9, 0.1, 0.0])
    p = gaussians(true, 20_000, rng)
    counted = np.bincount(p.argmax(axis=1), minlength=4) / len(p)
    assert np.abs(counted - true).max() > 0.15
    fraction, low, high, _ = estimate(p[:, :, None])
    assert np.abs(fraction - true).max() < 0.02
    assert ((low <= true) & (true <= high)).all()
    assert (high - low).max() < 0.06


def test_many_tracks_have_intervals_as_narrow_as_their_number_allows():
    p = gaussians([0.4, 0.3, 0.2, 0.1], 30_000, np.random.default_rng(4))[:, :, None]
    few = estimate(p[:2000])
    many, again = estimate(p), estimate(p)
    np.testing.assert_array_equal(many[1], again[1])
    ratio = (many[2] - many[1]) / (few[2] - few[1])
    np.testing.assert_allclose(ratio, np.sqrt(2000 / 30_000), rtol=0.25)
    _, expected = best_by_scipy(p[:, :, 0])
    np.testing.assert_allclose(many[0], expected, atol=2e-3)


def test_noise_common_to_all_tracks_is_found_and_allowed_for():
    # two "noise levels" that shift all classes: a mixture of both is what one p alone would assume
    rng = np.random.default_rng(5)
    true = np.array([0.5, 0.1, 0.1, 0.3])
    x = rng.normal(CENTRES[rng.choice(4, 3000, p=true)] + 0.8)
    shifts = np.array([0.0, 0.8])
    joint = np.exp(-((x[:, None, None] - CENTRES[:, None] - shifts) ** 2) / 2)
    joint /= joint.sum(axis=(1, 2), keepdims=True)
    fraction, low, high, levels = estimate(joint)
    assert levels[1] > 0.9
    assert ((low <= true) & (true <= high)).all()
    blind = estimate(joint.sum(axis=2, keepdims=True))[0]
    assert np.abs(fraction - true).max() < np.abs(blind - true).max() / 2


def test_a_systematic_deviation_widens_intervals_in_quadrature():
    p = gaussians([0.4, 0.3, 0.2, 0.1], 500, np.random.default_rng(6))[:, :, None]
    fraction, low, high, _ = estimate(p)
    _, wide_low, wide_high, _ = estimate(p, systematic=0.02)
    expected = np.hypot(high - fraction, 1.96 * 0.02)
    np.testing.assert_allclose(wide_high - fraction, expected, atol=1e-4)
    np.testing.assert_allclose(
        wide_low, np.maximum(0, fraction - np.hypot(fraction - low, 1.96 * 0.02)), atol=1e-4
    )


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(0, 1000), st.booleans())
def test_any_few_tracks_give_fractions_within_their_intervals(n, seed, certain):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(8, 0.3), n)
    if certain:
        p = np.eye(8)[p.argmax(axis=1)]
    fraction, low, high, _ = estimate(p[:, :, None])
    assert fraction.sum() == pytest.approx(1)
    assert (low <= fraction + 1e-9).all()
    assert (fraction <= high + 1e-9).all()
    assert (low >= 0).all()
    assert (high <= 1).all()


def verdicts(p, **columns):
    n = len(p)
    table = {
        "file": "a.csv",
        "particle": np.arange(n),
        "segment": 0,
        "n_points": 30,
        "status": "classified",
        **columns,
        **{f"p_{name}": p[:, i] for i, name in enumerate(CLASS_NAMES)},
    }
    return pd.DataFrame(table)


def eight(n, seed=0):
    p = np.random.default_rng(seed).dirichlet(np.full(8, 0.2), n)
    return p / p.sum(axis=1, keepdims=True)


def test_segments_of_a_track_share_its_weight(weights):
    p = eight(60)
    whole = describe_population(verdicts(p), weights)
    # every other track is cut in three: the same probabilities again, each by its points
    cut = np.concatenate([np.arange(60), np.arange(0, 60, 2), np.arange(0, 60, 2)])
    points = np.where(np.isin(cut, np.arange(0, 60, 2)), 10, 30)
    pieces = describe_population(verdicts(p[cut], particle=cut, n_points=points), weights)
    assert (pieces.n_tracks, pieces.n_segments) == (60, 120)
    np.testing.assert_allclose(pieces.fraction, whole.fraction, atol=1e-4)
    np.testing.assert_allclose(pieces.high, whole.high, atol=1e-3)
    # the same numbers in another file are other tracks
    files = np.where(np.arange(120) < 60, "a.csv", "b.csv")
    assert describe_population(verdicts(p[cut], particle=cut, file=files), weights).n_tracks == 90


def test_only_classified_and_undetermined_tracks_count(weights):
    p = eight(80)
    status = np.array(["classified", "undetermined", "immobile", "too short"]).repeat(20)
    p[60:] = np.nan
    some = describe_population(verdicts(p, status=status), weights)
    assert some.n_tracks == 40
    expected = describe_population(verdicts(p[:40]), weights)
    np.testing.assert_array_equal(some.fraction, expected.fraction)
    assert str(40) in some.note
    assert str(FEW_TRACKS) in some.note
    assert describe_population(verdicts(eight(FEW_TRACKS)), weights).note == ""


def test_no_track_at_all_is_said(weights):
    none = describe_population(verdicts(eight(3), status="too short"), weights)
    assert none.n_tracks == 0
    assert np.isnan(none.fraction).all()
    assert "no track" in none.note


def test_conditions_by_a_column_of_ones_own():
    p = np.concatenate([eight(100, 1), eight(70, 2)])
    table = verdicts(p, drug=np.array(["none", "lat A"]).repeat([100, 70]))
    rows = populations(table, by="drug")
    assert rows.columns.tolist() == [
        "drug", "class", "fraction", "low", "high", "n_tracks", "note",
    ]  # fmt: skip
    assert rows.groupby("drug", sort=False)["n_tracks"].first().to_dict() == {
        "none": 100,
        "lat A": 70,
    }
    alone = populations(table[table["drug"] == "lat A"])
    np.testing.assert_array_equal(alone["fraction"], rows[rows["drug"] == "lat A"]["fraction"])
    assert populations(table, by=["file", "drug"]).shape == (16, 8)


def test_tables_that_cannot_be_used_are_named():
    table = verdicts(eight(60))
    with pytest.raises(SptError, match="no column 'dose'"):
        populations(table, by="dose")
    with pytest.raises(SptError, match="no column 'p_BM'"):
        populations(table.drop(columns="p_BM"))
    with pytest.raises(SptError, match="there are:"):
        populations(table, weights="nothing")


def test_what_goes_into_the_sidecar_is_plain(weights):
    import json

    told = describe_population(verdicts(eight(60)), weights).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert sum(f["fraction"] for f in told["fractions"].values()) == pytest.approx(1, abs=1e-3)
    assert told["seed"] == 0
