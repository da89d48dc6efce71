import json
import struct

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from spt_explain.errors import SptError
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.network import ResAnDi
from spt_explain.training import checkpoint as module
from spt_explain.training.checkpoint import load_checkpoint, save_checkpoint

STATE = {"step": 3, "total": 9, "finished": False}


def _run(seed=0, width=2, steps=2, channels_last=False):
    """A network and its optimiser after a few steps."""
    torch.manual_seed(seed)
    network = ResAnDi(Architecture(width=width, window=64))
    if channels_last:
        network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for _ in range(steps):
        network(torch.randn(4, 4, 64)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return network, optimizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "c.safetensors"
    save_checkpoint(path, *_run(), STATE)
    return path


def _same_moments(a, b):
    ours, theirs = a.state_dict()["state"], b.state_dict()["state"]
    assert ours.keys() == theirs.keys()
    for index, values in ours.items():
        assert values.keys() == theirs[index].keys() == {"step", "exp_avg", "exp_avg_sq"}
        for name, value in values.items():
            assert torch.equal(value, theirs[index][name])


@pytest.mark.parametrize("channels_last", [False, True])
def test_everything_comes_back_and_lies_as_its_parameters_do(tmp_path, channels_last):
    path = tmp_path / "c.safetensors"
    network, optimizer = _run(channels_last=channels_last)
    save_checkpoint(path, network, optimizer, STATE)
    again, other = _run(seed=1, steps=0, channels_last=channels_last)
    assert load_checkpoint(path, again, other) == STATE
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    _same_moments(optimizer, other)
    assert optimizer.state_dict()["param_groups"] == other.state_dict()["param_groups"]
    kernels = [p for p in again.parameters() if p.ndim == 4]
    for p in kernels:
        assert p.is_contiguous(memory_format=torch.channels_last) or not channels_last
        for name in ("exp_avg", "exp_avg_sq"):
            assert other.state[p][name].stride() == p.stride()
    # kernels of which the two orders differ are among them
    assert any(p.is_contiguous() for p in kernels) is not channels_last or len(kernels) > 1
    assert channels_last == any(not p.is_contiguous() for p in kernels)


def test_the_next_step_is_the_same(tmp_path):
    path = tmp_path / "c.safetensors"
    network, optimizer = _run()
    save_checkpoint(path, network, optimizer, STATE)
    again, other = _run(seed=1, steps=0)
    load_checkpoint(path, again, other)
    x = torch.randn(4, 4, 64)
    for model, opt in ((network, optimizer), (again, other)):
        model(x).square().sum().backward()
        opt.step()
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_a_run_that_has_not_begun_can_be_saved(tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, *_run(steps=0), STATE)
    network, optimizer = _run(seed=1, steps=1)
    assert load_checkpoint(path, network, optimizer) == STATE
    assert optimizer.state_dict()["state"] == {}


@pytest.mark.parametrize("failing", ["save_file", "replace"])
@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_save_that_fails_leaves_the_last_checkpoint(tmp_path, monkeypatch, failing, error):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, *_run(), STATE)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        if failing == "save_file":
            args[1].write_bytes(b"half of it")
        raise error

    if failing == "save_file":
        monkeypatch.setattr(module, "save_file", fail)
    else:
        monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(
        KeyboardInterrupt if type(error) is KeyboardInterrupt else SptError
    ) as caught:
        save_checkpoint(path, *_run(seed=1), STATE | {"step": 4})
    if caught.type is not KeyboardInterrupt:
        assert caught.value.code == "unwritable"
        assert f"{path} could not be written" in str(caught.value)
        assert "No space left on device" in str(caught.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_save_replaces_at_one_stroke(tmp_path, monkeypatch):
    """Until the file is whole, the old one is what a reader finds."""
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, *_run(), STATE)
    plain = module.save_file
    seen = []

    def slow(tensors, part, **keys):
        plain(tensors, part, **keys)
        seen.append((part.name, load_checkpoint(path, *_run(steps=0))["step"]))

    monkeypatch.setattr(module, "save_file", slow)
    save_checkpoint(path, *_run(seed=1), STATE | {"step": 4})
    assert seen == [(".c.safetensors.part", 3)]
    assert load_checkpoint(path, *_run(steps=0))["step"] == 4
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(SptError, match=r"c could not be written \(.*No such file") as caught:
        save_checkpoint(tmp_path / "absent" / "c", *_run(), STATE)
    assert caught.value.code == "unwritable"
    assert "\n" not in str(caught.value)


def _refused(path, network=None, optimizer=None):
    if network is None:
        network, optimizer = _run(steps=0)
    with pytest.raises(SptError) as caught:
        load_checkpoint(path, network, optimizer)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(path) in message
    assert "Start anew without resume=True" in message


def test_another_networks_checkpoint_is_refused(saved):
    _refused(saved, *_run(width=3, steps=0))
    torch.manual_seed(0)
    network = ResAnDi(Architecture(width=2, window=64, alpha_levels=(0.05, 0.5, 0.95)))
    _refused(saved, network, torch.optim.AdamW(network.parameters()))


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 100, b"PK\x03\x04" * 50, b"{}" * 8])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    _refused(path)


def test_a_folder_is_refused(tmp_path):
    _refused(tmp_path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.99999))
@example(share=0.0)
@example(share=0.99999)
def test_a_checkpoint_cut_anywhere_is_refused(saved, tmp_path, share):
    data = saved.read_bytes()
    path = tmp_path / "c.safetensors"
    path.write_bytes(data[: int(share * len(data))])
    _refused(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_byte_in_the_header_is_one_line_or_nothing(saved, tmp_path, data):
    """Never a traceback; what still reads as a checkpoint can be gone on from."""
    content = bytearray(saved.read_bytes())
    size = struct.unpack("<Q", content[:8])[0]
    content[data.draw(st.integers(0, 8 + size - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    network, optimizer = _run(steps=0)
    said = ""
    try:
        state = load_checkpoint(path, network, optimizer)
    except SptError as error:
        said = str(error)
    if said:
        assert len(said.splitlines()) == 1
    else:
        assert isinstance(state, dict)
        network(torch.randn(2, 4, 64)).sum().backward()
        optimizer.step()


def _tensors(path):
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer.0.exp_avg": None},
        {"optimizer.0.exp_avg": torch.zeros(3)},
        {"optimizer.0.exp_avg": torch.zeros(())},
        {"optimizer.0.step": torch.zeros(4)},
        {"optimizer.999.exp_avg": torch.zeros(3)},
        {"optimizer.x.exp_avg": torch.zeros(3)},
        {"optimizer.exp_avg": torch.zeros(3)},
        {"optimizer.0.exp.avg": torch.zeros(3)},
        {"network.fc.bias": None},
        {"network.fc.bias": torch.zeros(9)},
        {"network.other": torch.zeros(1)},
        {"stray": torch.zeros(1)},
    ],
)
def test_tensors_that_do_not_fit_are_refused(saved, tmp_path, change):
    tensors = {k: v for k, v in (_tensors(saved) | change).items() if v is not None}
    path = tmp_path / "c.safetensors"
    save_file(tensors, path, metadata={"state": json.dumps(STATE)})
    _refused(path)


@pytest.mark.parametrize("metadata", [None, {}, {"state": ""}, {"state": "[1]"}, {"state": "7"}])
def test_a_state_that_is_none_is_refused(saved, tmp_path, metadata):
    path = tmp_path / "c.safetensors"
    save_file(_tensors(saved), path, metadata=metadata)
    _refused(path)
