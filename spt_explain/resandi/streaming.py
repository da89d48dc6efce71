"""A file of any size through the network, in chunks of tracks: memory stays bounded.

While the network works on some tracks, threads apply the policy to the next ones and estimate
their motion; see `spt_explain.resandi.judging` for what comes after.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.diffusion.estimates import check_exposure, estimate_motion
from spt_explain.diffusion.snr import inverse_snr
from spt_explain.threads import core_count, in_order
from spt_explain.tracks import chunks
from spt_explain.tracks.quality import (
    QualityPolicy,
    apply_to_chunk,
    join_counts,
    join_summaries,
    policy_chunks,
)
from spt_explain.tracks.runs import offsets_of
from spt_explain.tracks.thinning import frames_apart, thin

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.clock import Clock
    from spt_explain.resandi.classifier import Classifier, WindowOutputs
    from spt_explain.tracks.quality import Segments
    from spt_explain.tracks.table import Tracks

NETWORK_SEGMENTS = 1 << 17
"""Segments that the network is given at a time, at least: batches of a fixed shape want many."""
NETWORK_ROWS = 1 << 22
"""Points that it is given at a time, at most about: fewer segments where they are long."""


@dataclass(frozen=True, eq=False)
class Streamed:
    """What a file's chunks came to.

    Attributes
    ----------
    summary : pandas.DataFrame
        See `Segments.summary`.
    counts : dict of str to int
        See `Segments.counts`.
    runs : list of WindowOutputs
        What the network gave, for some of the segments each, all ways to begin together.
    first : list of WindowOutputs
        The same for the first way to begin alone, with the taps, if segments were to be kept.
    segments : list of Segments
        The segments themselves, if they were to be kept.
    motion : dict of str to numpy.ndarray, shape (segments,)
        Further columns of the verdict table.
    """

    summary: pd.DataFrame
    counts: dict[str, int]
    runs: list[WindowOutputs]
    first: list[WindowOutputs]
    segments: list[Segments]
    motion: dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A chunk of tracks, ready for the network: positions and offsets for each way to begin."""

    rows: int
    summary: pd.DataFrame
    counts: dict[str, int]
    parts: list[tuple[NDArray[np.float64], NDArray[np.int64]]]
    motion: dict[str, NDArray[np.float64]]
    segments: Segments | None = None

    @property
    def n_segments(self) -> int:
        return len(self.parts[0][1]) - 1


def motion_of(
    segments: Segments, tracks: Tracks, *, exposure: float, every: int
) -> dict[str, NDArray[np.float64]]:
    """Return the columns of the verdict table that describe motion; see `estimate_motion`."""
    motion = estimate_motion(segments, tracks.calibration, exposure=exposure, every=every)
    return motion | inverse_snr(segments, tracks, every=every)


@dataclass(frozen=True, eq=False)
class Preparation:
    """Tracks on their way to the network: threads apply the policy and estimate motion.

    Attributes
    ----------
    tracks : Tracks
    policy : QualityPolicy
        As it was asked for.
    needed : QualityPolicy
        With the fewest points that are needed, `every` taken into account.
    every : int
        Frames between the points of a track that are judged together.
    keep : bool
        Whether the segments are kept once the network has seen them.
    chunks : generator
        What is ready, in order.
    """

    tracks: Tracks
    policy: QualityPolicy
    needed: QualityPolicy
    every: int
    keep: bool
    chunks: Generator[_Prepared, None, None]


