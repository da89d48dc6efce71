import numpy as np
import onnxruntime as ort
import pytest
import torch

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.graph import build_model
from spt_explain.resandi.network import ResAnDi


def _network(architecture):
    torch.manual_seed(0)
    network = ResAnDi(architecture).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as training leaves them: not the identity
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.3, 0.8)
            module.bias.data.normal_(0, 0.2)
    return network


@pytest.mark.parametrize("inputs", ["positions", "positions+displacements"])
@pytest.mark.parametrize("window", [1000, 128])
def test_graph_computes_what_the_network_computes(inputs, window):
    architecture = Architecture(inputs=inputs, width=8, window=window)
    network = _network(architecture)
    tensors = {k: v.numpy() for k, v in network.state_dict().items()}
    session = ort.InferenceSession(
        build_model(architecture, tensors), providers=["CPUExecutionProvider"]
    )
    x = torch.randn(5, architecture.channels, window)
    with torch.inference_mode():
        expected = network(x).numpy()
    found = session.run(["logits"], {"trajectories": x.numpy()})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    # a batch of another size through the same session
    one = session.run(["logits"], {"trajectories": x.numpy()[:1]})[0]
    np.testing.assert_allclose(one, expected[:1], rtol=1e-4, atol=1e-4)


def test_published_shape():
    """Table I of the paper, and the size of the published network."""
    network = ResAnDi(Architecture(inputs="positions")).eval()
    sizes = []
    x = torch.zeros(1, 2, 1, 1000)
    with torch.inference_mode():
        x = network.conv1(x)
        sizes.append(tuple(x.shape[1::2]))
        x = network.pool(x)
        for stage in network.stages:
            x = stage(x)
            sizes.append(tuple(x.shape[1::2]))
        assert network.features(torch.zeros(1, 2, 1000)).shape == (1, 512, 32)
    assert sizes == [(64, 500), (64, 250), (128, 125), (256, 63), (512, 32)]
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(18.5, abs=0.05)
