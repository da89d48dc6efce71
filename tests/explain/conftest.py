"""Small networks and random walks for the tests of explanations."""

import numpy as np
import pytest
import torch

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.network import BatchNorm, ResAnDi
from spt_explain.resandi.store import install_weights

MASKED = Architecture(
    width=4,
    window=120,
    padding="masked",
    margin=32,
    lengths=(64, 128),
    alpha_levels=(0.05, 0.5, 0.95),
    noise_edges=(0.3, 0.8),
    exposure_edges=(0.5,),
)
PLAIN = Architecture(inputs="positions", width=4, window=96, padding="start")


NETWORKS = {"masked": MASKED, "plain": PLAIN}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty folder for the user's data, which the library then uses."""
    folder = tmp_path / "data"
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(folder))
    return folder


@pytest.fixture
def install(data):
    """Return a function that installs a small network, and returns its name."""
    return _install


@pytest.fixture(scope="session")
def walks():
    """Return a function that makes random walks: positions and offsets."""
    return _walks


def _install(architecture, name="mine"):
    architecture = NETWORKS.get(architecture, architecture)
    torch.manual_seed(3)
    network = ResAnDi(architecture)
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.bias.data.normal_(0, 0.3)
    network.fc.weight.data *= 5
    tensors = {k: v.numpy().copy() for k, v in network.state_dict().items()}
    card = {"architecture": architecture.to_dict()}
    if architecture.n_conditions > 1:
        shares = np.arange(1, architecture.n_conditions + 1)
        card["condition_shares"] = (shares / shares.sum()).tolist()
        card["calibration"] = {"n_points": [10, 100], "temperature": [1.3, 0.8]}
        card["calibration"]["alpha_stretch"] = [1.0, 1.0]
    install_weights(name, tensors, card, overwrite=True)
    return name


def _walks(lengths, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return rng.normal(size=(offsets[-1], 2)).cumsum(0), offsets
