"""How a movie was tracked, as a file that people can read, change and use again (TOML)."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.core.config import expected, extra_of
from spt_explain.errors import SptError, option, printable
from spt_explain.movies.settings import TrackingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENDING = ".tracking.toml"
"""What names of parameter files end in."""
AUTO = "auto"
"""The word for a value that is found from the movie."""
MAX_BYTES = 1_000_000
"""A larger file is no parameter file."""

_FIELDS = TrackingSettings.model_fields
_KEYS: dict[str, dict[str, str]] = {
    table: {
        extra_of(field, "key") or name: name
        for name, field in _FIELDS.items()
        if extra_of(field, "table") == table
    }
    for table in dict.fromkeys(extra_of(field, "table") for field in _FIELDS.values())
}
"""Tables and keys of the file, and which setting each holds."""
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
    values, reasons = dict(settings), reasons or {}
    lines = [_comment(remark) for remark in remarks]
    for table, keys in _KEYS.items():
        lines += ["", f"[{table}]"] if lines else [f"[{table}]"]
        for key, name in keys.items():
            value = AUTO if values[name] is None else values[name]
            said = [extra_of(_FIELDS[name], "comment"), reasons.get(name, "")]
            lines.append(f"{key} = {_toml(value)}  {_comment(': '.join(filter(None, said)))}")
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
        if table not in _KEYS:
            raise _unknown(path, table, "[")
        for key, value in keys.items():
            if key not in _KEYS[table]:
                raise _unknown(path, key, table)
            name = _KEYS[table][key]
            settings[name] = _checked(path, table, key, value)
    return TrackingSettings(**settings)


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
    return settings.changed(**given)


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
    homes = {key: table for table, keys in _KEYS.items() for key in keys}
    shown = _short(word)
    if where == "[":
        near = difflib.get_close_matches(word, _KEYS, n=1)
        hint = f"Did you mean [{near[0]}]?" if near else ""
        return SptError(
            f"{path} has a table [{shown}], which is not known: expected "
            f"{_listed([f'[{table}]' for table in _KEYS])}. {hint}".rstrip()
        )
    place = f"in [{where}]" if where else "before the first table"
    homes |= {name: table for table, keys in _KEYS.items() for name in keys.values()}
    near = [word] if word in homes else difflib.get_close_matches(word, homes, n=1)
    if near and homes[near[0]] != where:
        hint = f"Did you mean {near[0]} in [{homes[near[0]]}]?"
    elif near and near[0] in _KEYS[homes[near[0]]]:
        hint = f"Did you mean {near[0]}?"
    else:
        hint = f"[{where}] has {_listed(list(_KEYS[where]))}." if where else ""
    if word == "drift":
        hint = "Did you mean correct in [drift]?"
    return SptError(f"{path} has {shown!r} {place}, which is not known. {hint}".rstrip())


def _checked(path: str | Path, table: str, key: str, value: Any) -> Any:
    name = _KEYS[table][key]
    if value == AUTO:
        return _FIELDS[name].get_default()
    try:
        return getattr(TrackingSettings(**{name: value}), name)
    except SptError as error:
        auto = f', or "{AUTO}" to have it found from the movie'
        raise SptError(
            f"{path} has {key} = {_short(_shown(value))} in [{table}]: expected "
            f"{expected(_FIELDS[name])}{auto if _FIELDS[name].get_default() is None else ''}."
        ) from error


def _toml(value: Any) -> str:
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
