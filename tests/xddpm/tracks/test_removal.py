import pytest
import torch
from torch.distributions import Normal, kl_divergence

from spt_explain.xddpm.tracks.removal import Removal, random_keep, turned


def gen(seed=1):
    return torch.Generator().manual_seed(seed)


def test_removed_frames_are_brownian_steps():
    x = torch.full((40, 2, 500), 7.0)
    keep = torch.zeros(40, 500)
    keep[:, :100] = 1
    z = Removal().kept(x, keep, gen())
    assert torch.equal(z[:, :, :100], x[:, :, :100])
    rest = z[:, :, 100:]
    assert rest.mean().abs() < 0.02
    assert rest.std() == pytest.approx(1, abs=0.02)


def test_rest_stays_but_for_noise():
    x = torch.full((40, 2, 500), 7.0)
    z = Removal("rest", 0.04).kept(x, torch.zeros(40, 500), gen())
    assert z.std() == pytest.approx(0.2, abs=0.01)
    assert z.mean().abs() < 0.01


@pytest.mark.parametrize("removed", ["brownian", "rest"])
def test_nats_against_torch(removed):
    x = torch.randn(3, 2, 20, generator=gen())
    raw = torch.randn(3, 20, generator=gen(2))
    nats = Removal(removed, 0.1).nats(x, raw)
    mask = torch.sigmoid(raw)[:, None].clamp(max=0.999)
    if removed == "brownian":
        expected = kl_divergence(Normal(mask * x, 1 - mask.expand_as(x)), Normal(0.0, 1.0))
    else:
        expected = kl_divergence(Normal(mask * x, 0.1**0.5), Normal(0.0, 0.1**0.5))
    torch.testing.assert_close(nats, expected.sum(1), rtol=1e-4, atol=1e-5)


def test_a_rest_is_information_only_where_removed_frames_move():
    x, raw = torch.zeros(1, 2, 5), torch.full((1, 5), 2.0)
    assert (Removal("brownian").nats(x, raw) > 0.5).all()
    assert (Removal("rest").nats(x, raw).abs() < 1e-6).all()


def test_gates_are_open_with_probability_m_and_have_a_gradient():
    x = torch.full((400, 2, 30), 50.0)
    raw = torch.full((400, 30), 1.0, requires_grad=True)
    z, mask, _ = Removal(kind="gates").pass_on(x, raw, gen())
    assert (z[:, 0] > 25).float().mean().item() == pytest.approx(mask.mean().item(), abs=0.03)
    assert (((z - 50).abs() < 1e-3) | (z.abs() < 8)).all()
    z.sum().backward()
    assert (raw.grad.mean() > 0).item()


def test_random_keep():
    x = torch.zeros(2000, 2, 40)
    whole = random_keep(x, "masks", 1.0, gen())
    assert (whole == 1).all()
    keep = random_keep(x, "masks", 0.0, gen())
    assert set(keep.unique().tolist()) == {0.0, 1.0}
    assert keep.mean().item() == pytest.approx(0.5, abs=0.03)
    even = random_keep(x, "noise", 0.0, gen())
    assert (even == even[:, :1]).all()
    assert (random_keep(x, "none", 0.0, gen()) == 1).all()


def test_turned_keeps_lengths_and_angles():
    x = torch.randn(50, 2, 9, generator=gen())
    y = turned(x, gen(3))
    torch.testing.assert_close(y.square().sum(1), x.square().sum(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        (y[:, :, 1:] * y[:, :, :-1]).sum(1), (x[:, :, 1:] * x[:, :, :-1]).sum(1),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    assert not torch.allclose(x, y)
