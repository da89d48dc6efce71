"""How a movie was tracked, as a file that people can read, change and use again (TOML)."""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError, option, printable
from spt_explain.movies.parameters import check_parameters
from spt_explain.movies.settings import TrackingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENDING = ".tracking.toml"
"""What names of parameter files end in."""
AUTO = "auto"
"""The word for a value that is found from the movie."""
MAX_BYTES = 1_000_000
"""A larger file is no parameter file."""

_TABLES: dict[str, dict[str, str]] = {
    "stack": {"channel": "channel", "z": "z"},
    "spots": {
        "diameter": "diameter",
        "minmass": "minmass",
        "lone_mass": "lone_mass",
        "dark": "dark",
        "peak": "peak",
    },
    "links": {"search_range": "search_range", "memory": "memory", "adaptive": "adaptive"},
    "drift": {"correct": "drift"},
}
"""Tables and keys of the file, and which setting each holds."""

_MEANT: dict[str, str] = {
    "channel": "a whole number from 1",
    "z": 'the word "max" or "mean", or a whole number from 1',
    "diameter": "an odd whole number of pixels",
    "minmass": "a number of grey values",
    "lone_mass": "a number of grey values, 0 or more",
    "dark": "true or false",
    "peak": "a number of grey values, 0 or more",
    "search_range": "a number of pixels",
    "memory": "a whole number of frames",
    "adaptive": "true or false",
    "drift": "true or false",
}
_WORDS: dict[str, str] = {
    "channel": "counted from 1; the first if nothing is said",
    "z": "of several planes of depth",
    "diameter": "px",
    "minmass": "grey values above background, summed over a spot",
    "lone_mass": "the same for spots that are linked to no other",
    "dark": "whether spots are darker than the background",
    "peak": "grey values; lower peaks are not tried, which saves time",
    "search_range": "px",
    "memory": "frames",
    "adaptive": "whether the range shrinks where spots are too dense for it",
    "drift": "whether the motion that all particles share is subtracted",
}
_FOUND = frozenset(
    [
        "channel",
        "diameter",
        "minmass",
        "lone_mass",
        "dark",
        "peak",
        "search_range",
        "memory",
        "adaptive",
    ]
)
"""Settings that may be left to the movie."""
_FOLLOWS: dict[str, tuple[str, ...]] = {
    "peak": ("channel", "z", "diameter", "minmass", "dark"),
    "lone_mass": ("channel", "z", "diameter", "minmass", "dark"),
    "adaptive": ("search_range",),
}
"""Settings that nobody names, and of which others they are a consequence."""


def write_parameters(
    settings: TrackingSettings,
    reasons: Mapping[str, str] | None = None,
    *,
    remarks: Sequence[str] = (),
) -> str:
    """Return the text of a parameter file.

    Parameters
    ----------
    settings : TrackingSettings
        Every value. Numbers keep all their digits. What is None is left to the movie.
    reasons : mapping of str to str, optional
        Why each value is what it is, by the name of the setting; they become comments.
    remarks : sequence of str, optional
        Lines to begin with, as comments.

    Returns
    -------
    str
        TOML. `read_parameters` gives the same settings back.
    """
    values, reasons = asdict(settings), reasons or {}
    lines = [_comment(remark) for remark in remarks]
    for table, keys in _TABLES.items():
        lines += ["", f"[{table}]"] if lines else [f"[{table}]"]
        for key, name in keys.items():
            value = AUTO if values[name] is None else values[name]
            said = [part for part in (_WORDS[name], reasons.get(name, "")) if part]
            lines.append(
                f"{key} = {_toml(value)}" + (f"  {_comment(': '.join(said))}" * bool(said))
            )
    return "\n".join(lines) + "\n"


def read_parameters(path: str | Path) -> TrackingSettings:
    """Read a parameter file.

    Parameters
    ----------
    path : str or pathlib.Path
        What `write_parameters` wrote, maybe changed by hand. Keys may be left out, or be
        ``"auto"``: they have their defaults then, most of which are found from the movie.

    Returns
    -------
    TrackingSettings

    Raises
    ------
    SptError
        If it is no such file, or holds a key that is not known or a value that can't be used; the
        message names the table and the key.
    """
    found = _parse(path)
    settings: dict[str, Any] = {}
    for table, keys in found.items():
        if not isinstance(keys, dict):
            raise _unknown(path, table, "")
        if table not in _TABLES:
            raise _unknown(path, table, "[")
        for key, value in keys.items():
            if key not in _TABLES[table]:
                raise _unknown(path, key, table)
            name = _TABLES[table][key]
            settings[name] = _checked(path, table, key, value)
    made = TrackingSettings(**settings)
    try:
        check_parameters(made.diameter, made.minmass, made.search_range, made.memory)
    except SptError as error:
        raise SptError(f"{path}: {error}") from error
    return made


