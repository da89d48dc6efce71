from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spt_explain.errors import SptError
from spt_explain.resandi import backends
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.backends import devices, load_backend
from spt_explain.resandi.backends import onnx as onnx_backend
from spt_explain.resandi.backends import torch as torch_backend
from spt_explain.resandi.backends.runner import OutOfMemoryError, failing_as
from spt_explain.resandi.inputs import build_inputs
from spt_explain.resandi.network import ResAnDi
from spt_explain.resandi.store import install_weights

ARCHITECTURE = Architecture(
    width=8, padding="masked", lengths=(64, 128, 1024), alpha_levels=(0.05, 0.5, 0.95)
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    network = ResAnDi(ARCHITECTURE)
    tensors = {k: v.numpy().copy() for k, v in network.state_dict().items()}
    tensors["bn1.running_mean"] += 0.3
    tensors["fc.weight"] *= 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPT_EXPLAIN_DATA", str(tmp_path_factory.mktemp("data")))
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
    name = f"torch {torch.__version__}" if backend == "torch" else "ONNX Runtime"
    assert device.description.startswith("cpu, 1 threads (")
    assert name in device.description


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_what_fails_inside_a_library_is_one_line(weights, backend):
    loaded = load_backend(weights, backend=backend, device="cpu", jobs=1)
    with pytest.raises(SptError, match=r"the network failed on cpu.*\n.*batch_size=") as caught:
        loaded.outputs(np.zeros((1, 3, 64), np.float32))  # two channels too few
    assert caught.value.exit_code == 1
    assert len(str(caught.value).splitlines()) == 2


NO_DRIVER = "torch finds no NVIDIA GPU with a working driver"


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes the machine look as if it had other devices."""

    def make(*, gpus=(), onnx=(False, ""), torch_cuda=NO_DRIVER, mps="no Apple GPU"):
        monkeypatch.setattr(devices, "nvidia_gpus", lambda: list(gpus))
        monkeypatch.setattr(devices, "probe_onnx_cuda", lambda: onnx)
        monkeypatch.setattr(devices, "why_not_torch_cuda", lambda: torch_cuda)
        monkeypatch.setattr(devices, "why_not_torch_mps", lambda: mps)

    return make


def test_a_gpu_that_onnx_runtime_cannot_use_is_said(weights, machine):
    machine(gpus=["NVIDIA X"], onnx=(False, "the driver is too old"))
    loaded = load_backend(weights, backend="onnx", device="auto", jobs=1)
    assert loaded.device.kind == "cpu"
    assert "the driver is too old" in loaded.device.reason
    assert loaded.device.description.endswith(f"not the GPU: {loaded.device.reason}")
    with pytest.raises(SptError, match="can't use a GPU here: the driver is too old"):
        load_backend(weights, backend="onnx", device="cuda")
    # with the choice of library left open, both reasons are said
    loaded = load_backend(weights, device="auto", jobs=1)
    assert "the driver is too old" in loaded.device.reason
    assert NO_DRIVER in loaded.device.reason


def test_a_gpu_that_torch_cannot_use_is_said(weights, machine):
    machine(gpus=["NVIDIA X"], torch_cuda="built without CUDA")
    loaded = load_backend(weights, backend="torch", device="auto", jobs=1)
    assert loaded.device.reason == "built without CUDA"
    for device, words in (("cuda", "built without CUDA"), ("mps", "no Apple GPU")):
        with pytest.raises(SptError, match=f"device='{device}': torch can't use it here: {words}"):
            load_backend(weights, backend="torch", device=device)


def test_a_machine_without_a_gpu_has_nothing_to_explain(weights, machine):
    machine()
    for backend in backends.BACKENDS:
        loaded = load_backend(weights, backend=backend, jobs=1)
        assert (loaded.device.kind, loaded.device.reason, loaded.notes) == ("cpu", "", [])
        with pytest.raises(SptError, match="device='cuda'") as caught:
            load_backend(weights, backend=backend, device="cuda")
        assert len(str(caught.value).splitlines()) == 1
        assert caught.value.exit_code == 2


class FakeRunner:
    """A runner that only starts, where it is not among `broken`."""

    broken: ClassVar[dict[str, Exception]] = {}
    library = ""

    def __init__(self, weights, kind, *, precision, jobs, taps, batch_size, why_not):
        if error := self.broken.get(f"{self.library} {kind} {precision}"):
            raise error
        self.device = devices.Device(kind, f"{self.library} {kind} {precision}", why_not)
        self.precision = precision
        self.batch_size = batch_size or 64
        self.fixed = kind != "cpu"


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(FakeRunner, "broken", {})
    for module, name in ((torch_backend, "TorchRunner"), (onnx_backend, "OnnxRunner")):
        library = name.removesuffix("Runner").lower()
        kind = type(name, (FakeRunner,), {"library": library})
        monkeypatch.setattr(module, name, kind)
    return FakeRunner.broken


MACHINES = {
    "no GPU": {},
    "NVIDIA": {"gpus": ["NVIDIA X"], "onnx": (True, ""), "torch_cuda": ""},
    "NVIDIA, torch alone": {"gpus": ["NVIDIA X"], "onnx": (False, "not built"), "torch_cuda": ""},
    "NVIDIA, ONNX Runtime alone": {"gpus": ["NVIDIA X"], "onnx": (True, "")},
    "Apple": {"mps": ""},
}
CPU = ["onnx cpu float32", "torch cpu float32"]
TORCH_CPU = CPU[::-1]
FLOAT32 = ["torch cuda float32", "torch cuda float32/4", "torch cuda float32/16"]
TORCH = ["torch cuda float16", "torch cuda tf32", *FLOAT32]
ONNX = ["onnx cuda float16", "onnx cuda float32"]
# (backend, device, precision) of what is asked for; refused where a machine is not among them
CHOICES = {
    ("auto", "auto", "auto"): {
        "no GPU": CPU,
        "NVIDIA": TORCH + ONNX + CPU,
        "NVIDIA, torch alone": TORCH + CPU,
        "NVIDIA, ONNX Runtime alone": ONNX + CPU,
        "Apple": CPU,
    },
    ("auto", "auto", "tf32"): {
        "no GPU": CPU,
        "NVIDIA": TORCH[1:] + ONNX[1:] + CPU,
        "NVIDIA, torch alone": TORCH[1:] + CPU,
        "NVIDIA, ONNX Runtime alone": ONNX[1:] + CPU,
        "Apple": CPU,
    },
    ("auto", "cuda", "float32"): {
        "NVIDIA": FLOAT32 + ONNX[1:] + CPU,
        "NVIDIA, torch alone": FLOAT32 + CPU,
        "NVIDIA, ONNX Runtime alone": ONNX[1:] + CPU,
    },
    ("auto", "cuda", "float16"): {
        "NVIDIA": TORCH + ONNX + CPU,
        "NVIDIA, torch alone": TORCH + CPU,
        "NVIDIA, ONNX Runtime alone": ONNX + CPU,
    },
    ("onnx", "auto", "auto"): {
        "no GPU": CPU,
        "NVIDIA": ONNX + CPU,
        "NVIDIA, torch alone": CPU,
        "NVIDIA, ONNX Runtime alone": ONNX + CPU,
        "Apple": CPU,
    },
    ("onnx", "cuda", "auto"): {
        "NVIDIA": ONNX + CPU,
        "NVIDIA, ONNX Runtime alone": ONNX + CPU,
    },
    ("torch", "auto", "auto"): {
        "no GPU": TORCH_CPU,
        "NVIDIA": TORCH + TORCH_CPU,
        "NVIDIA, torch alone": TORCH + TORCH_CPU,
        "NVIDIA, ONNX Runtime alone": TORCH_CPU,
        "Apple": ["torch mps float32", *TORCH_CPU],
    },
    ("torch", "cuda", "auto"): {
        "NVIDIA": TORCH + TORCH_CPU,
        "NVIDIA, torch alone": TORCH + TORCH_CPU,
    },
    ("torch", "mps", "auto"): {"Apple": ["torch mps float32", *TORCH_CPU]},
    ("onnx", "mps", "auto"): {},
    ("auto", "mps", "auto"): {},
    **{
        (backend, "cpu", precision): dict.fromkeys(MACHINES, order)
        for backend, order in (("auto", CPU), ("onnx", CPU), ("torch", TORCH_CPU))
        for precision in ("auto", "float16", "tf32", "float32")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("asked", CHOICES, ids=" ".join)
def test_which_ways_are_tried_and_in_which_order(weights, machine, fake, asked, name):
    machine(**MACHINES[name])
    backend, device, precision = asked
    expected = CHOICES[asked].get(name)
    if expected is None:
        with pytest.raises(SptError, match=r"backend='torch'|device=") as caught:
            load_backend(weights, backend=backend, device=device, precision=precision)
        assert len(str(caught.value).splitlines()) == 1
        return
    loaded = load_backend(
        weights, backend=backend, device=device, precision=precision, batch_size=160
    )
    found = []
    for candidate in loaded._candidates:
        runner = candidate.start(candidate.batch_size)
        part = 160 // runner.batch_size
        found.append(runner.device.description + (f"/{part}" if part > 1 else ""))
    assert found == expected
    assert loaded.device.description == expected[0]
    assert loaded.notes == []


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_onnx_runtime_serves_jobs_too_short_for_the_start_of_torch(
    weights, machine, fake, monkeypatch, device
):
    machine(**MACHINES["NVIDIA"])

    def ways(points, **options):
        loaded = load_backend(weights, device=device, points=points, jobs=1, **options)
        runners = [one.start(one.batch_size) for one in loaded._candidates]
        return [runner.device.description for runner in runners]

    torch = [*TORCH[:2], *["torch cuda float32"] * 3]
    few, many = backends.TORCH_POINTS - 1, backends.TORCH_POINTS
    assert ways(few) == ONNX + torch + CPU
    assert ways(few, precision="float32") == ONNX[1:] + torch[2:] + CPU
    assert ways(many) == ways(None) == torch + ONNX + CPU
    assert ways(few, taps=("nodes",)) == torch + ONNX + CPU  # torch is needed there anyway
    machine(**MACHINES["NVIDIA, torch alone"])
    assert ways(few) == torch + CPU
    # nothing is imported to learn whether torch could take over
    machine(**MACHINES["NVIDIA"])
    monkeypatch.setattr(devices, "why_not_torch_cuda", lambda: 1 / 0)
    load_backend(weights, device=device, points=few, jobs=1)
    # where it then can't, the CPU does
    monkeypatch.setattr(devices, "why_not_torch_cuda", lambda: "no CUDA")
    fake["onnx cuda float16"] = fake["onnx cuda float32"] = SptError("no session")
    if device == "cuda":
        with pytest.raises(SptError, match="no session"):
            load_backend(weights, device=device, points=few, jobs=1)
        return

    def broken():
        raise OSError("libcudnn.so.9: cannot open shared object file")

    monkeypatch.setattr(devices, "why_not_torch_cuda", broken)
    assert load_backend(weights, points=few, jobs=1).device.description == "onnx cpu float32"
    monkeypatch.setattr(devices, "why_not_torch_cuda", lambda: "no CUDA")
    loaded = load_backend(weights, points=few, jobs=1)
    assert loaded.device.description == "onnx cpu float32"
    assert "no session" in loaded.notes[0]


def test_a_gpu_that_only_seems_to_work_is_left_and_said(weights, machine, fake):
    machine(**MACHINES["NVIDIA"])
    fake["torch cuda float16"] = fake["torch cuda tf32"] = SptError("no memory\nat all")
    loaded = load_backend(weights)
    assert loaded.device.description == "torch cuda float32"
    (note,) = loaded.notes
    assert "no memory" in note
    assert "at all" not in note
    loaded = load_backend(weights, device="cuda")
    assert loaded.device.description == "torch cuda float32"
    assert "no memory" in loaded.notes[0]
    with pytest.raises(SptError, match="no memory"):
        load_backend(weights, backend="torch", device="cuda")
    for name in (*TORCH, *ONNX):
        fake[name] = SptError("no memory") if name in TORCH else SptError("no session")
    with pytest.raises(SptError, match="no memory"):
        load_backend(weights, device="cuda")
    loaded = load_backend(weights)
    assert loaded.device.description == "onnx cpu float32"
    assert len(loaded.notes) == 2


def test_a_library_that_does_not_load_is_one_line(weights, machine, fake):
    machine()
    fake["torch cpu float32"] = ImportError("libtorch.so: cannot open shared object file")
    loaded = load_backend(weights, backend="torch")
    assert loaded.device.description == "onnx cpu float32"
    assert "torch does not load" in loaded.notes[0]
    with pytest.raises(SptError, match="torch does not load"):
        load_backend(weights, backend="torch", device="cpu")


@pytest.mark.parametrize("part", [4, 16])
def test_a_small_batch_is_not_divided_to_nothing(weights, machine, fake, part):
    machine(**MACHINES["NVIDIA"])
    loaded = load_backend(weights, precision="float32", batch_size=2)
    assert [c.start(c.batch_size).batch_size for c in loaded._candidates[:3]] == [2, 1, 1]


# --- what a device lacks memory for


def test_memory_of_a_gpu_and_other_failures_are_told_apart():
    gpu, cpu = devices.Device("cuda", "cuda:0"), devices.Device("cpu", "cpu")
    for text in ("CUDA out of memory. Tried to", "Failed to allocate memory for", "CUBLAS memory"):
        with pytest.raises(OutOfMemoryError), failing_as(gpu):
            raise RuntimeError(text)
        with pytest.raises(SptError, match="batch_size=") as caught, failing_as(cpu):
            raise RuntimeError(text)
        assert caught.value.exit_code == 1
    with pytest.raises(SptError, match=r"illegal access.*\n.*device='cpu'"), failing_as(gpu):
        raise RuntimeError("illegal access\nmore")
    with pytest.raises(SptError, match="KeyError"), failing_as(gpu):
        raise KeyError


def test_a_gpu_without_memory_for_the_network_itself(weights, monkeypatch):
    runner = torch_backend.TorchRunner(weights, "cpu", jobs=1)
    runner.device = devices.Device("cuda", "cuda:0 Fake")

    def full(*_):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(runner, "_network", full)
    with pytest.raises(OutOfMemoryError):
        runner.variant(64)


def test_rounding_is_set_back(weights):
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [one.allow_tf32 for one in settings]
    for tf32 in (True, False):
        with torch_backend.Rounding(tf32=tf32):
            assert [one.allow_tf32 for one in settings] == [tf32, tf32]
        assert [one.allow_tf32 for one in settings] == before


# --- which convolutions ONNX Runtime takes


def test_many_points_go_by_fourier_transform_and_give_the_same(weights, monkeypatch, walks):
    monkeypatch.setattr(onnx_backend, "FOURIER_POINTS", 1000)
    runner = onnx_backend.OnnxRunner(weights, "cpu", jobs=1)
    direct = {}
    batches = {n: walks(ARCHITECTURE, np.linspace(n // 2 + 1, n, 4).astype(int), n)
               for n in (64, 128, 256, 1024)}  # fmt: skip
    for padded, inputs in batches.items():
        assert runner.variant(padded) == "direct"
        direct[padded] = runner.run(inputs).outputs
    runner.expect({64: 999, 128: 1000, 256: 600, 512: 400})
    assert [runner.variant(n) for n in (64, 128, 256, 1024)] == [
        "direct", "Fourier", "Fourier", "Fourier",
    ]  # fmt: skip
    for padded, inputs in batches.items():
        found = runner.run(inputs).outputs
        np.testing.assert_allclose(found, direct[padded], rtol=1e-4, atol=1e-4)
        assert np.array_equal(found, direct[padded]) == (padded == 64)
    network = _network(weights)
    for padded in (32, 100, 200):  # inputs of one's own, at a length that no track is padded to
        inputs = walks(ARCHITECTURE, [5, padded], padded)
        with torch.inference_mode():
            expected = network(torch.from_numpy(inputs)).numpy()
        np.testing.assert_allclose(runner.run(inputs).outputs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("margin", [64, 100])
def test_inputs_with_more_padding_than_windows_have_are_masked(data, fitted, walks, margin):
    architecture = Architecture(
        width=4, window=200, padding="masked", margin=margin, lengths=(64, 128, 256)
    )
    network = fitted(architecture)
    tensors = {k: v.numpy() for k, v in network.state_dict().items()}
    weights = install_weights("margin", tensors, {"architecture": architecture.to_dict()})
    runner = onnx_backend.OnnxRunner(weights, "cpu", jobs=1)
    runner.expect(dict.fromkeys(architecture.run_lengths, 10**6))
    for padded in (64, 128, 256):
        inputs = walks(architecture, [1, padded // 3, padded], padded)
        with torch.inference_mode():
            expected = network(torch.from_numpy(inputs)).numpy()
        np.testing.assert_allclose(runner.run(inputs).outputs, expected, rtol=1e-4, atol=1e-4)


# --- inputs made on the device


def _on_device(positions, starts, stops, padded, architecture):
    return torch_backend.inputs_on_device(
        torch.from_numpy(positions), torch.from_numpy(starts), torch.from_numpy(stops - starts),
        padded, architecture,
    ).numpy()  # fmt: skip


KINDS = [
    Architecture(inputs=inputs, padding=padding, window=64)
    for inputs in ("positions", "positions+displacements")
    for padding in ("start", "masked")
]


def _both(positions, starts, stops, padded, architecture):
    expected = build_inputs(
        positions, starts, stops,
        window=padded, kind=architecture.inputs, padding=architecture.padding,
    )  # fmt: skip
    found = _on_device(positions, starts, stops, padded, architecture)
    assert found.dtype == np.float32
    return found, expected


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.parametrize(("offset", "scale"), [(0, 1), (1e9, 1), (0, 1e-300), (0, 1e300)])
def test_inputs_made_on_the_device_are_those_of_the_cpu(architecture, offset, scale):
    rng = np.random.default_rng(0)
    lengths = np.array([1, 2, 64, 30, 63, 1, 5])
    stops = np.cumsum(lengths)
    positions = offset + rng.normal(size=(stops[-1], 2)).cumsum(0) * scale
    positions[3:20, 1] = positions[3, 1]  # moves along one axis
    for padded in (64, 128):
        found, expected = _both(positions, stops - lengths, stops, padded, architecture)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("architecture", KINDS)
def test_tracks_that_do_not_move_on_the_device(architecture):
    positions = np.repeat([[3.0, -7.0], [0.0, 0.0], [1e300, 1e-300]], 20, axis=0)
    starts, stops = np.array([0, 20, 40, 7]), np.array([20, 40, 60, 8])
    found, expected = _both(positions, starts, stops, 64, architecture)
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).all()


@given(
    arrays(np.float64, (40, 2), elements=st.floats(-1e100, 1e100, allow_subnormal=False)),
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, 40)), min_size=1, max_size=6),
    st.sampled_from(KINDS),
)
def test_any_positions_give_the_same_inputs_on_the_device(positions, windows, architecture):
    starts = np.array([start for start, _ in windows])
    stops = np.minimum(starts + [n for _, n in windows], 40)
    found, expected = _both(positions, starts, stops, 64, architecture)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_unknown_names_are_refused(weights):
    with pytest.raises(SptError, match="onnx, torch"):
        load_backend(weights, backend="jax")
    with pytest.raises(SptError, match="auto, cuda, mps, cpu"):
        load_backend(weights, device="tpu")
    with pytest.raises(SptError, match="precision"):
        load_backend(weights, precision="int4")


def test_few_points_are_judged_on_the_cpu_before_a_gpu_has_started(weights, monkeypatch):
    monkeypatch.setattr(devices, "nvidia_gpus", lambda: ["NVIDIA X"])
    monkeypatch.setattr(devices, "why_not_torch_cuda", lambda: "no CUDA in torch")
    monkeypatch.setattr(devices, "probe_onnx_cuda", lambda: (False, "no CUDA in ONNX Runtime"))
    few = load_backend(weights, jobs=2, points=2 * backends.POINTS_A_CORE - 1)
    assert few.device.kind == "cpu"
    assert "before a GPU has started" in few.device.reason
    many = load_backend(weights, jobs=2, points=2 * backends.POINTS_A_CORE)
    assert "no CUDA" in many.device.reason  # it was looked for
    with pytest.raises(SptError):
        load_backend(weights, jobs=2, points=1, device="cuda")  # asked for: used or refused
