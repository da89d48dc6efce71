import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from spt_explain.batch import Listener, classify_files, expected_points, plan_outputs
from spt_explain.errors import SptError
from spt_explain.many import NetworkRun
from spt_explain.resandi import streaming
from spt_explain.resandi.classifier import Verdicts
from spt_explain.resandi.weights import find_weights
from spt_explain.threads import threads_busy
from spt_explain.tracks import QualityPolicy


def test_a_table_beside_each_input():
    plan = plan_outputs(["x/a.csv", "y/a.csv"], None, None)
    assert plan.paths == [Path("x/a.verdicts.csv"), Path("y/a.verdicts.csv")]


def test_inputs_that_differ_in_their_ending_keep_it():
    plan = plan_outputs(["a.csv", "a.xml"], None, "parquet")
    assert plan.paths == [Path("a.csv.verdicts.parquet"), Path("a.xml.verdicts.parquet")]


def test_same_names_in_one_folder_get_their_parents(tmp_path):
    plan = plan_outputs(["x/a.csv", "y/a.csv", "../y/a.csv"], str(tmp_path), None)
    assert len(set(plan.paths)) == 3
    assert all(path.parent == tmp_path for path in plan.paths)
    assert plan.paths[0].name == "x_a.csv.verdicts.csv"


@pytest.mark.parametrize(
    "names",
    [
        ["x/y/a.csv", "x_y/a.csv", "x/y_a.csv"],
        ["../a.csv", "up/a.csv", "a.csv"],
        ["x/a.csv", "y/A.csv"],  # one file on Windows and macOS
        ["x/a.csv", "y/a.csv", "x/a.csv-2", "x_a.csv", "-x/a.csv"],
        ["x/caf\udce9.csv", "x/caf\udce8.csv", "y/caf\udce9.csv"],
    ],
)
@pytest.mark.parametrize("fmt", ["csv", "json"])
def test_each_file_has_a_table_of_its_own(tmp_path, names, fmt):
    plan = plan_outputs(names, f"{tmp_path}/", fmt)
    assert list(plan.each) == names
    assert len({str(path).casefold() for path in plan.paths}) == len(names)
    assert all(path.parent == tmp_path for path in plan.paths)
    assert all(path.name.endswith(f".verdicts.{fmt}") for path in plan.paths)


def test_a_folder_spelled_in_two_ways_is_one_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("y").mkdir()
    names = ["y/a.csv", str(tmp_path / "y" / "a.xml"), "y/../y/b.csv"]
    found = {path.resolve() for path in plan_outputs(names, None, None).paths}
    assert found == {
        tmp_path / "y" / f"{name}.verdicts.csv" for name in ("a.csv", "a.xml", "b.csv")
    }


def test_standard_input_goes_to_standard_output():
    assert plan_outputs(["-"], None, None).stdout
    assert plan_outputs(["-"], "out.parquet", None).combined == Path("out.parquet")


@pytest.mark.parametrize(
    ("names", "output", "fmt", "words"),
    [
        (["-", "a.csv"], None, None, "output="),
        (["a.csv"], "out.xlsx", None, ".csv, .parquet, .json"),
        (["a.csv"], "out.csv", "json", "contradicts"),
        (["a.csv"], "-", "parquet", "standard output"),
        (["-"], "folder/", None, "output=FILE"),
    ],
)
def test_contradictions_are_refused(names, output, fmt, words):
    with pytest.raises(SptError, match=words):
        plan_outputs(names, output, fmt)


# --- what goes on at the same time


class Fake:
    """Stands for a classifier: says the same of every track."""

    backend_name, batch_size, threshold, alone = "onnx", 1, 0.5, False
    backend = SimpleNamespace(
        device=SimpleNamespace(description="none"), precision="float32", notes=[]
    )

    def __init__(self, before=lambda _: None):
        self.weights = find_weights("resandi-small")
        self.before = before

    def classify_prepared(self, coming, *, progress):
        tracks, policy = coming.tracks, coming.policy
        coming.chunks.close()
        self.before(tracks)
        time.sleep(0.05)
        progress(1, 1)
        particle = np.unique(tracks.table["particle"])
        n = len(particle)
        table = pd.DataFrame({"file": tracks.source.name, "particle": particle, "n_points": 30})
        table["status"], table["class"], table["probability"] = "classified", "BM", 0.9
        for name in self.weights.architecture.classes:
            table[f"p_{name}"] = 1.0 if name == "BM" else 0.0
        assert len(table) == n
        return Verdicts(table, tracks, {"tracks": n}, policy, None, {"network": 0.05})


class Heard(Listener):
    def __init__(self):
        self.events, self.threads = [], set()

    def note(self, *event):
        self.events.append(event)
        self.threads.add(threading.current_thread())

    def reading(self, name, index, total):
        self.note("reading", Path(name).name, index, total)

    def progress(self, what, done, total):
        self.note("progress", what, done, total)

    def read(self, tracks):
        self.note("read", Path(tracks.source.name).name)

    def ready(self, engine):
        self.note("ready")

    def finished(self, result):
        self.note("finished", Path(result.name).name, result.done, str(result.error))


