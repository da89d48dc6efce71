import errno
import hashlib
import io
import json
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.resandi import exchange as module
from spt_explain.resandi.exchange import export_weights, import_weights
from spt_explain.resandi.store import install_weights
from spt_explain.resandi.weights import find_weights, list_weights, own_folder, own_names

pytestmark = pytest.mark.usefixtures("data")
FILE = "mine-00001-of-00001.safetensors"


@pytest.fixture
def exported(make_network, tmp_path, monkeypatch):
    """A zip with the small set ``mine``, exported in a data folder that is then left."""
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path / "sender"))
    install_weights("mine", *make_network(note="kept"))
    path = export_weights("mine", tmp_path / "mine.zip")
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path / "data"))
    assert own_names() == []
    return path


def _contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _pack(path, contents, *, consistent=False, **changes):
    """Write a zip of name → bytes; with hashes made to fit, as a forger would."""
    contents = dict(contents)
    if consistent:
        manifest = json.loads(contents["manifest.json"])
        manifest["card"]["sha256"] = hashlib.sha256(contents["card.json"]).hexdigest()
        for name in manifest["files"]:
            manifest["files"][name] = hashlib.sha256(contents[name]).hexdigest()
        contents["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            info = zipfile.ZipInfo(name)
            for key, value in changes.get(name.replace(".", "_"), {}).items():
                setattr(info, key, value)
            archive.writestr(info, data)
    return path


def _nothing_was_installed():
    assert own_names() == []
    if own_folder().exists():
        assert list(own_folder().iterdir()) == []


def test_what_is_exported_is_imported_the_same(exported):
    weights = import_weights(exported)
    assert weights.name == "mine"
    assert weights.card["note"] == "kept"
    weights.verify()
    sent = _contents(exported)
    assert set(sent) == {"manifest.json", "card.json", FILE}
    assert {p.name: p.read_bytes() for p in weights.folder.iterdir()} == sent


def test_the_same_weights_give_the_same_bytes(exported, tmp_path):
    import_weights(exported)
    again = export_weights("mine", tmp_path / "again.zip")
    assert again.read_bytes() == exported.read_bytes()


def test_another_name_changes_the_card_and_nothing_else(exported):
    weights = import_weights(exported, name="other")
    assert (weights.name, weights.card["name"]) == ("other", "other")
    assert own_names() == ["other"]
    assert weights.sha256 == import_weights(exported).sha256


def test_shipped_weights_go_out_and_come_in_under_another_name(tmp_path):
    name = list_weights()[-1]
    path = export_weights(name, tmp_path)
    assert path == tmp_path / f"{name}.zip"
    with pytest.raises(SptError, match="name="):
        import_weights(path)
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("card.json")) == find_weights(name).card
        listed = json.loads(archive.read("manifest.json"))
        assert listed["files"] == find_weights(name).files
        for file, sha256 in listed["files"].items():
            assert hashlib.sha256(archive.read(file)).hexdigest() == sha256


