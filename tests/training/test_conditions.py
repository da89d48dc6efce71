import numpy as np
import pytest
import torch
from scipy.stats import kstest

from spt_explain.training.conditions import Conditions
from spt_explain.training.recipe import DataRecipe

N = 40_000


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _conditions(**values):
    return Conditions(DataRecipe(**values))


def test_lengths_are_uniform_between_both_ends():
    found = _conditions().draw_lengths(N, 10, 64, _generator())
    assert found.dtype == torch.int64
    counts = torch.bincount(found, minlength=65)
    assert (counts[:10] == 0).all()
    assert len(counts) == 65
    np.testing.assert_allclose(counts[10:] / N, 1 / 55, atol=0.004)
    assert torch.equal(_conditions().draw_lengths(5, 7, 7, _generator()), torch.full((5,), 7))


def test_lengths_of_a_file_are_used_where_they_fit():
    lengths = torch.tensor([5, 20, 20, 20, 40, 300])
    conditions = Conditions(DataRecipe(), lengths=lengths)
    found = conditions.draw_lengths(N, 10, 64, _generator())
    assert set(found.tolist()) == {20, 40}
    assert (found == 20).float().mean().item() == pytest.approx(0.75, abs=0.01)
    # a group that no length of the file falls into is trained all the same
    other = conditions.draw_lengths(N, 65, 128, _generator())
    assert other.float().mean().item() == pytest.approx(96.5, abs=0.5)


def test_noise_is_uniform_up_to_its_largest_and_sometimes_absent():
    conditions = _conditions(noise_max=1.2, clean_share=0.25, anisotropy_share=0)
    sigma = conditions.draw_noise(N, _generator())
    assert sigma.shape == (N, 2)
    assert torch.equal(sigma[:, 0], sigma[:, 1])
    own = sigma[:, 0]
    assert (own == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert kstest(own[own > 0].numpy(), "uniform", args=(0, 1.2)).pvalue > 1e-3


def test_some_noise_is_larger_along_one_axis():
    conditions = _conditions(noise_max=1.0, clean_share=0, anisotropy_share=0.3, anisotropy_max=3.0)
    sigma = conditions.draw_noise(N, _generator())
    ratio = (sigma[:, 0] / sigma[:, 1]).log().numpy()
    uneven = ratio != 0
    assert uneven.mean() == pytest.approx(0.3, abs=0.01)
    assert (ratio[uneven] > 0).mean() == pytest.approx(0.5, abs=0.02)
    share = np.abs(ratio[uneven]) / np.log(3.0)
    assert kstest(share, "uniform").pvalue > 1e-3
    assert sigma.max() <= 1


def test_noise_gaps_and_lengths_of_a_lab():
    lab = Conditions(
        DataRecipe(anisotropy_share=0),
        noise=torch.tensor([0.1, 0.5, 0.5, 0.5]),
        missed=torch.tensor([0.0, 0.02]),
    )
    sigma = lab.draw_noise(N, _generator())
    assert set(sigma.flatten().tolist()) == {lab.noise[0].item(), 0.5}
    assert (sigma == 0.5).float().mean().item() == pytest.approx(0.75, abs=0.01)
    missed = lab.draw_missed(N, _generator())
    assert (missed > 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    assert missed.max().item() == pytest.approx(0.02)


def test_gaps_are_there_for_a_share_of_trajectories():
    missed = _conditions(gap_share=0.4, gap_max=0.2).draw_missed(N, _generator())
    own = missed[missed > 0]
    assert len(own) / N == pytest.approx(0.4, abs=0.01)
    assert kstest(own.numpy(), "uniform", args=(0, 0.2)).pvalue > 1e-3


def test_without_any_of_it_there_is_none():
    nothing = _conditions(clean_share=1, gap_share=0, anisotropy_share=0, blur_share=0)
    assert not nothing.draw_noise(1000, _generator()).any()
    assert not nothing.draw_missed(1000, _generator()).any()
    assert nothing.blur_share == 0