def prepare(
    tracks: Tracks,
    policy: QualityPolicy | None = None,
    *,
    exposure: float = DEFAULT_EXPOSURE,
    jobs: int | None = None,
    keep: bool = False,
) -> Preparation:
    """Begin to make tracks ready for the network, which need not be there yet.

    Parameters
    ----------
    tracks : Tracks
    policy : QualityPolicy, optional
        What happens to gaps, branches and short tracks.
    exposure : float
        Share of the frame that the shutter is open.
    jobs : int, optional
        Threads; one for each core by default.
    keep : bool
        Whether the segments are kept once the network has seen them.

    Raises
    ------
    SptError
        If the exposure is out of range.
    """
    check_exposure(exposure)
    policy = policy or QualityPolicy()
    every = frames_apart(tracks, policy)
    needed = policy.changed(min_length=every * policy.min_length)

    def work(chunk: Tracks) -> _Prepared:
        segments = apply_to_chunk(chunk, needed, keep_columns=keep)
        ways = [thin(segments, every, first) for first in range(every)]
        parts = [(_positions(way), way.offsets) for way in ways]
        motion = motion_of(segments, chunk, exposure=exposure, every=every)
        counts, kept = dict(segments.counts), segments if keep else None
        return _Prepared(len(chunk.table), segments.summary, counts, parts, motion, kept)

    jobs = jobs or core_count()
    # While the network works no chunk is begun, so the threads need as many as it takes meanwhile.
    ahead = 2 * jobs + -(-NETWORK_ROWS // chunks.CHUNK_ROWS)
    found = in_order(work, policy_chunks(tracks, needed), jobs=jobs, ahead=ahead)
    return Preparation(tracks, policy, needed, every, keep, found)


def _positions(segments: Segments) -> NDArray[np.float64]:
    """Return x and y, (n_points, 2), row by row in memory as a GPU takes them."""
    points = segments.points
    out = np.empty((len(points), 2))
    for i, axis in enumerate("xy"):
        out[:, i] = points[axis].to_numpy()
    return out


def stream(
    classifier: Classifier,
    coming: Preparation,
    *,
    clock: Clock,
    progress: Callable[[int, int], None] | None = None,
) -> Streamed:
    """Run the network over all tracks that the policy leaves.

    Parameters
    ----------
    classifier : Classifier
        Whose network it is; the calling thread runs it.
    coming : Preparation
        The tracks.
    clock : Clock
        Gets the time spent in ``quality`` (waiting for it and the estimates) and
        ``network``.
    progress : callable, optional
        Called with the number of windows done and their total, which is estimated from the rows
        until all of them are known.
    """
    tracks = coming.tracks
    done: list[_Prepared] = []
    waiting: list[_Prepared] = []
    runs: list[WindowOutputs] = []
    first: list[WindowOutputs] = []
    said = _Progress(progress, len(tracks.table))

    def run() -> None:
        clock.lap("quality")
        seconds = {"network": 0.0}
        ways = _run(classifier, waiting, said, seconds)
        if coming.keep:
            first.append(ways[0])
        runs.append(ways[0] if len(ways) == 1 else together(ways))
        waiting.clear()
        clock.lap("network", besides=seconds)

    with closing(coming.chunks):  # Ctrl-C while the network works ends the threads, too
        for one in coming.chunks:
            waiting.append(one)
            done.append(replace(one, parts=[]))
            segments = sum(part.n_segments for part in waiting)
            points = sum(len(part.parts[0][0]) for part in waiting)
            if segments >= NETWORK_SEGMENTS or points >= NETWORK_ROWS:
                run()
    if any(part.n_segments for part in waiting):
        run()
    said.finish()
    clock.lap("quality")
    return Streamed(
        join_summaries([part.summary for part in done], tracks),
        join_counts([part.counts for part in done], tracks),
        runs,
        first,
        [part.segments for part in done if part.segments is not None],
        {name: np.concatenate([part.motion[name] for part in done]) for name in done[0].motion},
    )


def _run(
    classifier: Classifier, parts: Sequence[_Prepared], said: _Progress, seconds: dict[str, float]
) -> list[WindowOutputs]:
    """Run the network over chunks, once for each way to begin."""
    ways = len(parts[0].parts)
    said.begin(sum(part.rows for part in parts), ways)
    found = []
    for way in range(ways):
        positions = np.concatenate([part.parts[way][0] for part in parts])
        lengths = [np.diff(part.parts[way][1]) for part in parts]
        offsets = offsets_of(np.concatenate(lengths))
        found.append(classifier.run(positions, offsets, progress=said.report, seconds=seconds))
        said.next_way()
    return found


def together(runs: Sequence[WindowOutputs]) -> WindowOutputs:
    """Return what the network gave for the same trajectories several times as one."""
    owner = np.concatenate([one.owner for one in runs])
    order = np.argsort(owner, kind="stable")
    return replace(
        runs[0],
        starts=np.concatenate([one.starts for one in runs])[order],
        stops=np.concatenate([one.stops for one in runs])[order],
        owner=owner[order],
        outputs=np.concatenate([one.outputs for one in runs])[order],
        taps=[],
    )


def joined(runs: Sequence[WindowOutputs]) -> WindowOutputs:
    """Return what the network gave for trajectories, some in each run, as one."""
    if len(runs) == 1:
        return runs[0]
    points = offsets_of(np.array([ran.stops.max(initial=0) for ran in runs]))
    segments = offsets_of(np.array([ran.n_segments for ran in runs]))
    windows = offsets_of(np.array([len(ran.owner) for ran in runs]))
    return replace(
        runs[0],
        n_segments=int(segments[-1]),
        starts=np.concatenate([ran.starts + at for ran, at in zip(runs, points, strict=False)]),
        stops=np.concatenate([ran.stops + at for ran, at in zip(runs, points, strict=False)]),
        owner=np.concatenate([ran.owner + at for ran, at in zip(runs, segments, strict=False)]),
        outputs=np.concatenate([ran.outputs for ran in runs]),
        taps=[
            (rows + at, taps)
            for ran, at in zip(runs, windows, strict=False)
            for rows, taps in ran.taps
        ],
    )


class _Progress:
    """Turns windows of a part of the file into windows of the whole."""

    def __init__(self, report: Callable[[int, int], None] | None, n_rows: int) -> None:
        self._report, self._n_rows = report, n_rows
        self._rows = self._before = self._windows = self._ways = 0

    def begin(self, rows: int, ways: int) -> None:
        """Note how many rows come next, and how often the network will see them."""
        self._rows += rows
        self._ways = ways

    def next_way(self) -> None:
        """Note that the network has seen them once more."""
        self._before += self._windows
        self._windows = 0
        self._ways -= 1

    def report(self, done: int, total: int) -> None:
        """Pass on how far it is."""
        self._windows = total
        if self._report is not None:
            known = self._before + total * self._ways
            self._report(self._before + done, round(known * self._n_rows / self._rows))

    def finish(self) -> None:
        """Say that all is done, where the last rows turned out to hold nothing for the network."""
        if self._report is not None and 0 < self._rows < self._n_rows:
            self._report(self._before, self._before)
