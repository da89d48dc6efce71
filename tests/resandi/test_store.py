import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.resandi import store as module
from spt_explain.resandi.store import install_files, install_weights, remove_weights
from spt_explain.resandi.weights import find_weights, generations, list_weights, own_folder

pytestmark = pytest.mark.usefixtures("data")


def _everything(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*")) if folder.exists() else []


def test_installed_weights_are_found_whole_and_equal(make_network):
    tensors, card = make_network(width=16, note={"of": ["mine", 1]})  # some kernels become int8
    weights = install_weights("mine", tensors, card)
    assert weights.name == "mine"
    assert weights.own
    loaded = find_weights("mine").load()
    assert set(loaded) == set(tensors)
    for name, value in tensors.items():
        step = np.abs(value).max() / 127
        np.testing.assert_allclose(loaded[name], value, atol=step / 2 + 1e-7)
    assert weights.card["version"] == "0.3"
    assert weights.card["note"] == {"of": ["mine", 1]}
    assert weights.card["name"] == "mine"
    assert weights.card["created"].endswith("Z")
    weights.verify()


def test_a_card_may_hold_numpy_values_and_paths(make_network, tmp_path):
    tensors, card = make_network(a=np.float32(0.5), b=np.arange(2), c=tmp_path)
    weights = install_weights("mine", tensors, card)
    assert (weights.card["a"], weights.card["b"], weights.card["c"]) == (0.5, [0, 1], str(tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), "\ud800"])
def test_a_card_that_is_no_json_installs_nothing(make_network, value):
    tensors, card = make_network(odd=value)
    with pytest.raises(SptError, match="can't be written as JSON"):
        install_weights("mine", tensors, card)
    assert _everything(own_folder()) == []


def test_missing_version_and_batch_counters_are_no_hindrance(make_network):
    tensors, card = make_network()
    del card["version"]
    tensors["bn1.num_batches_tracked"] = np.float32(7)
    weights = install_weights("mine", tensors, card)
    assert weights.version == "1.0"
    assert "bn1.num_batches_tracked" not in weights.load()


def test_weights_installed_here_classify(make_network):
    from spt_explain.resandi.classifier import Classifier

    install_weights("mine", *make_network(width=8))
    positions = np.random.default_rng(0).normal(size=(40, 2)).cumsum(axis=0)
    prediction = Classifier("mine", device="cpu").predict(positions, np.array([0, 20, 40]))
    assert prediction.probabilities.shape == (2, 8)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", ".hidden", "-x", "a/b", "a\\b", "../x", "a b", "a.", "ä", "x" * 65, "a\n",
        "con", "NUL", "aux.v2", "Com1", "lpt9.x", "a:b", "a*", "a\0",
    ],
)  # fmt: skip
def test_odd_names_are_refused_before_any_work(make_network, name, data):
    with pytest.raises(SptError, match="can't name weights"):
        install_weights(name, {}, {})
    assert not data.exists()


@pytest.mark.parametrize("name", ["a", "A-b_c.1", "9", "x" * 64, "console", "v1..2"])
def test_good_names_are_taken(make_network, name):
    assert install_weights(name, *make_network()).name == name


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("change", [str, str.upper])
def test_shipped_names_are_never_shadowed(make_network, overwrite, change):
    for name in list_weights():
        with pytest.raises(SptError, match="part of spt-explain"):
            install_weights(change(name), *make_network(), overwrite=overwrite)


def test_a_taken_name_needs_overwrite(make_network):
    first = install_weights("mine", *make_network(seed=1))
    with pytest.raises(SptError, match="overwrite=True"):
        install_weights("mine", *make_network(seed=2))
    assert find_weights("mine").sha256 == first.sha256
    second = install_weights("mine", *make_network(seed=2), overwrite=True)
    assert find_weights("mine").sha256 == second.sha256 != first.sha256
    assert generations(own_folder() / "mine") == [2]
    assert not first.folder.exists()


def test_names_that_differ_in_case_only_are_refused(make_network):
    install_weights("Mine", *make_network())
    for overwrite in (False, True):
        with pytest.raises(SptError, match="can't tell mine from them"):
            install_weights("mine", *make_network(), overwrite=overwrite)


def _drop(tensors):
    tensors.pop("fc.bias")


def _add(tensors):
    tensors["extra"] = np.zeros(3, np.float32)


