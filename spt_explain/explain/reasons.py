"""From verdicts to reasons: scores per frame, a check of each, statistics, verdicts over time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.errors import SptError, option
from spt_explain.explain import erasure
from spt_explain.explain.methods import LAYER_METHODS, STRIDES, maps, resolution
from spt_explain.explain.options import LAST, ExplainOptions, Method
from spt_explain.explain.scores import FrameScores, grad_cam_maps, to_frames
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.graph import NODES
from spt_explain.threads import beside, in_order
from spt_explain.tracks.runs import offsets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.explain.windows import WindowStatistics
    from spt_explain.resandi.classifier import Examined, Verdicts, WindowOutputs
    from spt_explain.tracks.quality import QualityPolicy, Segments
    from spt_explain.tracks.table import Tracks

__all__ = ["AUTO", "ExplainOptions", "Explainer", "Reasons"]

KEYS = ["file", "particle", "segment"]
FEWEST_NODES = 3
"""A layer with fewer nodes on a track says nothing about where the reason lies."""
AUTO: tuple[tuple[int, Method, str], ...] = ((0, "input-x-gradient", ""),)
"""Method and layer for tracks of at least so many points: the finest that passes the check there,
and at every length measured the best of all (`spt-explain study erasure`)."""


@dataclass(frozen=True)
class Reasons:
    """Why the network says so, of one file or several; every table is plain.

    Positive scores speak for the class that is explained.

    Attributes
    ----------
    tracks : pandas.DataFrame
        A row an explained track or segment: the verdict, then ``explained``, ``against``,
        ``method``, ``layer``, ``nodes`` (of that layer, on the track), ``resolution_frames``
        (that one score covers), ``loss_top``, ``loss_random``, ``loss_random_sd`` (of the
        probability when a fifth of the frames is erased, by score and at random), ``draws``
        (random erasures used, the fewer the clearer the case), ``check``, ``overlay`` (whether
        the scores say where) and ``remark``.
    frames : pandas.DataFrame
        A row a frame: ``file, particle, segment, frame, x, y, score, score_contrast, node``,
        and ``filled``, True where the frame was missing and the gap policy filled it in.
    windows : pandas.DataFrame
        A row a window: ``window, first_frame, last_frame, score`` and the paper's statistics.
    correlations : pandas.DataFrame
        Of score and statistics, by class.
    timeline : pandas.DataFrame
        Of long tracks, a row a window: class, probabilities, and whether it changes there.
    classes : tuple of str
        Names of the network's classes.
    unit : str
        Of x and y: ``"µm"`` or ``"pixel"``.
    frame_interval_s : float or None
        Time between frames.
    settings : dict
        What was asked for.
    verdicts : Verdicts or None
        All verdicts, those on tracks that were not explained too; None for several files.
    """

    tracks: pd.DataFrame
    frames: pd.DataFrame
    windows: pd.DataFrame
    correlations: pd.DataFrame
    timeline: pd.DataFrame
    classes: tuple[str, ...]
    unit: str
    frame_interval_s: float | None
    settings: dict[str, Any] = field(default_factory=dict)
    verdicts: Verdicts | None = None


class Explainer:
    """A network ready to explain any number of files.

    Parameters
    ----------
    how : ExplainOptions, optional
        Method, class, check.
    statistics : bool
        Whether windows with the paper's statistics, and correlations, are wanted.
    timeline : bool
        Whether long tracks are also classified in a sliding window.
    **options
        Of `Classifier`.

    Raises
    ------
    SptError
        As `Classifier`, and for a class that the network does not know.
    """

    def __init__(
        self,
        how: ExplainOptions | None = None,
        *,
        statistics: bool = True,
        timeline: bool = True,
        **options: Any,
    ) -> None:
        self.how = how or ExplainOptions()
        self.statistics = statistics
        self.timeline = timeline
        # only the last stage's Grad-CAM needs them: for others they would fill the memory
        tapped = (self.how.method, self.how.layer) == ("gradcam", LAST)
        self.classifier = Classifier(**options, taps=(NODES,) if tapped else ())
        self.plain = self.classifier.without_taps()
        self.classes = self.classifier.weights.architecture.classes
        for name in (self.how.class_name, self.how.against):
            if name and name not in self.classes:
                known = ", ".join(self.classes)
                raise SptError(
                    f"the network knows no class {name!r}; it knows {known}.", code="not-found"
                )
        if self.how.class_name and self.how.class_name == self.how.against:
            raise SptError(
                f"{option('class_name')} and {option('against')} are both {self.how.against}; give "
                "two.",
                code="conflict",
                option="class_name",
            )

    def explain(
        self,
        tracks: Tracks,
        policy: QualityPolicy | None = None,
        *,
        exposure: float = DEFAULT_EXPOSURE,
        only: Sequence[int] = (),
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Reasons:
        """Classify every track, and say why.

        Parameters
        ----------
        tracks : Tracks
            Trajectories of one file.
        policy : QualityPolicy, optional
            What happens to gaps, branches and short tracks.
        exposure : float
            See `Classifier.classify`.
        only : sequence of int
            Particles to explain; all by default. The verdicts always rest on all.
        progress : callable, optional
            Called with what is being done ("classifying", "explaining", "checking"), how much of
            it is done, and of how much.

        Returns
        -------
        Reasons

        Raises
        ------
        SptError
            If not a single track can be classified, or a particle is not there.
        """
        import pandas as pd

        said, name, jobs = _Said(progress), tracks.source.name, self.classifier.jobs
        examined = self.classifier.examine(
            tracks,
            policy,
            exposure=exposure,
            lay_out=lambda segments: _Layout.of(segments, name, only, jobs),
            progress=said.of("classifying"),
        )
        rows, layout = _rows(examined, only), examined.layout
        with beside() as pool:  # what needs no scores goes on meanwhile
            counted = pool.submit(self._window_statistics, layout)
            columns, found = self._explained(examined, said)
            statistics = counted.result()
        remark = _remarks(columns, found.score, layout.offsets)
        # all columns at once: one after the other, pandas takes longer than Grad-CAM
        columns |= {"remark": remark, "overlay": remark == ""}
        table = pd.DataFrame(rows | columns, copy=False)
        frames = layout.table(score=found.score, score_contrast=found.contrast, node=found.node)
        return self._reasons(tracks, examined, table, frames, statistics, said)

    def _explained(self, examined: Examined, said: _Said) -> tuple[dict[str, Any], FrameScores]:
        """Return columns of the table of tracks, and the scores of every frame."""
        import pandas as pd

        index, positions = examined.layout.index, examined.layout.positions
        offsets, prediction = examined.layout.offsets, examined.prediction
        p = prediction.probabilities[index]
        target, against = self._classes(examined.judged[index])
        lengths = np.diff(offsets)
        method, layer = self._methods(lengths)
        found = self._scores(
            examined, index, positions, offsets, target, against, method, layer, said
        )
        check = erasure.check(
            self.plain,
            positions,
            offsets,
            found.score,
            target,
            p[np.arange(len(p)), target],
            prediction.recording,
            then=found.smooth,
            share=self.how.share,
            draws=self.how.draws,
            how=self.how.erase,
            seed=self.how.seed,
            jobs=self.classifier.jobs,
            progress=said.of("checking"),
        )
        names = pd.array(list(self.classes), dtype="str")
        columns = {
            "explained": names.take(target),
            "against": names.take(against),
            "method": method,
            "layer": layer,
            "nodes": found.nodes,
            "resolution_frames": _resolutions(method, layer, lengths),
            "loss_top": check.top,
            "loss_random": check.random,
            "loss_random_sd": check.random_sd,
            "draws": check.draws,
            "check": check.verdicts(),
        }
        return columns, found

    def _window_statistics(self, layout: _Layout) -> WindowStatistics | None:
        from spt_explain.explain.windows import WindowStatistics

        return WindowStatistics.of(layout.table()) if self.statistics else None

    def _classes(self, p: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the class to explain and the one to hold against it, of each track."""
        every = np.arange(len(p))
        if self.how.class_name:
            target = np.full(len(p), self.classes.index(self.how.class_name))
        else:
            target = p.argmax(axis=1)
        others = p.copy()
        others[every, target] = -1
        against = others.argmax(axis=1)
        if self.how.against:
            wanted = self.classes.index(self.how.against)
            against = np.where(target == wanted, against, wanted)
        return target, against

    def _methods(self, lengths: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return method and layer of each track."""
        method, layer = np.full(len(lengths), "", object), np.full(len(lengths), "", object)
        if self.how.method != "auto":
            method[:] = self.how.method
            layer[:] = self.how.layer if self.how.method in LAYER_METHODS else ""
            return method, layer
        for fewest, one, where in AUTO:
            method[lengths >= fewest], layer[lengths >= fewest] = one, where
        return method, layer

    def _scores(
        self,
        examined: Examined,
        index: NDArray[np.int64],
        positions: NDArray[np.float64],
        offsets: NDArray[np.int64],
        target: NDArray[np.int64],
        against: NDArray[np.int64],
        method: NDArray[Any],
        layer: NDArray[Any],
        said: _Said,
    ) -> FrameScores:
        """Return the scores of every frame, by whichever method each track has."""
        lengths = np.diff(offsets)
        recording = examined.prediction.recording
        parts: list[tuple[NDArray[np.int64], FrameScores]] = []
        for one, where in sorted(set(zip(method, layer, strict=True))):
            some = np.flatnonzero((method == one) & (layer == where))
            if (one, where) == ("gradcam", LAST):
                bounds = _take(positions, offsets, some)[1]
                ran = _windows_of(examined.ran, index[some], self.plain.place(bounds))
                found = grad_cam_maps(
                    self.classifier, ran, recording, target[some], against[some], of=self.how.of
                )
            else:
                path, bounds = _take(positions, offsets, some)
                ran = self.plain.place(bounds)
                found = maps(
                    self.plain,
                    path,
                    ran,
                    recording,
                    target[some],
                    against[some],
                    method=one,
                    layer=where or LAST,
                    of=self.how.of,
                    progress=said.of("explaining"),
                )
            # what the check ranks frames by
            smooth, jobs = self.how.draws > 0, self.classifier.jobs
            parts.append((some, to_frames(found, ran, bounds, smooth=smooth, jobs=jobs)))
        return _joined(parts, lengths)

    def _reasons(
        self,
        tracks: Tracks,
        examined: Examined,
        table: pd.DataFrame,
        frames: pd.DataFrame,
        statistics: WindowStatistics | None,
        said: _Said,
    ) -> Reasons:
        import pandas as pd

        windows = correlations = timeline = pd.DataFrame()
        if statistics is not None:
            from spt_explain.explain.correlation import correlations as correlate

            windows = statistics.with_scores(frames)
            correlations = correlate(windows, table)
        if self.timeline:
            from spt_explain.explain.timeline import WIDTH, timeline_table

            timeline = timeline_table(
                frames,
                self.plain,
                recording=examined.prediction.recording,
                width=min(WIDTH, self.plain.weights.architecture.window),
                progress=said.of("following long tracks"),
            )
        calibration = tracks.calibration
        return Reasons(
            tracks=table,
            frames=frames,
            windows=windows,
            correlations=correlations,
            timeline=timeline,
            classes=tuple(self.classes),
            unit="µm" if calibration.length_unit == "um" else "pixel",
            frame_interval_s=calibration.frame_interval_s,
            settings=self.how.model_dump(),
            verdicts=examined.verdicts,
        )


class _Said:
    """Passes progress on, with a word for what is going on."""

    def __init__(self, progress: Callable[[str, int, int], None] | None) -> None:
        self.progress = progress

    def of(self, what: str) -> Callable[[int, int], None] | None:
        if self.progress is None:
            return None
        progress = self.progress
        return lambda done, total: progress(what, done, total)


@dataclass(frozen=True, eq=False)
class _Layout:
    """The frames that are explained, before they have scores.

    Attributes
    ----------
    index : numpy.ndarray of int64, shape (m,)
        Segments that are explained.
    offsets : numpy.ndarray of int64, shape (m + 1,)
        Where each one's frames begin, one after the other.
    positions : numpy.ndarray, shape (n_points, 2)
    columns : dict of str to array, shape (n_points,)
        Of the table of frames.
    """

    index: NDArray[np.int64]
    offsets: NDArray[np.int64]
    positions: NDArray[np.float64]
    columns: dict[str, Any]

    @classmethod
    def of(cls, segments: Segments, file: str, only: Sequence[int], jobs: int | None) -> _Layout:
        """Lay out the frames of some particles; of all if `only` is empty."""
        import pandas as pd

        summary, points = segments.summary, segments.points
        chosen = summary["segment_id"].to_numpy() >= 0
        if only:
            chosen &= summary["particle"].isin(list(only)).to_numpy()
        index = summary["segment_id"].to_numpy()[chosen]
        bounds = segments.offsets
        lengths = np.diff(bounds)[index]
        offsets = offsets_of(lengths)
        rows: slice | NDArray[np.int64] = slice(None)
        if len(index) < len(bounds) - 1:
            rows = np.arange(offsets[-1]) + np.repeat(bounds[:-1][index] - offsets[:-1], lengths)
        track = np.repeat(np.flatnonzero(chosen), lengths)

        def column(name: str) -> Any:
            if name == "file":  # pandas takes rows of text ten times as fast as it makes them
                return pd.array([file], dtype="str").take(np.zeros(len(track), np.int64))
            if name in KEYS:
                return summary[name].array.take(track)
            return points[name].array[rows].copy()

        names = [*KEYS, "frame", "x", "y", "interpolated"]
        columns = dict(zip(names, in_order(column, names, jobs=jobs), strict=True))
        columns["filled"] = columns.pop("interpolated")
        positions = np.empty((len(track), 2))
        positions[:, 0], positions[:, 1] = columns["x"], columns["y"]
        return cls(index, offsets, positions, columns)

    def table(self, **scores: NDArray[Any]) -> pd.DataFrame:
        """Return the table of frames, with such scores."""
        import pandas as pd

        columns = {k: v for k, v in self.columns.items() if k != "filled"}
        return pd.DataFrame({**columns, **scores, "filled": self.columns["filled"]}, copy=False)


def _rows(examined: Examined, only: Sequence[int]) -> dict[str, Any]:
    """Return the columns of the verdicts that can be explained."""
    table = examined.verdicts.table
    kept = examined.segments.summary["segment_id"].to_numpy() >= 0
    if only:
        chosen = table["particle"].isin(list(only)).to_numpy()
        missing = sorted(set(only) - set(table["particle"][chosen].tolist()))
        if missing:
            name = examined.verdicts.tracks.source.name
            raise SptError(
                f"{name} has no particle {missing[0]}; expected numbers of its particle column."
            )
        kept &= chosen
        if not kept.any():
            row = table[chosen].iloc[0]
            raise SptError(
                f"particle {row['particle']} was not classified: {row['status']} "
                f"({row['reason']}).",
                code="no-data",
            )
    if not kept.all():
        table = table[kept]
    return {str(name): table[name].array for name in table}


def _take(
    positions: NDArray[np.float64], offsets: NDArray[np.int64], which: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return some trajectories, in ascending order, one after the other, and their offsets."""
    if len(which) == len(offsets) - 1:
        return positions, offsets
    lengths = np.diff(offsets)[which]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.arange(ends[-1]) + np.repeat(offsets[:-1][which] - ends[:-1], lengths)
    return positions[rows], ends


def _windows_of(
    ran: WindowOutputs, which: NDArray[np.int64], placed: WindowOutputs
) -> WindowOutputs:
    """Return what the network gave for some trajectories, whose windows are `placed` alone."""
    if len(which) == ran.n_segments:
        return ran
    first = np.searchsorted(ran.owner, which)
    counts = np.bincount(placed.owner, minlength=len(which))
    rows = np.arange(len(placed.owner)) + np.repeat(first - np.cumsum(counts) + counts, counts)
    place = np.full(len(ran.owner), -1, np.int64)
    place[rows] = np.arange(len(rows))
    taps = []
    for part, tapped in ran.taps:
        kept = place[part] >= 0
        if kept.any():
            taps.append((place[part[kept]], {k: values[kept] for k, values in tapped.items()}))
    return replace(placed, outputs=ran.outputs[rows], taps=taps)


def _joined(
    parts: list[tuple[NDArray[np.int64], FrameScores]], lengths: NDArray[np.int64]
) -> FrameScores:
    """Put the scores of some tracks each back in the order of all tracks."""
    if len(parts) == 1:
        return parts[0][1]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    out = FrameScores(
        np.zeros(offsets[-1]),
        np.zeros(offsets[-1]),
        np.zeros(offsets[-1]),
        np.zeros(offsets[-1], np.int64),
        np.zeros(len(lengths), np.int64),
    )
    for some, found in parts:
        rows = np.repeat(offsets[some] - np.cumsum(lengths[some]) + lengths[some], lengths[some])
        rows = rows + np.arange(len(rows))
        for name in ("score", "contrast", "smooth", "node"):
            getattr(out, name)[rows] = getattr(found, name)
        out.nodes[some] = found.nodes
    return out


def _resolutions(
    method: NDArray[Any], layer: NDArray[Any], lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return how many frames one score of each track covers."""
    out = np.zeros(len(lengths), np.int64)
    for one, where in {*zip(method, layer, strict=True)}:
        some = (method == one) & (layer == where)
        points, row = np.unique(lengths[some], return_inverse=True)
        out[some] = np.array([resolution(one, where, n) for n in points], np.int64)[row]
    return out


def _remarks(
    table: Mapping[str, Any], score: NDArray[np.float64], offsets: NDArray[np.int64]
) -> NDArray[Any]:
    """Return why the scores of a track say nothing about where its reason lies; mostly nothing."""
    firsts = offsets[:-1]
    out = np.full(len(firsts), "", dtype=object)
    high, low = np.maximum.reduceat(score, firsts), np.minimum.reduceat(score, firsts)
    flat = high - low <= 1e-9 * np.maximum(np.abs(high), np.abs(low))
    explained = np.asarray(table["explained"], dtype=object)
    for name in np.unique(explained[(high <= 0) & ~flat].astype(str)):
        negative = (high <= 0) & ~flat & (explained == name)
        out[negative] = f"No frame speaks for {name}: the map is negative everywhere."
    out[flat] = "Every frame has the same score: the map says nothing about where."
    nodes, layers = table["nodes"], table["layer"]
    coarse = np.flatnonzero(nodes < FEWEST_NODES)
    coarse = coarse[layers[coarse] != ""]
    for layer, n in {*zip(layers[coarse], nodes[coarse].tolist(), strict=True)}:
        these = coarse[(layers[coarse] == layer) & (nodes[coarse] == n)]
        out[these] = (
            f"{n} node{'s' if n > 1 else ''} of {layer} ({STRIDES[layer]} frames each) "
            f"cover{'' if n > 1 else 's'} this track: too coarse to say where. "
            f"{option('method', 'auto')} looks closer."
        )
    return out
