import pytest
import torch
from torch import nn

from spt_explain.xddpm.network import MaskNetwork, Regressor, Shape


@pytest.mark.parametrize("size", [(4, 16, 16), (3, 7, 9), (1, 1, 1), (20, 1, 2)])
@pytest.mark.parametrize("per_frame", [False, True])
def test_clips_of_any_size(size, per_frame):
    shape = Shape(outputs=3, per_frame=per_frame, width=4, mask_width=4)
    clips = torch.randn(2, *size)
    assert Regressor(shape)(clips).shape == (2, 3 * (size[0] if per_frame else 1))
    raw, xi = MaskNetwork(shape)(clips)
    assert raw.shape == xi.shape == clips.shape


def test_outputs_of_a_frame_lie_together():
    torch.manual_seed(1)
    network = Regressor(Shape(outputs=2, per_frame=True, width=4)).eval()
    clips = torch.zeros(1, 9, 8, 8)
    other = clips.clone()
    other[0, 8] = 3.0
    changed = (network(clips) - network(other)).abs()[0].reshape(9, 2)
    assert changed[8].max() > 2 * changed[0].max()
    # Columns of the head's second output are the odd ones.
    with torch.no_grad():
        network.head.weight[1] = 0
        network.head.bias[1] = 7
    assert (network(clips)[0, 1::2] == 7).all()
    assert (network(clips)[0, ::2] != 7).all()


def test_brightness_alone_is_seen():
    """GroupNorm removes it from what it normalises; the stream through the blocks keeps it."""
    torch.manual_seed(2)
    network = Regressor(Shape(outputs=1, width=4, coordinates=False)).eval()
    pattern = torch.rand(1, 3, 8, 8)
    values = network.pooled(torch.cat([pattern, 2 * pattern, 4 * pattern])).flatten(1)
    steps = (values[1:] - values[:-1]).abs().amax(1)
    assert steps[0] > 1e-3
    assert steps[1] > 1.5 * steps[0]


def test_without_coordinates_a_shifted_clip_gives_the_same():
    torch.manual_seed(3)
    clips = torch.zeros(1, 2, 64, 64)
    clips[..., 28:32, 28:32] = 1
    moved = clips.roll((4, 4), (2, 3))
    blind = Regressor(Shape(outputs=1, width=4, coordinates=False)).eval()
    seeing = Regressor(Shape(outputs=1, width=4)).eval()
    kept = (blind.pooled(clips) - blind.pooled(moved)).abs().max()
    assert kept < 1e-5
    assert (seeing.pooled(clips) - seeing.pooled(moved)).abs().max() > 3 * kept


def test_each_activation_is_a_relu_module_of_its_own():
    network = Regressor(Shape(outputs=1, width=4))
    calls = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.ReLU):
            assert not module.inplace
            module.register_forward_hook(
                lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1})
            )
    network(torch.zeros(1, 2, 8, 8))
    assert len(calls) == 8
    assert set(calls.values()) == {1}


def test_calibrated_features_are_centred():
    torch.manual_seed(4)
    network = Regressor(Shape(outputs=1, per_frame=True, width=4)).eval()
    clips = torch.randn(20, 3, 8, 8) * torch.rand(20, 1, 1, 1)
    network.calibrate(clips)
    inner = (network.pooled(clips) - network.centre[:, None]) / network.spread[:, None]
    torch.testing.assert_close(inner.mean((0, 2)), torch.zeros(16), atol=1e-3, rtol=0)
    assert inner.std((0, 2), correction=0).max() < 1.001


def test_a_mask_starts_open():
    torch.manual_seed(5)
    network = MaskNetwork(Shape(outputs=1, mask_width=4))
    network.start_at(2.0)
    raw, xi = network(torch.randn(2, 3, 16, 16))
    assert (raw - 2).abs().mean() < 0.1
    assert xi.abs().mean() < 0.1


def test_with_batch_statistics_what_is_seen_here_does_not_depend_on_there():
    torch.manual_seed(6)
    here = torch.zeros(1, 2, 64, 64)
    here[..., 4:8, 4:8] = 1
    there = torch.zeros_like(here)
    there[..., 52:58, 52:58] = 5
    excess = {}
    for norm in ("batch", "group"):
        network = Regressor(Shape(outputs=1, width=4, coordinates=False, norm=norm)).double()
        network.calibrate(torch.rand(8, 2, 64, 64).double())
        network.eval()
        nothing, one, other, both = (
            network.pooled(clips.double()).detach()
            for clips in (torch.zeros_like(here), here, there, here + there)
        )
        excess[norm] = ((both - other) - (one - nothing)).abs().max().item()
    assert excess["batch"] < 1e-12
    assert excess["group"] > 1e-4
