import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as to_bytes
from torch import nn

from spt_explain.errors import SptError
from spt_explain.xddpm.cards import CardKind, FilesCard


class Card(FilesCard):
    answer: int


KIND = CardKind(Card, "thing.json", "thing", "thing", lambda path: f"{path.parent} has no thing.")


def network():
    return nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2))


def write(folder, overwrite=False, seed=1):
    torch.manual_seed(seed)
    made = network()
    KIND.write(folder, {"net": made}, {"answer": 42}, overwrite=overwrite, hint="Take another.")
    return made


def test_what_is_written_is_read_again(tmp_path):
    made = write(tmp_path)
    card, parts, weights = KIND.read(tmp_path)
    with torch.device("meta"):
        found = network()
    KIND.fill({"net": found}, parts, weights)
    assert card.answer == 42
    x = torch.randn(3, 1, 2, 4, 4)
    assert torch.equal(found.eval()(x), made.eval()(x))
    found.train()(x)  # statistics can be learnt on


def test_one_model_at_a_time(tmp_path):
    write(tmp_path)
    with pytest.raises(SptError, match=r"holds a thing already\. Take another"):
        write(tmp_path)
    write(tmp_path, overwrite=True, seed=2)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("failing", [1, 2])  # the parameters, the card
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_old_model(tmp_path, monkeypatch, failing, error):
    write(tmp_path)
    old, calls, plain = KIND.read(tmp_path)[0], [], Path.replace

    def renamed(self, to):
        calls.append(to)
        if len(calls) == failing:
            raise error
        return plain(self, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", renamed)
        with pytest.raises((SptError, KeyboardInterrupt)) as caught:
            write(tmp_path, overwrite=True, seed=2)
    if isinstance(error, OSError):
        assert caught.value.code == "unwritable"
        assert f"the thing in {tmp_path} could not be written (No space" in str(caught.value)
    assert len(calls) == failing
    assert KIND.read(tmp_path)[0] == old
    assert not list(tmp_path.glob("*.part"))


def read_into(folder, found):
    """Fill a network with what is in a folder."""
    _, parts, weights = KIND.read(folder)
    KIND.fill({"net": found}, parts, weights)


def forge(folder, tensors):
    """Put other parameters in place, with their hash in the card."""
    write(folder)
    data = to_bytes(tensors)
    (folder / "thing-other.safetensors").write_bytes(data)
    card = json.loads((folder / "thing.json").read_text(encoding="utf-8"))
    card["files"] = {"thing-other.safetensors": hashlib.sha256(data).hexdigest()}
    (folder / "thing.json").write_text(json.dumps(card), encoding="utf-8")


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"net.0.weight": torch.zeros(2, 1, 1, 1, 1, dtype=torch.float64)}, "finite float32"),
        ({"net.0.weight": torch.full((2, 1, 1, 1, 1), torch.nan)}, "finite float32"),
        ({"other.0.weight": torch.zeros(1)}, "other networks"),
        ({"net.0.weight": torch.zeros(2, 1, 1, 1, 1)}, "another network"),
        ({"net.0.weight": torch.zeros(3)}, "size mismatch|Error"),
    ],
)
def test_parameters_of_something_else_are_refused(tmp_path, tensors, said):
    forge(tmp_path, tensors)
    with pytest.raises(SptError, match=said) as caught:
        read_into(tmp_path, network())
    assert caught.value.exit_code == 1
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["../thing.safetensors", "thing.bin"])
def test_a_card_can_t_name_files_elsewhere(tmp_path, name):
    write(tmp_path)
    card = json.loads((tmp_path / "thing.json").read_text(encoding="utf-8"))
    card["files"] = {name: "0"}
    (tmp_path / "thing.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(SptError, match="it names"):
        KIND.read(tmp_path)


def test_what_is_not_there_or_changed_is_said(tmp_path):
    with pytest.raises(SptError, match="has no thing"):
        KIND.read(tmp_path)
    write(tmp_path)
    (weights,) = tmp_path.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(SptError, match="SHA-256"):
        KIND.read(tmp_path)
    weights.unlink()
    with pytest.raises(SptError, match="No such file"):
        KIND.read(tmp_path)
    (tmp_path / "thing.json").write_text("[1", encoding="utf-8")
    with pytest.raises(SptError, match="not a card"):
        KIND.read(tmp_path)
