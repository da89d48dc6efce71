"""From columns as read to `Tracks`: rows left out and counted, frames numbered, rows sorted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spt_explain.errors import NotTracksError, SptError, option
from spt_explain.readers.arrays import MAX_EXACT, Numbers, Words, values_of
from spt_explain.readers.dialects import list_names
from spt_explain.readers.positions import without_points
from spt_explain.readers.times import frames_of, interval_of
from spt_explain.readers.units import FileUnits, calibrate, length_factor_um
from spt_explain.readers.wording import quoted, some
from spt_explain.tracks.columns import unique_names
from spt_explain.tracks.table import Source, SourceColumn, Tracks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.readers.dialects import Column, Dialect
    from spt_explain.readers.inputs import Input, ReadOptions

_NO_AXIS = "not z"
"""The key of a column of z that is incomplete."""
_HIDDEN = ("0", "0.0", "false", "no")

WHOLE = 1e-6
"""How far a frame number may be from a whole number."""
OWN_ERROR = "sigma_static"
"""Static localisation error of each spot, in the unit of x, in tables that ``track`` wrote."""
LOST_ID_REPEATS = 2.0
"""Rows for each distinct frame from which a table with one track is taken to have lost its ids."""


@dataclass
class Draft:
    """Columns on their way to a track table.

    Attributes
    ----------
    source, options, dialect : Input, ReadOptions, Dialect
        What is read, how, and whose it is.
    roles : mapping of str to Column
        Where each column came from.
    columns : dict of str to Numbers or Words
        The columns as read, by role or by the key in `others`; emptied on the way.
    others : mapping of str to Column
        Where columns without a role came from; empty if they are not kept.
    weak : bool
        Whether the column of track numbers may number rows instead.
    every : sequence of Column
        All columns of the table, for messages.
    lost_repeats : float
        See `LOST_ID_REPEATS`.
    pixel_size_um : float or None
        Size of a pixel in µm, where the file tells it.
    notes : list of str
        What the user must know.
    counts : dict of str to int
        Rows left out, by reason.
    """

    source: Input
    options: ReadOptions
    dialect: Dialect
    roles: Mapping[str, Column]
    columns: dict[str, Numbers | Words]
    others: Mapping[str, Column] = field(default_factory=dict)
    weak: bool = False
    every: Sequence[Column] = ()
    lost_repeats: float = LOST_ID_REPEATS
    pixel_size_um: float | None = None
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def drop(self, rows: npt.NDArray[np.bool_], count: str, sentence: str) -> None:
        """Leave rows out and say how many; `sentence` follows the number."""
        number = int(rows.sum())
        if not number:
            return
        self.counts[count] = self.counts.get(count, 0) + number
        self.notes.append(f"{some(number, 'row')} {sentence}")
        keep = ~rows
        for column in self.columns.values():
            if isinstance(column, Words):
                column.codes = column.codes[keep]
            else:
                column.array = column.array[keep]
                if column.missing is not None:
                    column.missing = column.missing[keep]

    def numbers(self, role: str) -> Numbers:
        """Return a column that holds numbers."""
        column = self.columns[role]
        assert isinstance(column, Numbers)
        return column

    def __len__(self) -> int:
        column = self.columns["x"]
        assert isinstance(column, Numbers)
        return len(column.array)


def assemble(draft: Draft) -> Tracks:
    """Make a track table of columns as read.

    Raises
    ------
    SptError
        If there are no rows or no tracks, if frames are no whole numbers, if times are no grid.
    NotTracksError
        If the track numbers number rows, or one number stands in every row.
    """
    import pandas as pd

    if not len(draft):
        raise SptError(
            f"{draft.source.label} has a header and no rows (format: {draft.dialect.title}): "
            "expected a row for each position.\nExport it again, and check that tracks were found."
        )
    rows = len(draft)
    _drop_hidden(draft)
    _drop_untracked(draft, rows)
    before = draft.columns["particle"]
    ids_before = before.codes if isinstance(before, Words) else before.array
    _drop_without_position(draft)
    clock = "frame" if "frame" in draft.columns else "t"
    _drop_without_clock(draft, clock)
    if not len(draft):
        raise _nothing_left(draft, rows)
    if clock == "frame":
        frame = _whole_frames(draft)
        interval = _interval(draft, frame)
        particle, labels = _particles(draft)
        order = sorted_order(particle, frame)
        particle, frame = _taken(particle, order), _taken(frame, order)
    else:
        particle, labels = _particles(draft)
        time = draft.numbers("t").array
        order = _order_by_time(particle, time)
        particle, time = _taken(particle, order), _taken(time, order)
        name = draft.roles["t"].shown
        frame, interval = frames_of(particle, time, draft.source.label, name)
        draft.notes.append(
            f"Frames were numbered from the times in column {name}"
            + (f", {interval:g} apart." if interval is not None else ".")
        )
    draft.columns.pop("frame", None)
    depth_fits = _depth_fits(draft)
    data: dict[str, Any] = {"particle": particle, "frame": frame}
    for axis in ("x", "y", "z"):
        if axis in draft.columns and (axis != "z" or depth_fits):
            data[axis] = _taken(draft.numbers(axis).array, order)
            del draft.columns[axis]
    others, columns = _others(draft, order, data)
    table = pd.DataFrame(data | others, copy=False)
    _check_ids(draft, particle, frame)
    units = _units(draft, interval)
    if not depth_fits:
        shown = draft.roles["z"].shown
        draft.notes.append(f"z ({shown}) was left out: it has another unit than x and y.")
    calibration, notes = calibrate(table, units, draft.options)
    source = Source(
        draft.source.name,
        draft.dialect.title,
        (*draft.notes, *notes),
        dict(draft.counts),
        columns,
    )
    without: tuple[int, ...] = ()
    if len(ids_before) > len(table):
        without, labels = _without_points(before, ids_before, table, labels)
    return Tracks(table, calibration, source, labels=labels, without_points=without)


def sorted_order(
    particle: npt.NDArray[np.int64], frame: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64] | None:
    """Return the stable order of rows by particle, then frame; None if they are in order.

    Particle, frame and row number are packed in one 64-bit number where they fit, because numpy
    sorts numbers several times faster than it finds the order of a sort.
    """
    import numpy as np

    later = particle[1:] > particle[:-1]
    same = particle[1:] == particle[:-1]
    same &= frame[1:] >= frame[:-1]
    later |= same
    if later.all():
        return None
    del later, same
    low, first = int(particle.min()), int(frame.min())
    row_bits = len(particle).bit_length()
    frame_bits = (int(frame.max()) - first).bit_length()
    particle_bits = (int(particle.max()) - low).bit_length()
    if particle_bits + frame_bits + row_bits > 63:
        return np.lexsort((frame, particle))
    key = particle - low
    key <<= frame_bits
    key |= frame - first
    key <<= row_bits
    key |= np.arange(len(particle), dtype=np.int64)
    key.sort()
    key &= (1 << row_bits) - 1
    return key


def _taken(values: npt.NDArray[Any], order: npt.NDArray[np.int64] | None) -> npt.NDArray[Any]:
    return values if order is None else values[order]


def _order_by_time(
    particle: npt.NDArray[np.int64], time: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    import numpy as np

    return np.lexsort((time, particle))


def _drop_hidden(draft: Draft) -> None:
    """Leave out rows of tracks that the user's filters had hidden."""
    import numpy as np

    column = draft.columns.get("visible")
    if not isinstance(column, Words):
        return
    hidden = [i for i, word in enumerate(column.words) if word.lower() in _HIDDEN]
    rows = np.isin(column.codes, hidden)
    if rows.all():
        raise SptError(
            f"{draft.source.label}: all of its tracks are hidden by filters (column "
            f"{draft.roles['visible'].shown}): expected visible tracks.\nChange the filters and "
            "export again, or read hidden tracks too (all_tracks)."
        )
    if not draft.options.keep_columns:
        del draft.columns["visible"]
    draft.drop(rows, "hidden_spots", "of tracks that filters had hidden: left out.")


