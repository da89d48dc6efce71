import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file

from spt_explain.errors import SptError
from spt_explain.resandi.quantise import SHARD_BYTES, dequantise, quantise, write_weights


def test_rounding_is_at_most_half_a_step_of_each_channel():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(6, 1024, 1, 15)).astype(np.float32) * np.logspace(-4, 2, 6)[
        :, None, None, None
    ].astype(np.float32)
    bias = rng.normal(size=6).astype(np.float32)
    stored = quantise({"conv.weight": kernel, "bn.bias": bias})
    assert stored["conv.weight"].dtype == np.int8
    back = dequantise(stored)
    assert set(back) == {"conv.weight", "bn.bias"}
    np.testing.assert_array_equal(back["bn.bias"], bias)
    step = np.abs(kernel).max(axis=(1, 2, 3)) / 127
    error = np.abs(back["conv.weight"] - kernel).max(axis=(1, 2, 3))
    assert (error <= step * 0.5001).all()


def test_a_channel_of_zeros_stays_zero():
    stored = quantise({"w": np.zeros((2, 40_000), np.float32)})
    assert stored["w"].dtype == np.int8
    assert (dequantise(stored)["w"] == 0).all()


def test_small_kernels_are_not_rounded():
    kernel = np.random.default_rng(2).normal(size=(64, 2, 1, 35)).astype(np.float32)
    np.testing.assert_array_equal(quantise({"conv1.weight": kernel})["conv1.weight"], kernel)


def test_large_weights_are_split_into_files_and_come_back(tmp_path):
    rng = np.random.default_rng(1)
    tensors = {
        f"layer{i}.weight": rng.normal(size=(512, 20000)).astype(np.float32) for i in range(3)
    }
    files = write_weights(tensors, tmp_path, "big")
    assert [f.name for f in files] == [f"big-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert all(f.stat().st_size < SHARD_BYTES + 100_000 for f in files)
    assert not list(tmp_path.glob("*.part"))
    stored = {}
    for file in files:
        stored.update(load_file(file))
    back = dequantise(stored)
    assert set(back) == set(tensors)
    np.testing.assert_allclose(back["layer2.weight"], tensors["layer2.weight"], atol=0.05)


@pytest.mark.parametrize("error", [OSError(28, "No space left"), SafetensorError("No space left")])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, error):
    def full(tensors, path):
        path.write_bytes(b"half of it")
        raise error

    tensors = {"w": np.zeros((2, 3), np.float32)}
    (file,) = write_weights(tensors, tmp_path, "small")
    before = file.read_bytes()
    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(SptError, match="No space left") as caught:
        write_weights(tensors, tmp_path, "small")
    assert caught.value.code == "unwritable"
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {file: before}


def test_kernels_that_lie_channels_last_in_memory_come_back_in_their_shape(tmp_path):
    import torch

    kernel = torch.arange(2 * 3000 * 15, dtype=torch.float32).reshape(2, 3000, 1, 15) % 101
    lying = kernel.contiguous(memory_format=torch.channels_last).numpy()
    assert not lying.flags.c_contiguous
    (file,) = write_weights({"w": lying}, tmp_path, "small")
    back = dequantise(load_file(file))["w"]
    np.testing.assert_allclose(back, kernel.numpy(), atol=0.45)
