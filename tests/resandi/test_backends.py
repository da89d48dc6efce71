import numpy as np
import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.resandi import backends
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.backends import load_backend
from spt_explain.resandi.network import ResAnDi
from spt_explain.resandi.store import install_weights

ARCHITECTURE = Architecture(
    width=8, padding="masked", lengths=(64, 128, 1024), alpha_levels=(0.05, 0.5, 0.95)
)


@pytest.fixture
def weights(data):
    torch.manual_seed(0)
    network = ResAnDi(ARCHITECTURE)
    tensors = {k: v.numpy().copy() for k, v in network.state_dict().items()}
    tensors["bn1.running_mean"] += 0.3
    tensors["fc.weight"] *= 10
    return install_weights("mine", tensors, {"architecture": ARCHITECTURE.to_dict()})


def _network(weights):
    network = ResAnDi(ARCHITECTURE).eval()
    network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.load().items()})
    return network


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_outputs_of_every_length_are_those_of_the_network(weights, backend):
    loaded = load_backend(weights, backend=backend, device="cpu", jobs=1)
    network = _network(weights)
    for n, padded in ((3, 128), (1, 64), (2, 1024), (5, 64)):
        inputs = np.random.default_rng(n).normal(size=(n, 5, padded)).astype(np.float32)
        inputs[:, -1] = np.arange(padded) >= padded // 3
        inputs *= inputs[:, -1:]
        found = loaded.outputs(inputs)
        assert found.shape == (n, 11)
        assert found.dtype == np.float32
        with torch.inference_mode():
            expected = network(torch.from_numpy(inputs)).numpy()
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_the_device_is_described(weights, backend):
    device = load_backend(weights, backend=backend, device="cpu", jobs=1).device
    assert (device.kind, device.reason) == ("cpu", "")
    name = {"onnx": "ONNX Runtime", "torch": f"torch {torch.__version__}"}[backend]
    assert device.description.startswith("cpu, 1 threads (")
    assert name in device.description


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_what_fails_inside_a_library_is_one_line(weights, backend):
    loaded = load_backend(weights, backend=backend, device="cpu", jobs=1)
    with pytest.raises(SptError, match=r"the network failed on cpu.*\n.*--batch-size") as caught:
        loaded.outputs(np.zeros((1, 3, 64), np.float32))  # two channels too few
    assert caught.value.exit_code == 1
    assert len(str(caught.value).splitlines()) == 2


def test_a_gpu_that_onnx_runtime_cannot_use_is_said(weights, monkeypatch):
    monkeypatch.setattr(backends, "probe_onnx_cuda", lambda: (False, "the driver is too old"))
    loaded = load_backend(weights, device="auto", jobs=1)
    assert loaded.device.kind == "cpu"
    assert loaded.device.reason == "the driver is too old"
    assert loaded.device.description.endswith("not the GPU: the driver is too old")
    with pytest.raises(SptError, match="can't use a GPU here: the driver is too old"):
        load_backend(weights, device="cuda")


def test_a_gpu_that_torch_cannot_use_is_said(weights, monkeypatch):
    monkeypatch.setattr(backends, "why_not_torch_cuda", lambda: "built without CUDA")
    monkeypatch.setattr(backends, "why_not_torch_mps", lambda: "no Apple GPU")
    monkeypatch.setattr(backends, "nvidia_gpus", lambda: ["NVIDIA X"])
    loaded = load_backend(weights, backend="torch", device="auto", jobs=1)
    assert loaded.device.reason == "built without CUDA"
    for device, words in (("cuda", "built without CUDA"), ("mps", "no Apple GPU")):
        with pytest.raises(SptError, match=f"--device {device}: torch can't use it here: {words}"):
            load_backend(weights, backend="torch", device=device)


def test_unknown_names_are_refused(weights):
    with pytest.raises(SptError, match="onnx, torch"):
        load_backend(weights, backend="jax")
    with pytest.raises(SptError, match="auto, cuda, mps, cpu"):
        load_backend(weights, device="tpu")
