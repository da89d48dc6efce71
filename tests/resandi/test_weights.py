import json
import shutil

import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.resandi import weights as module
from spt_explain.resandi.store import install_weights
from spt_explain.resandi.weights import (
    data_folder,
    find_own,
    find_weights,
    list_weights,
    own_folder,
    own_names,
    shipped_names,
)
from spt_explain.resources import shipped

pytestmark = pytest.mark.usefixtures("data")


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the shipped weights that a test may damage."""
    folder = tmp_path / "weights"
    shutil.copytree(shipped("weights"), folder)
    monkeypatch.setattr(module, "shipped", lambda kind: folder)
    return folder


def test_shipped_weights_are_whole_small_and_free_of_pickle():
    folder = shipped("weights")
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 44 * 2**20
    assert {file.suffix for file in files} == {".safetensors", ".json", ".txt"}
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


def test_the_data_folder_is_that_of_the_system_or_of_the_variable(monkeypatch, tmp_path):
    import platformdirs

    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path / "here"))
    assert data_folder() == tmp_path / "here"
    assert own_folder() == tmp_path / "here" / "weights"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPT_EXPLAIN_DATA", "relative")
    assert data_folder() == tmp_path / "relative"
    monkeypatch.setenv("SPT_EXPLAIN_DATA", "~/spt")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert data_folder() == tmp_path / "spt"
    for unset in ("", "  ", None):
        if unset is None:
            monkeypatch.delenv("SPT_EXPLAIN_DATA")
        else:
            monkeypatch.setenv("SPT_EXPLAIN_DATA", unset)
        assert str(data_folder()) == platformdirs.user_data_dir("spt-explain", appauthor=False)


def test_a_home_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setenv("SPT_EXPLAIN_DATA", "~no-such-user-at-all/x")
    with pytest.raises(SptError, match="no such home folder"):
        data_folder()


def test_own_weights_follow_the_shipped_ones(make_network):
    install_weights("aaa", *make_network())
    install_weights("zzz", *make_network())
    assert list_weights() == [*shipped_names(), "aaa", "zzz"]
    assert find_weights("zzz").own
    assert not find_weights().own
    assert find_weights().name == shipped_names()[0]


def test_a_name_that_was_shipped_later_means_the_shipped_set(make_network, copied):
    install_weights("later", *make_network())
    manifest = json.loads((copied / module.MANIFEST).read_text())
    manifest["weights"]["later"] = manifest["weights"]["resandi-robust"]
    (copied / module.MANIFEST).write_text(json.dumps(manifest))
    assert not find_weights("later").own
    assert find_own("later").own
    assert list_weights().count("later") == 1


@pytest.mark.parametrize("name", ["../weights", "..", "/etc", "a/b", "a\\b", "", ".stage-x", "\0"])
def test_odd_names_are_unknown_and_never_paths(make_network, data, name):
    install_weights("mine", *make_network())
    if name:
        with pytest.raises(SptError, match="no weights are called"):
            find_weights(name)
    with pytest.raises(SptError, match="no weights are called"):
        find_own(name)


def test_a_file_given_as_a_name_says_to_import_it():
    with pytest.raises(SptError, match=r"weights\.import\(.*my\.zip"):
        find_weights("my.zip")


def test_near_misses_among_own_names_are_suggested(make_network):
    install_weights("vesicles", *make_network())
    with pytest.raises(SptError, match="Did you mean vesicles"):
        find_weights("vesicle")


@pytest.mark.parametrize("file", ["manifest.json", "card.json", "mine-00001-of-00001.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "changed", "junk"])
def test_every_damage_to_own_weights_is_found_with_its_remedy(make_network, file, damage):
    install_weights("mine", *make_network())
    path = own_folder() / "mine" / "1" / file
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "junk":
        path.write_bytes(bytes(range(256)) * 3)
    else:
        old, new = (b"mine", b"nime") if file == "manifest.json" else (data[-40:], b"\n" * 40)
        path.write_bytes(data.replace(old, new))
    with pytest.raises(SptError, match=r"[Ii]mport .*again") as caught:
        find_weights("mine").load()
    assert caught.value.exit_code == 1
    assert "Install spt-explain" not in str(caught.value)
    assert list_weights()[-1] == "mine"  # still listed, so that it can be removed
    find_weights().verify()


def test_a_manifest_can_not_name_files_elsewhere(make_network, tmp_path):
    install_weights("mine", *make_network())
    path = own_folder() / "mine" / "1" / "manifest.json"
    values = json.loads(path.read_text())
    values["files"] = {"../../../secret.safetensors": "0" * 64}
    path.write_text(json.dumps(values))
    with pytest.raises(SptError, match=r"bare \.safetensors names"):
        find_weights("mine")


def test_what_else_lies_in_the_folder_is_no_weights(make_network, data):
    install_weights("mine", *make_network())
    for name in (".DS_Store", "notes.txt", "1"):
        (own_folder() / name).write_text("x")
    (own_folder() / "empty").mkdir()
    (own_folder() / "half" / "card").mkdir(parents=True)
    assert own_names() == ["mine"]


def test_a_data_folder_that_is_a_file_is_one_line_and_spares_the_shipped_weights(
    tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path / "file"))
    with pytest.raises(SptError, match=r"SPT_EXPLAIN_DATA") as caught:
        list_weights()
    assert caught.value.exit_code == 1
    assert find_weights().name == shipped_names()[0]


def test_parameters_are_counted_without_statistics_and_scales(make_network):
    from spt_explain.resandi.network import ResAnDi

    weights = install_weights("mine", *make_network(width=16))
    network = ResAnDi(weights.architecture)
    assert weights.count_parameters() == sum(p.numel() for p in network.parameters())
    assert weights.size == sum(f.stat().st_size for f in weights.folder.glob("*.safetensors"))
    next(weights.folder.glob("*.safetensors")).write_bytes(b"x")
    with pytest.raises(SptError, match="can't be read"):
        weights.count_parameters()
