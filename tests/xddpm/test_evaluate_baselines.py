import numpy as np
import pytest
import torch
from torch import nn

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.baselines import (
    BASELINES,
    PUBLISHED_CLAMP,
    BaselineOptions,
    all_baselines,
    baseline_maps,
    last_spatial_layer,
)
from spt_explain.xddpm.evaluate.guided import check_relu

T, H, W = 3, 8, 8
CLIPS = np.random.default_rng(0).normal(size=(4, T, H, W)).astype(np.float32)
PAPER = BaselineOptions(definition="paper")


class Linear(nn.Module):
    """S_k = Σ w_k x: every gradient is known."""

    def __init__(self, values=1):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(values, T, H, W, generator=generator))

    def forward(self, x):
        return torch.einsum("bthw,kthw->bk", x, self.weight)


class Frames(nn.Module):
    """Frames as channels."""

    def __init__(self, activation=nn.ReLU):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(T, 6, 3, padding=1), activation(), nn.Conv2d(6, 5, 3, stride=2), activation()
        )
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class Volume(nn.Module):
    """Frames as an axis; and, `flat`, as many images."""

    def __init__(self, flat=False):
        super().__init__()
        torch.manual_seed(0)
        self.flat = flat
        kind = nn.Conv2d if flat else nn.Conv3d
        self.conv = kind(1, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        x = x.reshape(-1, 1, H, W) if self.flat else x[:, None]
        x = self.relu(self.conv(x)).flatten(2).mean(2)
        return self.head(x.reshape(-1, T, 4).mean(1) if self.flat else x)


class GuidedReLU(torch.autograd.Function):
    """Springenberg's rule, written down by itself."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx, slope):
        return slope.relu() * (ctx.saved_tensors[0] > 0)


def test_linear_regressor():
    network = Linear(2)
    weight = network.weight.detach().numpy()
    one = BaselineOptions(output=1)
    gradient = baseline_maps(network, CLIPS, "gradient", one)
    np.testing.assert_allclose(gradient, np.broadcast_to(weight[1], CLIPS.shape), atol=1e-6)
    both = baseline_maps(network, CLIPS, "gradient")
    np.testing.assert_allclose(both[0], weight.sum(axis=0), atol=1e-6)
    saliency = baseline_maps(network, CLIPS, "saliency", one)
    np.testing.assert_allclose(saliency[2], np.abs(weight[1]), atol=1e-6)
    smooth = baseline_maps(network, CLIPS, "smoothgrad", one)
    np.testing.assert_allclose(smooth[3], weight[1], atol=1e-5)


def test_equations_24_to_30():
    network = Linear()
    weight = network.weight.detach().numpy()[0]
    told = (CLIPS * weight).sum(axis=(1, 2, 3), keepdims=True)
    found = all_baselines(network, CLIPS, PAPER)
    mean = CLIPS.mean(axis=(1, 2, 3), keepdims=True)
    expected = {
        "gradient": np.broadcast_to(weight, CLIPS.shape),
        "guided-bp": np.broadcast_to(np.maximum(weight, 0), CLIPS.shape),
        "guided-cam": np.maximum(weight * told, 0),
        "guided-grad-cam": np.maximum(weight * told, 0) ** 2,
        "saliency": (CLIPS - mean) * weight,
    }
    for name, each in expected.items():
        np.testing.assert_allclose(found[name], each, rtol=1e-4, atol=1e-3, err_msg=name)


def test_equation_29_with_a_second_network_of_images():
    network, second = Linear(), nn.Identity()
    found = baseline_maps(
        network, CLIPS, "guided-grad-cam", BaselineOptions(definition="paper", second=second)
    )
    first = baseline_maps(network, CLIPS, "guided-cam", PAPER)
    np.testing.assert_allclose(found, first * np.maximum(CLIPS, 0), rtol=1e-5)


def test_integrated_gradients_add_up_to_the_change():
    network = Frames()
    found = baseline_maps(
        network, CLIPS, "saliency", BaselineOptions(definition="paper", steps=200)
    )
    x = torch.from_numpy(CLIPS)
    mean = x.mean((1, 2, 3), keepdim=True).expand_as(x)
    change = (network(x) - network(mean)).sum(1).detach().numpy()
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), change, atol=2e-3)


def test_guided_backpropagation_is_springenbergs():
    network = Frames()
    found = baseline_maps(network, CLIPS, "guided-bp")
    x = torch.from_numpy(CLIPS).requires_grad_()
    body = network.body
    y = GuidedReLU.apply(body[2](GuidedReLU.apply(body[0](x))))
    network.head(y.mean((2, 3))).sum().backward()
    np.testing.assert_allclose(found, x.grad.numpy(), atol=1e-6)
    assert abs(found - baseline_maps(network, CLIPS, "gradient")).max() > 1e-3


def test_grad_cam_by_hand():
    network = Frames()
    options = BaselineOptions(layer="body.2", interpolation="nearest", output=0)
    found = baseline_maps(network, CLIPS, "guided-cam", options)
    x = torch.from_numpy(CLIPS)
    features = network.body[:3](x).detach().requires_grad_()
    network.head(features.relu().mean((2, 3)))[:, 0].sum().backward()
    weight = features.grad.mean((2, 3), keepdim=True)
    cam = (weight * features).sum(1, keepdim=True).relu()
    expected = nn.functional.interpolate(cam, (H, W)).expand(-1, T, -1, -1)
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_guided_grad_cam_is_captums_where_captum_can():
    from captum.attr import GuidedGradCam

    from spt_explain.xddpm.evaluate.modules import OneValue

    network = Frames()
    options = BaselineOptions(layer="body.2", interpolation="nearest")
    found = baseline_maps(network, CLIPS, "guided-grad-cam", options)
    other = GuidedGradCam(OneValue(network), network.body[2]).attribute(
        torch.from_numpy(CLIPS).requires_grad_()
    )
    np.testing.assert_allclose(found, other.detach().numpy(), atol=1e-7)


@pytest.mark.parametrize("flat", [False, True])
def test_grad_cam_of_layers_with_frames(flat):
    network = Volume(flat)
    found = baseline_maps(network, CLIPS, "guided-cam")
    assert found.shape == CLIPS.shape
    assert found.min() >= 0
    # the layer has the clip's own pixels and frames: nothing is spread over its neighbours
    features = torch.from_numpy(CLIPS).reshape(-1, 1, H, W) if flat else torch.from_numpy(CLIPS)
    maps = network.relu(network.conv(features if flat else features[:, None])).detach()
    weight = network.head.weight.detach()[0].reshape(1, -1, *[1] * (maps.ndim - 2))
    cam = (weight * maps).sum(1).relu().reshape(CLIPS.shape).numpy()
    np.testing.assert_allclose(found / found.max(), cam / cam.max(), atol=1e-5)


def test_the_last_layer_with_pixels():
    network = Frames()
    assert last_spatial_layer(network, torch.from_numpy(CLIPS)) is network.body[3]
    with pytest.raises(SptError, match="layer with pixels"):
        last_spatial_layer(
            nn.Sequential(nn.Flatten(), nn.Linear(T * H * W, 1)), torch.tensor(CLIPS)
        )


@pytest.mark.parametrize(
    "activation", [nn.SiLU, nn.ELU, nn.GELU, nn.LeakyReLU, nn.Tanh, nn.Softplus, nn.PReLU]
)
def test_guided_methods_refuse_other_activations(activation):
    for method in ("guided-bp", "guided-grad-cam"):
        with pytest.raises(SptError, match="knows ReLU only"):
            baseline_maps(Frames(activation), CLIPS, method)


def test_guided_methods_refuse_functions_and_none_and_in_place():
    class Function(Frames):
        def forward(self, x):
            return super().forward(torch.relu(x))

    x = torch.from_numpy(CLIPS)
    with pytest.raises(SptError, match="1 of the network's 3 ReLUs are functions"):
        check_relu(Function(), x)
    with pytest.raises(SptError, match="runs none"):
        check_relu(Linear(), x)
    with pytest.raises(SptError, match="in place"):
        check_relu(Frames(lambda: nn.ReLU(inplace=True)), x)
    check_relu(Frames(), x)


def test_maps_repeat_and_do_not_depend_on_the_batch():
    network = Volume()
    state = torch.random.get_rng_state()
    one = all_baselines(network, CLIPS, seed=3, batch=4)
    two = all_baselines(network, CLIPS, seed=3, batch=3)
    assert tuple(one) == BASELINES
    for name in BASELINES:
        np.testing.assert_allclose(one[name], two[name], atol=1e-6, err_msg=name)
    assert (torch.random.get_rng_state() == state).all()
    other = baseline_maps(network, CLIPS, "smoothgrad", seed=4)
    assert abs(other - one["smoothgrad"]).max() > 0


def test_smoothgrad_is_the_gradient_of_a_smoothed_function():
    class Square(nn.Module):
        def forward(self, x):
            return (x**3).sum((1, 2, 3))[:, None]

    clip = np.linspace(-1, 1, T * H * W, dtype=np.float32).reshape(1, T, H, W)
    options = BaselineOptions(sigma=0.2, samples=4000)
    found = baseline_maps(Square(), clip, "smoothgrad", options)
    # E 3(x + n)² = 3x² + 3σ², σ = 0.2 of the range 2
    np.testing.assert_allclose(found.mean(), (3 * clip**2 + 3 * 0.4**2).mean(), rtol=0.01)


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(Frames(), nn.Dropout(0.5))
    network[1].eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    all_baselines(network, CLIPS)
    assert network.training
    assert network[0].training
    assert not network[1].training
    for key, value in network.state_dict().items():
        assert (value == before[key]).all()
    assert all(each.grad is None for each in network.parameters())


def test_clamped_as_published():
    found = baseline_maps(Linear(), CLIPS, "gradient", BaselineOptions(clamp=PUBLISHED_CLAMP))
    assert found.min() == np.float32(0.7)
    assert found.max() == 1


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("lime", BaselineOptions(), "no baseline"),
        ("gradient", BaselineOptions(definition="folk"), "no definition"),
        ("gradient", BaselineOptions(output=2), "tells 2 values"),
        ("smoothgrad", BaselineOptions(sigma=0.0), "sigma above 0"),
        ("guided-cam", BaselineOptions(layer="body.9"), "no layer"),
        ("guided-cam", BaselineOptions(layer="head"), "one with pixels"),
    ],
)
def test_refused(method, options, says):
    with pytest.raises(SptError, match=says):
        baseline_maps(Frames(), CLIPS, method, options)
