"""A movie through a relevance model, frame by frame, in memory for one window of frames."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.xddpm.tiles import starts, window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.movies.stack import Stack
    from spt_explain.xddpm.model import Maps, RelevanceModel

MOST_CLIPS = 64
"""Clips kept of a movie, evenly spread, for the checks."""
_MOST_PREDICTED = 256
"""Tiles of a window that the regressor is asked about; more change its mean by little."""


class MovieLook:
    """What a model says of a movie, filled while the movie is read.

    Attributes
    ----------
    model : RelevanceModel
    stack : Stack
    columns : tuple of str
        Names of what is predicted: the signal's values, or its categories.
    clips : list of numpy.ndarray
        Some clips of the movie, of the model's own size, in pixel values.
    places : list of (int, int, int)
        First frame of each, and first row and column in binned pixels.
    """

    def __init__(
        self, model: RelevanceModel, stack: Stack, *, overlap: float = 0.5, batch: int = 32
    ) -> None:
        """Prepare to look.

        Parameters
        ----------
        model : RelevanceModel
        stack : Stack
        overlap : float
            Least share that neighbouring tiles and windows have in common, along each axis.
        batch : int
            Tiles at a time.
        """
        signal = model.signal
        self.model, self.stack = model, stack
        self.columns = signal.categories if signal.kind == "category" else signal.names
        self.clips: list[NDArray[np.float32]] = []
        self.places: list[tuple[int, int, int]] = []
        self._told_from = 0
        self._overlap, self._batch = overlap, batch
        self._rows: list[dict[str, float]] = []
        self._brightness: dict[int, NDArray[np.float32]] = {}
        self._recent: deque[NDArray[np.float32]] = deque(maxlen=model.frames)
        count = stack.n_frames
        begins = starts(count, model.frames, overlap)
        self._begin_of = {min(begin + model.frames, count) - 1: begin for begin in begins}
        self._told = np.zeros((count, len(self.columns)))
        self._weight = np.zeros(count)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height and width of the movie."""
        return self.stack.n_frames, self.stack.height, self.stack.width

    @property
    def n_tiles(self) -> int:
        """Tiles that a frame is cut into to predict; 1 for a model of whole frames."""
        size = self.model.cutting.size_of(self.stack.height, self.stack.width)
        return int(
            np.prod([len(starts(n, t, 0.0)) for n, t in zip(size, self.model.size, strict=True)])
        )

    def run(self, progress: Callable[[int, int], None] | None = None) -> Iterator[tuple[int, Maps]]:
        """Give the maps in order: the first frame, and the maps of the frames from there on."""
        for first, maps in self.model.explain_frames(
            self._frame, self.shape, overlap=self._overlap, batch=self._batch, progress=progress
        ):
            self._note(first, maps)
            yield first, maps

    def table(self) -> pd.DataFrame:
        """Return the time course, a row for each frame."""
        import pandas as pd

        table = pd.DataFrame(self._rows)
        told = self._told / self._weight[:, None]
        for name, values in zip(self.columns, told.T, strict=True):
            table[f"predicted_{name}"] = values.astype(np.float32)
        return table

    def _frame(self, index: int) -> NDArray[np.float32]:
        frame = self.stack.frame(index).astype(np.float32)
        self._brightness[index] = frame
        self._recent.append(self.model.cutting.binned(frame))
        begin = self._begin_of.get(index)
        if begin is not None:
            weight = window((self.model.frames,))[: index + 1 - begin]
            self._told_from = begin
            told = self._predicted(np.stack(self._recent))
            self._told[begin : index + 1] += weight[:, None] * told
            self._weight[begin : index + 1] += weight
        return frame

    def _predicted(self, block: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what is predicted for each frame, (frames, values): the mean of all tiles."""
        model, count = self.model, len(block)
        tile = (model.frames, *model.size)
        short = [(0, max(0, t - n)) for t, n in zip(tile, block.shape, strict=True)]
        block = np.pad(block, short, constant_values=model.reference)
        high, wide = model.size
        places = [
            (y, x)
            for y in starts(block.shape[1], high, 0.0)
            for x in starts(block.shape[2], wide, 0.0)
        ]
        if len(places) > _MOST_PREDICTED:
            some = np.linspace(0, len(places) - 1, _MOST_PREDICTED).round().astype(int)
            places = [places[i] for i in some]
        clips = np.stack([block[:, y : y + high, x : x + wide] for y, x in places])
        begin = self._told_from
        self._keep(clips, [(begin, y, x) for y, x in places])
        told = np.asarray(model.predict(clips), np.float64)
        told = told.reshape(len(clips), -1, len(self.columns))
        if model.signal.kind == "category":
            told = np.exp(told - told.max(-1, keepdims=True))
            told /= told.sum(-1, keepdims=True)
        mean = told.mean(0)
        return np.repeat(mean, count, 0) if len(mean) == 1 else mean[:count]

    def _keep(self, clips: NDArray[np.float32], places: list[tuple[int, int, int]]) -> None:
        """Keep some clips, about as many of each window."""
        each = max(1, -(-MOST_CLIPS // len(self._begin_of)))
        some = np.unique(np.linspace(0, len(clips) - 1, min(each, len(clips))).astype(int))
        self.clips.extend(clips[some])
        self.places.extend(places[i] for i in some)
        if len(self.clips) >= 2 * MOST_CLIPS:
            del self.clips[1::2]
            del self.places[1::2]

    def _note(self, first: int, maps: Maps) -> None:
        threshold = self.model.threshold
        for at, mask in enumerate(maps.contribution):
            frame = self._brightness.pop(first + at)
            total = float(mask.sum(dtype=np.float64))
            within = float((mask * frame).sum(dtype=np.float64) / total) if total > 0 else np.nan
            self._rows.append(
                {
                    "frame": first + at,
                    "relevance": float(mask.mean(dtype=np.float64)),
                    "share_relevant": float((mask >= threshold).mean()),
                    "information_nats": float(maps.information[at].sum(dtype=np.float64)),
                    "brightness": float(frame.mean(dtype=np.float64)),
                    "brightness_relevant": within,
                }
            )