def _reshape(tensors):
    tensors["fc.bias"] = tensors["fc.bias"][:-1]


def _spoil(tensors):
    tensors["fc.bias"] = np.full_like(tensors["fc.bias"], np.nan)


def _overflow(tensors):
    tensors["fc.bias"] = np.full(tensors["fc.bias"].shape, 1e300)


def _negate(tensors):
    tensors["bn1.running_var"] = -tensors["bn1.running_var"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_drop, r"lacks 1 of the \d+ tensors .* fc\.bias"),
        (_add, "no place for, such as 'extra'"),
        (_reshape, r"fc\.bias has the shape \(7,\); .* \(8,\)"),
        (_spoil, r"fc\.bias holds values that are not finite"),
        (_overflow, r"fc\.bias holds values that are not finite"),
        (_negate, r"bn1\.running_var holds negative values"),
    ],
)
def test_tensors_must_fit_the_card(make_network, change, said):
    tensors, card = make_network()
    change(tensors)
    with pytest.raises(SptError, match=said):
        install_weights("mine", tensors, card)
    assert _everything(own_folder()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": None}, "no 'architecture'"),
        ({"architecture": {"depth_of_a_later_version": 3}}, "update spt-explain"),
        ({"architecture": {"width": "wide"}}, "can't be built|does not know"),
        ({"architecture": {"width": -1}}, "can't be built|does not know"),
        ({"architecture": {"width": 10**30}}, "can't be built|does not know"),
        ({"architecture": {"width": 10**7}}, "can't be built|has the shape"),
        ({"architecture": {"inputs": "smells"}}, "can't be built|does not know"),
        ({"architecture": {"classes": 3}}, "can't be built|does not know"),
        ({"version": 3}, "gives no version"),
        ({"version": ""}, "gives no version"),
        ({"version": "1\x1b[2J"}, "gives no version"),
        ({"version": "1" * 41}, "gives no version"),
        ({"accuracy": "good"}, "accuracy is not shares"),
        ({"accuracy": {"by_noise": {"0.0": "high"}}}, "accuracy is not shares"),
        ({"accuracy": {"by_noise": {"0.0": 93}}}, "accuracy is not shares"),
    ],
)
def test_cards_are_validated(make_network, change, said):
    tensors, card = make_network()
    with pytest.raises(SptError, match=said):
        install_weights("mine", tensors, card | change)
    assert _everything(own_folder()) == []


def test_files_are_copied_as_they_are(make_network, tmp_path):
    from safetensors.numpy import save_file

    tensors, card = make_network()
    half = len(tensors) // 2
    save_file(dict(list(tensors.items())[:half]), tmp_path / "a.safetensors")
    save_file(dict(list(tensors.items())[half:]), tmp_path / "b.safetensors")
    files = [tmp_path / "a.safetensors", str(tmp_path / "b.safetensors")]
    weights = install_files("mine", files, card)
    assert list(weights.files) == ["a.safetensors", "b.safetensors"]
    assert {k: v.tolist() for k, v in weights.load().items()} == {
        k: v.tolist() for k, v in tensors.items()
    }
    assert (tmp_path / "a.safetensors").read_bytes() == (
        weights.folder / "a.safetensors"
    ).read_bytes()


def test_files_that_will_not_do_are_refused(make_network, tmp_path):
    from safetensors.numpy import save_file

    tensors, card = make_network()
    good = tmp_path / "good.safetensors"
    save_file(tensors, good)
    for name, content in (("text", b"x" * 100), ("empty", b""), ("short", good.read_bytes()[:-1])):
        (tmp_path / f"{name}.safetensors").write_bytes(content)
        with pytest.raises(SptError, match=f"{name}.safetensors is not a whole safetensors file"):
            install_files("mine", [tmp_path / f"{name}.safetensors"], card)
    for files, said in (
        ([], "no files"),
        ([tmp_path / "none.safetensors"], "not there"),
        ([tmp_path / "model.pt"], "can't be stored"),
        ([tmp_path / "a b.safetensors"], "can't be stored"),
        ([good, good], "same name"),
    ):
        with pytest.raises(SptError, match=said):
            install_files("mine", files, card)
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(SptError, match="not a file"):
        install_files("mine", [tmp_path / "folder.safetensors"], card)
    shutil.copy(good, tmp_path / "again.safetensors")
    with pytest.raises(SptError, match="twice"):
        install_files("mine", [good, tmp_path / "again.safetensors"], card)
    assert _everything(own_folder()) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("fc.bias", np.zeros(8, np.int64), "holds I64"),
        ("fc.bias", np.zeros(8, bool), "holds BOOL"),
        ("fc.bias", np.zeros(8, np.int8), r"lacks .* fc\.bias\.scale"),
        ("fc.bias.scale", np.ones(8, np.float32), "no place for"),
        ("fc.bias", np.full(8, np.inf, np.float16), "not finite"),
    ],
)
def test_stored_types_are_checked(make_network, tmp_path, name, value, said):
    from safetensors.numpy import save_file

    tensors, card = make_network()
    save_file({**tensors, name: value}, tmp_path / "x.safetensors")
    with pytest.raises(SptError, match=said):
        install_files("mine", [tmp_path / "x.safetensors"], card)


