import numpy as np
import pytest


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty folder for the user's data, which the library then uses."""
    folder = tmp_path / "data"
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(folder))
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder for what can be found out again, which the library then uses."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SPT_EXPLAIN_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def make_network():
    """Return a function that makes a small network: its tensors and its card."""
    import torch

    from spt_explain.resandi.architecture import Architecture
    from spt_explain.resandi.network import ResAnDi

    def make(width=2, seed=0, **keys):
        torch.manual_seed(seed)
        architecture = Architecture(width=width, window=64)
        state = ResAnDi(architecture).state_dict()
        tensors = {name: np.asarray(value.numpy(), np.float32) for name, value in state.items()}
        card = {"version": "0.3", "architecture": architecture.to_dict(), **keys}
        return tensors, card

    return make


@pytest.fixture(scope="session")
def walks():
    """Return a function that makes a network's inputs: random walks of these lengths."""
    from spt_explain.resandi.inputs import build_inputs

    def make(architecture, lengths, padded, seed=1):
        lengths = np.asarray(lengths)
        stops = np.cumsum(lengths)
        return build_inputs(
            np.random.default_rng(seed).normal(size=(stops[-1], 2)).cumsum(0),
            stops - lengths,
            stops,
            window=padded,
            kind=architecture.inputs,
            padding=architecture.padding,
        )

    return make


@pytest.fixture(scope="session")
def fitted(walks):
    """Return a function that makes a network whose normalisations fit its inputs, once each."""
    import torch

    from spt_explain.resandi.network import BatchNorm, ResAnDi

    made = {}

    def make(architecture):
        if architecture in made:
            return made[architecture]
        torch.manual_seed(0)
        network = ResAnDi(architecture).train()
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, BatchNorm):
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.normal_(0, 0.3)
            for padded in architecture.lengths:
                lengths = np.linspace(2, min(padded, architecture.window), 20).astype(int)
                network(torch.from_numpy(walks(architecture, lengths, padded)))
        made[architecture] = network.eval()
        return made[architecture]

    return make


@pytest.fixture(scope="session")
def tensors_of():
    """Return a function that gives a network's parameters and statistics as arrays."""

    def tensors(network):
        return {name: value.numpy().copy() for name, value in network.state_dict().items()}

    return tensors


@pytest.fixture
def kept_sessions():
    """Have each network start its own session: it is what is tested here."""
