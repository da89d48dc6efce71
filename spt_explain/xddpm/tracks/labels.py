"""Tracks and the signal that goes with each: simulated, from a column of their table, or apart."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError, option
from spt_explain.readers import read_tracks
from spt_explain.readers.dialects import TRACK_NAMES, find_column, list_names, plain
from spt_explain.readers.inputs import Input
from spt_explain.readers.wording import quoted, some
from spt_explain.tracks.columns import rows_with_value
from spt_explain.tracks.quality import QualityPolicy, apply_policy, require_some
from spt_explain.tracks.runs import offsets_of, run_starts
from spt_explain.xddpm.tracks.steps import FEWEST_STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from spt_explain.tracks.table import Tracks
    from spt_explain.xddpm.tracks.steps import Floats, Ints

Kind = Literal["number", "category"]

_FEW = 6
"""Numbers with fewer different values than this, all of them whole, are taken as categories."""
_ARCHIVE = b"PK\x03\x04"


@dataclass(frozen=True)
class SignalTracks:
    """m tracks (or pieces of tracks) and the signal of each.

    Attributes
    ----------
    positions : numpy.ndarray, shape (points, 2)
        Of all, one after the other.
    offsets : numpy.ndarray of int64, shape (m + 1,)
        Track *i* is ``positions[offsets[i]:offsets[i + 1]]``.
    values : numpy.ndarray of object, shape (m,)
        The signal as text; never empty.
    names : tuple of str
        Of the signal: one.
    groups : tuple of str, length m
        File, or track of one file, that each is a piece of.
    unit : str
        Of the positions: "um", "px", or "" for simulated ones.
    files : int
        Number of files.
    report : dict
        Where they came from, for the provenance.
    notes : tuple of str
        Sentences a user must know.
    """

    positions: Floats
    offsets: Ints
    values: NDArray[np.object_]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    unit: str = ""
    files: int = 1
    report: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def kind(self) -> Kind:
        """What the values look like."""
        try:
            numbers = [float(value) for value in set(self.values.tolist())]
        except ValueError:
            return "category"
        whole = all(number == round(number) for number in numbers if np.isfinite(number))
        return "category" if whole and len(numbers) < _FEW else "number"

    def numbers(self) -> Floats:
        """Return the values as numbers.

        Raises
        ------
        SptError
            If one is not a finite number.
        """
        try:
            out = self.values.astype(np.float64)
        except ValueError as error:
            wrong = next(value for value in self.values.tolist() if not _is_number(value))
            raise SptError(
                f"{self.names[0]} holds {quoted(str(wrong), 20)}, where numbers were expected. If "
                'these are categories: kind = "category" in the recipe.',
                code="wrong-kind",
            ) from error
        if not np.isfinite(out).all():
            raise SptError(f"{self.names[0]} has values that are not finite; expected numbers.")
        return out

    def take(self, index: NDArray[np.int64]) -> tuple[Floats, Ints]:
        """Return positions and offsets of some of the tracks."""
        lengths = np.diff(self.offsets)[index]
        offsets = offsets_of(lengths)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], lengths)
        return self.positions[rows], offsets

    def held_out_words(self, held_out: Sequence[str]) -> str:
        """Return what is held out, in words."""
        if self.files > 1:
            more = f" and {len(held_out) - 3} more" if len(held_out) > 3 else ""
            return f"{some(len(held_out), 'file')} held out ({', '.join(held_out[:3])}{more})"
        return f"{some(len(held_out), 'track')} held out"


def simulated(
    signal: str = "class",
    *,
    tracks: int = 4000,
    length: tuple[int, int] = (30, 200),
    noise: float = 0.0,
    classes: Sequence[str] = CLASS_NAMES,
    seed: int = 1,
) -> SignalTracks:
    """Simulate tracks by the paper's protocol, with class or α as signal.

    Parameters
    ----------
    signal : {"class", "alpha"}
    tracks : int
        Rounded up so that all classes have the same number.
    length : (int, int)
        Fewest and most points.
    noise : float
        Of the positions, in units of the displacement's standard deviation (1/SNR).
    classes : sequence of str
        Which.
    seed : int

    Raises
    ------
    SptError
        For another signal, or settings that can't be used.
    """
    from spt_explain.training.labelled import join
    from spt_explain.training.simulated import Protocol, simulate_test

    if signal not in ("class", "alpha"):
        raise SptError(
            f"{option('signal')} is {signal!r}: simulated tracks have a class and alpha; expected "
            "one of these, or a table of tracks with that column.",
            option="signal",
        )
    if length[0] <= FEWEST_STEPS:
        raise SptError(
            f"{option('length')} is {length[0]}-{length[1]}; expected at least {FEWEST_STEPS + 1} "
            "points.",
            option="length",
        )
    if not (np.isfinite(noise) and noise >= 0):
        raise SptError(f"the noise is {noise:g}; expected 0 or more (1/SNR).")
    protocol = Protocol(tracks=tracks, length=length, seed=seed)
    all_of_them = join(list(simulate_test(protocol, noise, classes=classes)))
    if signal == "class":
        values = np.array(list(classes), dtype=object)[all_of_them.label]
    else:
        values = np.array([repr(float(a)) for a in all_of_them.alpha], dtype=object)
    return SignalTracks(
        all_of_them.positions,
        all_of_them.offsets,
        values,
        (signal,),
        tuple(f"track {i}" for i in range(len(all_of_them))),
        report={
            "name": "simulated",
            "protocol": protocol.to_dict(),
            "noise": noise,
            "classes": list(classes),
            "tracks": len(all_of_them),
        },
    )


def read_signal_tracks(
    names: Sequence[str | Path],
    signal: str = "class",
    *,
    signal_file: str | Path | None = None,
    policy: QualityPolicy | None = None,
    reading: Mapping[str, Any] | None = None,
) -> SignalTracks:
    """Read tables of tracks and the signal of each track.

    Parameters
    ----------
    names : sequence of str or pathlib.Path
        Tables of tracks of any program that `read_tracks` reads; NumPy archives (.npz) as
        `read_labelled` describes them.
    signal : str
        The column that holds the signal, the same in all rows of a track.
    signal_file : str or pathlib.Path, optional
        A table with a column of track numbers and one of the signal, such as verdicts; for one
        file of tracks. With `signal` "" its only other column. By default the column is in the
        tracks' own table.
    policy : QualityPolicy, optional
        Minimum length, gaps, branches.
    reading : mapping, optional
        Keyword arguments of `read_tracks`.

    Raises
    ------
    SptError
        If a file can't be read, has no such column, gives a track two values, or none has one.
    """
    policy = policy or QualityPolicy()
    if policy.min_length <= FEWEST_STEPS:
        raise SptError(
            f"{option('min_length')} is {policy.min_length}; expected {FEWEST_STEPS + 1} or more "
            "points to tell frames of a track apart.",
            option="min_length",
        )
    if not names:
        raise SptError(
            "no tracks were given; expected one or several tables of tracks.", code="no-data"
        )
    if signal_file is not None and len(names) > 1:
        raise SptError(
            f"a table of signals goes with one file of tracks, and there are {len(names)}. Put the "
            "signal into a column of each table instead."
        )
    parts = [_read(name, signal, signal_file, policy, dict(reading or {})) for name in names]
    units = {part.unit for part in parts}
    if len(units) > 1:
        raise SptError(
            "some of the files are in µm and some in pixels; expected one unit. Give "
            f"{option('pixel_size_um')}.",
            option="pixel_size_um",
        )
    if len(parts) == 1:
        return parts[0]
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    spelled = [str(name) for name in names]
    return SignalTracks(
        np.concatenate([part.positions for part in parts]),
        offsets_of(lengths),
        np.concatenate([part.values for part in parts]),
        parts[0].names,
        tuple(name for name, part in zip(spelled, parts, strict=True) for _ in range(len(part))),
        parts[0].unit,
        len(set(spelled)),
        {"files": [part.report for part in parts]},
        tuple(note for part in parts for note in part.notes),
    )


def _read(
    name: str | Path,
    signal: str,
    signal_file: str | Path | None,
    policy: QualityPolicy,
    reading: dict[str, Any],
) -> SignalTracks:
    source = Input.of(name)
    if source.head.startswith(_ARCHIVE) and b".npy" in source.head[:200]:
        return _archive(source, signal)
    tracks = read_tracks(source, **{**reading, "keep_columns": signal_file is None})
    if signal_file is None:
        per_track = _own_column(source, tracks, signal)
    else:
        signal, per_track = _column_apart(Path(signal_file), signal)
    segments = apply_policy(tracks, policy)
    require_some(segments, tracks)
    summary = segments.summary
    chosen = summary[summary["segment_id"] >= 0].sort_values("segment_id")
    particle = chosen["particle"].to_numpy(np.int64)
    keys = [_name(tracks, int(one)) for one in particle]
    values = np.array([per_track.get(key, "") for key in keys], dtype=object)
    known = np.flatnonzero(values != "")
    where = source.label if signal_file is None else str(signal_file)
    if not len(known):
        raise SptError(
            f"{where}: the column {quoted(signal)} has no value for any track that can be used; "
            "expected one for each track."
        )
    bounds = segments.offsets.astype(np.int64)
    all_of_them = SignalTracks(
        segments.points[["x", "y"]].to_numpy(np.float64),
        bounds,
        values,
        (signal,),
        tuple(f"track {key}" for key in keys),
        tracks.calibration.length_unit,
        report={**tracks.describe(), "signal": signal, "policy_counts": dict(segments.counts)},
        notes=tracks.source.notes,
    )
    if len(known) == len(values):
        return all_of_them
    positions, offsets = all_of_them.take(known)
    without = some(len(values) - len(known), "track")
    return replace(
        all_of_them,
        positions=positions,
        offsets=offsets,
        values=values[known],
        groups=tuple(all_of_them.groups[i] for i in known),
        notes=(*all_of_them.notes, f"{without} without a value of {signal}: left out."),
    )


def _archive(source: Input, signal: str) -> SignalTracks:
    from spt_explain.training.labelled import read_labelled

    labelled = read_labelled(source)
    if signal not in ("class", "alpha"):
        raise SptError(
            f"{source.label} is a NumPy archive with classes and alpha; expected one of these for "
            f"{option('signal')}, and found {quoted(signal)}.",
            code="wrong-kind",
            option="signal",
        )
    if signal == "class":
        values = np.array(CLASS_NAMES, dtype=object)[labelled.label]
    elif not np.isfinite(labelled.alpha).all():
        raise SptError(f"{source.label} does not hold alpha for each track.")
    else:
        values = np.array([repr(float(a)) for a in labelled.alpha], dtype=object)
    long = np.flatnonzero(labelled.length > FEWEST_STEPS)
    if not len(long):
        raise SptError(
            f"{source.label}: all tracks are shorter than {FEWEST_STEPS + 1} points; expected "
            "longer ones."
        )
    kept = labelled.take(long.astype(np.int64))
    return SignalTracks(
        kept.positions,
        kept.offsets,
        values[long],
        (signal,),
        tuple(f"track {i}" for i in long),
        report=dict(labelled.report),
    )


def _own_column(source: Input, tracks: Tracks, signal: str) -> dict[str, str]:
    """Return the signal of each track, by the track's name, from a column of its table."""
    found = find_column(tracks.source.columns, signal, numbered=False)
    if found is None or not found.kept_as:
        raise _no_column(source, tracks, signal)
    column, particle = tracks.table[found.kept_as], tracks.table["particle"].to_numpy(np.int64)
    row, conflict = rows_with_value(column, np.flatnonzero(run_starts(particle)))
    if conflict is not None:
        which, (one, other) = int(particle[conflict[0]]), (column.iloc[i] for i in conflict)
        raise _two_values(source.label, _name(tracks, which), quoted(found.name), one, other)
    row = row[row >= 0]
    return {
        _name(tracks, int(which)): str(value)
        for which, value in zip(particle[row], column.iloc[row].tolist(), strict=True)
    }


