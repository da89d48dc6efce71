import json
import shutil

import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.resandi import weights as module
from spt_explain.resandi.weights import find_weights, list_weights
from spt_explain.resources import shipped


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the shipped weights that a test may damage."""
    folder = tmp_path / "weights"
    shutil.copytree(shipped("weights"), folder)
    monkeypatch.setattr(module, "shipped", lambda kind: folder)
    return folder


def test_shipped_weights_are_whole_small_and_free_of_pickle():
    folder = shipped("weights")
    assert sum(f.stat().st_size for f in folder.iterdir()) < 44 * 2**20
    assert {f.suffix for f in folder.iterdir()} == {".safetensors", ".json"}
    assert all(f.stat().st_size < 16 * 2**20 for f in folder.iterdir())
    named = set()
    for name in list_weights():
        weights = find_weights(name)
        weights.verify()
        named |= set(weights.files)
        for key in ("version", "data", "recipe", "seed", "accuracy", "architecture"):
            assert weights.card[key], f"{name}: the card lacks {key}"
        assert set(weights.card["accuracy"]["by_length"])
        assert weights.accuracy > 0.88
    assert named == {f.name for f in folder.glob("*.safetensors")}


def test_the_default_is_the_best_on_the_test_protocol():
    best = max(list_weights(), key=lambda name: find_weights(name).accuracy)
    assert find_weights().name == best == list_weights()[0]


def test_loaded_parameters_fit_the_network():
    from spt_explain.resandi.network import ResAnDi

    weights = find_weights()
    expected = {
        k: tuple(v.shape)
        for k, v in ResAnDi(weights.architecture).state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    found = {k: v.shape for k, v in weights.load().items()}
    assert found == expected


def test_a_changed_byte_is_found(copied):
    file = next(copied.glob("*.safetensors"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    broken = [name for name in list_weights() if file.name in find_weights(name).files]
    with pytest.raises(SptError, match=r"SHA-256 .* expected .* damaged"):
        find_weights(broken[0]).load()


def test_a_missing_file_is_named(copied):
    file = next(copied.glob("*.safetensors"))
    file.unlink()
    for name in list_weights():
        weights = find_weights(name)
        if file.name in weights.files:
            with pytest.raises(SptError, match=f"{file.name} is missing"):
                weights.verify()


@pytest.mark.parametrize("content", [None, "not json", json.dumps({"weights": {}})])
def test_a_damaged_manifest_is_one_line(copied, content):
    path = copied / module.MANIFEST
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(SptError, match="missing or damaged") as caught:
        find_weights()
    assert caught.value.exit_code == 1


def test_an_unknown_name_lists_and_suggests():
    with pytest.raises(SptError, match=r"no weights are called .*Did you mean resandi-robust"):
        find_weights("resandi-robus")


def test_dequantised_values_are_finite():
    assert all(np.isfinite(v).all() for v in find_weights().load().values())
