from dataclasses import replace

import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.gradcam import directions, grad_cam
from spt_explain.resandi.network import BatchNorm, ResAnDi

START = Architecture(inputs="positions", width=4, window=96, padding="start")
MASKED = Architecture(
    inputs="positions+displacements",
    width=4,
    window=128,
    padding="masked",
    lengths=(64, 128),
    alpha_levels=(0.05, 0.5, 0.95),
)
JOINT = replace(START, noise_edges=(0.3, 0.8), exposure_edges=(0.5,))


def network_of(architecture):
    torch.manual_seed(3)
    network = ResAnDi(architecture)
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.bias.data.normal_(0, 0.3)
    return network.eval()


def inputs_of(architecture, n, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, architecture.channels, length, generator=generator)
    if architecture.padding == "masked":
        points = torch.randint(10, length, (n,), generator=generator)
        x[:, -1] = (torch.arange(length) >= length - points[:, None]).float()
        x[:, :-1] *= x[:, -1:]
    return x


class Pooled(nn.Module):
    """The same network with a layer that Captum can hold on to."""

    def __init__(self, network, probability=False, weights=0.0):
        super().__init__()
        self.network, self.probability, self.weights = network, probability, weights
        self.last = nn.Identity()

    def forward(self, x):
        maps, inside = self.network.features([x])
        maps = self.last(maps[0])
        count = maps.size(2) if inside[0] is None else inside[0].sum(2)
        shape = self.network.architecture
        joint = self.network.fc(maps.sum(2) / count)[:, : shape.n_logits]
        logits = (joint.view(len(x), 8, -1) + self.weights).logsumexp(2)
        return logits.softmax(1) if self.probability else logits


@pytest.mark.parametrize("architecture", [START, MASKED, JOINT])
@pytest.mark.parametrize("of", ["logit", "probability"])
@pytest.mark.parametrize("relu", [False, True])
def test_it_is_captums(architecture, of, relu):
    network = network_of(architecture)
    x = inputs_of(architecture, 5, architecture.lengths[-1])
    model = Pooled(network, of == "probability")
    if of == "logit" and architecture is not JOINT:
        torch.testing.assert_close(model(x), network(x)[:, :8])
    target = torch.tensor([0, 7, 3, 3, 5])
    expected = LayerGradCam(model, model.last).attribute(x, target, relu_attributions=relu)
    found = grad_cam(network, [x], target, of=of, relu=relu)
    assert expected.abs().max() > 1e-5
    torch.testing.assert_close(found.scores[0], expected[:, 0], rtol=1e-4, atol=1e-7)


def test_what_a_recording_shows_is_counted():
    network, x = network_of(JOINT), inputs_of(JOINT, 5, 96)
    weights = torch.linspace(-3, 3, JOINT.n_conditions)
    model = Pooled(network, probability=True, weights=weights)
    target = torch.arange(5)
    expected = LayerGradCam(model, model.last).attribute(x, target)
    found = grad_cam(network, [x], target, of="probability", log_weights=weights)
    torch.testing.assert_close(found.scores[0], expected[:, 0], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found.logits.softmax(1), model(x))


@pytest.mark.parametrize("of", ["logit", "probability"])
def test_a_contrast_is_the_difference_of_two_explanations(of):
    network, x = network_of(START), inputs_of(START, 4, 96)
    one, other = torch.tensor([1, 2, 3, 4]), torch.tensor([0, 0, 7, 7])
    contrast = grad_cam(network, [x], one, against=other, of=of).scores[0]
    apart = [grad_cam(network, [x], t, of=of).scores[0] for t in (one, other)]
    torch.testing.assert_close(contrast, apart[0] - apart[1])


def test_derivatives_of_the_probability_are_autograds():
    logits = torch.randn(6, 8, dtype=torch.float64, requires_grad=True)
    target = torch.arange(6)
    logits.softmax(1).gather(1, target[:, None]).sum().backward()
    torch.testing.assert_close(directions(logits.detach(), target, of="probability"), logits.grad)


def test_groups_of_several_lengths_are_scored_as_each_alone():
    network = network_of(MASKED)
    short, long = inputs_of(MASKED, 3, 64), inputs_of(MASKED, 2, 128, seed=1)
    both = grad_cam(network, [short, long])
    for i, x in enumerate((short, long)):
        alone = grad_cam(network, [x])
        torch.testing.assert_close(both.scores[i], alone.scores[0])
        assert both.inside[i].equal(alone.inside[0])
    torch.testing.assert_close(both.logits, network(short, long)[:, :8])
    assert both.target.equal(both.logits.argmax(1))


def test_nodes_in_masked_padding_have_no_score():
    found = grad_cam(network_of(MASKED), [inputs_of(MASKED, 8, 128)])
    assert (found.scores[0][~found.inside[0]] == 0).all()
    assert (found.scores[0][found.inside[0]] != 0).any()
    assert grad_cam(network_of(START), [inputs_of(START, 2, 96)]).inside == [None]


@pytest.mark.parametrize("architecture", [START, MASKED])
def test_scores_of_a_logit_sum_to_it(architecture):
    network = network_of(architecture)
    x = inputs_of(architecture, 6, architecture.lengths[-1])
    target = torch.arange(6)
    expected = network(x).gather(1, target[:, None])[:, 0] - network.fc.bias[target]
    torch.testing.assert_close(grad_cam(network, [x], target).totals(), expected)


def test_a_network_in_training_is_refused():
    with pytest.raises(ValueError, match="training mode"):
        grad_cam(network_of(START).train(), [inputs_of(START, 2, 96)])
