import numpy as np
import pytest


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty folder for the user's data, which the library then uses."""
    folder = tmp_path / "data"
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(folder))
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
