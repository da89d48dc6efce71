"""The spots of all frames of a movie, by several processes where that is worth their start.

Worker processes are started afresh, never forked (loky, by joblib), on Linux, macOS and Windows
alike: nothing that this process holds, threads and locks above all, is copied into them half-way,
and a script needs no ``if __name__ == "__main__"``. Each worker opens the movie itself and gives
back positions only, so memory grows with the number of workers and not with the movie.
"""

from __future__ import annotations

import os
import time
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from spt_explain.errors import Spelling, SptError, current_spelling, option, use_spelling
from spt_explain.movies.locate import band_pass, engine_for, find_spots
from spt_explain.movies.quiet import silence
from spt_explain.movies.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.movies.parameters import Parameters

    Floats = npt.NDArray[np.float64]

FIRST_FRAMES = 8
"""So many frames are worked on here before it is known whether more processes pay."""
START_S = 8.0
"""Processes are started if the frames left would take longer than this here."""
CHUNK_S = 0.5
"""About how long a worker is busy with the frames that it is given at a time."""
MAX_JOBS = 32
"""More processes than this wait for the disk."""


@dataclass(frozen=True)
class Found:
    """The spots of some consecutive frames.

    Attributes
    ----------
    first : int
        Number of the first frame.
    spots : list of numpy.ndarray, shape (n, 3)
        For each frame row and column in px, and mass in grey values.
    n_blank, n_saturated, n_not_finite : int
        Frames of one value only; spots with the largest value in their middle; pixels that are no
        number.
    """

    first: int
    spots: list[Floats]
    n_blank: int
    n_saturated: int
    n_not_finite: int


