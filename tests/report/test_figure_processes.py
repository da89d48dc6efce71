import contextlib
import dataclasses
import os
from concurrent.futures import Future

import joblib
import numpy as np
import pandas as pd
import pytest

from spt_explain.report import figure_processes
from spt_explain.report.figure_processes import Drawing, draw_all

N = 3
FORMATS = ("png", "svg")


def drawing(particle):
    rng = np.random.default_rng(particle)
    path = rng.normal(size=(30, 2)).cumsum(0)
    frames = pd.DataFrame(
        {"file": "a.csv", "particle": particle, "segment": 0, "frame": np.arange(30),
         "x": path[:, 0], "y": path[:, 1], "score": rng.normal(size=30),
         "score_contrast": rng.normal(size=30), "node": 0}
    )  # fmt: skip
    track = pd.Series(
        {"file": "a.csv", "particle": particle, "segment": 0, "n_points": 30, "class": "BM",
         "status": "classified", "probability": 0.9, "explained": "BM", "against": "SubFBM",
         "p_BM": 0.9, "p_SubFBM": 0.1, "method": "input-x-gradient", "layer": "", "nodes": 30,
         "resolution_frames": 1, "loss_top": 0.3, "loss_random": 0.1, "loss_random_sd": 0.02,
         "check": "passed", "remark": "", "overlay": True, "alpha_msd": 1.0}
    )  # fmt: skip
    options = {"unit": "µm", "frame_interval_s": 0.1, "classes": ("BM", "SubFBM"), "whole": True}
    return Drawing(f"track-{particle}", track, (frames, frames[:0], frames[:0]), options)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(figure_processes, "FEWEST", 2)


def drawn(folder, jobs, calls=None, formats=("png",)):
    folder.mkdir(exist_ok=True)
    meanwhile = None if calls is None else lambda: calls.append(1)
    said = list(draw_all(map(drawing, range(N)), N, folder, formats, jobs=jobs,
                         meanwhile=meanwhile))  # fmt: skip
    return said, {path.name: path.read_bytes() for path in folder.iterdir()}


def test_processes_that_the_system_ended_are_replaced(tmp_path, few):
    """The first test here: those that end have imported nothing, and all others use the new."""
    with contextlib.suppress(Exception):
        figure_processes._executor(2).submit(os._exit, 1).result()
    for folder in ("once", "again"):
        said, files = drawn(tmp_path / folder, 2)
        assert said[-1] == N
        assert len(files) == N


def test_processes_draw_what_one_draws(tmp_path, few):
    calls = []
    said, files = drawn(tmp_path / "several", 2, calls, FORMATS)
    alone, expected = drawn(tmp_path / "one", 1, calls, FORMATS)
    assert files == expected
    assert len(files) == N * len(FORMATS)
    assert said[-1] == alone[-1] == N
    assert said == sorted(said)
    assert calls == [1, 1]


def test_a_page_that_another_track_was_on_gives_the_same_files(tmp_path, monkeypatch):
    """With axes, scales and words of the other one gone."""
    monkeypatch.setattr(figure_processes, "_pages", {})
    one, other = drawing(0), drawing(1)
    rest = [part.assign(x=1.0, y=2.0, score=np.nan) for part in other.tables]
    changed = pd.Series({**other.track, "remark": "No. " * 80})
    longer = dataclasses.replace(other, tables=tuple(rest), track=changed)
    files = []
    for name, before in (("first", ()), ("after", (longer, other))):
        figure_processes._pages.clear()
        folder = tmp_path / name
        folder.mkdir()
        for each in (*before, one):
            assert figure_processes.draw(each, folder, (*FORMATS, "pdf")) is None
        files.append([(folder / f"{one.name}.{fmt}").read_bytes() for fmt in (*FORMATS, "pdf")])
    assert len(figure_processes._pages) == 2  # of two heights
    assert files[0] == files[1]


