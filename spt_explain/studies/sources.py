"""Which tracks a study is made of: simulated ones, or a lab's own of known class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.core.config import Several  # noqa: TC001 - of a field
from spt_explain.errors import SptError, option
from spt_explain.readers.wording import some
from spt_explain.studies.options import SourceOptions
from spt_explain.tracks.policy import QualityPolicy  # noqa: TC001 - of a field
from spt_explain.training.labelled import LABEL_COLUMN, LabelledTracks, join, read_labelled
from spt_explain.training.simulated import Protocol, simulate_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from spt_explain.readers.inputs import Input
    from spt_explain.resandi.classifier import Classifier

POINTS_AT_ONCE = 2_000_000
"""Points of the tracks that are in memory with their scores."""


class Watcher:
    """What a caller may want to hear meanwhile; every method does nothing by default."""

    def read(self, tracks: LabelledTracks) -> None:
        """Report a file that was read."""

    def ready(self, classifier: Classifier, what: str) -> None:
        """Report the network, and in words what is studied."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Report what is being done, how much of it is done, and of how much."""

    def part(self, what: str, before: int, n: int, total: int) -> Callable[[int, int], None]:
        """Return what turns the progress of a part, `n` of `total` after `before`, into all's."""

        def report(done: int, of: int) -> None:
            self.progress(what, before + n * done // max(of, 1), total)

        return report


class TrackSource(SourceOptions):
    """Where the tracks of a study come from: see `SourceOptions`.

    Attributes
    ----------
    data : tuple of str, pathlib.Path or Input
        Files of labelled tracks (see `read_labelled`); simulated ones if there are none.
    label_column, policy, reading
        How to read them (see `read_labelled`).
    """

    data: Several[Any] = ()
    label_column: str = LABEL_COLUMN
    policy: QualityPolicy | None = None
    reading: dict[str, Any] | None = None

    def __init__(self, data: Sequence[str | Path | Input] = (), **options: Any) -> None:
        super().__init__(**options | {"data": data})

    def open(
        self,
        classes: Sequence[str],
        *,
        tracks: int,
        length: tuple[int, int],
        watcher: Watcher | None = None,
    ) -> OpenedTracks:
        """Read the files, or get ready to simulate.

        Parameters
        ----------
        classes : sequence of str
            Of the network, in its order.
        tracks, length
            Of simulated tracks, where nothing else is asked for.
        watcher : Watcher, optional
            Told of each file.

        Returns
        -------
        OpenedTracks

        Raises
        ------
        SptError
            For files that can't be used, or noise for tracks that have some.
        """
        if not self.data:
            asked = {key: value for key, value in dict(self).items() if value is not None}
            protocol = Protocol.taken_from({"tracks": tracks, "length": length} | asked)
            return OpenedTracks(tuple(classes), self.noise or 0.0, protocol)
        parts = []
        for name in self.data:
            one = read_labelled(
                name,
                label_column=self.label_column,
                classes=classes,
                policy=self.policy,
                reading=self.reading,
            )
            if watcher is not None:
                watcher.read(one)
            parts.append(one)
        reports = tuple({**part.report, "tracks_studied": len(part)} for part in parts)
        files = join(parts)
        if self.tracks is not None:
            files = files.subset(self.tracks, self.seed)
        if self.noise is not None:
            if np.isfinite(files.noise).any() and np.nanmax(files.noise) > 0:
                raise SptError(
                    f"{option('noise')} adds noise to every position, and the data say that theirs "
                    f"have some already (column noise). Leave {option('noise')} out, or the "
                    "column.",
                    code="conflict",
                    option="noise",
                )
            files = files.with_noise(self.noise, self.seed)
        return OpenedTracks(tuple(classes), self.noise or 0.0, None, files, reports)


@dataclass(frozen=True, eq=False)
class OpenedTracks:
    """The tracks of a study, a batch at a time.

    Attributes
    ----------
    classes : tuple of str
        What labels stand for.
    noise : float
        1/SNR that was asked for.
    protocol : Protocol or None
        How tracks are simulated; None for files.
    files : LabelledTracks or None
        What the files hold.
    reports : tuple of dict
        Where they came from.
    """

    classes: tuple[str, ...]
    noise: float
    protocol: Protocol | None = None
    files: LabelledTracks | None = None
    reports: tuple[dict[str, Any], ...] = field(default=())

    def __len__(self) -> int:
        if self.files is not None:
            return len(self.files)
        assert self.protocol is not None
        return self.protocol.per_class(len(self.classes)) * len(self.classes)

    @property
    def name(self) -> str:
        """What the column ``file`` says."""
        if self.files is None:
            return "simulated"
        return str(self.files.report.get("name", "data")) if len(self.reports) == 1 else "data"

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences a user must know."""
        return () if self.files is None else self.files.notes

    @property
    def data(self) -> dict[str, Any]:
        """Where the tracks come from, for the provenance."""
        if self.protocol is not None:
            return {"simulated": {**self.protocol.to_dict(), "noise": self.noise}}
        return {"files": list(self.reports)}

    @property
    def words(self) -> str:
        """What the tracks are, for people."""
        noise = f" at 1/SNR {self.noise:g}" if self.noise else " without noise"
        if self.protocol is None:
            added = f", noise added{noise}" if self.noise else ""
            return f"{some(len(self), 'labelled track')}{added}"
        low, high = self.protocol.length
        each = self.protocol.per_class(len(self.classes))
        text = f"{each:,} simulated tracks of each of {len(self.classes)} classes{noise}, "
        text += f"{low}–{high} points" if low < high else f"{low} points"
        if self.protocol.even_lengths:
            text += " (as many in each length band)"
        return f"{text}; seed {self.protocol.seed}"

    def batches(self, points: int = POINTS_AT_ONCE) -> Iterator[LabelledTracks]:
        """Yield the tracks, some millions of points at a time."""
        if self.protocol is not None:
            for batch in simulate_test(self.protocol, self.noise, classes=self.classes):
                yield from split(batch, points)
        else:
            assert self.files is not None
            yield from split(self.files, points)

    def sample(self, n: int) -> LabelledTracks:
        """Return about `n` of the tracks, or as many of their kind, of all classes alike."""
        if self.files is not None:
            return self.files.subset(n, 0)
        assert self.protocol is not None
        few = self.protocol.changed(tracks=min(n, self.protocol.tracks))
        return join(list(simulate_test(few, self.noise, classes=self.classes)))

    def by_class(self) -> Iterator[tuple[int, LabelledTracks]]:
        """Yield all tracks of each class that occurs, in the order of the classes."""
        if self.files is not None:
            for label in np.unique(self.files.label):
                yield int(label), self.files.take(np.flatnonzero(self.files.label == label))
            return
        waiting: list[LabelledTracks] = []
        for batch in self.batches():  # simulated class by class
            for label in np.unique(batch.label):
                part = batch.take(np.flatnonzero(batch.label == label))
                if waiting and waiting[0].label[0] != label:
                    yield int(waiting[0].label[0]), join(waiting)
                    waiting = []
                waiting.append(part)
        if waiting:
            yield int(waiting[0].label[0]), join(waiting)


def split(tracks: LabelledTracks, points: int) -> Iterator[LabelledTracks]:
    """Yield tracks a part at a time, each of at most about as many points."""
    if len(tracks.positions) <= points:
        yield tracks
        return
    block = (tracks.offsets[1:] - 1) // points
    for number in np.unique(block):
        yield tracks.take(np.flatnonzero(block == number))
