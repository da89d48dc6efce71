import json

from spt_explain.resandi import backends
from spt_explain.resandi import weights as module
from spt_explain.resandi.backends import devices
from spt_explain.resandi.backends.trusted import Verification


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


def test_doctor_shows_and_verifies_both_ways_on_a_gpu(run, monkeypatch):
    ways = []

    class Backend:
        notes = ("a note",)
        has_onnx = True

        def __init__(self, weights, points=None):
            few = self.has_onnx and points is not None and points < backends.TORCH_POINTS
            self.device = devices.Device("cuda", "onnx" if few else "torch")

        def verify(self):
            ways.append(self.device.description)
            return [Verification(self.device.description, 64, 2, 0, 0.001, 0.01)]

    monkeypatch.setattr(backends, "load_backend", Backend)
    monkeypatch.setattr(devices, "probe_onnx_cuda", lambda: (True, ""))
    monkeypatch.setattr(devices, "why_not_torch_cuda", lambda: "")
    text = run("doctor", "--verify").out
    assert ways == ["torch", "onnx"]
    assert text.count("off by at most 1.0e-03") == 2
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "torch cuda used by default" in lines
    assert "onnx cuda used by default to classify fewer than 30,000,000 points" in lines
    # one way only is verified once
    ways.clear()
    Backend.has_onnx = False
    run("doctor", "--verify")
    assert ways == ["torch"]


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