def locate_movie(
    stack: Stack,
    parameters: Parameters,
    progress: Callable[[int, int, int], None] | None = None,
    jobs: int | None = None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Find the spots of every frame.

    Parameters
    ----------
    stack : Stack
        The movie.
    parameters : Parameters
        Diameter, least mass, least height and polarity.
    progress : callable, optional
        Called with frames done, frames in all, and spots found so far.
    jobs : int, optional
        Processes at most; by default as many as there are cores for this process.

    Returns
    -------
    spots : pandas.DataFrame
        Columns ``frame`` (int64), ``y``, ``x`` in px and ``mass`` in grey values, sorted by frame;
        the same whatever `jobs`.
    counts : dict of str to int
        ``blank_frames`` (one value only), ``saturated_spots`` (the largest value of the pixel type
        in their middle), ``not_finite_pixels`` (no number; read as the median of their frame).

    Raises
    ------
    SptError
        If there is no spot in any frame, a frame can't be read, `jobs` is less than 1, or the
        system ends a worker.
    """
    import numpy as np
    import pandas as pd

    if jobs is not None and jobs < 1:
        raise SptError(f"{option('jobs')} is {jobs}; expected at least 1.", option="jobs")
    found: list[Found] = []
    n_done = n_spots = 0
    for one in _all(stack, parameters, min(jobs or usable_cores(), MAX_JOBS)):
        found.append(one)
        n_done += len(one.spots)
        n_spots += sum(map(len, one.spots))
        if progress is not None:
            progress(n_done, stack.n_frames, n_spots)
    if n_spots == 0:
        kind = "dark" if parameters.dark else "bright"
        raise SptError(
            f"No spots were found in {stack.name}: looked in {stack.n_frames} frames for {kind} "
            f"ones of diameter {parameters.diameter} px and mass {parameters.minmass:g} or more. "
            "Give a smaller minmass, or another diameter."
        )
    per_frame = [spots for one in found for spots in one.spots]
    values = np.concatenate(per_frame)
    table = pd.DataFrame(
        {
            "frame": np.repeat(np.arange(len(per_frame), dtype=np.int64), [*map(len, per_frame)]),
            "y": values[:, 0],
            "x": values[:, 1],
            "mass": values[:, 2],
        }
    )
    return table, {
        "blank_frames": sum(one.n_blank for one in found),
        "saturated_spots": sum(one.n_saturated for one in found),
        "not_finite_pixels": sum(one.n_not_finite for one in found),
    }


def _all(stack: Stack, parameters: Parameters, jobs: int) -> Iterator[Found]:
    """Give the spots of all frames in order; the first ones tell how to go on."""
    n_first, n_spots, engine = min(FIRST_FRAMES, stack.n_frames), 0, "python"
    clock = time.perf_counter()
    for index in range(n_first):
        one = _some(stack, index, 1, parameters, engine)
        n_spots += len(one.spots[0])
        yield one
        engine = engine_for(n_spots, index + 1, stack.n_frames)
        if index <= 1:  # what is compiled at the first call does not count
            clock = time.perf_counter()
    seconds = (time.perf_counter() - clock) / max(n_first - 2, 1)
    left = stack.n_frames - n_first
    if jobs == 1 or left * seconds < START_S:
        for index in range(n_first, stack.n_frames):
            yield _some(stack, index, 1, parameters, engine)
        return
    size = max(1, min(round(CHUNK_S / max(seconds, 1e-6)), left // (4 * jobs)))
    tasks = (
        (stack.options, start, min(size, stack.n_frames - start), parameters, engine)
        for start in range(n_first, stack.n_frames, size)
    )
    yield from _by_workers(tasks, jobs, stack.name)


def _by_workers(
    tasks: Iterable[tuple[Any, int, int, Parameters, str]], jobs: int, name: str
) -> Iterator[Found]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    pool = Parallel(
        jobs,
        backend="loky",
        return_as="generator",
        batch_size=1,
        pre_dispatch="2 * n_jobs",
        inner_max_num_threads=1,
    )
    failed: SptError | None = None
    spelling = current_spelling()
    coming = pool(delayed(_in_worker)(spelling, *task) for task in tasks if failed is None)
    try:
        for one in coming:
            if isinstance(one, SptError):
                # What was handed out is waited for: loky may stumble over work that is withdrawn.
                failed = failed or one
            elif failed is None:
                yield one
    except BrokenProcessPool as error:
        raise SptError(
            f"{name}: the system ended a process that located spots, most often for want of "
            f"memory. Give a smaller {option('jobs')}.",
            exit_code=1,
            code="unavailable",
            option="jobs",
        ) from error
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that work was left undone
            coming.close()
    if failed is not None:
        raise failed


def _in_worker(
    spelling: Spelling, options: Any, first: int, n_frames: int, parameters: Parameters, engine: str
) -> Found | SptError:
    """Work on some frames in a process of its own; what a user can mend is handed back."""
    try:
        with silence(), use_spelling(spelling):
            return _some(_opened(options), first, n_frames, parameters, engine)
    except SptError as error:
        return error


@lru_cache(maxsize=1)
def _opened(options: Any) -> Stack:
    return Stack(*options)


def _some(stack: Stack, first: int, n_frames: int, parameters: Parameters, engine: str) -> Found:
    """Find the spots of consecutive frames."""
    import numpy as np

    spots: list[Floats] = []
    n_blank = n_saturated = 0
    before = stack.n_not_finite
    for index in range(first, first + n_frames):
        frame = stack.frame(index)
        if not np.ptp(frame) > 0:
            n_blank += 1
            spots.append(np.empty((0, 3)))
            continue
        here = find_spots(
            band_pass(frame, parameters.diameter, dark=parameters.dark),
            parameters.diameter,
            parameters.minmass,
            peak=parameters.peak,
            engine=engine,
        )[["y", "x", "mass"]].to_numpy()
        if stack.saturation is not None and len(here):
            row, column = here[:, :2].round().astype(int).T
            n_saturated += int((frame[row, column] >= stack.saturation).sum())
        spots.append(here)
    return Found(first, spots, n_blank, n_saturated, stack.n_not_finite - before)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
