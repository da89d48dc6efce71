"""Whose table it is, told from its column names, and which column holds what."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spt_explain.errors import SptError, option
from spt_explain.readers.units import length_factor_um, time_factor_s
from spt_explain.readers.wording import quoted, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spt_explain.readers.inputs import Input
    from spt_explain.readers.text import Layout
    from spt_explain.tracks.table import SourceColumn

ROLES = ("particle", "frame", "t", "x", "y", "z")
"""What ``--columns`` can name."""

NUMBER_ROLES = ("frame", "t", "x", "y", "z")
"""Roles whose columns hold numbers; all other columns may hold text."""

TRACK_NAMES = (
    *("trackid", "trajectory", "trajidx", "trajid", "trajectoryid", "trajectoryidx", "particle"),
    *("track", "trackidx", "trackno", "tracknumber", "tracknr", "tid", "trackindex", "traj"),
    *("trajectorynumber", "trajectoryindex", "tracklabel", "segid", "particleid", "particleidx"),
    *("objectid", "cellid", "moleculeid", "trackobjectslabel"),
)
"""Names that mean a track, the likeliest first (letters and digits only, lower-cased)."""

WEAK_TRACK_NAMES = ("id",)
"""Names that mean a track in some programs and a row number in others."""

FRAME_NAMES = (
    *("frame", "frames", "framenumber", "frameno", "framenr", "frameid", "frameidx"),
    *("frameindex", "framenum", "nframe", "slice", "timeindex", "timepoint", "timeframe"),
    *("imagenumber", "tidx", "tindex", "timestep"),
)
TIME_NAMES = ("t", "time", "positiont", "times", "timestamp", "elapsedtime")
AXIS_NAMES = (
    *("{}", "position{}", "pos{}", "{}pos", "{}position", "{}coord", "coord{}", "{}coordinate"),
    *("coordinate{}", "location{}", "locationcenter{}", "center{}", "{}center", "centroid{}"),
    *("{}centroid", "centre{}", "{}centre", "{}loc", "loc{}", "point{}", "{}c", "xyz{}", "{}0"),
)

_LONGEST_UNIT = 20
_BRACKETS = re.compile(r"[\s_]*[(\[{]([^()\[\]{}]*)[)\]}]\s*$")
_SUFFIX = re.compile(r"(?<=.)[\s_.]+(um|µm|μm|nm|px|pix|pixels?|microns?|ms|s|sec|seconds?)$", re.I)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    index : int
        Its position.
    name : str
        Its name as written, or its number where it has none.
    unit : str or None
        The unit that the header gives, as written; None where it gives none.
    """

    index: int
    name: str
    unit: str | None = None

    @property
    def shown(self) -> str:
        """The name in quotes, fit for a message."""
        return quoted(self.name)


@dataclass(frozen=True)
class Dialect:
    """What a program's tables mean beyond their column names.

    Attributes
    ----------
    title : str
        The program and table in words.
    length, time : str or None
        Unit of positions and times by the program's definition, where the header has none;
        "frame" for times that count frames.
    unassigned_below : int or None
        Particle numbers below this mean "not assigned to a track".
    """

    title: str
    length: str | None = None
    time: str | None = None
    unassigned_below: int | None = None


@dataclass
class Roles:
    """Which column holds what, and how that was decided."""

    columns: dict[str, Column] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    weak: bool = False
    pixel_size_um: float | None = None


def plain(name: str) -> str:
    """Return a column name reduced to lower-case letters and digits, without its unit."""
    return re.sub(r"[^0-9a-z]", "", split_unit(name)[0].lower())


def split_unit(name: str) -> tuple[str, str | None]:
    """Return a column's name and its unit: "X_(nm)", "x [nm]", "x_um" and the like."""
    found = _BRACKETS.search(name) or _SUFFIX.search(name)
    if found is None or not found.start():
        return name.strip(), None
    return name[: found.start()].strip(), found.group(1).strip() or None


def columns_of(layout: Layout) -> list[Column]:
    """Return the columns of a table, units from the names or from the rows below them."""
    found = []
    for index in range(layout.width):
        name = layout.names[index] if layout.names else ""
        unit = split_unit(name)[1]
        for row in layout.below:
            cell = row[index] if index < len(row) else ""
            bracketed = re.fullmatch(r"\((.*)\)", cell)
            if bracketed:
                unit = bracketed.group(1).strip() or None
            elif unit is None and (length_factor_um(cell) or time_factor_s(cell)):
                unit = cell
        name = "".join(letter for letter in name if letter.isprintable())
        if unit is not None and (len(unit) > _LONGEST_UNIT or not unit.isprintable()):
            unit = None
        found.append(Column(index, name or str(index + 1), unit))
    return found


def find_column(
    columns: Sequence[SourceColumn], wanted: str, *, numbered: bool = True
) -> SourceColumn | None:
    """Return the column of a source that a person names, or None.

    Parameters
    ----------
    columns : sequence of SourceColumn
        See `spt_explain.tracks.table.Source`.
    wanted : str
        Its name, whatever its capitals, blanks and unit; the first of several.
    numbered : bool
        Whether a number, counted from 1, names a column too.
    """
    for same in (
        lambda name: name == wanted,
        lambda name: name.lower() == wanted.lower(),
        lambda name: plain(name) == plain(wanted) != "",
    ):
        for column in columns:
            if same(column.name):
                return column
    if numbered and wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(columns):
        return columns[int(wanted) - 1]
    return None


