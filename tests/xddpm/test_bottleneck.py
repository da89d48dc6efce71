import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from spt_explain.xddpm.bottleneck import Bottleneck, kl, printed_term

SHAPE = (3, 2, 4, 5)


def _draw(seed):
    generator = torch.Generator().manual_seed(seed)
    x, raw, xi = (torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(3))
    return x, raw, xi


@pytest.mark.parametrize("prior", [0.1, 1.0, 3.0])
def test_kl_in_closed_form_is_that_of_torch_distributions(prior):
    mean, variance, _ = _draw(1)
    variance = variance.abs() + 1e-3
    prior_dist = Normal(torch.zeros_like(mean), math.sqrt(prior))
    expected = kl_divergence(Normal(mean, variance.sqrt()), prior_dist)
    torch.testing.assert_close(kl(mean, variance, prior), expected)


@pytest.mark.parametrize("kind", ["fixed", "iba", "paper"])
def test_nats_are_the_divergence_of_what_is_drawn(kind):
    bottleneck = Bottleneck(kind, noise=0.2)
    x, raw, xi = (value[:1, :1, :2, :2] for value in _draw(2))
    generator = torch.Generator().manual_seed(3)
    many = [value.expand(40_000, -1, -1, -1) for value in (x, raw, xi)]
    z = bottleneck.pass_on(*many, generator).z
    prior = Normal(0.0, math.sqrt(0.2) if kind == "fixed" else 1.0)
    drawn = Normal(z.mean(0, keepdim=True), z.std(0, keepdim=True))
    expected = kl_divergence(drawn, prior)
    torch.testing.assert_close(bottleneck.nats(x, raw, xi), expected, rtol=0.03, atol=0.02)


@pytest.mark.parametrize("kind", ["fixed", "iba"])
def test_closed_mask_passes_nothing(kind):
    x, raw, xi = _draw(4)
    passed = Bottleneck(kind).pass_on(x, torch.full_like(raw, -50.0), xi)
    assert passed.nats.abs().max() < 1e-9
    assert passed.mask.max() < 1e-9


def test_the_paper_s_variance_leaks_where_the_mask_is_closed():
    x, raw, xi = _draw(5)
    passed = Bottleneck("paper").pass_on(x, torch.zeros_like(raw), 4 * xi)
    assert passed.mask.max() == 0
    assert passed.nats.max() > 0.5


def test_the_printed_sign_has_no_lower_bound_and_the_mended_one_has():
    mean = torch.zeros(1, 4, dtype=torch.float64)
    one = torch.ones_like(mean)
    printed = [float(printed_term(mean, one * 10.0**k)) for k in range(1, 7)]
    assert printed == sorted(printed, reverse=True)
    assert printed[-1] < -1e6
    assert float(printed_term(mean + 1e4, one)) < -1e8
    # A hundred steps of descent: the one runs away, the other comes to N(0, 1).
    for sign in ("printed", "mended"):
        mu = torch.full((1, 4), 0.5, requires_grad=True)
        log_variance = torch.full((1, 4), -1.0, requires_grad=True)
        optimizer = torch.optim.SGD([mu, log_variance], lr=0.2)
        for _ in range(100):
            variance = log_variance.exp()
            term = printed_term(mu, variance).sum()
            loss = kl(mu, variance).sum() if sign == "mended" else term
            if loss.item() < -1e6:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if sign == "printed":
            assert loss.item() < -1e6
        else:
            assert 0 <= loss.item() < 1e-3


def test_the_printed_term_is_minus_the_divergence_but_for_its_one():
    mean, variance, _ = _draw(6)
    variance = variance.abs() + 0.1
    count = mean[0].numel()
    expected = -kl(mean, variance).flatten(1).sum(1) + 0.5 * (1 - count)
    torch.testing.assert_close(printed_term(mean, variance), expected)


@pytest.mark.parametrize("kind", ["fixed", "iba", "paper"])
def test_start_opens_the_mask(kind):
    bottleneck = Bottleneck(kind)
    raw = torch.full(SHAPE, bottleneck.start(0.9))
    torch.testing.assert_close(bottleneck.mask(raw), torch.full(SHAPE, 0.9))


def test_fixed_adds_the_same_noise_everywhere():
    generator = torch.Generator().manual_seed(1)
    x = torch.zeros(1, 10, 100, 100)
    raw = torch.linspace(-3, 3, x.numel()).reshape(x.shape)
    z = Bottleneck("fixed", noise=0.1).pass_on(x, raw, x, generator).z
    assert float(z.var()) == pytest.approx(0.1, rel=0.02)
    assert float(z[0, 0].var()) == pytest.approx(float(z[0, -1].var()), rel=0.06)
