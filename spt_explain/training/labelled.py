"""Trajectories whose class is known: simulated by the paper's protocol, or a user's own file."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError, option
from spt_explain.readers import read_tracks
from spt_explain.readers.dialects import find_column, list_names, plain
from spt_explain.readers.inputs import Input
from spt_explain.readers.wording import quoted, some
from spt_explain.resandi.weights import file_sha256
from spt_explain.tracks.columns import rows_with_value
from spt_explain.tracks.quality import QualityPolicy, apply_policy, require_some
from spt_explain.tracks.runs import run_starts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spt_explain.tracks.table import SourceColumn, Tracks

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LABEL_COLUMN = "class"
NO_CLASS = "immobile"
"""What `simulate` calls particles that are noise around a fixed point; no class of a network."""


@dataclass(frozen=True, eq=False)
class LabelledTracks:
    """m trajectories and what is known of them.

    Attributes
    ----------
    positions : numpy.ndarray, shape (n_points, 2)
        x and y of the trajectories, one after the other, in any unit.
    offsets : numpy.ndarray of int64, shape (m + 1,)
        Trajectory *i* is ``positions[offsets[i]:offsets[i + 1]]``.
    label : numpy.ndarray of int64, shape (m,)
        Positions of their classes in the list that was asked for.
    alpha, noise : numpy.ndarray, shape (m,)
        Anomalous exponent, and localisation noise in units of the displacement's standard
        deviation (1/SNR); NaN where not known.
    track : numpy.ndarray of int64, shape (m,), or None
        Which track each is a segment of; None if each is a track of its own.
    report : dict
        Where they came from, for the provenance.
    notes : tuple of str
        Sentences a user must know.
    """

    positions: Floats
    offsets: Ints
    label: Ints
    alpha: Floats
    noise: Floats
    track: Ints | None = None
    report: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.label)

    @property
    def length(self) -> Ints:
        """Points of each trajectory, shape (m,)."""
        return np.diff(self.offsets)

    def take(self, index: Ints) -> LabelledTracks:
        """Return some of the trajectories, in the given order."""
        lengths = self.length[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], lengths)
        return replace(
            self,
            positions=self.positions[rows],
            offsets=offsets,
            label=self.label[index],
            alpha=self.alpha[index],
            noise=self.noise[index],
            track=None if self.track is None else self.track[index],
        )

    def subset(self, n: int, seed: int) -> LabelledTracks:
        """Return a random choice of at most `n`, the classes as even in number as can be."""
        if n >= len(self):
            return self
        shuffled = np.random.default_rng(seed).permutation(len(self))
        by_class = shuffled[np.argsort(self.label[shuffled], kind="stable")]
        starts = np.flatnonzero(np.diff(self.label[by_class], prepend=-1))
        sizes = np.diff(np.append(starts, len(self)))
        rank = np.arange(len(self)) - np.repeat(starts, sizes)
        return self.take(np.sort(by_class[np.argsort(rank, kind="stable")[:n]]))

    def with_noise(self, level: float, seed: int) -> LabelledTracks:
        """Return the trajectories with Gaussian noise on every position.

        Its standard deviation is `level` times that of the trajectory's own displacements, axis
        by axis; a trajectory without spread along an axis gets that of the other.
        """
        noise = np.full(len(self), float(level))
        if not level:
            return replace(self, noise=noise)
        steps = np.diff(self.positions, axis=0, prepend=self.positions[:1])
        steps[self.offsets[:-1]] = 0
        count = np.maximum(self.length - 1, 1)[:, None]
        average = np.add.reduceat(steps, self.offsets[:-1], axis=0) / count
        square = np.add.reduceat(steps**2, self.offsets[:-1], axis=0) / count
        scale = np.sqrt(np.maximum(square - average**2, 0))
        scale = np.where(scale < 1e-3 * np.sqrt(square), np.sqrt(square), scale)
        scale = np.where(scale == 0, scale[:, ::-1], scale)
        added = np.random.default_rng(seed).normal(size=self.positions.shape)
        positions = self.positions + level * added * np.repeat(scale, self.length, axis=0)
        return replace(self, positions=positions, noise=noise)


def join(parts: Sequence[LabelledTracks]) -> LabelledTracks:
    """Return the trajectories of all parts in one, with the first part's report."""
    lengths = np.concatenate([part.length for part in parts])
    tracks, first = [], 0
    for part in parts:  # tracks of different files are different ones
        own = np.arange(len(part)) if part.track is None else np.unique(part.track, False, True)[1]
        tracks.append(own + first)
        first += len(part)
    return LabelledTracks(
        positions=np.concatenate([part.positions for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        label=np.concatenate([part.label for part in parts]),
        alpha=np.concatenate([part.alpha for part in parts]),
        noise=np.concatenate([part.noise for part in parts]),
        track=np.concatenate(tracks).astype(np.int64),
        report=parts[0].report,
        notes=tuple(note for part in parts for note in part.notes),
    )


def read_labelled(
    name: str | Path | Input,
    *,
    label_column: str = LABEL_COLUMN,
    classes: Sequence[str] = CLASS_NAMES,
    policy: QualityPolicy | None = None,
    reading: Mapping[str, Any] | None = None,
) -> LabelledTracks:
    """Read trajectories and their classes from one file.

    A table of tracks of any program that `read_tracks` reads, with a column of class names, the
    same in all rows of a track, and if known columns ``alpha`` and ``noise`` (1/SNR). The quality
    policy treats it as `classify` does. Or a NumPy archive (.npz) of ``positions`` (n_points, 2),
    ``offsets`` or ``lengths``, ``label`` and if known ``alpha`` and ``noise``, which is taken as it
    is (`benchmarks/official.py` writes such).

    Parameters
    ----------
    name : str, pathlib.Path or Input
        The file; ``"-"`` for standard input.
    label_column : str
        Name of the column of classes.
    classes : sequence of str
        Names that may stand there; capitals don't matter.
    policy : QualityPolicy, optional
        Minimum length, gaps, branches.
    reading : mapping, optional
        Keyword arguments of `read_tracks`.

    Raises
    ------
    SptError
        If the file can't be read, has no such column, names an unknown class, or gives a track
        two classes.
    """
    source = name if isinstance(name, Input) else Input.of(name)
    if source.head.startswith(b"PK\x03\x04") and b".npy" in source.head[:200]:
        return _read_archive(source, classes)
    tracks = read_tracks(source, **{**(reading or {}), "keep_columns": True})
    truth = _Truth(source, tracks, label_column, classes)
    segments = apply_policy(tracks, policy)
    require_some(segments, tracks)
    summary = segments.summary
    chosen = summary[summary["segment_id"] >= 0].sort_values("segment_id")
    particle = chosen["particle"].to_numpy(np.int64)
    codes, alpha, noise = (column[truth.row_of(particle)] for column in truth.columns())
    label = np.where(np.isnan(codes), -1, codes).astype(np.int64)
    all_of_them = LabelledTracks(
        segments.points[["x", "y"]].to_numpy(np.float64),
        segments.offsets.astype(np.int64),
        label,
        alpha,
        noise,
        particle,
        report={
            **_described(source),
            **tracks.describe(),
            "label_column": truth.label_name,
            "policy_counts": dict(segments.counts),
            "immobile_evaluated": int((chosen["status"] == "immobile").sum()),
        },
        notes=tracks.source.notes,
    )
    known = np.flatnonzero(label >= 0)
    if len(known) == len(label):
        return all_of_them
    if not len(known):
        raise SptError(
            f"{source.label}: the column {truth.label_name} names no class for any track that can "
            f"be classified: expected one of {', '.join(classes)}.",
            code="no-data",
        )
    without = some(len(label) - len(known), "track")
    note = f"{without} without a class (empty, or {NO_CLASS}): left out of the test."
    labelled = all_of_them.take(known)
    return replace(labelled, notes=(*labelled.notes, note))


def _described(source: Input) -> dict[str, Any]:
    path = source.path
    known = path is not None and path.is_file()
    return {
        "path": str(path.resolve()) if known and path else source.name,
        "bytes": source.size if known else None,
        "sha256": file_sha256(path) if known and path else None,
    }


class _Truth:
    """Class, α and noise of every track, from the columns of its table."""

    def __init__(
        self, source: Input, tracks: Tracks, label_column: str, classes: Sequence[str]
    ) -> None:
        self.source, self.tracks = source, tracks
        particle = tracks.table["particle"].to_numpy(np.int64)
        self.first = np.flatnonzero(run_starts(particle))
        self.particle = particle[self.first]
        found = find_column(tracks.source.columns, label_column)
        if found is None or not found.kept_as:
            raise _no_column(source, tracks, label_column, classes)
        self.label_name = quoted(found.name)
        codes, words = pd.factorize(tracks.table[found.kept_as])
        number = _codes(source, [str(word) for word in words], self.label_name, classes)[codes]
        labels = pd.Series(number.astype(np.float64)).where(number >= 0)
        self.label = self._one_each(labels, self.label_name)
        self.alpha, self.noise = (self._numbers(role, found) for role in ("alpha", "noise"))

    def columns(self) -> tuple[Floats, Floats, Floats]:
        """Return label, α and noise (NaN: none) of each track of the table."""
        return self.label, self.alpha, self.noise

    def row_of(self, particle: Ints) -> Ints:
        """Return where in `columns` each particle of the tracks is."""
        return np.searchsorted(self.particle, particle)

    def _numbers(self, role: str, label: SourceColumn) -> Floats:
        """Return the numbers of a column, of 0 or more; NaN if there is no such column."""
        same = [c for c in self.tracks.source.columns if plain(c.name) == role and c.kept_as]
        if not same or same[0] == label:
            return np.full(len(self.first), np.nan)
        column, shown = self.tracks.table[same[0].kept_as], quoted(same[0].name)
        values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = np.isinf(values) | (values < 0) | (np.isnan(values) & column.notna().to_numpy())
        if wrong.any():
            raise SptError(
                f"{self.source.label}: the column {shown} holds "
                f"{quoted(str(column[wrong].iloc[0]), 20)[1:-1]}, where a number of 0 or more was "
                "expected.",
                code="wrong-kind",
            )
        return self._one_each(pd.Series(values), shown)

    def _one_each(self, column: pd.Series, shown: str) -> Floats:
        """Return the one value of each track, NaN for none; refuse a track with two."""
        row, conflict = rows_with_value(column, self.first)
        if conflict is not None:
            which = int(self.tracks.table["particle"].iloc[conflict[0]])
            named = which if self.tracks.labels is None else self.tracks.labels[which]
            raise SptError(
                f"{self.source.label}: track {named} has different values in the column {shown}; "
                "expected the same in all rows of a track.\n"
                "Give each part a track number of its own, or name another column "
                f"({option('label_column')}, {option('columns', 'particle=NAME')}).",
                option="label_column",
            )
        values: Floats = np.append(column.to_numpy(np.float64), np.nan)[row]
        return values


def _no_column(source: Input, tracks: Tracks, wanted: str, classes: Sequence[str]) -> SptError:
    """Return the error for a file without the column of classes."""
    if source.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"MTrackJ")):
        return SptError(
            f"{source.label} is {tracks.source.format}, which has no column of classes: "
            "expected a table (CSV, TSV) with a row for each position and a column "
            f"{wanted!r}.\nExport it as a table, and add the column.",
            code="not-found",
        )
    return SptError(
        f"{source.label} has no column {quoted(wanted)} with the classes of its tracks "
        f"({', '.join(classes)}). Its columns: {list_names(tracks.source.columns)}.\n"
        f"Name the right one: {option('label_column', 'NAME')}.",
        code="not-found",
        option="label_column",
    )


