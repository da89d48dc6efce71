"""The figures of single tracks, drawn by several processes where that is worth their start.

Worker processes are started afresh, never forked (loky, by joblib), on Linux, macOS and Windows
alike. Each is handed a track's rows when it is free, so memory grows with the number of workers.

Ctrl-C reaches the main thread wherever it is. So that loky's locks and half-started processes don't
outlive it, loky is only called by threads (`_in_thread`), Ctrl-C is hidden from the workers, and
`end` waits for them; whatever happens, a worker ends soon after the process that started it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError
from spt_explain.threads import core_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

FEWEST = 8
"""Processes are started for at least so many figures: it takes as long as drawing a few."""
_MANY_TRACKS = 4 * FEWEST
MAX_JOBS = 16
"""More processes than this take long to start."""


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn.

    Attributes
    ----------
    name : str
        File name without ending.
    track : pandas.Series
        The track's row.
    tables : tuple of pandas.DataFrame
        Its rows of frames, windows and timeline.
    options : dict
        Of `track_figure`.
    """

    name: str
    track: pd.Series[Any]
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
    options: dict[str, Any]


def draw_all(
    drawings: Iterable[Drawing],
    n: int,
    folder: Path,
    formats: tuple[str, ...],
    *,
    jobs: int | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Iterator[int]:
    """Draw figures, in several processes if there are many; the files are the same.

    Parameters
    ----------
    drawings : iterable of Drawing
    n : int
        How many there are.
    folder : pathlib.Path
        Where to.
    formats : tuple of str
        Of the files.
    jobs : int, optional
        Processes at most; by default as many as there are cores for this process.
    meanwhile : callable, optional
        Called once in this process while the others start.

    Yields
    ------
    int
        How many are done, from 0.

    Raises
    ------
    Exception
        The first one of any figure.
    """
    jobs = min(_processes(jobs), n)
    todo = list(drawings)
    done = 0
    if jobs > 1 and n >= FEWEST:
        try:
            for done in _by_workers(todo, folder, formats, jobs, meanwhile):
                meanwhile = None
                yield done
        except _NoProcessesError:  # what is left is drawn here, and the next by new ones
            _kept.pop(jobs, None)
    if meanwhile is not None:
        meanwhile()
    for number, drawing in enumerate(todo[done:], start=done):
        yield number
        failed = draw(drawing, folder, formats)
        if failed is not None:
            raise failed
    yield n


@contextmanager
def started_meanwhile(jobs: int | None, n_tracks: int) -> Iterator[None]:
    """Start the processes beside what is done within: they take seconds to import what they need.

    Parameters
    ----------
    jobs : int or None
        As for `draw_all`.
    n_tracks : int
        Tracks that figures may be drawn of; for few none is started.
    """
    jobs = _processes(jobs)
    if jobs < 2 or n_tracks < _MANY_TRACKS:
        yield
        return
    coming: list[Future[None]] = []
    with suppress(*_NO_PROCESSES):  # what draws finds the same, and draws without
        coming = _in_thread(lambda: [_executor(jobs).submit(_get_ready) for _ in range(jobs)])
    yield
    with suppress(Exception):
        for one in coming:
            one.result()


def _get_ready() -> None:
    import spt_explain.report.reason_figures  # noqa: F401 - what the process will need


_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "MKL", "OPENBLAS", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR", "NUMBA")
}
_IDLE_S = 300
"""A process that had nothing to do for so long ends."""


_kept: dict[int, Any] = {}
_THREAD = "starts figure processes"