def _drop_untracked(draft: Draft, rows: int) -> None:
    column = draft.columns["particle"]
    name = draft.roles["particle"].shown
    if isinstance(column, Words):
        missing = column.codes < 0
    elif column.missing is not None:
        missing = column.missing
    elif column.array.dtype.kind == "f":
        import numpy as np

        missing = np.isnan(column.array)
    else:
        missing = None
    if missing is not None and missing.any():
        if missing.all():
            raise SptError(
                f"{draft.source.label} holds {rows:,} localisations and no tracks: its column "
                f"{name} is empty in every row.\nLink them first (TrackMate, trackpy), or "
                "export again after tracking.",
                code="no-data",
            )
        draft.drop(missing, "untracked_spots", f"without a track (no value in {name}): left out.")
    below = draft.dialect.unassigned_below
    if below is None or isinstance(draft.columns["particle"], Words):
        return
    unassigned = draft.numbers("particle").array < below
    if unassigned.all():
        raise SptError(
            f"{draft.source.label} holds {rows:,} localisations and no tracks: every "
            f'{name} is negative, which means "not assigned" ({draft.dialect.title}).\n'
            "Link them first, or track again.",
            code="no-data",
        )
    draft.drop(
        unassigned, "unassigned_spots", f"not assigned to a track (negative {name}): left out."
    )