def test_removed_weights_leave_nothing(make_network):
    install_weights("mine", *make_network())
    install_weights("other", *make_network())
    remove_weights("mine")
    assert list_weights()[-1] == "other"
    assert [p.name for p in own_folder().iterdir()] == ["other"]
    with pytest.raises(SptError, match="no weights are called 'mine'"):
        remove_weights("mine")
    install_weights("mine", *make_network())
    assert find_weights("mine").folder.name == "1"


@pytest.mark.parametrize("name", ["../other", "..", ".", "", "/"])
def test_nothing_outside_can_be_removed(make_network, data, name):
    (data / "other").mkdir(parents=True)
    install_weights("mine", *make_network())
    with pytest.raises(SptError, match="no weights are called"):
        remove_weights(name)
    assert (data / "other").is_dir()


def test_shipped_weights_stay():
    with pytest.raises(SptError, match="can't be removed"):
        remove_weights(list_weights()[0])
    find_weights().verify()


def test_damaged_weights_can_be_removed_and_replaced(make_network):
    for repair in (remove_weights, None):
        weights = install_weights("mine", *make_network(), overwrite=True)
        (weights.folder / "manifest.json").unlink()
        if repair:
            repair("mine")
            assert "mine" not in list_weights()
        else:
            install_weights("mine", *make_network(), overwrite=True).verify()


@pytest.mark.parametrize("step", ["write", "hash", "rename"])
@pytest.mark.parametrize("problem", ["full", "interrupted"])
@pytest.mark.parametrize("before", [False, True])
def test_whatever_goes_wrong_the_old_set_stays(make_network, monkeypatch, step, problem, before):
    if before:
        old = install_weights("mine", *make_network(seed=1))
    listing = _everything(own_folder())

    def fail(*args, **kwargs):
        if problem == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr("spt_explain.resandi.quantise.write_weights", fail)
        elif step == "hash":
            patch.setattr(module, "file_sha256", fail)
        else:
            patch.setattr(type(own_folder()), "rename", fail)
        expected = SptError if problem == "full" else KeyboardInterrupt
        with pytest.raises(expected) as caught:
            install_weights("mine", *make_network(seed=2), overwrite=True)
    if problem == "full":
        assert "No space left" in str(caught.value)
        assert "SPT_EXPLAIN_DATA" in str(caught.value)
        assert caught.value.exit_code == 1
    assert _everything(own_folder()) == listing
    if before:
        assert find_weights("mine").sha256 == old.sha256
        find_weights("mine").verify()


def test_a_full_disk_seen_by_safetensors_is_one_line_too(make_network, monkeypatch):
    from safetensors import SafetensorError

    def fail(*args):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(SptError, match=r"could not be written .*No space left"):
        install_weights("mine", *make_network())
    assert _everything(own_folder()) == []


def test_a_data_folder_that_can_not_be_made_is_one_line(make_network, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path / "file"))
    with pytest.raises(SptError, match="SPT_EXPLAIN_DATA"):
        install_weights("mine", *make_network())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_read_only_data_folder_is_one_line(make_network, data):
    data.mkdir()
    data.chmod(0o500)
    with pytest.raises(SptError, match="Permission denied"):
        install_weights("mine", *make_network())