def override(settings: TrackingSettings, **given: Any) -> TrackingSettings:
    """Return settings with some of them replaced.

    What follows from a replaced value (the least height of a spot from its least mass; whether the
    search range may shrink) is found again, unless it is given, too.

    Parameters
    ----------
    settings : TrackingSettings
        From a parameter file.
    **given
        New values, by the names of the settings; None has a value found from the movie.
    """
    changed = {name for name, value in given.items() if value != getattr(settings, name)}
    for name, causes in _FOLLOWS.items():
        if changed.intersection(causes):
            given.setdefault(name, None)
    return replace(settings, **given)


def _parse(path: str | Path) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise SptError(
            f"the parameter file {path} was not found: expected a file that ends in {ENDING}, as "
            f"spt-explain track writes it. Check {option('parameters')}.",
            code="not-found",
            option="parameters",
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SptError(
            f"the parameter file {path} can't be opened ({why}): expected a readable file. Check "
            f"{option('parameters')}.",
            code="unreadable",
            option="parameters",
        ) from error
    try:
        if len(data) > MAX_BYTES:
            raise ValueError("it is too large")
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _no_parameters(path, "it is not text in UTF-8") from error
    except (ValueError, OverflowError) as error:
        raise _no_parameters(path, " ".join(str(error).split())[:120]) from error
    except RecursionError as error:
        raise _no_parameters(path, "it is nested too deeply") from error


def _no_parameters(path: str | Path, why: str) -> SptError:
    return SptError(
        f"{path} can't be read as a parameter file ({why}): expected TOML, as spt-explain track "
        f"writes it (NAME{ENDING}), with lines such as diameter = 7. Check {option('parameters')}.",
        code="unreadable",
        option="parameters",
    )


def _unknown(path: str | Path, word: str, where: str) -> SptError:
    """Return the error for a word that is no table (`where` is "[") or no key of a table."""
    homes = {key: table for table, keys in _TABLES.items() for key in keys}
    shown = _short(word)
    if where == "[":
        near = difflib.get_close_matches(word, _TABLES, n=1)
        hint = f"Did you mean [{near[0]}]?" if near else ""
        return SptError(
            f"{path} has a table [{shown}], which is not known: expected "
            f"{_listed([f'[{table}]' for table in _TABLES])}. {hint}".rstrip()
        )
    place = f"in [{where}]" if where else "before the first table"
    homes |= {name: table for table, keys in _TABLES.items() for name in keys.values()}
    near = [word] if word in homes else difflib.get_close_matches(word, homes, n=1)
    if near and homes[near[0]] != where:
        hint = f"Did you mean {near[0]} in [{homes[near[0]]}]?"
    elif near and near[0] in _TABLES[homes[near[0]]]:
        hint = f"Did you mean {near[0]}?"
    else:
        hint = f"[{where}] has {_listed(list(_TABLES[where]))}." if where else ""
    if word == "drift":
        hint = "Did you mean correct in [drift]?"
    return SptError(f"{path} has {shown!r} {place}, which is not known. {hint}".rstrip())


def _checked(path: str | Path, table: str, key: str, value: Any) -> Any:
    name = _TABLES[table][key]
    if name in _FOUND and value == AUTO:
        return None
    if value == AUTO:
        return getattr(TrackingSettings(), name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    fits = {
        "channel": whole and value >= 1,
        "z": value in ("max", "mean") if isinstance(value, str) else whole and value >= 1,
        "diameter": whole,
        "memory": whole,
        "minmass": number,
        "search_range": number,
        "peak": number,
        "lone_mass": number,
    }.get(name, isinstance(value, bool))
    if fits and name in ("minmass", "lone_mass", "search_range", "peak"):
        try:
            value = float(value)
        except OverflowError:
            fits = False
        else:
            fits = math.isfinite(value) and (name not in ("peak", "lone_mass") or value >= 0)
    if not fits:
        may = f', or "{AUTO}" to have it found from the movie' if name in _FOUND else ""
        raise SptError(
            f"{path} has {key} = {_short(_shown(value))} in [{table}]: "
            f"expected {_MEANT[name]}{may}."
        )
    return value


def _toml(value: Any) -> str:
    value = value.item() if hasattr(value, "item") else value  # of numpy
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return _toml(value)
    try:
        return repr(value) if not isinstance(value, str) else f'"{value}"'
    except ValueError:  # more digits than Python writes
        return "a number of very many digits"


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 40 else f"{flat[:39]}…"


def _comment(text: str) -> str:
    """Return one line of comment; TOML allows no control characters there."""
    return "# " + "".join(s if s.isprintable() else " " for s in printable(text))


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
