"""The one error a user can mend, and names of files in words that can always be printed."""

from __future__ import annotations


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


class SptError(Exception):
    """Something the user can mend: bad input, bad options, a file that is not what it seems.

    The message is complete in itself: what was found, what was expected, and which option or
    export mends it. The command line prints it on stderr and leaves with `exit_code`; no
    traceback is shown without ``--debug``.

    Parameters
    ----------
    message : str
        One sentence or two; a second line, if any, holds the remedy. Kept as `printable` gives it.
    exit_code : int, optional
        2 (input or options can't be used, the default) or 1 (a run failed).
    """

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(printable(message))
        self.exit_code = exit_code


class NotTracksError(SptError):
    """The file is readable and holds something else than tracks (a log, an edges export, an image).

    In a folder such a file is skipped and listed; named by itself it is an error like any other.
    """