def _drop_without_position(draft: Draft) -> None:
    import numpy as np

    finite = np.isfinite(draft.numbers("x").array)
    finite &= np.isfinite(draft.numbers("y").array)
    if not finite.all():
        draft.drop(~finite, "missing_positions", "without a finite position: left out.")
    if "z" in draft.columns:
        z = draft.numbers("z").array
        known = np.isfinite(z)
        if not known.all():
            draft.columns[_NO_AXIS] = draft.columns.pop("z")
            if known.any():
                draft.notes.append(
                    f"z was left out: {int((~known).sum()):,} rows have no value for it."
                )


def _drop_without_clock(draft: Draft, role: str) -> None:
    import numpy as np

    column = draft.numbers(role)
    missing = column.missing
    if missing is None and column.array.dtype.kind == "f":
        missing = ~np.isfinite(column.array)
    if missing is not None:
        what = "frame number" if role == "frame" else "time"
        draft.drop(missing, "missing_frames", f"without a {what}: left out.")


def _whole_frames(draft: Draft) -> npt.NDArray[np.int64]:
    """Return frames as whole numbers."""
    import numpy as np

    name = draft.roles["frame"].shown
    values = draft.numbers("frame").array
    if max(abs(float(values.max())), abs(float(values.min()))) > MAX_EXACT:
        raise SptError(
            f"{draft.source.label}: the column {name} goes up to {float(values.max()):g}, which "
            f"can't be a frame number.\nName the right column: {option('columns', 'frame=NAME')}.",
            option="columns",
        )
    if values.dtype.kind == "i":
        return values
    whole = np.round(values)
    off = np.abs(values - whole) > WHOLE
    if off.any():
        raise SptError(
            f"{draft.source.label}: the column {name} holds {values[off][0]:g}, where frame "
            "numbers (whole numbers) were expected.\n"
            f"If it holds times: {option('columns', f't={name}')}.",
            code="wrong-kind",
            option="columns",
        )
    return whole.astype(np.int64)


def _interval(draft: Draft, frame: npt.NDArray[np.int64]) -> float | None:
    """Return the frame interval of a table that has frames and times."""
    if "t" not in draft.columns:
        return None
    import numpy as np

    times = draft.numbers("t").array
    interval = interval_of(frame, times)
    if interval is None and np.isfinite(times).any() and np.ptp(frame):
        draft.notes.append(
            f"The times in column {draft.roles['t'].shown} do not follow the frames: no frame "
            "interval was taken from them."
        )
    return interval


def _particles(draft: Draft) -> tuple[npt.NDArray[np.int64], Any]:
    """Return track numbers, and the tracks' names where they are not whole numbers."""
    import numpy as np
    import pandas as pd

    column = draft.columns.pop("particle")
    if isinstance(column, Numbers):
        values = column.array
        if values.dtype.kind == "i":
            return values, None
        whole = np.round(values)
        if (whole == values).all():
            return whole.astype(np.int64), None
        names, codes = np.unique(values, return_inverse=True)
        column = Words(codes.astype(np.int64), [f"{name:g}" for name in names])
    used, codes = np.unique(column.codes, return_inverse=True)
    words = [column.words[code] for code in used]
    labels = pd.Series(words, index=pd.RangeIndex(len(words), name="particle"), name="label")
    draft.notes.append(
        f"Tracks are named by text in column {draft.roles['particle'].shown} "
        f"({quoted(words[0], 30)} …): they were numbered from 0."
    )
    return codes.astype(np.int64), labels


def _without_points(
    column: Numbers | Words, ids: npt.NDArray[Any], table: pd.DataFrame, labels: Any
) -> tuple[tuple[int, ...], Any]:
    """Return the tracks that lost all their rows, and the tracks' names with theirs."""
    import numpy as np
    import pandas as pd

    distinct = np.unique(ids)
    if labels is None:
        return without_points(np.round(distinct).astype(np.int64), table), None
    names = [column.words[i] if isinstance(column, Words) else f"{i:g}" for i in distinct]
    known = set(labels)
    lost = [name for name in names if name not in known]
    labels = pd.concat([labels, pd.Series(lost, name="label", dtype=labels.dtype)])
    labels.index = pd.RangeIndex(len(labels), name="particle")
    return tuple(range(len(labels) - len(lost), len(labels))), labels


def _nothing_left(draft: Draft, rows: int) -> SptError:
    why = " ".join(draft.notes)
    return SptError(
        f"{draft.source.label} has {rows:,} rows and no track is left of them: {why}\n"
        "Export it again with positions and frames."
    )


