import math

import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.xddpm.generator.objective import irrelevant_replaced
from spt_explain.xddpm.generator.sampler import betas, chain, expected_std, kept, steps_of

PIXELS = (4, 1, 64, 64)


def go(denoise, objective, sampler, *, schedule="linear", steps=None, seed=1, shape=PIXELS):
    generator = torch.Generator().manual_seed(seed)
    return chain(
        denoise,
        torch.randn(shape, generator=generator),
        objective=objective,
        sampler=sampler,
        schedule=schedule,
        timesteps=1000,
        steps=steps,
        generators=generator,
    )


def nothing(x, t):
    """Say what a perfect denoiser with the target M ε says where nothing is relevant."""
    return torch.zeros_like(x), torch.zeros_like(x)


def test_betas_are_those_of_ho_et_al():
    torch.testing.assert_close(
        betas("linear", 1000), torch.linspace(1e-4, 0.02, 1000).double(), atol=1e-9, rtol=1e-6
    )


def test_equation_11_as_printed_explodes():
    assert float(go(nothing, "eps-mask", "paper").std()) == pytest.approx(222, rel=0.05)
    assert expected_std("paper", "eps-mask") == pytest.approx(222, rel=0.05)


def test_equation_11_explodes_more_with_the_cosine_schedule():
    assert expected_std("paper", "eps-mask", "cosine") == pytest.approx(2e4, rel=0.05)


def test_what_is_clipped_is_bounded_and_not_normal():
    ended = go(nothing, "eps-mask", "clip")
    assert float(ended.std()) == pytest.approx(0.776, abs=0.015)
    assert float(ended.abs().max()) <= 1
    assert expected_std("clip", "eps-mask") == pytest.approx(0.776, abs=0.02)


@pytest.mark.parametrize("steps", [None, 100])
def test_the_completed_chain_is_stationary(steps):
    # 16,384 pixels: the standard error of the deviation is 0.006
    assert float(go(nothing, "eps-mask", "ddpm", steps=steps).std()) == pytest.approx(1, abs=0.02)


def test_ddim_with_100_steps_keeps_most_of_the_noise():
    assert expected_std("ddim", "w") == pytest.approx(0.985, abs=0.015)


def test_dpm_solver_with_100_steps_keeps_all_of_it():
    assert expected_std("dpm-solver", "w") == pytest.approx(1, abs=0.002)


def oracle(mean, spread, relevant, objective):
    """Return the exact denoiser of pixels N(mean, spread²) within, and noise without."""
    alphas = kept("linear", 1000).double()

    def denoise(x, t):
        kept_now = float(alphas[t])
        noise = math.sqrt(1 - kept_now) * (x - math.sqrt(kept_now) * mean)
        noise = noise / (kept_now * spread**2 + 1 - kept_now)
        beyond = torch.zeros_like(x) if objective == "eps-mask" else math.sqrt(1 - kept_now) * x
        return torch.where(relevant, noise, beyond), relevant.to(x.dtype)

    return denoise


@pytest.mark.parametrize(
    ("objective", "sampler", "steps"),
    [
        ("w", "dpm-solver", 100),
        ("w", "ddim", 100),
        ("w", "ddpm", 1000),
        ("eps-mask", "ddpm", 1000),
        ("eps-mask", "dpm-solver", 100),
        ("eps-mask", "ddim", 100),
    ],
)
def test_an_oracles_samples_are_as_they_should_be(objective, sampler, steps):
    relevant = torch.zeros(PIXELS, dtype=torch.bool)
    relevant[..., :32] = True
    ended = go(oracle(0.5, 0.2, relevant, objective), objective, sampler, steps=steps)
    inside, outside = ended[relevant], ended[~relevant]
    assert float(inside.mean()) == pytest.approx(0.5, abs=0.02)
    # a hundred Euler steps make narrow distributions a little narrower
    assert float(inside.std()) == pytest.approx(0.2, rel=0.1 if sampler == "ddim" else 0.04)
    assert float(outside.mean()) == pytest.approx(0, abs=0.03)
    assert float(outside.std()) == pytest.approx(1, abs=0.03)


def test_w_has_the_variance_of_noise():
    generator = torch.Generator().manual_seed(1)
    x, noise = (torch.randn(200_000, generator=generator) for _ in "ab")
    for mask in (0.0, 0.3, 0.8, 1.0):
        w = irrelevant_replaced(x, torch.full_like(x, mask), noise)
        assert float(w.var()) == pytest.approx(1, abs=0.02)
    assert torch.equal(irrelevant_replaced(x, torch.ones_like(x), noise), x)
    assert torch.equal(irrelevant_replaced(x, torch.zeros_like(x), noise), noise)


def test_steps_have_to_divide_the_chain():
    assert steps_of("ddim", 1000, None) == 100
    assert steps_of("ddpm", 1000, None) == 1000
    assert steps_of("ddim", 50, None) == 50
    assert steps_of("dpm-solver", 1000, None) == 100
    assert steps_of("dpm-solver", 48, None) == 48
    assert steps_of("dpm-solver", 999, None) == 111
    with pytest.raises(SptError, match="take 125, 200 or 250"):
        steps_of("ddim", 1000, 190)
    with pytest.raises(SptError, match="all 1000 steps"):
        steps_of("paper", 1000, 100)