@pytest.fixture
def folder(tmp_path):
    """Files of tracks, one without an end, one that holds none."""
    text = "particle,frame,x,y\n" + "".join(
        f"{p},{f},{f * 0.5},{(f * p) % 7}\n" for p in range(3) for f in range(30)
    )
    for name in ("a", "c", "e"):
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "b.csv").write_text("particle,frame,x,y\n1,0,0.5,oh\n")
    (tmp_path / "d.csv").write_text("colour,taste\nred,sweet\n")
    return tmp_path


def classify(folder, names, make=Fake, **kwargs):
    heard = Heard()
    results, _ = classify_files(
        [str(folder / f"{name}.csv") for name in names],
        make,
        policy=QualityPolicy(),
        overwrite=True,
        listener=heard,
        **kwargs,
    )
    return results, heard


@pytest.mark.parametrize("output", [None, "all.csv"])
def test_files_read_ahead_are_reported_as_if_read_in_their_turn(folder, output):
    keys = {} if output is None else {"output": str(folder / output)}
    expected, plain = classify(folder, "abcde", jobs=1, **keys)
    found, heard = classify(folder, "abcde", jobs=2, **keys)
    assert heard.events == plain.events
    assert heard.threads == {threading.main_thread()}
    assert [str(one.error) for one in found] == [str(one.error) for one in expected]
    assert [one.done for one in found] == [True, False, True, False, True]
    assert [one.outputs for one in found] == [one.outputs for one in expected]


def test_one_file_is_read_ahead_and_none_with_one_job(folder, monkeypatch):
    read = []
    real = NetworkRun.read_ahead

    def noting(self, one):
        read.append(Path(one.name).stem)
        return real(self, one)

    monkeypatch.setattr(NetworkRun, "read_ahead", noting)
    seen = {}

    def before(tracks):
        time.sleep(0.2)
        seen[Path(tracks.source.name).stem] = list(read)

    classify(folder, "ace", lambda: Fake(before), jobs=2)
    assert seen == {"a": ["c"], "c": ["c", "e"], "e": ["c", "e"]}
    read.clear()
    classify(folder, "ace", lambda: Fake(before), jobs=1)
    assert read == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_network_that_cannot_start_ends_the_run_once_a_file_was_read(folder, jobs):
    def fail():
        raise SptError("no such device")

    with pytest.raises(SptError, match="no such device"):
        classify(folder, "ab", fail, jobs=jobs)
    with pytest.raises(SptError, match=r'none of 2 files could be classified; the first: .*"oh"'):
        classify(folder, "bd", fail, jobs=jobs)
    for thread in threading.enumerate():
        if thread.name.startswith("spt-explain"):
            thread.join(10)
    assert not threads_busy()


def test_tracks_are_made_ready_while_the_network_starts(folder, monkeypatch):
    ready = threading.Event()
    real = streaming.apply_to_chunk

    def noting(*args, **options):
        ready.set()
        return real(*args, **options)

    def make():
        assert ready.wait(30)
        return Fake()

    monkeypatch.setattr(streaming, "apply_to_chunk", noting)
    (result,), _ = classify(folder, "a", make, jobs=2)
    assert result.done


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_the_policy_refuses_is_that_files_error(folder, monkeypatch, jobs):
    """Also where it is found before the network is there."""
    real = streaming.frames_apart

    def refusing(tracks, policy):
        if tracks.source.name.endswith("c.csv"):
            raise SptError("too few frames")
        return real(tracks, policy)

    monkeypatch.setattr(streaming, "frames_apart", refusing)
    found, _ = classify(folder, "ace", jobs=jobs)
    assert [str(one.error) for one in found] == ["None", "too few frames", "None"]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("fmt", ["csv", "parquet"])
def test_every_second_has_a_name_in_the_sidecar(folder, monkeypatch, jobs, fmt):
    ended = []
    real = NetworkRun.settings

    def noting(self):
        ended.append(time.perf_counter())
        return real(self)

    monkeypatch.setattr(NetworkRun, "settings", noting)
    started = time.perf_counter() - 3
    (result,), _ = classify(folder, "a", started=started, jobs=jobs, fmt=fmt)
    made = json.loads((folder / "a.verdicts.json").read_text())
    seconds = made["inputs"][0]["seconds"]
    assert sum(seconds.values()) == pytest.approx(ended[0] - started, rel=0.02)
    assert seconds["start-up"] == pytest.approx(3, rel=0.1)
    assert {"reading", "backend", "network", "summary", "writing", "hashing"} <= set(seconds)
    assert made["inputs"][0]["sha256"] == result.describe()["sha256"]


def test_the_seconds_of_a_table_of_all_files_are_its_own(folder):
    classify(folder, "ac", output=str(folder / "all.csv"))
    made = json.loads((folder / "all.json").read_text())
    assert set(made["seconds"]) == {"joining", "writing"}
    assert all(one["seconds"]["network"] == 0.05 for one in made["inputs"])


def test_points_are_expected_from_the_sizes_of_files(tmp_path):
    for name, size in (("a.csv", 4000), ("b.csv", 400)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert expected_points([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]) == 110
    assert expected_points([str(tmp_path)]) == 110
    assert expected_points(["-"]) is None