def _check_ids(draft: Draft, particle: npt.NDArray[np.int64], frame: npt.NDArray[np.int64]) -> None:
    """Refuse track numbers that are something else: row numbers, or one number everywhere."""
    import numpy as np

    rows = len(particle)
    name = draft.roles["particle"].shown
    if draft.weak and rows > 1 and bool((particle[1:] != particle[:-1]).all()):
        raise NotTracksError(
            f"{draft.source.label} holds {rows:,} localisations and no track column ({name} "
            f"numbers the rows; columns: {list_names(draft.every)}).\nLink them first (TrackMate, "
            f"trackpy), or name the column: {option('columns', 'particle=NAME')}.",
            option="columns",
        )
    if rows > 3 and particle[0] == particle[-1]:
        distinct = int((np.diff(frame) != 0).sum()) + 1
        if rows >= draft.lost_repeats * distinct:
            raise SptError(
                f"{draft.source.label}: every row has the same track number ({name} is "
                f"{particle[0]}), yet frames repeat ({rows:,} rows in {distinct:,} frames): the "
                "track numbers were lost.\nExport it again with them, or name another column: "
                f"{option('columns', 'particle=NAME')}.",
                option="columns",
            )


def _units(draft: Draft, interval: float | None) -> FileUnits:
    x, y, t = draft.roles["x"], draft.roles["y"], draft.roles.get("t")
    length, where_length = x.unit, f"file: column {x.shown}"
    if x.unit and not _in_name(x):
        where_length = f"file: {x.shown[1:-1]} in {x.unit}"
    if (x.unit or "") != (y.unit or "") and length_factor_um(x.unit) != length_factor_um(y.unit):
        raise SptError(
            f"{draft.source.label}: {x.shown} and {y.shown} have different units "
            f"({x.unit or 'none'} and {y.unit or 'none'}).\n"
            f"Name columns that belong together: {option('columns', 'x=NAME,y=NAME')}.",
            option="columns",
        )
    if length is None and draft.dialect.length is not None:
        length = draft.dialect.length
        where_length = f"{_plural(length)}, by the format ({draft.dialect.title})"
    time = t.unit if t else None
    where_time = f"file: times in column {t.shown}" if t else ""
    if t and time and not _in_name(t):
        where_time += f" in {time}"
    if t and time is None and draft.dialect.time is not None:
        time = draft.dialect.time
        where_time += f", taken as {time} (as {draft.dialect.title}s have them)"
    if t and time is None and "frame" not in draft.roles and interval is not None:
        time = "s"
        where_time += ", taken as seconds"
    return FileUnits(length, time, interval, draft.pixel_size_um, where_length, where_time)


def _in_name(column: Column) -> bool:
    return column.unit is not None and column.unit in column.name


def _plural(unit: str) -> str:
    return "pixels" if unit == "pixel" else unit


def _depth_fits(draft: Draft) -> bool:
    """Whether z, where there is one, is in the unit of x and y."""
    z = draft.roles.get("z")
    if z is None or "z" not in draft.columns:
        return True
    return length_factor_um(z.unit) == length_factor_um(draft.roles["x"].unit)


def _others(
    draft: Draft, order: npt.NDArray[np.int64] | None, axes: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[SourceColumn, ...]]:
    """Return the table's columns beyond the positions, and where each of the source's is.

    Columns that had a role and are not in the table (times, whether a spot is visible, a z that
    was left out) are among them.
    """
    where = {column.index: role for role, column in draft.roles.items() if role in axes}
    found: dict[int, Numbers | Words] = {}
    own = -1
    for key, values in draft.columns.items():
        column = draft.others.get(key) or draft.roles["z" if key == _NO_AXIS else key]
        if key == OWN_ERROR and isinstance(values, Numbers):
            own = column.index
            values.array, values.missing = _with_nan(values), None
        elif not draft.options.keep_columns:
            continue
        nameless = column.name == str(column.index + 1)  # row numbers, or a separator at the end
        if column.index not in where and not (nameless and _is_empty(values)):
            found[column.index] = values
    draft.columns.clear()
    places = sorted(found)
    names = iter(unique_names([draft.every[i].name for i in places if i != own]))
    where |= {index: OWN_ERROR if index == own else next(names) for index in places}
    data = {where[index]: _ordered(found.pop(index), order) for index in places}
    return data, tuple(SourceColumn(c.name, where.get(c.index, "")) for c in draft.every)


def _with_nan(column: Numbers) -> npt.NDArray[np.float64]:
    import numpy as np

    values = column.array.astype(np.float64)
    if column.missing is not None:
        values[column.missing] = np.nan
    return values


def _is_empty(column: Numbers | Words) -> bool:
    if isinstance(column, Words):
        return bool((column.codes < 0).all())
    if column.missing is not None:
        return bool(column.missing.all())
    return bool((column.array != column.array).all())


def _ordered(column: Numbers | Words, order: npt.NDArray[np.int64] | None) -> Any:
    """Return the values of a column as pandas holds them, in this order."""
    values = values_of(column)
    return values if order is None else values.take(order)
