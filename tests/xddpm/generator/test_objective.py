import pytest
import torch

from spt_explain.xddpm.generator.objective import losses, noised, read_out, relevant_error


def parts():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn((2, 3, 4, 4), generator=generator) for _ in range(3)]


def test_the_targets_of_the_three_objectives():
    x, noise, other = parts()
    mask = torch.zeros_like(x)
    mask[..., :2] = 1
    kept = torch.tensor([0.25, 1.0])
    w, eps, plain = (
        noised(objective, x, mask, kept, noise, other) for objective in ("w", "eps-mask", "plain")
    )
    assert torch.equal(w.target, noise)
    assert torch.equal(plain.target, noise)
    assert torch.equal(eps.target[..., 2:], torch.zeros_like(x[..., 2:]))
    assert torch.equal(eps.target[..., :2], noise[..., :2])
    # Equation 4's input keeps the irrelevant pixels, W's does not
    assert torch.equal(eps.x_t, plain.x_t)
    torch.testing.assert_close(w.x_t[1, ..., 2:], other[1, ..., 2:])
    torch.testing.assert_close(w.x_t[..., :2], plain.x_t[..., :2])
    torch.testing.assert_close(plain.x_t[0], 0.5 * x[0] + 0.75**0.5 * noise[0])


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
