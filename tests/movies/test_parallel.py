import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from spt_explain.errors import SptError
from spt_explain.movies import parallel
from spt_explain.movies.locate import band_pass, find_spots
from spt_explain.movies.parallel import locate_movie
from spt_explain.movies.parameters import Parameters
from spt_explain.movies.stack import Stack

Render = Callable[..., tuple[np.ndarray, np.ndarray]]
PEAK = 20.0  # as movies get one, without which every peak of noise is looked at
PARAMETERS = Parameters(7, 400.0, 5.0, 0, False, PEAK, False)


@pytest.fixture(scope="module")
def movie(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames, _ = render(n_frames=30, height=200.0)
    frames[12] = 7
    path = tmp_path_factory.mktemp("movie") / "movie.tif"
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})
    return path


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes started however short the movie."""
    monkeypatch.setattr(parallel, "START_S", 0.0)


def test_every_frame_is_located_as_it_is_alone(movie: Path) -> None:
    with Stack(movie) as stack:
        found, counts = locate_movie(stack, PARAMETERS, jobs=1)
        for index in (0, 9, 29):
            alone = find_spots(band_pass(stack.frame(index), 7), 7, 400.0, peak=PEAK)
            here = found[found["frame"] == index][["y", "x", "mass"]].reset_index(drop=True)
            pd.testing.assert_frame_equal(here, alone)
    assert counts["blank_frames"] == 1
    assert not (found["frame"] == 12).any()


def test_processes_give_the_same_to_the_last_bit(movie: Path, processes: None) -> None:
    told: list[tuple[int, int, int]] = []
    with Stack(movie) as stack:
        one, counts_one = locate_movie(stack, PARAMETERS, jobs=1)
        two, counts_two = locate_movie(
            stack, PARAMETERS, lambda done, total, spots: told.append((done, total, spots)), 2
        )
    pd.testing.assert_frame_equal(two, one, check_exact=True)
    assert counts_two == counts_one
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})
    assert told[-1] == (30, 30, len(one))


def test_a_script_needs_no_guard(movie: Path, tmp_path: Path) -> None:
    """Fresh processes must not run the user's script again."""
    script = tmp_path / "script.py"
    script.write_text(
        "print('begins')\n"
        "from spt_explain.movies import TrackingSettings, parallel, track_movie\n"
        "parallel.START_S = 0.0\n"
        "given = TrackingSettings(diameter=7, minmass=400, search_range=5, memory=0, dark=False)\n"
        f"print(track_movie({str(movie)!r}, given, jobs=2).tracks.n_tracks)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "begins"
    assert done.stdout.count("begins") == 1


def test_what_a_worker_can_not_read_is_said(movie: Path, tmp_path: Path, processes: None) -> None:
    path = tmp_path / "short-lived.tif"
    path.write_bytes(movie.read_bytes())
    with Stack(path) as stack:
        path.unlink()
        with pytest.raises(SptError, match="was not found"):
            locate_movie(stack, PARAMETERS, jobs=2)


def test_a_worker_that_the_system_ends_is_no_hang(
    movie: Path, processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        import os

        os._exit(1)

    monkeypatch.setattr(parallel, "_in_worker", dies)
    with Stack(movie) as stack, pytest.raises(SptError, match="jobs=") as caught:
        locate_movie(stack, PARAMETERS, jobs=2)
    assert caught.value.exit_code == 1
    assert len(str(caught.value).splitlines()) == 1


def test_no_spots_names_what_was_tried(movie: Path) -> None:
    with Stack(movie) as stack, pytest.raises(SptError, match="mass 1e\\+09 or more"):
        locate_movie(stack, Parameters(7, 1e9, 5.0, 0, False, PEAK, False), jobs=1)


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_are_checked(movie: Path, jobs: int) -> None:
    with Stack(movie) as stack, pytest.raises(SptError, match="jobs="):
        locate_movie(stack, PARAMETERS, jobs=jobs)
