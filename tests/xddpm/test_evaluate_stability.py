import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.baselines import baseline_maps
from spt_explain.xddpm.evaluate.floors import edges
from spt_explain.xddpm.evaluate.stability import (
    randomisation_check,
    rank_correlation,
    seed_stability,
)

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(3, 2, 6, 6))


def test_rank_correlation_is_scipys():
    other = np.round(MAPS + RNG.normal(size=MAPS.shape), 1)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(MAPS, other, strict=True)]
    np.testing.assert_allclose(rank_correlation(MAPS, other), expected)
    np.testing.assert_allclose(rank_correlation(np.exp(MAPS), MAPS), 1)
    assert np.isnan(rank_correlation(np.ones(MAPS.shape), MAPS)).all()


def test_seeds():
    noisy = [MAPS + RNG.normal(0, 0.1, MAPS.shape), MAPS, RNG.normal(size=MAPS.shape)]
    found = seed_stability(noisy)
    assert found.pairs == [(0, 1), (0, 2), (1, 2)]
    assert found.correlations.shape == (3, 3)
    assert found.correlations[0].min() > 0.9
    assert abs(found.correlations[1:]).max() < 0.5
    assert found.mean == pytest.approx(found.correlations.mean())
    assert np.isnan(seed_stability([np.ones(MAPS.shape)] * 2).mean)
    with pytest.raises(SptError, match="two seeds"):
        seed_stability([MAPS])


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 1)
    )


def test_gradients_change_with_the_weights_and_edges_do_not():
    net, clips = network(), MAPS.astype(np.float32)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    found = randomisation_check(net, lambda n: baseline_maps(n, clips, "gradient"))
    assert list(found["layer"]) == ["3", "0"]
    assert list(found["n_random"]) == [1, 2]
    assert found["spearman"].abs().max() < 0.5
    assert all((v == before[k]).all() for k, v in net.state_dict().items())
    blind = randomisation_check(net, lambda n: edges(clips))
    np.testing.assert_allclose(blind["spearman"], 1)
    np.testing.assert_allclose(blind["spearman_abs"], 1)


def test_one_layer_at_a_time_and_again():
    net, seen = network(), []

    def watch(n):
        seen.append({k: v.clone() for k, v in n.state_dict().items()})
        return MAPS

    randomisation_check(net, watch, cascade=False, seed=1)
    first, second, third = seen
    assert (second["0.weight"] == first["0.weight"]).all()
    assert (second["3.weight"] != first["3.weight"]).any()
    assert (third["3.weight"] == first["3.weight"]).all()
    assert (third["0.weight"] != first["0.weight"]).any()
    seen.clear()
    randomisation_check(net, watch, cascade=False, seed=1)
    assert (seen[1]["3.weight"] == second["3.weight"]).all()


def test_parameters_of_ones_own_are_shuffled_and_none_is_refused():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.arange(50.0))

    seen = []

    def watch(n):
        seen.append(n.weight.detach().clone())
        return MAPS

    found = randomisation_check(Own(), watch)
    assert list(found["layer"]) == ["(network)"]
    assert (seen[0] != seen[1]).any()
    assert (seen[1].sort().values == seen[0]).all()
    with pytest.raises(SptError, match="no weights"):
        randomisation_check(nn.ReLU(), watch)