def list_names(columns: Iterable[Column | SourceColumn], most: int = 12) -> str:
    """Return the names of columns for a message."""
    names = [column.name for column in columns]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(quoted(name)[1:-1] for name in names[:most]) + more


def dialect_of(names: Sequence[str]) -> Dialect:
    """Return whose table it is, from its column names; a nameless table's if nobody's."""
    have = {name.strip() for name in names}
    low = {name.lower() for name in have}
    plains = {plain(name) for name in have}
    order = [name.strip().lower() for name in names if name.strip()]
    if {"track.id", "seg.id"} & low:
        return Dialect("swift table")
    if "traj_idx" in low:
        return Dialect("AnDi-2 / FreeTrace / BI-ADD table", "pixel")
    if "trajectory" in low and {"m0", "npscore"} & low:
        return Dialect("MOSAIC table", "pixel")
    if order[:5] == ["frame", "t", "trajectory", "x", "y"]:
        return Dialect("Spot-On table", "µm", "s")
    if {"trajectory", "frame", "y", "x"} <= low:
        return Dialect("saSPT / quot table", "pixel", unassigned_below=0)
    if {"framenumber", "trackid"} <= plains and {"x_(nm)", "x_(px)"} & low:
        return Dialect("DoM table")
    if {"id", "t", "parent", "root"} <= low:
        return Dialect("btrack table", None, "frame")
    if "frame" in low and len({"mass", "size", "ecc", "signal", "raw_mass", "ep"} & low) > 1:
        return Dialect("trackpy table", "pixel")
    if set(order) in ({"t", "x", "y", "id"}, {"t", "x", "y", "z", "id"}):
        return Dialect("TRAIT2D table", None, "s")
    if order == ["track_id", "frame", "z", "y", "x"]:
        return Dialect("GEMspa table", "pixel")
    if order[:4] == ["x", "y", "frame", "track_id"]:
        return Dialect("ExTrack table" if "track_ID" in have else "TrackSegNet table")
    if order == ["x", "y", "z", "particle", "frame"]:
        return Dialect("DeepSPT table")
    if {"particle", "frame"} <= low:
        return Dialect("table with trackpy's column names")
    return Dialect("table")


def assign(source: Input, layout: Layout, given: Mapping[str, str] | None) -> Roles:
    """Decide which column holds what.

    Parameters
    ----------
    source : Input
        For messages.
    layout : Layout
        How the table is written.
    given : mapping of str to str or None
        What the user said with ``--columns``; these win.

    Raises
    ------
    SptError
        If `given` names a role or a column that does not exist.
    """
    columns = columns_of(layout)
    roles = Roles()
    for role, name in (given or {}).items():
        roles.columns[role] = _named(source, columns, bool(layout.names), role, str(name), roles)
    if not layout.names:
        return roles
    by_name: dict[str, list[Column]] = {}
    for column in columns:
        by_name.setdefault(plain(column.name), []).append(column)
    if "particle" not in roles.columns:
        _assign_particle(roles, by_name)
    _assign_axes(roles, by_name)
    if "frame" not in roles.columns and not (given and "t" in given):
        _assign_first(roles, "frame", FRAME_NAMES, by_name)
    if "t" not in roles.columns:
        _assign_first(roles, "t", TIME_NAMES, by_name)
    _find_pixel_size(roles, layout, by_name)
    return roles


def override(
    roles: Roles, source: Input, layout: Layout, columns: Mapping[str, str] | None
) -> None:
    """Let ``--columns`` replace the roles it names; a time given alone replaces the frame."""
    if not columns:
        return
    given = assign(source, layout, columns)
    roles.columns.update({role: given.columns[role] for role in columns})
    if "t" in columns and "frame" not in columns:
        roles.columns.pop("frame", None)
    roles.notes += given.notes


def _assign_first(
    roles: Roles, role: str, names: Iterable[str], by_name: Mapping[str, list[Column]]
) -> None:
    for name in names:
        if name in by_name:
            roles.columns[role] = by_name[name][0]
            return


def _assign_particle(roles: Roles, by_name: Mapping[str, list[Column]]) -> None:
    strong = [column for name in TRACK_NAMES for column in by_name.get(name, [])]
    weak = [column for name in WEAK_TRACK_NAMES for column in by_name.get(name, [])]
    if not strong and not weak:
        return
    taken = (strong or weak)[0]
    roles.columns["particle"] = taken
    roles.weak = not strong
    others = [column.name for column in strong[1:] if column.name != taken.name]
    if others:
        why = "its name is the more usual one for tracks"
        if plain(others[0]) in ("segid", "particleid", "particleidx"):
            why = "the other numbers parts of tracks or localisations"
        roles.notes.append(
            f"Columns {taken.shown} and {quoted(others[0])} may both number the tracks: "
            f"{taken.shown} was taken ({why}); "
            f"{option('columns', f'particle={quoted(others[0])}')} takes the other."
        )