def _executor(jobs: int) -> Any:
    """Return worker processes of loky, the same at each call: they take seconds to start.

    Called in a thread of its own (`_in_thread`), from which Ctrl-C is hidden.

    Their work is cancelled one by one, and they are never killed as `joblib.Parallel` kills them:
    that may end loky's thread with a KeyError (loky 3.5). Nor are they those of joblib, whose
    memory maps (`spt_explain.movies.parallel`) others don't have.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    if jobs not in _kept:
        _kept[jobs] = ProcessPoolExecutor(
            jobs, timeout=_IDLE_S, env=_ONE_THREAD, initializer=_end_with, initargs=(os.getpid(),)
        )
    return _kept[jobs]


def _end_with(parent: int) -> None:
    """End this process, a worker, once the one that started it is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    if os.name == "posix":  # elsewhere a process keeps the number of its parent
        threading.Thread(target=watch, daemon=True).start()


def _in_thread(function: Callable[[], Any]) -> Any:
    """Return what a function returns in a thread; Ctrl-C reaches neither it nor its processes."""
    returned: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        if os.name == "posix":
            from multiprocessing import resource_tracker

            # processes inherit what their thread has blocked; the start of a tracker would undo it
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            returned.append(function())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name=_THREAD)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return returned[0]


def end(patience_s: float = 20) -> bool:
    """End all worker processes; give up waiting for them after some seconds.

    Returns
    -------
    bool
        Whether there were any.
    """
    any_started = bool(_kept) or any(one.name == _THREAD for one in threading.enumerate())

    def shut_down() -> None:
        for thread in threading.enumerate():  # processes may be about to start
            if thread.name == _THREAD:
                thread.join()
        for jobs in list(_kept):
            _kept.pop(jobs).shutdown(wait=True)

    thread = threading.Thread(target=shut_down, daemon=True)
    thread.start()
    thread.join(patience_s)
    return any_started


_NO_PROCESSES = (ImportError, OSError, BrokenExecutor)
"""What is raised where processes can't be started, or were ended by the system before."""


class _NoProcessesError(Exception):
    """Processes can't be started here, or the system ended one."""


def _by_workers(
    drawings: list[Drawing],
    folder: Path,
    formats: tuple[str, ...],
    jobs: int,
    meanwhile: Callable[[], None] | None,
) -> Iterator[int]:
    try:
        coming = _in_thread(
            lambda: [_executor(jobs).submit(draw, one, folder, formats) for one in drawings]
        )
    except _NO_PROCESSES as error:
        raise _NoProcessesError from error
    try:
        if meanwhile is not None:
            meanwhile()
        yield 0
        for done, one in enumerate(coming, start=1):
            failed = one.result()
            if failed is not None:
                raise failed
            yield done
    except BrokenExecutor as error:
        raise _NoProcessesError from error
    finally:
        waiting = [one for one in coming if not one.cancel()]
        with suppress(Exception):
            for one in waiting:  # no file appears once this has ended
                one.result()


def draw(drawing: Drawing, folder: Path, formats: tuple[str, ...]) -> Exception | None:
    """Draw one figure; return what went wrong, which the caller raises."""
    from spt_explain.report.reason_figures import track_figure
    from spt_explain.report.style import all_colours, house_style, save_figure

    try:
        with house_style():
            figure = track_figure(drawing.track, *drawing.tables, **drawing.options, page=_page)
            kept = all_colours()
            save_figure(figure, folder, drawing.name, formats, kept_colours=kept)
            for part in figure.get_children():
                if part is not figure.patch:
                    part.remove()  # `clear` makes all axes anew before it removes them
            _pages[tuple(figure.get_size_inches())] = figure
    except (SptError, OSError) as error:
        return error
    return None


_pages: dict[tuple[float, ...], Figure] = {}
"""Empty figures by their size in inches, for the next track: each holds 18 MB of pixels, which take
long to get anew, and the widths of the words that all tracks have."""
_MOST_PAGES = 4


def _page(width_mm: float, height_mm: float) -> Figure:
    from spt_explain.report.style import new_figure

    if len(_pages) >= _MOST_PAGES:
        _pages.clear()
    return _pages.pop((width_mm / 25.4, height_mm / 25.4), None) or new_figure(width_mm, height_mm)


def _processes(jobs: int | None) -> int:
    return min(jobs or core_count(), MAX_JOBS)