def _codes(source: Input, words: Sequence[str], shown: str, classes: Sequence[str]) -> Ints:
    """Return the class number of each distinct word, and −1 for a missing one at the end."""
    number = {NO_CLASS: -1, **{name.lower(): i for i, name in enumerate(classes)}}
    unknown = [word for word in words if word.lower() not in number]
    if unknown:
        listed = ", ".join(quoted(word, 20) for word in unknown[:3])
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise SptError(
            f"{source.label}: the column {shown} holds {listed}{more}; expected the names "
            f"{', '.join(classes)}.\n"
            f"Rename them, or name another column: {option('label_column', 'NAME')}.",
            code="wrong-kind",
            option="label_column",
        )
    return np.array([*(number[word.lower()] for word in words), -1], dtype=np.int64)


def _read_archive(source: Input, classes: Sequence[str]) -> LabelledTracks:
    """Read the arrays of an .npz, without pickle."""

    def refuse(found: str) -> SptError:
        return SptError(
            f"{source.label} is a NumPy archive, and {found}; expected arrays positions "
            "(n_points, 2), offsets (m + 1) or lengths (m), label (m), and if known alpha (m) and "
            "noise (m).",
            code="wrong-kind",
        )

    try:
        with source.open() as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {
                key: np.asarray(archive[key])
                for key in archive.files
                if key in ("positions", "offsets", "lengths", "label", "labels", "alpha", "noise")
            }
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as e:
        raise refuse(f"can't be read ({str(e).splitlines()[0] if str(e) else 'damaged'})") from e
    label = arrays.get("label", arrays.get("labels"))
    positions = arrays.get("positions")
    if label is None or positions is None or not {"offsets", "lengths"} & set(arrays):
        raise refuse(f"holds {', '.join(arrays) or 'none of them'}")
    if any(
        a.dtype.kind not in "iuf" for key, a in arrays.items() if key not in ("label", "labels")
    ):
        raise refuse("some of its arrays are no numbers")
    if label.dtype.kind == "U":
        words = [str(word) for word in label.tolist()]
        label = _codes(source, words, quoted("label"), classes)[:-1]
    if "offsets" in arrays:
        offsets = arrays["offsets"]
    else:
        offsets = np.concatenate([[0], np.cumsum(arrays["lengths"])])
    m = len(label) if label.ndim == 1 else -1
    if positions.ndim != 2 or positions.shape[1] != 2 or offsets.shape != (m + 1,) or m < 1:
        raise refuse(
            f"its shapes don't match: positions {positions.shape}, offsets {offsets.shape}, "
            f"label {label.shape}"
        )
    if not np.isfinite(offsets).all() or offsets[0] != 0 or offsets[-1] != len(positions):
        raise refuse("its offsets do not begin with 0 and end with the number of positions")
    if np.diff(offsets).min() < 2:
        raise refuse("some of its trajectories have fewer than 2 points")
    if not np.isfinite(positions).all():
        raise refuse("some of its positions are not finite")
    if label.dtype.kind not in "iu" or label.min() < 0 or label.max() >= len(classes):
        raise refuse(f"its labels are no whole numbers from 0 to {len(classes) - 1}")

    def column(key: str) -> Floats:
        values = arrays.get(key)
        if values is None:
            return np.full(m, np.nan)
        if values.shape != (m,):
            raise refuse(f"{key} has the shape {values.shape}")
        return values.astype(np.float64)

    return LabelledTracks(
        positions.astype(np.float64),
        offsets.astype(np.int64),
        label.astype(np.int64),
        column("alpha"),
        column("noise"),
        report={**_described(source), "name": source.name, "format": "NumPy archive"},
    )