def test_refused_permission_is_one_line(make_network, data, monkeypatch):
    def fail(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(type(data), "mkdir", fail)
    with pytest.raises(SptError, match=r"Permission denied.*SPT_EXPLAIN_DATA"):
        install_weights("mine", *make_network())


def test_a_file_in_the_place_of_a_set_is_one_line(make_network):
    own_folder().mkdir(parents=True)
    (own_folder() / "mine").write_text("x")
    with pytest.raises(SptError, match="File exists"):
        install_weights("mine", *make_network())
    assert _everything(own_folder()) == ["mine"]


def test_leftovers_of_killed_processes_are_no_weights_and_go_in_time(make_network):
    own_folder().mkdir(parents=True)
    stale, fresh = own_folder() / ".stage-old", own_folder() / ".stage-new"
    trash = own_folder() / ".trash-x"
    for folder in (stale, fresh, trash):
        folder.mkdir()
        (folder / "x.safetensors").write_bytes(b"x")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(stale, (two_days_ago, two_days_ago))
    install_weights("mine", *make_network())
    assert sorted(p.name for p in own_folder().iterdir()) == [".stage-new", "mine"]


def test_an_older_set_that_could_not_be_deleted_stays_in_the_dark(make_network, monkeypatch):
    """Killed between the renaming and the tidying up: the newer one counts, removal takes both."""
    install_weights("mine", *make_network(seed=1))
    old = own_folder() / "mine" / "1"
    new = install_weights("mine", *make_network(seed=2), overwrite=True)
    shutil.copytree(new.folder, old)
    assert find_weights("mine").folder.name == "2"
    remove_weights("mine")
    assert "mine" not in list_weights()
    assert _everything(own_folder()) == []


def test_a_set_that_took_a_number_freed_meanwhile_gives_way(make_network, monkeypatch):
    """It looked at the numbers, then two others came and the first of them was discarded."""
    install_weights("mine", *make_network(seed=1))
    folder = own_folder() / "mine"
    (folder / "1").rename(folder / "3")
    looks = iter([[1]])
    monkeypatch.setattr(module, "generations", lambda path: next(looks, None) or generations(path))
    newest = find_weights("mine").sha256
    install_weights("mine", *make_network(seed=2), overwrite=True)
    assert generations(folder) == [3]
    assert find_weights("mine").sha256 == newest
    assert [p.name for p in own_folder().iterdir()] == ["mine"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_threads_that_install_at_once_leave_one_whole_set(make_network, overwrite):
    networks = [make_network(seed=seed) for seed in range(6)]
    barrier = threading.Barrier(len(networks))
    won, lost, odd = [], [], []

    def work(network):
        barrier.wait()
        try:
            won.append(install_weights("mine", *network, overwrite=overwrite).sha256)
        except SptError as error:
            lost.append(str(error))
        except BaseException as error:
            odd.append(error)

    threads = [threading.Thread(target=work, args=[network]) for network in networks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not odd
    assert len(won) == (len(networks) if overwrite else 1)
    assert all("are there already" in said for said in lost)
    weights = find_weights("mine")
    weights.verify()
    assert weights.sha256 in won
    assert generations(own_folder() / "mine") == [int(weights.folder.name)]
    assert [p.name for p in own_folder().iterdir()] == ["mine"]


def test_two_processes_that_install_at_once(make_network, tmp_path):
    """One of them gets the name; the other one is told; and the set is whole."""
    from safetensors.numpy import save_file

    tensors, card = make_network()
    save_file(tensors, tmp_path / "x.safetensors")
    (tmp_path / "x.json").write_text(json.dumps(card))
    code = (
        "import json, pathlib, sys, time\n"
        "from spt_explain.resandi import store\n"
        "store.check_files = lambda *arguments: None  # it needs torch, seconds to import\n"
        "here, who = pathlib.Path(sys.argv[1]), sys.argv[2]\n"
        "(here / f'ready-{who}').touch()\n"
        "while len(list(here.glob('ready-*'))) < 2: time.sleep(0.001)\n"
        "card = json.loads((here / 'x.json').read_text())\n"
        "store.install_files('mine', [here / 'x.safetensors'], card)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), who], stderr=subprocess.PIPE, text=True
        )
        for who in "ab"
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    codes = sorted(process.returncode for process in processes)
    assert codes == [0, 1], said
    assert sum("are there already" in text for text in said) == 1
    find_weights("mine").load()
    assert [p.name for p in own_folder().iterdir()] == ["mine"]