def test_few_pages_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(figure_processes, "_pages", {})
    for lines in range(8):
        one = drawing(0)
        one.track["remark"] = "A remark of a line, almost, and some more of it. " * 3 * lines
        assert figure_processes.draw(one, tmp_path, ("png",)) is None
        assert 1 <= len(figure_processes._pages) <= figure_processes._MOST_PAGES


@pytest.mark.parametrize("after", [None, 1])
def test_without_processes_all_is_drawn_here(tmp_path, few, monkeypatch, after):
    """Where none can be started, and where the system ends one half-way."""

    def broken(todo, folder, formats, jobs, meanwhile):
        if after is None:
            raise figure_processes._NoProcessesError
        meanwhile()
        yield 0
        yield after
        raise figure_processes._NoProcessesError

    monkeypatch.setattr(figure_processes, "_by_workers", broken)
    drawn_here = []
    monkeypatch.setattr(figure_processes, "draw", lambda one, *rest: drawn_here.append(one.name))
    calls = []
    said, _ = drawn(tmp_path / "here", 2, calls)
    assert said[-1] == N
    assert calls == [1]
    assert drawn_here == [f"track-{k}" for k in range(after or 0, N)]


def test_joblib_that_can_start_nothing_is_no_error(tmp_path, few, monkeypatch):
    def refuse(*args, **options):
        raise OSError("no semaphores here")

    monkeypatch.setattr("joblib.externals.loky.ProcessPoolExecutor", refuse)
    monkeypatch.setattr(figure_processes, "_kept", {})
    _, files = drawn(tmp_path / "here", 2)
    assert len(files) == N


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_is_the_same(tmp_path, few, jobs):
    with pytest.raises(FileNotFoundError):
        list(draw_all(map(drawing, range(N)), N, tmp_path / "missing", FORMATS, jobs=jobs))


def test_nothing_to_draw(tmp_path):
    calls = []
    assert list(draw_all([], 0, tmp_path, FORMATS, meanwhile=lambda: calls.append(1))) == [0]
    assert calls == [1]


def test_processes_are_started_beside_what_is_done_within(monkeypatch):
    asked = []

    class Executor:
        def submit(self, call):
            asked.append(call)
            return Future()

    monkeypatch.setattr(Future, "result", lambda _: None)
    monkeypatch.setattr(figure_processes, "_executor", lambda _: Executor())
    for jobs, tracks, started in ((1, 1000, 0), (4, 31, 0), (4, 32, 4)):
        asked.clear()
        with figure_processes.started_meanwhile(jobs, tracks):
            assert len(asked) == started


def test_an_error_within_leaves_the_processes_fit_for_the_next(tmp_path, few):
    """Not killed: see `figure_processes._executor`."""
    for _ in range(5):
        with pytest.raises(KeyError), figure_processes.started_meanwhile(2, 1000):
            raise KeyError
    _, files = drawn(tmp_path / "figures", 2)
    assert len(files) == N


def test_no_figure_appears_after_one_that_failed(tmp_path, few):
    folder = tmp_path / "figures"
    many = [drawing(k) for k in range(40)]
    (folder / "track-1.png").mkdir(parents=True)
    with pytest.raises(OSError, match="track-1"):
        list(draw_all(many, len(many), folder, FORMATS, jobs=2))
    there = sorted(folder.iterdir())
    assert len(there) < len(many)
    figure_processes._executor(2).submit(int).result()
    assert sorted(folder.iterdir()) == there


def test_joblib_may_work_beside_them(tmp_path, few):
    """Movies are tracked by joblib's own processes, which must not be taken for these."""
    for folder in ("once", "again"):
        drawn(tmp_path / folder, 2)
        assert joblib.Parallel(2)(joblib.delayed(abs)(-i) for i in range(3)) == [0, 1, 2]


def test_processes_that_ended_before_are_no_error_when_they_are_started_beside_something():
    with contextlib.suppress(Exception):
        figure_processes._executor(2).submit(os._exit, 1).result()
    done = []
    with figure_processes.started_meanwhile(2, 1000):
        done.append(1)
    assert done == [1]
