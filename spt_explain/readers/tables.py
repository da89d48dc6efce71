"""Tables with a row for each position: any program's, told by their column names."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from spt_explain.errors import SptError, option
from spt_explain.readers.assemble import OWN_ERROR, Draft, assemble
from spt_explain.readers.dialects import Dialect, Roles, assign, columns_of, dialect_of, without
from spt_explain.readers.load import load
from spt_explain.readers.refuse import missing_role, refuse_other_tables
from spt_explain.readers.text import first_lines, layout_of, not_a_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spt_explain.readers.dialects import Column
    from spt_explain.readers.inputs import Input, ReadOptions
    from spt_explain.readers.text import Layout
    from spt_explain.tracks.table import Tracks


def sniff(source: Input) -> bool:
    """Whether `source` is a table of text."""
    try:
        layout_of(source)
    except SptError:
        return False
    return True


def read(source: Input, options: ReadOptions) -> Tracks:
    """Read a table with a row for each position.

    Parameters
    ----------
    source : Input
        The table.
    options : ReadOptions
        ``columns`` names columns by their names, or by their positions from 1.

    Returns
    -------
    Tracks
        Positions in µm where the unit is known, else in pixels.

    Raises
    ------
    SptError, NotTracksError
        If the table can't be read as tracks; the message says what it is and what mends it.
    """
    layout = layout_of(source)
    refuse_other_tables(source, layout.names)
    roles = assign(source, layout, options.columns)
    if layout.names and not layout.sample and not roles.columns:
        raise not_a_table(source, first_lines(source, layout.encoding))
    problem = missing_role(source, layout, roles)
    if problem is not None:
        raise problem
    dialect = dialect_of(layout.names)
    if options.columns and "particle" in options.columns:
        roles.weak = False
        dialect = replace(dialect, unassigned_below=None)
    roles = _frame_or_time(layout, roles, dialect, options)
    return finish(source, layout, roles, dialect, options)


def finish(
    source: Input,
    layout: Layout,
    roles: Roles,
    dialect: Dialect,
    options: ReadOptions,
    *,
    lost_repeats: float | None = None,
) -> Tracks:
    """Load the columns of `roles`, and others if they are kept, and make tracks of them."""
    every = columns_of(layout)
    own = _own_error(layout, roles, every)
    if own is not None:
        roles.columns[OWN_ERROR] = own
    used = {column.index for column in roles.columns.values()}
    others = {f"#{c.index}": c for c in every if c.index not in used and options.keep_columns}
    draft = Draft(
        source=source,
        options=options,
        dialect=dialect,
        roles=roles.columns,
        columns=load(source, layout, {**roles.columns, **others}),
        others=others,
        weak=roles.weak,
        every=every,
        pixel_size_um=roles.pixel_size_um,
        notes=list(roles.notes),
    )
    if lost_repeats is not None:
        draft.lost_repeats = lost_repeats
    return assemble(draft)


def _own_error(layout: Layout, roles: Roles, every: Sequence[Column]) -> Column | None:
    """Return the column of static localisation errors of a table that ``track`` wrote.

    It is in the unit of x, and verdicts need it (`inv_snr`) whatever other columns are read.
    """
    x = roles.columns.get("x")
    if x is None or not _OWN_X.fullmatch(x.name) or layout.header_line != 1:
        return None
    names = {column.name: column for column in every}
    return names[OWN_ERROR] if {"particle", "frame", OWN_ERROR} <= set(names) else None


_OWN_X = re.compile(r"x \[(µm|px)\]")


def _frame_or_time(layout: Layout, roles: Roles, dialect: Dialect, options: ReadOptions) -> Roles:
    """Where the only clock is called "t" or "time", decide whether it counts frames.

    Whole numbers that go up by one are frames (btrack's ``t``, Imaris' ``Time``), unless the
    header gives a unit of time or the user said ``t=``.
    """
    time = roles.columns.get("t")
    if time is None or "frame" in roles.columns:
        return roles
    if time.unit is not None or (options.columns and "t" in options.columns):
        return roles
    if not whole_numbers(layout, time, step=1):
        return roles
    changed = without(roles, "t")
    changed.columns["frame"] = time
    if dialect.time == "frame":
        return changed
    changed.notes = [
        *roles.notes,
        f"Column {time.shown} holds whole numbers and was taken for frame numbers; if they are "
        f"times: {option('columns', f't={time.shown}')}.",
    ]
    return changed


def whole_numbers(layout: Layout, column: Column, *, step: int | None = None) -> bool:
    """Whether the first rows hold whole numbers, `step` apart at the closest."""
    fields = {row[column.index].removesuffix(".0") for row in layout.sample}
    if not fields or not all(field.isascii() and field.isdigit() for field in fields):
        return False
    values = sorted({int(field) for field in fields})
    if step is None or len(values) == 1:
        return True
    return min(b - a for a, b in pairwise(values)) == step
