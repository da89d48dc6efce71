import numpy as np
import pytest
import torch

from spt_explain.xddpm.generator.objective import (
    losses,
    noised,
    read_out,
    relevant_error,
)


def parts():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn((2, 3, 4, 4), generator=generator) for _ in range(3)]


def test_the_targets_of_the_three_objectives():
    x, noise, other = parts()
    mask = torch.zeros_like(x)
    mask[..., :2] = 1
    kept = torch.tensor([0.25, 0.9999])
    w, eps, plain = (
        noised(objective, "eps", x, mask, kept, noise, other)
        for objective in ("w", "eps-mask", "plain")
    )
    torch.testing.assert_close(plain.target, noise, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(w.target[..., :2], noise[..., :2], atol=1e-4, rtol=1e-4)
    assert torch.equal(eps.target[..., 2:], torch.zeros_like(x[..., 2:]))
    assert torch.equal(eps.target[..., :2], noise[..., :2])
    # Equation 4's input keeps the irrelevant pixels, W's does not
    assert torch.equal(eps.x_t, plain.x_t)
    torch.testing.assert_close(w.x_t[1, ..., 2:], other[1, ..., 2:], atol=0.05, rtol=0)
    torch.testing.assert_close(w.x_t[..., :2], plain.x_t[..., :2])
    torch.testing.assert_close(plain.x_t[0], 0.5 * x[0] + 0.75**0.5 * noise[0])


@pytest.mark.parametrize("output", ["v", "eps"])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.9, 1.0])
def test_the_target_of_w_is_what_the_noise_is_on_average_given_what_is_seen(output, share):
    # independent of the formula: many draws of ε (or v), regressed on x_t
    generator = torch.Generator().manual_seed(5)
    count, pixel, kept = 400_000, -0.7, 0.36
    x = torch.full((1, 1, 1, count), pixel)
    mask = torch.full_like(x, share)
    noise, other = (torch.randn(x.shape, generator=generator) for _ in range(2))
    made = noised("w", output, x, mask, torch.tensor([kept]), noise, other)
    start = share * x + (1 - share**2) ** 0.5 * other
    drawn = noise if output == "eps" else kept**0.5 * noise - (1 - kept) ** 0.5 * start
    seen = made.x_t.flatten().double().numpy()
    slope, offset = np.polyfit(seen, drawn.flatten().double().numpy(), 1)
    told = slope * seen + offset
    assert np.abs(told - made.target.flatten().numpy()).max() < 0.03
    if share == 0 and output == "v":
        assert not made.target.any()


def test_losses_and_the_error_in_relevant_pixels():
    _, target, logits = parts()
    mask = (logits > 0).float()
    said, same = read_out(torch.cat([target + 2, logits], 1), target, torch.ones(2), "eps")
    assert torch.equal(same, logits)
    error, entropy = losses(said, logits, target, mask)
    assert float(error) == pytest.approx(4, rel=1e-5)
    expected = torch.log1p(torch.exp(-logits.abs())).mean()
    assert float(entropy) == pytest.approx(float(expected), rel=1e-5)
    square, number = relevant_error(said, target, mask)
    assert float(number) == float(mask.sum())
    assert float(square / number) == pytest.approx(4, rel=1e-5)


def test_the_output_v_is_that_of_salimans_and_ho():
    x, noise, other = parts()
    kept = torch.tensor([0.3, 0.9])
    a, b = kept.sqrt().view(-1, 1, 1, 1), (1 - kept).sqrt().view(-1, 1, 1, 1)
    out = torch.cat([a * noise - b * x, other], 1)  # their v
    said, _ = read_out(out, a * x + b * noise, kept, "v")
    torch.testing.assert_close(said, noise)