def _name(tracks: Tracks, particle: int) -> str:
    return str(particle if tracks.labels is None else tracks.labels[particle])


def _no_column(source: Input, tracks: Tracks, signal: str) -> SptError:
    if source.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"MTrackJ")):
        return SptError(
            f"{source.label} is {tracks.source.format}, which has no column {quoted(signal)}: give "
            "the signal in a table of its own, with a row for each track "
            f"({option('signal', 'FILE')}).",
            code="not-found",
            option="signal",
        )
    return SptError(
        f"{source.label} has no column {quoted(signal)}; expected one that holds the signal, the "
        f"same in all rows of a track. Its columns: {list_names(tracks.source.columns)}.\n"
        f"Name the right one: {option('signal', 'NAME')}.",
        code="not-found",
        option="signal",
    )


def _column_apart(path: Path, signal: str) -> tuple[str, dict[str, str]]:
    """Return the signal's name and that of each track, from a table without positions."""
    import pandas as pd

    try:
        if path.read_bytes()[:4] == b"PAR1":
            table = pd.read_parquet(path).astype(str)
        else:
            table = pd.read_csv(
                path, sep=None, engine="python", dtype=str, encoding="utf-8-sig", comment="#"
            )
    except FileNotFoundError as error:
        raise SptError(
            f"{path} was not found: expected a table with the signal of each track.",
            code="not-found",
        ) from error
    except Exception as error:  # a damaged table fails in many ways
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise SptError(
            f"{path} can't be read as a table of signals ({first}); expected CSV, TSV or Parquet "
            "with a row for each track.",
            code="unreadable",
        ) from error
    columns = {str(name).strip(): name for name in table.columns}
    named = [c for one in (*TRACK_NAMES, "id") for c in columns if plain(c) == one]
    wanted = [c for c in columns if c == signal] or [
        c for c in columns if plain(c) == plain(signal) != ""
    ]
    others = [c for c in columns if c not in named]
    if not signal and len(others) == 1:
        wanted = others
    if named and not signal and not wanted:
        first = others[0] if others else "NAME"
        raise SptError(
            f"{path} has several columns that the signal may be in: {', '.join(others)}. Name one: "
            f"{option('signal', f'{path}:{first}')}.",
            option="signal",
        )
    if not named or not wanted:
        missing = "track numbers (particle)" if not named else quoted(signal)
        raise SptError(
            f"{path} has no column of {missing}; expected one of track numbers and one of the "
            f"signal. Its columns: {', '.join(columns)}.",
            code="not-found",
        )
    keys = [_key(value) for value in table[columns[named[0]]].fillna("").astype(str)]
    texts = [value.strip() for value in table[columns[wanted[0]]].fillna("").astype(str)]
    return wanted[0], _one_each(str(path), keys, texts, quoted(wanted[0]))


def _key(text: str) -> str:
    """Return a track's name; numbers as whole numbers, "3.0" as "3"."""
    text = text.strip()
    if _is_number(text) and np.isfinite(float(text)) and float(text) == round(float(text)):
        return f"{float(text):.0f}"
    return text


def _one_each(source: str, keys: Sequence[str], texts: Sequence[str], name: str) -> dict[str, str]:
    """Return the one value of each track; refuse a track with two."""
    out: dict[str, str] = {}
    for key, text in zip(keys, texts, strict=True):
        if not key or not text or text.lower() in ("nan", "na", "none", "<na>"):
            continue
        if out.setdefault(key, text) != text:
            raise _two_values(source, key, name, out[key], text)
    return out


def _two_values(source: str, track: str, column: str, one: object, other: object) -> SptError:
    return SptError(
        f"{source}: track {track} has different values in the column {column} "
        f"({quoted(str(one), 20)}, {quoted(str(other), 20)}); expected one for each track."
    )


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
