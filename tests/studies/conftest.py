import numpy as np
import pytest


def _network(**keys):
    import torch

    from spt_explain.resandi.architecture import Architecture
    from spt_explain.resandi.network import ResAnDi

    torch.manual_seed(0)
    architecture = Architecture(width=2, **keys)
    state = ResAnDi(architecture).state_dict()
    tensors = {name: np.asarray(value.numpy(), np.float32) for name, value in state.items()}
    rng = np.random.default_rng(1)
    tensors["fc.weight"] = 3 * rng.normal(size=tensors["fc.weight"].shape).astype(np.float32)
    return tensors, {"version": "0.1", "architecture": architecture.to_dict()}


@pytest.fixture(scope="session")
def _weights_folder(tmp_path_factory):
    """Two small networks with random weights: as the paper's, and with masked padding."""
    from spt_explain.resandi.store import install_weights

    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPT_EXPLAIN_DATA", str(folder))
        install_weights("published", *_network(inputs="positions"))
        install_weights(
            "masked",
            *_network(
                padding="masked",
                margin=32,
                lengths=(128, 1024),
                noise_edges=(0.5,),
                alpha_levels=(0.05, 0.5, 0.95),
            ),
        )
    return folder


@pytest.fixture
def networks(_weights_folder, monkeypatch):
    """The two networks can be found by name: "published", "masked"."""
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(_weights_folder))
    return ("published", "masked")


@pytest.fixture
def tracks():
    """Return a function that makes a few labelled Brownian tracks."""
    from spt_explain.training.labelled import LabelledTracks

    def make(lengths=(60, 12, 130, 1000), seed=0):
        rng = np.random.default_rng(seed)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        m = len(lengths)
        return LabelledTracks(
            rng.normal(size=(offsets[-1], 2)).cumsum(axis=0),
            offsets,
            np.arange(m) % 8,
            np.full(m, np.nan),
            np.full(m, np.nan),
            report={"name": "here"},
        )

    return make