def test_a_zip_packed_again_with_compression_is_welcome(exported, tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _contents(exported).items():
            archive.writestr(name, data)
    import_weights(tmp_path / "z.zip").verify()


def test_its_content_in_a_folder_is_welcome(exported, tmp_path):
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(exported) as archive:
        archive.extractall(folder)
    (folder / ".DS_Store").write_text("x")
    import_weights(folder).verify()
    import_weights(folder / "manifest.json", name="again").verify()
    data = bytearray((folder / FILE).read_bytes())
    data[-1] ^= 1
    (folder / FILE).write_bytes(data)
    with pytest.raises(SptError, match=f"{FILE} has SHA-256"):
        import_weights(folder, name="third")
    (folder / FILE).unlink()
    with pytest.raises(SptError, match=f"lacks {FILE}"):
        import_weights(folder, name="third")
    (folder / "card.json").write_text("{}")
    with pytest.raises(SptError, match=r"card\.json has SHA-256"):
        import_weights(folder, name="third")
    (folder / "card.json").unlink()
    with pytest.raises(SptError, match=r"card\.json can't be read"):
        import_weights(folder, name="third")
    assert own_names() == ["again", "mine"]


def test_safetensors_beside_a_card_are_welcome(make_network, tmp_path):
    from safetensors.numpy import save_file

    tensors, card = make_network()
    folder = tmp_path / "loose"
    folder.mkdir()
    names = list(tensors)
    for index, part in ((1, names[:5]), (2, names[5:])):
        save_file({n: tensors[n] for n in part}, folder / f"net-0000{index}-of-00002.safetensors")
    (folder / "net.json").write_text(json.dumps(card))
    for number, source in enumerate(
        ("", "net.json", "net-00001-of-00002.safetensors", "net-00002-of-00002.safetensors")
    ):
        weights = import_weights(folder / source, name=f"n{number}")
        assert len(weights.files) == 2
    assert import_weights(folder).name == "net"
    (folder / "net.json").write_text(json.dumps({**card, "name": "called"}))
    assert import_weights(folder).name == "called"
    loaded = find_weights("called").load()
    assert all(np.array_equal(loaded[name], tensors[name]) for name in tensors)
    (folder / "net-00002-of-00002.safetensors").unlink()
    with pytest.raises(SptError, match="lacks"):
        import_weights(folder, name="half")
    (folder / "other.json").write_text("{}")
    with pytest.raises(SptError, match=r"several \.json files"):
        import_weights(folder, name="x")
    (folder / "net.json").unlink()
    with pytest.raises(SptError, match=r"no card beside it: expected net\.json"):
        import_weights(folder / "net-00001-of-00002.safetensors", name="x")
    with pytest.raises(SptError, match="no weights beside it"):
        import_weights(folder / "other.json", name="x")


def test_folders_without_weights_say_what_they_lack(tmp_path):
    for file, said in ((None, "no weights"), ("a.json", "no safetensors")):
        if file:
            (tmp_path / file).write_text("{}")
        with pytest.raises(SptError, match=said):
            import_weights(tmp_path)
    (tmp_path / "a.json").unlink()
    (tmp_path / "a.safetensors").write_text("x")
    with pytest.raises(SptError, match=r"no card \(\.json\)"):
        import_weights(tmp_path)


def test_the_folder_of_shipped_weights_says_to_name_a_card():
    from spt_explain.resources import shipped

    with pytest.raises(SptError, match=r"NAME\.json"):
        import_weights(shipped("weights"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a zip file"),
        (b"hello", "not a zip file"),
        (bytes(range(256)) * 40, "not a zip file"),
        (b"PK\x03\x04" + b"\0" * 100, "incomplete or damaged zip"),
        (b"PK\x05\x06" + b"\0" * 18, "does not come from spt-explain"),
        (b"\x80\x04\x95.", "not a zip file"),
    ],
)
def test_files_that_are_something_else_are_named(tmp_path, content, said):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(SptError, match=said):
        import_weights(tmp_path / "x.zip")
    _nothing_was_installed()


def test_paths_that_lead_nowhere_are_one_line(tmp_path):
    for path in (tmp_path / "none.zip", tmp_path / "none" / "x.zip"):
        with pytest.raises(SptError, match="is not there"):
            import_weights(path)
    for path in (tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(SptError, match="can't be read"):
            import_weights(path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(SptError, match="not a file"):
            import_weights(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SptError, match="is not there"):
        import_weights(tmp_path / "link")


def test_a_pickle_is_never_loaded(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", b"cos\nsystem\n(S'touch /tmp/x'\ntR.")
    with pytest.raises(SptError, match="pickle"):
        import_weights(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "member",
    [
        "../evil.safetensors", "/etc/evil.safetensors", "a/../../evil.safetensors",
        "..\\evil.safetensors", "C:\\evil.safetensors", "C:evil.safetensors", "folder/",
        "folder/x.safetensors", "__MACOSX/._card.json", "evil.py", "evil.safetensors.exe",
        "nul.safetensors", "card.json\0.safetensors", "evil.safetensors\n", ".safetensors",
    ],
)  # fmt: skip
def test_members_that_could_land_elsewhere_are_refused(exported, tmp_path, member):
    written = member.replace("\0", "Q")  # zipfile cuts names there when it writes them
    path = _pack(tmp_path / "x.zip", {**_contents(exported), written: b"x"})
    path.write_bytes(path.read_bytes().replace(written.encode(), member.encode()))
    with pytest.raises(SptError, match="Nothing was unpacked"):
        import_weights(path)
    _nothing_was_installed()
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(exported, tmp_path, kind):
    path = _pack(
        tmp_path / "x.zip",
        {**_contents(exported), "l.safetensors": b"/etc/passwd"},
        l_safetensors={"create_system": 3, "external_attr": (kind | 0o777) << 16},
    )
    with pytest.raises(SptError, match="link or no plain file"):
        import_weights(path)
    _nothing_was_installed()


def test_members_beside_the_manifest_or_missing_are_refused(exported, tmp_path):
    good = _contents(exported)
    for contents, said in (
        ({**good, "more.safetensors": b"x"}, r"also holds, .*more\.safetensors"),
        ({k: v for k, v in good.items() if k != FILE}, f"lacks {FILE}"),
        ({k: v for k, v in good.items() if k != "card.json"}, r"lacks card\.json"),
        ({k: v for k, v in good.items() if k != "manifest.json"}, "does not come from"),
        ({f"mine/{k}": v for k, v in good.items()}, "unpack it and import the folder"),
    ):
        with pytest.raises(SptError, match=said):
            import_weights(_pack(tmp_path / "x.zip", contents))
    other = FILE.replace("mine", "nime")
    path = _pack(tmp_path / "x.zip", {**good, other: b"x"})
    path.write_bytes(path.read_bytes().replace(other.encode(), FILE.encode()))
    with pytest.raises(SptError, match="twice"):
        import_weights(tmp_path / "x.zip")
    _nothing_was_installed()


def test_every_changed_member_is_found(exported, tmp_path):
    good = _contents(exported)
    for name in ("card.json", FILE):
        data = bytearray(good[name])
        data[len(data) // 2] ^= 1
        with pytest.raises(SptError, match=f"{name} has SHA-256 .*its manifest says"):
            import_weights(_pack(tmp_path / "x.zip", {**good, name: bytes(data)}))
    _nothing_was_installed()


def test_hashes_that_were_made_to_fit_do_not_make_a_network(exported, tmp_path, make_network):
    """A zip that is consistent in itself, but whose content is not what its card says."""
    from safetensors.numpy import save

    good = _contents(exported)
    card = json.loads(good["card.json"])
    tensors, _ = make_network()
    for change, said in (
        ({"card.json": b"[]"}, "not a card"),
        ({"card.json": b"{}"}, "gives no version"),
        ({"card.json": b"\xff"}, "not readable as JSON"),
        ({"card.json": json.dumps({**card, "architecture": {"width": 4}}).encode()}, "card"),
        ({"card.json": json.dumps(card).encode()[:-1] + b', "x": 1e999}'}, "written as JSON"),
        ({FILE: b"not tensors"}, "not a whole safetensors file"),
        ({FILE: b"\x80\x04cos\nsystem\n."}, "not a whole safetensors file"),
        ({FILE: (2**62).to_bytes(8, "little") + b"{}"}, "not a whole safetensors file"),
        ({FILE: save({**tensors, "more": np.zeros(2, np.float32)})}, "no place for"),
    ):
        path = _pack(tmp_path / "x.zip", good | change, consistent=True)
        with pytest.raises(SptError, match=said):
            import_weights(path)
        _nothing_was_installed()


def test_bombs_are_refused_by_what_they_say_and_by_what_they_do(exported, tmp_path):
    good = _contents(exported)
    with pytest.raises(SptError, match="more than is taken in"):
        import_weights(exported, max_bytes=1000)
    card = {**good, "card.json": b" " * (5 * 2**20)}
    with pytest.raises(SptError, match=r"card\.json is larger than 4 MiB"):
        import_weights(_pack(tmp_path / "x.zip", card))
    # a member that holds 30 MB and says it holds 1000 bytes
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**good, FILE: b"\0" * 30_000_000}.items():
            archive.writestr(name, data)
    data = (tmp_path / "x.zip").read_bytes()
    assert len(data) < 100_000
    lie = data.replace((30_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert lie != data
    (tmp_path / "x.zip").write_bytes(lie)
    with pytest.raises(SptError):
        import_weights(tmp_path / "x.zip")
    _nothing_was_installed()


def test_encrypted_and_oddly_compressed_zips_are_named(exported, tmp_path):
    good = _contents(exported)
    data = bytearray(_pack(tmp_path / "x.zip", good).read_bytes())
    for marker, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = -1
        while (at := data.find(marker, at + 1)) >= 0:
            data[at + offset] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(SptError, match="encrypted"):
        import_weights(tmp_path / "x.zip")
    path = _pack(tmp_path / "y.zip", good, card_json={"compress_type": zipfile.ZIP_BZIP2})
    with pytest.raises(SptError, match="unusual"):
        import_weights(path)


def test_a_zip_cut_anywhere_installs_nothing(exported, tmp_path):
    data = exported.read_bytes()
    rng = np.random.default_rng(0)
    cuts = {
        *range(0, 60, 7),
        *range(len(data) - 400, len(data), 9),
        *rng.integers(len(data), size=40),
    }
    for cut in sorted(cuts):
        (tmp_path / "x.zip").write_bytes(data[:cut])
        with pytest.raises(SptError):
            import_weights(tmp_path / "x.zip")
    _nothing_was_installed()


def test_a_zip_changed_anywhere_installs_the_same_or_nothing(exported, tmp_path):
    """Some bytes of a zip say nothing (its dates); all others are found."""
    data = exported.read_bytes()
    expected = _contents(exported)[FILE]
    rng = np.random.default_rng(1)
    at = [
        *range(0, 600, 5),
        *range(len(data) - 400, len(data), 3),
        *rng.integers(len(data), size=60),
    ]
    refused = 0
    for index, place in enumerate(at):
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "x.zip").write_bytes(changed)
        try:
            weights = import_weights(tmp_path / "x.zip", name=f"n{index}")
        except SptError:
            refused += 1
        else:
            assert (weights.folder / next(iter(weights.files))).read_bytes() == expected
    assert refused > len(at) / 2


def test_taken_names_need_overwrite(exported):
    import_weights(exported)
    with pytest.raises(SptError, match="overwrite=True"):
        import_weights(exported)
    assert import_weights(exported, overwrite=True).folder.name == "2"


def test_a_full_disk_while_unpacking_leaves_nothing(exported, monkeypatch):
    def fail(archive, info, out, path):
        if info.filename == FILE:
            out.write(b"x")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(archive, info, out, path)

    real = module._extract
    monkeypatch.setattr(module, "_extract", fail)
    with pytest.raises(SptError, match="No space left") as caught:
        import_weights(exported)
    assert caught.value.exit_code == 1
    _nothing_was_installed()


def test_exports_go_where_they_are_told_and_never_over_a_file(exported, tmp_path, monkeypatch):
    import_weights(exported)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SptError, match=r"mine\.zip exists"):
        export_weights("mine")
    assert export_weights("mine", "b.zip") == Path("b.zip")
    before = Path("b.zip").read_bytes()
    with pytest.raises(SptError, match="overwrite=True"):
        export_weights("mine", "b.zip")
    Path("b.zip").write_bytes(b"x")
    export_weights("mine", "b.zip", overwrite=True)
    assert Path("b.zip").read_bytes() == before
    for output in ("none/x.zip", "none/"):
        with pytest.raises(SptError, match="folder none is not there"):
            export_weights("mine", output)
    Path("d/mine.zip").mkdir(parents=True)
    with pytest.raises(SptError, match="is a folder"):
        export_weights("mine", "d")
    with pytest.raises(SptError, match="can't be written"):
        export_weights("mine", "x" * 300)


def test_damaged_weights_are_not_exported(exported, tmp_path):
    weights = import_weights(exported)
    (weights.folder / FILE).write_bytes(b"x")
    with pytest.raises(SptError, match="damaged"):
        export_weights("mine", tmp_path / "y.zip")
    assert not (tmp_path / "y.zip").exists()


def test_a_full_disk_while_exporting_leaves_the_old_file(exported, tmp_path, monkeypatch):
    import_weights(exported)
    before = sorted(tmp_path.iterdir())
    content = exported.read_bytes()

    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.shutil, "copyfileobj", fail)
    with pytest.raises(SptError, match="No space left") as caught:
        export_weights("mine", exported, overwrite=True)
    assert caught.value.exit_code == 1
    assert sorted(tmp_path.iterdir()) == before
    assert exported.read_bytes() == content


def test_the_zip_is_plain_for_other_programs(exported):
    with zipfile.ZipFile(io.BytesIO(exported.read_bytes())) as archive:
        assert archive.testzip() is None
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