def _assign_axes(roles: Roles, by_name: Mapping[str, list[Column]]) -> None:
    """Choose x and y (and z) that are named alike, in a unit of length rather than in pixels."""
    choices: list[tuple[int, int, dict[str, Column]]] = []
    for rank, pattern in enumerate(AXIS_NAMES):
        trio = {axis: by_name.get(pattern.format(axis), []) for axis in "xyz"}
        for x in trio["x"]:
            y = next((y for y in trio["y"] if y.unit == x.unit), None)
            y = y or next(iter(trio["y"]), None)
            if y is None:
                continue
            choice = {"x": x, "y": y}
            z = next((z for z in trio["z"] if z.unit == x.unit), None)
            z = z or next(iter(trio["z"]), None)
            if z is not None:
                choice["z"] = z
            choices.append((0 if length_factor_um(x.unit) else 1, rank, choice))
    if not choices:
        for axis in "xy":  # one of them may be there, which a message can use
            _assign_axis_alone(roles, axis, by_name)
        return
    choices.sort(key=lambda item: item[:2])
    best = choices[0][2]
    if not {"x", "y"} & set(roles.columns):
        others = [
            other
            for scale, _, other in choices[1:]
            if scale and not choices[0][0] and other["x"].name != best["x"].name
        ]
        if others:
            roles.notes.append(
                f"Positions are given in {best['x'].unit} ({best['x'].shown}) and also as "
                f"{others[0]['x'].shown}: those in {best['x'].unit} were taken."
            )
    for axis, column in best.items():
        roles.columns.setdefault(axis, column)


def _assign_axis_alone(roles: Roles, axis: str, by_name: Mapping[str, list[Column]]) -> None:
    names = (pattern.format(axis) for pattern in AXIS_NAMES)
    if axis not in roles.columns:
        _assign_first(roles, axis, names, by_name)


def _find_pixel_size(roles: Roles, layout: Layout, by_name: Mapping[str, list[Column]]) -> None:
    """Where positions are given in pixels and in µm, their ratio is the size of a pixel."""
    x = roles.columns.get("x")
    factor = length_factor_um(x.unit) if x else None
    if x is None or factor is None:
        return
    twins = [c for c in by_name.get(plain(x.name), []) if (c.unit or "").lower()[:3] in _PIXEL]
    if not twins:
        return
    ratios = []
    for row in layout.sample:
        try:
            here, there = (float(row[c.index].replace(",", ".")) for c in (x, twins[0]))
        except ValueError:
            continue
        if there > 0 and here > 0:
            ratios.append((there, here * factor / there))
    if ratios:  # the position farthest out has the smallest rounding error
        roles.pixel_size_um = float(f"{max(ratios)[1]:.3g}")


_PIXEL = ("px", "pix")


def _named(
    source: Input, columns: Sequence[Column], header: bool, role: str, name: str, roles: Roles
) -> Column:
    if role not in ROLES:
        raise SptError(
            f"{option('columns')} has {quoted(role)}, which is no role: expected one of "
            f"{', '.join(ROLES)}, as in "
            f"{option('columns', 'particle=NAME,frame=NAME,x=NAME,y=NAME')}.",
            option="columns",
        )
    wanted = name.strip()
    for same in (
        lambda c: c.name == wanted,
        lambda c: c.name.lower() == wanted.lower(),
        lambda c: plain(c.name) == plain(wanted) != "",
    ):
        matches = [column for column in columns if header and same(column)]
        if matches:
            if len(matches) > 1:
                roles.notes.append(
                    f"{len(matches)} columns are called {matches[0].shown}: the first was taken "
                    f"for {role}."
                )
            return matches[0]
    if wanted.isascii() and wanted.isdigit():
        if 1 <= int(wanted) <= len(columns):
            return columns[int(wanted) - 1]
        raise SptError(
            f"{source.label} has {some(len(columns), 'column')}; "
            f"{option('columns', f'{role}={wanted}')} asks for number {wanted} (counted from 1).",
            option="columns",
        )
    if not header:
        raise SptError(
            f"{source.label} has no header row, so {option('columns', f'{role}={quoted(wanted)}')} "
            "can't be found.\n"
            f"Give column numbers counted from 1 to {len(columns)}: "
            f"{option('columns', 'particle=1,frame=2,x=3,y=4')}.",
            option="columns",
        )
    close = difflib.get_close_matches(
        wanted.lower(), [column.name.lower() for column in columns], n=1, cutoff=0.5
    )
    meant = next((c.name for c in columns if close and c.name.lower() == close[0]), None)
    raise SptError(
        f"{source.label} has no column {quoted(wanted)} ({option('columns', f'{role}=…')}). Its "
        "columns: "
        f"{list_names(columns)}." + (f"\nDid you mean {role}={quoted(meant)}?" if meant else ""),
        option="columns",
    )


def without(roles: Roles, role: str) -> Roles:
    """Return the roles without one of them."""
    columns = {name: column for name, column in roles.columns.items() if name != role}
    return replace(roles, columns=columns)
