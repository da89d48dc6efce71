import json

from spt_explain.resandi import weights as module


def test_doctor_reports_versions_devices_weights_and_folders(run):
    done = run("doctor", "--json")
    report = json.loads(done.out)
    assert done.code == 0
    assert report["healthy"]
    assert {d["backend"] for d in report["devices"]} == {"onnx", "torch"}
    assert sum(d["default"] for d in report["devices"]) == 1
    for device in report["devices"]:
        assert device["usable"] or device["reason"]
    assert [w["default"] for w in report["weights"]].count(True) == 1
    assert set(report["folders"]) == {"data", "cache", "weights", "recipes"}
    text = run("doctor").out
    for words in ("ONNX", "onnx", "used by default", "hashes hold", "All is well."):
        assert words.lower() in text.lower()


def test_doctor_finds_damaged_weights(run, tmp_path, monkeypatch):
    import shutil

    from spt_explain.resources import shipped

    folder = tmp_path / "weights"
    shutil.copytree(shipped("weights"), folder)
    next(folder.glob("*.safetensors")).write_bytes(b"nothing")
    monkeypatch.setattr(module, "shipped", lambda kind: folder)
    done = run("doctor")
    assert done.code == 1
    assert "damaged" in done.out
    assert "Something is broken" in done.out
