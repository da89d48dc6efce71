"""The one error that a user can mend, and how its message names options and files."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator


class Spelling:
    """How messages name options and commands: as Python callers write them.

    The command line has a spelling of its own; see `use_spelling`.
    """

    def option(self, name: str, value: Any = None) -> str:
        """Return ``min_length=``, or with a value ``min_length=5``."""
        return f"{name}={'' if value is None else _written(value)}"

    def command(self, name: str, /, *arguments: str, **options: Any) -> str:
        """Return ``spt_explain.classify(tracks, min_length=5)``."""
        named = [self.option(key, value) for key, value in options.items()]
        return f"spt_explain.{name.replace(' ', '.')}({', '.join([*arguments, *named])})"


def _written(value: Any) -> str:
    """Return a value as Python code has it; words in capitals, which stand for one, as they are."""
    if not isinstance(value, str):
        return repr(value)
    if value.replace(":", "").isupper() or _is_number(value):
        return value
    pairs = [pair.split("=", 1) for pair in value.split(",")]
    if all(len(pair) == 2 for pair in pairs):
        return repr({key: text.strip('"') for key, text in pairs})
    return repr(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_spelling = Spelling()


def option(name: str, value: Any = None) -> str:
    """Return an option's name as the caller wrote it, for a message.

    Parameters
    ----------
    name : str
        Of the parameter of the Python function: ``"min_length"``.
    value : object, optional
        To be named with it.

    Returns
    -------
    str
        ``min_length=5``; on the command line ``--min-length 5``.
    """
    return _spelling.option(name, value)


def command(name: str, /, *arguments: str, **options: Any) -> str:
    """Return a call of a command as the caller would write it, for a message.

    Parameters
    ----------
    name : str
        ``"classify"``, ``"relevance fit"``.
    *arguments, **options
        What it is called with.
    """
    return _spelling.command(name, *arguments, **options)


@contextmanager
def use_spelling(spelling: Spelling) -> Iterator[None]:
    """Let messages name options in another way meanwhile, in all threads."""
    global _spelling
    before, _spelling = _spelling, spelling
    try:
        yield
    finally:
        _spelling = before


def current_spelling() -> Spelling:
    """Return how messages name options now, to hand it to other processes."""
    return _spelling


def printable(text: str) -> str:
    r"""Return a text that any file, table or JSON document can hold.

    Names of files need not be valid UTF-8 (old disks have ``b"caf\xe9.csv"``). Python keeps such
    bytes as lone surrogates, which nothing else can write; here they become ``\xe9``.

    Parameters
    ----------
    text : str
        A file's name, or a text with some in it.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte: names on Windows
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


Code = Literal[
    "conflict",
    "exists",
    "failed",
    "invalid-value",
    "no-data",
    "not-found",
    "unavailable",
    "unreadable",
    "unwritable",
    "wrong-kind",
]
"""What is wrong: options that don't go together or lack another; an output that is there already; a
run that failed; a value that can't be; nothing left to work on; a file, column or name that is not
there; a device, program or package that this machine lacks; a file that is damaged; a place that
can't be written to; a file or folder that holds something else than was expected."""


class SptError(Exception):
    """Something the user can mend: bad input, bad options, a file that is not what it seems.

    The message is complete in itself: what was found, what was expected, and which option or
    export mends it. The command line prints it on stderr and leaves with `exit_code`; no
    traceback is shown without ``--debug``.

    Parameters
    ----------
    message : str
        One sentence or two; a second line, if any, holds the remedy. Kept as `printable` gives it.
        Options are named in it by `option`.
    code : str
        What is wrong, for programs; see `Code`.
    option : str, optional
        The parameter that mends it, where one does: ``"min_length"``.
    exit_code : int, optional
        2 (input or options can't be used, the default) or 1 (a run failed).
    """

    def __init__(
        self,
        message: str,
        *,
        code: Code = "invalid-value",
        option: str | None = None,
        exit_code: int = 2,
    ) -> None:
        super().__init__(printable(message))
        self.code = code
        self.option = option
        self.exit_code = exit_code


class NotTracksError(SptError):
    """The file is readable and holds something else than tracks (a log, an edges export, an image).

    In a folder such a file is skipped and listed; named by itself it is an error like any other.
    """

    def __init__(self, message: str, *, option: str | None = None) -> None:
        super().__init__(message, code="wrong-kind", option=option)
